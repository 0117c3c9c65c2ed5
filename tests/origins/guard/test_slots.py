"""Waiting for a slot: nobody is forgotten, nothing is lost by those who go away, and no is said at once."""

import asyncio
import logging
from random import Random

import pytest

from gateway.counters import Counters
from gateway.errors import OriginShed, OriginTimeout
from gateway.features import Priority
from gateway.origins.guard.limit import GradientLimit
from gateway.origins.guard.slots import Slots
from gateway.origins.guard.turnstile import Ticket
from gateway.tasks import Tasks
from tests.harness.clock import Clock

pytestmark = pytest.mark.anyio
NORMAL = Priority.NORMAL


class Room(Slots):
    """Slots whose limit stays what it is."""

    def __init__(self, limit: int, wait_s: float = 10.0) -> None:
        self.time = Clock()
        self.counts = Counters()
        super().__init__(self.time, GradientLimit(self.time, least=limit, most=limit), self.counts, longest_wait_s=wait_s)
        self.tasks = Tasks()

    def ask(self, priority: Priority = NORMAL, within_s: float = 100.0) -> asyncio.Task[Ticket]:
        return self.tasks.start(self.take(priority, asyncio.get_running_loop().time() + within_s))


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_whoever_waits_has_the_slot_that_is_given_back() -> None:
    room = Room(1)
    first, second = room.ask(), room.ask()
    await turns()
    assert (first.done(), second.done(), room.under_way, room.queued) == (True, False, 1, 1)
    room.give_back(first.result())
    room.give_back(await second)
    assert (room.under_way, room.queued) == (0, 0)


async def test_half_the_time_that_is_left_is_kept_for_the_call() -> None:
    room = Room(1)
    await room.ask()
    with pytest.raises(OriginShed) as shed:
        await room.ask(Priority.LOW, within_s=0.02)
    assert shed.value.retry_after == "1"
    assert (room.under_way, room.queued, room.counts.guard_shed_low) == (1, 0, 1)


async def test_whose_time_is_over_does_not_wait() -> None:
    room = Room(1)
    await room.ask()
    with pytest.raises(OriginTimeout):
        await room.ask(within_s=-1)
    assert room.queued == 0


async def test_whoever_would_wait_too_long_is_refused_at_once_and_counted_by_class() -> None:
    room = Room(1, wait_s=10.0)
    held = await room.ask()
    room.time.advance(100.0)
    room.give_back(held)  # so long a slot is held
    await room.ask()
    for priority in Priority:
        with pytest.raises(OriginShed):
            await room.ask(priority)
    counts = room.counts
    assert (counts.guard_shed_low, counts.guard_shed_normal, counts.guard_shed_high) == (1, 1, 1)


async def test_whoever_goes_away_while_it_waits_leaves_no_place() -> None:
    room = Room(1)
    held, gone, last = await room.ask(), room.ask(), room.ask()
    await turns()
    gone.cancel()
    await turns()
    assert room.queued == 1
    room.give_back(held)
    room.give_back(await last)
    assert room.under_way == 0


async def test_whoever_goes_away_as_its_slot_comes_gives_it_back() -> None:
    room = Room(1)
    held, gone, last = await room.ask(), room.ask(), room.ask()
    await turns()
    room.give_back(held)  # it is `gone`'s now, who does not know yet
    gone.cancel()
    room.give_back(await last)
    assert gone.cancelled()
    assert (room.under_way, room.queued) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_slots_are_neither_lost_nor_made_however_callers_come_and_go(seed: int) -> None:
    room, random = Room(5, wait_s=0.02), Random(seed)

    async def one() -> None:
        try:
            ticket = await room.take(random.choice(list(Priority)), asyncio.get_running_loop().time() + random.uniform(0, 0.05))
        except (OriginShed, OriginTimeout):
            return
        try:
            assert room.under_way <= 5
            await asyncio.sleep(random.uniform(0, 0.004))
        finally:
            room.give_back(ticket)

    running = []
    for _ in range(150):
        running.append(room.tasks.start(one()))
        if random.random() < 0.3:
            random.choice(running).cancel()
        if random.random() < 0.3:
            await asyncio.sleep(random.uniform(0, 0.002))
    await asyncio.wait(running)
    assert not [task for task in running if not task.cancelled() and task.exception() is not None]
    assert (room.under_way, room.queued) == (0, 0)
    assert await room.ask()


async def test_refusals_are_told_in_the_log_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(1, wait_s=0.0)
    await room.ask()
    with caplog.at_level(logging.WARNING):
        for advance_s in (0.0, 0.1, 9.8, 0.2, 1.0):
            room.time.advance(advance_s)
            with pytest.raises(OriginShed):
                await room.ask()
    assert [record.getMessage().rpartition("refused ")[2].split()[0] for record in caplog.records] == ["1", "3"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


async def test_a_spare_slot_is_one_that_nobody_waits_for() -> None:
    room = Room(2)
    assert room.spare(NORMAL) is not None
    assert room.spare(NORMAL) is not None
    assert room.spare(Priority.HIGH) is None
