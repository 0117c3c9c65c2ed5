"""The comparison of policies runs, and says what it is to say: the store beats LRU where it counts."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cache.queues import weigh
from loadtests.eviction import OWN, POLICIES, main, replay
from loadtests.eviction_policies import Sketch
from loadtests.eviction_traces import Trace, flights, zipf_and_scans

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def month() -> Trace:
    return flights(10)


def test_a_flight_is_one_read_of_four_views_in_order_of_departure(month: Trace) -> None:
    assert list(islice(month.keys, 8)) == [
        (0, "EWR"), (1, "UA"), (2, ("EWR", "IAH")), (3, "N14228"), (0, "LGA"), (1, "UA"), (2, ("LGA", "IAH")), (3, "N24211"),
    ]  # fmt: skip
    sizes = {key[0]: weigh(key, fragment) for key, fragment in month.fragments.items()}
    assert all(850 < size < 2_500 for size in sizes.values())


def test_a_scan_asks_once_for_each_of_its_keys() -> None:
    trace = zipf_and_scans(1_000, keys=100, scans=2, scan_keys=500)
    scanned = [key for key in trace.keys if str(key[1]).startswith("scan")]
    assert len(trace.keys) == 2_000
    assert len(scanned) == len(set(scanned)) == 1_000


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_keeps_to_its_bytes_and_finds_what_it_keeps(name: str) -> None:
    trace = zipf_and_scans(20_000, keys=2_000, scans=4, scan_keys=1_000)
    for share in (0.05, 0.5):
        max_bytes = int(trace.distinct_bytes * share)
        policy = POLICIES[name](max_bytes)
        ratio = replay(policy, trace)
        held = [key for key in trace.fragments if policy.lookup(key) is not None]
        assert sum(weigh(key, trace.fragments[key]) for key in held) <= max_bytes
        assert len(held) > 0.8 * share * len(trace.fragments)
        assert 0.2 < ratio < 0.9


def test_the_store_beats_lru_on_both_traces(month: Trace) -> None:
    lru = next(iter(POLICIES))
    for trace in (month, zipf_and_scans(30_000, keys=5_000, scans=3, scan_keys=2_500)):
        max_bytes = trace.distinct_bytes // 20
        assert replay(POLICIES[OWN](max_bytes), trace) > replay(POLICIES[lru](max_bytes), trace) + 0.03


def test_a_sketch_counts_to_fifteen_and_forgets_by_halves() -> None:
    sketch = Sketch(100)
    for _ in range(20):
        sketch.add((1, "often"))
    assert sketch.estimate((1, "often")) == 15
    assert sketch.estimate((1, "never")) == 0
    for number in range(1_000 - 20):
        sketch.add((2, number))
    assert 7 <= sketch.estimate((1, "often")) <= 9


@pytest.mark.slow
def test_the_command_tells_its_figures_as_a_table_and_as_json() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "loadtests.eviction", "--quick"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "flights" in run.stdout
    assert OWN in run.stdout
    figures = json.loads(CliRunner().invoke(main, ["--quick", "--json"], catch_exceptions=False).stdout)
    assert {row["trace"] for row in figures["ratios"]} == {"flights", "zipf and scans"}
    assert all(set(row["ratios"]) == set(POLICIES) for row in figures["ratios"])
    assert [cost["policy"] for cost in figures["costs"][1:]] == list(POLICIES)
    assert all(cost["hit_ns"] > 0 for cost in figures["costs"])
