"""What a server costs is its CPU time by the answers it gave, however long the run."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from loadtests.drivers import Target
from loadtests.servers import cpu_s, measure, settle
from tests.loadtests.listening import listening


@pytest.mark.parametrize("seconds", [0.4, 1.0])
def test_cpu_time_is_told_by_the_answer_in_a_run_of_any_length(seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no wrk, which runs for whole seconds
    with listening() as (port, given):
        before_s = cpu_s(os.getpid())
        measured = measure(os.getpid(), Target(port, "/", {}, b"{}"), 1, seconds)
        spent_us = (cpu_s(os.getpid()) - before_s) * 1e6
    assert measured.cpu_us * len(given) == pytest.approx(spent_us, rel=0.1, abs=30_000)  # the kernel counts in steps of 10 ms


@contextmanager
def working(seconds: float) -> Iterator[tuple[int, IO[str]]]:
    """A process that has begun to work, says when it has done so much of it, and stays. Its id, and what it says."""
    script = f"import time\nprint('begun', flush=True)\nwhile time.process_time() < {seconds}: pass\nprint('done', flush=True)\ninput()"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process.pid, process.stdout
    finally:
        process.kill()
        process.communicate()


def test_the_next_server_waits_until_the_last_has_done_its_work() -> None:
    with working(0.3) as (pid, said):
        settle(pid, patience_s=60)
        assert select.select([said], [], [], 0)[0]


def test_a_server_that_never_rests_is_not_waited_for_for_ever() -> None:
    with working(1e6) as (pid, said):
        settle(pid, patience_s=0.2)
        assert not select.select([said], [], [], 0)[0]
