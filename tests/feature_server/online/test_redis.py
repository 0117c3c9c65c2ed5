"""What a store in Redis adds to the contract: expiry, trips, slots, faults of the server and of the way to it."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import pytest
import redis
from redis.crc import key_slot

from gateway.errors import OriginError, OriginFailed, OriginUnavailable
from gateway.feature_server.online.base import Batch, Cell, CellChange, CellRead, Event, EventKey, Kind, Part, Retention, StoreMismatch
from gateway.feature_server.online.redis import RedisStore
from gateway.feature_server.online.redis_layout import Keys, write_cell
from gateway.redis_servers import Address
from tests.feature_server.online.contract import Stores, put, redis_factory, whole
from tests.feature_server.online.redis_cases import ANN, ONE_EVENT, TIMEOUT_S, VIEW, opened, quick, reached
from tests.harness.clock import PATIENCE_S, wait_until
from tests.harness.valkey import Valkey, ValkeyCluster


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A server of the test's own, to be treated badly."""
    with Valkey(tmp_path / "own") as server:
        yield server


@pytest.fixture(params=["valkey", "cluster"])
def shared(request: pytest.FixtureRequest) -> Stores:
    cluster = request.param == "cluster"
    return Stores(redis_factory(request.getfixturevalue("valkeys" if cluster else "valkey").url, cluster=cluster))


def living(server: Valkey, cell: Cell = ANN, prefix: str = "fg") -> int:
    """Milliseconds that a cell has to live; -1: for ever; -2: there is none."""
    return int(server.ask("PTTL", Keys(prefix).cell(cell)))


async def test_a_cell_lives_as_long_as_its_last_write_said(own: Valkey) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": ""})
        put(store, {ANN: ONE_EVENT})
        assert living(own) == -1
        put(store, {ANN: CellChange([Event(2, b"", b"p")], retention=Retention(0, 0, 60.0))})
        assert 50_000 < living(own) <= 60_000
        put(store, {ANN: CellChange([Event(3, b"", b"p")])})
        assert 50_000 < living(own) <= 60_000
        put(store, {ANN: CellChange([Event(4, b"", b"p")], retention=Retention(0, 0, None))})
        assert living(own) == -1
        put(store, {ANN: CellChange([], retention=Retention(9, 9, 60.0))})
        assert living(own) == -2
        put(store, {ANN: CellChange([Event(4, b"", b"p")], retention=Retention(0, 0, 1e300))})
        assert living(own) > 10**15


async def test_an_index_forgets_the_cells_that_have_expired(own: Valkey) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": ""})
        brief, long, ever = (Cell(VIEW, key) for key in (b"a brief", b"b long", b"c ever"))
        event = [Event(1, b"", b"p")]
        put(store, {brief: CellChange(event, indexed_under=b"x", retention=Retention(0, 0, 0.001))})
        wait_until(lambda: own.ask("DBSIZE") == 3, "the index expiring with its only cell")  # of this store there are three more keys
        put(store, {brief: CellChange(event, indexed_under=b"x", retention=Retention(0, 0, 0.001))})
        put(store, {long: CellChange(event, indexed_under=b"x", retention=Retention(0, 0, 60.0))})
        wait_until(lambda: living(own, brief) == -2, "a cell expiring")
        assert await store.keys(VIEW, b"x", 1) == [long.join_key]
        keys, expiry = Keys("fg").index(VIEW, b"x")
        assert own.ask("PTTL", keys) > 50_000
        put(store, {ever: CellChange(event, indexed_under=b"x", retention=Retention(0, 0, None))})
        assert (own.ask("PTTL", keys), own.ask("PTTL", expiry)) == (-1, -1)
        assert own.ask("ZRANGE", keys, 0, -1) == [long.join_key, ever.join_key]
        assert await store.keys(VIEW, b"x", 9) == [long.join_key, ever.join_key]


def test_keys_of_one_command_share_a_slot_and_cells_do_not() -> None:
    keys = Keys("fg")
    for partial in (b"", b"}", b"{", b"a}b{c}", b"\xff"):
        first, second = keys.index(VIEW, partial)
        assert key_slot(first) == key_slot(second)
    assert len({key_slot(key) for key in (keys.schema, keys.ids, keys.views)}) == 1
    # Braces, as JSON join keys have, must not gather all cells on one slot
    assert len({key_slot(keys.cell(Cell(VIEW, b'{"user":"%d"}' % number))) for number in range(1_000)}) > 900
    assert keys.join_key(keys.cell(Cell(VIEW, b"a:{b}:c}"))) == b"a:{b}:c}"


@pytest.mark.parametrize("cells", [1, 40])
@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_a_read_is_one_trip_to_each_server(request: pytest.FixtureRequest, kind: str, cells: int) -> None:
    server: Valkey | ValkeyCluster = request.getfixturevalue("valkeys" if kind == "cluster" else "valkey")
    nodes = server.masters if isinstance(server, ValkeyCluster) else [server]
    async with Stores(redis_factory(server.url, cluster=kind == "cluster")) as stores:
        store, ids = stores.open()
        everyone = [Cell(ids["view"], b"%d" % number) for number in range(cells)]
        put(store, dict.fromkeys(everyone, ONE_EVENT), {ids["view"]: 1})
        one, two = (Part(Kind.TILES, 0, 9),), (Part(Kind.TILES, 0, 9), Part(Kind.EVENTS, 0, 9))
        wanted = [CellRead(cell, two if place % 2 else one) for place, cell in enumerate(everyone)]
        await store.read(wanted)  # connections, and which script and slot is where
        with ExitStack() as stack:
            counters = [stack.enter_context(TripCounter(node)) for node in nodes]
            found = await store.read(wanted)
            taken = [counter.taken() for counter in counters]
        assert [parts[0] for parts in found.cells] == [[(1, b"s")]] * cells
        assert max(taken) == 1
        assert sum(taken) <= min(len(nodes), cells + 1)  # each cell's node, and the one that knows the newest timestamps


class TripCounter:
    """How often a server has read from clients: a request of a few kilobytes is one read. Its own question is one too."""

    def __init__(self, server: Valkey) -> None:
        self._client = redis.Redis(port=server.port, single_connection_client=True)

    def __enter__(self) -> Self:
        self._client.ping()
        self._before = self._reads()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def taken(self) -> int:
        return self._reads() - self._before - 1

    def _reads(self) -> int:
        told = self._client.info("stats")
        assert isinstance(told, dict)
        return int(told["total_reads_processed"])


async def test_a_server_that_forgot_the_scripts_is_told_them_again(shared: Stores, valkey: Valkey, valkeys: ValkeyCluster) -> None:
    async with shared:
        store, ids = shared.open()
        cells = [Cell(ids["view"], b"%d" % number) for number in range(9)]
        put(store, dict.fromkeys(cells, ONE_EVENT))
        for server in (valkey, *valkeys.masters):
            server.ask("SCRIPT FLUSH")
        assert [await whole(store, cell) for cell in cells] == [[[(1, b"s")], [(1, b"p")], [(1, b"p")]]] * 9
        put(store, dict.fromkeys(cells, CellChange([Event(2, b"", b"q")])))
        assert (await whole(store, cells[8]))[1] == [(2, b"q"), (1, b"p")]


async def test_two_look_ups_of_a_cell_never_differ(valkey: Valkey) -> None:
    async with Stores(redis_factory(valkey.url, cluster=False)) as stores:
        ours, _ = stores.open()
        theirs, _ = stores.open()
        seen: list[list[bytes | None]] = []

        def work(batch: Batch) -> bytes | None:
            first = batch.payloads([EventKey(ANN, 1, b"")])
            if not seen:
                put(theirs, {ANN: ONE_EVENT})
            seen.append(first)
            assert batch.payloads([EventKey(ANN, 1, b"")]) == first
            return first[0]

        assert ours.write(work) == b"p"
        assert seen == [[None], [b"p"]]


async def test_a_write_sent_again_after_a_lost_answer_is_not_overtaken_by_itself(valkey: Valkey) -> None:
    async with Stores(redis_factory(valkey.url, cluster=False)) as stores:
        store, _ = stores.open()
        assert isinstance(store, RedisStore)
        write = write_cell(store._keys.cell(ANN), b"", b"a token.", ONE_EVENT)
        assert store._told([write, write]) == [1, 1]
        put(store, {ANN: ONE_EVENT})
        assert store._told([write]) == [0]


async def test_a_write_that_is_always_overtaken_gives_up(valkey: Valkey) -> None:
    pauses: list[float] = []
    async with Stores(redis_factory(valkey.url, cluster=False)) as stores:
        theirs, _ = stores.open()
        ours = RedisStore(quick(valkey), prefix=theirs._keys._prefix.decode(), pause=pauses.append)  # type: ignore[attr-defined]

        def work(batch: Batch) -> None:
            batch.payloads([EventKey(ANN, 1, b"")])
            put(theirs, {ANN: ONE_EVENT})
            batch.put({ANN: ONE_EVENT}, {})

        with pytest.raises(OriginUnavailable, match="written by others all the time"):
            ours.write(work)
        assert len(pauses) > 10
        assert max(pauses) <= 0.1
        await ours.aclose()


async def test_another_version_of_the_gateway_is_refused(own: Valkey) -> None:
    own.ask("SET", "fg:{meta}:schema", "0")
    async with opened(quick(own)) as store:
        with pytest.raises(StoreMismatch, match="another version of the gateway"):
            store.prepare({"view": ""})
        assert store.views() == {}


async def test_two_views_of_one_id_are_refused(own: Valkey) -> None:
    own.ask("HSET", "fg:{meta}:ids", VIEW, "something else")
    async with opened(quick(own)) as store:
        with pytest.raises(StoreMismatch, match="same id"):
            store.prepare({"view": ""})


async def test_a_server_that_may_drop_data_is_warned_of_once(own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": ""})
        assert not caplog.records
        own.ask("CONFIG SET", "maxmemory-policy", "allkeys-lru")
        store.prepare({"view": ""})
        (record,) = caplog.records
        assert (record.levelno, "allkeys-lru" in record.getMessage()) == (logging.WARNING, True)


async def test_credentials_and_a_database_number_are_used(own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    own.ask("ACL", "SETUSER", "gateway", "on", ">s3cret/%", "~fg:*", "+@all", "-config")
    address = Address(f"redis://gateway:s3cret%2F%25@127.0.0.1:{own.port}/3")
    async with opened(address) as store:
        store.prepare({"view": ""})  # CONFIG is forbidden, which is no trouble
        put(store, {ANN: ONE_EVENT})
        assert (await whole(store, ANN))[1] == [(1, b"p")]
    assert not caplog.records
    assert own.ask("DBSIZE") == 0
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_a_wrong_password_is_told_and_not_repeated(request: pytest.FixtureRequest, kind: str) -> None:
    server: Valkey | ValkeyCluster = request.getfixturevalue("valkeys" if kind == "cluster" else "valkey")
    url = server.url.replace("//", "//nobody:pl4nted@")
    async with opened(Address(url, kind == "cluster")) as store:
        for fails in (lambda: store.prepare({"view": ""}), store.views):
            with pytest.raises(OriginUnavailable) as told:
                fails()
            assert "pl4nted" not in told.value.message
        with pytest.raises(OriginUnavailable):
            await store.ready()


@pytest.mark.parametrize("url", ["http://host", "redis://:pl4n/ted@host:1", "host:6379", "redis://host:port"])
def test_a_url_that_is_none_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="not a redis://, rediss:// or unix:// URL") as told:
        Address(url)
    assert "pl4n" not in str(told.value)
    assert told.value.__suppress_context__


@pytest.mark.parametrize("url", ["redis://host/1", "unix:///run/valkey.sock"])
def test_a_cluster_has_neither_databases_nor_unix_sockets(url: str) -> None:
    Address(url)
    with pytest.raises(ValueError, match="neither"):
        Address(url, cluster=True)


@pytest.mark.parametrize("prefix", ["", "a{b}", "a*", "a b", "x" * 65])
def test_a_prefix_that_would_not_be_matched_literally_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        RedisStore(Address("redis://host"), prefix=prefix)


async def test_data_of_another_kind_is_the_stores_failure(own: Valkey) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": ""})
        own.ask("SET", Keys("fg").cell(ANN), "s3cret")
        with pytest.raises(OriginFailed) as told:
            put(store, {ANN: ONE_EVENT})
        assert told.value.__cause__ is None
        with pytest.raises(OriginFailed):
            store.trim([ANN], Retention(0, 0, None))
        with pytest.raises(OriginFailed) as told:
            await whole(store, ANN)
        assert "ann" not in told.value.message


async def test_without_memory_a_write_is_refused_whole_and_reads_go_on(own: Valkey) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": ""})
        put(store, {ANN: ONE_EVENT})
        own.ask("CONFIG SET", "maxmemory", "1")
        with pytest.raises(OriginUnavailable, match=r"OutOfMemory|OOM"):
            put(store, {ANN: CellChange([Event(1, b"", b"new")], {1: None})})
        assert await whole(store, ANN) == [[(1, b"s")], [(1, b"p")], [(1, b"p")]]
        store.trim([ANN], Retention(9, 9, None))  # which makes room
        assert living(own) == -2
        own.ask("CONFIG SET", "maxmemory", "0")
        put(store, {ANN: ONE_EVENT})


async def test_a_server_that_hangs_costs_no_more_than_the_timeouts(own: Valkey) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": ""})
        put(store, {ANN: ONE_EVENT})
        assert (await whole(store, ANN))[0] == [(1, b"s")]
        own.pause()
        cells = [Cell(VIEW, b"%d" % number) for number in range(50)]
        started = monotonic()
        with pytest.raises(OriginUnavailable):
            await whole(store, ANN)
        with pytest.raises(OriginUnavailable):
            put(store, dict.fromkeys(cells, ONE_EVENT))
        assert monotonic() - started < 2 * 2 * TIMEOUT_S + 1
        own.resume()
        assert (await whole(store, ANN))[0] == [(1, b"s")]
        put(store, dict.fromkeys(cells, ONE_EVENT))


async def test_a_read_that_waits_for_a_connection_waits_no_longer_than_the_timeouts(own: Valkey) -> None:
    async with opened(Address(own.url, connect_timeout_s=0.1, command_timeout_s=TIMEOUT_S, connections=1)) as store:
        store.prepare({"view": ""})
        await whole(store, ANN)
        own.pause()
        started = monotonic()
        outcomes = await asyncio.gather(*(whole(store, ANN) for _ in range(5)), return_exceptions=True)
        assert monotonic() - started < 2 * TIMEOUT_S
        assert {type(one) for one in outcomes} == {OriginUnavailable}
        own.resume()
        assert await whole(store, ANN) == [[], [], []]


async def test_a_read_that_is_given_up_leaves_no_answer_for_the_next(own: Valkey) -> None:
    async with opened(Address(own.url, connections=1)) as store:
        store.prepare({"view": ""})
        cells = [Cell(VIEW, b"%d" % number) for number in range(30)]
        put(store, {cell: CellChange([Event(1, b"", cell.join_key)]) for cell in cells})
        for cell in cells:
            own.pause()
            given_up = asyncio.gather(whole(store, cells[0]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            given_up.cancel()
            own.resume()
            assert (await whole(store, cell))[1] == [(1, cell.join_key)]
            with pytest.raises(asyncio.CancelledError):
                await given_up


async def test_reads_beyond_the_connections_wait_their_turn(own: Valkey) -> None:
    async with opened(Address(own.url, connections=3, command_timeout_s=5)) as store:
        store.prepare({"view": ""})
        put(store, {ANN: ONE_EVENT})
        answers = await asyncio.gather(*(whole(store, ANN) for _ in range(200)))
        assert answers == [[[(1, b"s")], [(1, b"p")], [(1, b"p")]]] * 200
        assert int(own.info("clients", "connected_clients")) <= 3 + 1 + 1  # the writer's, and the one that asks


async def test_a_server_that_comes_back_empty_is_told_of_the_views_again(own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(quick(own)) as store:
        store.prepare({"view": "described"})
        put(store, {ANN: ONE_EVENT})
        await whole(store, ANN)
        own.kill()
        for _ in range(3):
            with pytest.raises(OriginUnavailable):
                await store.ready()
            with pytest.raises(OriginUnavailable):
                put(store, {ANN: ONE_EVENT})
        own.start()
        put(store, {ANN: ONE_EVENT})  # ids are what they were, so nothing written meanwhile is lost
        assert store.views() == {}
        await store.ready()
        await store.ready()
        assert store.views() == {"view": "described"}
        assert (await whole(store, ANN))[1] == [(1, b"p")]
        assert [record.getMessage() for record in caplog.records if "emptied" in record.getMessage()] == [caplog.records[-1].getMessage()]


async def test_a_closed_store_answers_no_more_and_keeps_nobody_waiting(own: Valkey) -> None:
    async with opened(Address(own.url, command_timeout_s=PATIENCE_S)) as store:
        store.prepare({"view": ""})
        await whole(store, ANN)
        own.pause()
        outcome: list[Exception] = []

        def write() -> None:
            try:
                put(store, {ANN: ONE_EVENT})
            except OriginError as error:
                outcome.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        await reached(lambda: len(asyncio.all_tasks(store._thread._loop)) > 1, "the write under way")
        await store.aclose()
        writer.join(PATIENCE_S)
        assert [type(error) for error in outcome] == [OriginUnavailable]
        own.resume()
        with pytest.raises(OriginUnavailable, match="closed"):
            await whole(store, ANN)
        with pytest.raises(OriginUnavailable, match="closed"):
            store.views()
        store.close()


async def test_a_store_may_be_closed_on_the_loop_that_reads(own: Valkey) -> None:
    store = RedisStore(quick(own))
    store.prepare({"view": ""})
    await whole(store, ANN)
    store.close()
    await reached(lambda: own.info("clients", "connected_clients") == "1", "the connections closing")  # but the one that asks


def test_each_event_loop_has_connections_of_its_own(own: Valkey) -> None:
    store = RedisStore(quick(own))
    store.prepare({"view": ""})
    put(store, {ANN: ONE_EVENT})

    async def read() -> None:
        assert (await whole(store, ANN))[1] == [(1, b"p")]

    with asyncio.Runner() as one, asyncio.Runner() as two:
        for runner in (one, two, one, two):
            runner.run(read())
        store.close()  # while neither runs
