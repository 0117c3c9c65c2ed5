"""Durations, numbers and types as YAML spells them: `10m`, `0.95`, `array<string>`. Raises ValueError with a sentence for people."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from gateway.feature_server.definitions import CONTINUOUS, DAY_S, HOUR_S, LIFETIME, MINUTE_S
from gateway.feature_server.folder.documents import Nothing, Plain
from gateway.features import DataType, Kind, array_of, map_of, struct_of

MAX_NESTING = 16
_UNITS: Mapping[str, int] = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}
_DURATION = re.compile(r"([0-9]{1,10})([smhdw])")
_TIME_LIMIT = re.compile(r"([0-9]{1,10})(ms|s)")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,9}")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,17})?(?:[eE][-+]?[0-9]{1,2})?")
_SCALARS = {kind.value: DataType(kind) for kind in Kind if kind not in {Kind.ARRAY, Kind.STRUCT, Kind.MAP}}
_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[<>,:])")
_FOREIGN = {
    "bool": "boolean",
    "double": "float64",
    "float": "float64",
    "int": "int64",
    "int32": "int64",
    "integer": "int64",
    "list": "array",
    "str": "string",
    "datetime": "timestamp",
}
"""What Tecton, Feast and SQL call them."""


def parse_text(value: object) -> str:
    if value is Nothing.NOTHING:
        raise ValueError("has no value: give it one, or leave it out.")
    if not isinstance(value, str):
        raise ValueError("must be text.")
    return str(value)


def parse_name(value: object) -> str:
    if not (text := parse_text(value)):
        raise ValueError("must not be empty.")
    return text


def parse_whole(value: object) -> int:
    return int(_number(value, _WHOLE, "a whole number, such as 5"))


def parse_decimal(value: object) -> float:
    return float(_number(value, _DECIMAL, "a number, such as 0.95"))


def _number(value: object, pattern: re.Pattern[str], wanted: str) -> str:
    text = parse_text(value)
    if not isinstance(value, Plain) and pattern.fullmatch(text):
        raise ValueError(f"must be {wanted}, without quotes.")
    if pattern.fullmatch(text) is None:
        raise ValueError(f"must be {wanted}.")
    return text


def parse_duration(value: object) -> int:
    """Seconds."""
    found = _DURATION.fullmatch(parse_text(value))
    if found is None:
        raise ValueError("must be a duration, such as 90s, 10m, 1h, 7d or 2w.")
    return int(found[1]) * _UNITS[found[2]]


def parse_window(value: object) -> int | None:
    """Seconds; None for all time."""
    if value == LIFETIME:
        return None
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError(f"must be a duration, such as 1h or 7d, or {LIFETIME}.") from None


def parse_interval(value: object) -> int | None:
    """Seconds; None for continuous windows."""
    if value == CONTINUOUS:
        return None
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError(f"must be a duration, such as 10m or 1h, or {CONTINUOUS}.") from None


def parse_time_limit(value: object) -> float:
    """Seconds."""
    found = _TIME_LIMIT.fullmatch(parse_text(value))
    if found is None:
        raise ValueError("must be a duration, such as 50ms or 2s.")
    return int(found[1]) / (1_000 if found[2] == "ms" else 1)


def parse_type(value: object) -> DataType:
    """The inverse of `str(dtype)`."""
    text = parse_text(value)
    tokens, end = [], 0
    while found := _TOKEN.match(text, end):
        tokens.append(found[1])
        end = found.end()
    if text[end:].strip() or not tokens:
        raise ValueError("must be a type, such as string, array<int64>, map<string, float64> or struct<x: int64, y: string>.")
    types = _Types(tokens)
    dtype = types.read(1)
    types.end()
    return dtype


class _Types:
    """A reader of types, token by token."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, ""]
        self._at = 0

    def read(self, depth: int) -> DataType:
        if depth > MAX_NESTING:
            raise ValueError(f"is a type nested more than {MAX_NESTING} levels deep.")
        name = self._next()
        if name in _SCALARS:
            return _SCALARS[name]
        if name == Kind.ARRAY:
            self._expect("<")
            dtype = array_of(self.read(depth + 1))
        elif name == Kind.MAP:
            self._expect("<")
            if self._next() != Kind.STRING:
                raise ValueError("is a map whose keys are not string.")
            self._expect(",")
            dtype = map_of(self.read(depth + 1))
        elif name == Kind.STRUCT:
            self._expect("<")
            dtype = struct_of(**self._fields(depth))
        else:
            raise ValueError(_no_such_type(name))
        self._expect(">")
        return dtype

    def end(self) -> None:
        if self._tokens[self._at]:
            raise ValueError(f"is a type with more after its end: {self._tokens[self._at]}.")

    def _fields(self, depth: int) -> dict[str, DataType]:
        fields: dict[str, DataType] = {}
        while self._tokens[self._at] != ">":
            if fields:
                self._expect(",")
            name = self._next()
            if not name.isidentifier():
                raise ValueError("is a struct with a field that has no name.")
            if name in fields:
                raise ValueError(f"is a struct with two fields {name}.")
            self._expect(":")
            fields[name] = self.read(depth + 1)
        return fields

    def _next(self) -> str:
        token = self._tokens[self._at]
        self._at += bool(token)
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise ValueError(f"is not a type: a {token!r} is missing.")


def _no_such_type(name: str) -> str:
    near = _FOREIGN.get(name.lower()) or next(iter(get_close_matches(name.lower(), [kind.value for kind in Kind], 1)), None)
    said = f"is not a type: there is no {name[:60]}" if name.isidentifier() else "is not a type: a name is missing"
    return f"{said}; did you mean {near}?" if near else f"{said}; there are {', '.join(sorted(kind.value for kind in Kind))}."
