"""What the benchmark comes to: ratios by round, targets, a chart that is one, and no verdict by who fails fast."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from loadtests.contest import BARE, NGINX_CACHE, OURS, Row
from loadtests.crowd import SCENARIO
from loadtests.drivers import Load
from loadtests.peers import FEAST_SIDES, SINGLE
from loadtests.servers import Measured
from loadtests.verdicts import FRAGMENT_BYTES, SAVED_AT_A_DAY, SAVED_AT_AN_HOUR, Results, Verdict, chart, document, verdicts

ROOT = Path(__file__).resolve().parents[2]


def row(scenario: str, side: str, rates: list[float], ratios: list[float], *, connections: int = 16, errors: int = 0, work: int = 1) -> Row:
    runs = [Measured(Load(rate, 0.5, 1.0, errors, int(rate)), 30.0) for rate in rates]
    return Row(scenario, side, connections, runs, ratios, BARE, 80.0, work)


def results(*rows: Row, p99s: dict[str, list[float]] | None = None, starts: list[float] | None = None) -> Results:
    return Results("3 x 1 s", rows, p99s or {}, starts or [])


HITS = (
    row("hit", BARE, [100.0, 200.0, 100.0], []),
    row("hit", OURS, [180.0, 340.0, 170.0], [1.8, 1.7, 1.7]),
    row("hit", NGINX_CACHE, [400.0, 400.0, 400.0], [4.0, 2.0, 4.0]),
)


def test_targets_are_judged_by_the_median_of_rounds_and_only_where_they_were_run() -> None:
    told = {one.target: (one.measured, one.told) for one in verdicts(results(*HITS))}
    assert told == {
        "hit, 16 connections, of bare ASGI": (1.7, "met"),
        "hit, 16 connections, of nginx proxy_cache": (0.45, "missed"),
    }


def test_a_batch_counts_rows_and_times_are_upper_bounds() -> None:
    batch = row("batch of 1000", OURS, [1.0], [], connections=4, work=1000)
    told = verdicts(results(*HITS, batch, p99s={BARE: [2.0], OURS: [2.5]}, starts=[0.6, 0.8, 0.5]))
    found = {one.target.partition(":")[0]: (one.measured, one.told) for one in told}
    assert found["batch of 1,000 hits"] == (2.5, "met")
    assert found["hit, open loop at 2,000 a second"] == (1.25, "met")
    assert found["from the command to ready, s"] == (0.6, "as wanted")


def test_who_fails_fast_is_not_judged_fast() -> None:
    failing = row("hit", OURS, [1e6], [10_000.0], errors=1)
    assert verdicts(results(HITS[0], failing)) == []


@pytest.mark.parametrize(("measured", "told"), [(0.2, "as wanted"), (0.3, "met"), (0.36, "missed"), (None, "not run")])
def test_an_upper_bound_is_met_from_below(measured: float | None, told: str) -> None:
    assert Verdict("added p50", measured, 0.35, 0.2, most=True).told == told


def test_the_document_is_json_and_the_chart_is_an_svg_with_a_bar_for_each_side() -> None:
    told = json.loads(msgspec.json.encode(document(results(*HITS, starts=[0.5]))))
    assert [one["side"] for one in told["rows"]] == [BARE, OURS, NGINX_CACHE]
    assert told["rows"][1]["ratios"] == [1.8, 1.7, 1.7]
    drawn = ET.fromstring(chart(results(*HITS)))  # noqa: S314 - our own
    widths = [float(bar.get("width", "0")) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == [105.0, 189.0, 420.0]


def test_hits_over_many_rows_are_held_to_the_same_bounds_as_hits_of_one() -> None:
    many = [row(SCENARIO, BARE, [100.0], []), row(SCENARIO, OURS, [260.0], [2.6]), row(SCENARIO, NGINX_CACHE, [200.0], [2.0])]
    told = {one.target: (one.measured, one.told) for one in verdicts(results(*many))}
    assert told == {
        "hit, 10,000 rows, 16 connections, of bare ASGI": (2.6, "as wanted"),
        "hit, 10,000 rows, 16 connections, of nginx proxy_cache": (1.3, "as wanted"),
    }


@pytest.mark.parametrize(("failed", "times"), [(0, 15.0), (1, 30.0)])
def test_feast_is_judged_by_the_faster_way_to_ask_it_that_does_not_fail(failed: int, times: float) -> None:
    by_names, by_service = FEAST_SIDES
    reads = [
        row(SINGLE, by_names, [100.0], []),
        row(SINGLE, by_service, [200.0], [2.0], errors=failed),
        row(SINGLE, OURS, [3_000.0], [30.0]),
    ]
    [told] = verdicts(results(*reads))
    assert (told.target, told.measured) == ("single read, uncached, 16 connections, of Feast's", times)
    assert told.told == ("missed" if times < 20 else "as wanted")


def test_figures_that_need_no_driver_are_judged_where_they_are_known() -> None:
    figures = {SAVED_AT_AN_HOUR: 49.9, SAVED_AT_A_DAY: 79.0, FRAGMENT_BYTES: 488.0}
    known = Results("3 x 1 s", [], {}, [], figures)
    assert {one.target: one.told for one in verdicts(known)} == {
        SAVED_AT_AN_HOUR: "missed",
        SAVED_AT_A_DAY: "as wanted",
        FRAGMENT_BYTES: "met",
    }
    assert document(known)["figures"] == figures


@pytest.mark.slow
def test_one_command_compares_and_writes_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtests.bench", "--quick", "--only", "hit", "--only", "batch", "--only", "cold"]
    run = subprocess.run(
        [*command, "--json", str(tmp_path / "b.json"), "--chart", str(tmp_path / "b.svg")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "b.json").read_bytes())
    sides = {one["side"] for one in told["rows"] if one["scenario"] == "hit"}
    assert {BARE, OURS} <= sides
    assert all(one["errors"] == 0 and one["rate"] > 0 for one in told["rows"])
    assert {"batch of 10", "batch of 100", "batch of 1000"} <= {one["scenario"] for one in told["rows"]}
    assert re.search(r"from the command to ready", run.stdout)
    ET.parse(tmp_path / "b.svg")  # noqa: S314 - our own
