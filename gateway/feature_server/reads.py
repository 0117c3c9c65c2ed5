"""One call's reads: what its rows want of the store, each cell once, and the values that come of it.

Owns what a read is and what it answers. Decides what to ask and makes sense of what was found; it asks nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.errors import OriginFailed
from gateway.feature_server.catalog import ServedView, ServiceRuntime, ViewRuntime
from gateway.feature_server.functions import Value
from gateway.feature_server.materialize import Ids
from gateway.feature_server.online.base import Cell, CellRead, Found, Rows
from gateway.feature_server.windows import UNREADABLE, Answer
from gateway.features import Status


@dataclass(frozen=True, slots=True)
class ReadRow:
    """One read: typed join keys by name, and the views that are wanted of the service, by the names it serves them under."""

    join_keys: Mapping[str, Value]
    views: frozenset[str]


class ViewRead(NamedTuple):
    """A view's values in the order of its layout. `newest_ns` is its effective time, None where it has no event yet."""

    served: ServedView
    values: Sequence[Value | None]
    statuses: tuple[Status, ...]
    newest_ns: int | None


class RowRead(NamedTuple):
    """What one row got, and what it took: times in seconds, of the whole call, for its rows are read together; bytes as read
    for this row."""

    views: tuple[ViewRead, ...]
    elapsed_s: float
    store_s: float
    store_bytes: int


class FoundRow(NamedTuple):
    """One result of a wildcard read: the join keys that were not given, and the row."""

    join_keys: tuple[Value, ...]
    read: RowRead


Place = tuple[ServedView, int | None]
"""A view of a row, and where its cell is among those asked for; None where no event can have such join keys."""
Values = tuple[Sequence[Value | None], tuple[Status, ...]]


class Reading:
    """Rows that share a view's join keys, as candidates of one user do, share its cell and its values too.

    `at_ns` None: each view is read as of its newest event, which `newest` then says.
    """

    def __init__(self, ids: Ids, at_ns: int | None, newest: Mapping[int, int] | None, *, zero_counts: bool) -> None:
        self.cells: list[CellRead] = []
        self._ids = ids
        self._at_ns = at_ns
        self._newest = newest
        self._zero_counts = zero_counts
        self._rows: list[list[Place]] = []
        self._places: dict[Cell, int] = {}
        self._done: dict[int, Values] = {}

    def plan(self, service: ServiceRuntime, row: ReadRow) -> None:
        """Add a row: what it wants is in `cells` then."""
        self._rows.append([(view, self._place(view, row.join_keys)) for name, view in service.views.items() if name in row.views])

    def answers(self, found: Found) -> list[tuple[ViewRead, ...]]:
        """For each row its views. Raises OriginFailed for stored data that cannot be read."""
        return [tuple([self._answer(view, place, found) for view, place in row]) for row in self._rows]

    def sizes(self, found: Found) -> list[int]:
        """For each row the bytes that were read for it."""
        return [sum([size_of(found.cells[place]) for _, place in row if place is not None]) for row in self._rows]

    def _place(self, view: ServedView, join_keys: Mapping[str, Value]) -> int | None:
        join_key = view.key_of_request(join_keys)
        if join_key is None:
            return None
        cell = Cell(self._ids[view.runtime.stored_as], join_key)
        place = self._places.get(cell)
        if place is None:
            place = self._places[cell] = len(self.cells)
            self.cells.append(CellRead(cell, view.runtime.plan.parts(self._instant(view.runtime))))
        return place

    def _instant(self, runtime: ViewRuntime) -> int:
        if self._at_ns is not None:
            return self._at_ns
        assert self._newest is not None
        newest_ns = self._newest.get(self._ids[runtime.stored_as])
        return 0 if newest_ns is None else runtime.plan.after(newest_ns)

    def _answer(self, view: ServedView, place: int | None, found: Found) -> ViewRead:
        runtime = view.runtime
        newest_ns = found.newest.get(self._ids[runtime.stored_as])
        if place is None:
            return ViewRead(view, *self._present(runtime, runtime.plan.answer(0, [[] for _ in runtime.plan.parts(0)])), newest_ns)
        values = self._done.get(place)
        if values is None:
            try:
                answer = runtime.plan.answer(self._instant(runtime), found.cells[place])
            except UNREADABLE as error:
                raise OriginFailed(f"Stored data of feature view {runtime.name} cannot be read.") from error
            values = self._done[place] = self._present(runtime, answer)
        return ViewRead(view, *values, newest_ns)

    def _present(self, runtime: ViewRuntime, answer: Answer) -> Values:
        """No data is MISSING_DATA, even where the caller would rather see its count as zero."""
        values, statuses = presented(runtime, answer)
        if self._zero_counts and None in values:
            values = [0 if value is None and counts else value for value, counts in zip(values, runtime.plan.counts, strict=True)]
        return values, statuses


def presented(runtime: ViewRuntime, answer: Answer) -> Values:
    """As they are served."""
    values, statuses = answer
    if not runtime.presents:
        return answer
    return [
        present(value) if present is not None and value is not None else value
        for value, present in zip(values, runtime.presenters, strict=True)
    ], statuses


def size_of(parts: Sequence[Rows]) -> int:
    """The bytes of what was read of a cell."""
    return sum([len(held) for rows in parts for _, held in rows])
