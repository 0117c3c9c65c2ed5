import asyncio
import gc
import weakref

import pytest

from gateway.tasks import Tasks

pytestmark = pytest.mark.anyio


@pytest.fixture
async def complaints() -> list[dict[str, object]]:
    heard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: heard.append(complaint))
    return heard


async def crash() -> None:
    raise OSError("lost")


async def test_a_task_gives_what_its_work_gives() -> None:
    tasks = Tasks()
    assert await tasks.start(asyncio.sleep(0, "done")) == "done"
    await tasks.aclose()


async def test_whoever_waits_for_a_crashed_task_is_told() -> None:
    with pytest.raises(OSError, match="lost"):
        await Tasks().start(crash())


async def test_a_crash_that_nobody_waits_for_is_not_reported_as_lost(complaints: list[dict[str, object]]) -> None:
    tasks = Tasks()
    task = tasks.start(crash())
    await asyncio.wait([task])
    await tasks.aclose()
    del task
    gc.collect()
    assert complaints == []


async def test_a_task_that_only_its_owner_knows_is_kept_until_it_ends() -> None:
    tasks, gate = Tasks(), asyncio.Event()
    done = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    started = weakref.ref(tasks.start(work()))
    gc.collect()
    assert started() is not None
    gate.set()
    await asyncio.wait_for(done.wait(), 20)
    await tasks.aclose()


async def test_closing_cancels_what_runs_and_waits_for_it() -> None:
    tasks, steps = Tasks(), list[str]()
    running = asyncio.Event()

    async def work() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("tidied")

    task = tasks.start(work())
    await running.wait()
    await tasks.aclose()
    assert task.cancelled()
    assert steps == ["tidied"]


async def test_closing_with_a_crash_or_with_nothing_is_quiet(complaints: list[dict[str, object]]) -> None:
    tasks = Tasks()
    await tasks.aclose()
    tasks.start(crash())
    await tasks.aclose()
    await tasks.aclose()
    assert complaints == []


async def test_a_crash_while_closing_stops_nothing() -> None:
    tasks, running = Tasks(), asyncio.Event()

    async def stubborn() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("while closing") from None

    stuck, calm = tasks.start(stubborn()), tasks.start(asyncio.Event().wait())
    await running.wait()
    await tasks.aclose()
    assert calm.cancelled()
    assert isinstance(stuck.exception(), OSError)
