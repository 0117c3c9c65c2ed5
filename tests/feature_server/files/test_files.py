"""Files say the same in every kind, resume where they are told to, and tell a bad row by its place and column alone."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feature_server.catalog import Catalog, SourceRuntime
from gateway.feature_server.files import BadRow, FileUnreadable, open_file
from gateway.feature_server.timestamps import format_timestamp_ns
from tests.feature_server.purchases import NOW_NS, REPOSITORY

PURCHASES = Catalog(REPOSITORY).sources["shop", "purchases"]
NAMES = [column.name for column in PURCHASES.source.columns]
ROWS: list[list[Any]] = [
    [NOW_NS, "o1", "ann", 7, 2.5, 3, 'a,"b"\nc', True, NOW_NS + 1_000],
    [NOW_NS, "o2", "ännä", -(2**63), -0.0, None, None, False, None],
    [NOW_NS - 60 * 10**9, "o3", "bob", 2**63 - 1, None, 0, "x", None, None],
]  # fmt: skip
TIMESTAMPS = (0, 8)


def spelled(row: Sequence[Any]) -> list[Any]:
    return [format_timestamp_ns(value) if place in TIMESTAMPS and value is not None else value for place, value in enumerate(row)]


def write_text(path: Path, text: str) -> None:
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(NAMES)
    writer.writerows([["" if value is None else str(value) for value in spelled(row)] for row in rows])
    write_text(path, text.getvalue())


def write_jsonl(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    write_text(path, "".join(json.dumps(dict(zip(NAMES, spelled(row), strict=True))) + "\n\n" for row in rows))


def write_parquet(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}
    table = pa.table(columns, schema=pa.schema(list(zip(NAMES, ARROW, strict=True))))
    pq.write_table(table, path, row_group_size=2)


STAMP = pa.timestamp("ns", "UTC")
TEXT, WHOLE, NUMBER, TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()
ARROW = [STAMP, TEXT, TEXT, WHOLE, NUMBER, WHOLE, TEXT, TRUTH, STAMP]
KINDS: dict[str, Callable[[Path, Sequence[Sequence[Any]]], None]] = {
    "rows.csv": write_csv,
    "rows.csv.gz": write_csv,
    "rows.jsonl": write_jsonl,
    "rows.ndjson.gz": write_jsonl,
    "rows.parquet": write_parquet,
}


def rows_of(path: Path, skip: int = 0, source: SourceRuntime = PURCHASES) -> list[Any]:
    return list(open_file(path, source, skip))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [0, 1, 2, 3, 4])
def test_every_kind_says_the_same_from_wherever_it_is_read(tmp_path: Path, kind: str, skip: int) -> None:
    KINDS[kind](tmp_path / kind, ROWS)
    found = rows_of(tmp_path / kind, skip)
    assert found == ROWS[skip:]
    assert [[type(value) for value in row] for row in found] == [[type(value) for value in row] for row in ROWS[skip:]]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(st.tuples(TEXTS, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))))
def test_what_python_writes_as_csv_or_jsonl_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, float, int]]
) -> None:
    rows = [[NOW_NS, text, "ann", number, amount, None, text, None, None] for text, amount, number in values]
    for kind in ("rows.csv", "rows.jsonl"):
        path = tmp_path_factory.mktemp("files") / kind
        KINDS[kind](path, rows)
        assert rows_of(path) == rows


HEADER = "at,order,user,shop,amount,gift\n"
GOOD = "2024-05-01T12:00:00Z,o1,ann,7,1.5,true\n"
BAD = {
    "yesterday,o1,ann,7,1,true": "column at has the wrong type, expected timestamp",
    ",o1,ann,7,1,true": "required column at is missing or null",
    "2024-05-01 12:00:00,o1,,7,1,true": "required column user is missing or null",
    "2024-05-01 12:00:00,o1,ann,7.5,1,true": "column shop has the wrong type, expected int64",
    "2024-05-01 12:00:00,o1,ann,9223372036854775808,1,true": "column shop has the wrong type, expected int64",
    "2024-05-01 12:00:00,o1,ann,7,inf,true": "column amount has the wrong type, expected float64 or null",
    "2024-05-01 12:00:00,o1,ann,7,1_0,true": "column amount has the wrong type, expected float64 or null",
    "2024-05-01 12:00:00,o1,ann,7,1,yes": "column gift has the wrong type, expected boolean or null",
    "2024-05-01 12:00:00,o1,ann,7,1": "it has 5 fields, expected 6",
    "2024-05-01 12:00:00,o1,ann,7,1,true,": "it has 7 fields, expected 6",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_of_csv_is_told_by_its_place_and_column_and_the_next_is_read(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}{GOOD}{line}\n{GOOD}")
    good, bad, last = rows_of(path)
    assert isinstance(bad, BadRow)
    assert str(bad) == f"{path}:3: {BAD[line]}"
    assert good == last == [NOW_NS, "o1", "ann", 7, 1.5, None, None, True, None]


BAD_JSON = {
    "{": "the line is not JSON",
    "[]": "the line is not a JSON object",
    '{"at":"2024-05-01T12:00:00Z","order":"o1","user":"ann","shop":7,"shop":8}': "the line is not JSON",
    '{"at":"2024-05-01T12:00:00Z","order":"o1","user":"ann","shop":true}': "column shop has the wrong type, expected int64",
    '{"at":"2024-05-01T12:00:00Z","order":"o1","user":"ann","shop":7,"shopp":8}': "column shopp is not in the stream source's schema",
}


@pytest.mark.parametrize("line", BAD_JSON)
def test_a_bad_line_of_jsonl_is_told_by_its_place_and_column(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\n{line}\n")
    [bad] = rows_of(path)
    assert str(bad) == f"{path}:2: {BAD_JSON[line]}"


def test_parquet_has_other_types_for_the_same_and_tells_bad_rows_by_number(tmp_path: Path) -> None:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    columns = {
        "at": pa.array([at.replace(tzinfo=None), at.replace(tzinfo=None) - timedelta(minutes=1)], pa.timestamp("ms")),
        "order": pa.array(["o1", "o2"]).dictionary_encode(),
        "user": pa.array(["ann", None], pa.large_string()),
        "shop": pa.array([7, 8], pa.int16()),
        "amount": pa.array([1, 2], pa.int32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.pq")
    good, bad = rows_of(tmp_path / "rows.pq")
    assert good == [NOW_NS, "o1", "ann", 7, 1.0, None, None, None, None]
    assert str(bad) == f"{tmp_path / 'rows.pq'}:2: required column user is missing or null"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("rows.txt", b"", "files are .csv, .jsonl, .ndjson"),
        ("rows.parquet.gz", b"", "files are .csv, .jsonl, .ndjson"),
        ("rows.csv", b"", "it is empty, without a header"),
        ("rows.csv", b"at,order,user\n", "it lacks the required columns shop."),
        ("rows.csv", b"at,order,user,shop,shop\n", "it has shop, more than once"),
        ("rows.csv", b"at,order,user,shop,price,size\n", "it has price, size, which the stream source has not"),
        ("rows.csv", HEADER.encode() + b'"2024', "it is no CSV"),
        ("rows.csv", HEADER.encode() + b"\xff\n", "it is not UTF-8 text"),
        ("rows.csv.gz", b"no gzip", "its compressed data is broken, or ends too early"),
        ("rows.csv.gz", gzip.compress((HEADER + GOOD * 10).encode(), mtime=0)[:-12], "its compressed data is broken, or ends too early"),
        ("rows.jsonl", b"{}\n\xff\n", "it is not UTF-8 text"),
        ("rows.parquet", b"no parquet", "it is no Parquet file that can be read"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileUnreadable) as told:
        rows_of(tmp_path / name)
    assert text in str(told.value)
    assert str(tmp_path / name) in str(told.value)


def test_a_parquet_column_that_is_no_timestamp(tmp_path: Path) -> None:
    columns = {"at": [1], "order": ["o1"], "user": ["ann"], "shop": [1]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    with pytest.raises(FileUnreadable, match="column at is int64, expected a timestamp"):
        rows_of(tmp_path / "rows.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_the_position_ends_near_the_files_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    KINDS[kind](path, ROWS * 1_000)
    reading = open_file(path, PURCHASES)
    positions = [reading.position for _ in reading]
    assert positions == sorted(positions)
    assert positions[-1] > path.stat().st_size // 2
