"""Every online store there is, empty, for tests that run over all of them; and a plain-dict model of what a store keeps."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from gateway.feature_server.online.base import BLOCKS_END, Cell, CellChange, CellRead, Found, Kind, OnlineStore, Part, Retention, Rows
from gateway.feature_server.online.redis import RedisStore
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.redis_servers import Address
from tests.harness.valkey import Valkey, ValkeyCluster

KINDS = ("sqlite", "valkey", "cluster")
FIRST, END = -(2**63), 2**63 - 1
ALL = (Part(Kind.TILES, FIRST, END), Part(Kind.EVENTS, FIRST, END), Part(Kind.NEWEST, FIRST, END))
_prefixes = (f"test{number}" for number in count())


def sqlite_factory(folder: Path) -> Callable[[], OnlineStore]:
    return lambda: SqliteStore(folder / "features.db")


def redis_factory(url: str, *, cluster: bool) -> Callable[[], RedisStore]:
    """Stores with a prefix of their own, so that tests share a server."""
    prefix = next(_prefixes)
    return lambda: RedisStore(Address(url, cluster, command_timeout_s=5), prefix=prefix)


class Stores:
    """As many stores over the same data as a test opens, as so many processes would."""

    def __init__(self, factory: Callable[[], OnlineStore]) -> None:
        self._factory = factory
        self._opened: list[OnlineStore] = []

    def open(self, views: Mapping[str, str] | None = None) -> tuple[OnlineStore, Mapping[str, int]]:
        store = self._factory()
        self._opened.append(store)
        return store, store.prepare({"view": "of a view", "other": "of another"} if views is None else views)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """From a thread: what is open here belongs to this loop."""
        for store in self._opened:
            await asyncio.get_running_loop().run_in_executor(None, store.close)


def empty_stores(kind: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Stores:
    if kind == "sqlite":
        return Stores(sqlite_factory(folders.mktemp("store")))
    server: Valkey | ValkeyCluster = request.getfixturevalue("valkey" if kind == "valkey" else "valkeys")
    return Stores(redis_factory(server.url, cluster=kind == "cluster"))


def put(store: OnlineStore, changes: Mapping[Cell, CellChange], newest: Mapping[int, int] | None = None) -> None:
    store.write(lambda batch: batch.put(changes, newest or {}))
    if not store.forgets:
        for cell, change in changes.items():
            if change.retention is not None:
                store.trim([cell], change.retention)


async def part(store: OnlineStore, cell: Cell, wanted: Part) -> Rows:
    found = await store.read([CellRead(cell, (wanted,))])
    return found.cells[0][0]


async def whole(store: OnlineStore, cell: Cell) -> Sequence[Rows]:
    """Its tiles, its events, its newest event."""
    return (await store.read([CellRead(cell, ALL)])).cells[0]


@dataclass
class ModelCell:
    events: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    tiles: dict[int, bytes] = field(default_factory=dict)

    def change(self, change: CellChange) -> None:
        self.events |= {(at_ns, identity): payload for at_ns, identity, payload in change.events}
        for number, states in change.tiles.items():
            if states is None:
                self.tiles.pop(number, None)
            else:
                self.tiles[number] = states
        if change.retention is not None:
            self.trim(change.retention)

    def trim(self, retention: Retention) -> None:
        self.events = {key: payload for key, payload in self.events.items() if key[0] >= retention.oldest_ns}
        kept = {number: states for number, states in self.tiles.items() if number < BLOCKS_END or number >= retention.oldest_tile}
        self.tiles = kept

    def rows(self, wanted: Part) -> Rows:
        if wanted.kind is Kind.TILES:
            return sorted(((one, states) for one, states in self.tiles.items() if wanted.first <= one < wanted.end), reverse=True)
        within = sorted((key for key in self.events if wanted.first <= key[0] < wanted.end), reverse=True)
        rows = [(key[0], self.events[key]) for key in within]
        return rows[:1] if wanted.kind is Kind.NEWEST else rows


class Model:
    def __init__(self) -> None:
        self.cells: dict[Cell, ModelCell] = {}
        self.newest: dict[int, int] = {}
        self.index: dict[tuple[int, bytes], set[bytes]] = {}

    def put(self, changes: Mapping[Cell, CellChange], newest: Mapping[int, int]) -> None:
        for cell, change in changes.items():
            self.cells.setdefault(cell, ModelCell()).change(change)
            if change.indexed_under is not None:
                self.index.setdefault((cell.view, change.indexed_under), set()).add(cell.join_key)
        for view, at_ns in newest.items():
            self.newest[view] = max(at_ns, self.newest.get(view, at_ns))

    def read(self, wanted: Sequence[CellRead]) -> Found:
        empty = ModelCell()
        views = {one.cell.view for one in wanted}
        return Found(
            [[self.cells.get(one.cell, empty).rows(part) for part in one.parts] for one in wanted],
            {view: at_ns for view, at_ns in self.newest.items() if view in views},
        )


def scanned(store: OnlineStore, view: int, limit: int) -> set[bytes]:
    return {key for keys in store.scan(view, limit) for key in keys}


def numbered(cells: int, view: int) -> Iterator[Cell]:
    return (Cell(view, f"cell {number}".encode()) for number in range(cells))
