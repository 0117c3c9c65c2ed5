"""Spans as bytes: whatever a span holds, they say what the library's would; and of what this gateway tells, nothing is left to it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway import otlp
from gateway.otlp import SpanSender, encoded
from tests.doors.flights import NAMED, V2, named, tecton, tecton_batch
from tests.harness.collector import Collector
from tests.harness.houses import READER, authorization, demo_settings, open_house

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)
INT64S = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 127, 128, -1])
SCALARS = TEXTS | st.booleans() | INT64S | st.floats(allow_nan=False)
ATTRIBUTES = st.dictionaries(TEXTS.filter(bool), SCALARS | st.lists(TEXTS, max_size=3).map(tuple), max_size=6)
STATES = st.sampled_from([None, TraceState(), TraceState([("vendor", "1")])])
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(1)),
    trace_state=STATES,
)
MOMENTS_NS = st.integers(0, 2**63)
RESOURCES = [Resource({"service.name": "one"}), Resource({"service.name": "two"}, "https://schema")]
SCOPES = [InstrumentationScope("gateway"), InstrumentationScope("other", "1.2", "https://schema"), None]


def statuses(code: StatusCode, why: str | None) -> Status:
    return Status(code, why if code is StatusCode.ERROR else None)


SPANS = st.builds(
    ReadableSpan,
    TEXTS,
    CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=st.sampled_from(RESOURCES),
    attributes=ATTRIBUTES | st.none(),
    events=st.lists(st.builds(Event, TEXTS, timestamp=MOMENTS_NS), max_size=1),
    links=st.lists(st.builds(Link, CONTEXTS), max_size=1),
    kind=st.sampled_from(SpanKind),
    status=st.builds(statuses, st.sampled_from(StatusCode), st.none() | TEXTS),
    start_time=MOMENTS_NS,
    end_time=MOMENTS_NS,
    instrumentation_scope=st.sampled_from(SCOPES),
)


def spans_of(request: ExportTraceServiceRequest) -> list[tuple[bytes, bytes, bytes]]:
    """Each with what is said of its resource and its scope; in what order they come is not said."""
    told = []
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            around = resource.resource.SerializeToString() + resource.schema_url.encode(), scope.scope.SerializeToString()
            told += [(*around, span.SerializeToString(deterministic=True)) for span in scope.spans]
    return sorted(told)


def hold(spans: Sequence[ReadableSpan]) -> None:
    request = ExportTraceServiceRequest()
    request.ParseFromString(encoded(spans))
    assert spans_of(request) == spans_of(encode_spans(spans))


@given(st.lists(SPANS, max_size=5))
def test_they_say_what_the_library_says(spans: list[ReadableSpan]) -> None:
    hold(spans)


@pytest.mark.parametrize("value", [True, 1, 1.0, False, 0, 0.0, -0.0, float("nan"), "1", "é" * 200, "", 2**63 - 1, -(2**63)])
def test_what_is_equal_and_not_the_same_is_told_apart(value: Any) -> None:
    for one in (value, True, 1, 1.0, 0, 0.0, False, "1"):
        hold([span(a=one)])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", b"bytes", ("a", "b"), [1, 2], {"a": 1}, None])
def test_what_is_no_plain_value_is_left_to_the_library(value: Any) -> None:
    hold([span(a=value, b="whole"), span(b="whole")])


def span(**attributes: Any) -> ReadableSpan:
    context = SpanContext(1, 2, is_remote=False)
    return ReadableSpan(
        "one", context, attributes=attributes, resource=RESOURCES[0], instrumentation_scope=SCOPES[0], start_time=1, end_time=2
    )


@pytest.fixture
def library_left_alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many spans the library was asked for, and a failure where it was asked to export."""
    asked: list[ReadableSpan] = []

    def by_library(span: ReadableSpan) -> bytes:
        asked.append(span)
        return b""

    monkeypatch.setattr(otlp, "_by_library", by_library)

    def export(*_: object) -> SpanExportResult:
        raise AssertionError("exported by the library")

    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    return lambda: len(asked)


def test_no_span_of_a_read_is_left_to_the_library(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, library_left_alone: Callable[[], int]
) -> None:
    """With the library that is installed: its exporter is built as it is known here."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with open_house(demo_settings(demo_dir, telemetry={"sample_ratio": 1.0})) as house:
            with house.as_caller(READER) as client:
                for path, body in (
                    (f"{NAMED}/features", named()),
                    (f"{V2}/get-features", tecton()),
                    (f"{V2}/get-features-batch", tecton_batch({}, {})),
                    (f"{NAMED}/features", {"joinKeys": {}}),
                    ("/nowhere", {}),
                ):
                    for _ in range(3):
                        client.post(path, json=body, headers=authorization(READER))
            spans = house.spans()
        sender = SpanSender()
        assert sender.export(spans) is SpanExportResult.SUCCESS
        assert len(collector.received.spans) == len(spans) > 10
    assert library_left_alone() == 0


def test_a_receiver_that_refuses_is_a_failure() -> None:
    with Collector() as collector:
        assert SpanSender(endpoint=f"{collector.url}/no/such/path").export([span(a=1)]) is SpanExportResult.FAILURE


@pytest.mark.parametrize("how", ["ended", "too large", "built otherwise", "no bytes for it"])
def test_what_is_out_of_the_ordinary_is_the_librarys(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def export(_: OTLPSpanExporter, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        asked.append(len(spans))
        return SpanExportResult.FAILURE

    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    sender = SpanSender(endpoint="http://127.0.0.1:1", max_request_size=40 if how == "too large" else None)
    if how == "ended":
        sender.shutdown()  # type: ignore[no-untyped-call]  # the library's
    elif how == "no bytes for it":
        monkeypatch.setattr(otlp, "encoded", lambda _: 1 / 0)
    elif how == "built otherwise":
        del sender._client  # as if it had another name
    assert sender.export([span(a="more than forty bytes, as nearly all spans are")]) is SpanExportResult.FAILURE
    assert asked == [1]
