"""CSV and JSONL, gzipped or not, in UTF-8. A row's place is its line.

Owns what a CSV field means: text alone says nothing of its type, so the column does, and an empty field is null.
"""

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from gateway.errors import MalformedBody
from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.files.columns import BadRow, Columns, FileUnreadable, Parse
from gateway.feature_server.records import PARSERS
from gateway.feature_server.timestamps import parse_timestamp
from gateway.feature_server.windows import Row
from gateway.features import Kind
from gateway.wire.json import decode_strict

_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _from_text(kind: Kind) -> Parse:
    """What a CSV field says; an empty one is null before it comes here."""
    if kind is Kind.FLOAT64:
        return _float
    if kind is Kind.BOOLEAN:
        return _boolean
    if kind is Kind.TIMESTAMP:
        return lambda text: parse_timestamp(text.replace(" ", "T", 1))
    return PARSERS[kind]


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or "_" in text:
        raise ValueError("not a finite number")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("not a boolean")
    return _BOOLEANS[text.lower()]


class _Text:
    """A text file, gzipped or not, and how far into it a reader is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw: IO[bytes] | None = None

    @property
    def position(self) -> int:
        return 0 if self._raw is None or self._raw.closed else self._raw.tell()

    @contextmanager
    def lines(self, newline: str | None) -> Iterator[IO[str]]:
        with self.path.open("rb") as raw:
            self._raw = raw
            inside: Any = gzip.GzipFile(fileobj=raw) if self.path.name.lower().endswith(".gz") else raw
            with TextIOWrapper(inside, encoding="utf-8-sig", newline=newline) as text:
                try:
                    yield text
                except UnicodeDecodeError as error:
                    raise FileUnreadable(f"{self.path}: it is not UTF-8 text.") from error
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise FileUnreadable(f"{self.path}: its compressed data is broken, or ends too early.") from error


class CsvFile:
    def __init__(self, path: Path, source: SourceRuntime, skip: int) -> None:
        self._text = _Text(path)
        self._columns = Columns(source, _from_text)
        self._skip = skip

    @property
    def position(self) -> int:
        return self._text.position

    def __iter__(self) -> Iterator[Row | BadRow]:
        path = self._text.path
        with self._text.lines("") as text:
            reader = csv.reader(text, strict=True)
            try:
                header = next(reader, None)
                if header is None:
                    raise FileUnreadable(f"{path}: it is empty, without a header.")
                self._columns.check(path, header)
                places = [header.index(name) if name in header else None for name in self._columns.names]
                done = 0
                for fields in reader:
                    if not fields:  # an empty line
                        continue
                    done += 1
                    if done > self._skip:
                        yield self._row(fields, len(header), places, reader.line_num)
            except csv.Error as error:
                raise FileUnreadable(f"{path}:{reader.line_num}: it is no CSV: {error}.") from error

    def _row(self, fields: list[str], width: int, places: Sequence[int | None], line: int) -> Row | BadRow:
        if len(fields) != width:
            return BadRow(self._text.path, line, f"it has {len(fields)} fields, expected {width}")
        row = self._columns.row([None if place is None else fields[place] or None for place in places])
        return BadRow(self._text.path, line, row) if isinstance(row, str) else row


class JsonlFile:
    def __init__(self, path: Path, source: SourceRuntime, skip: int) -> None:
        self._text = _Text(path)
        self._columns = Columns(source, lambda kind: PARSERS[kind])
        self._known = frozenset(self._columns.names)
        self._skip = skip

    @property
    def position(self) -> int:
        return self._text.position

    def __iter__(self) -> Iterator[Row | BadRow]:
        with self._text.lines("\n") as text:
            done = 0
            for number, line in enumerate(text, 1):
                if line.isspace():
                    continue
                done += 1
                if done > self._skip:
                    row = self._row(line)
                    yield BadRow(self._text.path, number, row) if isinstance(row, str) else row

    def _row(self, line: str) -> Row | str:
        try:
            record = decode_strict(line.encode())
        except (MalformedBody, UnicodeEncodeError):
            return "the line is not JSON"
        if not isinstance(record, dict):
            return "the line is not a JSON object"
        unknown = record.keys() - self._known
        if unknown:
            return f"column {json.dumps(min(unknown))[1:-1][:60]} is not in the stream source's schema"
        return self._columns.row([record.get(name) for name in self._columns.names])
