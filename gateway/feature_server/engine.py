"""The embedded feature server: reads of features, ingestion of events, descriptions of feature services, new definitions in place of old.

A read asks the store once. Writes go through one thread of the engine's own (`writer`), so that nobody waits for the disk who only reads.
What is served and what is fed is one immutable object, replaced whole: a read sees one version of the definitions from its beginning to its
end. Knows nothing of origins, wire spellings or callers.
"""

import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from time import perf_counter
from typing import Any, NamedTuple, Self

import msgspec

from gateway.errors import GatewayError, InvalidRequest, NotFound, OriginUnavailable
from gateway.feature_server import migration
from gateway.feature_server.catalog import Catalog, ServedView, ServiceRuntime, SourceRuntime, ViewRuntime
from gateway.feature_server.definitions import Repository
from gateway.feature_server.housekeeping import Housekeeping
from gateway.feature_server.ingest import MAX_RECORDS, Feed, IngestRefused, IngestRequest, accepted, parse_request
from gateway.feature_server.materialize import Ids, store_events
from gateway.feature_server.online.base import Batch, Cell, EventKey, OnlineStore, PromptStore
from gateway.feature_server.reads import FoundRow, Reading, ReadRow, RowRead
from gateway.feature_server.records import RecordReader
from gateway.feature_server.row_reads import RowReader
from gateway.feature_server.timestamps import NS_PER_S, parse_timestamp
from gateway.feature_server.windows import Row
from gateway.feature_server.writer import Writer
from gateway.features import PLAIN, ReadOptions, ServiceRef, Status
from gateway.incidents import incident
from gateway.origins.base import Description, IngestReply

logger = logging.getLogger(__name__)
LATEST_EVENT_TIME = "AGGREGATION_MODE_LATEST_EVENT_TIME"
WALL_CLOCK_TIME = "AGGREGATION_MODE_WALL_CLOCK_TIME"
_RETRY_S = 5.0
_REMEMBERED_READERS = 1_000
_unpack = msgspec.msgpack.Decoder(list).decode


class _Definitions(NamedTuple):
    """What is in force: what is served, the store's names of views, and the catalogs whose views take in events: while a new version's
    history is copied, both."""

    catalog: Catalog
    ids: Ids
    fed: tuple[Catalog, ...]


class _Adoption(NamedTuple):
    """A version of the definitions on its way in."""

    catalog: Catalog
    steps: Iterator[tuple[str, int]]
    done: "Future[None]"
    progress: Callable[[str, int], None]
    commit: Callable[[], None]


def _untold(_view: str, _done: int) -> None:
    pass


def _unkept() -> None:
    pass


class Engine:
    """Open it with `Engine.open`; `close` ends its writer's thread and the store."""

    def __init__(
        self, catalog: Catalog, ids: Ids, store: OnlineStore, now_ns: Callable[[], int], housekeeping: Housekeeping | None
    ) -> None:
        self._store = store
        self._now_ns = now_ns
        self._housekeeping = housekeeping
        self._adoption: _Adoption | None = None
        self._unsettled: Collection[str] | None = None
        """The workspaces served before the definitions in force, while the store has not been told of those."""
        self._definitions = _Definitions(catalog, ids, (catalog,))
        self._prompt = store if isinstance(store, PromptStore) else None
        self._readers: dict[tuple[ServiceRef, frozenset[str]], RowReader] = {}
        self._readers_of = self._definitions
        """What they were made under."""
        self._changed: list[Callable[[], None]] = []
        self._closed: list[Callable[[], None]] = []
        self._adopting = threading.Lock()
        self._writer = Writer[tuple[bytes, int], IngestReply](self._commit, self._between)

    @classmethod
    def open(
        cls,
        repository: Repository,
        store: OnlineStore,
        now_ns: Callable[[], int],
        as_of_ns: int | None = None,
        *,
        housekeeping: Housekeeping | None = None,
        start_empty: Collection[str] = (),
        formerly: Collection[str] = (),
        progress: Callable[[str, int], None] = _untold,
        commit: Callable[[], None] = _unkept,
    ) -> Self:
        """Time is `now_ns()` (nanoseconds since 1970), or stands still at `as_of_ns`. Views that are new to the store get their history
        from others of their source, before this returns: `progress` hears of it, by view and number of join keys. `commit` and `formerly`:
        see `adopt`; the second names the workspaces that were served. Raises DefinitionError and StoreMismatch; the store is the engine's
        to close only once this has returned."""
        catalog = Catalog(repository)
        now = now_ns if as_of_ns is None else lambda: as_of_ns
        ids, copies = migration.prepare(store, catalog, now(), start_empty)
        for view, done in migration.run(store, copies, ids, now()):
            progress(view, done)
        commit()
        migration.settle(store, catalog, now(), formerly)
        return cls(catalog, ids, store, now, housekeeping)

    @property
    def catalog(self) -> Catalog:
        """What is served now."""
        return self._definitions.catalog

    @property
    def immediate(self) -> bool:
        """Whether reads are answered without waiting."""
        return self._store.immediate

    def on_change(self, tell: Callable[[], None]) -> None:
        """`tell` is called, on the writer's thread, when other definitions have come into force."""
        self._changed.append(tell)

    def on_close(self, tell: Callable[[], None]) -> None:
        """`tell` is called when the engine and its store are closed."""
        self._closed.append(tell)

    def adopt(
        self,
        repository: Repository,
        start_empty: Collection[str] = (),
        progress: Callable[[str, int], None] = _untold,
        commit: Callable[[], None] = _unkept,
    ) -> "Future[None]":
        """Serve these definitions as soon as the history of what is new in them is copied; until then the present ones are served, and what
        comes in goes to both. `commit` is called, on the writer's thread, when all is copied and nothing has changed yet: once it has
        returned, it is these definitions that a restart must open; what it raises ends the adoption.

        Blocks for a moment. Raises DefinitionError and MigrationRefused, and nothing has changed then."""
        catalog = Catalog(repository)
        with self._adopting:
            return self._writer.run(lambda: self._begin(catalog, start_empty, progress, commit))

    def _begin(
        self, catalog: Catalog, start_empty: Collection[str], progress: Callable[[str, int], None], commit: Callable[[], None]
    ) -> "Future[None]":
        if self._adoption is not None:
            raise InvalidRequest("Other definitions are on their way in; try again when they are in force.")
        serving, _, _ = self._definitions
        self._settle()
        ids, copies = migration.prepare(self._store, catalog, self._now_ns(), start_empty)
        both = {**self._definitions.ids, **ids}
        self._definitions = _Definitions(serving, both, (serving, catalog))
        steps = migration.run(self._store, copies, both, self._now_ns())
        self._adoption = _Adoption(catalog, steps, Future(), progress, commit)
        self._writer.wake()
        return self._adoption.done

    def _between(self) -> float | None:
        """On the writer's thread, when nobody waits for it, or between two groups of those who do."""
        try:
            self._settle()
            if self._adoption is not None:
                return self._adopt_step(self._adoption)
            if self._housekeeping is not None:
                definitions = self._definitions
                return self._housekeeping.step(definitions.catalog, definitions.ids, self._now_ns())
        except GatewayError as error:
            logger.warning("housekeeping of the online store is put off: %s", error.message)
            return _RETRY_S
        except Exception as error:  # noqa: BLE001 - the writer must go on whatever befalls the rest
            incident(error, logger)
            return _RETRY_S
        return None

    def _adopt_step(self, adoption: _Adoption) -> float:
        try:
            step = next(adoption.steps, None)
            if step is None:
                adoption.commit()
                self._come_into_force(adoption)
            else:
                adoption.progress(*step)
        except Exception as error:
            serving = self._definitions.catalog
            self._definitions = _Definitions(serving, self._definitions.ids, (serving,))
            self._adoption = None
            adoption.done.set_exception(error)
            raise
        return 0.0

    def _come_into_force(self, adoption: _Adoption) -> None:
        formerly = self._definitions.catalog.workspaces
        self._definitions = _Definitions(adoption.catalog, self._definitions.ids, (adoption.catalog,))
        self._adoption = None
        for tell in self._changed:  # first: what was kept of the old ones must not meet the new ones
            tell()
        self._unsettled = formerly
        try:
            self._settle()
        except GatewayError as error:  # in force all the same: it is tried again
            logger.warning("the online store was not told of the new definitions: %s", error.message)
        adoption.done.set_result(None)

    def _settle(self) -> None:
        if self._unsettled is not None:
            migration.settle(self._store, self._definitions.catalog, self._now_ns(), self._unsettled)
            self._unsettled = None

    def describe(self, service: ServiceRef) -> Description:
        runtime = self.catalog.service(service)
        if runtime is None:
            raise NotFound(f"Unknown feature_service_name: {service.name or service.id} for workspace: {service.workspace}")
        return runtime.description

    async def read(self, service: ServiceRef, rows: Sequence[ReadRow], options: ReadOptions = PLAIN) -> list[RowRead]:
        """The wanted views of each row; views that the service does not read are left out."""
        definitions = self._definitions
        return await self._read(definitions, _found(definitions, service), rows, options)

    def read_row(self, service: ServiceRef, join_keys: Mapping[str, Any], views: frozenset[str]) -> RowRead | None:
        """What `read` answers for one row, without options, by a plain function; None where that has to be waited for, or is too rare."""
        if self._prompt is None:
            return None
        definitions = self._definitions
        if self._readers_of is not definitions or len(self._readers) >= _REMEMBERED_READERS:
            self._readers, self._readers_of = {}, definitions
        reader = self._readers.get((service, views))
        if reader is None:
            wanted = [view for name, view in _found(definitions, service).views.items() if name in views]
            reader = self._readers[service, views] = RowReader(self._prompt, wanted, definitions.ids, self._now_ns)
        return reader.read(join_keys)

    async def query(
        self,
        service: ServiceRef,
        row: ReadRow,
        options: ReadOptions = PLAIN,
        *,
        limit: int = 1_000,
        slice_rows: int = 1_000,
        pause: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[list[FoundRow], bool]:
        """A wildcard read: one result for each set of the service's output join keys of which the wildcard view has data; at most `limit`,
        and whether there were more. Rows are read in slices, with a `pause` between them. Raises InvalidRequest for other services."""
        definitions = self._definitions
        runtime = _found(definitions, service)
        wildcard, index = runtime.index_of_request(row.join_keys)
        if index is None:
            return [], False
        outputs = [field.name for field in runtime.description.output_join_keys]
        asked = limit + 1
        while True:  # once, but for keys whose data has expired: those do not count
            keys = await self._store.keys(definitions.ids[wildcard.runtime.stored_as], index, asked)
            found = await self._matches(definitions, runtime, row, options, keys, outputs, slice_rows, pause)
            if len(found) > limit or len(keys) < asked:
                return found[:limit], len(found) > limit
            asked *= 2

    async def _matches(
        self,
        definitions: _Definitions,
        runtime: ServiceRuntime,
        row: ReadRow,
        options: ReadOptions,
        keys: Sequence[bytes],
        outputs: Sequence[str],
        slice_rows: int,
        pause: Callable[[], Awaitable[None]] | None,
    ) -> list[FoundRow]:
        """The rows of these sets of join keys, but for those of which the wildcard view has nothing any more."""
        wildcard = runtime.wildcard
        assert wildcard is not None
        given = [dict(zip(wildcard.join_keys, _unpack(key), strict=True)) for key in keys]
        rows = [ReadRow({**row.join_keys, **{name: one[name] for name in outputs}}, row.views | {wildcard.name}) for one in given]
        read: list[RowRead] = []
        for start in range(0, len(rows), slice_rows):
            if start and pause is not None:
                await pause()
            read += await self._read(definitions, runtime, rows[start : start + slice_rows], options)
        found = [FoundRow(tuple(row.join_keys[name] for name in outputs), one) for row, one in zip(rows, read, strict=True)]
        return [one for one in found if _has_any(one.read, wildcard)]

    async def _read(
        self, definitions: _Definitions, service: ServiceRuntime, rows: Sequence[ReadRow], options: ReadOptions
    ) -> list[RowRead]:
        started = perf_counter()
        at_ns = self._instant(options)
        newest = await self._store.newest() if at_ns is None else None
        reading = Reading(definitions.ids, at_ns, newest, zero_counts=bool(options.coerce_null_counts_to_zero))
        for row in rows:
            reading.plan(service, row)
        asked = perf_counter()
        found = await self._store.read(reading.cells)
        answered = perf_counter()
        views = reading.answers(found)
        sizes = reading.sizes(found)
        store_s, elapsed_s = answered - asked, perf_counter() - started
        return [RowRead(views_of_row, elapsed_s, store_s, size) for views_of_row, size in zip(views, sizes, strict=True)]

    def _instant(self, options: ReadOptions) -> int | None:
        """When windows end; None where each view's newest event says it."""
        if options is PLAIN:
            return self._now_ns()
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
        """Answer an ingest request (contract §6). What is answered with 200 is as durable as the store can make it."""
        return self.begin_ingest(body, max_records).result()

    def begin_ingest(self, body: bytes, max_records: int = MAX_RECORDS) -> "Future[IngestReply]":
        """The same, without waiting. Raises OriginThrottled where too many wait already."""
        return self._writer.submit((body, max_records))

    def _commit(self, group: Sequence[tuple[bytes, int]]) -> Sequence[IngestReply | Exception]:
        """All requests of a group in one write. Where something in one of them breaks it, each gets a write of its own."""
        definitions, now_ns = self._definitions, self._now_ns()
        read = [_parse(definitions.catalog, body, now_ns, max_records) for body, max_records in group]
        feeds = [_feeds(definitions, one) if isinstance(one, IngestRequest) and not one.dry_run else [] for one in read]
        replies: list[IngestReply | Exception] = [
            one if isinstance(one, IngestReply) else accepted(one, fed) for one, fed in zip(read, feeds, strict=True)
        ]
        failure = self._try(definitions, [feed for fed in feeds for feed in fed], now_ns)
        stored = [index for index, fed in enumerate(feeds) if fed]
        for index in stored if failure is not None else ():
            alone = failure if isinstance(failure, GatewayError) or len(stored) == 1 else self._try(definitions, feeds[index], now_ns)
            replies[index] = alone or replies[index]
        return replies

    def _try(self, definitions: _Definitions, feeds: Sequence[Feed], now_ns: int) -> Exception | None:
        try:
            if feeds:
                self._store.write(lambda batch: store_events(batch, feeds, definitions.ids, now_ns))
        except Exception as error:  # noqa: BLE001 - the requests' to be told
            return error
        return None

    def store(self, source: SourceRuntime, rows: Sequence[Row]) -> int:
        """Store rows in the order of the source's columns, in one write, and wait for it. Each view takes those that its serving TTL still
        wants; the number of those that any view took."""
        return self._writer.run(lambda: self._store_rows(source, rows))

    def _store_rows(self, source: SourceRuntime, rows: Sequence[Row]) -> int:
        definitions, now_ns = self._definitions, self._now_ns()
        feeds = [(view, _wanted(view, fed, now_ns)) for view, fed in _fed(definitions, source, rows)]
        self._store.write(lambda batch: store_events(batch, feeds, definitions.ids, now_ns))
        return max((len(fed) for _, fed in feeds), default=0)

    def missing(self, workspace: str, source: str, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of these valid records whose event the source's first view does not hold: what is left of a load."""
        return self._writer.run(lambda: self._missing(workspace, source, records))

    def _missing(self, workspace: str, source: str, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        catalog, ids, _ = self._definitions
        runtime = catalog.sources[workspace, source]
        reader, view = RecordReader(runtime, self._now_ns()), runtime.views[0]
        rows = [reader.read(0, record, []) for record in records]
        keys = [
            EventKey(Cell(ids[view.stored_as], view.key_of_row(row)), row[view.timestamp_column], view.identity_of_row(row)) for row in rows
        ]

        def look(batch: Batch) -> list[bytes | None]:
            return batch.payloads(keys)

        return [record for record, payload in zip(records, self._store.write(look), strict=True) if payload is None]

    def sweep(self) -> None:
        """A whole round of housekeeping, now."""
        if self._housekeeping is not None:
            keeper, definitions = self._housekeeping, self._definitions
            self._writer.run(lambda: keeper.sweep(definitions.catalog, definitions.ids, self._now_ns()))

    async def ready(self) -> None:
        """Raises OriginUnavailable where the store does not answer."""
        await self._store.ready()

    def close(self) -> None:
        """Writes in line are done first."""
        self._writer.close()
        unfinished, self._adoption = self._adoption, None
        if unfinished is not None:
            unfinished.done.set_exception(OriginUnavailable("The feature server is shutting down."))
        self._store.close()
        for tell in self._closed:
            tell()


def _found(definitions: _Definitions, service: ServiceRef) -> ServiceRuntime:
    runtime = definitions.catalog.service(service)
    if runtime is None:
        raise NotFound(
            f"Unable to query FeatureService `{service.name or service.id}` for workspace `{service.workspace}`. Newly created feature"
            " services may take up to 60 seconds to query. Also, ensure that the workspace is a live workspace."
        )
    return runtime


def _has_any(row: RowRead, wildcard: ServedView) -> bool:
    return any(status is Status.PRESENT for view in row.views if view.served is wildcard for status in view.statuses)


def _parse(catalog: Catalog, body: bytes, now_ns: int, max_records: int) -> IngestRequest | IngestReply:
    try:
        return parse_request(body, catalog, now_ns, max_records)
    except IngestRefused as refused:
        return refused.reply


def _feeds(definitions: _Definitions, request: IngestRequest) -> list[Feed]:
    return [feed for source, rows in request.rows for feed in _fed(definitions, source, rows)]


def _fed(definitions: _Definitions, source: SourceRuntime, rows: Sequence[Row]) -> Iterator[Feed]:
    """The rows for every view that takes them in. Definitions that are on their way in may have other columns."""
    fed: set[str] = set()
    for catalog in definitions.fed:
        other = catalog.sources.get((source.workspace, source.source.name))
        for view in other.views if other is not None else ():
            if view.stored_as in fed:
                continue
            fed.add(view.stored_as)
            yield view, rows if view.source.columns == source.source.columns else _converted(source.views, view, rows)


def _wanted(view: ViewRuntime, rows: Sequence[Row], now_ns: int) -> Sequence[Row]:
    if view.view.ttl_s is None:
        return rows
    oldest_ns = now_ns - view.view.ttl_s * NS_PER_S
    return [row for row in rows if row[view.timestamp_column] >= oldest_ns]


def _converted(known: Sequence[ViewRuntime], view: ViewRuntime, rows: Sequence[Row]) -> list[Row]:
    convert = migration.converter(known[0].descriptor(), view)
    return [row for row in map(convert, rows) if None not in [row[column] for column in (*view.key_columns, *view.identity_columns)]]
