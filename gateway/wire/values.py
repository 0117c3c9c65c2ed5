"""Feature values on the wire, in both spellings.

    type          Tecton door (positional)          named door
    int64         "42"                              42
    float         1.5, "NaN", "Infinity"            the same
    timestamp     "2013-01-14T23:00:00Z"            the same
    struct        [1.5,"a"] in field order          {"x":1.5,"y":"a"}
    array, map    elements as above                 elements as above

Two compilers, each called once per feature: `compile_writer` for values of our own (embedded store, on-demand functions), and
`compile_reader` for values that an origin sent, which are checked and passed on without being rebuilt wherever both spellings agree.
Both give (positional, named) as bytes; both raise ValueError, whose text names the expected type and no value.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.features import DataType, Feature, Kind

Encoded = tuple[bytes, bytes]
Writer = Callable[[Any], Encoded]
Reader = Callable[[bytes], Encoded]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NULL: Encoded = (b"null", b"null")
_encode = msgspec.json.encode
_astuple = msgspec.structs.astuple
_NON_FINITE = {b'"NaN"', b'"Infinity"', b'"-Infinity"'}
_NON_FINITE_TEXT = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DECIMAL = re.compile(rb"-?(0|[1-9][0-9]{0,18})")


def _wrong(dtype: DataType) -> ValueError:
    return ValueError(f"expected {dtype} or null")


def compile_writer(dtype: DataType) -> Writer:
    """value → (positional, named). int64: int; float: float or int; timestamp: RFC 3339 text or an aware datetime; struct: mapping."""
    fast = _FAST_WRITERS.get(dtype.kind)
    if fast is not None:
        return fast
    positional, named = _positional(dtype), _named(dtype)
    if not respelled(dtype):
        return lambda value: (encoded := _encode(positional(value)), encoded)
    return lambda value: (_encode(positional(value)), _encode(named(value)))


def respelled(dtype: DataType) -> bool:
    """Whether the two doors spell values of this type differently."""
    if dtype.kind in (Kind.INT64, Kind.STRUCT):
        return True
    inner = dtype.element or dtype.value
    return inner is not None and respelled(inner)


Spelling = Callable[[Any], Any]
"""A Python value → the JSON-ready value of one door."""


def _positional(dtype: DataType) -> Spelling:
    return _spelling(dtype, _positional, str, lambda members: [value for _, value in members])


def _named(dtype: DataType) -> Spelling:
    return _spelling(dtype, _named, int, dict)


def _spelling(
    dtype: DataType, inner: Callable[[DataType], Spelling], integer: Callable[[int], Any], struct: Callable[[list[tuple[str, Any]]], Any]
) -> Spelling:
    if dtype.element is not None:
        spell = _array(dtype, inner(dtype.element))
    elif dtype.value is not None:
        spell = _map(dtype, inner(dtype.value))
    elif dtype.kind is Kind.STRUCT:
        spell = _struct(dtype, [(name, inner(field)) for name, field in dtype.fields], struct)
    else:
        spell = _scalar(dtype, integer)
    return lambda value: None if value is None else spell(value)


def _scalar(dtype: DataType, integer: Callable[[int], Any]) -> Spelling:
    check = _CHECKS[dtype.kind]

    def spell(value: Any) -> Any:
        try:
            checked = check(value)
        except ValueError:
            raise _wrong(dtype) from None
        return integer(checked) if dtype.kind is Kind.INT64 else checked

    return spell


def _array(dtype: DataType, element: Spelling) -> Spelling:
    def spell(value: Any) -> Any:
        if not _is_list(value):
            raise _wrong(dtype)
        return [element(one) for one in value]

    return spell


def _map(dtype: DataType, inner: Spelling) -> Spelling:
    def spell(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _wrong(dtype)
        return {key: inner(one) for key, one in value.items()}

    return spell


def _struct(dtype: DataType, fields: list[tuple[str, Spelling]], struct: Callable[[list[tuple[str, Any]]], Any]) -> Spelling:
    def spell(value: Any) -> Any:
        if isinstance(value, Mapping):
            return struct([(name, inner(value.get(name))) for name, inner in fields])
        if not _is_list(value) or len(value) != len(fields):
            raise _wrong(dtype)
        return struct([(name, inner(one)) for (name, inner), one in zip(fields, value, strict=True)])

    return spell


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _int64(value: Any) -> int:
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value.encode()) and INT64_MIN <= int(value) <= INT64_MAX:
        return int(value)
    raise ValueError


def _float(value: Any) -> float | str:
    if isinstance(value, str) and value in _NON_FINITE_TEXT:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError


def _timestamp(value: Any) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return format_timestamp(value)
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        return value
    raise ValueError


_CHECKS: dict[Kind, Callable[[Any], Any]] = {
    Kind.INT64: _int64,
    Kind.FLOAT64: _float,
    Kind.FLOAT32: _float,
    Kind.BOOLEAN: _boolean,
    Kind.STRING: _string,
    Kind.TIMESTAMP: _timestamp,
}


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with Z; microseconds only where there are any."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def is_timestamp(text: str) -> bool:
    """Whether this is RFC 3339 text, with an offset and up to nine fractional digits, of a moment that exists."""
    try:
        return bool(instant(text))
    except ValueError:
        return False


def instant(text: str) -> tuple[datetime, str]:
    """A timestamp as something to order by: the moment to the microsecond, and its fraction of a second to the last digit."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("expected timestamp")
    return datetime.fromisoformat(text), (match[1] or ".").ljust(10, "0")


def compile_reader(dtype: DataType) -> Reader:
    """JSON of the Tecton spelling → (positional, named), checked. A value that arrives well formed is not encoded again."""
    fast = _FAST_READERS.get(dtype.kind)
    if fast is not None:
        return fast
    write = compile_writer(dtype)
    decode = msgspec.json.Decoder().decode

    def read(raw: bytes) -> Encoded:
        if raw == b"null":
            return NULL
        return write(decode(raw))

    return read


_PLAIN_PATTERNS = {
    Kind.INT64: rb'("-?(?:0|[1-9][0-9]{0,17}+)"|null)',
    Kind.FLOAT64: rb"(-?(?:0|[1-9][0-9]{0,99}+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]{1,2}+)?|null)",
    Kind.STRING: rb'("[^"\\\x00-\x1f\x7f-\xff]*+"|null)',
    Kind.BOOLEAN: rb"(true|false|null)",
    Kind.TIMESTAMP: rb'("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9}+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"|null)',
}
"""How values are spelled that the readers below pass on as they are. Each is a group; what is rarer, or wrong, is theirs to judge."""
_PLAIN_PATTERNS[Kind.FLOAT32] = _PLAIN_PATTERNS[Kind.FLOAT64]


def plain_array(dtypes: Sequence[DataType]) -> re.Pattern[bytes] | None:
    """A JSON array of values of these types, plainly spelled, as a pattern with a group for each; None where there is none."""
    patterns = [_PLAIN_PATTERNS.get(dtype.kind) for dtype in dtypes]
    known = [pattern for pattern in patterns if pattern is not None]
    return re.compile(rb"\[" + b", ?".join(known) + rb"\]") if known and len(known) == len(patterns) else None


def _read_int64(raw: bytes) -> Encoded:
    digits = raw[1:-1] if raw[:1] == b'"' else raw
    if raw == b"null":
        return NULL
    if _DECIMAL.fullmatch(digits) is None or not INT64_MIN <= int(digits) <= INT64_MAX:
        raise ValueError("expected int64 or null")
    return (raw if digits is not raw else b'"%b"' % raw), digits


def _float_reader(kind: Kind) -> Reader:
    wrong = f"expected {kind} or null"

    def read(raw: bytes) -> Encoded:
        if raw not in _NON_FINITE and raw != b"null" and not (raw[:1] in b"-0123456789" and math.isfinite(float(raw))):
            raise ValueError(wrong)
        return raw, raw

    return read


def _read_string(raw: bytes) -> Encoded:
    if raw[:1] != b'"' and raw != b"null":
        raise ValueError("expected string or null")
    if b"\\" in raw or not raw.isascii():  # a value that is passed on undecoded has only been skipped over: its text is not checked yet
        _decode_string(raw)
    return raw, raw


_decode_string = msgspec.json.Decoder(str).decode


def _read_boolean(raw: bytes) -> Encoded:
    if raw not in (b"true", b"false", b"null"):
        raise ValueError("expected boolean or null")
    return raw, raw


def _read_timestamp(raw: bytes) -> Encoded:
    if raw != b"null" and (raw[:1] != b'"' or _TIMESTAMP.fullmatch(raw[1:-1].decode()) is None):
        raise ValueError("expected timestamp or null")
    return raw, raw


_FAST_READERS: dict[Kind, Reader] = {
    Kind.INT64: _read_int64,
    Kind.FLOAT64: _float_reader(Kind.FLOAT64),
    Kind.FLOAT32: _float_reader(Kind.FLOAT32),
    Kind.STRING: _read_string,
    Kind.BOOLEAN: _read_boolean,
    Kind.TIMESTAMP: _read_timestamp,
}


def compile_plain(dtype: DataType) -> Callable[[Any], Any] | None:
    """Decoded JSON of the named spelling → plain Python, for on-demand functions; None where they are the same thing already.

    They differ in floats alone, whose NaN and infinities travel as strings.
    """
    if dtype.kind in (Kind.FLOAT64, Kind.FLOAT32):
        return lambda value: _NON_FINITE_TEXT[value] if type(value) is str else value
    if dtype.kind is Kind.STRUCT:
        members = {name: plain for name, field in dtype.fields if (plain := compile_plain(field)) is not None}
        if not members:
            return None
        return lambda value: value and {name: members[name](one) if name in members else one for name, one in value.items()}
    below = dtype.element or dtype.value
    inner = compile_plain(below) if below is not None else None
    if inner is None:
        return None
    if dtype.kind is Kind.MAP:
        return lambda value: value and {name: inner(one) for name, one in value.items()}
    return lambda value: value and [inner(one) for one in value]


def _write_float(value: Any) -> Encoded:
    if type(value) is float and value - value == 0.0:  # finite: the others give NaN
        text = _encode(value)
        return text, text
    if value is None:
        return NULL
    return _write_checked(value, Kind.FLOAT64)


def _write_int64(value: Any) -> Encoded:
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        digits = b"%d" % value
        return b'"%b"' % digits, digits
    if value is None:
        return NULL
    raise _wrong(DataType(Kind.INT64))


def _write_boolean(value: Any) -> Encoded:
    if value is True:
        return _TRUE
    if value is False:
        return _FALSE
    return NULL if value is None else _write_checked(value, Kind.BOOLEAN)


def _write_string(value: Any) -> Encoded:
    if value is None:
        return NULL
    return _write_checked(value, Kind.STRING)


def _write_checked(value: Any, kind: Kind) -> Encoded:
    try:
        text = _encode(_CHECKS[kind](value))
    except ValueError:
        raise _wrong(DataType(kind)) from None
    return text, text


_TRUE: Encoded = (b"true", b"true")
_FALSE: Encoded = (b"false", b"false")
_FAST_WRITERS: dict[Kind, Writer] = {
    Kind.FLOAT64: _write_float,
    Kind.INT64: _write_int64,
    Kind.BOOLEAN: _write_boolean,
    Kind.STRING: _write_string,
}


_PLAIN_KINDS = frozenset({Kind.INT64, Kind.FLOAT64, Kind.BOOLEAN, Kind.STRING, Kind.TIMESTAMP})


def compile_row_writer(features: Sequence[Feature]) -> Callable[[Sequence[Any]], Encoded]:
    """All values of a view at once: the comma-joined list of the Tecton doors, and the members of the named door's object. They must be of
    their features' types, timestamps as text; one encoder call for a row takes a third of the time of one for each value.
    """
    writers = [(_encode(feature.name) + b":", compile_writer(feature.dtype)) for feature in features]

    def write_each(values: Sequence[Any]) -> Encoded:
        spelled = [(prefix, write(value)) for (prefix, write), value in zip(writers, values, strict=True)]
        return b",".join([text for _, (text, _) in spelled]), b",".join([prefix + text for prefix, (_, text) in spelled])

    kinds = [feature.dtype.kind for feature in features]
    if not _PLAIN_KINDS.issuperset(kinds):
        return write_each
    names = [feature.name for feature in features]
    integers = [index for index, kind in enumerate(kinds) if kind is Kind.INT64]
    floats = [index for index, kind in enumerate(kinds) if kind is Kind.FLOAT64]

    def write_all(values: Sequence[Any]) -> Encoded:
        for index in floats:
            value = values[index]
            if value is not None and value - value != 0.0:  # NaN and infinities travel as text
                return write_each(values)
        named = _encode(dict(zip(names, values, strict=True)))[1:-1]
        if not integers:
            return _encode(values)[1:-1], named
        told = list(values)
        for index in integers:
            if told[index] is not None:
                told[index] = str(told[index])
        return _encode(told)[1:-1], named

    return write_all


_CONTAINERS = (Kind.ARRAY, Kind.STRUCT, Kind.MAP)
_READ_LATELY = 1_024


class MembersReader:
    """Reads some features back out of the named spelling of a view: the rest is skipped, not decoded."""

    def __init__(self, fields: Mapping[str, Feature]) -> None:
        """`fields`: the name each value is wanted under, and the feature it is."""
        slots = {name: f"f{index}" for index, name in enumerate(fields)}
        struct = msgspec.defstruct(
            "Members",
            [(slot, Any, None) for slot in slots.values()],
            rename={slots[name]: feature.name for name, feature in fields.items()},
        )
        self._decode = msgspec.json.Decoder(struct).decode
        self._names = tuple(fields)
        self._plain = [(name, plain) for name, feature in fields.items() if (plain := compile_plain(feature.dtype)) is not None]
        self._scalar = all(feature.dtype.kind not in _CONTAINERS for feature in fields.values())
        self._known: dict[bytes, Mapping[str, Any]] = {}

    def read(self, named: bytes) -> Mapping[str, Any]:
        """Plain Python values by name (see `on_demand`). What was read lately is remembered, where nothing in it can be changed: a few
        fragments are read again and again."""
        values = self._known.get(named)
        if values is None:
            values = MappingProxyType(self._read(named))
            if self._scalar:
                if len(self._known) >= _READ_LATELY:
                    self._known.clear()
                self._known[named] = values
        return values

    def _read(self, named: bytes) -> dict[str, Any]:
        values = dict(zip(self._names, _astuple(self._decode(b"{%b}" % named)), strict=True))
        for name, plain in self._plain:
            values[name] = plain(values[name])
        return values
