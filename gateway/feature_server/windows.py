"""The algebra of tiled time windows: events → tile states → window values. Pure; no clock, no store, no definitions.

A view's time is cut into tiles of `interval`. Tile t holds the events of [t·interval, (t+1)·interval). A read at an instant `at` ends
with the last whole tile: its window covers [floor(at) - window, floor(at)), half open, so an event exactly at a boundary belongs to the
tile that begins there and is not yet inside. Windows of one accumulator nest: one pass over the tiles, newest first, gives each window in
turn as the one before it merged with the tiles that it has and the smaller one had not.

Nulls are ignored by every aggregation: a window without a value of its column is "no data", for counts as well.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.feature_server.functions import ACCUMULATORS, Accumulator, Function, Observation, State, Value
from gateway.feature_server.timestamps import NS_PER_S

TileStates = list[State]
"""What one tile knows: one state per slot of its plan."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One state that tiles of a view keep: an accumulator over a column. `key` says the same in text, for fingerprints."""

    column: int
    key: str
    accumulator: Accumulator


@dataclass(frozen=True, slots=True)
class Window:
    """One value that a view serves: a function of some slots over the last `tiles` tiles."""

    function: Function
    slots: tuple[int, ...]
    tiles: int


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """What the tiles of a view keep, and what its windows make of them. Values come in the order of `windows`."""

    interval_s: int
    slots: tuple[Slot, ...]
    windows: tuple[Window, ...]
    reaches: tuple[tuple[int, ...], ...]
    """For each slot, the window lengths that read it, in tiles, ascending."""

    @property
    def horizon_tiles(self) -> int:
        return max(window.tiles for window in self.windows)

    def tile_of(self, at_ns: int) -> int:
        return at_ns // (self.interval_s * NS_PER_S)

    def empty(self) -> TileStates:
        return [None] * len(self.slots)

    def add(self, states: TileStates, at_ns: int, identity: bytes, row: Sequence[Value]) -> None:
        """Take one event into a tile. `row` holds the source's columns, None where it has no value."""
        for index, slot in enumerate(self.slots):
            value = row[slot.column]
            if value is not None:
                states[index] = slot.accumulator.add(states[index], Observation(at_ns, identity, value))

    def values(self, end_tile: int, tiles: Sequence[int], states: Sequence[TileStates]) -> list[Value | None]:
        """The windows that end where tile `end_tile` begins. `tiles` are numbers, newest first, all below `end_tile`; `states` theirs."""
        ages = [end_tile - tile for tile in tiles]
        columns = zip(*states, strict=True) if states else ((),) * len(self.slots)
        merged = [self._merge(index, ages, column) for index, column in enumerate(columns)]
        return [self._finish(window, merged) for window in self.windows]

    def _merge(self, index: int, ages: Sequence[int], column: Sequence[State]) -> dict[int, State]:
        """The state of one slot for each window length that reads it."""
        merge = self.slots[index].accumulator.merge
        snapshots: dict[int, State] = {}
        state: State = None
        start = 0
        for reach in self.reaches[index]:
            stop = bisect_right(ages, reach, start)
            older = [one for one in column[start:stop] if one is not None]
            if older:
                state = merge(older if state is None else [state, *older])
            snapshots[reach] = state
            start = stop
        return snapshots

    @staticmethod
    def _finish(window: Window, merged: Sequence[dict[int, State]]) -> Value | None:
        states = [merged[slot][window.tiles] for slot in window.slots]
        return None if None in states else window.function.finish(states)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One aggregation as the plan needs it: the column's position in the source, and the window in whole tiles."""

    column: int
    function: Function
    tiles: int
    n: int = 1


def plan_windows(interval_s: int, wanted: Sequence[Wanted]) -> WindowPlan:
    """Share what can be shared: each (accumulator, column) is kept once per tile, however many functions and windows read it."""
    slots: dict[str, Slot] = {}
    order: list[str] = []
    windows = []
    for one in wanted:
        keys = [f"{name}({one.column},{one.n})" for name in one.function.accumulators]
        for name, key in zip(one.function.accumulators, keys, strict=True):
            if key not in slots:
                slots[key] = Slot(one.column, key, ACCUMULATORS[name](one.n))
                order.append(key)
        windows.append(Window(one.function, tuple(order.index(key) for key in keys), one.tiles))
    reaches = tuple(tuple(sorted({window.tiles for window in windows if index in window.slots})) for index in range(len(order)))
    return WindowPlan(interval_s, tuple(slots.values()), tuple(windows), reaches)
