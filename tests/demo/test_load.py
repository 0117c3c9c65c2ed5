import itertools
from pathlib import Path

import pytest

from gateway.demo.definitions import AS_OF_NS, REPOSITORY, SOURCE, WORKSPACE
from gateway.demo.flights import ROWS, read_flights
from gateway.demo.load import LoadFailed, load, loaded
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.reads import ReadRow
from gateway.features import ServiceRef
from tests.demo.conftest import open_demo
from tests.feature_server.purchases import read_rows

SERVICE = ServiceRef(WORKSPACE, "flight_delay")
ROW = ReadRow(
    {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"},
    frozenset({"airport_departures", "carrier_performance", "route_history", "plane_history"}),
)


def values(engine: Engine) -> list[object]:
    return [view.values for view in read_rows(engine, SERVICE, [ROW])[0].views]


class Interrupted(Exception):
    pass


@pytest.mark.usefixtures("unmeasured")
def test_an_interrupted_load_goes_on_where_it_stopped(tmp_path: Path, demo: Engine) -> None:
    calls = itertools.count(1)

    def stop_after_three(_stored: int) -> None:
        if next(calls) == 3:
            raise Interrupted

    first = open_demo(tmp_path / "features.db")
    with pytest.raises(Interrupted):
        load(first, stop_after_three)
    first.close()
    second = open_demo(tmp_path / "features.db")
    assert not loaded(second)
    assert load(second, lambda _stored: None) == ROWS - 3 * 500
    assert values(second) == values(demo)
    assert loaded(second)
    second.close()


def test_a_second_load_loads_nothing_and_still_reports_progress(demo: Engine) -> None:
    seen: list[int] = []
    assert load(demo, seen.append, batch_records=5_000) == 0
    assert seen == [5_000, 10_000, ROWS]
    assert demo.missing(WORKSPACE, SOURCE, list(read_flights())) == []


def test_a_load_that_is_refused_says_so(tmp_path: Path) -> None:
    a_year_later_ns = AS_OF_NS + 365 * 86_400 * 1_000_000_000
    engine = Engine.open(REPOSITORY, SqliteStore(tmp_path / "features.db"), lambda: a_year_later_ns)
    with pytest.raises(LoadFailed, match="status 400"):
        load(engine, lambda _stored: None)
    engine.close()
