"""A shared cache that hangs, dies, comes back empty or goes deaf costs its deadline at most, and nobody is served what was purged."""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from gateway.cache.fragments import Fragment
from gateway.cache.shared.layout import Keys
from gateway.cache.sharing import EVERYTHING_STALE
from gateway.features import Purge, Written
from tests.cache.replicas import ANN, TERMS, VALUES, Replica, named, replica, stem_of, until
from tests.harness.valkey import Valkey, ValkeyCluster

WRITE = Written("prod", "users@1", ("ann",))
DEADLINE_S = 0.05
LATE_S = 2.0
"""Far beyond the deadline, far below the time that everything else has: what took less was ended by the deadline."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A server of the test's own, to be treated badly."""
    with Valkey(tmp_path / "own") as server:
        yield server


async def lose(one: Replica, times: int) -> None:
    """So many look-ups, in vain."""
    for _ in range(times):
        assert await one.shared.lookup([ANN]) == [None]


async def test_a_hanging_server_costs_the_deadline_and_after_five_times_nothing(own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    async with replica(own, "t", deadline_s=DEADLINE_S) as one:
        await one.shared.lookup([ANN])
        own.pause()
        began_s = monotonic()
        await lose(one, 5)
        assert 5 * DEADLINE_S * 0.9 < monotonic() - began_s < LATE_S
        assert one.counters.shared_failures == 5
        await lose(one, 100)
        assert one.counters.shared_failures == 5
        assert one.counters.shared_misses == 106
        one.pauses.advance(1.0)
        await lose(one, 10)
        assert one.counters.shared_failures == 6
        own.resume()
        await one.idle()
        one.pauses.advance(1.0)
        assert await one.find() is None
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
        await one.share()
        assert await one.find() is not None


async def test_a_process_that_was_held_up_takes_the_answer_that_came_meanwhile(own: Valkey) -> None:
    async with replica(own, "t", deadline_s=DEADLINE_S) as one:
        await one.share()
        own.pause()
        asking = [asyncio.create_task(one.find()) for _ in range(8)]
        await asyncio.sleep(DEADLINE_S / 2)  # they have asked
        own.resume()
        time.sleep(2 * DEADLINE_S)  # noqa: ASYNC251 - held up, and answered meanwhile
        assert all(found is not None for found in await asyncio.gather(*asking))
        assert one.counters.shared_failures == 0


async def test_a_look_up_of_many_names_pays_the_deadline_once(own: Valkey) -> None:
    async with replica(own, "t", deadline_s=DEADLINE_S) as one:
        own.pause()
        assert await one.shared.lookup([ANN] * 1_000) == [None] * 1_000
        own.resume()
        assert (one.counters.shared_failures, one.counters.shared_misses) == (1, 1_000)


async def test_what_is_looked_up_in_one_turn_goes_in_one_trip_and_each_has_its_own_answer(own: Valkey) -> None:
    names = [named(str(number)) for number in range(40)]
    async with replica(own, "t") as one:
        for name in names[::3]:
            await one.share(name)
        calls = own.calls("evalsha")
        told = await asyncio.gather(*[one.shared.lookup(names[place : place + 2]) for place in range(0, 40, 2)])
        assert own.calls("evalsha") == calls + 2  # the generations, and all entries
        assert [seen is not None and seen.found is not None for some in told for seen in some] == [place % 3 == 0 for place in range(40)]
        assert [seen.name for some in told for seen in some if seen is not None] == names
        assert one.counters.shared_failures == 0


async def test_a_look_up_after_one_that_was_ended_before_it_began_makes_a_trip_of_its_own(own: Valkey) -> None:
    async with replica(own, "t", deadline_s=DEADLINE_S) as one:
        first = asyncio.create_task(one.shared.lookup([ANN]))
        await asyncio.sleep(0)  # it waits for a trip that has not begun
        await one.tasks.aclose()
        assert await first == [None]
        assert await asyncio.wait_for(one.shared.lookup([ANN]), LATE_S) != [None]


async def test_no_trip_holds_the_server_for_long(own: Valkey) -> None:
    async with replica(own, "t") as one:
        await one.look()
        calls = own.calls("evalsha")
        told = await asyncio.gather(*[one.shared.lookup([ANN] * 200) for _ in range(3)])
        assert own.calls("evalsha") == calls + 6
        assert all(seen is not None for some in told for seen in some)


async def test_connections_outlive_answers_that_come_too_late(own: Valkey) -> None:
    async with replica(own, "t", deadline_s=DEADLINE_S) as one:
        await one.share()
        opened = own.info("stats", "total_connections_received")
        own.pause()
        await lose(one, 1)
        own.resume()
        await one.idle()
        assert await one.find() is not None
        assert int(own.info("stats", "total_connections_received")) == int(opened) + 1  # that of who asks


async def test_a_server_that_died_is_a_miss_and_one_that_came_back_begins_anew(own: Valkey) -> None:
    async with replica(own, "t") as one:
        await one.share()
        own.kill()
        await lose(one, 5)
        own.start()
        await lose(one, 1)
        one.pauses.advance(1.0)
        assert await one.find() is None
        await one.share()
        assert await one.find() is not None


async def test_nothing_listens_there(tmp_path: Path) -> None:
    with Valkey(tmp_path / "own") as server:
        server.kill()
        async with replica(server, "t") as one:
            await lose(one, 6)
            assert one.counters.shared_failures == 5
            assert not await one.shared.invalidate([WRITE])


async def test_what_waits_to_be_stored_is_lost_with_the_server_and_no_more_is_taken(own: Valkey) -> None:
    async with replica(own, "t") as one:
        seen = await one.look()
        own.kill()
        await one.share(seen=seen)
        assert one.counters.shared_failures == 1
        await lose(one, 4)
        await one.idle()
        one.shared.store(seen, Fragment.of(VALUES, seen.at_s, TERMS))
        assert one.counters.shared_drops == 1
        assert not one.tasks._running


async def test_a_caller_that_goes_away_takes_nothing_from_those_who_asked_with_it_and_says_nothing_of_the_server(own: Valkey) -> None:
    async with replica(own, "t") as one:
        await one.share()
        own.pause()
        going, staying = (asyncio.create_task(one.find()) for _ in range(2))
        await asyncio.sleep(DEADLINE_S)  # they have asked
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        own.resume()
        assert await staying is not None
        assert one.counters.shared_failures == 0


async def test_whatever_else_goes_wrong_is_a_miss_and_told_in_the_log(own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    async with replica(own, "t") as one:
        one.shared._clock = lambda: 1 / 0
        assert await one.shared.lookup([ANN]) == [None]
        assert "ZeroDivisionError" in caplog.text


async def test_a_purge_that_cannot_be_told_is_kept_and_believed_here_at_once(own: Valkey) -> None:
    other_view = named("ann", stem=stem_of("shop"))
    async with replica(own, "t", timeout_s=0.3) as one, replica(own, "t") as other:
        for name in (ANN, named("bob"), other_view):
            await one.share(name, age_s=5.0)
        await other.hear()
        own.pause()
        delivery = one.shared.invalidate([WRITE])
        queued = one.shared.invalidate([Purge("prod", frozenset({"shop"}))])
        assert not await delivery
        assert not await queued
        assert one.counters.shared_failures >= 1
        own.resume()
        assert await one.find() is None
        assert await one.find(other_view) is None
        assert await one.find(named("bob")) is not None
        assert not await one.shared.invalidate([WRITE])  # Redis would take it, and is not asked so soon
        one.pauses.advance(1.0)
        await one.hear()
        await until(lambda: WRITE in other.heard and Purge("prod", frozenset({"shop"})) in other.heard, "the others being told")
        await until(lambda: not one.shared._owed, "nothing being owed")
        assert await other.find() is None
        assert await other.find(other_view) is None
        await other.share()
        assert await one.find() is not None


async def test_a_purge_under_way_is_believed_here_before_it_is_told(own: Valkey) -> None:
    async with replica(own, "t") as one:
        await one.share(age_s=5.0)
        own.pause()
        delivery = one.shared.invalidate([WRITE])
        looking = asyncio.gather(one.shared.lookup([ANN]))
        own.resume()
        [[seen]] = await looking
        assert seen is None or seen.found is None
        assert await delivery
        assert await one.find() is None


async def test_purges_that_come_while_one_is_told_go_together(own: Valkey) -> None:
    async with replica(own, "t") as one, replica(own, "t") as other:
        await other.hear()
        told = [Written("prod", "users@1", (f"user {number}",)) for number in range(50)]
        assert all(await asyncio.gather(*[one.shared.invalidate([write]) for write in told]))
        await until(lambda: len(other.heard) == 51, "all being heard")
        assert other.heard == [EVERYTHING_STALE, *told]
        assert own.calls("publish") < 10


async def test_who_was_cut_off_hears_that_something_may_have_been_missed(own: Valkey) -> None:
    async with replica(own, "t") as one, replica(own, "t") as other:
        await one.hear()
        await until(lambda: bool(own.ask("PUBSUB", "CHANNELS")), "it being subscribed")
        own.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: len(one.heard) == 2, "it being subscribed again")
        await other.shared.invalidate([WRITE])
        await until(lambda: len(one.heard) == 3, "the purge being heard")
        assert one.heard == [EVERYTHING_STALE, EVERYTHING_STALE, WRITE]


@dataclass(frozen=True, slots=True)
class Somewhere:
    url: str


async def test_who_hears_no_sign_of_life_takes_itself_for_deaf() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say that it is subscribed, and nothing after that."""
        connections.append(writer)
        await reader.read(1)
        writer.write(b"+OK\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with replica(Somewhere(f"redis://127.0.0.1:{port}"), "t", pulse_s=0.01) as one:
            await one.hear()
            await until(lambda: len(one.heard) == 3, "it subscribing again and again")
            assert len(connections) >= 3


async def test_whatever_else_goes_wrong_on_the_bus_it_is_listened_to_again(caplog: pytest.LogCaptureFixture) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"+OK\r\n:1\r\n")  # a number, where a message is
        await reader.read()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with replica(Somewhere(f"redis://127.0.0.1:{port}"), "t") as one:
            await one.hear()
            await until(lambda: len(one.heard) == 3, "it subscribing again and again")
    assert "TypeError" in caplog.text


async def test_a_quiet_bus_stays_the_same(own: Valkey) -> None:
    async with replica(own, "t", pulse_s=0.01) as one:
        await one.hear()
        pings = own.calls("ping")
        await until(lambda: own.calls("ping") > pings + 5, "signs of life")
        assert one.heard == [EVERYTHING_STALE]


async def test_a_server_that_comes_back_is_listened_to_again(own: Valkey) -> None:
    async with replica(own, "t") as one, replica(own, "t") as other:
        await one.hear()
        own.kill()
        own.start()
        await until(lambda: len(one.heard) == 2, "it being subscribed again")
        assert await other.shared.invalidate([WRITE])
        await until(lambda: len(one.heard) == 3, "the purge being heard")


async def test_one_hanging_server_of_a_cluster_costs_the_deadline(valkeys: ValkeyCluster) -> None:
    keys = Keys("hanging")
    hanging = next(server for server in valkeys.masters if server is not valkeys.master_of(keys.generations))
    name = next(name for name in map(named, map(str, range(1_000))) if valkeys.master_of(keys.base(name.base)) is hanging)
    async with replica(valkeys, "hanging", deadline_s=DEADLINE_S, timeout_s=0.3) as one:
        warm = await one.shared.lookup([name])
        assert warm == [None] or warm[0] is not None
        hanging.pause()
        try:
            began_s = monotonic()
            assert await one.shared.lookup([name]) == [None]
            assert monotonic() - began_s < LATE_S
            assert not await one.shared.invalidate([Written("prod", "users@1", (name_value(name),))])
        finally:
            hanging.resume()
        valkeys.wait()
        await until_found(one)


async def test_what_other_servers_of_the_cluster_have_does_not_wait_for_one_that_hangs(valkeys: ValkeyCluster) -> None:
    """Also where both are looked for in one turn of the event loop."""
    keys = Keys("beside")
    well = valkeys.master_of(keys.generations)
    hanging = next(server for server in valkeys.masters if server is not well)
    there, lost = (
        next(name for name in map(named, map(str, range(1_000))) if valkeys.master_of(keys.base(name.base)) is server)
        for server in (well, hanging)
    )
    async with replica(valkeys, "beside", timeout_s=0.3) as one:
        await one.shared.lookup([there, lost])
        await one.share(there)
        hanging.pause()
        try:
            looking = asyncio.create_task(one.shared.lookup([lost]))
            assert await one.find(there) is not None
            assert not looking.done()
            assert await looking == [None]
        finally:
            hanging.resume()
        valkeys.wait()


def name_value(name: object) -> str:
    return next(str(number) for number in range(1_000) if named(str(number)) == name)


async def until_found(one: Replica) -> None:
    """Its trips find their way again, and what is stored is found."""
    for _ in range(1_000):
        one.pauses.advance(1.0)
        (seen,) = await one.shared.lookup([ANN])
        if seen is not None and seen.found is not None:
            return
        if seen is not None:
            await one.share(seen=seen)
        await asyncio.sleep(0.01)
    raise AssertionError("the cluster is back, and the cache is not")
