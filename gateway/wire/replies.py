"""What callers get: vectors spliced from already encoded views into the JSON of either door.

Values are never decoded or rebuilt here: a reply is a join of bytes. What does not change from read to read (names, types, labels, and
each pattern of statuses that was seen) is encoded once per feature service and remembered (`VectorText`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.errors import GatewayError, OriginError
from gateway.features import UNCACHED, Feature, Field, Labels, SloInfo, Source, Status, as_cached, statuses_of
from gateway.wire.requests import Show
from gateway.wire.types import encode_type
from gateway.wire.values import Encoded, compile_writer, instant

_encode = msgspec.json.encode
_astuple = msgspec.structs.astuple
# Plain ints: `&` on an IntFlag makes a new flag, at twenty times the price.
_NAMES, _TYPES, _TIMES, _STATUSES = Show.NAMES.value, Show.DATA_TYPES.value, Show.EFFECTIVE_TIMES.value, Show.STATUSES.value
_DESCRIPTIONS, _TAGS, _SLO, _ITEMS = Show.DESCRIPTIONS.value, Show.TAGS.value, Show.SLO_INFO.value, Show.ITEMS.value
_EACH_ITS_OWN = (Show.EFFECTIVE_TIMES | Show.AGES).value
"""What is told of each reply anew."""
KEPT = (Source.CACHE, Source.STALE)
"""Sources that the Tecton doors tell as cached."""
_UNTIMED = frozenset({*KEPT, Source.COMPUTED, Source.DEFAULT})
"""Sources whose values are told without effective times."""
_ASKED_FOR = (*KEPT, Source.ORIGIN)
_SLO_OF_HIT = b'{"sloEligible":true,"serverTimeSeconds":%.6f,"sloServerTimeSeconds":%.6f,"storeMaxLatency":0.0,"storeResponseSizeBytes":0}'
_REMEMBERED = 4096
_REMEMBERED_TIMES = 64
_SECONDS = re.compile(r"[0-9]{1,9}")


class EncodedView(Protocol):
    """What a reply needs of a view: of a fragment, of values fresh from an origin, of computed ones."""

    @property
    def positional(self) -> bytes: ...
    @property
    def named(self) -> bytes: ...
    @property
    def pattern(self) -> str: ...
    @property
    def stored_at(self) -> float: ...
    @property
    def effective_times(self) -> tuple[str | None, ...]: ...


class VectorText:
    """The encoded text of a feature vector's layout: whatever a reply says beside the values. `features` in served order."""

    def __init__(self, features: Sequence[Feature], labels: Mapping[str, Labels] | None = None) -> None:
        self.features = tuple(features)
        self._names = [_encode(feature.name) for feature in features]
        self._types = [_encode(encode_type(feature.dtype)) for feature in features]
        self._labels = [(labels or {}).get(feature.name, Labels()) for feature in features]
        self._known: dict[tuple[object, str], bytes] = {}
        self._timed: dict[tuple[int, str, tuple[str | None, ...]], bytes] = {}
        self._time_maps: dict[tuple[tuple[str | None, ...], ...], bytes] = {}
        self.maps: dict[tuple[int, str, tuple[Source, ...]], bytes] = {}
        """The named door's maps that are the same as long as statuses and sources are, by what is shown."""
        self.data_types = self.members(self._types)

    def members(self, texts: Iterable[bytes]) -> bytes:
        """`"view.feature":text,…` for the named door's maps."""
        return b",".join([b"%b:%b" % pair for pair in zip(self._names, texts, strict=True)])

    def metadata(self, show: int, told: str) -> bytes:
        """How the metadata of GetFeatures begin, up to where `sloInfo` follows if it is shown, without effective times; for statuses as
        they are told (`features.pattern_of`). Few patterns occur."""
        text = self._known.get((show, told))
        if text is None:
            text = self._remember((show, told), self._metadata(show, told, [None] * len(told)))
        return text

    def metadata_timed(self, show: int, told: str, effective_times: tuple[str | None, ...]) -> bytes:
        """The same with effective times, which are those of the reply before until a view's newest value is another."""
        known = (show, told, effective_times)
        text = self._timed.get(known)
        if text is None:
            text = self._metadata(show, told, effective_times)
            if len(self._timed) >= _REMEMBERED_TIMES:
                self._timed.clear()
            self._timed[known] = text
        return text

    def _metadata(self, show: int, told: str, effective_times: Sequence[str | None]) -> bytes:
        members: list[bytes] = []
        if show & _ITEMS:
            items = self.items_with(show, [_encode(status) for status in statuses_of(told)], effective_times)
            members.append(b'"features":[%b]' % items)
        if show & _SLO:
            members.append(b'"sloInfo":')
        return b'"metadata":{' + b",".join(members)

    def status_map(self, pattern: str) -> bytes:
        """The named door's `status`. There `source` tells what is cached, not the status."""
        text = self._known.get(("status", pattern))
        if text is None:
            statuses = [_encode(UNCACHED.get(status, status)) for status in statuses_of(pattern)]
            text = self._remember(("status", pattern), self.members(statuses))
        return text

    def source_map(self, sources: tuple[Source, ...], sizes: Sequence[int]) -> bytes:
        """The named door's `source`: one source per view, `sizes` features each."""
        text = self._known.get((sources, "source"))
        if text is None:
            texts = [_encode(source) for source, size in zip(sources, sizes, strict=True) for _ in range(size)]
            text = self._remember((sources, "source"), self.members(texts))
        return text

    def time_map(self, times: tuple[tuple[str | None, ...], ...]) -> bytes:
        """The named door's `effectiveTime`, of the views' effective times: those of the reply before, mostly (`metadata_timed`)."""
        text = self._time_maps.get(times)
        if text is None:
            if len(self._time_maps) >= _REMEMBERED_TIMES:
                self._time_maps.clear()
            text = self._time_maps[times] = self.members([_time(moment) for view in times for moment in view])
        return text

    def items_with(self, show: int, statuses: Sequence[bytes], effective_times: Sequence[str | None]) -> bytes:
        """`metadata.features`. `statuses` are JSON: a string each, or in a batch a list each."""
        items: list[bytes] = []
        for index, (name, labels) in enumerate(zip(self._names, self._labels, strict=True)):
            members: list[bytes] = []
            if show & _NAMES:
                members.append(b'"name":' + name)
            if show & _TIMES and (moment := effective_times[index]) is not None:
                members.append(b'"effectiveTime":' + _encode(moment))
            if show & _TYPES:
                members.append(b'"dataType":' + self._types[index])
            if show & _STATUSES:
                members.append(b'"status":' + statuses[index])
            if show & _DESCRIPTIONS and labels.description is not None:
                members.append(b'"description":' + _encode(labels.description))
            if show & _TAGS:
                members.append(b'"tags":' + _encode(dict(labels.tags)))
            items.append(b"{%b}" % b",".join(members))
        return b",".join(items)

    def _remember(self, known: tuple[object, str], text: bytes) -> bytes:
        if len(self._known) < _REMEMBERED:
            self._known[known] = text
        return text


class Vector(msgspec.Struct, gc=False):
    """The answer to one row: its views in served order, where each came from, and the time at which it was put together.

    `told`: statuses as the Tecton doors tell them, a letter per feature: CACHED_* for what came from the gateway's cache (contract §10).
    """

    text: VectorText
    values: Sequence[EncodedView]
    sources: Sequence[Source]
    now_s: float
    told: str
    of_hit: bool = False
    """Nothing of it came from an origin just now, so no effective times are told of it (`_UNTIMED`)."""

    @classmethod
    def of(cls, text: VectorText, values: Sequence[EncodedView], sources: Sequence[Source], now_s: float) -> "Vector":
        told = [as_cached(one.pattern) if source in KEPT else one.pattern for one, source in zip(values, sources, strict=True)]
        return cls(text, values, sources, now_s, "".join(told))

    def ages_s(self) -> list[float]:
        """Per view, in seconds: how long ago the origin was asked for what is served; 0 for what was not asked of it."""
        return [self.now_s - one.stored_at if source in _ASKED_FOR else 0.0 for one, source in zip(self.values, self.sources, strict=True)]

    def told_times(self) -> list[str | None]:
        """Effective times as the Tecton doors tell them: dropped for cached values (contract §10)."""
        times: list[str | None] = []
        for values, source in zip(self.values, self.sources, strict=True):
            times += [None] * len(values.pattern) if source in KEPT else values.effective_times
        return times

    def per_feature(self, texts: Iterable[bytes]) -> list[bytes]:
        """One text per view → one per feature."""
        return [text for values, text in zip(self.values, texts, strict=True) for _ in values.pattern]


class _Slo(msgspec.Struct, rename="camel", omit_defaults=True):
    """`sloInfo` (contract §4.3), with just what is known."""

    slo_eligible: bool
    server_time_seconds: float | None = None
    slo_server_time_seconds: float | None = None
    store_max_latency: float | None = None
    store_response_size_bytes: int | None = None
    dynamodb_response_size_bytes: int | None = None
    slo_ineligibility_reasons: tuple[str, ...] = ()
    store_time_seconds: float | None = None


def slo_text(slo: SloInfo) -> bytes:
    return _encode(_Slo(*_astuple(slo)))


@lru_cache(maxsize=4096)
def slo_of_hit(server_time_us: int) -> bytes:
    """The same of a read that no origin was asked for: all that is to be told is the gateway's own time. Few are told at a time."""
    return _SLO_OF_HIT % (server_time_us / 1e6, server_time_us / 1e6)


def tecton_single(vector: Vector, show: int, slo: bytes = b"", *, partial: bool = False) -> bytes:
    """The reply of GetFeatures (contract §2.1). Without any flag there is no `metadata` at all. `slo`: its `sloInfo`, where it is shown."""
    values = b",".join([view.positional for view in vector.values])
    if not show and not partial:
        return b'{"result":{"features":[%b]}}' % values
    ending = slo if show & _SLO else b""
    if partial:
        ending += b',"partialResults":true' if show & (_ITEMS | _SLO) else b'"partialResults":true'
    return b'{"result":{"features":[%b]},%b%b}}' % (values, _metadata(vector, show), ending)


def _metadata(vector: Vector, show: int) -> bytes:
    if show & _TIMES and not vector.of_hit and not _UNTIMED.issuperset(vector.sources):
        return vector.text.metadata_timed(show, vector.told, tuple(vector.told_times()))
    return vector.text.metadata(show, vector.told)


def tecton_batch(vectors: Sequence[Vector], show: int, slos: Sequence[SloInfo], total: SloInfo) -> bytes:
    """The reply of GetFeaturesBatch (contract §2.2): `status` is a list with an entry per row, the rest of an item is said once."""
    rows = b",".join([b'{"features":[%b]}' % b",".join([view.positional for view in vector.values]) for vector in vectors])
    metadata: list[bytes] = []
    if show & _ITEMS:
        metadata.append(b'"features":[%b]' % _batch_items(vectors, show))
    if show & _SLO:
        metadata.append(b'"sloInfo":' + b"[%b]" % b",".join([slo_text(slo) for slo in slos]))
        metadata.append(b'"batchSloInfo":' + slo_text(total))
    return b'{"result":[%b],"metadata":{%b}}' % (rows, b",".join(metadata))


def _batch_items(vectors: Sequence[Vector], show: int) -> bytes:
    """The items over all rows. The single effective time of an item is the newest that any row has."""
    statuses = [_encode(column) for column in zip(*[statuses_of(vector.told) for vector in vectors], strict=True)]
    return vectors[0].text.items_with(show, statuses, _newest(vectors))


def _newest(vectors: Sequence[Vector]) -> list[str | None]:
    columns = zip(*[vector.told_times() for vector in vectors], strict=True)
    return [max((moment for moment in set(column) if moment is not None), key=instant, default=None) for column in columns]


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
    features = b",".join([view.named for view in vector.values])
    if not show:
        return b'{"features":{%b}}' % features
    text, known = vector.text, (show, vector.told, tuple(vector.sources))
    maps = text.maps.get(known)
    if maps is None:
        maps = b"".join([b',"%b":{%b}' % (name, spelled(vector)) for flag, name, spelled in _NAMED_MAPS if show & flag])
        if not show & _EACH_ITS_OWN and len(text.maps) < _REMEMBERED:
            text.maps[known] = maps
    return b'{"features":{%b}%b}' % (features, maps)


def _time_map(vector: Vector) -> bytes:
    return vector.text.time_map(tuple([view.effective_times for view in vector.values]))


@lru_cache(maxsize=1024)
def _time(moment: str | None) -> bytes:
    """Few are told at a time: a view's features share theirs."""
    return _encode(moment)


def _age_map(vector: Vector) -> bytes:
    return vector.text.members(vector.per_feature([b"%.3f" % age_s for age_s in vector.ages_s()]))


def _source_map(vector: Vector) -> bytes:
    return vector.text.source_map(tuple(vector.sources), [len(one.pattern) for one in vector.values])


_NAMED_MAPS: tuple[tuple[int, bytes, Callable[[Vector], bytes]], ...] = (
    (Show.STATUSES.value, b"status", lambda vector: vector.text.status_map(vector.told)),
    (Show.EFFECTIVE_TIMES.value, b"effectiveTime", _time_map),
    (Show.AGES.value, b"ageSeconds", _age_map),
    (Show.SOURCES.value, b"source", _source_map),
    (Show.DATA_TYPES.value, b"dataType", lambda vector: vector.text.data_types),
)


def named_batch(rows: Iterable[Vector | GatewayError], show: int) -> bytes:
    """`{"rows":[{"features":{…}} | {"error":{"message","code"}},…]}` in order. An error that says when to come again, says it in
    `retryAfterSeconds`."""
    told = [_encode({"error": _row_error(row)}) if isinstance(row, GatewayError) else named_single(row, show) for row in rows]
    return b'{"rows":[%b]}' % b",".join(told)


def _row_error(error: GatewayError) -> dict[str, object]:
    told: dict[str, object] = {"message": error.message, "code": int(error.code)}
    seconds = error.retry_after if isinstance(error, OriginError) else None
    if seconds is not None and _SECONDS.fullmatch(seconds):
        told["retryAfterSeconds"] = int(seconds)
    return told


class KeysText:
    """The output join keys of a wildcard service: how a result tells theirs, and what the metadata says of them."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._names = [_encode(field.name) for field in fields]
        self._types = [_encode(encode_type(field.dtype)) for field in fields]
        self._writers = [compile_writer(field.dtype) for field in fields]

    def encode(self, values: Sequence[Any]) -> Encoded:
        """The typed values of one result, in order. Raises ValueError where they are not of their types."""
        encoded = [write(value) for write, value in zip(self._writers, values, strict=True)]
        return (
            b",".join([positional for positional, _ in encoded]),
            b",".join([b"%b:%b" % (name, named) for name, (_, named) in zip(self._names, encoded, strict=True)]),
        )

    def items(self, show: int) -> bytes:
        """`metadata.joinKeys`: only what can be said of a key, which has neither status nor time."""
        items: list[bytes] = []
        for name, dtype in zip(self._names, self._types, strict=True):
            members = [b'"name":' + name] if show & _NAMES else []
            members += [b'"dataType":' + dtype] if show & _TYPES else []
            items.append(b"{%b}" % b",".join(members))
        return b",".join(items)


class Match(NamedTuple):
    """One result of a query: its output join keys (`KeysText.encode`), and the features for them."""

    keys: Encoded
    vector: Vector


class Matches(msgspec.Struct, gc=False):
    """The results of a query, and what they all have in common. There may be none."""

    keys: KeysText
    text: VectorText
    found: Sequence[Match]
    slo: SloInfo
    partial: bool = False


_WORST_FIRST = (
    Status.TIME_OUT,
    Status.UNKNOWN,
    Status.CACHED_UNKNOWN,
    Status.MISSING_DATA,
    Status.CACHED_MISSING_DATA,
    Status.PRESENT,
    Status.CACHED_PRESENT,
)


def tecton_query(matches: Matches, show: int) -> bytes:
    """The reply of QueryFeatures (contract §2.5). As for GetFeatures, without any flag there is no `metadata` at all.

    The metadata is said once for all results, in the Item of GetFeatures: clients parse `status` as one enum there, so it cannot be a list
    with an entry per result, as it is in a batch. It is the worst that any result has, so that PRESENT promises a value in each; the named
    door tells them apart. The effective time is the newest, as in a batch.
    """
    results = b",".join(
        [
            b'{"features":[%b],"joinKeys":[%b]}' % (b",".join([view.positional for view in vector.values]), keys[0])
            for keys, vector in matches.found
        ]
    )
    metadata: list[bytes] = []
    if show & _ITEMS:
        metadata.append(b'"features":[%b],"joinKeys":[%b]' % (_query_items(matches, show), matches.keys.items(show)))
    if show & _SLO:
        metadata.append(b'"sloInfo":' + slo_text(matches.slo))
    if matches.partial:
        metadata.append(b'"partialResults":true')
    return b'{"results":[%b]%b}' % (results, b',"metadata":{%b}' % b",".join(metadata) if metadata else b"")


def _query_items(matches: Matches, show: int) -> bytes:
    """The items over all results; of none, names and types alone."""
    vectors = [match.vector for match in matches.found]
    if not vectors:
        return matches.text.items_with(show & ~(_STATUSES | _TIMES), (), ())
    columns = zip(*[vector.told for vector in vectors], strict=True)
    worst = [min(statuses_of("".join(set(column))), key=_WORST_FIRST.index) for column in columns]
    return matches.text.items_with(show, [_encode(status) for status in worst], _newest(vectors))


def named_query(matches: Matches, show: int) -> bytes:
    """`{"results":[{"joinKeys":{…},"features":{…},…},…]}`: a named read's reply for each result, behind its output join keys by name."""
    results = b",".join([b'{"joinKeys":{%b},%b' % (keys[1], named_single(vector, show)[1:]) for keys, vector in matches.found])
    return b'{"results":[%b]%b}' % (results, b',"partialResults":true' if matches.partial else b"")


def error_body(message: str, code: int) -> bytes:
    """The error body of every door but ingest (contract §1.5). Official clients need valid JSON with `message`, and an integer `code`."""
    return _encode({"error": message, "message": message, "code": code})


class _Cut(NamedTuple):
    positional: bytes
    named: bytes
    pattern: str
    stored_at: float
    effective_times: tuple[str | None, ...]


def cut(values: EncodedView, positions: Sequence[int]) -> EncodedView:
    """Some of a view's features, in the order of these positions."""
    members = list(msgspec.json.decode(b"{%b}" % values.named, type=dict[str, msgspec.Raw]).items())
    listed = msgspec.json.decode(b"[%b]" % values.positional, type=list[msgspec.Raw])
    return _Cut(
        b",".join([bytes(listed[index]) for index in positions]),
        b",".join([b"%b:%b" % (_encode(members[index][0]), members[index][1]) for index in positions]),
        "".join([values.pattern[index] for index in positions]),
        values.stored_at,
        tuple([values.effective_times[index] for index in positions]),
    )
