"""Replicas that share fragments and purges through a real Valkey, alone and as a cluster."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Namespace
from gateway.cache.shared.layout import MOST_ENTRIES, Kept, Keys, encode_entry
from gateway.cache.sharing import EVERYTHING_STALE, Invalidation, Name, Seen, Stem
from gateway.features import Purge, Status, ViewValues, Written
from tests.cache.replicas import ANN, LAYOUT, TERMS, USER, VALUES, Replica, named, replica, stem_of, until
from tests.harness.valkey import Valkey, ValkeyCluster

_NUMBERS = count()
OLDER = ViewValues(LAYOUT, b'"2","Ghent"', b'"user.count":2,"user.city":"Ghent"', (Status.PRESENT, Status.PRESENT), (None, None))
WRITE = Written("prod", "users@1", ("ann",))


@pytest.fixture
def prefix() -> str:
    """Of this test's own keys."""
    return f"test-{next(_NUMBERS)}"


@pytest.fixture(params=["valkey", "cluster"])
def server(request: pytest.FixtureRequest) -> Valkey | ValkeyCluster:
    found: Valkey | ValkeyCluster = request.getfixturevalue("valkeys" if request.param == "cluster" else "valkey")
    return found


def holder(server: Valkey | ValkeyCluster, key: bytes) -> Valkey:
    return server.master_of(key) if isinstance(server, ValkeyCluster) else server


async def test_what_one_replica_fetched_another_finds(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one, replica(server, prefix) as other:
        assert await one.find() is None
        await one.share()
        for each in (one, other):
            found = await each.find()
            assert found is not None
            assert found.values == VALUES
        assert (one.counters.shared_hits, one.counters.shared_misses, one.counters.shared_failures) == (1, 2, 0)
        assert (other.counters.shared_hits, other.counters.shared_misses) == (1, 0)


async def test_many_names_are_looked_up_at_once_each_for_itself(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one:
        names = [named(f"user {number}", stem=stem) for number in range(700) for stem in (ANN.stem, stem_of("shop"))]
        seen = await one.shared.lookup(names)
        for index, at in enumerate(seen):
            assert at is not None
            if index % 3 == 0:
                text = b"%d" % index
                values = ViewValues(LAYOUT, text, text, (Status.PRESENT, Status.PRESENT), (None, None))
                one.shared.store(at, Fragment.of(values, at.at_s, TERMS))
        await one.idle()
        found = [at is not None and at.found is not None and at.found.values.positional for at in await one.shared.lookup(names)]
        assert found == [b"%d" % index if index % 3 == 0 else False for index in range(len(names))]
        assert await one.shared.lookup([]) == []


async def test_another_workspace_layout_context_or_set_of_options_is_another_entry(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one:
        await one.share()
        narrower = Stem(Namespace("prod", type(LAYOUT)("user", LAYOUT.features[:1]), (USER,), (), "users@1"))
        others = [named("bob"), named("ann", ("[1]", None)), named("ann", ("[]", (True, None, None, None))), named("ann", stem=narrower)]
        others.append(named("ann", stem=stem_of("user", "dev", "users@1")))
        for other in others:
            assert await one.find(other) is None
        assert await one.find() is not None


async def test_ages_are_true_whatever_the_replicas_clocks_say(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix, now_s=1_000.0) as one, replica(server, prefix, now_s=50.0) as other:
        await one.share(age_s=30.0)
        found = await other.find()
        assert found is not None
        assert 50.0 - 30.0 - 10.0 < found.stored_at <= 50.0 - 30.0
        seen = await one.look()
        one.clock.advance(5.0)
        one.shared.store(seen, Fragment.of(OLDER, one.clock(), TERMS))
        await one.idle()
        found = await other.find()
        assert found is not None
        assert found.values == OLDER
        assert found.stored_at == 50.0  # the clock that went ahead of Redis' made it one of the future, which is now


async def test_an_entry_lives_until_it_is_of_no_use_and_not_longer(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one:
        await one.share(age_s=30.0)
        key = Keys(prefix).base(ANN.base)
        assert 60_000 < int(holder(server, key).ask("PTTL", key)) <= (60 + 40 - 30) * 1_000
        await one.share(named("ann", ("[1]", None)), age_s=95.0)
        assert int(holder(server, key).ask("PTTL", key)) > 50_000
        await one.share(named("bob"), age_s=101.0)
        assert await one.find(named("bob")) is None


async def test_what_was_asked_for_earlier_never_replaces_what_was_asked_for_later(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one:
        seen = await one.look()
        await one.share(seen=seen)
        await one.share(seen=seen, values=OLDER, age_s=5.0)
        found = await one.find()
        assert found is not None
        assert found.values == VALUES


async def test_join_keys_do_not_stand_in_redis_in_clear(valkey: Valkey, prefix: str) -> None:
    async with replica(valkey, prefix) as one:
        await one.share(named("s3cret-user"))
        await one.shared.invalidate([Written("prod", "users@1", ("s3cret-user",))])
        await one.share(named("s3cret-user"))
        keys = valkey.ask("KEYS", f"{prefix}:*")
        assert len(keys) == 2
        stored = [valkey.ask("HGETALL", key) for key in keys]
        assert b"s3cret" not in repr((keys, stored)).encode()


async def test_an_ingest_voids_its_join_keys_in_all_contexts_options_and_layouts(server: Valkey | ValkeyCluster, prefix: str) -> None:
    renamed = Stem(Namespace("prod", type(LAYOUT)("customer", LAYOUT.features), (USER,), (), "users@1"))
    of_ann = [ANN, named("ann", ("[1]", None)), named("ann", ("[]", (True,))), named("ann", stem=renamed)]
    others = [named("bob"), named("ann", stem=stem_of("user", "dev", "users@1")), named("ann", stem=stem_of("shop"))]
    async with replica(server, prefix) as one, replica(server, prefix) as other:
        for name in of_ann + others:
            await one.share(name)
        assert await other.shared.invalidate([WRITE])
        assert [await one.find(name) is not None for name in of_ann + others] == [False] * 4 + [True] * 3


PURGES: Sequence[tuple[Invalidation, set[str]]] = [
    (Purge("prod", frozenset({"user"})), {"user"}),
    (Purge(None, frozenset({"user"}), soft=True), {"user", "dev user"}),
    (Purge("prod", frozenset({"user", "shop"})), {"user", "shop"}),
    (Purge("prod"), {"user", "shop"}),
    (Purge("dev"), {"dev user"}),
    (Purge(), {"user", "shop", "dev user"}),
    (Purge("prod", frozenset({"user"}), {"user_id": "bob"}), {"user"}),
    (Purge("prod", None, {"user_id": "bob"}), {"user", "shop"}),
    (Written("prod", "users@1"), {"user"}),
    (Written("prod", "shop"), {"shop"}),
    (Written("dev", "users@1"), {"dev user"}),
]


@pytest.mark.parametrize(("told", "gone"), PURGES)
async def test_a_purge_voids_what_it_means_also_what_is_fetched_meanwhile(
    server: Valkey | ValkeyCluster, prefix: str, told: Invalidation, gone: set[str]
) -> None:
    names = {"user": ANN, "shop": named("ann", stem=stem_of("shop")), "dev user": named("ann", stem=stem_of("user", "dev", "users@1"))}
    async with replica(server, prefix) as one, replica(server, prefix) as other:
        begun = {view: await one.look(name) for view, name in names.items()}
        for name in names.values():
            await one.share(name)
        assert await other.shared.invalidate([told])
        assert {view for view, name in names.items() if await one.find(name) is None} == gone
        for view in gone:
            await one.share(names[view], seen=begun[view])
        assert {view for view, name in names.items() if await other.find(name) is None} == gone
        for name in names.values():
            await other.share(name)
        assert [await one.find(name) is not None for name in names.values()] == [True] * 3


async def test_a_fetch_begun_before_an_ingest_is_not_stored_after_it_by_anybody(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one, replica(server, prefix) as other:
        seen, before = await other.look(), await one.look()
        assert await one.shared.invalidate([WRITE])
        between = await other.look()
        assert await one.shared.invalidate([WRITE])
        for fetched in (seen, before, between):
            await other.share(seen=fetched)
            assert await one.find() is None
        await other.share()
        assert await one.find() is not None


async def test_a_fetch_that_took_too_long_is_not_stored(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix, longest_fetch_s=0.0) as one:
        await one.share()
        assert await one.find() is None


async def test_a_base_with_too_many_entries_begins_anew_and_remembers_its_purge(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one:
        begun = await one.look()
        await one.shared.invalidate([WRITE])
        names = [named("ann", (f"[{number}]", None)) for number in range(MOST_ENTRIES)]
        for name in names:
            await one.share(name)
        assert sum([await one.find(name) is not None for name in names]) < MOST_ENTRIES
        assert await one.find(names[-1]) is not None
        await one.share(seen=begun)
        assert await one.find() is None


def _garbage(name: Name, generation: bytes) -> list[bytes]:
    now_ms = b"%016d" % 1_764_000_000_000
    kept = Kept(generation, b"", b"", "P", (None,))
    return [b"", b"\xff", b"0" * 16, now_ms + b"\x91\xc0", b"-" + now_ms, encode_entry(1_764_000_000_000, kept), name.entry]


async def test_garbage_in_redis_is_a_miss_and_gives_way(server: Valkey | ValkeyCluster, prefix: str) -> None:
    key = Keys(prefix).base(ANN.base)
    redis = holder(server, key)
    async with replica(server, prefix) as one:
        generation = (await one.look()).tokens[1]
        for garbage in _garbage(ANN, generation):
            redis.ask("HSET", key, ANN.entry, garbage)
            assert await one.find() is None
            redis.ask("DEL", key)
        redis.ask("SET", key, "of another kind")
        assert [seen is not None for seen in await one.shared.lookup([ANN, named("bob")])] == [True, True]
        await one.share()
        assert await one.find() is not None
        redis.ask("SET", key, "of another kind")
        assert await one.shared.invalidate([WRITE])
        assert one.counters.shared_failures == 0


async def test_without_its_generations_nothing_is_believed(server: Valkey | ValkeyCluster, prefix: str) -> None:
    key = Keys(prefix).generations
    redis = holder(server, key)
    async with replica(server, prefix) as one:
        await one.share()
        redis.ask("DEL", key)
        assert await one.find() is None
        await one.share()
        assert await one.find() is not None
        redis.ask("SET", key, "of another kind")
        assert await one.shared.lookup([ANN]) == [None]
        assert not await one.shared.invalidate([Purge()])
        assert one.counters.shared_failures == 2


async def test_replicas_hear_what_others_invalidate_and_not_what_they_do_themselves(server: Valkey | ValkeyCluster, prefix: str) -> None:
    told: list[Invalidation] = [
        Purge("prod", frozenset({"user"}), {"user_id": 7}, soft=True),
        Written("prod", "users@1", (7, None, "x")),
        Written("prod", "s"),
    ]
    async with replica(server, prefix) as one, replica(server, prefix) as other, replica(server, f"{prefix}-apart") as stranger:
        for each in (one, other, stranger):
            await each.hear()
        assert await one.shared.invalidate(told)
        assert await other.shared.invalidate([WRITE])
        await until(lambda: len(other.heard) == 4 and len(one.heard) == 2, "both having heard the other")
        assert other.heard == [EVERYTHING_STALE, *told]
        assert one.heard == [EVERYTHING_STALE, WRITE]
        assert stranger.heard == [EVERYTHING_STALE]


async def test_whoever_hears_of_a_purge_finds_nothing_of_before(server: Valkey | ValkeyCluster, prefix: str) -> None:
    async with replica(server, prefix) as one, replica(server, prefix) as other:
        await one.share()
        await other.hear()
        one.shared.invalidate([WRITE, Purge("prod", frozenset({"shop"}))])
        await until(lambda: len(other.heard) > 1, "the purge being heard")
        assert await other.find() is None


async def test_what_cannot_be_understood_may_have_been_a_purge_of_anything(valkey: Valkey, prefix: str) -> None:
    async with replica(valkey, prefix) as one:
        await one.hear()
        valkey.ask("PUBLISH", Keys(prefix).channel, b"\x93\xa8purges 2\x00\x00")
        await until(lambda: len(one.heard) == 2, "the message being heard")
        assert one.heard == [EVERYTHING_STALE, EVERYTHING_STALE]


async def test_a_purge_that_fails_does_not_deafen(valkey: Valkey, prefix: str) -> None:
    def purged(told: Sequence[Invalidation]) -> None:
        if list(told) == [WRITE]:
            raise ZeroDivisionError

    async with replica(valkey, prefix) as one, replica(valkey, prefix) as other:
        await one.hear(purged)
        await other.shared.invalidate([WRITE])
        await other.shared.invalidate([Purge()])
        await until(lambda: len(one.heard) == 3, "both being heard")


async def test_nobody_listens_where_nobody_follows(valkey: Valkey, prefix: str) -> None:
    async with replica(valkey, prefix) as one:
        assert not await one.shared.listening(0.0)


async def test_fragments_that_find_no_room_are_dropped_and_counted(valkey: Valkey, prefix: str) -> None:
    async with replica(valkey, prefix) as one:
        seen = await one.look()
        for _ in range(1_100):
            one.shared.store(seen, Fragment.of(VALUES, seen.at_s, TERMS))
        assert 0 < one.counters.shared_drops <= 1_100 - 1_024
        await one.idle()
        assert await one.find() is not None


async def test_gateways_with_another_prefix_share_nothing(valkey: Valkey, prefix: str) -> None:
    async with replica(valkey, f"{prefix}-a") as one, replica(valkey, f"{prefix}-b") as other:
        await one.share()
        assert await other.find() is None


STEMS = [ANN.stem, stem_of("shop"), stem_of("user", "dev", "users@1")]
PLACES = st.just((ANN.stem, "ann", True)) | st.tuples(st.sampled_from(STEMS), st.sampled_from(["ann", "bob"]), st.booleans())
WRITES = st.builds(
    Written, st.sampled_from(["prod", "dev"]), st.sampled_from(["users@1", "shop"]), st.sampled_from([("ann",), ("bob",), None])
)
ORDERS = st.builds(Purge, st.sampled_from([None, "prod", "dev"]), st.sampled_from([None, frozenset({"user"}), frozenset({"shop"})]))
TURNS = st.tuples(st.just("begin"), PLACES) | st.tuples(st.just("land"), st.integers(0, 1))
STEPS = st.lists(TURNS | TURNS | st.tuples(st.just("purge"), st.just(WRITE) | WRITES | ORDERS), min_size=12, max_size=40)


def _means(told: Invalidation, place: tuple[Stem, str, bool]) -> bool:
    stem, user, _ = place
    workspace, view, identity = {0: ("prod", "user", "users@1"), 1: ("prod", "shop", "shop"), 2: ("dev", "user", "users@1")}[
        STEMS.index(stem)
    ]
    if told.workspace not in (None, workspace):
        return False
    if isinstance(told, Purge):
        return told.views is None or view in told.views
    return told.view == identity and told.join_keys in (None, (user,))


@settings(max_examples=80, deadline=None)
@given(steps=STEPS)
async def test_whatever_the_order_nothing_is_found_that_was_fetched_before_its_last_purge(valkey: Valkey, steps: list[Any]) -> None:
    """Two replicas fetch, store and purge in turn; a fetch may land long after it began. `since`: the purges of a place so far."""
    purges: list[Invalidation] = []
    under_way: list[tuple[Replica, Seen, tuple[Stem, str, bool], int]] = []

    def since(place: tuple[Stem, str, bool]) -> int:
        return max((number for number, told in enumerate(purges, 1) if _means(told, place)), default=0)

    prefix = f"model-{next(_NUMBERS)}"
    async with replica(valkey, prefix) as one, replica(valkey, prefix) as other:
        for turn, (does, what) in enumerate(steps):
            acting = (one, other)[turn % 2]
            if does == "begin":
                stem, user, plain = what
                seen = await acting.look(named(user, () if plain else ("[1]", None), stem))
                if seen.found is None:
                    under_way.append((acting, seen, what, len(purges)))
                else:
                    assert int(seen.found.values.positional) >= since(what)
            elif does == "land" and what < len(under_way):
                fetching, seen, _, begun = under_way.pop(what)
                text = b"%d" % begun
                await fetching.share(seen=seen, values=ViewValues(LAYOUT, text, text, (Status.PRESENT,) * 2, (None, None)))
            elif does == "purge":
                purges.append(what)
                assert await acting.shared.invalidate([what])
