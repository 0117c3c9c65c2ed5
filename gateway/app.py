"""The composition root: settings in, an ASGI application out. The only place that chooses an origin or touches the OpenTelemetry SDK."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from starlette.applications import Starlette
from starlette.types import ASGIApp

from gateway.access.gates import Gate, KeyRights, KeyTable, Open, Passthrough
from gateway.access.grants import Grants
from gateway.cache.flights import Flights
from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies
from gateway.cache.store import FragmentStore
from gateway.embedded import definitions, open_feature_server
from gateway.feature_server.fault_names import check_names
from gateway.feature_server.faults import FaultLab
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.origins.base import Description, Origin
from gateway.origins.tecton import TectonOrigin, connect
from gateway.serving.desk import Desk
from gateway.serving.doors import doors
from gateway.serving.gathering import Gatherer, Landed
from gateway.serving.inline import InlineReads
from gateway.serving.plan import Plan
from gateway.serving.querying import WildcardReader
from gateway.serving.reader import FeatureReader
from gateway.serving.schemas import Schemas
from gateway.serving.workers import Workers
from gateway.settings import Settings, SettingsError
from gateway.tasks import Tasks
from gateway.telemetry import Sampling, Telemetry
from gateway.web.middleware import Problems
from gateway.web.problems import status_of
from gateway.web.routes import Directory, House, routes
from gateway.wire.requests import Show, TectonReads


class Gateway(Starlette):
    """Starlette with one middleware of our own around its router: its stock pair costs two more calls on every request."""

    def build_middleware_stack(self) -> ASGIApp:
        return Problems(Directory(self.router))


@dataclass(frozen=True, slots=True)
class Seams:
    """What tests and embedders may put in the place of the real thing. `span_processor` None: what the OTEL_* variables say."""

    clock: Callable[[], float] = time.monotonic
    origin: Origin | None = None
    span_processor: SpanProcessor | None = None
    environment: Mapping[str, str] | None = None


def create_app(settings: Settings, seams: Seams = Seams()) -> Gateway:
    """The gateway as an ASGI application. Opens the embedded server's store; everything is closed by the application's lifespan.

    Raises SettingsError, and what the feature server raises for definitions and stores that do not fit.
    """
    environment = os.environ if seams.environment is None else seams.environment
    tasks, workers = Tasks(), Workers(settings.on_demand.threads)
    origin = seams.origin or open_origin(settings)
    gate = open_gate(settings)
    provider = tracer_provider(environment, seams.span_processor)
    telemetry = Telemetry(
        provider.get_tracer("feature-gateway", version("feature-gateway")) if provider is not None else None,
        Sampling.named(environment.get("OTEL_TRACES_SAMPLER"), environment.get("OTEL_TRACES_SAMPLER_ARG"), settings.telemetry.sample_ratio),
        settings.telemetry.slo_latency_ms / 1000,
        status_of,
    )
    house, forget = furnish(settings, origin, gate, telemetry, tasks, workers, seams.clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks.start(origin.follow(forget))
        yield
        workers.close()
        await tasks.aclose()
        await origin.aclose()
        if provider is not None:
            await asyncio.get_running_loop().run_in_executor(None, provider.shutdown)

    app = Gateway(routes=routes(house), lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


def furnish(
    settings: Settings, origin: Origin, gate: Gate, telemetry: Telemetry, tasks: Tasks, workers: Workers, clock: Callable[[], float]
) -> tuple[House, Callable[[], None]]:
    """The read path, put together; and what makes it forget all that it kept of the origin's definitions and values."""
    patience_s = settings.deadlines.read_s
    store, namespaces, policies = FragmentStore(settings.cache.max_bytes), Namespaces(), policies_of(settings)

    def compile_plan(description: Description) -> Plan:
        return Plan(description, policies, namespaces)

    schemas = Schemas(origin, gate, tasks, compile_plan, ttl_s=settings.metadata.ttl_s, patience_s=patience_s, clock=clock)
    gatherer = Gatherer(
        origin,
        settings.origin.kind,
        gate,
        store,
        Flights[Landed](tasks),
        telemetry,
        patience_s=patience_s,
        clock=clock,
        learn_labels=schemas.learn_labels,
    )
    wildcards = WildcardReader(
        gate,
        schemas,
        origin,
        settings.origin.kind,
        tasks,
        workers,
        telemetry,
        max_results=settings.queries.max_results,
        patience_s=patience_s,
        clock=clock,
    )
    tecton = TectonReads(settings.default_workspace, int(Show.NAMES | Show.DATA_TYPES) if settings.include_names_by_default else 0)
    house = House(
        FeatureReader(
            gate,
            schemas,
            store,
            gatherer,
            InlineReads(origin, settings.origin.kind, gate, store, telemetry, clock=clock),
            workers,
            telemetry,
            patience_s=patience_s,
            clock=clock,
        ),
        wildcards,
        Desk(gate, schemas, origin, patience_s=patience_s),
        origin,
        doors(tecton),
        tecton,
        settings.server.max_body_bytes,
        version("feature-gateway"),
    )

    def forget() -> None:
        namespaces.renew()
        schemas.forget()
        store.clear()

    return house, forget


def policies_of(settings: Settings) -> Policies:
    return Policies(
        settings.cache.ttl_s,
        {name: service.ttl_s for name, service in settings.services.items() if service.ttl_s is not None},
        {name: view.ttl_s for name, view in settings.views.items() if view.ttl_s is not None},
    )


def open_origin(settings: Settings) -> Origin:
    """The origin that the settings name."""
    if settings.origin.kind == "tecton":
        assert settings.origin.url is not None  # settings.checked refuses it
        client = connect(
            settings.origin.url,
            connect_timeout_s=settings.origin.connect_timeout_s,
            max_connections=settings.origin.max_connections,
        )
        return TectonOrigin(
            client,
            ingest_url=settings.origin.ingest_url,
            view_join_keys={name: view.join_keys for name, view in settings.views.items() if view.join_keys is not None},
            max_reply_bytes=settings.origin.max_reply_bytes,
            batch=settings.origin.batch,
            max_connections=settings.origin.max_connections,
        )
    faults = settings.feature_server.faults
    if faults.active:
        check_names(faults, definitions(settings).repository)
    engine, adoption = open_feature_server(settings)
    embedded = EmbeddedOrigin(engine, records_per_source=settings.feature_server.ingest_records_per_source, adoption=adoption)
    return FaultLab(embedded, faults) if faults.active else embedded


def open_gate(settings: Settings) -> Gate:
    """Who may read, as `auth.mode` says."""
    upstream = f"Tecton-key {settings.origin.api_key.get_secret_value()}" if settings.origin.api_key is not None else None
    if settings.auth_mode == "passthrough":
        return Passthrough(Grants(settings.auth.grant_life_s))
    if settings.auth_mode == "open":
        return Open(upstream)
    keys = {bytes.fromhex(key.digest): KeyRights(key.workspaces, key.ingest) for key in settings.auth.keys.values()}
    return KeyTable(keys, upstream)


def tracer_provider(environment: Mapping[str, str], processor: SpanProcessor | None) -> TracerProvider | None:
    """A tracer provider where spans have somewhere to go, else None. Sampling is decided before (`telemetry.Sampling`)."""
    if processor is None:
        exporter = span_exporter(environment)
        if exporter is None:
            return None
        processor = BatchSpanProcessor(exporter)
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.create({"service.name": environment.get("OTEL_SERVICE_NAME", "feature-gateway")}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    return provider


def span_exporter(environment: Mapping[str, str]) -> SpanExporter | None:
    """By OTEL_TRACES_EXPORTER (otlp, console, none) and OTEL_EXPORTER_OTLP_*; nothing where neither names a receiver."""
    named = environment.get("OTEL_TRACES_EXPORTER", "")
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or named == "none" or not (named or endpoint):
        return None
    if named == "console":
        return ConsoleSpanExporter()
    if named not in {"", "otlp"}:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {named} is not one of otlp, console, none")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if protocol == "grpc":  # imported only where chosen: grpc takes an eighth of a second
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter  # noqa: PLC0415

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter  # noqa: PLC0415

    return HttpExporter()
