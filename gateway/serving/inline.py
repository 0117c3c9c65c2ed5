"""Misses of an origin that answers at once, read where hits are: no task, no flight, nothing to wait for.

The embedded feature server on SQLite is one such: a read takes less time than a task would. It is nobody's leader, for it is over before
anybody else could ask; what it brings is stored like what a flight brings.
"""

from collections.abc import Callable, Sequence
from math import inf

from opentelemetry.trace import Span

from gateway.access.gates import Gate
from gateway.errors import SchemaDisagreement
from gateway.features import Caller, ServiceRef, Source
from gateway.measures.book import Book
from gateway.origins.base import Fetch, FetchRow, Origin
from gateway.serving.keeping import Keeper
from gateway.serving.plan import Plan, Projection
from gateway.serving.work import RowWork
from gateway.tasks import at_once
from gateway.telemetry import Telemetry
from gateway.wire.requests import ReadRequest


class InlineReads:
    """`clock` is the cache's monotonic clock, in seconds."""

    def __init__(
        self, origin: Origin, origin_name: str, gate: Gate, keeper: Keeper, telemetry: Telemetry, book: Book, *, clock: Callable[[], float]
    ) -> None:
        self._book = book
        self._origin = origin
        self._origin_name = origin_name
        self._gate = gate
        self._keeper = keeper
        self._telemetry = telemetry
        self._clock = clock

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
                if values is None or (values.layout is not view.layout and values.layout != view.layout):
                    raise SchemaDisagreement("The feature store's reply does not have the features of its metadata.")
                fragment = self._keeper.fragment(view, values, asked_s)
                row.take(index, fragment, Source.ORIGIN)
                if values.complete and not answer.partial and request.options.stored:
                    self._keeper.keep(view, row.keys[index], fragment, lease)
