"""Reads of one row, by a plain function: what can be known of them before the row is there is known from the first one on.

Does for the most frequent read what `reads` does for any: a store that answers at once, a plain request, values as of now.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from gateway.errors import OriginFailed
from gateway.feature_server.catalog import ServedView
from gateway.feature_server.functions import Value
from gateway.feature_server.materialize import Ids
from gateway.feature_server.online.base import Cell, CellRead, PromptStore
from gateway.feature_server.reads import RowRead, ViewRead, presented, size_of
from gateway.feature_server.windows import UNREADABLE


class RowReader:
    """Some views of one feature service, under one version of the definitions."""

    def __init__(self, store: PromptStore, views: Sequence[ServedView], ids: Ids, now_ns: Callable[[], int]) -> None:
        self._read_now = store.read_now
        self._views = [(view, view.runtime, ids[view.runtime.stored_as]) for view in views]
        self._now_ns = now_ns

    def read(self, join_keys: Mapping[str, Value]) -> RowRead | None:
        """None where a join key is null, which no event has: that is no frequent read. Raises OriginFailed for what cannot be read."""
        started = perf_counter()
        at_ns = self._now_ns()
        wanted = []
        for view, runtime, view_id in self._views:
            key = view.key_of_request(join_keys)
            if key is None:
                return None
            wanted.append(CellRead(Cell(view_id, key), runtime.plan.parts(at_ns)))
        asked = perf_counter()
        cells, newest = self._read_now(wanted)
        store_s = perf_counter() - asked
        views = []
        size = 0
        for (view, runtime, view_id), rows in zip(self._views, cells, strict=True):
            try:
                answer = runtime.plan.answer(at_ns, rows)
            except UNREADABLE as error:
                raise OriginFailed(f"Stored data of feature view {runtime.name} cannot be read.") from error
            views.append(ViewRead(view, *presented(runtime, answer), newest.get(view_id)))
            size += size_of(rows)
        return RowRead(tuple(views), perf_counter() - started, store_s, size)
