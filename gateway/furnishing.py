"""The read path, put together from the settings: what keeps fragments, what brings them in, what lets go of them, and the doors' rooms.

A part of the composition root: `app` says between which origin and which gate it stands.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from gateway.access.gates import Gate, KeyTable
from gateway.access_log import AccessLog
from gateway.cache.calendar import Calendar
from gateway.cache.flights import Flights
from gateway.cache.keys import Key, Namespaces
from gateway.cache.policy import Policies
from gateway.cache.sharing import Invalidation, SharedCache
from gateway.cache.siblings import Siblings
from gateway.cache.store import FragmentStore
from gateway.counters import Counters
from gateway.embedded import instant
from gateway.features import Purge
from gateway.hosting.lag import LoopLag
from gateway.lifecycle import Lifecycle, Worker
from gateway.live import LiveSettings, defaults_of, policies_of
from gateway.measures.book import Book
from gateway.measures.objectives import Objectives
from gateway.measures.promises import Promises
from gateway.origins.base import Origin
from gateway.origins.forward import Forwarder
from gateway.origins.guard.origin import GuardedOrigin
from gateway.origins.targets import Targets
from gateway.request_log import RequestLog
from gateway.serving.checking import OnDemandChecks
from gateway.serving.compiling import PlanCompiler
from gateway.serving.desk import Desk
from gateway.serving.doors import BATCH_DOORS, doors
from gateway.serving.explaining import Explainer
from gateway.serving.fetching import Fetcher
from gateway.serving.gathering import Gatherer
from gateway.serving.inline import InlineReads
from gateway.serving.keeping import Keeper
from gateway.serving.lean import LeanReads
from gateway.serving.purging import Change, Purger
from gateway.serving.querying import WildcardReader
from gateway.serving.reader import FeatureReader
from gateway.serving.readiness import Copied, Readiness
from gateway.serving.recording import Recorder
from gateway.serving.schemas import Schemas
from gateway.serving.second_level import SecondLevel
from gateway.serving.work import Landed
from gateway.serving.workers import Workers
from gateway.settings import Settings, SettingsError
from gateway.tasks import Tasks
from gateway.telemetry import Telemetry
from gateway.web.edge.admission import Admission
from gateway.web.forwarding import Forwarding
from gateway.web.metrics.house import Rooms, rooms_of
from gateway.web.metrics.objectives import objectives_of
from gateway.web.metrics.reads import reads_of
from gateway.web.metrics.siblings import SiblingReports
from gateway.web.metrics.teller import Metrics
from gateway.web.problems import status_of
from gateway.web.routes import House
from gateway.wire.requests import Show, TectonReads


@dataclass(frozen=True, slots=True)
class Furnished:
    """`forget`: makes it forget all that it kept of the origin's definitions and values. `begin` before the first read, `aclose` after the
    last, when no task runs any longer."""

    house: House
    admission: Admission
    counters: Counters
    book: Book
    access_log: AccessLog
    live: LiveSettings
    forget: Callable[[], None]
    begin: Callable[[], Awaitable[None]]
    aclose: Callable[[], Awaitable[None]]


def furnish(
    settings: Settings,
    origin: Origin,
    gate: Gate,
    telemetry: Telemetry,
    tasks: Tasks,
    workers: Workers,
    clock: Callable[[], float],
    counters: Counters,
    lifecycle: Lifecycle,
    guard: GuardedOrigin | None = None,
    forwarder: Forwarder | None = None,
    copied: Copied | None = None,
) -> Furnished:
    """Opens nothing yet but what the settings name wrongly. `guard`: the origin's, and `copied`: the gate's copy of the store of access
    control, where there is one; only their state is looked at. Raises SettingsError."""
    patience_s, name = settings.deadlines.read_s, settings.origin.kind
    namespaces, policies = Namespaces(), policies_of(settings)
    keeper = open_keeper(settings, policies, clock)
    store, flights = keeper.store, Flights[Landed](tasks)
    siblings = None if lifecycle.worker is None else Siblings(lifecycle.worker, tasks, counters)
    replicas, lag = Replicas(open_shared(settings, tasks, counters, clock), siblings, settings, tasks), LoopLag()
    purger = Purger(namespaces, store, flights, counters, clock, replicas.tell)
    checks = OnDemandChecks(settings.on_demand.check_ratio, counters, workers)

    book, promises = open_book(settings, clock)
    access_log = AccessLog(settings.log)
    recorder = Recorder(book, status_of, keeper.effective_at, access_log)

    compiler = PlanCompiler(checks, namespaces, book, policies, defaults_of(settings))

    schemas = Schemas(origin, gate, tasks, compiler.compile, ttl_s=settings.metadata.ttl_s, patience_s=patience_s, clock=clock, book=book)
    checks.on_distrust = schemas.recompile
    fetcher = Fetcher(
        origin,
        name,
        gate,
        keeper,
        telemetry,
        patience_s=patience_s,
        clock=clock,
        learn_labels=schemas.learn_labels,
        checks=checks,
        book=book,
        second_level=None if replicas.shared is None else SecondLevel(replicas.shared, keeper, clock=clock),
    )
    gatherer = Gatherer(
        fetcher,
        gate,
        keeper,
        flights,
        counters,
        patience_s=patience_s,
        clock=clock,
        doubt=lambda errand: schemas.doubt(errand.service, errand.plan),
    )
    inline_reads = InlineReads(origin, name, gate, keeper, telemetry, book, clock=clock)
    lean_reads = LeanReads(fetcher, gate, keeper, flights, counters, patience_s=patience_s, clock=clock)
    request_log = open_request_log(settings, namespaces, store, clock, lifecycle.worker)
    reader = FeatureReader(
        gate,
        schemas,
        store,
        gatherer,
        inline_reads,
        lean_reads,
        workers,
        telemetry,
        recorder,
        request_log,
        patience_s=patience_s,
        clock=clock,
    )
    wildcards = WildcardReader(
        gate,
        schemas,
        origin,
        name,
        tasks,
        workers,
        telemetry,
        recorder,
        max_results=settings.queries.max_results,
        patience_s=patience_s,
        clock=clock,
    )
    admission = Admission(settings.server.max_connections, settings.server.max_connections_per_client)
    rooms = Rooms(counters, store, flights, lag, admission, version("feature-gateway"), name, guard, copied)
    metrics = open_metrics(book, promises, rooms, lifecycle.worker, tasks)
    readiness = Readiness(
        origin,
        copied,
        lifecycle,
        tasks,
        elsewhere=settings.origin.kind == "tecton" or settings.feature_server.store == "redis",
        forgiving=settings.server.ready_while_degraded,
        proven=lambda: schemas.any_known,
        clock=clock,
    )
    tecton = TectonReads(settings.default_workspace, int(Show.NAMES | Show.DATA_TYPES) if settings.include_names_by_default else 0)
    desk = Desk(gate, schemas, origin, purger, book, patience_s=patience_s)
    patient = (schemas, fetcher, gatherer, lean_reads, reader, wildcards, desk)
    live = LiveSettings(compiler, schemas, keeper, book, promises, telemetry, access_log, gate, patient)
    spelt = doors(tecton)
    explainer = Explainer(
        reader,
        spelt.named_single,
        gate,
        store,
        keeper.effective_at,
        status_of,
        origin_name=name,
        breaker_open=None if guard is None else lambda: guard.open,
        clock=clock,
    )
    house = House(
        reader,
        explainer,
        wildcards,
        desk,
        readiness,
        spelt,
        tecton,
        metrics,
        settings.server.max_body_bytes,
        settings.guard.priority_header,
        rooms.version,
        None if forwarder is None else open_forwarding(settings, forwarder, gate, telemetry, counters, tasks),
        settings.auth.paths if settings.access_store != "none" else None,
        gate.admit_metrics if isinstance(gate, KeyTable) and settings.auth.metrics == "role" else None,
        settings.server.operations_port is not None,
    )

    def forget() -> None:
        namespaces.renew()
        schemas.forget()
        store.clear()
        replicas.forget()

    async def aclose() -> None:
        lean_reads.close()
        await metrics.aclose()
        await replicas.aclose()
        if request_log is not None:
            await asyncio.get_running_loop().run_in_executor(None, request_log.close)

    async def begin() -> None:
        for watch in (sweep(store, settings.cache.sweep_every_s, clock), lag.watch(), promises.watch()):
            tasks.start(watch)
        await replicas.begin(purger)
        await metrics.begin()

    return Furnished(house, admission, counters, book, access_log, live, forget, begin, aclose)


def open_metrics(book: Book, promises: Promises, rooms: Rooms, worker: Worker | None, tasks: Tasks) -> Metrics:
    """What is told of all that is measured, by this worker and the others."""
    from gateway.web.metrics.process import look  # noqa: PLC0415 - what it stands on opens files when it is imported

    return Metrics(
        book,
        [reads_of(book, rooms.origin), objectives_of(promises), rooms_of(rooms)],
        look,
        1 if worker is None else worker.number,
        None if worker is None else SiblingReports(worker, tasks, rooms.counters),
    )


def open_forwarding(
    settings: Settings, forwarder: Forwarder, gate: Gate, telemetry: Telemetry, counters: Counters, tasks: Tasks
) -> Forwarding:
    """The door to the cluster's other endpoints. Only what a caller shows itself is ever shown to the cluster there."""
    return Forwarding(
        forwarder,
        Targets(settings.forward.groups),
        gate if settings.auth_mode == "passthrough" else None,
        telemetry,
        counters,
        tasks,
        timeout_s=settings.forward.timeout_s,
        max_body_bytes=settings.server.max_body_bytes,
    )


async def sweep(store: FragmentStore, every_s: float, clock: Callable[[], float]) -> None:
    """Runs for ever: what is of no use any more goes, though nobody asks for its room."""
    while True:
        await asyncio.sleep(every_s)
        await store.sweep(clock())


def open_book(settings: Settings, clock: Callable[[], float]) -> tuple[Book, Promises]:
    """What is measured, and what of it was promised."""
    objectives = Objectives(settings)
    book = Book(objectives.latency_s, objectives.bound_s, BATCH_DOORS)
    return book, Promises(book, objectives, clock)


def open_keeper(settings: Settings, policies: Policies, clock: Callable[[], float]) -> Keeper:
    """The cache, empty. Effective times are held against the time that the origin lives in."""
    as_of_ns = instant(settings) if settings.origin.kind == "embedded" else None
    return Keeper(
        FragmentStore(settings.cache.max_bytes),
        Calendar(settings.cache.jitter),
        beta=settings.cache.early_refresh,
        by_age=policies.bounds_age,
        clock=clock,
        wall_s=time.time if as_of_ns is None else lambda: as_of_ns / 1e9,
    )


def open_shared(settings: Settings, tasks: Tasks, counters: Counters, clock: Callable[[], float]) -> SharedCache | None:
    """The cache that replicas share, where the settings name one. Connects to nothing yet. Raises SettingsError."""
    chosen = settings.cache.shared
    if chosen.url is None:
        return None
    from gateway.cache.shared.cache import RedisSharedCache  # noqa: PLC0415 - a seventh of a second, where it is chosen
    from gateway.redis_servers import Address  # noqa: PLC0415

    try:
        address = Address(chosen.url.get_secret_value(), chosen.cluster, chosen.timeout_s, chosen.timeout_s)
    except ValueError as error:
        raise SettingsError(f"cache.shared.url: {error}") from None
    return RedisSharedCache(
        address,
        tasks,
        counters,
        prefix=chosen.prefix,
        deadline_s=chosen.deadline_ms / 1000,
        longest_fetch_s=settings.deadlines.read_s + 1.0,
        clock=clock,
    )


def open_request_log(
    settings: Settings, namespaces: Namespaces, store: FragmentStore, clock: Callable[[], float], worker: Worker | None
) -> RequestLog | None:
    """The log of reads, where the settings name a file. Each of several workers has its own, as it has a cache of its own."""
    chosen = settings.request_log
    if chosen.path is None:
        return None

    def size_of(key: Key) -> int | None:
        fragment = store.lookup(key)
        return None if fragment is None else fragment.size_bytes

    path = chosen.path if worker is None else chosen.path.with_stem(f"{chosen.path.stem}-{worker.number}")
    return RequestLog(path, sample=chosen.sample, max_bytes=chosen.max_bytes, namespaces=namespaces, size_of=size_of, clock=clock)


class Replicas:
    """The other replicas, by way of the cache that they share, and the other workers of this one; without either, nobody."""

    def __init__(self, shared: SharedCache | None, siblings: Siblings | None, settings: Settings, tasks: Tasks) -> None:
        self.shared = shared
        self._siblings = siblings
        self._tasks = tasks
        self._timeout_s = settings.cache.shared.timeout_s
        self._deadline_s = settings.cache.shared.deadline_ms / 1000

    async def begin(self, purger: Purger) -> None:
        """Hear what others purge, from before the first read."""

        async def hear(told: Sequence[Invalidation]) -> None:
            written = tuple(one for one in told if not isinstance(one, Purge))
            changes: list[Change] = [written, *[one for one in told if isinstance(one, Purge)]]
            for change in changes:
                await purger.apply(change)

        if self._siblings is not None:
            await self._siblings.begin(hear)
        if self.shared is not None:
            self._tasks.start(self.shared.follow(hear))
            await self.shared.listening(self._timeout_s)

    async def tell(self, change: Change) -> None:
        """All are told, also where the caller waits no longer. What cannot be told to other replicas in time is told later; an ingest's
        acknowledgement waits for them no longer than a look-up does."""
        if self.shared is None and self._siblings is None:
            return
        told = [change] if isinstance(change, Purge) else list(change)
        shared = None if self.shared is None else self.shared.invalidate(told)
        wait_s = self._timeout_s if isinstance(change, Purge) else self._deadline_s
        await asyncio.shield(self._tasks.start(self._spread(told, shared, wait_s)))

    async def _spread(self, told: Sequence[Invalidation], shared: "asyncio.Task[bool] | None", wait_s: float) -> None:
        """The shared cache first: a worker that has dropped something must not find it there again."""
        if shared is not None:
            await asyncio.wait({shared}, timeout=wait_s)
        if self._siblings is not None:
            await self._siblings.tell(told)

    def forget(self) -> None:
        """The origin serves other definitions now."""
        if self.shared is not None:
            self.shared.invalidate([Purge()])

    async def aclose(self) -> None:
        if self._siblings is not None:
            await self._siblings.aclose()
        if self.shared is not None:
            await self.shared.aclose()
