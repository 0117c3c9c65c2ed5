"""The composition root: settings in, an ASGI application out. The only place that chooses an origin."""

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Lifespan

from gateway.access.gates import Gate, KeyTable, Open, Passthrough
from gateway.access.grants import Grants
from gateway.access_log import AccessLog
from gateway.connecting import connector_of
from gateway.counters import Counters
from gateway.embedded import definitions, open_feature_server
from gateway.feature_server.fault_names import check_names
from gateway.feature_server.faults import FaultLab
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.furnishing import furnish
from gateway.guarding import guarded
from gateway.lifecycle import Lifecycle
from gateway.live import settled_keys
from gateway.measures.book import Book
from gateway.measures.objectives import Objectives
from gateway.on_demand_functions import on_demand_views
from gateway.origins.base import Origin
from gateway.origins.forward import Forwarder
from gateway.origins.tecton import TectonOrigin
from gateway.serving.workers import Workers
from gateway.settings import Server, Settings
from gateway.showing import open_console
from gateway.spans import SPANS_S, close_within, tracer_provider
from gateway.tasks import Tasks
from gateway.telemetry import Sampling, Telemetry
from gateway.web.edge.admission import Admission
from gateway.web.middleware import Problems
from gateway.web.problems import status_of
from gateway.web.routes import Directory, operations, routes

if TYPE_CHECKING:
    from gateway.administering import Access

_UNCOUNTED = 1_000_000
"""Connections that a pool never comes to: httpx's loses some to calls that are cancelled, and must not come to miss them."""


class Operations(Starlette):
    """What is served on the port for probes and metrics. `outermost`: what the gateway has around its own router."""

    def __init__(self, routes: Sequence[Route], outermost: Callable[[Router], ASGIApp]) -> None:
        super().__init__(routes=routes)
        self.router.redirect_slashes = False
        self._outermost = outermost

    def build_middleware_stack(self) -> ASGIApp:
        return self._outermost(self.router)


class Gateway(Starlette):
    """Starlette with one middleware of our own around its router: its stock pair costs two more calls on every request. `lifecycle` is for
    the server to set; `limits`, `admission` and `counters` are its edge's, and `book` holds what it measures. `apply`: to go by other
    settings from then on (`settings.reloading`). `operations`: what is served on the port for probes and metrics, where it is another."""

    def __init__(
        self,
        apply: Callable[[Settings], None],
        lifecycle: Lifecycle,
        limits: Server,
        admission: Admission,
        counters: Counters,
        book: Book,
        access_log: AccessLog,
        telemetry: Telemetry,
        routes: Sequence[BaseRoute],
        operations: Sequence[Route],
        lifespan: Lifespan[Starlette],
    ) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self.apply = apply
        self.lifecycle = lifecycle
        self.limits = limits
        self.admission = admission
        self.counters = counters
        self.book = book
        self.access_log = access_log
        self._telemetry = telemetry
        self.router.redirect_slashes = False
        self.operations = Operations(operations, self._outermost)

    def build_middleware_stack(self) -> ASGIApp:
        return self._outermost(self.router)

    def _outermost(self, router: Router) -> ASGIApp:
        return Problems(Directory(router), self.lifecycle, self.book, self.access_log, self._telemetry)


@dataclass(frozen=True, slots=True)
class Seams:
    """What tests and embedders may put in the place of the real thing. `span_processor` None: what the OTEL_* variables say."""

    clock: Callable[[], float] = time.monotonic
    origin: Origin | None = None
    span_processor: SpanProcessor | None = None
    environment: Mapping[str, str] | None = None
    lifecycle: Lifecycle | None = None


def create_app(settings: Settings, seams: Seams = Seams()) -> Gateway:
    """The gateway as an ASGI application. Opens the embedded server's store; everything is closed by the application's lifespan.

    Raises SettingsError, and what the feature server raises for definitions and stores that do not fit.
    """
    environment = os.environ if seams.environment is None else seams.environment
    tasks, workers = Tasks(), Workers(settings.on_demand.threads)
    counters = Counters()
    inner = seams.origin or open_origin(settings)
    guard = guarded(settings, inner, counters)
    origin = guard or inner
    gate = open_gate(settings)
    provider = tracer_provider(environment, seams.span_processor, counters)
    telemetry = Telemetry(
        provider.get_tracer("feature-gateway", version("feature-gateway")) if provider is not None else None,
        Sampling.named(environment.get("OTEL_TRACES_SAMPLER"), environment.get("OTEL_TRACES_SAMPLER_ARG"), settings.telemetry.sample_ratio),
        Objectives(settings).latency_s,
        status_of,
        trusting=settings.telemetry.trust_traceparent == "always",
    )
    lifecycle, forwarder = seams.lifecycle or Lifecycle(), open_forwarder(settings)
    access = open_access(settings, gate)
    copied = None if access is None else access.copy
    furnished = furnish(settings, origin, gate, telemetry, tasks, workers, seams.clock, counters, lifecycle, guard, forwarder, copied)
    console = open_console(settings, furnished, gate, inner, lifecycle, access, guarded=guard is not None)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as last:  # backwards, and all of it, whichever fails
            if provider is not None:
                last.push_async_callback(close_within, SPANS_S, provider.shutdown)
            for opened in (access, forwarder, origin, furnished, tasks):
                if opened is not None:
                    last.push_async_callback(opened.aclose)
            last.callback(workers.close)
            tasks.start(origin.follow(furnished.forget))
            if access is not None:
                await access.begin()
                tasks.start(access.follow())
            await furnished.begin()
            if console is not None:
                tasks.start(console.follow())
            yield

    doors = [
        *(access.routes() if access is not None else ()),
        *(console.routes if console is not None else ()),
        *routes(furnished.house),
    ]
    sampler_named = bool(environment.get("OTEL_TRACES_SAMPLER"))

    def apply(told: Settings) -> None:
        furnished.live.apply(told, sample_ratio=None if sampler_named else told.telemetry.sample_ratio)

    return Gateway(
        apply,
        lifecycle,
        settings.server,
        furnished.admission,
        furnished.counters,
        furnished.book,
        furnished.access_log,
        telemetry,
        doors,
        operations(furnished.house),
        lifespan,
    )


def open_origin(settings: Settings) -> Origin:
    """The origin that the settings name."""
    if settings.origin.kind == "tecton":
        assert settings.origin.url is not None  # settings.checked refuses it
        connector = connector_of(settings.origin)
        return TectonOrigin(
            connector.channel(settings.origin.url),
            connector.channel(settings.origin.ingest_url) if settings.origin.ingest_url is not None else None,
            view_join_keys={name: view.join_keys for name, view in settings.views.items() if view.join_keys is not None},
            on_demand=on_demand_views(settings),
            batch=settings.origin.batch,
            batches={name: service.batch for name, service in settings.services.items() if service.batch is not None},
        )
    faults = settings.feature_server.faults
    if faults.active:
        check_names(faults, definitions(settings).repository)
    engine, adoption = open_feature_server(settings)
    embedded = EmbeddedOrigin(engine, records_per_source=settings.feature_server.ingest_records_per_source, adoption=adoption)
    return FaultLab(embedded, faults) if faults.active else embedded


def open_forwarder(settings: Settings) -> Forwarder | None:
    """What calls the cluster's other endpoints, where there is a cluster: on connections of its own, which it counts itself."""
    if settings.origin.kind != "tecton":
        return None
    assert settings.origin.url is not None  # settings.checked refuses it
    most = settings.forward.max_connections
    return Forwarder(
        connector_of(settings.origin, max_connections=most if settings.origin.transport == "fast" else _UNCOUNTED).transport,
        settings.origin.url,
        connect_timeout_s=settings.origin.connect_timeout_s,
        max_connections=most,
    )


def open_gate(settings: Settings) -> Gate:
    """Who may read, as `auth.mode` says."""
    upstream = f"Tecton-key {settings.origin.api_key.get_secret_value()}" if settings.origin.api_key is not None else None
    if settings.auth_mode == "passthrough":
        return Passthrough(Grants(settings.auth.grant_life_s))
    if settings.auth_mode == "open":
        return Open(upstream)
    rights, names = settled_keys(settings.auth.keys)
    return KeyTable(rights, upstream, names)


def open_access(settings: Settings, gate: Gate) -> "Access | None":
    """The store of who may do what, where the settings name one."""
    if settings.access_store == "none":
        return None
    from gateway.administering import Access  # noqa: PLC0415 - a third of a second, where it is chosen

    assert isinstance(gate, KeyTable)  # settings.checked refuses another
    return Access(settings, gate)
