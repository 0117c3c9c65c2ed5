"""On-demand views that are declared slow, computed off the event loop: those of all rows of a read at once, within its deadline.

an input timed out           → so did the view, as a whole (contract §3: never partially returned), and no thread is taken
the read's deadline passes   → partial reads take TIME_OUT, others fail with DeadlineExceeded, as for a view that is fetched
the view's own limit passes  → its row fails, partial read or not: that is the definition's failure, not the caller's terms
it raises                    → its row fails
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from gateway.cache.fragments import Fragment
from gateway.errors import DeadlineExceeded, GatewayError
from gateway.serving.plan import Computed, ComputedView
from gateway.serving.work import RowWork
from gateway.serving.workers import Workers

Ready = Mapping[ComputedView, Computed | Fragment]
"""Views of one row that need not be computed any more."""


async def compute_slow(
    workers: Workers, views: Sequence[ComputedView], rows: Sequence[RowWork], deadline_s: float, *, partial_at_deadline: bool
) -> list[Ready]:
    """These views' values, per row; where there is none, the row's `error` says why. `deadline_s` is on the event loop's clock."""
    ready: list[dict[ComputedView, Computed | Fragment]] = [{} for _ in rows]
    runs: list[tuple[int, ComputedView, asyncio.Future[Computed | Fragment]]] = []
    for number, row in enumerate(rows):
        for view in views if row.error is None else ():
            if view.lacks_input(row.found):
                ready[number][view] = view.timed_out
            else:
                runs.append((number, view, _submit(workers, view, row, deadline_s)))
    if runs:
        await _all_done([future for _, _, future in runs])
    for number, view, future in runs:
        try:
            ready[number][view] = future.result()
        except DeadlineExceeded as error:
            if partial_at_deadline:
                ready[number][view] = view.timed_out
            else:
                rows[number].error = rows[number].error or error
        except GatewayError as error:
            rows[number].error = rows[number].error or error
    return list[Ready](ready)


def _submit(workers: Workers, view: ComputedView, row: RowWork, deadline_s: float) -> asyncio.Future[Computed | Fragment]:
    limit_s = view.view.time_limit_s
    assert limit_s is not None  # only such views are in `Projection.slow`
    return workers.submit(view.view.name, partial(view.compute, row.found, row.context), limit_s=limit_s, deadline_s=deadline_s)


async def _all_done(futures: Sequence[asyncio.Future[Computed | Fragment]]) -> None:
    """Wait for all; who is cancelled here waits for none of them any more."""
    try:
        await asyncio.wait(futures)
    finally:
        for future in futures:
            future.cancel()
