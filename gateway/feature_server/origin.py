"""The embedded feature server as an origin: the engine's answers in the spelling of both doors.

Serves stored views; on-demand views are the gateway's to compute. Writers are compiled once per view, when the origin is made.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from gateway.errors import OriginTimeout
from gateway.feature_server.adoption import Adoption
from gateway.feature_server.catalog import ServedView
from gateway.feature_server.engine import Engine
from gateway.feature_server.ingest import MAX_RECORDS
from gateway.feature_server.reads import ReadRow, RowRead, ViewRead
from gateway.feature_server.timestamps import format_timestamp_ns
from gateway.features import Caller, ServiceRef, SloInfo, ViewLayout, ViewValues
from gateway.origins.base import Description, Fetch, Fetched, FetchedRow, FetchRow, IngestReply, Queried, QueriedRow
from gateway.wire.values import compile_row_writer

BATCH_LIMIT = 1_000
_SLICE_S = 0.005
"""How long a batch is read without a pause, where reads are inline."""
_FIRST_SLICE_ROWS = 8
"""Until it is known what a row of a service takes."""
_REMEMBERED_SERVICES = 1_000


class EmbeddedOrigin:
    """An `origins.base.ImmediateOrigin`. Who may ask what is the gateway's to judge: callers are not looked at here."""

    single_views = True

    def __init__(self, engine: Engine, *, records_per_source: int = MAX_RECORDS, adoption: Adoption | None = None) -> None:
        """`records_per_source`: how many records one ingest request may carry for each stream source. `adoption`: takes up new versions of
        the definitions; None where they are what they were at the start."""
        self._engine = engine
        self._adoption = adoption
        self._records_per_source = records_per_source
        self._row_s: dict[ServiceRef, float] = {}
        self._encoders: WeakKeyDictionary[ServedView, _Encoder] = WeakKeyDictionary()

    def batch_limit(self, _service: ServiceRef) -> int:
        return BATCH_LIMIT

    def rows_at_once(self, service: ServiceRef) -> int:
        return self._slice_rows(service) if self._engine.immediate else 0

    def _slice_rows(self, service: ServiceRef) -> int:
        """Rows that are read in one go: as many as `_SLICE_S` lets through; all, where reading waits and others have their turn then."""
        if not self._engine.immediate:
            return BATCH_LIMIT
        row_s = self._row_s.get(service)
        return _FIRST_SLICE_ROWS if row_s is None else max(1, min(BATCH_LIMIT, int(_SLICE_S / row_s)))

    def _learn(self, service: ServiceRef, row_s: float) -> None:
        """A moving mean of what a row takes."""
        known_s = self._row_s.get(service)
        if known_s is None and len(self._row_s) >= _REMEMBERED_SERVICES:
            return
        self._row_s[service] = row_s if known_s is None else known_s + (row_s - known_s) / 16

    def services(self) -> Sequence[ServiceRef]:
        return self._engine.catalog.services()

    async def describe(self, service: ServiceRef, _caller: Caller, _deadline: float) -> Description:
        return self._engine.describe(service)

    async def fetch(self, fetch: Fetch) -> Fetched:
        """A store that answers without waiting is read inline: that takes less time than handing it to another thread would. Between slices
        of a long batch others have their turn then, so each slice is a snapshot of its own; a row never spans two."""
        rows: list[FetchedRow] = []
        slice_rows = self._slice_rows(fetch.service)
        for start in range(0, len(fetch.rows) or 1, slice_rows):
            if start:
                await self._make_way(fetch.deadline)
            rows += await self._slice(fetch, fetch.rows[start : start + slice_rows])
        labels = self._engine.describe(fetch.service).labels if fetch.want_labels else None
        return Fetched(tuple(rows), labels)

    def fetch_row(self, service: ServiceRef, join_keys: Mapping[str, Any], views: frozenset[str]) -> FetchedRow | None:
        read = self._engine.read_row(service, join_keys, views)
        if read is None:
            return None
        return FetchedRow(tuple([self._encoder(view.served).encode(view) for view in read.views]), _slo(read))

    @staticmethod
    async def _make_way(deadline: float) -> None:
        await asyncio.sleep(0)
        if asyncio.get_running_loop().time() > deadline:
            raise OriginTimeout("Timed out")

    async def _slice(self, fetch: Fetch, rows: Sequence[FetchRow]) -> list[FetchedRow]:
        started = perf_counter()
        read = await self._engine.read(fetch.service, [ReadRow(row.join_keys, row.views) for row in rows], fetch.options)
        encoded: dict[tuple[int, ServedView], ViewValues] = {}
        answered = [self._row(row, encoded) for row in read]
        if read and self._engine.immediate:
            self._learn(fetch.service, (perf_counter() - started) / len(read))
        return answered

    def _row(self, row: RowRead, encoded: dict[tuple[int, ServedView], ViewValues]) -> FetchedRow:
        """`encoded` by the identity of the values, so that rows that share them share their encoding."""
        views = []
        for view in row.views:
            known = (id(view.values), view.served)
            if known not in encoded:
                encoded[known] = self._encoder(view.served).encode(view)
            views.append(encoded[known])
        return FetchedRow(tuple(views), _slo(row))

    def _encoder(self, view: ServedView) -> "_Encoder":
        """Compiled once per view, and let go with the definitions that it belongs to."""
        encoder = self._encoders.get(view)
        if encoder is None:
            encoder = self._encoders[view] = _Encoder(view.layout)
        return encoder

    async def query(self, fetch: Fetch) -> Queried:
        [row] = fetch.rows
        rows, more = await self._engine.query(
            fetch.service,
            ReadRow(row.join_keys, row.views),
            fetch.options,
            limit=BATCH_LIMIT if fetch.max_results is None else fetch.max_results,
            slice_rows=self._slice_rows(fetch.service),
            pause=lambda: self._make_way(fetch.deadline),
        )
        described = self._engine.describe(fetch.service)
        encoded: dict[tuple[int, ServedView], ViewValues] = {}
        return Queried(
            described.output_join_keys,
            tuple(QueriedRow(one.join_keys, self._row(one.read, encoded).views) for one in rows),
            _slo(rows[0].read) if rows else None,
            more=more,
            labels=described.labels if fetch.want_labels else None,
        )

    async def ingest(self, body: bytes, _caller: Caller, _deadline: float) -> IngestReply:
        """A caller that goes away takes its request along only while it waits in line; a write under way is finished."""
        return await asyncio.wrap_future(self._engine.begin_ingest(body, self._records_per_source))

    async def follow(self, changed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            if not loop.is_closed():  # a version may come into force while the server goes away
                loop.call_soon_threadsafe(changed)

        self._engine.on_change(tell)
        if self._adoption is not None:
            await self._adoption.follow()

    async def ready(self) -> None:
        await self._engine.ready()

    async def aclose(self) -> None:
        """Waits for the writes in line."""
        await asyncio.get_running_loop().run_in_executor(None, self._engine.close)


def _slo(row: RowRead) -> SloInfo:
    """Measured. Nothing is waited for besides the store, so both server times are the same."""
    return SloInfo(
        server_time_s=row.elapsed_s,
        slo_server_time_s=row.elapsed_s,
        store_max_latency_s=row.store_s,
        store_time_s=row.store_s,
        store_response_size_bytes=row.store_bytes,
    )


class _Encoder:
    """One view's values → both spellings."""

    def __init__(self, layout: ViewLayout) -> None:
        self._layout = layout
        self._write = compile_row_writer(layout.features)
        self._times: tuple[int | None, tuple[str | None, ...]] = None, (None,) * len(layout)
        """The effective times told last: they change with what is ingested, not with what is read."""

    def encode(self, read: ViewRead) -> ViewValues:
        newest_ns, times = self._times
        if read.newest_ns != newest_ns:
            times = (None if read.newest_ns is None else format_timestamp_ns(read.newest_ns),) * len(self._layout)
            self._times = read.newest_ns, times
        positional, named = self._write(read.values)
        return ViewValues(self._layout, positional, named, read.statuses, times)
