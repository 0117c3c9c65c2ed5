"""A source's columns as a file has them: which it may and must have, and what a row of their values is.

Owns what is wrong with a file or a row, as it is told. Each kind of file says how a value of it is read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.functions import Value
from gateway.feature_server.windows import Row
from gateway.features import Kind

Parse: TypeAlias = Callable[[Any], Value]
"""ValueError for what is not of the column's type. Null does not come here."""


class FileUnreadable(Exception):
    """The file as a whole, or from some place on, is not what it should be. Says what and where."""


class BadRow(NamedTuple):
    """`row`: its line in a text file, its number in a Parquet file; from 1."""

    file: Path
    row: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.row}: {self.text}"


class Columns:
    """The source's columns, each with what reads it."""

    def __init__(self, source: SourceRuntime, parser: Callable[[Kind], Parse]) -> None:
        self.names = [column.name for column in source.source.columns]
        self.required = source.required
        self._dtypes = {column.name: str(column.dtype) for column in source.source.columns}
        self._parsers = [parser(column.dtype.kind) for column in source.source.columns]
        self._required = [column.name in source.required for column in source.source.columns]

    def row(self, values: Sequence[Any]) -> Row | str:
        """Typed; or what is wrong. `values` in the order of the columns, None for null."""
        row: list[Value] = []
        for value, parse, required, name in zip(values, self._parsers, self._required, self.names, strict=True):
            if value is None:
                if required:
                    return f"required column {name} is missing or null"
                row.append(None)
                continue
            try:
                row.append(parse(value))
            except ValueError:
                return f"column {name} has the wrong type, expected {self._dtypes[name]}{'' if required else ' or null'}"
        return row

    def check(self, path: Path, given: Sequence[str]) -> None:
        """Columns that a file has, against those that it may and must have."""
        twice = sorted({name for name in given if given.count(name) > 1})
        unknown = [name for name in given if name not in self.names]
        lacking = sorted(self.required - set(given))
        for names, what in ((twice, "more than once"), (unknown, "which the stream source has not"), (lacking, "")):
            if names:
                listed = ", ".join(ascii(name)[1:-1][:60] for name in names[:10])
                raise FileUnreadable(
                    f"{path}: it lacks the required columns {listed}." if not what else f"{path}: it has {listed}, {what}."
                )
