"""What is counted is what it costs: resident memory, each time in a process of its own."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cache import memory

ROOT = Path(__file__).resolve().parent.parent.parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")


def told(module: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", module, *arguments]
    plain = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}  # whose memory would count too
    run = subprocess.run(command, cwd=ROOT, env=plain, check=True, capture_output=True, text=True, timeout=60)
    found: dict[str, float] = json.loads(run.stdout)
    return found


@LINUX
def test_a_flood_stays_within_the_budget_and_leaves_the_hot_set_alone() -> None:
    seen = told("tests.cache.flood")
    assert seen["resident"] <= 1.2
    assert seen["before"] > 0.9
    assert seen["during"] >= seen["before"] - 0.05
    assert seen["after"] >= seen["before"] - 0.05
    assert seen["swept"] < 0.35  # memory goes back to the system once entries have ended
    assert seen["cleared"] < 0.35


@LINUX
@pytest.mark.parametrize(("entries", "size_bytes"), [(100_000, 0), (100_000, 300), (20_000, 20_000)])
def test_entries_are_counted_with_what_they_cost(entries: int, size_bytes: int) -> None:
    seen = told("loadtests.fragment_cost", "cost", str(entries), str(size_bytes))
    assert 0.65 < seen["full"] < 1.1
    assert 0.75 < seen["churned"] < 1.15


@LINUX
def test_views_that_came_together_cost_less_than_600_bytes_each_beside_their_values() -> None:
    seen = told("loadtests.fragment_cost", "rows", "100000", "90")
    assert seen["beside"] < 600
    assert seen["churned"] < 1


@pytest.fixture
def forgotten() -> Iterator[None]:
    memory._of_glibc.cache_clear()
    yield
    memory._of_glibc.cache_clear()


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("library", [object(), OSError(), TypeError()])
def test_where_nothing_can_be_asked_nothing_is(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def load(_name: str | None) -> Any:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert memory.release() is False
    assert memory.keep_freed() is False


_REPLIES = """
import resource, sys
from gateway.cache.memory import keep_freed
assert sys.argv[1] != "kept" or keep_freed()
def replies():
    for _ in range(50):
        copies = [b"1" * 1_200_000 for _ in range(12)]
        copies.clear()
replies()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
replies()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@LINUX
def test_large_replies_one_after_the_other_take_their_pages_from_the_system_once() -> None:
    faults = {
        way: int(subprocess.run([sys.executable, "-c", _REPLIES, way], cwd=ROOT, check=True, capture_output=True, timeout=60).stdout)
        for way in ("kept", "left")
    }
    assert faults["kept"] < 100
    assert faults["left"] > 5_000  # else there would be nothing to gain
