"""What callers get: vectors spliced from already encoded views into the JSON of either door.

A vector is a list of `Served`, one per view in served order. Values are never decoded or rebuilt here: a reply is a join of bytes. What
depends on a view's layout alone (names, types, labels, and each pattern of statuses that was seen) is encoded once and remembered.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from gateway.errors import GatewayError
from gateway.features import CACHED, UNCACHED, Labels, SloInfo, Source, Status, ViewLayout
from gateway.wire.requests import Show
from gateway.wire.types import encode_type

_encode = msgspec.json.encode
_REMEMBERED_PATTERNS = 1024


class EncodedView(Protocol):
    """What a reply needs of a fragment, or of values fresh from an origin."""

    @property
    def positional(self) -> bytes: ...
    @property
    def named(self) -> bytes: ...
    @property
    def statuses(self) -> tuple[Status, ...]: ...
    @property
    def effective_times(self) -> tuple[str | None, ...]: ...


class Served(NamedTuple):
    """One view in one reply. `age_s`: seconds since the origin answered it."""

    labels: "ViewText"
    values: EncodedView
    source: Source
    age_s: float


Vector = Sequence[Served]


class ViewText:
    """The encoded text of one layout: whatever a reply says of a view beside its values."""

    def __init__(self, layout: ViewLayout, labels: Mapping[str, Labels] | None = None) -> None:
        self.layout = layout
        self._names = [_encode(name) for name in layout.names]
        self._types = [_encode(encode_type(feature.dtype)) for feature in layout.features]
        self._labels = [(labels or {}).get(name, Labels()) for name in layout.names]
        self._patterns: dict[tuple[int, tuple[Status, ...]], bytes] = {}
        self.data_types = self.members(self._types)

    def members(self, texts: Iterable[bytes]) -> bytes:
        """`"view.feature":text,…` for the named door's maps."""
        return b",".join([b"%b:%b" % pair for pair in zip(self._names, texts, strict=True)])

    def items(self, show: int, statuses: tuple[Status, ...]) -> bytes:
        """`metadata.features` items without effective times; remembered, because few patterns of statuses occur."""
        pattern = (show, statuses)
        text = self._patterns.get(pattern)
        if text is None:
            text = self.items_with(show, [_encode(status) for status in statuses], (None,) * len(statuses))
            if len(self._patterns) < _REMEMBERED_PATTERNS:
                self._patterns[pattern] = text
        return text

    def items_with(self, show: int, statuses: Sequence[bytes], effective_times: Sequence[str | None]) -> bytes:
        """`metadata.features` items. `statuses` are JSON: a string each, or in a batch a list each."""
        items: list[bytes] = []
        for index, (name, labels) in enumerate(zip(self._names, self._labels, strict=True)):
            members: list[bytes] = []
            if show & Show.NAMES:
                members.append(b'"name":' + name)
            if show & Show.EFFECTIVE_TIMES and (moment := effective_times[index]) is not None:
                members.append(b'"effectiveTime":' + _encode(moment))
            if show & Show.DATA_TYPES:
                members.append(b'"dataType":' + self._types[index])
            if show & Show.STATUSES:
                members.append(b'"status":' + statuses[index])
            if show & Show.DESCRIPTIONS and labels.description is not None:
                members.append(b'"description":' + _encode(labels.description))
            if show & Show.TAGS:
                members.append(b'"tags":' + _encode(dict(labels.tags)))
            items.append(b"{%b}" % b",".join(members))
        return b",".join(items)


def told_statuses(served: Served) -> tuple[Status, ...]:
    """Statuses as the Tecton doors tell them: CACHED_* for what came from the gateway's cache (contract §10)."""
    if served.source is Source.CACHE:
        return tuple([CACHED.get(status, status) for status in served.values.statuses])
    return served.values.statuses


def told_times(served: Served) -> tuple[str | None, ...]:
    """Effective times as the Tecton doors tell them: dropped for cached values (contract §10)."""
    return (None,) * len(served.values.statuses) if served.source is Source.CACHE else served.values.effective_times


def slo_members(slo: SloInfo) -> dict[str, object]:
    """`sloInfo` (contract §4.3), with just what is known."""
    told: dict[str, object] = {
        "sloEligible": slo.eligible,
        "sloServerTimeSeconds": slo.slo_server_time_s,
        "dynamodbResponseSizeBytes": slo.dynamodb_response_size_bytes,
        "serverTimeSeconds": slo.server_time_s,
        "storeMaxLatency": slo.store_max_latency_s,
        "storeResponseSizeBytes": slo.store_response_size_bytes,
        "sloIneligibilityReasons": slo.ineligibility_reasons or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def tecton_single(vector: Vector, show: int, slo: SloInfo, *, partial: bool = False) -> bytes:
    """The reply of GetFeatures (contract §2.1). Without any flag there is no `metadata` at all."""
    values = b",".join([served.values.positional for served in vector])
    metadata: list[bytes] = []
    if show & Show.ITEMS:
        metadata.append(b'"features":[%b]' % b",".join([_items(served, show) for served in vector]))
    if show & Show.SLO_INFO:
        metadata.append(b'"sloInfo":' + _encode(slo_members(slo)))
    if partial:
        metadata.append(b'"partialResults":true')
    if not metadata:
        return b'{"result":{"features":[%b]}}' % values
    return b'{"result":{"features":[%b]},"metadata":{%b}}' % (values, b",".join(metadata))


def _items(served: Served, show: int) -> bytes:
    if show & Show.EFFECTIVE_TIMES and any(times := told_times(served)):
        return served.labels.items_with(show, [_encode(status) for status in told_statuses(served)], times)
    return served.labels.items(show, told_statuses(served))


def tecton_batch(vectors: Sequence[Vector], show: int, slos: Sequence[SloInfo], total: SloInfo) -> bytes:
    """The reply of GetFeaturesBatch (contract §2.2): `status` is a list with an entry per row, the rest of an item is said once."""
    rows = b",".join([b'{"features":[%b]}' % b",".join([served.values.positional for served in vector]) for vector in vectors])
    metadata: list[bytes] = []
    if show & Show.ITEMS:
        metadata.append(b'"features":[%b]' % b",".join([_batch_items(column, show) for column in zip(*vectors, strict=True)]))
    if show & Show.SLO_INFO:
        metadata.append(b'"sloInfo":' + _encode([slo_members(slo) for slo in slos]))
        metadata.append(b'"batchSloInfo":' + _encode(slo_members(total)))
    return b'{"result":[%b],"metadata":{%b}}' % (rows, b",".join(metadata))


def _batch_items(column: Sequence[Served], show: int) -> bytes:
    """One view's items over all rows. The single effective time of an item is the newest that any row has."""
    statuses = [_encode(told) for told in zip(*[told_statuses(served) for served in column], strict=True)]
    times = [max((moment for moment in told if moment is not None), default=None) for told in zip(*map(told_times, column), strict=True)]
    return column[0].labels.items_with(show, statuses, times)


def batch_slo(slos: Sequence[SloInfo], server_time_s: float) -> SloInfo:
    """`batchSloInfo`: eligible if every row is; the largest times; the wall time of the whole batch."""
    return SloInfo(
        eligible=all(slo.eligible for slo in slos),
        server_time_s=server_time_s,
        slo_server_time_s=max((slo.slo_server_time_s for slo in slos if slo.slo_server_time_s is not None), default=None),
        store_max_latency_s=max((slo.store_max_latency_s for slo in slos if slo.store_max_latency_s is not None), default=None),
        ineligibility_reasons=tuple(dict.fromkeys(reason for slo in slos for reason in slo.ineligibility_reasons)),
    )


def named_single(vector: Vector, show: int) -> bytes:
    """The named door's reply: features by name, and one map by name for each thing that was asked for."""
    members = [b'"features":{%b}' % b",".join([served.values.named for served in vector])]
    members += [b'"%b":{%b}' % (field, b",".join([text(served) for served in vector])) for flag, field, text in _NAMED_MAPS if show & flag]
    return b"{%b}" % b",".join(members)


def _status_map(served: Served) -> bytes:
    return served.labels.members([_encode(UNCACHED.get(status, status)) for status in served.values.statuses])


def _time_map(served: Served) -> bytes:
    return served.labels.members([_encode(moment) for moment in served.values.effective_times])


def _age_map(served: Served) -> bytes:
    return served.labels.members([b"%.3f" % served.age_s] * len(served.values.statuses))


def _source_map(served: Served) -> bytes:
    return served.labels.members([_encode(served.source)] * len(served.values.statuses))


_NAMED_MAPS = (
    (Show.STATUSES.value, b"status", _status_map),
    (Show.EFFECTIVE_TIMES.value, b"effectiveTime", _time_map),
    (Show.AGES.value, b"ageSeconds", _age_map),
    (Show.SOURCES.value, b"source", _source_map),
    (Show.DATA_TYPES.value, b"dataType", lambda served: served.labels.data_types),
)


def named_batch(rows: Iterable[Vector | GatewayError], show: int) -> bytes:
    """`{"rows":[{"features":{…}} | {"error":{"message","code"}},…]}` in order."""
    told = [
        _encode({"error": {"message": row.message, "code": int(row.code)}}) if isinstance(row, GatewayError) else named_single(row, show)
        for row in rows
    ]
    return b'{"rows":[%b]}' % b",".join(told)


def error_body(message: str, code: int) -> bytes:
    """The error body of every door (contract §1.5). Official clients need valid JSON with `message`, and `code` as an integer."""
    return _encode({"error": message, "message": message, "code": code})


def cut(values: EncodedView, positions: Sequence[int]) -> EncodedView:
    """Some of a view's features, for the named door. `positional` is left empty: that door does not serve it."""
    members = list(msgspec.json.decode(b"{%b}" % values.named, type=dict[str, msgspec.Raw]).items())
    return _Cut(
        b"",
        b",".join([b"%b:%b" % (_encode(members[index][0]), members[index][1]) for index in positions]),
        tuple([values.statuses[index] for index in positions]),
        tuple([values.effective_times[index] for index in positions]),
    )


class _Cut(NamedTuple):
    positional: bytes
    named: bytes
    statuses: tuple[Status, ...]
    effective_times: tuple[str | None, ...]
