"""The demo's features, computed again in plain Python from the same file, and what its services promise."""

import csv
import gzip
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import gateway.demo
from gateway.demo.definitions import BOARD_SERVICE, REPOSITORY, SERVICE, WORKSPACE
from gateway.demo.flights import UNASSIGNED
from gateway.feature_server.engine import Engine
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.feature_server.reads import ReadRow
from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, Caller, Field, ServiceRef, array_of
from gateway.origins.base import Fetch, FetchRow
from tests.feature_server.purchases import read_rows

AS_OF = datetime(2013, 1, 14, 23, tzinfo=UTC)
DELAY, BOARD = ServiceRef(WORKSPACE, SERVICE), ServiceRef(WORKSPACE, BOARD_SERVICE)
Flight = dict[str, Any]


def flights() -> list[Flight]:
    """Read here once more, without the package's own reader."""
    text = gzip.decompress((Path(gateway.demo.__file__).parent / "flights.csv.gz").read_bytes()).decode()
    rows: list[Flight] = [dict(row) for row in csv.DictReader(text.splitlines())]
    for row in rows:
        row["at"] = datetime.fromisoformat(row["scheduled_departure"])
        row["tailnum"] = row["tailnum"] or UNASSIGNED
        for minutes in ("dep_delay", "arr_delay", "air_time"):
            row[minutes] = float(row[minutes]) if row[minutes] else None
    return rows


FLIGHTS = flights()


def recent(hours: int, **keys: str) -> list[Flight]:
    first = AS_OF - timedelta(hours=hours)
    found = [row for row in FLIGHTS if first <= row["at"] < AS_OF and all(row[key] == value for key, value in keys.items())]
    # Flights of one minute: by the bytes of their record key, in which a flight number counts as a number
    return sorted(found, key=lambda row: (row["at"], len(row["carrier"]), row["carrier"], int(row["flight"]), row["origin"], row["dest"]))


def known(rows: list[Flight], column: str) -> list[Any]:
    return [row[column] for row in rows if row[column] is not None]


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def departed(row: Flight) -> str:
    moment: datetime = row["at"] + timedelta(minutes=row["dep_delay"])
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def airport(origin: str) -> dict[str, Any]:
    hour, six, day = (recent(hours, origin=origin) for hours in (1, 6, 24))
    return {
        "carrier_last_5_1h_10m": known(hour, "carrier")[-5:] or None,
        "dep_delay_max_6h_10m": max(known(six, "dep_delay"), default=None),
        "dep_delay_mean_1h_10m": mean(known(hour, "dep_delay")),
        "dep_delay_mean_6h_10m": mean(known(six, "dep_delay")),
        "dest_count_distinct_1d_10m": len(set(known(day, "dest"))) or None,
        "flight_count_1d_10m": len(day) or None,
        "flight_count_1h_10m": len(hour) or None,
    }


def carrier(code: str) -> dict[str, Any]:
    day, week = (recent(hours, carrier=code) for hours in (24, 168))
    return {
        "arr_delay_mean_1d_1h": mean(known(day, "arr_delay")),
        "arr_delay_mean_7d_1h": mean(known(week, "arr_delay")),
        "dep_delay_max_7d_1h": max(known(week, "dep_delay"), default=None),
        "distance_sum_7d_1h": sum(int(row["distance"]) for row in week) or None,
        "flight_count_1d_1h": len(day) or None,
        "tailnum_count_distinct_7d_1h": len({row["tailnum"] for row in week}) or None,
    }


def route(origin: str, dest: str) -> dict[str, Any]:
    week = recent(168, origin=origin, dest=dest)
    return {
        "air_time_max_7d_1h": max(known(week, "air_time"), default=None),
        "air_time_mean_7d_1h": mean(known(week, "air_time")),
        "air_time_min_7d_1h": min(known(week, "air_time"), default=None),
        "arr_delay_mean_7d_1h": mean(known(week, "arr_delay")),
        "carrier_count_distinct_7d_1h": len({row["carrier"] for row in week}) or None,
        "flight_count_7d_1h": len(week) or None,
    }


def plane(tailnum: str) -> dict[str, Any]:
    day, week = (recent(hours, tailnum=tailnum) for hours in (24, 168))
    flown = [row for row in week if row["dep_delay"] is not None]
    return {
        "air_time_sum_7d_1h": sum(known(week, "air_time")) if known(week, "air_time") else None,
        "arr_delay_last_1d_1h": (known(day, "arr_delay") or [None])[-1],
        "cancelled_last_7d_1h": week[-1]["dep_delay"] is None if week else None,
        "departed_at_last_7d_1h": departed(flown[-1]) if flown else None,
        "dest_last_5_7d_1h": known(week, "dest")[-5:] or None,
        "flight_count_1d_1h": len(day) or None,
        "origin_last_7d_1h": week[-1]["origin"] if week else None,
    }


def served(engine: Engine, view: str, **join_keys: str) -> dict[str, Any]:
    [found] = read_rows(engine, DELAY, [ReadRow(join_keys, frozenset({view}))])[0].views
    return {name.partition(".")[2]: value for name, value in zip(found.served.layout.names, found.values, strict=True)}


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in found.items():
        wanted = expected[name]
        assert value == wanted or (isinstance(wanted, float) and math.isclose(value, wanted)), name


@pytest.mark.parametrize("origin", ["EWR", "JFK", "LGA", "XXX"])
def test_airports(demo: Engine, origin: str) -> None:
    same(served(demo, "airport_departures", origin=origin), airport(origin))


def test_carriers(demo: Engine) -> None:
    for code in {row["carrier"] for row in FLIGHTS}:
        same(served(demo, "carrier_performance", carrier=code), carrier(code))


def test_routes(demo: Engine) -> None:
    for origin, dest in sorted({(row["origin"], row["dest"]) for row in FLIGHTS})[::3]:
        same(served(demo, "route_history", origin=origin, dest=dest), route(origin, dest))


def test_planes(demo: Engine) -> None:
    for tailnum in [UNASSIGNED, *sorted({row["tailnum"] for row in FLIGHTS})[::25]]:
        same(served(demo, "plane_history", tailnum=tailnum), plane(tailnum))


def test_the_service_takes_four_join_keys_and_serves_every_type(demo: Engine) -> None:
    found = demo.describe(DELAY)
    assert found.join_keys == tuple(Field(name, STRING) for name in ("origin", "dest", "carrier", "tailnum"))
    assert found.context_keys == (Field("planned_air_time", FLOAT64),)
    assert {feature.dtype for feature in found.features} == {INT64, FLOAT64, STRING, BOOLEAN, TIMESTAMP, STRING, array_of(STRING)}
    assert [feature.name for feature in found.features[:3]] == [
        "planned_flight.usual_air_time",
        "planned_flight.minutes_over_usual",
        "planned_flight.longer_than_usual",
    ]
    labels = found.labels or {}
    assert all(labels[feature.name].description for feature in found.features if feature.view != "planned_flight")


def test_the_board_shares_its_views_with_the_delay_model(demo: Engine) -> None:
    board = demo.describe(BOARD)
    assert {feature.view for feature in board.features} == {"airport_departures", "route_history"}
    assert set(board.features) < set(demo.describe(DELAY).features)


@pytest.mark.parametrize(
    ("planned", "usual", "expected"),
    [
        (150.0, 120.0, {"usual_air_time": 120.0, "minutes_over_usual": 30.0, "longer_than_usual": True}),
        (120.0, 120.0, {"usual_air_time": 120.0, "minutes_over_usual": 0.0, "longer_than_usual": False}),
        (None, 120.0, {"usual_air_time": 120.0, "minutes_over_usual": None, "longer_than_usual": None}),
        (150.0, None, {"usual_air_time": None, "minutes_over_usual": None, "longer_than_usual": None}),
    ],
)
def test_the_on_demand_view_takes_nulls(planned: float | None, usual: float | None, expected: dict[str, Any]) -> None:
    [planned_flight] = REPOSITORY.workspaces[0].on_demand
    found = planned_flight.compute({"planned_air_time": planned}, {"route_history": {"air_time_mean_7d_1h": usual}})
    assert found == list(expected.values())


@pytest.mark.anyio
async def test_a_vector_is_read_in_one_call_with_its_size_and_time(demo: Engine) -> None:
    keys = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}
    views = frozenset(view.name for view in REPOSITORY.workspaces[0].views)
    fetch = Fetch(DELAY, (FetchRow(keys, {"planned_air_time": 300.0}, views),), Caller(b"anybody"), 1e9)
    [row] = (await EmbeddedOrigin(demo).fetch(fetch)).rows
    assert len(row.views) == 4
    assert sum(len(view.layout) for view in row.views) == 26
    assert all(view.effective_times[0] == "2013-01-14T22:58:00Z" for view in row.views)
    assert json.loads(b"{" + row.views[0].named + b"}")["airport_departures.flight_count_1d_10m"] == airport("JFK")["flight_count_1d_10m"]
