"""Whole runs of the swarm, as a stranger types them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.swarm.house import CannotBegin, read_key, split_service, tenants_of

ROOT = Path(__file__).resolve().parents[3]
DEMO_KEY = re.compile(rb"fgk_[A-Za-z0-9]{12}_")


def swarm(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "loadtests.swarm", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment | {"PYTHONPATH": str(ROOT)}
    )


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
