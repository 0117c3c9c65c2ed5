"""One record of a stream source → its row: typed, checked, in column order.

Owns what a column's value may look like in JSON and what a record may lack. Every mistake is reported, by position and field name, never by
value. Knows nothing of requests, replies or stores.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.functions import INT64_MAX, INT64_MIN, Value
from gateway.feature_server.timestamps import NS_PER_S, parse_timestamp
from gateway.feature_server.windows import Row
from gateway.features import Kind

MAX_ECHO = 64
"""Characters of a column's name or source's name that an error repeats: where none of ours has it, it is the caller's own text."""
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)


def _int64(value: object) -> int:
    """A JSON number without fraction, or the decimal text that int64 travels as."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return value
    raise ValueError("not an int64")


def _float64(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(number := float(value)):
        return number
    raise ValueError("not a finite number")


def _string(value: object) -> str:
    if isinstance(value, str):
        value.encode()  # UnicodeEncodeError is a ValueError: lone surrogates are no text
        return value
    raise ValueError("not a string")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("not a boolean")


def _timestamp(value: object) -> int:
    if isinstance(value, str):
        return parse_timestamp(value)
    raise ValueError("not a timestamp")


PARSERS: Mapping[Kind, Callable[[object], Value]] = MappingProxyType(
    {Kind.INT64: _int64, Kind.FLOAT64: _float64, Kind.STRING: _string, Kind.BOOLEAN: _boolean, Kind.TIMESTAMP: _timestamp}
)


@dataclass(frozen=True, slots=True)
class RecordError:
    source: str
    message: str
    view: str | None = None
    """Where the mistake is one for this view alone."""


class RecordReader:
    """Reads the records of one source. `now_ns` says what lies within a view's serving TTL."""

    def __init__(self, source: SourceRuntime, now_ns: int) -> None:
        self._runtime = source
        self._source = source.source
        self._columns = [(column, PARSERS[column.dtype.kind], column.name in source.required) for column in source.source.columns]
        self._known = frozenset(column.name for column in source.source.columns)
        self._oldest_ns = {view.name: now_ns - view.view.ttl_s * NS_PER_S for view in source.views if view.view.ttl_s is not None}

    def read(self, index: int, record: Mapping[str, Any], mistakes: list[RecordError]) -> Row:
        """The row, with None for what is missing. `index` is the record's place in the request; its mistakes are added to the list."""
        row: list[Value] = []
        wrong: list[str] = []
        for column, parse, required in self._columns:
            value = record.get(column.name)
            if value is not None:
                try:
                    value = parse(value)
                except ValueError:
                    value = None
                    wrong.append(f"column `{column.name}` has the wrong type, expected {column.dtype}{'' if required else ' or null'}")
            elif required:
                wrong.append(f"required column `{column.name}` is missing or null")
            row.append(value)
        if not self._known.issuperset(record):
            wrong += [f"column `{name[:MAX_ECHO]}` is not in the stream source's schema" for name in record if name not in self._known]
        mistakes += [RecordError(self._source.name, f"Record {index}: {what}") for what in wrong]
        if self._oldest_ns and not wrong:
            mistakes += self._expired(index, row[self._runtime.timestamp_column])
        return row

    def _expired(self, index: int, at_ns: int) -> list[RecordError]:
        what = f"Record {index}: column `{self._source.timestamp}` lies outside the feature view's serving TTL"
        return [RecordError(self._source.name, what, view) for view, oldest_ns in self._oldest_ns.items() if at_ns < oldest_ns]
