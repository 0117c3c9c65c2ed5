"""The embedded feature server: reads of windowed features, ingestion of events, descriptions of feature services.

A read runs inline on the calling thread (the event loop's) and sees one snapshot of the store. Writes queue for one thread of the engine's
own, so that nobody waits for the disk who only reads. Knows nothing of origins, wire spellings or callers.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from struct import Struct
from threading import BoundedSemaphore
from time import perf_counter
from typing import Any, Self

import msgspec

from gateway.errors import InvalidRequest, NotFound, OriginFailed, OriginThrottled, OriginUnavailable
from gateway.feature_server.catalog import Catalog, ServiceRuntime, ViewRuntime
from gateway.feature_server.definitions import Repository
from gateway.feature_server.functions import Value
from gateway.feature_server.ingest import MAX_RECORDS, IngestRefused, accepted, parse_request
from gateway.feature_server.materialize import store_events
from gateway.feature_server.online.base import OnlineStore, Snapshot, TileRange
from gateway.feature_server.records import RecordReader
from gateway.feature_server.timestamps import parse_timestamp
from gateway.features import PLAIN, ReadOptions, ServiceRef, Status
from gateway.origins.base import Description, IngestReply

LATEST_EVENT_TIME = "AGGREGATION_MODE_LATEST_EVENT_TIME"
WALL_CLOCK_TIME = "AGGREGATION_MODE_WALL_CLOCK_TIME"
MAX_WAITING_WRITES = 64
"""Ingests that may wait for the writer; more are asked to come back, rather than kept in memory."""
_unpack = msgspec.msgpack.Decoder(list[list[Any]]).decode
_LIST_32 = 0xDD
_LIST_HEADER = Struct(">BI")
"""A msgpack list of up to 2^32 elements: its tag and their number."""


@dataclass(frozen=True, slots=True)
class ReadRow:
    """One read: typed join keys by name, and the views that are wanted of the service."""

    join_keys: Mapping[str, Value]
    views: frozenset[str]


@dataclass(frozen=True, slots=True)
class ViewRead:
    """A view's values in the order of its layout. `newest_ns` is its effective time, None where it has no event yet."""

    runtime: ViewRuntime
    values: tuple[Value | None, ...]
    statuses: tuple[Status, ...]
    newest_ns: int | None


@dataclass(frozen=True, slots=True)
class RowRead:
    """What one row got, and what it took: times in seconds, bytes as read from the store."""

    views: tuple[ViewRead, ...]
    elapsed_s: float
    store_max_latency_s: float
    store_bytes: int


class Engine:
    """Open it with `Engine.open`; `close` ends its writer thread and the store."""

    def __init__(self, catalog: Catalog, store: OnlineStore, ids: Mapping[str, int], now_ns: Callable[[], int]) -> None:
        self.catalog = catalog
        self._store = store
        self._ids = dict(ids)
        self._now_ns = now_ns
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="feature-server-writer")
        self._waiting = BoundedSemaphore(MAX_WAITING_WRITES)

    @classmethod
    def open(cls, repository: Repository, store: OnlineStore, now_ns: Callable[[], int], as_of_ns: int | None = None) -> Self:
        """Time is `now_ns()` (nanoseconds since 1970), or stands still at `as_of_ns`. Raises DefinitionError and StoreMismatch;
        the store is the engine's to close only once this has returned."""
        catalog = Catalog(repository)
        ids = store.prepare(catalog.fingerprint, catalog.stored_names)
        return cls(catalog, store, ids, now_ns if as_of_ns is None else lambda: as_of_ns)

    def describe(self, service: ServiceRef) -> Description:
        runtime = self.catalog.service(service)
        if runtime is None:
            raise NotFound(f"Unknown feature_service_name: {service.name or service.id} for workspace: {service.workspace}")
        return runtime.description

    def read(self, service: ServiceRef, rows: Sequence[ReadRow], options: ReadOptions = PLAIN) -> list[RowRead]:
        """The wanted views of each row; views that the service does not read are left out."""
        runtime = self.catalog.service(service)
        if runtime is None:
            raise NotFound(
                f"Unable to query FeatureService `{service.name or service.id}` for workspace `{service.workspace}`. Newly created feature"
                " services may take up to 60 seconds to query. Also, ensure that the workspace is a live workspace."
            )
        at_ns = self._instant(options)
        with self._store.snapshot() as snapshot:
            reading = _Reading(snapshot, self._ids, snapshot.newest(), at_ns, options)
            return [reading.row(runtime, row) for row in rows]

    def _instant(self, options: ReadOptions) -> int | None:
        """When windows end; None where each view's newest event says it."""
        if options.high_watermark_override is not None:
            try:
                return parse_timestamp(options.high_watermark_override)
            except ValueError as error:
                raise InvalidRequest("highWatermarkOverride is not a timestamp") from error
        if options.aggregation_leading_edge == LATEST_EVENT_TIME:
            return None
        if options.aggregation_leading_edge in (None, WALL_CLOCK_TIME):
            return self._now_ns()
        raise InvalidRequest(f"aggregationLeadingEdge is neither {WALL_CLOCK_TIME} nor {LATEST_EVENT_TIME}")

    def ingest(self, body: bytes, max_records: int = MAX_RECORDS) -> IngestReply:
        """Answer an ingest request (contract §6). What is answered with 200 is on disk."""
        return self.begin_ingest(body, max_records).result()

    def begin_ingest(self, body: bytes, max_records: int = MAX_RECORDS) -> "Future[IngestReply]":
        """The same, without waiting. Raises OriginThrottled where too many wait already."""
        if not self._waiting.acquire(blocking=False):
            raise OriginThrottled("Ingest exceeded the concurrent request limit, please retry later", retry_after="1")
        try:
            under_way = self._writer.submit(self._ingest, body, max_records)
        except RuntimeError as error:  # all that submit raises: the thread is shut down
            self._waiting.release()
            raise OriginUnavailable("The feature server is shutting down.") from error
        under_way.add_done_callback(lambda _done: self._waiting.release())
        return under_way

    def _ingest(self, body: bytes, max_records: int) -> IngestReply:
        try:
            request = parse_request(body, self.catalog, self._now_ns(), max_records)
        except IngestRefused as refused:
            return refused.reply
        if not request.dry_run:
            with self._store.transaction() as transaction:
                for source, rows in request.rows:
                    store_events(transaction, source, rows, self._ids)
        return accepted(request)

    def missing(self, workspace: str, source: str, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of these valid records whose event (record key and timestamp) the store does not hold: what is left of a load."""
        return self._writer.submit(self._missing, workspace, source, records).result()

    def _missing(self, workspace: str, source: str, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        runtime = self.catalog.sources[workspace, source]
        source_id, reader = self._ids[runtime.stored_as], RecordReader(runtime, self._now_ns())
        absent = []
        with self._store.transaction() as transaction:
            for record in records:
                row = reader.read(0, record, [])
                if not transaction.has_event(source_id, runtime.record_key(row), row[runtime.timestamp_column]):
                    absent.append(record)
        return absent

    def ready(self) -> None:
        """Raises OriginUnavailable where the store does not answer."""
        self._store.ready()

    def close(self) -> None:
        self._writer.shutdown(wait=True)
        self._store.close()


class _Reading:
    """One call's reads. Rows that share a view's join keys, as candidates of one user do, share its answer too."""

    def __init__(
        self, snapshot: Snapshot, ids: Mapping[str, int], newest: Mapping[int, int], at_ns: int | None, options: ReadOptions
    ) -> None:
        self._snapshot = snapshot
        self._ids = ids
        self._newest = newest
        self._at_ns = at_ns
        self._zero_counts = bool(options.coerce_null_counts_to_zero)
        self._done: dict[tuple[int, bytes | None], ViewRead] = {}
        self._slowest_s = 0.0
        self._bytes = 0

    def row(self, service: ServiceRuntime, row: ReadRow) -> RowRead:
        started = perf_counter()
        self._slowest_s, self._bytes = 0.0, 0
        views = tuple(self._view(view, row.join_keys) for view in service.views if view.name in row.views)
        return RowRead(views, perf_counter() - started, self._slowest_s, self._bytes)

    def _view(self, runtime: ViewRuntime, join_keys: Mapping[str, Value]) -> ViewRead:
        view = self._ids[runtime.stored_as]
        join_key = runtime.key_of_request(join_keys)
        done = self._done.get((view, join_key))
        if done is None:
            done = self._done[view, join_key] = self._read(runtime, view, join_key)
        return done

    def _read(self, runtime: ViewRuntime, view: int, join_key: bytes | None) -> ViewRead:
        plan, newest_ns = runtime.plan, self._newest.get(view)
        if join_key is None or newest_ns is None:
            return self._finished(runtime, plan.values(0, (), ()), newest_ns)
        end = plan.tile_of(newest_ns) + 1 if self._at_ns is None else plan.tile_of(self._at_ns)
        asked = perf_counter()
        stored = self._snapshot.tiles(TileRange(view, join_key, end - plan.horizon_tiles, end))
        self._slowest_s = max(self._slowest_s, perf_counter() - asked)
        # One msgpack list of all tiles, decoded at once: a call per tile would cost as much as the decoding
        joined = b"".join([states for _, states in stored])
        self._bytes += len(joined)
        try:
            states = _unpack(_LIST_HEADER.pack(_LIST_32, len(stored)) + joined)
        except msgspec.DecodeError as error:
            raise OriginFailed(f"A stored tile of feature view {runtime.name} cannot be read.") from error
        return self._finished(runtime, plan.values(end, [tile for tile, _ in stored], states), newest_ns)

    def _finished(self, runtime: ViewRuntime, values: Sequence[Value | None], newest_ns: int | None) -> ViewRead:
        """No data is MISSING_DATA, even where the caller would rather see its count as zero."""
        statuses = tuple(Status.MISSING_DATA if value is None else Status.PRESENT for value in values)
        served = tuple(
            (0 if self._zero_counts and window.function.counts else None) if value is None else present(value) if present else value
            for value, window, present in zip(values, runtime.plan.windows, runtime.presenters, strict=True)
        )
        return ViewRead(runtime, served, statuses, newest_ns)
