"""One write to the Redis store: look-ups that note each cell's version, then one script per changed cell that compares it."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.feature_server.online import redis_layout as layout
from gateway.feature_server.online.base import Cell, CellChange, Event, EventKey, TileKey
from gateway.feature_server.online.redis_layout import Command, Keys

Limits = tuple[bytes, bytes]
_VERSIONS = (b"[" + layout.VERSION, b"(" + bytes([layout.VERSION[0] + 1]))


class Overtaken(Exception):
    """Somebody else wrote one of the cells meanwhile."""


class RedisBatch:
    """`told` makes one trip. A version is a random token, not a count: a cell that was removed and made anew is another one."""

    def __init__(self, told: Callable[[Sequence[Command]], list[Any]], keys: Keys) -> None:
        self._told = told
        self._keys = keys
        self._seen: dict[Cell, bytes] = {}
        self._changes: Mapping[Cell, CellChange] = {}
        self._newest: Mapping[int, int] = {}

    def payloads(self, wanted: Sequence[EventKey]) -> list[bytes | None]:
        ranges = [layout.beginning(layout.begin(layout.EVENT, key.at_ns, key.identity)) for key in wanted]
        found = self._look_up([key.cell for key in wanted], ranges, 1)
        return [layout.event_of(members[0])[2] if members else None for members in found]

    def tiles(self, wanted: Sequence[TileKey]) -> list[bytes | None]:
        prefixes = [layout.begin(layout.TILE, key.tile, None) for key in wanted]
        found = self._look_up([key.cell for key in wanted], [layout.beginning(prefix) for prefix in prefixes], 1)
        return [members[0][len(prefix) :] if members else None for prefix, members in zip(prefixes, found, strict=True)]

    def events(self, wanted: Sequence[tuple[Cell, int, int]]) -> list[list[Event]]:
        ranges = [layout.limits(layout.EVENT, first_ns, end_ns) for _, first_ns, end_ns in wanted]
        found = self._look_up([cell for cell, _, _ in wanted], ranges, -1)
        return [[Event(*layout.event_of(member)) for member in reversed(members)] for members in found]

    def _look_up(self, cells: Sequence[Cell], ranges: Sequence[Limits], count: int) -> list[list[bytes]]:
        """The members in each range of each cell, newest first. One script reads all of a cell and its version with it, at one instant, so
        a write that comes between this and `apply`, or between two look-ups, cannot stay unnoticed."""
        places: dict[Cell, list[int]] = {}
        for index, cell in enumerate(cells):
            places.setdefault(cell, []).append(index)
        commands = []
        for cell, indices in places.items():
            asked: list[bytes | int] = [*_VERSIONS, 1]
            for index in indices:
                asked += (*ranges[index], count)
            commands.append(Command(layout.READ, (self._keys.cell(cell),), tuple(asked)))
        found: list[list[bytes]] = [[] for _ in cells]
        for (cell, indices), (versions, *members) in zip(places.items(), self._told(commands), strict=True):
            version = versions[0] if versions else b""
            if self._seen.setdefault(cell, version) != version:
                raise Overtaken
            for index, some in zip(indices, members, strict=True):
                found[index] = some
        return found

    def put(self, changes: Mapping[Cell, CellChange], newest: Mapping[int, int]) -> None:
        self._changes, self._newest = changes, newest

    def apply(self) -> Mapping[int, int]:
        """What was put, after the work has ended well. What is returned is left to be told: `put`'s `newest`. Raises Overtaken where a
        cell was written meanwhile; the others are written then all the same."""
        token = os.urandom(8)
        writes = [layout.write_cell(self._keys.cell(cell), self._seen.get(cell), token, change) for cell, change in self._changes.items()]
        replies = self._told([*self._index(), *writes])
        if 0 in replies:
            raise Overtaken
        return self._newest

    def _index(self) -> list[Command]:
        """Under each part of a join key the whole ones. Told before the cells: what is acknowledged can be found."""
        indexed: dict[tuple[bytes, bytes], list[bytes | str]] = {}
        for cell, change in self._changes.items():
            if change.indexed_under is not None:
                words = indexed.setdefault(self._keys.index(cell.view, change.indexed_under), [])
                words += (cell.join_key, layout.life(change.retention))
        return [Command(layout.INDEX, keys, tuple(words)) for keys, words in indexed.items()]
