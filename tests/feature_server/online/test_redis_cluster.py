"""A store in a cluster whose slots move and whose masters die."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from redis.crc import key_slot

from gateway import redis_servers
from gateway.errors import OriginError, OriginUnavailable
from gateway.feature_server.online.base import Batch, Cell, CellChange, CellRead, Event, Kind, Part, Rows
from gateway.feature_server.online.redis import RedisStore
from gateway.feature_server.online.redis_layout import Keys
from tests.feature_server.online.contract import put, whole
from tests.feature_server.online.redis_cases import ANN, ONE_EVENT, TIMEOUT_S, VIEW, opened, quick, reached
from tests.harness.clock import PATIENCE_S
from tests.harness.valkey import Valkey, valkey_cluster


@pytest.mark.slow
async def test_slots_that_move_to_a_new_server_are_followed_and_so_is_a_cluster_that_was_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_servers, "_REFRESH_PAUSE_S", 0.0)
    with valkey_cluster(tmp_path, spare=1) as cluster:
        async with opened(quick(cluster)) as store:
            store.prepare({"view": ""})
            put(store, {ANN: ONE_EVENT})
            await whole(store, ANN)
            key = Keys("fg").cell(ANN)
            slot, source, target = key_slot(key), cluster.master_of(key), cluster.spare[0]
            names = {server: server.ask("CLUSTER", "MYID").decode() for server in (source, target)}
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
            source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5_000)
            assert (await whole(store, ANN))[1] == [(1, b"p")]
            put(store, {ANN: CellChange([Event(2, b"", b"q")])})
            for server in (target, source):
                server.ask("CLUSTER", "SETSLOT", slot, "NODE", names[target])
            assert (await whole(store, ANN))[1] == [(2, b"q"), (1, b"p")]
            put(store, {ANN: CellChange([Event(3, b"", b"r")])})
            for server in cluster.servers:
                server.kill()
            for _ in range(2):
                with pytest.raises(OriginUnavailable):
                    await whole(store, ANN)
                with pytest.raises(OriginUnavailable):
                    store.views()
                with pytest.raises(OriginUnavailable):
                    list(store.scan(VIEW, 9))
            for server in cluster.servers:
                server.start()
            cluster.wait()
            assert await whole(store, ANN) == [[], [], []]
            put(store, {ANN: ONE_EVENT})


@pytest.mark.slow
@pytest.mark.parametrize("strike", [Valkey.kill, Valkey.pause])
async def test_reads_and_writes_outlive_a_master_that_dies_or_hangs(tmp_path: Path, strike: Callable[[Valkey], None]) -> None:
    with valkey_cluster(tmp_path, replicas=1) as cluster:
        victim = cluster.masters[0]
        async with opened(quick(cluster)) as store:
            store.prepare({"view": ""})
            cells = [Cell(VIEW, b"%d" % number) for number in range(30)]
            struck = {cell for cell in cells if cluster.master_of(Keys("fg").cell(cell)) is victim}
            assert 0 < len(struck) < len(cells)
            writing = Writing(store, cells)
            reading = Reading(store, cells)
            reader = asyncio.gather(reading.run())
            thread = threading.Thread(target=writing.run)
            thread.start()
            try:
                await reached(lambda: writing.done > 20 and reading.done > 20, "reads and writes")
                strike(victim)
                await reached(lambda: bool(writing.errors and reading.errors), "both failing")
                await reached(lambda: cluster.replicas[0].info("replication", "role") == "master", "the failover")
                was = writing.done, reading.done
                await reached(lambda: writing.done > was[0] + 20 and reading.done > was[1] + 20, "both going on")
            finally:
                writing.stop = reading.stop = True
                thread.join(PATIENCE_S)
                await reader
            assert {type(error) for error in (*writing.errors, *reading.errors)} == {OriginUnavailable}
            assert max(writing.slowest_s, reading.slowest_s) < 4 * TIMEOUT_S + 1
            for cell in set(cells) - struck:
                kept = {payload for _, payload in (await whole(store, cell))[1]}
                assert writing.acknowledged[cell] <= kept
            for cell in cells:
                tiles, events, _ = await whole(store, cell)
                assert consistent(tiles, events)


def consistent(tiles: Rows, events: Rows) -> bool:
    """Whether the tile is made of the events; a cell that nothing was written to yet has neither."""
    return sorted(tiles[0][1].split() if tiles else []) == sorted(payload for _, payload in events)


class Writing:
    """Writes one event after another to each cell, and to its tile what its events are."""

    def __init__(self, store: RedisStore, cells: list[Cell]) -> None:
        self._store, self._cells = store, cells
        self.stop, self.done, self.slowest_s = False, 0, 0.0
        self.errors: list[Exception] = []
        self.acknowledged: dict[Cell, set[bytes]] = {cell: set() for cell in cells}

    def run(self) -> None:
        number = 0
        while not self.stop:
            number += 1
            cell, mark = self._cells[number % len(self._cells)], b"%d" % number
            started = monotonic()
            try:
                self._store.write(lambda batch: self._work(batch, cell, number, mark))  # noqa: B023 - called at once
                self.acknowledged[cell].add(mark)
                self.done += 1
            except OriginError as error:
                self.errors.append(error)
            self.slowest_s = max(self.slowest_s, monotonic() - started)

    def _work(self, batch: Batch, cell: Cell, number: int, mark: bytes) -> None:
        (events,) = batch.events([(cell, 0, 2**62)])
        marks = {event.payload for event in events} | {mark}
        batch.put({cell: CellChange([Event(number, b"", mark)], {1: b" ".join(sorted(marks))})}, {VIEW: number})


class Reading:
    def __init__(self, store: RedisStore, cells: list[Cell]) -> None:
        self._store, self._cells = store, cells
        self.stop, self.done, self.slowest_s = False, 0, 0.0
        self.errors: list[Exception] = []

    async def run(self) -> None:
        wanted = [CellRead(cell, (Part(Kind.TILES, 0, 9), Part(Kind.EVENTS, 0, 2**62))) for cell in self._cells]
        while not self.stop:
            started = monotonic()
            try:
                found = await self._store.read(wanted)
            except OriginError as error:
                self.errors.append(error)
            else:
                self.done += 1
                for tiles, events in found.cells:  # each cell as it was at one instant
                    assert consistent(tiles, events)
            self.slowest_s = max(self.slowest_s, monotonic() - started)
