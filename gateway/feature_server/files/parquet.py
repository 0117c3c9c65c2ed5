"""Parquet, through pyarrow, which is large and an extra: imported when the first such file is opened.

A row's place is its number. Timestamps that have no zone are in UTC.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.files.columns import BadRow, Columns, FileUnreadable, Parse
from gateway.feature_server.records import PARSERS
from gateway.feature_server.windows import Row
from gateway.features import Kind

_BATCH_ROWS = 1_000


class ParquetFile:
    def __init__(self, path: Path, source: SourceRuntime, skip: int) -> None:
        try:
            self._arrow, self._parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError as error:
            raise FileUnreadable(f"{path}: Parquet needs pyarrow: pip install 'feature-gateway[files]'") from error
        self._path = path
        self._timestamps = {column.name for column in source.source.columns if column.dtype.kind is Kind.TIMESTAMP}
        parsers: Mapping[Kind, Parse] = MappingProxyType({**PARSERS, Kind.TIMESTAMP: int})
        self._columns = Columns(source, lambda kind: parsers[kind])
        self._skip = skip
        self._share = 0.0

    @property
    def position(self) -> int:
        return int(self._share * self._path.stat().st_size)

    def __iter__(self) -> Iterator[Row | BadRow]:
        try:
            with self._parquet.ParquetFile(self._path) as file:
                self._columns.check(self._path, file.schema_arrow.names)
                first, passed = self._first_group(file.metadata)
                groups = range(first, file.metadata.num_row_groups)
                number = passed
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=list(groups)):
                    for values in zip(*self._lists(batch), strict=True):
                        number += 1
                        if number > self._skip:
                            row = self._columns.row(values)
                            yield BadRow(self._path, number, row) if isinstance(row, str) else row
                    self._share = number / max(1, file.metadata.num_rows)
        except self._arrow.ArrowException as error:
            raise FileUnreadable(f"{self._path}: it is no Parquet file that can be read ({type(error).__name__}).") from error

    def _first_group(self, metadata: Any) -> tuple[int, int]:
        """The row group to begin with, and how many rows lie before it."""
        passed = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if passed + rows > self._skip:
                return group, passed
            passed += rows
        return metadata.num_row_groups, passed

    def _lists(self, batch: Any) -> list[list[Any]]:
        return [self._list(batch, name) for name in self._columns.names]

    def _list(self, batch: Any, name: str) -> list[Any]:
        """One column. Timestamps as nanoseconds; without a zone they are in UTC."""
        if name not in batch.schema.names:
            return [None] * batch.num_rows
        column = batch.column(name)
        if name in self._timestamps:
            if not (self._arrow.types.is_timestamp(column.type) or self._arrow.types.is_date(column.type)):
                raise FileUnreadable(f"{self._path}: column {name} is {column.type}, expected a timestamp.")
            column = column.cast(self._arrow.timestamp("ns", "UTC")).cast(self._arrow.int64())
        return list(column.to_pylist())
