"""The algebra of time windows: events → tile states → window values; and of attributes, which are the newest event's. Pure: no clock.

A view's time is cut into tiles of the grid. Tile t holds the events of [t·grid, (t+1)·grid). A window of length w that ends at an instant
covers [end - w, end), half open: an event exactly at the end is not yet inside. Where windows end at whole tiles (`interval`), a read at
`at` ends at the last one: end = floor(at). Where they are continuous, end = at, and the window is its whole tiles and the raw events of the
two tiles it cuts. Windows of one slot nest: one pass over the tiles, newest first, gives each window as the one before it merged with the
tiles that it has and the smaller one had not.

A window over all time reads blocks: tiles of a coarser kind, `BLOCK_TILES` of the grid each, and fine tiles where the last block is cut.

Nulls are ignored by every aggregation: a window without a value of its column is "no data", for counts as well. An attribute is as its
event has it: null is a value.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from struct import Struct
from typing import Any, Protocol

import msgspec

from gateway.feature_server.functions import Accumulator, Function, Observation, Parameters, State, Value, accumulator, state_key
from gateway.feature_server.online.base import BLOCKS_END, Kind, Part, Rows
from gateway.feature_server.timestamps import NS_PER_S
from gateway.features import Status

BLOCK_TILES = 512
"""A balance: three years of 10-minute tiles are 300 blocks, and at most 511 fine tiles stand beside them."""
_BLOCK_ZERO, _FIRST_BLOCK = BLOCKS_END - 2**36, BLOCKS_END - 2**37
_GRIDS_S = (1, 5, 10, 15, 30, 60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400)
_TILES_PER_WINDOW = 512
_EARLIEST_NS = -(2**63)
_STATES = itemgetter(1)
_LIST_32, _LIST_HEADER = 0xDD, Struct(">BI")
"""A msgpack list of up to 2^32 elements: its tag and their number."""
_unpack_tiles = msgspec.msgpack.Decoder(list[list[Any]]).decode
_unpack_tile = msgspec.msgpack.Decoder(list).decode
_pack = msgspec.msgpack.encode

UNREADABLE = (msgspec.DecodeError, LookupError, TypeError, ValueError)
"""What stored bytes raise that are no tile or event of ours."""
Row = Sequence[Value]
"""One event: the values of its source's columns, in order; None where it has none."""
TileStates = list[State]
"""What one tile knows: one state per slot of its plan."""
Answer = tuple[list[Value | None], tuple[Status, ...]]
"""A view's values in served order, and their statuses."""


class ViewPlan(Protocol):
    """How a view is kept and read."""

    @property
    def shape(self) -> object:
        """What of it shapes stored data, as JSON can say it."""
        ...

    @property
    def grid_s(self) -> int:
        """Retention goes by whole tiles of this length."""
        ...

    @property
    def counts(self) -> Sequence[bool]:
        """For each value, whether "no data" may be asked for as zero."""
        ...

    def parts(self, at_ns: int) -> tuple[Part, ...]:
        """What to read of a cell for an answer at this instant."""
        ...

    def after(self, newest_ns: int) -> int:
        """The earliest instant at which a read sees an event of this time."""
        ...

    def answer(self, at_ns: int, rows: Sequence[Rows]) -> Answer:
        """From the rows of these parts. Raises one of `UNREADABLE` for what cannot be read."""
        ...

    def tiles_of(self, at_ns: int) -> tuple[int, ...]:
        """The tiles that an event of this time is part of."""
        ...

    def span_ns(self, tile: int) -> tuple[int, int]: ...

    def build(self, tile: int, stored: bytes | None, events: Sequence[tuple[int, bytes, Row]]) -> bytes:
        """A tile with these events (timestamp, identity, row) added to what is stored of it. Raises one of `UNREADABLE`."""
        ...

    def oldest_ns(self, now_ns: int, ttl_s: int) -> int:
        """What a read at `now_ns` or later, and a late event within the TTL, may still need: nothing before this."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """One state that tiles keep: an accumulator over a column. `key` says the same in text."""

    column: int
    key: str
    accumulator: Accumulator


@dataclass(frozen=True, slots=True)
class Window:
    """One value that a view serves: a function of some slots over the last `length_ns`; None: over all time."""

    finish: Callable[[Sequence[State], Parameters], Value | None]
    parameters: Parameters
    slots: tuple[int, ...]
    length_ns: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One aggregation as a plan needs it: the column's position in the source, and the window."""

    column: int
    function: Function
    length_s: int | None
    parameters: Parameters = Parameters()  # noqa: RUF009 - immutable


class WindowPlan:
    """Windowed aggregations. `interval_s` None: continuous."""

    def __init__(self, interval_s: int | None, wanted: Sequence[Wanted]) -> None:
        """Share what can be shared: each state of a column is kept once per tile, however many functions and windows read it."""
        slots: dict[str, Slot] = {}
        windows = []
        for one in wanted:
            keys = [f"{state_key(name, one.parameters)}[{one.column}]" for name in one.function.accumulators]
            for name, key in zip(one.function.accumulators, keys, strict=True):
                slots.setdefault(key, Slot(one.column, key, accumulator(name, one.parameters)))
            order = list(slots)
            length_ns = None if one.length_s is None else one.length_s * NS_PER_S
            windows.append(Window(one.function.finish, one.parameters, tuple(order.index(key) for key in keys), length_ns))
        self.slots = tuple(slots.values())
        self.windows = tuple(windows)
        self.interval_s = interval_s
        self.counts = tuple(one.function.counts for one in wanted)
        lengths_s = sorted({one.length_s for one in wanted if one.length_s is not None})
        self.grid_s = interval_s or _grid_s(lengths_s)
        self._grid_ns = self.grid_s * NS_PER_S
        self._lengths_ns = tuple(length_s * NS_PER_S for length_s in lengths_s)
        self._reaches = [sorted({w.length_ns for w in windows if w.length_ns and index in w.slots}) for index in range(len(slots))]
        self._lasting = [index for index in range(len(slots)) if any(w.length_ns is None and index in w.slots for w in windows)]
        self._present = (Status.PRESENT,) * len(windows)

    @property
    def shape(self) -> object:
        blocks = [BLOCK_TILES, [self.slots[index].key for index in self._lasting]] if self._lasting else None
        return ["windows", self.grid_s, [slot.key for slot in self.slots], blocks]

    def parts(self, at_ns: int) -> tuple[Part, ...]:
        if self.interval_s is not None and not self._lasting:  # the plainest kind, and the most frequent
            end = at_ns // self._grid_ns
            return (Part(Kind.TILES, end - self._lengths_ns[-1] // self._grid_ns, end),)
        end_ns, tail = self._end_ns(at_ns), at_ns // self._grid_ns
        first = min((-((length_ns - end_ns) // self._grid_ns) for length_ns in self._lengths_ns), default=tail)
        parts = [Part(Kind.TILES, min(first, tail // BLOCK_TILES * BLOCK_TILES) if self._lasting else first, tail)]
        if self._lasting:
            parts.append(Part(Kind.TILES, _FIRST_BLOCK, _BLOCK_ZERO + tail // BLOCK_TILES))
        if self.interval_s is None:
            parts.append(Part(Kind.EVENTS, tail * self._grid_ns, end_ns))
            parts += [Part(Kind.EVENTS, *self._cut(end_ns - length_ns, end_ns)) for length_ns in self._lengths_ns]
        return tuple(parts)

    def after(self, newest_ns: int) -> int:
        return newest_ns + 1 if self.interval_s is None else (newest_ns // self._grid_ns + 1) * self._grid_ns

    def _end_ns(self, at_ns: int) -> int:
        return at_ns if self.interval_s is None else at_ns // self._grid_ns * self._grid_ns

    def _cut(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """The part of a continuous window before its first whole tile. Where it has none, and begins and ends in one tile: all of it."""
        boundary_ns = -(-start_ns // self._grid_ns) * self._grid_ns
        return (start_ns, boundary_ns) if boundary_ns <= end_ns else (start_ns, end_ns)

    def answer(self, at_ns: int, rows: Sequence[Rows]) -> Answer:
        tiles = rows[0]
        end_ns, tail_ns = self._end_ns(at_ns), at_ns // self._grid_ns * self._grid_ns
        # How many of the tiles, newest first, each window has: those that begin within it
        stops = {length_ns: bisect_right(tiles, (length_ns - end_ns) // self._grid_ns, key=_age) for length_ns in self._lengths_ns}
        states = _states(tiles)
        columns = list(zip(*states, strict=True)) if states else [()] * len(self.slots)
        if self.interval_s is not None:
            merged = [self._merge(index, stops, column) for index, column in enumerate(columns)]
        else:
            events = rows[2 if self._lasting else 1 :]
            tail, cuts = self._of_events(events[0]), [self._of_events(one) for one in events[1:]]
            heads = dict(zip(self._lengths_ns, cuts, strict=True))
            alone = {length_ns for length_ns in self._lengths_ns if end_ns - length_ns > tail_ns}
            merged = [self._merge_cut(index, stops, column, tail[index], heads, alone) for index, column in enumerate(columns)]
        if self._lasting:
            self._merge_all(merged, rows, tail_ns, None if self.interval_s is not None else self._of_events(rows[2]))
        values = [self._finish(window, merged) for window in self.windows]
        if None not in values:
            return values, self._present
        return values, tuple([Status.MISSING_DATA if value is None else Status.PRESENT for value in values])

    def _merge(self, index: int, stops: Mapping[int, int], column: Sequence[State]) -> dict[int | None, State]:
        """The state of one slot for each window length that reads it."""
        merge = self.slots[index].accumulator.merge
        snapshots: dict[int | None, State] = {}
        state: State = None
        start = 0
        for reach_ns in self._reaches[index]:
            stop = stops[reach_ns]
            older = column[start:stop]
            if None in older:
                older = [one for one in older if one is not None]
            if older:
                state = merge(older if state is None else [state, *older])
            snapshots[reach_ns] = state
            start = stop
        return snapshots

    def _merge_cut(
        self,
        index: int,
        stops: Mapping[int, int],
        column: Sequence[State],
        tail: State,
        heads: dict[int, TileStates],
        alone: set[int],
    ) -> dict[int | None, State]:
        """The same for continuous windows: the raw events after the last whole tile come before it, those before the first one after it."""
        whole = self._merge(index, stops, column)
        merge = self.slots[index].accumulator.merge
        snapshots: dict[int | None, State] = {}
        for reach_ns in self._reaches[index]:
            pieces = [heads[reach_ns][index]] if reach_ns in alone else [tail, whole[reach_ns], heads[reach_ns][index]]
            known = [piece for piece in pieces if piece is not None]
            snapshots[reach_ns] = merge(known) if len(known) > 1 else known[0] if known else None
        return snapshots

    def _merge_all(self, merged: list[dict[int | None, State]], rows: Sequence[Rows], tail_ns: int, tail: TileStates | None) -> None:
        """The states over all time: fine tiles of the block that is cut, then whole blocks."""
        block_start = tail_ns // self._grid_ns // BLOCK_TILES * BLOCK_TILES
        states = [*_states([row for row in rows[0] if row[0] >= block_start]), *_states(rows[1])]
        if tail is not None:
            states.insert(0, tail)
        for index in self._lasting:
            known = [one[index] for one in states if one[index] is not None]
            merged[index][None] = self.slots[index].accumulator.merge(known) if known else None

    def _of_events(self, rows: Rows) -> TileStates:
        """The states of raw events. Identities only break ties of time, in an order that the store has kept."""
        states: TileStates = [None] * len(self.slots)
        for place, (at_ns, payload) in enumerate(reversed(rows)):
            self._add(states, range(len(self.slots)), at_ns, place.to_bytes(8), _unpack_tile(payload))
        return states

    @staticmethod
    def _finish(window: Window, merged: Sequence[dict[int | None, State]]) -> Value | None:
        states = [merged[slot][window.length_ns] for slot in window.slots]
        return None if None in states else window.finish(states, window.parameters)

    def _add(self, states: TileStates, slots: Sequence[int], at_ns: int, identity: bytes, row: Row) -> None:
        for index in slots:
            slot = self.slots[index]
            value = row[slot.column]
            if value is not None:
                states[index] = slot.accumulator.add(states[index], Observation(at_ns, identity, value))

    def tiles_of(self, at_ns: int) -> tuple[int, ...]:
        tile = at_ns // self._grid_ns
        return (tile, _BLOCK_ZERO + tile // BLOCK_TILES) if self._lasting else (tile,)

    def span_ns(self, tile: int) -> tuple[int, int]:
        length_ns = self._grid_ns
        if tile < BLOCKS_END:
            tile, length_ns = tile - _BLOCK_ZERO, length_ns * BLOCK_TILES
        return tile * length_ns, (tile + 1) * length_ns

    def build(self, tile: int, stored: bytes | None, events: Sequence[tuple[int, bytes, Row]]) -> bytes:
        states = [None] * len(self.slots) if stored is None else _unpack_tile(stored)
        slots = self._lasting if tile < BLOCKS_END else range(len(self.slots))
        for at_ns, identity, row in events:
            self._add(states, slots, at_ns, identity, row)
        return _pack([None if state is None else slot.accumulator.freeze(state) for slot, state in zip(self.slots, states, strict=True)])

    def oldest_ns(self, now_ns: int, ttl_s: int) -> int:
        """Whole blocks where there are any: a late event may need its block made anew from all of the block's events."""
        unit_ns = self._grid_ns * (BLOCK_TILES if self._lasting else 1)
        return (now_ns - ttl_s * NS_PER_S) // unit_ns * unit_ns


class NewestPlan:
    """Attributes: the columns of a key's newest event before the instant, no older than `ttl_s`. Keeps no tiles."""

    grid_s = 1

    def __init__(self, columns: Sequence[int], ttl_s: int | None) -> None:
        self._columns = tuple(columns)
        self._ttl_ns = None if ttl_s is None else ttl_s * NS_PER_S
        self.counts = (False,) * len(self._columns)
        self._missing = ([None] * len(self._columns), (Status.MISSING_DATA,) * len(self._columns))
        self._present = (Status.PRESENT,) * len(self._columns)

    @property
    def shape(self) -> object:
        return ["newest"]

    def parts(self, at_ns: int) -> tuple[Part, ...]:
        return (Part(Kind.NEWEST, _EARLIEST_NS if self._ttl_ns is None else at_ns - self._ttl_ns, at_ns),)

    def after(self, newest_ns: int) -> int:
        return newest_ns + 1

    def answer(self, _at_ns: int, rows: Sequence[Rows]) -> Answer:
        newest = rows[0]
        if not newest:
            return self._missing
        row = _unpack_tile(newest[0][1])
        return [row[column] for column in self._columns], self._present

    def tiles_of(self, _at_ns: int) -> tuple[int, ...]:
        return ()

    def span_ns(self, tile: int) -> tuple[int, int]:
        raise AssertionError(f"attributes have no tiles, not even {tile}")

    def build(self, tile: int, stored: bytes | None, events: Sequence[tuple[int, bytes, Row]]) -> bytes:
        raise AssertionError(f"attributes have no tiles, not even {tile}, of {stored!r} and {len(events)} events")

    def oldest_ns(self, now_ns: int, ttl_s: int) -> int:
        return now_ns - ttl_s * NS_PER_S


def _grid_s(lengths_s: Sequence[int]) -> int:
    """Of continuous windows: the longest has at most 512 tiles, where that is possible with tiles of a day."""
    longest_s = lengths_s[-1] if lengths_s else 86_400 * _TILES_PER_WINDOW
    return next((grid_s for grid_s in _GRIDS_S if grid_s * _TILES_PER_WINDOW >= longest_s), _GRIDS_S[-1])


def _age(row: tuple[int, bytes]) -> int:
    return -row[0]


def _states(tiles: Rows) -> list[TileStates]:
    """All tiles decoded at once, as one msgpack list: a call per tile would cost as much as the decoding."""
    return _unpack_tiles(_LIST_HEADER.pack(_LIST_32, len(tiles)) + b"".join(map(_STATES, tiles))) if tiles else []
