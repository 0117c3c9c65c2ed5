"""An attempt that is begun without waiting: when it may be, what it takes, and what becomes of it when somebody waits after all."""

import asyncio

import pytest

from gateway.errors import InvalidRequest, OriginFailed, OriginThrottled, OriginUnavailable
from gateway.origins.base import PromptOrigin
from gateway.origins.guard.uncancelled import Uncancelled
from tests.origins.guard.scripted import Guarded, Scripted, a_fetch

pytestmark = pytest.mark.anyio


def nothing() -> None:
    """Nobody has to be told."""


async def test_an_answer_frees_its_slot_and_teaches_what_any_other_does() -> None:
    guard = Guarded(slots=1)
    assert guard.slots is not None
    begun = guard.origin.begin(a_fetch(), nothing)
    assert begun is not None
    assert (guard.slots.under_way, guard.counters.guard_calls) == (1, 1)
    assert guard.origin.begin(a_fetch(), nothing) is None  # there is one slot
    guard.clock.advance(0.25)
    guard.inner.begun[0].end()
    assert begun.fetched() is not None
    assert guard.slots.under_way == 0
    assert guard.counters.guard_calls == 1
    assert guard.origin.begin(a_fetch(), nothing) is not None


async def test_what_is_begun_in_vain_takes_nothing() -> None:
    guard = Guarded(slots=1)
    assert guard.slots is not None
    guard.inner.busy = True
    assert guard.origin.begin(a_fetch(), nothing) is None
    assert (guard.slots.under_way, guard.counters.guard_calls) == (0, 0)


async def test_nothing_is_begun_while_somebody_waits_for_a_slot() -> None:
    guard = Guarded(1.0, slots=1)
    first = asyncio.ensure_future(guard.fetch())
    await guard.inner.reached(1)
    second = asyncio.ensure_future(guard.fetch())
    await asyncio.sleep(0)
    assert guard.origin.begin(a_fetch(), nothing) is None
    for one in (first, second):
        one.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_nothing_is_begun_in_a_pause_or_a_rest() -> None:
    guard = Guarded(OriginThrottled("slowly", "5"), retries=0)
    with pytest.raises(OriginThrottled):
        await guard.fetch()
    assert guard.origin.begin(a_fetch(), nothing) is None
    guard.clock.advance(6)
    assert guard.origin.begin(a_fetch(), nothing) is not None
    for _ in range(5):
        guard.reads.tell(guard.reads.go(), OriginFailed("500"))
    assert guard.origin.open
    assert guard.origin.begin(a_fetch(), nothing) is None
    guard.clock.advance(1)
    assert guard.origin.begin(a_fetch(), nothing) is None  # a probe is made with care


async def test_a_failure_is_tried_again_as_any_other_and_counted_once() -> None:
    guard = Guarded(OriginUnavailable("2"), slots=1)
    assert guard.slots is not None
    begun = guard.origin.begin(a_fetch(), nothing)
    assert begun is not None
    guard.inner.begun[0].end(OriginUnavailable("1"))
    assert begun.fetched() is None
    assert guard.slots.under_way == 1
    fetched = await begun.waited()
    assert (fetched.attempts, fetched.hedged) == (3, False)
    assert (len(guard.inner.calls), len(guard.slept)) == (2, 2)
    assert (guard.counters.guard_calls, guard.counters.guard_retries, guard.slots.under_way) == (1, 2, 0)


async def test_a_refusal_is_told_and_not_tried_again() -> None:
    guard = Guarded()
    begun = guard.origin.begin(a_fetch(), nothing)
    assert begun is not None
    guard.inner.begun[0].end(InvalidRequest("no"))
    with pytest.raises(InvalidRequest, match="no"):
        await begun.waited()
    assert guard.inner.calls == []


async def test_one_that_is_late_is_hedged_and_the_first_answer_is_taken() -> None:
    guard = Guarded(hedging=True)
    await guard.learn()
    begun = guard.origin.begin(a_fetch(), nothing)
    assert begun is not None
    loop = asyncio.get_running_loop()
    assert begun.due_s - loop.time() < 0.1  # when the second attempt is due, not the deadline
    fetched = await begun.waited()  # the first never ends
    assert (fetched.attempts, fetched.hedged) == (2, True)
    assert guard.counters.guard_hedges_won == 1


async def test_what_must_not_be_cancelled_is_not_begun_so() -> None:
    assert not isinstance(Uncancelled(Scripted()), PromptOrigin)
