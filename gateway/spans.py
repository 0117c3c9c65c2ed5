"""Spans on their way out of the process: to whom, in what batches, and how many of them got there.

The only place that touches the OpenTelemetry SDK. Whatever becomes of a receiver, reads neither wait for it nor hear of it: spans stand
in a queue of bounded length, what finds it full is dropped, and a thread of the SDK's takes from it. Each span is counted once, as
exported, dropped or failed. What the SDK would log, a line or a traceback for each failure, becomes a line now and then.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from gateway.counters import Counters
from gateway.luck import luck
from gateway.settings import SettingsError

SPANS_S = 5.0
"""For the last spans to be sent."""
TELL_EVERY_S = 30.0
_LONGEST_REASON = 300
_SDK = "opentelemetry"
_HEADERS = "opentelemetry.util.re"
"""Logs the headers that it does not understand, and they hold credentials."""
logger = logging.getLogger(__name__)


def tracer_provider(environment: Mapping[str, str], processor: SpanProcessor | None, counters: Counters) -> TracerProvider | None:
    """A tracer provider where spans have somewhere to go, else None. `processor` None: what the OTEL_* variables say. Sampling is decided
    before (`telemetry.Sampling`). Raises SettingsError."""
    if processor is None:
        processor = open_queue(environment, counters)
        if processor is None:
            return None
    named = Resource.create({"service.name": "feature-gateway", "service.version": version("feature-gateway")})
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=named.merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,
        id_generator=SpanIds(),
    )
    provider.add_span_processor(processor)
    return provider


class SpanIds(RandomIdGenerator):
    """Not from Python's own random numbers, as the SDK's are: see `luck`."""

    def generate_span_id(self) -> int:
        return luck.getrandbits(64) or self.generate_span_id()  # 0 is not valid

    def generate_trace_id(self) -> int:
        return luck.getrandbits(128) or self.generate_trace_id()


def open_queue(environment: Mapping[str, str], counters: Counters) -> "SpanQueue | None":
    ear = SdkEar()
    try:
        exporter = span_exporter(environment)
    except SettingsError:
        ear.leave()
        raise
    if exporter is None:
        ear.leave()
        return None
    return SpanQueue(exporter, Bounds.named(environment), counters, ear)


def span_exporter(environment: Mapping[str, str]) -> SpanExporter | None:
    """By OTEL_TRACES_EXPORTER (otlp, console, none) and OTEL_EXPORTER_OTLP_*; nothing where neither names a receiver. Raises
    SettingsError."""
    named = environment.get("OTEL_TRACES_EXPORTER", "")
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or named == "none" or not (named or endpoint):
        return None
    if named == "console":
        return ConsoleSpanExporter()
    if named not in {"", "otlp"}:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {named} is not one of otlp, console, none")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    try:
        if protocol == "grpc":
            return _grpc_exporter()
        if protocol == "http/protobuf":
            from gateway.otlp import SpanSender  # noqa: PLC0415 - its library is imported only where it is chosen

            return SpanSender()
    except ValueError as error:
        raise SettingsError("OTEL_EXPORTER_OTLP_*: the exporter cannot begin with a value that is set there") from error
    raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol} is not one of http/protobuf, grpc")


def _grpc_exporter() -> SpanExporter:
    """Imported only where it is chosen: grpc takes an eighth of a second."""
    from opentelemetry.exporter.otlp.proto.grpc.exporter import InvalidCompressionValueException  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    try:
        return OTLPSpanExporter()
    except InvalidCompressionValueException as error:
        raise ValueError("compression") from error


@dataclass(frozen=True, slots=True)
class Bounds:
    """OTEL_BSP_*: spans that wait at most, spans in a batch at most, and how long one waits for others to make a batch."""

    queue: int = 2_048
    batch: int = 512
    delay_ms: int = 5_000

    @classmethod
    def named(cls, environment: Mapping[str, str]) -> "Bounds":
        """What is no positive number counts as not set (OpenTelemetry specification), and a batch is never larger than the queue: the SDK
        would not begin."""
        usual = cls()
        queue = _positive(environment, "OTEL_BSP_MAX_QUEUE_SIZE", usual.queue)
        batch = _positive(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.batch)
        return cls(queue, min(queue, batch), _positive(environment, "OTEL_BSP_SCHEDULE_DELAY", usual.delay_ms))


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    said = environment.get(name, "").strip()
    if not said:
        return default
    if said.isascii() and said.isdigit() and len(said) < 10 and int(said) > 0:
        return int(said)
    logger.warning("%s is not a positive number; %d is taken", name, default)
    return default


class SdkEar(logging.Handler):
    """Hears what the SDK would log, in its place, until it leaves. What it says while it is put together is passed on, without traceback;
    later on the last two lines of it are the reason of a failure: why it was tried again, and that it was in vain."""

    def __init__(self) -> None:
        super().__init__()
        self._last = deque[str](maxlen=2)
        self._beginning = True
        self._sdk = logging.getLogger(_SDK)
        self._sdk.propagate = False
        self._sdk.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        said = "headers for the receiver are not understood" if record.name == _HEADERS else record.getMessage()
        said = " ".join(said.split())[:_LONGEST_REASON]
        if self._beginning:
            logger.warning("Tracing: %s", said)
        else:
            self._last.append(said)

    def reason(self) -> str:
        """What was said since this was last asked for. Belongs to the thread that exports, as `emit` then does."""
        said = " / ".join(self._last)
        self._last.clear()
        return said

    def begun(self) -> None:
        self._beginning = False

    def leave(self) -> None:
        self._sdk.removeHandler(self)
        self._sdk.propagate = not any(isinstance(one, SdkEar) for one in self._sdk.handlers)


class CountedExporter(SpanExporter):
    """An exporter that counts what becomes of spans, and tells when they stop arriving and when they arrive again. Called by one thread at
    a time, never the event loop's. `taken`: how many were asked of it."""

    def __init__(self, inner: SpanExporter, counters: Counters, ear: SdkEar, clock: Callable[[], float] = time.monotonic) -> None:
        self.taken = 0
        self._inner = inner
        self._counters = counters
        self._ear = ear
        self._clock = clock
        self._told_s: float | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        arrived = False
        try:
            result = self._inner.export(spans)
            arrived = result is SpanExportResult.SUCCESS
        finally:
            self._note(len(spans), arrived=arrived)
        return result

    def _note(self, spans: int, *, arrived: bool) -> None:
        if arrived:
            self._counters.spans_exported += spans
            if self._told_s is not None:
                logger.info("Spans arrive at their receiver again")
            self._told_s = None
            return
        self._counters.spans_failed += spans
        reason = self._ear.reason()
        now_s = self._clock()
        if self._told_s is None or now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            failed, dropped = self._counters.spans_failed, self._counters.spans_dropped
            logger.warning("Spans do not arrive at their receiver; so far %d failed, %d were dropped. %s", failed, dropped, reason)

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class SpanQueue(SpanProcessor):
    """The SDK's batches behind a count of what waits. The SDK drops too, but says so to its log alone: so it is never given more than
    fits."""

    def __init__(self, exporter: SpanExporter, bounds: Bounds, counters: Counters, ear: SdkEar) -> None:
        self._most = bounds.queue
        self._counters = counters
        self._ear = ear
        self._given = 0
        self._ended = False
        self._exporter = CountedExporter(exporter, counters, ear)
        self._batches = BatchSpanProcessor(self._exporter, bounds.queue, bounds.delay_ms, bounds.batch)
        ear.begun()

    def on_end(self, span: ReadableSpan) -> None:
        """Belongs to one thread: what it adds to is read by others, and written by none. What the exporter has taken may be seen late, and
        then a span too many is dropped."""
        if self._ended or self._given - self._exporter.taken >= self._most:
            self._counters.spans_dropped += 1
            return
        self._given += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        """Tries to send what waits; may take half a minute."""
        self._ended = True
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK's
        self._counters.spans_dropped += self._given - self._exporter.taken
        self._ear.leave()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batches.force_flush(timeout_millis)


async def close_within(seconds: float, close: Callable[[], object]) -> None:
    """Close what may take long: a receiver of spans that is gone is tried for half a minute. Left behind, it does not keep the process from
    ending."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            close()
        finally:
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=run, name="closing", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await closed.wait()
    except TimeoutError:
        logger.warning("Spans that were not taken within %g s are lost", seconds)
