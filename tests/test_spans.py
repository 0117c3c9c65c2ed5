"""What becomes of spans that have somewhere to go: taken, refused, waited for in vain; and what reads notice of it, which is nothing."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

from gateway.app import Seams, create_app
from gateway.counters import Counters
from gateway.settings import SettingsError, checked
from gateway.spans import TELL_EVERY_S, Bounds, CountedExporter, SdkEar, close_within, span_exporter, tracer_provider
from tests.doors.flights import NAMED, named
from tests.harness.certificates import Authority, make_authority
from tests.harness.clock import Clock, wait_until
from tests.harness.collector import Collector, GrpcCollector, Manner, grpc_collector
from tests.harness.houses import READER, authorization, demo_settings
from tests.harness.serving import serve
from tests.harness.sockets import ThreadedServer

ENDPOINT, PROTOCOL, TIMEOUT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TIMEOUT"
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "10"}
HASTY = AT_ONCE | {TIMEOUT: "0.3"}


class Reads:
    """A gateway that exports, and what it counted."""

    def __init__(self, client: httpx.Client, counters: Counters) -> None:
        self.counters = counters
        self._client = client

    def read(self, times: int = 1) -> None:
        for _ in range(times):
            assert self._client.post(f"{NAMED}/features", json=named()).status_code == 200

    def settle(self, **counted: int) -> None:
        """Until at least so many were counted."""
        wait_until(lambda: all(getattr(self.counters, f"spans_{name}") >= count for name, count in counted.items()), f"{counted}")

    @property
    def counted(self) -> tuple[int, int, int]:
        return self.counters.spans_exported, self.counters.spans_dropped, self.counters.spans_failed


@contextmanager
def exporting(data_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> Iterator[Reads]:
    """A gateway that traces every read, with these variables of the environment, which the exporters read for themselves."""
    environment = {ENDPOINT: url, **variables}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = create_app(checked(demo_settings(data_dir)), Seams(environment=environment))
    with serve(app) as running, httpx.Client(base_url=running.url, headers=authorization(READER), timeout=30.0) as client:
        yield Reads(client, app.counters)


@contextmanager
def receiver(protocol: str, manner: Manner = "take") -> Iterator[Collector | GrpcCollector]:
    with grpc_collector(manner) if protocol == "grpc" else Collector(manner) as collector:
        yield collector


both_protocols = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])


@both_protocols
@pytest.mark.parametrize("manner", ["take", "slow"])
def test_what_a_receiver_takes_is_counted_as_exported(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, manner: Manner
) -> None:
    with (
        receiver(protocol, manner) as collector,
        exporting(demo_dir, monkeypatch, collector.url, **AT_ONCE, **{PROTOCOL: protocol}) as gateway,
    ):
        gateway.read(3)
        gateway.settle(exported=4)  # three reads and a fetch
        assert gateway.counted == (4, 0, 0)
    assert len(collector.received.spans) == 4


@both_protocols
@pytest.mark.parametrize("manner", ["hang", "busy", "throttle", "cut"])
def test_what_a_receiver_does_not_take_is_counted_as_failed_and_disturbs_no_read(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: str, manner: Manner
) -> None:
    with (
        receiver(protocol, manner) as collector,
        exporting(demo_dir, monkeypatch, collector.url, **HASTY, **{PROTOCOL: protocol}) as gateway,
    ):
        gateway.read()
        gateway.settle(failed=1)
        gateway.read(5)
        gateway.settle(failed=7)
        assert gateway.counted == (0, 0, 7)
        assert collector.received.calls > 0
        assert collector.received.spans == []
    told_once(caplog)


@both_protocols
def test_a_receiver_that_is_not_there_disturbs_no_read(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    with Collector() as collector:
        url = collector.url
    with exporting(demo_dir, monkeypatch, url, **HASTY, **{PROTOCOL: protocol}) as gateway:
        gateway.read(2)
        gateway.settle(failed=3)
        assert gateway.counted == (0, 0, 3)
    told_once(caplog)


@both_protocols
def test_a_receiver_whose_certificate_nobody_vouches_for_gets_nothing(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, protocol: str
) -> None:
    with TlsListener(make_authority(tmp_path)) as listener:
        url = f"https://localhost:{listener.port}"
        with exporting(demo_dir, monkeypatch, url, **HASTY, **{PROTOCOL: protocol}) as gateway:
            gateway.read(2)
            gateway.settle(failed=3)
            assert gateway.counted == (0, 0, 3)
        assert listener.shaken == 0
    told_once(caplog)


class TlsListener(ThreadedServer):
    """Shows a certificate of its own authority; `shaken` counts who believed it."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.shaken = 0
        self._context = authority.server_context()

    async def serve(self, listener: socket.socket, stopping: asyncio.Event) -> None:
        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.shaken += 1
            writer.close()

        async with await asyncio.start_server(connected, sock=listener, ssl=self._context):
            await stopping.wait()


def told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line of the gateway's, none of the SDK's, and no traceback."""
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
    [told] = [record for record in caplog.records if record.name == "gateway.spans" and record.levelno >= logging.WARNING]
    assert told.exc_info is None
    assert "Spans do not arrive at their receiver" in told.message


@both_protocols
def test_a_receiver_that_hangs_fills_a_bounded_queue_and_what_finds_it_full_is_dropped_and_counted(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    bounds = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4", TIMEOUT: "5"}
    with (
        receiver(protocol, "hang") as collector,
        exporting(demo_dir, monkeypatch, collector.url, **AT_ONCE, **bounds, **{PROTOCOL: protocol}) as gateway,
    ):
        gateway.read()
        wait_until(lambda: collector.received.calls == 1, "an export that hangs")
        gateway.read(40)
        assert collector.received.calls == 1, "all of them were answered while it hung"
        assert gateway.counters.spans_failed == gateway.counters.spans_exported == 0
        given = 42
        assert given - 8 - 4 <= gateway.counters.spans_dropped <= given - 8
        collector.release()
    assert sum(gateway.counted) == given, "each was counted once"


def test_a_receiver_that_dies_and_comes_back_gets_what_is_new(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Collector() as collector, exporting(demo_dir, monkeypatch, collector.url, **HASTY) as gateway:
        gateway.read()
        gateway.settle(exported=2)
        collector.stop()
        gateway.read()
        gateway.settle(failed=1)
        collector.start()
        gateway.read()
        gateway.settle(exported=3)
        assert gateway.counted == (3, 0, 1)
    told = [record.message for record in caplog.records if record.name == "gateway.spans"]
    assert told[0].startswith("Spans do not arrive at their receiver; so far 1 failed, 0 were dropped. ")
    assert told[1:] == ["Spans arrive at their receiver again"]


@both_protocols
def test_the_exporters_own_variables_are_honoured(demo_dir: Path, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    own = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=ours", PROTOCOL: protocol}
    with receiver(protocol) as collector, exporting(demo_dir, monkeypatch, collector.url, **AT_ONCE, **own) as gateway:
        gateway.read()
        gateway.settle(exported=2)
    sent = collector.metadata[0] if isinstance(collector, GrpcCollector) else collector.requests[0].headers
    assert sent["x-tenant"] == "ours"
    if isinstance(collector, Collector):
        assert sent["content-encoding"] == "gzip"


def test_a_header_that_is_not_understood_is_not_repeated_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "canary-credential")
    provider = tracer_provider({ENDPOINT: "http://127.0.0.1:1"}, None, Counters())
    assert provider is not None
    provider.shutdown()
    assert [record.message for record in caplog.records] == ["Tracing: headers for the receiver are not understood"]


@pytest.mark.parametrize("name", [TIMEOUT, "OTEL_EXPORTER_OTLP_COMPRESSION"])
def test_variables_that_the_exporter_cannot_begin_with_are_mistakes_in_the_settings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "canary")
    with pytest.raises(SettingsError, match="cannot begin with a value") as raised:
        tracer_provider({ENDPOINT: "http://127.0.0.1:1", PROTOCOL: "grpc"}, None, Counters())
    assert "canary" not in str(raised.value)
    assert logging.getLogger("opentelemetry").propagate, "nobody listens in the SDK's place any more"


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true", ENDPOINT: "http://127.0.0.1:1"}],
)
def test_nothing_is_exported_where_nobody_is_named_to_receive_it(environment: dict[str, str]) -> None:
    assert span_exporter(environment) is None
    assert tracer_provider(environment, None, Counters()) is None


def test_spans_can_be_printed() -> None:
    assert isinstance(span_exporter({"OTEL_TRACES_EXPORTER": "console"}), ConsoleSpanExporter)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", None])
def test_the_exporters_protocol_is_chosen_by_the_standard_variable(protocol: str | None) -> None:
    chosen = {ENDPOINT: "http://127.0.0.1:1"}
    exporter = span_exporter(chosen if protocol is None else chosen | {PROTOCOL: protocol})
    assert exporter is not None
    assert (".grpc." in type(exporter).__module__) is (protocol == "grpc")
    exporter.shutdown()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: zipkin is not one of otlp, console, none"),
        (
            {ENDPOINT: "http://127.0.0.1:1", PROTOCOL: "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: http/json is not one of http/protobuf, grpc",
        ),
    ],
)
def test_an_exporter_that_is_not_known_is_a_mistake_in_the_settings(variables: Mapping[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        span_exporter(variables)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Bounds(2_048, 512, 5_000)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, Bounds(100, 100, 5_000)),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10", "OTEL_BSP_SCHEDULE_DELAY": "7"}, Bounds(2_048, 10, 7)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0", "OTEL_BSP_SCHEDULE_DELAY": "-1"}, Bounds()),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9" * 40}, Bounds()),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": " "}, Bounds()),
    ],
)
def test_what_bounds_the_queue_is_never_a_reason_not_to_start(variables: Mapping[str, str], expected: Bounds) -> None:
    assert Bounds.named(variables) == expected


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, {"service.name": "feature-gateway"}),
        ({"OTEL_SERVICE_NAME": "ours"}, {"service.name": "ours"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs,deployment.environment.name=trial"},
            {"service.name": "theirs", "deployment.environment.name": "trial"},
        ),
    ],
)
def test_the_resource_is_what_the_standard_variables_say_of_it(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], told: Mapping[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    provider = tracer_provider({ENDPOINT: "http://127.0.0.1:1"}, None, Counters())
    assert provider is not None
    attributes = provider.resource.attributes
    provider.shutdown()
    assert {name: attributes[name] for name in told} == told
    assert {"service.version", "service.instance.id", "telemetry.sdk.name"} <= set(attributes)


class Scripted(SpanExporter):
    """Does as it is told, one call after the other."""

    def __init__(self, *results: SpanExportResult | Exception) -> None:
        self._results = list(results)

    def export(self, spans: Any) -> SpanExportResult:
        del spans
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def shutdown(self) -> None:
        pass


def test_that_spans_do_not_arrive_is_said_at_once_and_then_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    clock, counters, ear = Clock(), Counters(), SdkEar()
    ear.begun()
    exporter = CountedExporter(Scripted(*[SpanExportResult.FAILURE] * 4), counters, ear, clock)
    spans: list[ReadableSpan] = []
    for after_s in (0.0, TELL_EVERY_S - 1, 1.0, 1.0):
        clock.advance(after_s)
        exporter.export(spans)
    ear.leave()
    assert len(caplog.records) == 2


def test_spans_of_an_exporter_that_raises_have_failed() -> None:
    counters, ear = Counters(), SdkEar()
    exporter = CountedExporter(Scripted(ValueError("canary")), counters, ear)
    with pytest.raises(ValueError, match="canary"):
        exporter.export([ReadableSpan("one")])
    ear.leave()
    assert (counters.spans_exported, counters.spans_failed) == (0, 1)


async def test_closing_takes_no_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    over = threading.Event()
    await close_within(0.01, over.wait)
    assert [record.message for record in caplog.records] == ["Spans that were not taken within 0.01 s are lost"]
    caplog.clear()
    over.set()
    await asyncio.wait_for(close_within(20.0, over.wait), 20.0)
    assert not caplog.records


def test_of_two_gateways_in_a_process_the_first_to_end_does_not_let_the_sdk_speak() -> None:
    sdk, first, second = logging.getLogger("opentelemetry"), SdkEar(), SdkEar()
    first.leave()
    assert not sdk.propagate
    second.leave()
    assert sdk.propagate
