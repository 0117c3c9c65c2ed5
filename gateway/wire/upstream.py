"""The gateway as a client: requests to a Tecton cluster, and its replies read strictly.

A reply is believed only where it is whole: as many values as items, every item named and typed, every value of its item's type.
ValueError (whose text holds no value) says what is wrong; the origin turns it into OriginMalformed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from gateway.errors import SchemaDisagreement
from gateway.features import (
    Feature,
    Field,
    Labels,
    ReadOptions,
    ServiceRef,
    SloInfo,
    Status,
    ViewValues,
)
from gateway.wire.shapes import Item, Shape, Times, Told
from gateway.wire.types import decode_type
from gateway.wire.values import compile_plain, compile_reader, is_timestamp

T = TypeVar("T")
_encode = msgspec.json.encode
_ALIASES = {"UNKNOWN": Status.UNKNOWN, "CACHED": Status.CACHED_PRESENT}
_REMEMBERED_SHAPES = 4096
_REMEMBERED_CAPTION_BYTES = 8 * 1024 * 1024
_REASONS = ("UNKNOWN", "DYNAMODB_RESPONSE_SIZE_LIMIT_EXCEEDED", "REDIS_RESPONSE_SIZE_LIMIT_EXCEEDED", "REDIS_LATENCY_LIMIT_EXCEEDED")
"""All that clients know: the Java client throws on any other (contract §4.3)."""
_WANTED = {
    "includeNames": True,
    "includeDataTypes": True,
    "includeEffectiveTimes": True,
    "includeServingStatus": True,
    "includeSloInfo": True,
}
_LABELS = {"includeFeatureDescriptions": True, "includeFeatureTags": True}


class _Slo(msgspec.Struct, rename="camel"):
    slo_eligible: bool = True
    slo_server_time_seconds: float | None = None
    server_time_seconds: float | None = None
    store_max_latency: float | None = None
    store_response_size_bytes: int | None = None
    dynamodb_response_size_bytes: int | None = None
    slo_ineligibility_reasons: list[str] = []
    store_time_seconds: float | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    features: msgspec.Raw
    slo_info: _Slo | list[_Slo] | None = None
    partial_results: bool = False


class _Result(msgspec.Struct, rename="camel"):
    features: msgspec.Raw
    join_keys: list[msgspec.Raw] = []


class _QueryResult(msgspec.Struct, rename="camel"):
    features: list[msgspec.Raw]
    join_keys: list[msgspec.Raw] = []


class _SingleReply(msgspec.Struct):
    result: _Result
    metadata: _Metadata


class _BatchReply(msgspec.Struct):
    result: list[_Result]
    metadata: _Metadata


class _QueryMetadata(msgspec.Struct, rename="camel"):
    features: list[Item] = []
    join_keys: list[Item] = []
    slo_info: _Slo | None = None
    partial_results: bool = False


class _QueryReply(msgspec.Struct):
    metadata: _QueryMetadata
    results: list[_QueryResult] = []


class _Key(msgspec.Struct):
    name: str
    data_type: Any = msgspec.field(name="dataType", default=None)
    type: Any = None


class _MetadataReply(msgspec.Struct, rename="camel"):
    feature_values: list[_Key]
    feature_service_type: str = "DEFAULT"
    input_join_keys: list[_Key] = []
    input_request_context_keys: list[_Key] = []
    output_join_keys: list[_Key] = []


class _ErrorReply(msgspec.Struct):
    message: str = ""
    error: str = ""


_decode_items = msgspec.json.Decoder(list[Item]).decode
_decode_single = msgspec.json.Decoder(_SingleReply).decode
_decode_batch = msgspec.json.Decoder(_BatchReply).decode
_decode_query = msgspec.json.Decoder(_QueryReply).decode
_decode_metadata = msgspec.json.Decoder(_MetadataReply).decode
_decode_error = msgspec.json.Decoder(_ErrorReply).decode


def _locator(service: ServiceRef) -> dict[str, Any]:
    named = {"featureServiceName": service.name} if service.name else {"featureServiceId": service.id}
    return {"workspaceName": service.workspace, **named}


def _wire(value: Any) -> Any:
    """A typed Python value as a request spells it: every int64 a string, NaN and the infinities by name (contract §2.1)."""
    if type(value) is int:
        return str(value)
    if type(value) is float and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if type(value) is dict:
        return {name: inner if type(inner) is str else _wire(inner) for name, inner in value.items()}
    return [_wire(inner) for inner in value] if type(value) is list else value


def _row(join_keys: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    return {"joinKeyMap": _wire(dict(join_keys)), "requestContextMap": _wire(dict(context))}


def _options(options: ReadOptions, latency_budget_ms: int | None) -> dict[str, Any]:
    given = {
        "readFromCache": None if options.read_from_cache else False,
        "writeToCache": None if options.write_to_cache else False,
        "ignoreExtraRequestContextFields": options.ignore_extra_request_context_fields or None,
        "latencyBudgetMs": latency_budget_ms,
        "coerceNullCountsToZero": options.coerce_null_counts_to_zero,
        "aggregationLeadingEdge": options.aggregation_leading_edge,
        "highWatermarkOverride": options.high_watermark_override,
    }
    return {name: value for name, value in given.items() if value is not None}


def get_features_request(
    service: ServiceRef,
    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    options: ReadOptions,
    *,
    latency_budget_ms: int | None,
    want_labels: bool,
) -> bytes:
    """The body of get-features (and query-features) for one (join keys, context) row, of get-features-batch for several. Names, types,
    statuses, effective times and SLO info are always asked for: a vector is built from its own reply alone."""
    params = _common(service, want_labels=want_labels)
    if chosen := _options(options, latency_budget_ms):
        params["requestOptions"] = chosen
    if len(rows) > 1:
        params["requestData"] = [_row(*row) for row in rows]
    else:
        params.update(_row(*rows[0]))
        if options.allow_partial_results:
            params["allowPartialResults"] = True
    return _encode({"params": params})


def _common(service: ServiceRef, *, want_labels: bool) -> dict[str, Any]:
    return {**_locator(service), "metadataOptions": {**_WANTED, **_LABELS} if want_labels else _WANTED}


def plain_request(
    service: ServiceRef,
    join_keys: Mapping[str, Any],
    context: Mapping[str, Any],
    want_labels: bool,  # noqa: FBT001 - as of `_opening`
) -> bytes:
    """The same for one row, without options."""
    return _PLAIN_ROW % (_opening(service, want_labels), _encode(_wire(join_keys)), _encode(_wire(context)) if context else b"{}")


@lru_cache(maxsize=1024)
def _opening(service: ServiceRef, want_labels: bool) -> bytes:  # noqa: FBT001 - by position: a cached call with keywords takes twice as long
    """How every request of a feature service begins that has no options of its own."""
    return _encode({"params": _common(service, want_labels=want_labels)}).removesuffix(b"}}")


_PLAIN_ROW = b'%b,"joinKeyMap":%b,"requestContextMap":%b}}'


def metadata_request(service: ServiceRef) -> bytes:
    return _encode({"params": _locator(service)})


def read_metadata(body: bytes) -> tuple[str, tuple[Field, ...], tuple[Field, ...], tuple[Feature, ...], tuple[Field, ...]]:
    """The reply of Metadata: kind, join keys, context keys, features, output join keys. Raises ValueError."""
    reply = _decode_metadata(body)

    def fields(keys: list[_Key]) -> tuple[Field, ...]:
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("metadata names something twice")
        return tuple(Field(key.name, decode_type(key.data_type if key.data_type is not None else key.type)) for key in keys)

    features = tuple(Feature(field.name, field.dtype) for field in fields(reply.feature_values))
    return (
        reply.feature_service_type,
        fields(reply.input_join_keys),
        fields(reply.input_request_context_keys),
        features,
        fields(reply.output_join_keys),
    )


def read_error(body: bytes) -> str | None:
    """The text of an error body, or None where there is none to be read."""
    try:
        reply = _decode_error(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (reply.message or reply.error)[:1000] or None


class _Caption:
    """What a reply says of its values beside the values: names and types, statuses by row, effective times."""

    def __init__(self, items: Sequence[Item], shape: Shape, rows: int) -> None:
        self.items = items
        self.shape = shape
        self.times: Times = _times(shape, items)
        self.told: list[Told] = [shape.per_view([_status(text) for text in _statuses(items, row, rows)]) for row in range(rows)]
        self.whole = [shape.whole(told, partial=False) for told in self.told]


def _times(shape: Shape, items: Sequence[Item]) -> Times:
    """Effective times by view. Many are the same, and so are one object: they are kept for as long as the values."""
    texts: dict[str | None, str | None] = {}
    times = shape.per_view([texts.setdefault(item.effective_time, item.effective_time) for item in items])
    known: dict[tuple[str | None, ...], tuple[str | None, ...]] = {}
    return tuple([known.setdefault(one, one) for one in times])


def _status(text: str | None) -> Status:
    if text is None:
        return Status.UNKNOWN
    try:
        return Status(text)
    except ValueError:
        return _ALIASES.get(text, Status.UNKNOWN)


def _slo(slo: _Slo | None) -> SloInfo | None:
    if slo is None:
        return None
    return SloInfo(
        slo.slo_eligible,
        slo.server_time_seconds,
        slo.slo_server_time_seconds,
        slo.store_max_latency,
        slo.store_response_size_bytes,
        slo.dynamodb_response_size_bytes,
        tuple(reason if reason in _REASONS else "UNKNOWN" for reason in slo.slo_ineligibility_reasons),
        slo.store_time_seconds,
    )


def _statuses(items: Sequence[Item], index: int, rows: int) -> list[str | None]:
    """The statuses of one row: each item has one for all rows, or a list with one for each."""
    if any(isinstance(item.status, list) and len(item.status) != rows for item in items):
        raise ValueError("a status list that is not one per row")
    return [item.status[index] if isinstance(item.status, list) else item.status for item in items]


def _labels(items: Sequence[Item]) -> dict[str, Labels]:
    return {item.name: Labels(item.description, tuple((item.tags or {}).items())) for item in items}


_WILDCARD = "The feature store's reply has join keys, as those of wildcard feature services do."


class ReplyRow(msgspec.Struct, frozen=True, gc=False):
    """`partial`: the origin left values out because its size limit was met."""

    views: tuple[ViewValues, ...]
    slo: SloInfo | None
    partial: bool


class ReplyReader:
    """Reads GetFeatures replies. Remembers the captions it has seen, whose bytes are the same from reply to reply until a view's newest
    value is another; and their shapes, so that types are parsed once."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[tuple[str, bytes], ...], Shape] = {}
        self._captions: dict[tuple[bytes, int], _Caption] = {}
        self._caption_bytes = 0

    def read(self, body: bytes, rows: int, *, want_labels: bool = False) -> tuple[list[ReplyRow], dict[str, Labels] | None]:
        """The rows of a reply, and the labels that came along, where they are wanted. Raises ValueError for anything not whole."""
        if rows == 1:
            return self._read_one(_decode_single(body), want_labels=want_labels)
        batch = _decode_batch(body)
        results, metadata = batch.result, batch.metadata
        if len(results) != rows:
            raise ValueError(f"{len(results)} results for {rows} rows")
        if any(result.join_keys for result in results):
            raise SchemaDisagreement(_WILDCARD)
        caption, partial = self._caption(bytes(metadata.features), rows), metadata.partial_results
        shape = caption.shape
        slos = metadata.slo_info if isinstance(metadata.slo_info, list) else [metadata.slo_info] * rows
        read: list[ReplyRow] = []
        for index, (result, told) in enumerate(zip(results, caption.told, strict=True)):
            whole = shape.whole(told, partial=True) if partial else caption.whole[index]
            views = shape.views_of(bytes(result.features), told, caption.times, whole)
            read.append(ReplyRow(views, _slo(slos[index] if index < len(slos) else None), partial))
        return read, _labels(caption.items) if want_labels else None

    def _read_one(self, single: _SingleReply, *, want_labels: bool) -> tuple[list[ReplyRow], dict[str, Labels] | None]:
        """The same of a reply that is no batch."""
        result, metadata = single.result, single.metadata
        if result.join_keys:
            raise SchemaDisagreement(_WILDCARD)
        caption, partial, slo = self._caption(bytes(metadata.features), 1), metadata.partial_results, metadata.slo_info
        told = caption.told[0]
        whole = caption.shape.whole(told, partial=True) if partial else caption.whole[0]
        views = caption.shape.views_of(bytes(result.features), told, caption.times, whole)
        if isinstance(slo, list):
            slo = slo[0] if slo else None
        return [ReplyRow(views, _slo(slo), partial)], _labels(caption.items) if want_labels else None

    def _caption(self, raw: bytes, rows: int) -> _Caption:
        caption = self._captions.get((raw, rows))
        if caption is None:
            items = _decode_items(raw)
            caption = _Caption(items, self._shape(items), rows)
            if self._caption_bytes + len(raw) > _REMEMBERED_CAPTION_BYTES:
                self._captions.clear()
                self._caption_bytes = 0
            self._captions[raw, rows] = caption
            self._caption_bytes += len(raw)
        return caption

    def query(self, body: bytes) -> "QueryReply":
        """A QueryFeatures reply, whose rows are read one by one. Raises ValueError for anything not whole."""
        reply = _decode_query(body)
        return QueryReply(reply.results, reply.metadata, self._shape(reply.metadata.features))

    def _shape(self, items: Sequence[Item]) -> Shape:
        if not all(item.effective_time is None or is_timestamp(item.effective_time) for item in items):
            raise ValueError("an effective time that is no timestamp")
        key = tuple([(item.name, bytes(item.data_type)) for item in items])
        shape = self._shapes.get(key)
        if shape is None:
            if len({name for name, _ in key}) != len(key):
                raise ValueError("a reply names a feature twice")
            shape = Shape(items)
            if len(self._shapes) >= _REMEMBERED_SHAPES:
                self._shapes.clear()
            self._shapes[key] = shape
        return shape


_ABSENT = (Status.MISSING_DATA, Status.CACHED_MISSING_DATA, Status.TIME_OUT)


class QueryReply:
    """A QueryFeatures reply (contract §2.5): so many rows, each the values of the output join keys, typed, and the views for them.

    The contract has one status of a feature for all rows, which can only be the worst of them: a value that is there is then PRESENT.
    """

    def __init__(self, results: Sequence[_QueryResult], metadata: _QueryMetadata, shape: Shape) -> None:
        if len({item.name for item in metadata.join_keys}) != len(metadata.join_keys):
            raise ValueError("a reply names a join key twice")
        self.join_keys = tuple(Field(item.name, decode_type(msgspec.json.decode(item.data_type))) for item in metadata.join_keys)
        self.slo = _slo(metadata.slo_info)
        self.partial = metadata.partial_results
        self.labels = _labels(metadata.features)
        self._results = results
        self._items = metadata.features
        self._shape = shape
        self._times = _times(shape, metadata.features)
        self._keys = [_compile_key(field) for field in self.join_keys]

    def __len__(self) -> int:
        return len(self._results)

    def row(self, index: int) -> tuple[tuple[Any, ...], tuple[ViewValues, ...]]:
        """Raises ValueError for a row that is not whole."""
        result, items = self._results[index], self._items
        if len(result.features) != len(items) or len(result.join_keys) != len(self._keys):
            raise ValueError("a result with more or fewer values than there are names")
        keys = tuple([read(bytes(value)) for read, value in zip(self._keys, result.join_keys, strict=True)])
        told = [
            Status.PRESENT if isinstance(item.status, str) and status in _ABSENT and bytes(value) != b"null" else _status(status)
            for item, status, value in zip(items, _statuses(items, index, len(self)), result.features, strict=True)
        ]
        by_view = self._shape.per_view(told)
        return keys, self._shape.views(result.features, by_view, self._times, self._shape.whole(by_view, partial=self.partial))


def _compile_key(field: Field) -> Callable[[bytes], Any]:
    """A join key as a reply spells it → typed Python, as in a request."""
    read, plain = compile_reader(field.dtype), compile_plain(field.dtype) or (lambda value: value)
    return lambda raw: plain(msgspec.json.decode(read(raw)[1]))
