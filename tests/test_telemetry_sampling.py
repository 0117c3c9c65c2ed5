"""Whether a read gets a span, and that a span says only what it may."""

import contextvars
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway import request_ids
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    OnDemandBusy,
    OnDemandFailed,
    OnDemandTimeout,
    OriginThrottled,
    OriginTimeout,
    Unauthenticated,
)
from gateway.features import SloInfo
from gateway.telemetry import ATTRIBUTES, ReadFacts, Sampling, Telemetry
from gateway.web.problems import status_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
OBJECTIVE_S = 0.1
TOKEN = "t0ken-7731"
SLO = SloInfo(
    eligible=False,
    server_time_s=0.5,
    slo_server_time_s=0.25,
    store_max_latency_s=0.125,
    store_response_size_bytes=2048,
    dynamodb_response_size_bytes=1024,
    ineligibility_reasons=("UNKNOWN",),
)
FACTS = ReadFacts("live", "fraud", 2, "partial", 3, 1, 1, 12.5, 2, SLO)


def objective_s(_workspace: str, _service: str) -> float:
    return OBJECTIVE_S


class Spans:
    """Spans through the SDK into memory."""

    def __init__(self, *, trusting: bool = True) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.telemetry = Telemetry(self._provider.get_tracer("tests"), Sampling(1.0), objective_s, status_of, trusting=trusting)

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def close(self) -> None:
        self._provider.shutdown()

    def read(
        self, facts: ReadFacts = FACTS, elapsed_s: float = 0.05, error: BaseException | None = None, parent: bytes | None = None
    ) -> Any:
        span = self.telemetry.read_span("POST", "/v1/route", parent, 1_700_000_000_000_000_000)
        assert span is not None
        self.telemetry.end_read(span, facts, elapsed_s, error)
        return self.ended[-1]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.close()


def samples(sampling: Sampling, traceparent: bytes | None) -> bool:
    spans = Spans()
    try:
        return Telemetry(spans.telemetry._tracer, sampling, objective_s, status_of).samples(traceparent)
    finally:
        spans.close()


def flagged(flags: str) -> bytes:
    return f"00-{TRACE}-{SPAN}-{flags}".encode()


@pytest.mark.parametrize(
    ("name", "argument", "sampling"),
    [
        (None, None, Sampling(0.01)),
        ("", "0.5", Sampling(0.01)),
        ("always_on", None, Sampling(1.0, follow_parent=False)),
        ("always_on", "0.2", Sampling(1.0, follow_parent=False)),
        ("always_off", None, Sampling(0.0, follow_parent=False)),
        ("traceidratio", "0.25", Sampling(0.25, follow_parent=False)),
        ("traceidratio", None, Sampling(1.0, follow_parent=False)),
        ("parentbased_always_on", None, Sampling(1.0)),
        ("parentbased_always_off", None, Sampling(0.0)),
        ("parentbased_traceidratio", "0.25", Sampling(0.25)),
        ("parentbased_traceidratio", "", Sampling(1.0)),
        ("parentbased_traceidratio", "much", Sampling(1.0)),
        ("parentbased_traceidratio", "7", Sampling(1.0)),
        ("parentbased_traceidratio", "-1", Sampling(0.0)),
        ("jaeger_remote", "endpoint=x", Sampling(0.01)),
        ("xray", None, Sampling(0.01)),
        ("parentbased_", None, Sampling(0.01)),
        ("parentbased_parentbased_always_on", None, Sampling(0.01)),
    ],
)
def test_the_sampler_is_the_one_that_opentelemetry_names(name: str | None, argument: str | None, sampling: Sampling) -> None:
    assert Sampling.named(name, argument, 0.01) == sampling


@pytest.mark.parametrize("digit", range(16), ids="{:x}".format)
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_lowest_bit_of_the_parents_flags_decides(digit: int, ratio: float) -> None:
    for high in "0f":
        assert samples(Sampling(ratio), flagged(f"{high}{digit:x}")) is bool(digit & 1)


@pytest.mark.parametrize("digit", range(16), ids="{:x}".format)
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_parents_flags_are_nothing_to_a_sampler_that_does_not_follow(digit: int, ratio: float) -> None:
    assert samples(Sampling(ratio, follow_parent=False), flagged(f"0{digit:x}")) is bool(ratio)


UNTRACED = Telemetry(None, Sampling(1.0), objective_s, status_of)
SHORT_OR_LONG = [b"", b"00", PARENT[:-1], PARENT + b"0", PARENT + b"-x", b" " + PARENT, b"\xff"]
MALFORMED = [
    *SHORT_OR_LONG,
    PARENT.upper(),
    PARENT.replace(b"-", b"_"),
    PARENT.replace(b"00-", b"ff-", 1),
    PARENT.replace(b"0af7", b"0zf7"),
    f"00-{'0' * 32}-{SPAN}-01".encode(),
    f"00-{TRACE}-{'0' * 16}-01".encode(),
    b"1" * 55,
    flagged("0g"),
    flagged("\n1"),
]


@pytest.mark.parametrize("header", [None, *MALFORMED])
def test_a_malformed_parent_decides_nothing(header: bytes | None) -> None:
    assert samples(Sampling(1.0), header)
    assert not samples(Sampling(0.0), header)


@pytest.mark.parametrize("header", [None, *MALFORMED])
def test_a_malformed_parent_begins_a_new_trace(spans: Spans, header: bytes | None) -> None:
    span = spans.read(parent=header)
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" != TRACE


def test_a_well_formed_parent_is_the_spans_parent(spans: Spans) -> None:
    span = spans.read(parent=PARENT)
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.parent.is_remote


@given(st.binary(max_size=60))
def test_any_header_is_decided_on(header: bytes) -> None:
    assert samples(Sampling(1.0), header) in {True, False}
    assert UNTRACED.traceparent_of(None, header) in {None, header.decode("latin-1")}


def test_without_a_tracer_nothing_is_sampled() -> None:
    telemetry = Telemetry(None, Sampling(1.0), objective_s, status_of)
    assert not telemetry.samples(PARENT)
    assert telemetry.read_span("POST", "/v1/route", PARENT, 0) is None


def test_the_ratio_is_about_kept() -> None:
    spans = Spans()
    telemetry = Telemetry(spans.telemetry._tracer, Sampling(0.25), objective_s, status_of)
    assert 1_500 < sum(telemetry.samples(None) for _ in range(8_000)) < 2_500
    spans.close()


@pytest.mark.parametrize("header", [None, *SHORT_OR_LONG, PARENT.upper(), b"1" * 55, b"\xff" * 55])
def test_a_malformed_parent_is_not_sent_on(header: bytes | None) -> None:
    assert UNTRACED.traceparent_of(None, header) is None


@pytest.mark.parametrize("header", [f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode()])
def test_a_parent_of_zeros_is_not_sent_on(header: bytes) -> None:
    assert UNTRACED.traceparent_of(None, header) is None


def test_a_read_without_a_span_sends_its_callers_parent_on() -> None:
    assert UNTRACED.traceparent_of(None, PARENT) == PARENT.decode()


def test_a_read_with_a_span_sends_its_own(spans: Spans) -> None:
    span = spans.telemetry.read_span("POST", "/v1/route", PARENT, 0)
    assert span is not None
    context = span.get_span_context()
    assert spans.telemetry.traceparent_of(span, PARENT) == f"00-{TRACE}-{context.span_id:016x}-01"
    span.end()


@pytest.fixture
def distrusting() -> Iterator[Spans]:
    spans = Spans(trusting=False)
    yield spans
    spans.close()


@pytest.mark.parametrize("digit", "01")
def test_a_parent_that_is_not_believed_decides_nothing(digit: str) -> None:
    tracer = Spans().telemetry._tracer
    for ratio in (0.0, 1.0):
        telemetry = Telemetry(tracer, Sampling(ratio), objective_s, status_of, trusting=False)
        assert telemetry.samples(flagged(f"0{digit}")) is bool(ratio)


def test_a_parent_that_is_not_believed_is_linked(distrusting: Spans) -> None:
    span = distrusting.read(parent=PARENT)
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" != TRACE
    [link] = span.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == (TRACE, SPAN)


@pytest.mark.parametrize("header", [None, *MALFORMED])
def test_what_is_no_parent_is_not_linked(distrusting: Spans, header: bytes | None) -> None:
    assert not distrusting.read(parent=header).links


def test_a_parent_that_is_believed_is_not_linked(spans: Spans) -> None:
    assert not spans.read(parent=PARENT).links


def test_a_parent_that_is_not_believed_is_not_sent_on(distrusting: Spans) -> None:
    telemetry = distrusting.telemetry
    assert telemetry.traceparent_of(None, PARENT) is None
    assert telemetry.tracestate_of(PARENT, b"a=b") is None
    span = telemetry.read_span("POST", "/v1/route", PARENT, 0)
    assert TRACE not in (telemetry.traceparent_of(span, PARENT) or "")


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        (b"a=b", "a=b"),
        (b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (b" a=b \t,, c@d=e f ", "a=b,c@d=e f"),
        (b"0a_-*/=!", "0a_-*/=!"),
        (b",".join(b"k%d=v" % number for number in range(32)), ",".join(f"k{number}=v" for number in range(32))),
        (b",".join(b"k%d=v" % number for number in range(33)), None),
        (b"a=" + b"x" * 510, None),
        (b"a=" + b"x" * 300, None),
        (b"", None),
        (b",", None),
        (b"a", None),
        (b"A=b", None),
        (b"a=b=c", None),
        (b"a=", None),
        (b"=b", None),
        (b"a=b\x00", None),
        (b"a=b\r\nx: y", None),
        (b"a=\xff", None),
        (b"a@B=c", None),
    ],
)
def test_a_tracestate_goes_on_where_it_is_one(state: bytes, sent: str | None) -> None:
    assert UNTRACED.tracestate_of(PARENT, state) == sent
    assert UNTRACED.tracestate_of(b"no parent", state) is None
    assert UNTRACED.tracestate_of(None, state) is None


@given(st.binary(max_size=80))
def test_any_tracestate_is_printable_or_goes_nowhere(state: bytes) -> None:
    sent = UNTRACED.tracestate_of(PARENT, state)
    assert sent is None or (sent.isascii() and sent.isprintable())


def test_a_forwarded_call_tells_its_status_and_what_broke_it(spans: Spans) -> None:
    def forwarded(status: int | None, error: BaseException | None) -> Any:
        span = spans.telemetry.read_span("GET", "/api/x/{path}", None, 0)
        assert span is not None
        spans.telemetry.end_forwarded(span, status, error)
        return spans.ended[-1]

    fine, refused = forwarded(200, None), forwarded(403, None)
    assert fine.attributes["http.response.status_code"] == 200
    assert fine.status.status_code is refused.status.status_code is StatusCode.UNSET
    left, not_allowed = forwarded(None, None), forwarded(None, Unauthenticated())
    assert left.attributes.keys() == {"http.request.method", "http.route"}
    assert not_allowed.attributes["http.response.status_code"] == 401
    assert left.status.status_code is not_allowed.status.status_code is StatusCode.UNSET
    for status, error, told in [
        (503, None, 503),
        (None, OriginTimeout(TOKEN), 504),
        (200, OriginTimeout(TOKEN), 200),
        (None, ValueError(TOKEN), 500),
    ]:
        broken = forwarded(status, error)
        assert broken.attributes["http.response.status_code"] == told
        assert broken.status.status_code is StatusCode.ERROR
        assert TOKEN not in broken.to_json()


def test_a_served_read_tells_all_that_it_was(spans: Spans) -> None:
    span = spans.read()
    assert span.name == "POST /v1/route"
    assert span.kind is SpanKind.SERVER
    assert span.start_time == 1_700_000_000_000_000_000
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/route",
        "http.response.status_code": 200,
        "feature_gateway.rows": 2,
        "feature_gateway.slo.objective": OBJECTIVE_S,
        "feature_gateway.slo.met": True,
        "feature_gateway.workspace": "live",
        "feature_gateway.feature_service": "fraud",
        "feature_gateway.cache.outcome": "partial",
        "feature_gateway.cache.views_hit": 3,
        "feature_gateway.cache.views_missed": 1,
        "feature_gateway.cache.views_stale": 0,
        "feature_gateway.cache.views_defaulted": 0,
        "feature_gateway.cache.views_computed": 1,
        "feature_gateway.cache.oldest_age": 12.5,
        "feature_gateway.features.missing": 2,
        "feature_gateway.slo.eligible": False,
        "feature_gateway.slo.ineligibility_reasons": ("UNKNOWN",),
        "feature_gateway.slo.server_time": 0.5,
        "feature_gateway.slo.slo_server_time": 0.25,
        "feature_gateway.slo.store_max_latency": 0.125,
        "feature_gateway.slo.store_response_size": 2048,
    }


ERRORS: list[tuple[BaseException, int, str, bool]] = [
    (InvalidRequest(TOKEN), 400, "caller", False),
    (Unauthenticated(TOKEN), 401, "caller", False),
    (NotFound(TOKEN), 404, "caller", False),
    (OriginTimeout(TOKEN), 504, "origin", True),
    (OnDemandFailed(TOKEN), 400, "definition", False),
    (OnDemandTimeout(TOKEN), 504, "definition", True),
    (OnDemandBusy(TOKEN), 503, "definition", True),
    (OriginThrottled(TOKEN), 429, "origin", True),
    (KeyError(TOKEN), 500, "gateway", True),
    (GatewayError(TOKEN), 500, "gateway", True),
]


@pytest.mark.parametrize(("error", "status", "fault", "failed"), ERRORS)
def test_a_failed_read_tells_the_class_of_its_error_and_nothing_of_its_text(
    spans: Spans, error: BaseException, status: int, fault: str, *, failed: bool
) -> None:
    span = spans.read(ReadFacts(rows=1), error=error)
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["error.type"] == type(error).__name__
    assert span.attributes["feature_gateway.fault"] == fault
    assert span.attributes["feature_gateway.slo.met"] is not failed
    assert (span.status.status_code is StatusCode.ERROR) is failed
    assert not span.events
    assert TOKEN not in span.to_json()


@pytest.mark.parametrize(("elapsed_s", "met"), [(0.0, True), (0.1, True), (0.1001, False), (5.0, False)])
def test_the_objective_is_met_up_to_its_latency(spans: Spans, elapsed_s: float, *, met: bool) -> None:
    assert spans.read(elapsed_s=elapsed_s).attributes["feature_gateway.slo.met"] is met


def test_a_slow_refusal_misses_the_objective(spans: Spans) -> None:
    assert spans.read(elapsed_s=5.0, error=InvalidRequest("")).attributes["feature_gateway.slo.met"] is False


def fetched(spans: Spans, slo: SloInfo | None, error: BaseException | None = None) -> Any:
    parent = spans.telemetry.read_span("POST", "/v1/route", None, 0)
    assert parent is not None
    span = spans.telemetry.origin_span(parent, "tecton", 3)
    spans.telemetry.end_fetch(span, slo, error)
    parent.end()
    return spans.ended[0]


def test_a_fetch_is_a_client_span_below_its_read(spans: Spans) -> None:
    span = fetched(spans, SLO)
    assert span.kind is SpanKind.CLIENT
    assert span.parent.span_id == spans.ended[1].context.span_id
    assert span.attributes["feature_gateway.origin"] == "tecton"
    assert span.attributes["feature_gateway.rows"] == 3
    assert span.attributes["feature_gateway.slo.server_time"] == 0.5
    assert span.status.status_code is StatusCode.UNSET


def test_a_fetch_that_the_origin_says_nothing_of_tells_no_slo(spans: Spans) -> None:
    names = {"origin", "origin.attempts", "origin.hedged", "rows"}
    assert set(fetched(spans, None).attributes) == {f"feature_gateway.{name}" for name in names}


def test_a_fetch_tells_how_often_the_origin_was_asked(spans: Spans) -> None:
    error = OriginTimeout(TOKEN)
    error.attempts = 3
    assert fetched(spans, None, error).attributes["feature_gateway.origin.attempts"] == 3
    span = spans.telemetry.origin_span(spans.telemetry.read_span("POST", "/v1/route", None, 0), "tecton", 1)  # type: ignore[arg-type]
    spans.telemetry.end_fetch(span, None, attempts=2, hedged=True)
    told = dict(spans.ended[-1].attributes or {})
    assert (told["feature_gateway.origin.attempts"], told["feature_gateway.origin.hedged"]) == (2, True)


@pytest.mark.parametrize(("error", "_status", "fault", "_failed"), ERRORS)
def test_a_failed_fetch_is_an_error_by_class_alone(spans: Spans, error: BaseException, _status: int, fault: str, *, _failed: bool) -> None:
    span = fetched(spans, SLO, error)
    assert span.attributes["error.type"] == type(error).__name__
    assert span.attributes["feature_gateway.fault"] == fault
    assert span.status.status_code is StatusCode.ERROR
    assert TOKEN not in span.to_json()


def test_spans_carry_every_documented_attribute_and_no_other(spans: Spans) -> None:
    spans.read()
    for error, *_ in ERRORS:
        spans.read(error=error)
    fetched(spans, SLO)
    fetched(spans, SLO, OriginTimeout(TOKEN))

    def asked() -> None:
        request_ids.assume("r-1")
        spans.read()

    contextvars.copy_context().run(asked)
    assert {name for span in spans.ended for name in span.attributes or {}} == set(ATTRIBUTES)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_has_a_unit_and_a_meaning(name: str) -> None:
    unit, meaning = ATTRIBUTES[name]
    assert unit in {"", "s", "By"} or (unit.startswith("{") and unit.endswith("}"))
    assert meaning.endswith(".")
