"""The domain's nouns: data types, features, views, statuses, the answer for one view, who asks and how.

Knows nothing of HTTP, JSON, caches or stores.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Any

import msgspec


class Kind(StrEnum):
    """The data types of features, named as on the wire."""

    INT64 = "int64"
    FLOAT64 = "float64"
    FLOAT32 = "float32"
    BOOLEAN = "boolean"
    STRING = "string"
    TIMESTAMP = "timestamp"
    ARRAY = "array"
    STRUCT = "struct"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class DataType:
    """The type of a feature or key. `element` belongs to arrays, `fields` to structs, `value` to maps (keys are strings)."""

    kind: Kind
    element: "DataType | None" = None
    fields: tuple[tuple[str, "DataType"], ...] = ()
    value: "DataType | None" = None

    def __str__(self) -> str:
        if self.element is not None:
            return f"array<{self.element}>"
        if self.value is not None:
            return f"map<string, {self.value}>"
        if self.kind is Kind.STRUCT:
            return f"struct<{', '.join(f'{name}: {dtype}' for name, dtype in self.fields)}>"
        return self.kind.value


INT64 = DataType(Kind.INT64)
FLOAT64 = DataType(Kind.FLOAT64)
FLOAT32 = DataType(Kind.FLOAT32)
BOOLEAN = DataType(Kind.BOOLEAN)
STRING = DataType(Kind.STRING)
TIMESTAMP = DataType(Kind.TIMESTAMP)


def array_of(element: DataType) -> DataType:
    return DataType(Kind.ARRAY, element=element)


def struct_of(**fields: DataType) -> DataType:
    return DataType(Kind.STRUCT, fields=tuple(fields.items()))


def map_of(value: DataType) -> DataType:
    return DataType(Kind.MAP, value=value)


class Status(StrEnum):
    """A value's serving status, named as on the wire."""

    PRESENT = "PRESENT"
    MISSING_DATA = "MISSING_DATA"
    UNKNOWN = "UNKNOWN_STATUS"
    CACHED_PRESENT = "CACHED_PRESENT"
    CACHED_MISSING_DATA = "CACHED_MISSING_DATA"
    CACHED_UNKNOWN = "CACHED_UNKNOWN"
    TIME_OUT = "TIME_OUT"

    __hash__ = str.__hash__  # an enum's own hash is a Python call


CACHED = MappingProxyType(
    {
        Status.PRESENT: Status.CACHED_PRESENT,
        Status.MISSING_DATA: Status.CACHED_MISSING_DATA,
        Status.UNKNOWN: Status.CACHED_UNKNOWN,
    }
)
"""What a status becomes when its value is served from a cache. CACHED_* and TIME_OUT stay as they are."""

_LETTERS = MappingProxyType(dict(zip(Status, "PMUpmuT", strict=True)))
TIMED_OUT = _LETTERS[Status.TIME_OUT]
_PRESENT = frozenset({_LETTERS[Status.PRESENT], _LETTERS[Status.CACHED_PRESENT]})
_STATUSES = MappingProxyType({letter: status for status, letter in _LETTERS.items()})


def pattern_of(statuses: Iterable[Status]) -> str:
    """Statuses as a word of one letter each: a string hashes once in its life, a tuple of enums on every look-up."""
    return "".join([_LETTERS[status] for status in statuses])


_TO_CACHED = str.maketrans({_LETTERS[plain]: _LETTERS[cached] for plain, cached in CACHED.items()})


def as_cached(pattern: str) -> str:
    """The pattern of the same values served from a cache."""
    return pattern.translate(_TO_CACHED)


def statuses_of(pattern: str) -> tuple[Status, ...]:
    return tuple([_STATUSES[letter] for letter in pattern])


@lru_cache(maxsize=1024)
def missing_in(pattern: str) -> int:
    """How many values of this pattern are served as null: missing, unknown or timed out. Few patterns occur."""
    return sum(letter not in _PRESENT for letter in pattern)


UNCACHED = MappingProxyType({cached: plain for plain, cached in CACHED.items()})


class Source(StrEnum):
    """Where a served value came from."""

    ORIGIN = "origin"
    CACHE = "cache"
    STALE = "stale"
    COMPUTED = "computed"
    DEFAULT = "default"
    TIMEOUT = "timeout"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Field:
    """A typed name: a join key, a request-context key."""

    name: str
    dtype: DataType


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a feature service. `name` is `view.feature`."""

    name: str
    dtype: DataType

    @property
    def view(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class ViewLayout:
    """A run of neighbouring features of one view, in the order they are served: what the values of a fragment mean.

    Equal ones from `split_views` are one object while they are remembered, so comparing them takes no time: replies are held against plans.
    """

    view: str
    features: tuple[Feature, ...]

    def __hash__(self) -> int:
        return hash((self.view, len(self.features)))

    def __len__(self) -> int:
        return len(self.features)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)


def split_views(features: Sequence[Feature]) -> tuple[ViewLayout, ...]:
    """The views of a feature service, in served order. A view whose features are not neighbours gives one layout for each run."""

    def runs() -> Iterator[ViewLayout]:
        for view, run in groupby(features, key=lambda feature: feature.view):
            yield _layout(view, tuple(run))

    return tuple(runs())


@lru_cache(maxsize=10_000)
def _layout(view: str, features: tuple[Feature, ...]) -> ViewLayout:
    return ViewLayout(view, features)


@dataclass(frozen=True, slots=True)
class Labels:
    """What people wrote about a feature; served on request, never used."""

    description: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


class ViewValues(msgspec.Struct, frozen=True, gc=False):
    """One view's values for one set of join keys, already encoded, as an origin answered them.

    `positional` is the comma-joined JSON of the Tecton doors (int64 as strings, structs as lists); `named` the members of the JSON object
    of the named door (`"view.feature":value,…`). `statuses` and `effective_times` have one entry per feature of `layout`; an effective
    time is RFC 3339 text, or None where the origin gave none. `complete` is False where the origin said that something is missing
    (TIME_OUT, partial results): such values are served once and never stored.
    """

    layout: ViewLayout
    positional: bytes
    named: bytes
    statuses: tuple[Status, ...]
    effective_times: tuple[str | None, ...]
    complete: bool = True

    @property
    def pattern(self) -> str:
        return pattern_of(self.statuses)

    def __repr__(self) -> str:
        return f"ViewValues({self.layout.view!r}, {self.pattern!r})"


class SloInfo(msgspec.Struct, frozen=True, gc=False):
    """What the origin says of its own service of one read. Times in seconds, sizes in bytes; None where it did not say."""

    eligible: bool = True
    server_time_s: float | None = None
    slo_server_time_s: float | None = None
    store_max_latency_s: float | None = None
    store_response_size_bytes: int | None = None
    dynamodb_response_size_bytes: int | None = None
    ineligibility_reasons: tuple[str, ...] = ()
    store_time_s: float | None = None


class ServiceRef(msgspec.Struct, frozen=True, gc=False):
    """A feature service as a caller names it: by name, or by its 32-hex-digit id."""

    workspace: str
    name: str = ""
    id: str = ""

    def __str__(self) -> str:
        return f"{self.workspace}/{self.name or self.id}"


class Priority(IntEnum):
    """Who goes first where not all can."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who asks. `key` is a keyed hash that stands for the credential inside the gateway; `authorization` is the header value that an
    origin is shown on the caller's behalf (None where the gateway has nothing to pass on)."""

    key: bytes
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Caller(key={self.key!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("key", self.key)]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Tecton's request options that change values or time, None where the caller did not say."""

    read_from_cache: bool = True
    write_to_cache: bool = True
    ignore_extra_request_context_fields: bool = False
    latency_budget_ms: int | None = None
    coerce_null_counts_to_zero: bool | None = None
    aggregation_leading_edge: str | None = None
    high_watermark_override: str | None = None
    allow_partial_results: bool = False

    @property
    def variant(self) -> tuple[object, ...] | None:
        """What of these changes values, as a part of the cache key; None for a plain read."""
        chosen = (
            self.coerce_null_counts_to_zero,
            self.aggregation_leading_edge,
            self.ignore_extra_request_context_fields or None,
            self.high_watermark_override,
        )
        return None if chosen == (None, None, None, None) else chosen

    @property
    def stored(self) -> bool:
        """Whether what is fetched may be stored. A read as of a moment of its own is worth no one else's memory."""
        return self.write_to_cache and self.high_watermark_override is None


PLAIN = ReadOptions()


@dataclass(frozen=True, slots=True)
class Purge:
    """What the cache is to forget: of a workspace (None: of all), the views of these names (None: all of them); with `join_keys`, only
    fragments that use at least one of these, and agree with all those they use. `soft`: they become stale instead of being dropped."""

    workspace: str | None = None
    views: frozenset[str] | None = None
    join_keys: Mapping[str, Any] = field(default_factory=dict, repr=False)
    soft: bool = False


class Written(msgspec.Struct, frozen=True, gc=False):
    """What an acknowledged ingest wrote to. `view`: what the origin calls the view (`ViewFacts.identity`; the view's name where it says
    none). `join_keys`: the values of the view's join keys, typed as in a read and in the order of `ViewFacts.join_keys`; None: not known,
    so all of the view. (An ingest makes one for each view and key: a struct takes an eighth of a dataclass's time.)"""

    workspace: str
    view: str
    join_keys: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        return f"Written({self.workspace!r}, {self.view!r})"
