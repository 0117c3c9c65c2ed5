"""Which entries a purge and an ingest mean, and in which order they are seen to."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.flights import Flights
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key, Namespace, Namespaces, Scope, picker
from gateway.cache.store import FragmentStore
from gateway.counters import Counters
from gateway.errors import OriginUnavailable
from gateway.features import INT64, STRING, DataType, Feature, Field, Purge, ViewLayout, Written
from gateway.serving.plan import timed_out
from gateway.serving.purging import Change, Purger
from gateway.tasks import Tasks
from tests.harness.clock import Clock, Hold

pytestmark = pytest.mark.anyio
ANNE = b"anne"


def namespace(view: str, workspace: str = "live", own: str | None = None, /, **join_keys: DataType) -> Namespace:
    layout = ViewLayout(view, (Feature(f"{view}.x", INT64),))
    return Namespace(workspace, layout, tuple(Field(name, dtype) for name, dtype in join_keys.items()), view=own)


USER, SHOP = namespace("user", user=STRING), namespace("shop", shop=INT64)
BOTH, NONE = namespace("both", user=STRING, shop=INT64), namespace("world")
TEXT_SHOP, DEV_USER = namespace("shop", shop=STRING), namespace("user", "dev", user=STRING)
ALL = (USER, SHOP, BOTH, NONE, TEXT_SHOP, DEV_USER)


class Cache:
    """A purger with what it purges. Every namespace is known, and holds `fill`'s entries."""

    def __init__(self, tasks: Tasks) -> None:
        self.namespaces, self.store, self.flights = Namespaces(), FragmentStore(1_000_000), Flights[str](tasks)
        self.counters, self.clock, self.told = Counters(), Clock(), list[Change]()
        self.purger = Purger(self.namespaces, self.store, self.flights, self.counters, self.clock, self.tell)
        self.unreachable: Exception | None = None
        self.keys: dict[str, Key] = {}

    async def tell(self, change: Change) -> None:
        if self.unreachable is not None:
            raise self.unreachable
        self.told.append(change)
        self.left_when_told = self.left()

    def key(self, space: Namespace, *values: Any) -> Key:
        return self.namespaces.number(space), picker(range(len(values)))(values)

    def put(self, name: str, key: Key) -> None:
        self.keys[name] = key
        self.store.put(key, Fragment.of(timed_out(USER.layout), self.clock()))

    def fill(self) -> None:
        for user in ("u1", "u2", None):
            self.put(f"user {user}", self.key(USER, user))
            self.put(f"dev user {user}", self.key(DEV_USER, user))
            for shop in (1, 2):
                self.put(f"both {user} {shop}", self.key(BOTH, user, shop))
        for shop in (1, 2):
            self.put(f"shop {shop}", self.key(SHOP, shop))
            self.put(f"text shop {shop}", self.key(TEXT_SHOP, str(shop)))
        self.put("world", self.key(NONE))
        self.put("user u1 in a context", (*self.key(USER, "u1"), "[1.5]", None))

    def left(self) -> set[str]:
        return {name for name, key in self.keys.items() if self.store.lookup(key) is not None}

    def gone(self) -> set[str]:
        return self.keys.keys() - self.left()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.aclose()


@pytest.fixture
async def cache(tasks: Tasks) -> Cache:
    cache = Cache(tasks)
    cache.fill()
    return cache


U1 = {"user u1", "user u1 in a context"}
USERS = U1 | {"user u2", "user None"}
SHOPS, TEXT_SHOPS = {"shop 1", "shop 2"}, {"text shop 1", "text shop 2"}
PAIRS = {f"both {user} {shop}" for user in ("u1", "u2", None) for shop in (1, 2)}
LIVE = USERS | SHOPS | TEXT_SHOPS | PAIRS | {"world"}
DEV = {"dev user u1", "dev user u2", "dev user None"}


@pytest.mark.parametrize(
    ("purge", "gone"),
    [
        (Purge(), LIVE | DEV),
        (Purge("live"), LIVE),
        (Purge("dev"), DEV),
        (Purge("elsewhere"), set()),
        (Purge("live", frozenset({"user"})), USERS),
        (Purge("live", frozenset({"shop"})), SHOPS | TEXT_SHOPS),
        (Purge("live", frozenset({"user", "world"})), USERS | {"world"}),
        (Purge("live", frozenset({"nothing"})), set()),
        (Purge("live", frozenset()), set()),
        (Purge(None, frozenset({"user"})), USERS | DEV),
        (Purge("live", None, {"user": "u1"}), U1 | {"both u1 1", "both u1 2"}),
        (Purge("live", None, {"user": None}), {"user None", "both None 1", "both None 2"}),
        (Purge("live", None, {"user": "u3"}), set()),
        (Purge(None, None, {"user": "u1"}), U1 | {"both u1 1", "both u1 2", "dev user u1"}),
        # each of them agrees with all of the given keys that it uses
        (Purge("live", None, {"user": "u1", "shop": 2}), U1 | {"both u1 2", "shop 2"}),
        (Purge("live", None, {"user": "u1", "shop": "2"}), U1 | {"both u1 2", "shop 2", "text shop 2"}),
        (Purge("live", frozenset({"both"}), {"shop": 1}), {"both u1 1", "both u2 1", "both None 1"}),
        (Purge("live", None, {"shop": "02"}), set()),
        (Purge("live", None, {"shop": True}), set()),
        (Purge("live", None, {"user": 7}), set()),
        (Purge("live", None, {"merchant": 1}), set()),
        (Purge("live", None, {"user": "u2", "merchant": 1}), {"user u2", "both u2 1", "both u2 2"}),
    ],
)
async def test_a_purge_means_what_agrees_with_all_that_it_says(cache: Cache, purge: Purge, gone: set[str]) -> None:
    assert await cache.purger.purge(purge) == len(gone)
    assert cache.gone() == gone
    assert (cache.counters.purges, cache.counters.ingest_purges, cache.counters.purged_fragments) == (1, 0, len(gone))


def means(space: Namespace, values: Mapping[str, Any], purge: Purge) -> bool:
    """The rule, said slowly, of one entry."""
    if purge.workspace not in (None, space.workspace) or (purge.views is not None and space.layout.view not in purge.views):
        return False
    used = values.keys() & purge.join_keys.keys()
    return not purge.join_keys or (bool(used) and all(values[name] == purge.join_keys[name] for name in used))


NAMES, VALUES = st.sampled_from("abc"), st.sampled_from(["x", "y", None])
SPACES = st.builds(
    lambda view, workspace, names: namespace(view, workspace, **dict.fromkeys(names, STRING)),
    st.sampled_from(["v", "w"]),
    st.sampled_from(["live", "dev"]),
    st.lists(NAMES, unique=True, max_size=3),
)
PURGES = st.builds(
    Purge,
    st.sampled_from([None, "live"]),
    st.none() | st.frozensets(st.sampled_from(["v", "w"])),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


@given(SPACES, PURGES, st.data())
def test_any_purge_covers_the_entries_that_the_rule_says(space: Namespace, purge: Purge, data: st.DataObject) -> None:
    namespaces = Namespaces()
    number = namespaces.number(space)
    values = {field.name: data.draw(VALUES) for field in space.join_keys}
    scope = Purger(namespaces, FragmentStore(0), Flights[str](Tasks()), Counters(), Clock()).scope_of(purge)
    key = number, picker(range(len(values)))(tuple(values.values()))
    assert scope.covers(key) == scope.covers((*key, "[1]", None)) == means(space, values, purge)
    # where all join keys are given nothing has to be looked through
    assert not (scope.parts and values and purge.join_keys.keys() >= values.keys())


@pytest.mark.parametrize(
    ("written", "gone"),
    [
        ((Written("live", "user", ("u1",)),), U1),
        ((Written("live", "user", (None,)),), {"user None"}),
        ((Written("live", "user"),), USERS),
        (
            (Written("live", "user", ("u1",)), Written("live", "user", ("u2",)), Written("live", "both", ("u1", 2))),
            U1 | {"user u2", "both u1 2"},
        ),
        ((Written("live", "user", ("u1",)), Written("live", "user")), USERS),
        ((Written("live", "world", ()),), {"world"}),
        ((Written("dev", "user", ("u1",)),), {"dev user u1"}),
        ((Written("live", "nothing", ("u1",)),), set()),
        # keys that do not fit the view as it is read: all of it, rather than too little
        ((Written("live", "user", ("u1", 2)),), USERS),
        ((Written("live", "both", ("u1", "not a number")),), PAIRS),
        ((Written("live", "shop", (1,)),), {"shop 1"} | TEXT_SHOPS),
        (None, LIVE),
    ],
)
async def test_an_ingest_means_what_it_wrote_to(cache: Cache, written: tuple[Written, ...] | None, gone: set[str]) -> None:
    assert await cache.purger.ingested(written, "live") == len(gone)
    assert cache.gone() == gone
    assert (cache.counters.purges, cache.counters.ingest_purges, cache.counters.purged_fragments) == (0, 1, len(gone))


async def test_an_ingest_of_which_nothing_is_known_at_all_means_everything(cache: Cache) -> None:
    assert await cache.purger.ingested(None, None) == len(LIVE | DEV)


async def test_an_ingest_that_wrote_nothing_purges_nothing(cache: Cache) -> None:
    assert await cache.purger.ingested((), "live") == 0
    assert not cache.gone()
    assert cache.counters.ingest_purges == 0
    assert cache.told == []


async def test_an_ingest_goes_by_what_the_origin_calls_a_view_not_by_what_a_service_serves_it_as(cache: Cache) -> None:
    cache.put("as served", cache.key(namespace("served", "live", "user", user=STRING), "u1"))
    cache.put("another user", cache.key(namespace("user", "live", "other", user=STRING), "u1"))
    await cache.purger.ingested((Written("live", "user", ("u1",)),), "live")
    assert cache.gone() == U1 | {"as served"}
    # a purge goes by the name that people know
    await cache.purger.purge(Purge("live", frozenset({"user"}), {"user": "u1"}))
    assert cache.gone() == U1 | {"as served", "another user"}


async def test_a_soft_purge_makes_stale_and_drops_nothing(cache: Cache) -> None:
    assert await cache.purger.purge(Purge("live", frozenset({"user"}), soft=True)) == len(USERS)
    assert not cache.gone()
    fragments = {name: cache.store.lookup(key) for name, key in cache.keys.items()}
    assert {name for name, one in fragments.items() if one is not None and one.retired_at == cache.clock()} == USERS


async def test_a_flight_for_what_is_purged_is_passed_by_and_what_it_brings_is_not_kept(cache: Cache) -> None:
    landing = Hold()

    async def fetch() -> Mapping[Key, str]:
        await landing.reach()
        return {}

    mine, other = cache.keys["user u1"], cache.keys["shop 1"]
    lease = cache.store.lease()
    flight = cache.flights.lead([mine, other], ANNE, cache.clock(), lease, fetch())
    await cache.purger.purge(Purge("live", None, {"user": "u1"}))
    assert cache.flights.find(mine, ANNE, granted=True) is None
    assert cache.flights.find(mine, ANNE, granted=False) is None
    assert cache.flights.find(other, ANNE, granted=True) is flight
    for key in (mine, other):
        cache.store.drop(key)
        cache.store.put(key, Fragment.of(timed_out(USER.layout), cache.clock()), lease)
    assert cache.store.lookup(mine) is None
    assert cache.store.lookup(other) is not None
    landing.release()


async def test_other_replicas_are_told_first_and_tell_nobody_else(cache: Cache, tasks: Tasks) -> None:
    purge, written = Purge("live", frozenset({"user"})), (Written("live", "shop"),)
    await cache.purger.purge(purge)
    assert cache.left_when_told == LIVE | DEV
    await cache.purger.ingested(written, "live")
    await cache.purger.ingested(None, "dev")
    assert cache.told == [purge, written, Purge("dev")]
    replica = Cache(tasks)
    replica.fill()
    for change in cache.told:
        await replica.purger.apply(change)
    assert replica.gone() == cache.gone() == USERS | SHOPS | TEXT_SHOPS | DEV
    assert replica.told == []
    assert (replica.counters.purges, replica.counters.ingest_purges) == (0, 0)
    assert replica.counters.purged_fragments == cache.counters.purged_fragments


async def test_what_is_here_goes_even_where_the_others_cannot_be_told(cache: Cache) -> None:
    cache.unreachable = OriginUnavailable("nobody there")
    with pytest.raises(OriginUnavailable):
        await cache.purger.purge(Purge("live"))
    assert cache.gone() == LIVE


async def test_what_means_nothing_here_does_not_disturb_the_store(cache: Cache) -> None:
    lease = cache.store.lease()
    assert await cache.purger.apply(Purge("elsewhere")) == 0
    assert cache.store.lease() == lease
    assert cache.purger.scope_of(Purge("elsewhere")) == Scope()
