"""Whole runs of the swarm, as a stranger types them."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from loadtests.misses import free_port
from loadtests.servers import demo
from loadtests.swarm.house import CannotBegin, read_key, split_service, tenants_of
from tests.harness.clock import wait_until

ROOT = Path(__file__).resolve().parents[3]
DEMO_KEY = re.compile(rb"fgk_[A-Za-z0-9]{12}_")


def environment(key: str | None = None) -> dict[str, str]:
    told = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "SWARM_KEY"))}
    return told | {"PYTHONPATH": str(ROOT)} | ({} if key is None else {"SWARM_KEY": key})


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "loadtests.swarm", *arguments]


def swarm(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment())


def test_a_run_against_the_demo_passes_its_gates_and_tells_no_key_and_no_value(tmp_path: Path) -> None:
    told = swarm("--users", "12", "--run-time", "3s", "--gate-hits", "0.2", "--report", "out", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "hit ratio" in told.stderr
    assert all(f"{name} " in told.stderr for name in ("named read", "Tecton read", "batch of 100", "tenant's read", "ingest"))
    reports = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "run_stats.csv"} <= set(reports)
    for text in (told.stdout.encode(), told.stderr.encode(), *reports.values()):
        assert DEMO_KEY.search(text) is None
        assert re.search(rb"\bN\d{3}[A-Z]{2}\b|tailnum", text) is None


@pytest.mark.slow
def test_a_gate_that_does_not_hold_fails_the_run_of_several_processes(tmp_path: Path) -> None:
    told = swarm(
        "Named", "--processes", "2", "--users", "4", "--run-time", "2s", "--keys", "zipf", "--gate-hits", "0.9999", folder=tmp_path
    )
    assert told.returncode == 1, told.stderr
    assert "gate: hit ratio: " in told.stderr


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["step", "spike", "soak"])
def test_a_shape_is_run_to_its_end(tmp_path: Path, shape: str) -> None:
    most = 10
    told = swarm("Named", "--shape", shape, "--stage-s", "0.3", "--users", str(most), "--report", "out", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    with (tmp_path / "out/run_stats_history.csv").open() as file:
        users = [int(row["User Count"]) for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    assert 0 < max(users) <= most
    assert "shutting down" in told.stderr.lower()


@pytest.mark.slow
def test_several_machines_are_a_master_and_workers(tmp_path: Path) -> None:
    with demo(tmp_path, environment()) as (_, port, key):
        place, same = str(free_port()), ("--host", f"http://127.0.0.1:{port}", "Named", "Tecton")
        master = command(*same, "--master", "--expect-workers", "2", "--master-bind-host", "127.0.0.1", "--master-bind-port", place)
        worker = command(*same, "--worker", "--master-host", "127.0.0.1", "--master-port", place)
        programs = [[*master, "--users", "4", "--run-time", "2s", "--gate-hits", "0.1"], worker, worker]
        running = [subprocess.Popen(one, env=environment(key), stderr=subprocess.PIPE, text=True) for one in programs]
        said = [one.communicate(timeout=60)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0, 0], said
    assert "2 workers connected" in said[0]
    told = re.search(r"(\d+) requests, hit ratio", said[0])
    assert told is not None
    assert int(told[1]) > 20


@pytest.mark.slow
def test_locusts_own_page_starts_a_run(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    options = ("--web", "--web-host", "127.0.0.1", "--web-port", url.rpartition(":")[2])
    process = subprocess.Popen(
        command(*options), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: answers(url), "locust's page")
        assert httpx.post(f"{url}/swarm", data={"user_count": "4", "spawn_rate": "4"}).json()["success"]
        wait_until(lambda: requests_of(url) > 20, "load")
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl+C at a terminal
        process.wait(timeout=60)
    wait_until(lambda: not answers(url), "its end")


def answers(url: str) -> bool:
    try:
        return "locust" in httpx.get(url).text.lower()
    except httpx.TransportError:
        return False


def requests_of(url: str) -> int:
    told = httpx.get(f"{url}/stats/requests").json()["stats"]
    return int(next(one["num_requests"] for one in told if one["name"] == "Aggregated"))


def test_a_gateway_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    told = swarm("--host", "http://127.0.0.1:9", folder=tmp_path)
    assert told.returncode == 2, told.stderr
    assert "http://127.0.0.1:9 does not answer (ConnectError): is the gateway running there?" in told.stderr


def test_wrong_options_say_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(CannotBegin, match="named WORKSPACE/NAME"):
        split_service("flight_history")
    with pytest.raises(CannotBegin, match="No such file"):
        read_key(str(tmp_path / "key"), {})
    assert read_key(None, {"SWARM_KEY": "k"}) == "k"
    file = tmp_path / "tenants.toml"
    file.write_text('[[tenants]]\nservice = "prod/a"\nweight = 2\n')
    assert [(one.service, one.weight) for one in tenants_of(file)] == [("prod/a", 2)]
    for text in ("tenants = 1", "", '[[tenants]]\nname = "x"\n', "[[others]]\n"):
        file.write_text(text)
        with pytest.raises(CannotBegin, match="--tenants"):
            tenants_of(file)
