"""Files of records → typed rows of a stream source: CSV and JSONL, also gzipped, and Parquet.

Read as it goes, so a file may be larger than memory. A bad row is told by its place and column, never by its value. Knows nothing of who
wants the rows.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.files.columns import BadRow, FileUnreadable
from gateway.feature_server.files.parquet import ParquetFile
from gateway.feature_server.files.text import CsvFile, JsonlFile
from gateway.feature_server.windows import Row

__all__ = ["BadRow", "FileUnreadable", "Reading", "open_file"]


class Reading(Protocol):
    """One file, being read: each record once, in order."""

    def __iter__(self) -> Iterator[Row | BadRow]: ...

    @property
    def position(self) -> int:
        """How many bytes of the file have been read, about."""
        ...


def open_file(path: Path, source: SourceRuntime, skip: int = 0) -> Reading:
    """`skip`: so many records are passed over. Raises FileUnreadable, now or while it is read, and OSError."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")) and not path.name.lower().endswith(".gz"):
        return ParquetFile(path, source, skip)
    if name.endswith(".csv"):
        return CsvFile(path, source, skip)
    if name.endswith((".jsonl", ".ndjson")):
        return JsonlFile(path, source, skip)
    raise FileUnreadable(f"{path}: files are .csv, .jsonl, .ndjson (each also with .gz) or .parquet, by their name.")
