"""The origin behind the trace: the demo's own descriptions, constant values that are all PRESENT, and a count of what it is asked.

Whether a view comes from the cache depends on keys and time alone, so the values may be constant; what is described, asked for, validated
and cached is what the demo would have. It answers at once, as the embedded feature server on SQLite does.
"""

from collections.abc import Callable

from gateway.demo.definitions import repository
from gateway.errors import NotFound
from gateway.feature_server.catalog import Catalog
from gateway.features import Caller, DataType, Kind, ServiceRef, Status, ViewLayout, ViewValues
from gateway.origins.base import Description, Fetch, Fetched, FetchedRow, IngestReply, Queried
from gateway.wire.values import compile_row_writer

_EFFECTIVE = "2013-01-14T22:59:00Z"
_VALUES = {Kind.INT64: 117, Kind.FLOAT64: 12.625, Kind.BOOLEAN: True, Kind.STRING: "JFK", Kind.TIMESTAMP: _EFFECTIVE}


class TraceOrigin:
    """An `Origin`. `views_fetched` counts by view; `fetches`, calls; `rows`, the rows of all calls."""

    single_views = True

    def __init__(self) -> None:
        self._catalog = Catalog(repository())
        self._values: dict[tuple[ServiceRef, str], ViewValues] = {}
        self.fetches = 0
        self.rows = 0
        self.views_fetched: dict[str, int] = {}

    def batch_limit(self, service: ServiceRef) -> int:  # noqa: ARG002 - the Protocol's signature
        return 1_000

    def rows_at_once(self, service: ServiceRef) -> int:
        return self.batch_limit(service)

    def description(self, service: ServiceRef) -> Description:
        runtime = self._catalog.service(service)
        if runtime is None:
            raise NotFound(f"Unknown feature service: {service}")
        return runtime.description

    def values(self, service: ServiceRef, view: str) -> ViewValues:
        """What is answered of this view, whatever the join keys."""
        known = self._values.get((service, view))
        if known is None:
            layout = ViewLayout(view, self.description(service).views[view].features)
            positional, named = compile_row_writer(layout.features)([_value(feature.dtype) for feature in layout.features])
            statuses, times = (Status.PRESENT,) * len(layout), (_EFFECTIVE,) * len(layout)
            known = self._values[service, view] = ViewValues(layout, positional, named, statuses, times)
        return known

    async def describe(self, service: ServiceRef, _caller: Caller, _deadline: float) -> Description:
        return self.description(service)

    async def fetch(self, fetch: Fetch) -> Fetched:
        self.fetches += 1
        self.rows += len(fetch.rows)
        for row in fetch.rows:
            for view in row.views:
                self.views_fetched[view] = self.views_fetched.get(view, 0) + 1
        return Fetched(tuple(FetchedRow(tuple(self.values(fetch.service, view) for view in row.views)) for row in fetch.rows))

    async def query(self, _fetch: Fetch) -> Queried:
        raise NotFound("The trace has no wildcard feature service.")

    async def ingest(self, _body: bytes, _caller: Caller, _deadline: float) -> IngestReply:
        raise NotFound("The trace takes no records in.")

    async def ready(self) -> None:
        """Always."""

    async def follow(self, _changed: Callable[[], None]) -> None:
        """Nothing ever changes."""

    async def aclose(self) -> None:
        """Nothing is open."""


def _value(dtype: DataType) -> object:
    return [_value(dtype.element)] * 5 if dtype.element is not None else _VALUES[dtype.kind]
