"""Misses of an origin that answers at once, read where hits are: no task, no flight, nothing to wait for.

The embedded feature server on SQLite is one such: a read takes less time than a task would. It is nobody's leader, for it is over before
anybody else could ask; what it brings is stored like what a flight brings.
"""

from collections.abc import Callable, Sequence
from math import inf

from opentelemetry.trace import Span

from gateway.access.gates import Gate
from gateway.cache.fragments import Fragment
from gateway.errors import SchemaDisagreement
from gateway.features import Caller, ServiceRef, SloInfo, Source, ViewValues
from gateway.measures.book import Book
from gateway.origins.base import Fetch, FetchedRow, FetchRow, ImmediateOrigin, Origin
from gateway.serving.keeping import Keeper
from gateway.serving.lean import Missed
from gateway.serving.plan import Plan, Projection, StoredView
from gateway.serving.rows import assemble
from gateway.serving.work import RowWork
from gateway.tasks import at_once
from gateway.telemetry import Telemetry
from gateway.wire.replies import Vector
from gateway.wire.requests import ReadRequest

_DISAGREES = "The feature store's reply does not have the features of its metadata."


class InlineReads:
    """`clock` is the cache's monotonic clock, in seconds."""

    def __init__(
        self, origin: Origin, origin_name: str, gate: Gate, keeper: Keeper, telemetry: Telemetry, book: Book, *, clock: Callable[[], float]
    ) -> None:
        self._book = book
        self._origin = origin
        self._immediate = origin if isinstance(origin, ImmediateOrigin) else None
        self._origin_name = origin_name
        self._gate = gate
        self._keeper = keeper
        self._telemetry = telemetry
        self._clock = clock

    def vector(self, missed: Missed) -> tuple[Vector, SloInfo | None] | None:
        """A plain read of one row of which nothing is at hand: nearly every miss. None where it is another kind, of which nothing has been
        done yet. Raises what the origin raises, SchemaDisagreement and OnDemandFailed."""
        plan, projection, request = missed.plan, missed.projection, missed.request
        if self._immediate is None or not request.plain or len(request.rows) > 1:
            return None
        if missed.use_cache and self._at_hand(missed):
            return None
        asked_s, lease = self._clock(), self._keeper.store.lease()
        join_keys = dict(zip(plan.key_names, missed.values, strict=True))
        answer = self._immediate.fetch_row(request.service, join_keys, plan.view_names(projection.needed))
        if answer is None or answer.partial or not all(values.complete for values in answer.views):
            return None
        now_s = self._clock()
        self._book.call("read", now_s - asked_s)
        self._gate.answered(missed.caller, request.service, asked_s)
        fragments = self._take(missed, answer, asked_s, lease)
        if projection.inserted == ():
            told = "".join([fragment.pattern for fragment in fragments])
            return Vector(projection.text, fragments, projection.origin_sources, now_s, told), answer.slo
        found: list[Fragment | None] = [None] * len(plan.stored)
        for index, fragment in zip(projection.needed, fragments, strict=True):
            found[index] = fragment
        return assemble(projection, found, [Source.ORIGIN] * len(found), missed.context, now_s), answer.slo

    def _take(self, missed: Missed, answer: FetchedRow, asked_s: float, lease: int) -> list[Fragment]:
        """What came, of all views that are needed, in order; kept where it may be."""
        views = missed.projection.looked_up
        if len(answer.views) != len(views):
            raise SchemaDisagreement(_DISAGREES)
        for (_, view), values in zip(views, answer.views, strict=True):
            _check(view, values)
        fragments = []
        for (_, view), values in zip(views, answer.views, strict=True):
            fragment = self._keeper.fragment(view, values, asked_s)
            fragments.append(fragment)
            if view.terms.life_s(negative=fragment.negative) > 0:
                self._keeper.keep(view, view.key(missed.values, missed.context, None), fragment, lease)
        return fragments

    def _at_hand(self, missed: Missed) -> bool:
        """Whether anything is kept of what is needed, be it stale."""
        for _, view in missed.projection.looked_up:
            terms = view.terms
            kept = terms.ttl_s > 0 or terms.negative_ttl_s > 0
            if kept and view.key(missed.values, missed.context, None) in self._keeper.store:
                return True
        return False

    def suits(self, service: ServiceRef, rows: int, plan: Plan, projection: Projection) -> bool:
        """Whether so many rows, nothing of which may be at hand, can be read without waiting."""
        return (
            rows <= self._origin.rows_at_once(service)
            and not (plan.wildcard or projection.slow)
            and plan.labels is not None
            and bool(projection.needed)
        )

    def fetch(
        self, request: ReadRequest, plan: Plan, projection: Projection, caller: Caller, rows: Sequence[RowWork], span: Span | None
    ) -> None:
        """Fill what the rows lack. `span`: the read's, where it is traced. Raises what the origin raises, and SchemaDisagreement."""
        names = [field.name for field in plan.schema.join_keys]
        lacking = [(row, missing) for row in rows if (missing := row.missing(projection.needed))]
        asked_s, lease = self._clock(), self._keeper.store.lease()
        wanted = tuple(
            [FetchRow(dict(zip(names, row.values, strict=True)), row.context, plan.view_names(missing)) for row, missing in lacking]
        )
        fetch_span = self._telemetry.origin_span(span, self._origin_name, len(lacking)) if span is not None else None
        fetched = at_once(self._origin.fetch(Fetch(request.service, wanted, caller, inf, request.options)))
        if fetch_span is not None:  # one of a fetch that fails is never ended: the read is told by who asks again
            self._telemetry.end_fetch(fetch_span, fetched.rows[0].slo if fetched.rows else None)
        self._book.call("read", self._clock() - asked_s)
        self._gate.answered(caller, request.service, asked_s)
        for (row, missing), answer in zip(lacking, fetched.rows, strict=True):
            row.slo, row.partial = answer.slo, answer.partial
            by_view = {values.layout.view: values for values in answer.views}
            for index in missing:
                view = plan.stored[index]
                values = by_view.get(view.layout.view)
                if values is None:
                    raise SchemaDisagreement(_DISAGREES)
                _check(view, values)
                fragment = self._keeper.fragment(view, values, asked_s)
                row.take(index, fragment, Source.ORIGIN)
                if values.complete and not answer.partial and request.options.stored:
                    self._keeper.keep(view, row.keys[index], fragment, lease)


def _check(view: StoredView, values: ViewValues) -> None:
    """Raises SchemaDisagreement for values that are not of this view as it is known."""
    if values.layout is not view.layout and values.layout != view.layout:
        raise SchemaDisagreement(_DISAGREES)
