"""Reads cost what they did. Counts, not times: they say the same on a busy machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.speed.budgets import RECORDED_ON, Counts, budgets, departures

ROOT = Path(__file__).resolve().parents[2]
ADVICE = "`python -m tests.speed` shows all counts and the busiest functions, `python -m tests.speed --record` makes them the budgets"


@pytest.fixture(scope="module")
def measured() -> Counts:
    """By a process of its own: here coverage may be tracing, and hashes are seeded anew each time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.speed", "--json"],
        cwd=ROOT,
        env={**environment, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: Counts = json.loads(ran.stdout)
    return told


def test_reads_are_within_their_budgets(measured: Counts) -> None:
    over = list(departures(measured, budgets(), python=sys.version_info[:2]))
    assert not over, "\n".join([*over, ADVICE])


def test_a_hit_asks_nobody_waits_for_nothing_and_leaves_nothing(measured: Counts) -> None:
    for name, counts in measured.items():
        if name.startswith("hit"):
            nothing = {what: counts[what] for what in ("callbacks", "timers", "tasks", "origin calls", "store puts", "blocks kept")}
            assert not any(nothing.values()), (name, nothing)
        assert counts["writes"] == 1, name
    assert measured["miss, Tecton door"]["origin calls"] == 1
    assert measured["miss, Tecton door"]["tasks"] == 0


def test_what_departs_from_its_budget_is_named() -> None:
    recorded = {"hit": {"instructions": 1_000, "writes": 1}}

    def told(instructions: int, writes: int = 1, python: tuple[int, int] = RECORDED_ON) -> list[str]:
        return list(departures({"hit": {"instructions": instructions, "writes": writes}}, recorded, python=python))

    assert told(1_050) == told(900) == []
    assert told(1_051) == ["hit: 1,051 instructions, and the budget is 1,000 (and 5%)"]
    assert "well below the budget of 1,000" in told(899)[0]
    assert told(1_000, 2) == ["hit: 2 writes, and the budget is 1 (and 0%)"]
    assert told(5_000, python=(3, 12)) == []
    assert "without a budget" in next(departures({}, recorded, python=RECORDED_ON))
