"""SLO telemetry spans: what one read was asked, where its values came from, and whether it kept its objective.

Only the OpenTelemetry API is used here; the SDK and its exporters are chosen in `app`. Whether a read gets a span is decided before
anything is built (the caller's traceparent flag, else a ratio), because an unsampled span through the SDK costs more than the cache hit it
describes. No attribute ever holds a join key, a feature value, a credential, or a name that the schema has not confirmed.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from gateway import request_ids
from gateway.errors import Fault, GatewayError, OriginError
from gateway.features import SloInfo
from gateway.luck import luck

ATTRIBUTES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "http.request.method": ("", "Method of the request; server spans."),
        "http.route": ("", "Route template of the door; server spans."),
        "http.response.status_code": ("", "Status of the reply; server spans."),
        "error.type": ("", "Class of the error, where there was one, as in `gateway/errors.py`; both kinds of span."),
        "feature_gateway.fault": (
            "",
            "Who broke it: caller, origin, definition (of an on-demand view) or gateway; both kinds of span, on errors.",
        ),
        "feature_gateway.request_id": ("", "The request's id, where it has one: no hit has; server spans."),
        "feature_gateway.workspace": ("", "Workspace, once its schema is known."),
        "feature_gateway.feature_service": ("", "Feature service, once its schema is known."),
        "feature_gateway.rows": ("{row}", "Rows of the request, or results of a query; both kinds of span."),
        "feature_gateway.cache.outcome": (
            "",
            "hit: all from cache; partial: some; miss: none; stale: some of it stale; bypass: the request forbade it, or is a query.",
        ),
        "feature_gateway.cache.views_hit": ("{view}", "Views served from cache, fresh, over all rows."),
        "feature_gateway.cache.views_stale": ("{view}", "Views served from cache, stale, over all rows."),
        "feature_gateway.cache.views_missed": ("{view}", "Views that were not in the cache, over all rows."),
        "feature_gateway.cache.views_defaulted": ("{view}", "Of these, views served from the settings' defaults."),
        "feature_gateway.cache.views_computed": ("{view}", "On-demand views computed in the gateway, over all rows."),
        "feature_gateway.cache.oldest_age": ("s", "Age of the oldest cached value served: seconds since the origin was asked for it."),
        "feature_gateway.features.missing": ("{feature}", "Values served as null with a missing, unknown or timed-out status."),
        "feature_gateway.slo.objective": ("s", "Latency objective of the read."),
        "feature_gateway.slo.met": ("", "Whether the read was answered without a server error within the objective."),
        "feature_gateway.slo.eligible": ("", "`sloInfo.sloEligible` of the origin; true for a read served from cache alone."),
        "feature_gateway.slo.ineligibility_reasons": ("", "`sloInfo.sloIneligibilityReasons` of the origin."),
        "feature_gateway.slo.server_time": (
            "s",
            "`sloInfo.serverTimeSeconds` of the origin; the gateway's own for a read served from cache alone.",
        ),
        "feature_gateway.slo.slo_server_time": ("s", "`sloInfo.sloServerTimeSeconds` of the origin."),
        "feature_gateway.slo.store_max_latency": ("s", "`sloInfo.storeMaxLatency` of the origin."),
        "feature_gateway.slo.store_response_size": ("By", "`sloInfo.storeResponseSizeBytes` of the origin."),
        "feature_gateway.origin": ("", "Which origin was called: embedded or tecton; client spans."),
        "feature_gateway.origin.attempts": ("{attempt}", "How often it was asked, retries and a hedge included; client spans."),
        "feature_gateway.origin.hedged": ("", "Whether it was asked a second time because the first was late; client spans of answers."),
    }
)
"""Every attribute that spans carry, with its unit and its meaning; the README's table is held to this by a test."""

_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_TRACESTATE = re.compile(
    r"[a-z0-9][a-z0-9_\-*/]{0,255}(?:@[a-z][a-z0-9_\-*/]{0,13})?=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
"""One member (W3C Trace Context, section 3.3.1)."""
_LONGEST_STATE, _MOST_STATES = 512, 32
_SAMPLED_DIGITS = b"13579bdf"
"""The last hex digits of trace flags whose lowest bit, sampled, is set."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
"""Any other is told as `_OTHER` (semantic conventions): its name is the caller's."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Head sampling. With `follow_parent` the caller's flag decides where there is one; else, and for roots, the ratio."""

    ratio: float
    follow_parent: bool = True

    @classmethod
    def named(cls, name: str | None, argument: str | None, default_ratio: float) -> "Sampling":
        """From OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG (OpenTelemetry specification, SDK environment variables)."""
        if not name:
            return cls(default_ratio)
        base = name.removeprefix("parentbased_")
        ratios = {"always_on": 1.0, "always_off": 0.0, "traceidratio": _ratio(argument)}
        if base not in ratios:
            return cls(default_ratio)
        return cls(ratios[base], follow_parent=base != name)


def _ratio(argument: str | None) -> float:
    try:
        return min(1.0, max(0.0, float(argument or "1")))
    except ValueError:
        return 1.0


@dataclass(slots=True)
class ReadFacts:
    """What a read turned out to be; filled while it is served, told in its span."""

    workspace: str | None = None
    feature_service: str | None = None
    rows: int = 0
    outcome: str | None = None
    views_hit: int = 0
    views_missed: int = 0
    views_computed: int = 0
    oldest_age_s: float = 0.0
    features_missing: int = 0
    slo: SloInfo | None = None
    views_stale: int = 0
    views_defaulted: int = 0


class Telemetry:
    """Decides on spans and writes them. `tracer` None: tracing is off and costs one comparison. `objective_s`: the latency objective of
    a feature service, by workspace and name. `status_of`: an error's HTTP status.

    `trusting`: whether callers' trace context is believed. Where not, it decides nothing, spans are only linked to it, and none of it is
    sent on.
    """

    def __init__(
        self,
        tracer: Tracer | None,
        sampling: Sampling,
        objective_s: Callable[[str, str], float],
        status_of: Callable[[GatewayError], int],
        *,
        trusting: bool = True,
    ) -> None:
        self._tracer = tracer
        self._ratio = sampling.ratio
        self._follows = sampling.follow_parent and trusting
        self._trusting = trusting
        self._objective_s = objective_s
        self._status_of = status_of

    def change(self, ratio: float | None, objective_s: Callable[[str, str], float]) -> None:
        """From now on. `ratio` None: as it is."""
        self._objective_s = objective_s
        if ratio is not None:
            self._ratio = ratio

    def samples(self, traceparent: bytes | None) -> bool:
        """Whether the read with this traceparent header gets spans. On the hit path."""
        if self._tracer is None:
            return False
        if traceparent is not None and self._follows and _TRACEPARENT.fullmatch(traceparent) is not None:
            return traceparent[54] in _SAMPLED_DIGITS
        return luck.random() < self._ratio

    def read_span(self, method: str, route: str | None, traceparent: bytes | None, start_ns: int) -> Span | None:
        """The server span of one request, as a child of the caller's. `start_ns`: wall clock."""
        if self._tracer is None:
            return None
        caller = _remote(traceparent)
        return self._tracer.start_span(
            method if route is None else f"{method} {route}",
            context=trace.set_span_in_context(NonRecordingSpan(caller)) if caller is not None and self._trusting else None,
            kind=SpanKind.SERVER,
            links=[Link(caller)] if caller is not None and not self._trusting else None,
            start_time=start_ns,
            attributes={"http.request.method": method} if route is None else {"http.request.method": method, "http.route": route},
        )

    def end_read(self, span: Span, facts: ReadFacts, elapsed_s: float, error: BaseException | None = None) -> None:
        """Tell what the read was and end its span."""
        status = 200 if error is None else self._status(error)
        server_fault = _is_server_fault(status)
        objective_s = self._objective_s(facts.workspace or "", facts.feature_service or "")
        told: dict[str, object] = {
            "http.response.status_code": status,
            "feature_gateway.request_id": request_ids.current(),
            "feature_gateway.rows": facts.rows,
            "feature_gateway.slo.objective": objective_s,
            "feature_gateway.slo.met": not server_fault and elapsed_s <= objective_s,
            "feature_gateway.workspace": facts.workspace,
            "feature_gateway.feature_service": facts.feature_service,
        }
        if error is None:
            told |= {
                "feature_gateway.cache.outcome": facts.outcome,
                "feature_gateway.cache.views_hit": facts.views_hit,
                "feature_gateway.cache.views_stale": facts.views_stale,
                "feature_gateway.cache.views_missed": facts.views_missed,
                "feature_gateway.cache.views_defaulted": facts.views_defaulted,
                "feature_gateway.cache.views_computed": facts.views_computed,
                "feature_gateway.cache.oldest_age": facts.oldest_age_s,
                "feature_gateway.features.missing": facts.features_missing,
                **_slo_attributes(facts.slo),
            }
        _end(span, told, error, server_fault=server_fault)

    def end_forwarded(self, span: Span, status: int | None, error: BaseException | None = None) -> None:
        """The same of a forwarded call. `status`: the cluster's; None where it did not answer, or its caller left before."""
        if status is None and error is not None:
            status = self._status(error)
        told = {"http.response.status_code": status, "feature_gateway.request_id": request_ids.current()}
        _end(span, told, error, server_fault=status is not None and (_is_server_fault(status) or isinstance(error, OriginError)))

    def tell_request(
        self,
        method: str,
        route: str | None,
        headers: Iterable[tuple[bytes, bytes]],
        request_id: str | None,
        status: int,
        elapsed_s: float,
        error: BaseException | None = None,
    ) -> None:
        """The whole span of any other request, if it is sampled, after its answer. `route`: a template; None: it led nowhere."""
        if self._tracer is None:
            return
        traceparent = b", ".join(value for name, value in headers if name == b"traceparent") or None
        if self.samples(traceparent):
            known = method if method in _METHODS else "_OTHER"
            span = self.read_span(known, route, traceparent, time.time_ns() - int(elapsed_s * 1e9))
            assert span is not None
            told = {"http.response.status_code": status, "feature_gateway.request_id": request_id}
            _end(span, told, error, server_fault=_is_server_fault(status))

    def _status(self, error: BaseException) -> int:
        return self._status_of(error) if isinstance(error, GatewayError) else 500

    def traceparent_of(self, span: Span | None, received: bytes | None) -> str | None:
        """The header to send to the origin: the span's own, or, for a call without a span, the caller's as it came, if it is well formed
        and believed."""
        if span is not None:
            context = span.get_span_context()
            return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        if not self._trusting or received is None or _TRACEPARENT.fullmatch(received) is None:
            return None
        return received.decode("ascii")

    def tracestate_of(self, traceparent: bytes | None, received: bytes | None) -> str | None:
        """The header that goes with a forwarded call's traceparent: the caller's, if both are well formed and believed."""
        if not self._trusting or received is None or _TRACEPARENT.fullmatch(traceparent or b"") is None or len(received) > _LONGEST_STATE:
            return None
        members = [member.strip(" \t") for member in received.decode("latin-1").split(",")]
        kept = [member for member in members if member]
        whole = 0 < len(kept) <= _MOST_STATES and all(_TRACESTATE.fullmatch(member) for member in kept)
        return ",".join(kept) if whole else None

    def origin_span(self, parent: Span, origin: str, rows: int) -> Span:
        """The client span of one fetch from the origin, as a child of the read that leads it."""
        tracer = self._tracer or trace.get_tracer(__name__)
        return tracer.start_span(
            "origin.fetch",
            context=trace.set_span_in_context(parent),
            kind=SpanKind.CLIENT,
            attributes={"feature_gateway.origin": origin, "feature_gateway.rows": rows},
        )

    def end_fetch(
        self, span: Span, slo: SloInfo | None, error: BaseException | None = None, *, attempts: int = 1, hedged: bool = False
    ) -> None:
        told: dict[str, object] = {"feature_gateway.origin.attempts": error.attempts if isinstance(error, OriginError) else attempts}
        if error is None:
            told |= {"feature_gateway.origin.hedged": hedged, **_slo_attributes(slo)}
        _end(span, told, error, server_fault=error is not None)


def trace_id_of(span: Span) -> str:
    """32 hex digits."""
    return f"{span.get_span_context().trace_id:032x}"


def _slo_attributes(slo: SloInfo | None) -> dict[str, object]:
    if slo is None:
        return {}
    return {
        "feature_gateway.slo.eligible": slo.eligible,
        "feature_gateway.slo.ineligibility_reasons": list(slo.ineligibility_reasons) or None,
        "feature_gateway.slo.server_time": slo.server_time_s,
        "feature_gateway.slo.slo_server_time": slo.slo_server_time_s,
        "feature_gateway.slo.store_max_latency": slo.store_max_latency_s,
        "feature_gateway.slo.store_response_size": slo.store_response_size_bytes,
    }


def _end(span: Span, told: Mapping[str, object], error: BaseException | None, *, server_fault: bool) -> None:
    span.set_attributes({name: value for name, value in told.items() if value is not None})  # type: ignore[misc]  # all of OpenTelemetry's types
    if error is not None:
        # The class alone: an error's text may quote the origin, and recorded exceptions carry stack values.
        span.set_attribute("error.type", type(error).__name__)
        span.set_attribute("feature_gateway.fault", str(error.fault if isinstance(error, GatewayError) else Fault.GATEWAY))
    if server_fault:
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _is_server_fault(status: int) -> bool:
    return status >= 500 or status == 429


def _remote(traceparent: bytes | None) -> SpanContext | None:
    """The caller's span (W3C Trace Context, version 00); None where the header is missing or malformed."""
    match = _TRACEPARENT.fullmatch(traceparent or b"")
    if match is None:
        return None
    return SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=TraceFlags(int(match[3], 16)))
