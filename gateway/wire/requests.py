"""What callers send, on the Tecton doors and on the named door, as one `ReadRequest`.

camelCase and snake_case are both taken for every field, also mixed; names of join keys, context keys and features are never changed.
The Tecton doors ignore fields they do not know (contract §1.2), the named door, which is ours, refuses them. An explicit null means unset.
Errors: InvalidRequest and MalformedBody, which name the field and never show its value.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntFlag
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from gateway.errors import InvalidRequest
from gateway.features import PLAIN, ReadOptions, ServiceRef
from gateway.wire.fields import NOTHING, boolean, mapping, read_fields, spellings, string, text, texts
from gateway.wire.json import decode_strict
from gateway.wire.values import INT64_MAX, INT64_MIN

T = TypeVar("T")

TECTON_BATCH_LIMIT = 10
_MOST_SHOWN, _LONGEST_SHOWN = 1024, 1024
_MOST_MS = 2**31 - 1
NAMED_BATCH_LIMIT = 1000


class Show(IntFlag):
    """What a reply carries beside the values."""

    NAMES = 1
    DATA_TYPES = 2
    EFFECTIVE_TIMES = 4
    STATUSES = 8
    SLO_INFO = 16
    DESCRIPTIONS = 32
    TAGS = 64
    AGES = 128
    SOURCES = 256

    LABELS = DESCRIPTIONS | TAGS
    ITEMS = NAMES | DATA_TYPES | EFFECTIVE_TIMES | STATUSES | DESCRIPTIONS | TAGS


class RowInput(msgspec.Struct, frozen=True, gc=False):
    """One row as the caller wrote it: untyped, not yet held against the schema."""

    join_keys: Mapping[str, Any]
    context: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"RowInput({len(self.join_keys)} join keys, {len(self.context)} context keys)"


class ReadRequest(msgspec.Struct, frozen=True, gc=False):
    """`show` is a `Show` as a plain int. `selectors` are the named door's `view.*` and `view.feature`; None means everything. `plain`: this
    has no options, age or deadline of its own, and its values are scalars; of others nothing is said."""

    service: ServiceRef
    rows: tuple[RowInput, ...]
    show: int = 0
    options: ReadOptions = PLAIN
    selectors: tuple[str, ...] | None = None
    max_age_s: float | None = None
    deadline_ms: int | None = None
    plain: bool = False


_ENVELOPE = spellings({"params": "params"})
_PARAMS = spellings(
    {
        name: name
        for name in (
            "feature_service_name",
            "feature_service_id",
            "feature_view_name",
            "feature_view_id",
            "feature_package_name",
            "feature_package_id",
            "workspace_name",
            "join_key_map",
            "request_context_map",
            "request_data",
            "metadata_options",
            "allow_partial_results",
            "request_options",
        )
    }
)
_ROW = spellings({"join_key_map": "join_key_map", "request_context_map": "request_context_map"})
_METADATA = spellings(
    {
        name: (name, flag.value)
        for name, flag in {
            "include_names": Show.NAMES,
            "include_data_types": Show.DATA_TYPES,
            "include_effective_times": Show.EFFECTIVE_TIMES,
            "include_serving_status": Show.STATUSES,
            "include_slo_info": Show.SLO_INFO,
            "include_feature_descriptions": Show.DESCRIPTIONS,
            "include_feature_tags": Show.TAGS,
            "include_types": Show.DATA_TYPES,
        }.items()
    }
)
_NAMED = spellings({name: name for name in ("join_keys", "request_context", "features", "include", "max_age_ms", "deadline_ms", "rows")})
_NAMED_QUERY = spellings(
    {name: name for name in ("join_keys", "request_context", "features", "include", "deadline_ms", "allow_partial_results")}
)
_INCLUDE = {
    "status": Show.STATUSES.value,
    "effectiveTime": Show.EFFECTIVE_TIMES.value,
    "effective_time": Show.EFFECTIVE_TIMES.value,
    "ageSeconds": Show.AGES.value,
    "age_seconds": Show.AGES.value,
    "source": Show.SOURCES.value,
    "dataType": Show.DATA_TYPES.value,
    "data_type": Show.DATA_TYPES.value,
}
_LEGACY_LOCATORS = ("feature_view_name", "feature_view_id", "feature_package_name", "feature_package_id")


def _positive(value: Any, spoken: str, *, least: int = 1) -> int:
    """Numbers may come as strings (contract §1.2)."""
    if type(value) is str and len(value) <= 10 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value <= _MOST_MS:
        raise InvalidRequest(f"{spoken} must be a whole number of milliseconds, from {least} to {_MOST_MS}.")
    return value


def _show(given: Any) -> int:
    if type(given) is not dict:
        raise InvalidRequest("metadataOptions must be a JSON object.")
    show = 0
    for name, flag, value in _chosen(given, _METADATA, "metadataOptions"):
        if boolean(value, name):
            show |= flag
    return show


def _chosen(given: Mapping[str, Any], table: Mapping[str, tuple[str, T]], where: str) -> list[tuple[str, T, Any]]:
    """The options that are known and set: the name as it is spelled, what the table says of it, the value."""
    chosen: list[tuple[str, T, Any]] = []
    fields: set[str] = set()
    for name, value in given.items():
        known = table.get(name)
        if known is not None and value is not None:
            if known[0] in fields:
                raise InvalidRequest(f"{where} has {known[0]} twice, in camelCase and in snake_case.")
            fields.add(known[0])
            chosen.append((name, known[1], value))
    return chosen


_LEADING_EDGES = ("AGGREGATION_MODE_WALL_CLOCK_TIME", "AGGREGATION_MODE_LATEST_EVENT_TIME")


def _leading_edge(value: Any, spoken: str) -> str:
    if value not in _LEADING_EDGES:
        raise InvalidRequest(f"{spoken} must be one of: [{' '.join(_LEADING_EDGES)}]")
    return str(value)


_OPTIONS: dict[str, tuple[str, tuple[str, Callable[[Any, str], Any]]]] = spellings(
    {
        name: (name, (name, read))
        for name, read in {
            "read_from_cache": boolean,
            "write_to_cache": boolean,
            "ignore_extra_request_context_fields": boolean,
            "latency_budget_ms": _positive,
            "coerce_null_counts_to_zero": boolean,
            "aggregation_leading_edge": _leading_edge,
            "high_watermark_override": string,
        }.items()
    }
)


def _options(given: Any, *, allow_partial_results: bool) -> ReadOptions:
    if type(given) is not dict:
        raise InvalidRequest("requestOptions must be a JSON object.")
    chosen = {option: read(value, name) for name, (option, read), value in _chosen(given, _OPTIONS, "requestOptions")}
    if allow_partial_results:
        chosen["allow_partial_results"] = True
    return ReadOptions(**chosen) if chosen else PLAIN


def _locate(fields: Mapping[str, Any], default_workspace: str, path: ServiceRef | None) -> ServiceRef:
    if path is not None:  # V2: what stands in the path wins over what the body repeats
        return path
    name = text(fields, "feature_service_name", "featureServiceName")
    identity = text(fields, "feature_service_id", "featureServiceId")
    if any(legacy in fields for legacy in _LEGACY_LOCATORS):
        raise InvalidRequest("Feature views and feature packages cannot be read by themselves here: name a feature service.")
    if bool(name) == bool(identity):
        raise InvalidRequest("Exactly one of featureServiceName and featureServiceId must be set.")
    return ServiceRef(text(fields, "workspace_name", "workspaceName") or default_workspace, name, identity)


def _params(body: bytes) -> dict[str, Any]:
    envelope = read_fields(decode_strict(body), _ENVELOPE, "The body")
    if "params" not in envelope:
        raise InvalidRequest("The body must have the field params.")
    return read_fields(envelope["params"], _PARAMS, "params")


_Int64 = Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]
_PlainJoinKeys = dict[str, str | _Int64 | None]
_PlainContext = dict[str, str | _Int64 | float | bool | None]


_PlainName = Annotated[str, msgspec.Meta(min_length=1)]
_ABSENT = msgspec.Raw(b"")


class _PlainParams(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The parameters of the plain case: camelCase, a service by name, scalar values, no request options but empty ones. What is to be
    shown is told by its bytes, which a client repeats."""

    feature_service_name: _PlainName
    workspace_name: _PlainName
    join_key_map: _PlainJoinKeys
    request_context_map: _PlainContext | None = None
    metadata_options: msgspec.Raw = _ABSENT
    request_options: dict[str, bool] | None = None
    allow_partial_results: bool | None = None


class _PlainEnvelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    params: _PlainParams


class _PlainNamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The plain case of the named door: camelCase, scalar values, no deadline or age of its own."""

    join_keys: _PlainJoinKeys
    request_context: _PlainContext | None = None
    features: list[str] | None = None
    include: list[str] | None = None


class _PlainRow(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    join_keys: _PlainJoinKeys
    request_context: _PlainContext | None = None


class _PlainBatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The plain case of the named door's batch."""

    rows: list[_PlainRow]
    features: list[str] | None = None
    include: list[str] | None = None


_decode_plain_batch = msgspec.json.Decoder(_PlainBatch).decode
_decode_plain = msgspec.json.Decoder(_PlainEnvelope).decode
_decode_plain_named = msgspec.json.Decoder(_PlainNamed).decode
_decode_flags = msgspec.json.Decoder(dict[str, bool] | None).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Nearly every request is plain, and the two functions below read it in half of the general decoder's time. They answer None for all else,
# good or bad. The general decoder says the same of all that passes them (a property test holds them together): a struct admits no unknown
# member, and as many colons as members mean that none was a duplicate (see `json.decode_strict`).


def _plain_named(body: bytes) -> _PlainNamed | None:
    try:
        plain = _decode_plain_named(body)
    except _UNREADABLE:
        return None
    members = 1 + len(plain.join_keys)
    if plain.request_context is not None:
        members += 1 + len(plain.request_context)
    members += (plain.features is not None) + (plain.include is not None)
    return plain if members == body.count(b":") else None


def _plain_batch(body: bytes) -> _PlainBatch | None:
    try:
        plain = _decode_plain_batch(body)
    except _UNREADABLE:
        return None
    members = 1 + (plain.features is not None) + (plain.include is not None)
    for row in plain.rows:
        context = row.request_context
        members += 1 + len(row.join_keys) if context is None else 2 + len(row.join_keys) + len(context)
    return plain if members == body.count(b":") and 0 < len(plain.rows) <= NAMED_BATCH_LIMIT else None


class _Shown(NamedTuple):
    """Metadata options as they were spelled. `members`: how many colons a body with them has, beside those of its join keys and context;
    below zero where they are not plain."""

    show: int
    members: int


class TectonReads:
    """The decoder of the Tecton doors. `show_by_default` is what a request without metadataOptions of its own is shown."""

    def __init__(self, default_workspace: str = "prod", show_by_default: int = 0) -> None:
        self.default_workspace = default_workspace
        self.show_by_default = show_by_default
        self._shown: dict[bytes, _Shown] = {b"": _Shown(show_by_default, 4)}

    def single(self, body: bytes, path: ServiceRef | None = None) -> ReadRequest:
        """GetFeatures, V1 and V2 (contract §2.1, §5)."""
        plain = self._plain(body, path)
        if plain is not None:
            return plain
        fields = _params(body)
        row = RowInput(mapping(fields, "join_key_map", "joinKeyMap"), mapping(fields, "request_context_map", "requestContextMap"))
        return self._request(fields, path, (row,))

    def _plain(self, body: bytes, path: ServiceRef | None) -> ReadRequest | None:
        try:
            params = _decode_plain(body).params
        except _UNREADABLE:
            return None
        options = bytes(params.metadata_options)
        show, members = self._shown.get(options) or self._show(options)
        join_keys, context = params.join_key_map, params.request_context_map
        if context is not None:
            members += 1 + len(context)
        if params.request_options is not None or params.allow_partial_results is not None:  # empty, as the official client sends them
            if params.request_options or params.allow_partial_results:
                return None
            members += (params.request_options is not None) + (params.allow_partial_results is not None)
        if members + len(join_keys) != body.count(b":"):
            return None
        service = path or ServiceRef(params.workspace_name, params.feature_service_name)
        return ReadRequest(service, (RowInput(join_keys, context or NOTHING),), show, plain=True)

    def _show(self, options: bytes) -> _Shown:
        """Remembered: a client sends the same options every time."""
        try:
            given = _decode_flags(options)
            shown = _Shown((_show(given) if given else 0) or self.show_by_default, 5 + len(given or ()))
        except (*_UNREADABLE, InvalidRequest):
            return _Shown(0, -len(options))
        if len(self._shown) < _MOST_SHOWN and len(options) <= _LONGEST_SHOWN:
            self._shown[options] = shown
        return shown

    def batch(self, body: bytes, path: ServiceRef | None = None) -> ReadRequest:
        """GetFeaturesBatch (contract §2.2): up to 10 rows."""
        fields = _params(body)
        rows = fields.get("request_data", [])
        if type(rows) is not list:
            raise InvalidRequest("requestData must be a list.")
        if len(rows) > TECTON_BATCH_LIMIT:
            raise InvalidRequest(f"Batch size {len(rows)} exceeds maximum of {TECTON_BATCH_LIMIT}.")
        if not rows:
            raise InvalidRequest("requestData must have at least one item.")
        return self._request(fields, path, tuple(_tecton_row(row, index) for index, row in enumerate(rows)))

    def locator(self, body: bytes) -> ServiceRef:
        """Metadata (contract §2.4)."""
        return _locate(_params(body), self.default_workspace, None)

    def _request(self, fields: Mapping[str, Any], path: ServiceRef | None, rows: tuple[RowInput, ...]) -> ReadRequest:
        partial = boolean(fields.get("allow_partial_results", False), "allowPartialResults")
        return ReadRequest(
            _locate(fields, self.default_workspace, path),
            rows,
            _show(fields.get("metadata_options", NOTHING)) or self.show_by_default,
            _options(fields.get("request_options", NOTHING), allow_partial_results=partial),
        )


def _tecton_row(given: Any, index: int) -> RowInput:
    fields = read_fields(given, _ROW, f"requestData[{index}]")
    return RowInput(
        mapping(fields, "join_key_map", f"requestData[{index}].joinKeyMap"),
        mapping(fields, "request_context_map", f"requestData[{index}].requestContextMap"),
    )


def named_single(body: bytes, service: ServiceRef) -> ReadRequest:
    """The named door (design §3.2): `{"joinKeys":{…},"requestContext":{…},"features":[…],"include":[…],"maxAgeMs":…,"deadlineMs":…}`."""
    plain = _plain_named(body)
    if plain is not None:
        row = RowInput(plain.join_keys, plain.request_context or NOTHING)
        return ReadRequest(
            service, (row,), _included(plain.include or ()), selectors=None if plain.features is None else tuple(plain.features), plain=True
        )
    fields = read_fields(decode_strict(body), _NAMED, "The body", strict=True)
    if "rows" in fields:
        raise InvalidRequest("rows is for the batch path: post it to …/features:batch.")
    row = RowInput(mapping(fields, "join_keys", "joinKeys"), mapping(fields, "request_context", "requestContext"))
    return _named_request(fields, service, (row,))


def named_query(body: bytes, service: ServiceRef) -> ReadRequest:
    """The named door's wildcard read: the fields of a single read but maxAgeMs (nothing is cached), and `allowPartialResults`."""
    fields = read_fields(decode_strict(body), _NAMED_QUERY, "The body", strict=True)
    partial = boolean(fields.get("allow_partial_results", False), "allowPartialResults")
    row = RowInput(mapping(fields, "join_keys", "joinKeys"), mapping(fields, "request_context", "requestContext"))
    return msgspec.structs.replace(_named_request(fields, service, (row,)), options=_options({}, allow_partial_results=partial))


def named_batch(body: bytes, service: ServiceRef) -> ReadRequest:
    """The named door's batch: `{"rows":[{"joinKeys":{…},"requestContext":{…}},…]}`, up to 1,000 rows, and the fields of a single read."""
    plain = _plain_batch(body)
    if plain is not None:
        rows = tuple([RowInput(row.join_keys, row.request_context or NOTHING) for row in plain.rows])
        selectors = None if plain.features is None else tuple(plain.features)
        return ReadRequest(service, rows, _included(plain.include or ()), selectors=selectors, plain=True)
    fields = read_fields(decode_strict(body), _NAMED, "The body", strict=True)
    given = fields.get("rows")
    if type(given) is not list or not given:
        raise InvalidRequest("rows must be a list with at least one item.")
    if len(given) > NAMED_BATCH_LIMIT:
        raise InvalidRequest(f"Batch size {len(given)} exceeds maximum of {NAMED_BATCH_LIMIT}.")
    if "join_keys" in fields or "request_context" in fields:
        raise InvalidRequest("joinKeys and requestContext belong inside each item of rows.")
    return _named_request(fields, service, tuple(_named_row(row, index) for index, row in enumerate(given)))


_NAMED_ROW = spellings({"join_keys": "join_keys", "request_context": "request_context"})


def _named_row(given: Any, index: int) -> RowInput:
    where = f"rows[{index}]"
    fields = read_fields(given, _NAMED_ROW, where, strict=True)
    return RowInput(mapping(fields, "join_keys", f"{where}.joinKeys"), mapping(fields, "request_context", f"{where}.requestContext"))


def _named_request(fields: Mapping[str, Any], service: ServiceRef, rows: tuple[RowInput, ...]) -> ReadRequest:
    return ReadRequest(
        service,
        rows,
        _included(texts(fields, "include")),
        selectors=tuple(texts(fields, "features")) if "features" in fields else None,
        max_age_s=_positive(fields["max_age_ms"], "maxAgeMs", least=0) / 1000 if "max_age_ms" in fields else None,
        deadline_ms=_positive(fields["deadline_ms"], "deadlineMs") if "deadline_ms" in fields else None,
    )


def _included(given: Iterable[str]) -> int:
    show = 0
    for one in given:
        if one not in _INCLUDE:
            raise InvalidRequest("include has an unknown entry. Expected some of: [status effectiveTime ageSeconds source dataType]")
        show |= _INCLUDE[one]
    return show
