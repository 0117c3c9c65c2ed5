"""Threads for slow functions: who runs, who waits, who is told no, and what a function that does not end leaves behind."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.errors import DeadlineExceeded, OnDemandBusy, OnDemandTimeout
from gateway.serving.workers import Workers
from tests.harness.clock import PATIENCE_S
from tests.serving.slow import Held

pytestmark = pytest.mark.anyio

AT_ONCE_S = 0.0
"""A limit that is over by the next turn of the event loop."""


class Bench:
    """`workers` with two threads, and functions that stand still at `held`."""

    def __init__(self) -> None:
        self.workers = Workers(2)
        self.held = Held()
        self.begun: list[str] = []

    def submit(
        self, name: str, *, limit_s: float = PATIENCE_S, in_s: float = PATIENCE_S, held: Held | None = None, stuck: bool = True
    ) -> asyncio.Future[str]:
        def work() -> str:
            self.begun.append(name)
            if stuck:
                (held or self.held).reach()
            return name

        return self.workers.submit(name, work, limit_s=limit_s, deadline_s=asyncio.get_running_loop().time() + in_s)

    async def turn(self, done: Callable[[], bool]) -> None:
        """Let the event loop go on until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():  # noqa: ASYNC110 - no event tells of a thread's report
                await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.held.release()
    bench.workers.close()


async def test_a_function_runs_on_a_thread_and_its_end_is_the_futures(bench: Bench) -> None:
    assert await bench.submit("one", stuck=False) == "one"

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await bench.workers.submit("one", fail, limit_s=PATIENCE_S, deadline_s=asyncio.get_running_loop().time() + PATIENCE_S)


async def test_threads_are_started_when_needed_and_used_again(bench: Bench) -> None:
    found = set()
    for _ in range(5):
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        found.add(await bench.workers.submit("one", threading.current_thread, limit_s=PATIENCE_S, deadline_s=deadline_s))
    assert len(found) == 1


async def test_no_more_run_at_a_time_than_there_are_threads_and_the_others_come_in_order(bench: Bench) -> None:
    runs = [bench.submit(name) for name in "abcd"]
    bench.held.wait_reached(2)
    await asyncio.sleep(0)
    assert sorted(bench.begun) == ["a", "b"]
    bench.held.release()
    assert await asyncio.gather(*runs) == ["a", "b", "c", "d"]
    assert sorted(bench.begun[2:]) == ["c", "d"]


async def test_the_limit_counts_from_the_functions_own_beginning(bench: Bench) -> None:
    runs = [bench.submit("a"), bench.submit("b")]
    waiting = bench.submit("c", limit_s=AT_ONCE_S, held=(held := Held()))
    bench.held.wait_reached(2)
    await asyncio.sleep(0)
    assert not waiting.done()
    bench.held.release()
    assert await asyncio.gather(*runs) == ["a", "b"]
    with pytest.raises(OnDemandTimeout, match=r"^On-demand view c took longer than its time limit of 0 s\.$"):
        await waiting
    held.release()


async def test_past_the_deadline_a_function_is_not_begun(bench: Bench) -> None:
    with pytest.raises(DeadlineExceeded, match="on-demand view a was not computed by the read's deadline"):
        await bench.submit("a", in_s=0.0)
    assert bench.begun == []


async def test_the_deadline_ends_what_runs_and_what_waits_for_its_turn(bench: Bench) -> None:
    runs = [bench.submit("a", in_s=0.01), bench.submit("b"), bench.submit("c", in_s=0.01)]
    for late in (runs[0], runs[2]):
        with pytest.raises(DeadlineExceeded):
            await late
    assert bench.workers.abandoned == 1
    bench.held.release()
    assert await runs[1] == "b"
    assert "c" not in bench.begun


async def test_what_nobody_waits_for_is_counted_until_it_ends(bench: Bench) -> None:
    with pytest.raises(OnDemandTimeout):
        await bench.submit("a", limit_s=AT_ONCE_S)
    bench.held.wait_reached()
    assert bench.workers.abandoned == 1
    assert await bench.submit("b", stuck=False) == "b"
    bench.held.release()
    await bench.turn(lambda: bench.workers.abandoned == 0)


async def test_while_all_threads_are_held_all_fail_at_once_until_one_is_free(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    runaways = [bench.submit(name, limit_s=AT_ONCE_S) for name in "ab"]
    waiting = bench.submit("c")
    for run in runaways:
        with pytest.raises(OnDemandTimeout):
            await run
    for refused in (waiting, bench.submit("d")):
        with pytest.raises(OnDemandBusy, match="functions that went over their time hold all threads"):
            await refused
    assert [record.getMessage() for record in caplog.records] == [
        "all 2 on-demand threads are held by functions that went over their time, last of view b"
    ]
    bench.held.release()
    await bench.turn(lambda: bench.workers.abandoned < 2)
    assert await bench.submit("e", stuck=False) == "e"
    assert {"c", "d"}.isdisjoint(bench.begun)


async def test_who_no_longer_waits_gives_up_a_turn_or_leaves_a_runaway(bench: Bench) -> None:
    running, waiting = [bench.submit(name) for name in "ab"], bench.submit("c")
    bench.held.wait_reached(2)
    for run in (running[0], waiting):
        run.cancel()
    await bench.turn(lambda: bench.workers.abandoned == 1)
    bench.held.release()
    assert await running[1] == "b"
    await bench.turn(lambda: bench.workers.abandoned == 0)
    assert "c" not in bench.begun


async def test_what_fails_after_its_time_is_told_to_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        bench.held.reach()
        raise ValueError("a value")

    run = bench.workers.submit("a", fail, limit_s=AT_ONCE_S, deadline_s=asyncio.get_running_loop().time() + PATIENCE_S)
    with pytest.raises(OnDemandTimeout):
        await run
    bench.held.release()
    await bench.turn(lambda: bench.workers.abandoned == 0)
    assert "a value" not in caplog.text


NEVER_ENDS = """
import asyncio, threading
from gateway.errors import OnDemandTimeout
from gateway.serving.workers import Workers

async def main():
    workers = Workers(1)
    deadline_s = asyncio.get_running_loop().time() + 60
    try:
        await workers.submit("a", threading.Event().wait, limit_s=0.0, deadline_s=deadline_s)
    except OnDemandTimeout:
        print("over", workers.abandoned)
    workers.close()

asyncio.run(main())
"""


def test_a_function_that_never_ends_does_not_keep_the_process_from_ending() -> None:
    told = subprocess.run([sys.executable, "-c", NEVER_ENDS], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert told.stdout == "over 1\n"


def test_a_function_that_ends_after_its_event_loop_is_told_to_nobody() -> None:
    held, workers, threads = Held(), Workers(1), list[threading.Thread]()

    def work() -> None:
        threads.append(threading.current_thread())
        held.reach()

    async def leave_behind() -> None:
        workers.submit("a", work, limit_s=PATIENCE_S, deadline_s=asyncio.get_running_loop().time() + PATIENCE_S)
        held.wait_reached()

    asyncio.run(leave_behind())
    workers.close()
    held.release()
    [thread] = threads
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
