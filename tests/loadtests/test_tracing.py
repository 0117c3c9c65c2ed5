"""The benchmark of tracing runs and counts no error, whatever the receiver does. How long anything took is not judged here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.tracing import OFF

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_hits_are_measured_with_every_kind_of_receiver() -> None:
    command = [sys.executable, "-m", "loadtests.tracing", "--rounds", "1", "--seconds", "2", "--connections", "4", "--ratio", "1"]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    rows = [[cell.strip() for cell in re.split("[│|]", line)[1:-1]] for line in run.stdout.splitlines() if line.startswith("│")]
    told = {row[0].removeprefix("a receiver that "): row[1:] for row in rows}
    assert set(told) == {OFF, "takes", "hangs", "answers 503", "is not there"}
    assert {cells[4] for cells in told.values()} == {"0"}
    counts = {name: [int(cell.replace(",", "")) for cell in cells[5:8]] for name, cells in told.items()}
    assert counts[OFF] == [0, 0, 0]
    assert counts["takes"][0] > 0
    for name in ("hangs", "answers 503", "is not there"):
        exported, dropped, failed = counts[name]
        assert exported == 0
        assert dropped + failed > 0
