"""The oracle on a week of flights: it agrees, however they were sent, and it says so where something is wrong."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.demo.flights import read_flights
from gateway.feature_server.definitions import Aggregation
from gateway.feature_server.functions import FUNCTIONS
from loadtests import oracle
from loadtests.oracle_askers import Answer, Asker, EngineAsker, open_engine
from loadtests.oracle_compare import compare
from loadtests.oracle_definitions import FLIGHTS, REPOSITORY, VIEWS
from loadtests.oracle_load import RAW, disordered, load, raw_flights, record_of, write_raw
from loadtests.oracle_samples import draw_reads
from loadtests.oracle_sql import Oracle, Read
from loadtests.oracle_verdicts import judge

[ORACLE_WORKSPACE] = REPOSITORY.workspaces
DAYS = 7


def quiet(_done: int, _wrong: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week, shuffled, a tenth of them sent twice, a hundredth corrected: loaded once."""
    path = tmp_path_factory.mktemp("oracle")
    said = CliRunner().invoke(oracle.main, [*arguments(path), "--sample", "1", "--http-sample", "0"])
    assert said.exit_code == 0, said.output
    assert "flights ingested: 6,768 of 6,768" in said.output
    return path


def arguments(folder: Path) -> list[str]:
    return ["--slice", str(DAYS), "--disorder", "--data-dir", str(folder)]


def test_a_week_in_disorder_is_served_as_sql_computes_them(folder: Path) -> None:
    said = CliRunner().invoke(oracle.main, [*arguments(folder), "--sample", "180", "--http-sample", "24"])
    assert said.exit_code == 0, said.output
    assert "loaded nothing: the store had all rows" in said.output
    assert "engine: 180 reads" in said.output
    assert "HTTP: 24 reads" in said.output
    assert said.output.splitlines()[-1].endswith("mismatched 0")


def test_one_event_changed_behind_its_back_is_told_by_view_feature_and_instant(folder: Path, tmp_path: Path) -> None:
    """A planted mistake: the oracle's rows say that one flight of the hottest airport flew a mile farther."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    rows = (tmp_path / RAW).read_text().splitlines(keepends=True)
    places = {name: place for place, name in enumerate(rows[0].strip().split(","))}
    last = rows[-1].split(",")
    last[places["distance"]] = str(int(last[places["distance"]]) + 1)
    (tmp_path / RAW).write_text("".join([*rows[:-1], ",".join(last)]))
    said = CliRunner().invoke(oracle.main, [*arguments(tmp_path), "--sample", "120", "--http-sample", "12"])
    assert said.exit_code == 1, said.output
    told = [line for line in said.output.splitlines() if line.startswith("read ")]
    assert told
    assert all(line.endswith(": value") and "distance" in line and " at 20" in line for line in told if "airport_ever" in line)
    assert any("airport_ever.distance_sum_lifetime_10m" in line for line in told)
    assert "evidence" not in said.output
    assert not said.output.splitlines()[-1].endswith("mismatched 0")


def test_another_load_is_not_mixed_into_a_folder(folder: Path) -> None:
    said = CliRunner().invoke(oracle.main, ["--slice", "3", "--data-dir", str(folder)])
    assert said.exit_code == 1
    assert "The data folder holds another load" in said.output


def test_a_broken_off_load_goes_on_where_it_stopped(tmp_path: Path) -> None:
    rows = list(islice(raw_flights(2), 1_500))
    write_raw(tmp_path, rows)
    engine = open_engine(tmp_path)
    try:

        def stop(_sent: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            load(engine, tmp_path, stop)
        assert load(engine, tmp_path, lambda _sent: None) == 500
        assert load(engine, tmp_path, lambda _sent: None) == 0
    finally:
        engine.close()


@pytest.fixture(scope="module")
def sql(folder: Path) -> Iterator[Oracle]:
    opened = Oracle(folder / RAW, ORACLE_WORKSPACE)
    yield opened
    opened.close()


@dataclass(frozen=True, slots=True)
class Spoiled:
    """An asker whose answers are changed on the way."""

    asker: Asker
    spoil: Callable[[Answer], Answer]

    def ask(self, read: Read) -> Answer:
        return self.spoil(self.asker.ask(read))


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("status", lambda answer: replace(answer, statuses=["PRESENT" if one != "PRESENT" else "MISSING_DATA" for one in answer.statuses])),
        ("effective time", lambda answer: replace(answer, effective_times=[None] * len(answer.names))),
        ("name", lambda answer: replace(answer, names=[*answer.names[1:], answer.names[0]])),
        ("value", lambda answer: replace(answer, values=[["nowhere"] for _ in answer.values])),
    ],
)
def test_each_part_of_an_answer_is_compared(folder: Path, sql: Oracle, what: str, spoil: Callable[[Answer], Answer]) -> None:
    asked = [*draw_reads(sql, ORACLE_WORKSPACE, len(VIEWS), seed=5)]
    engine = open_engine(folder)
    try:
        plain = compare(EngineAsker(engine), sql, asked, quiet)
        spoiled = compare(Spoiled(EngineAsker(engine), spoil), sql, asked, quiet)
    finally:
        engine.close()
    assert plain.mismatches == []
    assert len(spoiled.mismatches) == spoiled.compared
    assert {one.what for one in spoiled.mismatches} == {what}


def test_reads_are_the_same_for_the_same_seed_and_of_every_kind(sql: Oracle) -> None:
    drawn = [*draw_reads(sql, ORACLE_WORKSPACE, 600, seed=1)]
    assert drawn == [*draw_reads(sql, ORACLE_WORKSPACE, 600, seed=1)]
    assert drawn != [*draw_reads(sql, ORACLE_WORKSPACE, 600, seed=2)]
    assert {read.view.name for read in drawn} == {view.name for view in VIEWS}
    assert any(None in read.key for read in drawn)
    assert any("NOWHERE" in read.key for read in drawn)
    assert {read.at_ns is None for read in drawn} == {read.zero_counts for read in drawn} == {True, False}
    within_ns = {read.at_ns % 10**9 for read in drawn if read.at_ns is not None}
    assert {0, 1, 10**9 - 1} < within_ns


def test_the_views_use_every_function_every_type_and_every_kind_of_window() -> None:
    served = [one for view in VIEWS for one in view.aggregations]
    assert {one.function for one in served} == set(FUNCTIONS)
    kinds = {column.dtype.kind for column in FLIGHTS.columns}
    assert {FLIGHTS.dtype(one.column).kind for one in served} == kinds
    assert {FLIGHTS.dtype(one.column).kind for view in VIEWS for one in view.attributes} == kinds
    lasting = {view.interval_s is None for view in VIEWS for one in view.aggregations if one.window_s is None}
    bounded = {view.interval_s is None for view in VIEWS for one in view.aggregations if one.window_s is not None}
    assert lasting == bounded == {True, False}
    assert {600, 3_600, 86_400} <= {view.interval_s for view in VIEWS}


def test_records_are_derived_as_the_demo_derives_its_own() -> None:
    demo = {identity(record): record for record in read_flights()}
    ours = {identity(record): record for record in map(record_of, raw_flights(15))}
    assert len(demo) == 12_004
    for key, record in demo.items():
        speed = ours[key].pop("speed")
        assert (speed is None) == (record["air_time"] is None)
        assert ours[key] == record


def identity(record: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(record[name] for name in (FLIGHTS.timestamp, *FLIGHTS.record_key))


def test_disorder_sends_every_flight_some_twice_and_corrections_last() -> None:
    rows = [*islice(raw_flights(), 1_000)]
    sent = disordered(rows, seed=3)
    assert len(sent) == 1_110
    assert sent[:1_000] != rows
    assert {tuple(row.values()) for row in sent[:1_100]} == {tuple(row.values()) for row in rows}
    corrected = [row for row in sent[1_100:] if row not in rows]
    assert len(corrected) == 10
    assert {identity(record_of(row)) for row in corrected} <= {identity(record_of(row)) for row in rows}


def percentile_evidence(count: int, below: int, upto: int) -> dict[str, int]:
    return {"count": count, "below": below, "upto": upto}


COUNT = Aggregation("flight", "count", None)
MEDIAN = Aggregation("distance", "approx_percentile", None, percentile=0.5)
DISTINCT = Aggregation("tailnum", "approx_count_distinct", None)
MEAN = Aggregation("speed", "mean", None)
INTEGERS = {"count": 3, "sum": 4, "squares": 6}
FLOATS = {"count": 3, "sum": 0.3, "magnitude": 0.3, "whole": False}


@pytest.mark.parametrize(
    ("one", "evidence", "right", "wrong"),
    [
        (COUNT, 3, [3], [4, 3.0, True, None, "3"]),
        (COUNT, None, [None], [0]),
        (Aggregation("carrier", "last_n", None, n=2), ["UA", "AA"], [["UA", "AA"]], [["AA", "UA"], ["UA"], [], None]),
        (Aggregation("distance", "mean", None), INTEGERS, [4 / 3], [1.3333333333333335, 1, None]),
        (Aggregation("distance", "var_samp", None), {"count": 1, "sum": 4, "squares": 16}, [None], [0.0]),
        (MEAN, FLOATS, [0.1, 0.1 + 2**-56], [0.1 + 2**-50, None, 0]),
        (MEAN, FLOATS | {"count": 0, "sum": None}, [None], [0.0]),
        (Aggregation("speed", "var_pop", None), {"count": 3, "mean": 0.1, "spread": 0.03}, [0.01], [0.0100001, None]),
        (Aggregation("speed", "stddev_samp", None), {"count": 1, "mean": 0.1, "spread": 0.0}, [None], [0.0]),
        (DISTINCT, 20, [20, 21], [22, None, 20.0]),
        (DISTINCT, 1_000, [1_000, 1_200, 800], [1_400, 600]),
        (MEDIAN, percentile_evidence(100, 49, 50), [7.0], [7, None]),
        (MEDIAN, percentile_evidence(100, 50, 51), [], [7.0]),
        (MEDIAN, percentile_evidence(100, 50, 50), [], [7.0]),
        (MEDIAN, percentile_evidence(10_000, 5_100, 5_200), [7.0], []),
        (MEDIAN, percentile_evidence(10_000, 5_300, 5_400), [], [7.0]),
        (MEDIAN, percentile_evidence(0, 0, 0), [None], [7.0]),
    ],
)
def test_verdicts(one: Aggregation, evidence: Any, right: list[Any], wrong: list[Any]) -> None:
    assert [judge(one, evidence, got).right for got in right] == [True] * len(right)
    assert [judge(one, evidence, got).right for got in wrong] == [False] * len(wrong)
