"""Spans to a receiver of OTLP over HTTP: OpenTelemetry's own exporter, but for how spans become bytes.

The library makes a message for each attribute of each span, in a thread for which the event loop has to wait: that was most of the tail of
reads. Here a span is written as the bytes that its message has (opentelemetry-proto, `trace/v1/trace.proto`), and what is told of nearly
every span, names and values that have come before, is not written again. Whatever a plain span has not is left to the library.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

_KINDS = {SpanKind.INTERNAL: 1, SpanKind.SERVER: 2, SpanKind.CLIENT: 3, SpanKind.PRODUCER: 4, SpanKind.CONSUMER: 5}
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = b"\x0a", b"\x12", b"\x12"
"""Tags of the messages that hold one another: a field's number and wire type."""
_SPAN = b"\x0a\x10%b\x12\x08%b%b\x2a%b\x30%c\x39%b\x41%b%b\x7a%b\x85\x01%b"
"""A span's fields: trace id, span id, parent's id with its tag, name, kind, beginning, end, attributes with their tags, status, flags."""
_KNOWS_REMOTE, _REMOTE = 0x100, 0x200
_SAID_ONCE = 4_096
_LONGEST_SAID = 256
_fixed64, _fixed32, _double = Struct("<Q").pack, Struct("<I").pack, Struct("<d").pack


class SpanSender(OTLPSpanExporter):
    """Fails as the library's does; where the library is built otherwise than we know it, it is the library's."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        client, ended, most = (getattr(self, name, None) for name in ("_client", "_shutdown", "_max_request_size"))
        if client is None or ended is not False or most is None:
            return super().export(spans)
        try:
            request = encoded(spans)
        except Exception:  # noqa: BLE001 - the library meets it again, and tells of it
            return super().export(spans)
        if 0 < most < len(request):
            return super().export(spans)
        return SpanExportResult.SUCCESS if client.export(request).success else SpanExportResult.FAILURE


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """An ExportTraceServiceRequest."""
    together: defaultdict[tuple[int, int], list[ReadableSpan]] = defaultdict(list)
    for span in spans:
        together[id(span.resource), id(span.instrumentation_scope)].append(span)
    return b"".join([_sized(_RESOURCE_SPANS, _of_one_scope(some)) for some in together.values()])


def _of_one_scope(spans: Sequence[ReadableSpan]) -> bytes:
    """A ResourceSpans. All about it but the spans is the library's."""
    [resource] = encode_spans(spans[:1]).resource_spans
    [scope] = resource.scope_spans
    del scope.spans[:]
    around = scope.SerializeToString()
    del resource.scope_spans[:]
    written = b"".join([_sized(_SPANS, _plain(span) or _by_library(span)) for span in spans])
    return bytes(resource.SerializeToString()) + _sized(_SCOPE_SPANS, around + written)


def _plain(span: ReadableSpan) -> bytes | None:
    """A Span without events, links and the like; None where it has them, or what cannot be said."""
    context, parent, status = span.get_span_context(), span.parent, span.status
    if context is None or context.trace_state or span.events or span.links or span.dropped_attributes or status.description:
        return None
    try:
        attributes = b"".join([_attribute(name, value) for name, value in (span.attributes or {}).items()])
        return _SPAN % (
            context.trace_id.to_bytes(16, "big"),
            context.span_id.to_bytes(8, "big"),
            b"" if parent is None else b"\x22\x08" + parent.span_id.to_bytes(8, "big"),
            _text(span.name),
            _KINDS[span.kind],
            _fixed64(span.start_time or 0),
            _fixed64(span.end_time or 0),
            attributes,
            b"\x00" if status.status_code.value == 0 else b"\x02\x18%c" % status.status_code.value,
            _fixed32(_KNOWS_REMOTE | _REMOTE if parent is not None and parent.is_remote else _KNOWS_REMOTE),
        )
    except (TypeError, ValueError, OverflowError):
        return None


def _by_library(span: ReadableSpan) -> bytes:
    [resource] = encode_spans([span]).resource_spans
    return bytes(resource.scope_spans[0].spans[0].SerializeToString())


def _attribute(name: str, value: Any) -> bytes:
    """A span's field with one KeyValue. Raises TypeError for what is no plain value, ValueError for what has no bytes."""
    kind = type(value)
    if kind is float:
        return _before_double(name) + _double(value)
    if kind is str and len(value) > _LONGEST_SAID:
        return _key_value(name, _sized(b"\x0a", value.encode()))
    return _said(name, kind, value)  # type: ignore[arg-type]  # a type is hashable


@lru_cache(maxsize=_SAID_ONCE)
def _said(name: str, kind: Hashable, value: Any) -> bytes:
    """`kind` tells True from 1."""
    if kind is str:
        return _key_value(name, _sized(b"\x0a", value.encode()))
    if kind is bool:
        return _key_value(name, b"\x10\x01" if value else b"\x10\x00")
    if kind is int and -(2**63) <= value < 2**63:
        return _key_value(name, b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF))
    raise TypeError


@lru_cache(maxsize=_SAID_ONCE)
def _before_double(name: str) -> bytes:
    return _key_value(name, b"\x21" + bytes(8))[:-8]


def _key_value(name: str, value: bytes) -> bytes:
    return _sized(b"\x4a", _sized(b"\x0a", name.encode()) + _sized(b"\x12", value))


@lru_cache(maxsize=_SAID_ONCE)
def _text(text: str) -> bytes:
    """With its length before it."""
    return _sized(b"", text.encode())


def _sized(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    if number < 0x80:
        return b"%c" % number
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
