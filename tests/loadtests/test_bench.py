"""The benchmark command runs, on its own driver, and counts no error. What it measures is not judged here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtests import crowd, misses, second_level, variants
from loadtests.bench import SCENARIOS, main
from loadtests.contest import BARE, NGINX_CACHE, OURS
from loadtests.peer_processes import find_feast, installed_python
from loadtests.peers import FEAST_SIDES
from loadtests.servers import CPUS
from loadtests.verdicts import FRAGMENT_BYTES

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("way", [[], pytest.param(["--asgi"], marks=pytest.mark.slow)], ids=["edge", "asgi"])
def test_hits_are_measured_against_a_bare_application(way: list[str], tmp_path: Path) -> None:
    name = next(iter(SCENARIOS))
    command = [sys.executable, "-m", "loadtests.bench", "hit", "--rounds", "1", "--seconds", "1", "--connections", "2", "--scenario", name]
    # no wrk on this PATH, so the built-in driver is what is put to the test, everywhere alike
    environment = os.environ | {"PATH": str(tmp_path), "COLUMNS": "200"}
    run = subprocess.run([*command, *way], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "driver: built-in driver" in run.stdout
    [row] = [line for line in run.stdout.splitlines() if name in line]
    cells = [cell.strip() for cell in re.split("[│|]", row) if cell.strip()]
    assert cells[-1] == "0"
    assert float(cells[2].split()[0]) > 0


@pytest.mark.slow
@pytest.mark.skipif(misses.nginx_binary() is None, reason="nginx is the yardstick: apt-get install nginx-light")
def test_misses_are_measured_against_nginx_and_over_either_transport() -> None:
    command = [sys.executable, "-m", "loadtests.bench", "miss", "--rounds", "1", "--seconds", "1", "--connections", "2"]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    rows = [[cell.strip() for cell in re.split("[│|]", line) if cell.strip()] for line in run.stdout.splitlines()]
    told = {row[0]: row[1:] for row in rows if (len(row) >= 8 and ", " in row[0]) or row[:1] == [misses.PROXY]}
    ours = {f"{name}, {transport}" for name in ("relay", "gateway") for transport in ("fast", "httpx")}
    assert set(told) == {misses.DIRECTLY, misses.PROXY} | ours
    assert {name: cells[-1] for name, cells in told.items()} == dict.fromkeys(told, "0")
    assert "fan-out of 10 calls at once" in run.stdout


def test_what_is_not_installed_is_said_to_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    run = CliRunner().invoke(
        main, ["--only", "feast", "--only", "memory", "--json", str(file)], env={"FEAST_PYTHON": str(tmp_path / "python")}
    )
    assert run.exit_code == 0, run.exception
    assert "Left out: feast, for want of Feast (python -m loadtests.peers feast --install)" in run.stdout
    told = json.loads(file.read_bytes())
    assert told["rows"] == []
    assert [one["target"] for one in told["verdicts"]] == list(told["figures"]) == [FRAGMENT_BYTES]


@pytest.mark.slow
@pytest.mark.skipif(misses.nginx_binary() is None, reason="nginx is a yardstick, and the cluster: apt-get install nginx-light")
def test_gateways_that_differ_in_a_setting_and_rows_that_differ_are_measured_without_errors(tmp_path: Path) -> None:
    scenarios = [word for name in ("telemetry", "rows", "workers", "second-level") for word in ("--only", name)]
    options = ["--rounds", "1", "--seconds", "1", *scenarios]
    command = [sys.executable, "-m", "loadtests.bench", *options, "--json", str(tmp_path / "bench.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "bench.json").read_bytes())
    sides: dict[str, list[str]] = {}
    for one in told["rows"]:
        sides.setdefault(one["scenario"], []).append(one["side"])
    assert sides == {
        crowd.SCENARIO: [BARE, OURS, NGINX_CACHE],
        second_level.SCENARIO: [second_level.FROM_ORIGIN, second_level.FOUND],
        variants.TELEMETRY: [BARE, "gateway, 0% sampled", "gateway, 1% sampled", "gateway, 100% sampled"],
        variants.WORKERS: ["gateway, 1 worker", "gateway, 2 workers"],
    }
    assert all(one["errors"] == 0 and one["rate"] > 0 for one in told["rows"])
    assert [one["target"] for one in told["verdicts"]] == [f"{crowd.SCENARIO}, 16 connections, of {other}" for other in (BARE, NGINX_CACHE)]
    assert ("the gateways and the driver share cores" in run.stdout) == (CPUS[1] in variants.SPARE_CPUS)


@pytest.mark.slow
@pytest.mark.skipif(find_feast(installed_python()) is None, reason="python -m loadtests.peers feast --install")
def test_single_reads_are_measured_beside_feast_where_it_is_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtests.bench", "--rounds", "1", "--seconds", "1", "--only", "feast"]
    clean = {name: value for name, value in os.environ.items() if name != "FEAST_PYTHON"}
    run = subprocess.run(
        [*command, "--json", str(tmp_path / "b.json")], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=180, check=False
    )
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "b.json").read_bytes())
    assert [(one["side"], one["connections"]) for one in told["rows"]] == [
        (side, connections) for connections in (1, 16) for side in (*FEAST_SIDES, OURS)
    ]
    assert len(told["verdicts"]) == 2


def test_admitting_is_measured_beside_a_bare_look_up() -> None:
    run = CliRunner().invoke(main, ["auth", "--keys", "100", "--rounds", "1"], env={"COLUMNS": "200"})
    assert run.exit_code == 0
    rows = [[cell.strip() for cell in re.split("[│|]", line) if cell.strip()] for line in run.stdout.splitlines()]
    told = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert {name for name in told if name.startswith("keys")} == {"keys", "keys, once a minute for each", "keys, tokens"}
    assert told["a bare dict, by the header"][1] == "1.0"
    assert all(float(cells[0].split()[0]) > 0 for cells in told.values())


def test_noting_a_hit_is_measured_beside_one_that_is_not_noted_and_a_scrape() -> None:
    run = CliRunner().invoke(main, ["metrics", "--rounds", "1", "--services", "2"], env={"COLUMNS": "200"})
    assert run.exit_code == 0, run.exception
    rows = [[cell.strip() for cell in re.split("[│|]", line) if cell.strip()] for line in run.stdout.splitlines()]
    told = {row[0]: float(row[1].split()[0]) for row in rows if len(row) == 2 and row[0] != "what"}
    assert len(told) == 5
    assert told["a hit in process, CPU µs"] > 0
    assert min(told["a scrape, ms"], told["the longest that it held the event loop, CPU ms"]) > 0
    assert "lines" in run.stdout
