"""Two attempts in the air: which of them counts, and what becomes of the other."""

import asyncio
from random import Random

import pytest

from gateway.errors import GatewayError, NotFound, OriginFailed, OriginThrottled, OriginTimeout, OriginUnavailable
from gateway.tasks import Tasks
from tests.origins.guard.scripted import Guarded, Step, a_fetch

pytestmark = pytest.mark.anyio


async def hedging(*steps: Step, **more: object) -> Guarded:
    """One that sends a hedge after 2 ms."""
    guard = Guarded(hedging=True, **more)  # type: ignore[arg-type]
    await guard.learn()
    guard.inner.steps.extend(steps)
    return guard


def under_way(guard: Guarded) -> int:
    assert guard.slots is not None
    return guard.slots.under_way


async def settled(guard: Guarded) -> None:
    """Until what was cancelled has noticed."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert (guard.inner.under_way, under_way(guard)) == (0, 0)


async def test_where_the_first_is_late_the_second_answers_and_the_first_is_dropped() -> None:
    guard = await hedging(asyncio.Event())
    fetched = await guard.fetch()
    assert (fetched.attempts, fetched.hedged) == (2, True)
    assert (guard.counters.guard_hedges, guard.counters.guard_hedges_won, guard.inner.cancelled) == (1, 1, 1)
    await settled(guard)


async def test_a_first_that_is_in_time_has_no_second() -> None:
    guard = await hedging()
    await guard.fetch()
    await asyncio.sleep(0.01)
    assert (len(guard.inner.calls), guard.counters.guard_hedges) == (1, 0)


async def test_a_first_that_answers_in_the_end_is_taken_and_the_second_is_dropped() -> None:
    first, tasks = asyncio.Event(), Tasks()
    guard = await hedging(first, asyncio.Event())
    call = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.reached(2)
    first.set()
    fetched = await call
    assert (fetched.attempts, fetched.hedged, guard.counters.guard_hedges_won) == (2, True, 0)
    await settled(guard)
    assert guard.inner.cancelled == 1


async def test_a_refusal_of_the_second_is_an_answer() -> None:
    guard = await hedging(asyncio.Event(), NotFound("no such service"))
    with pytest.raises(NotFound):
        await guard.fetch()
    await settled(guard)
    assert guard.inner.cancelled == 1


async def test_a_refusal_of_the_first_is_an_answer_though_the_second_is_in_the_air() -> None:
    first, tasks = asyncio.Event(), Tasks()
    guard = await hedging((first, NotFound("no such service")), asyncio.Event())
    call = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.reached(2)
    first.set()
    with pytest.raises(NotFound):
        await call
    await settled(guard)


async def test_a_second_that_fails_decides_nothing() -> None:
    first, tasks = asyncio.Event(), Tasks()
    guard = await hedging(first, OriginUnavailable("503"))
    call = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.reached(2)
    await asyncio.sleep(0.005)
    assert guard.inner.under_way == 1
    assert not call.done()
    first.set()
    assert (await call).attempts == 2
    await settled(guard)


async def test_a_first_that_fails_waits_for_the_second() -> None:
    first, second, tasks = asyncio.Event(), asyncio.Event(), Tasks()
    guard = await hedging((first, OriginUnavailable("503")), second)
    call = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.reached(2)
    first.set()
    await asyncio.sleep(0.005)
    assert not call.done()
    second.set()
    fetched = await call
    assert (fetched.attempts, guard.counters.guard_hedges_won, guard.counters.guard_retries) == (2, 1, 0)
    await settled(guard)


async def test_where_both_fail_the_first_failure_is_told() -> None:
    first, tasks = asyncio.Event(), Tasks()
    guard = await hedging((first, OriginUnavailable("first")), (first, OriginFailed("second")), retries=0)
    call = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.reached(2)
    first.set()
    with pytest.raises(OriginUnavailable, match="first") as failed:
        await call
    assert failed.value.attempts == 2
    await settled(guard)


async def test_a_caller_that_goes_away_takes_both_along() -> None:
    tasks = Tasks()
    for first in (asyncio.Event(), (asyncio.Event(), OriginUnavailable("503"))):
        guard = await hedging(first, asyncio.Event())
        call = tasks.start(guard.origin.fetch(a_fetch()))
        await guard.inner.reached(2)
        if isinstance(first, tuple):
            first[0].set()  # it waits for the second alone
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await settled(guard)


async def test_both_end_at_the_deadline() -> None:
    guard = await hedging(asyncio.Event(), asyncio.Event())
    with pytest.raises(OriginTimeout):
        await guard.fetch(within_s=0.03)
    assert guard.counters.guard_hedges == 1
    await settled(guard)


async def test_a_second_asks_for_the_latency_budget_that_is_left() -> None:
    guard, tasks = await hedging(asyncio.Event()), Tasks()
    call = tasks.start(guard.origin.fetch(a_fetch(budget_ms=10_000)))
    await asyncio.sleep(0)
    guard.clock.advance(0.5)
    await call
    assert [fetch.options.latency_budget_ms for fetch in guard.inner.calls] == [10_000, 9_500]


async def test_nothing_is_hedged_before_enough_is_known_or_where_it_is_off() -> None:
    for guard in (Guarded(hedging=True), Guarded(hedging=False)):
        if not guard.origin._policies.hedging:
            await guard.learn()
        guard.inner.steps.append(0.02)
        await guard.fetch()
        assert guard.counters.guard_hedges == 0


async def test_queries_are_not_hedged_and_batches_are_by_their_own_size() -> None:
    guard = await hedging(0.02, 0.02, 0.02)
    await guard.origin.query(a_fetch())
    await guard.fetch(rows=10)
    assert guard.counters.guard_hedges == 0
    await guard.fetch(rows=1)
    assert guard.counters.guard_hedges == 1


async def test_no_hedge_without_a_slot_that_nobody_waits_for() -> None:
    guard = await hedging(0.02, slots=1)
    await guard.fetch()
    assert (guard.counters.guard_hedges, guard.counters.guard_budget_exhausted) == (0, 0)


async def test_no_hedge_without_budget_and_its_slot_is_given_back() -> None:
    guard = await hedging(0.02, share=0.0)
    await guard.fetch()
    assert (guard.counters.guard_hedges, guard.counters.guard_budget_exhausted, under_way(guard)) == (0, 1, 0)


async def test_no_hedge_where_the_origin_asks_for_fewer_calls_or_fails_already() -> None:
    for trouble in (OriginThrottled("slower", "9"), OriginUnavailable("503")):
        first, tasks = asyncio.Event(), Tasks()
        guard = await hedging(first, retries=0)
        guard.origin._latencies[1].hedge_after_s = 0.02
        call = tasks.start(guard.origin.fetch(a_fetch()))
        await asyncio.sleep(0)
        guard.inner.always = trouble
        for _ in range(70):
            with pytest.raises(type(trouble)):
                await guard.fetch()
        await asyncio.sleep(0.04)
        first.set()
        await call
        assert guard.counters.guard_hedges == 0


async def test_no_hedge_for_what_is_no_longer_wanted() -> None:
    guard = await hedging(0.02)
    await guard.fetch(budget_ms=1)
    assert guard.counters.guard_hedges == 0


async def test_where_one_in_eight_hangs_all_are_answered_and_hedges_keep_coming() -> None:
    guard, hangs = await hedging(), asyncio.Event()
    for number in range(400):
        if number % 8 == 0:
            guard.inner.steps.append(hangs)
        assert (await guard.fetch()).attempts == (2 if number % 8 == 0 else 1)
    assert guard.counters.guard_hedges_won == 50
    assert guard.origin._latencies[1].hedge_after_s == 0.002
    await settled(guard)


@pytest.mark.parametrize("seed", range(10))
async def test_however_attempts_end_and_callers_go_nothing_stays_taken(seed: int) -> None:
    random, tasks = Random(seed), Tasks()
    guard = await hedging(slots=8, wait_s=0.05)
    running = []
    for _ in range(200):
        guard.inner.steps.append(
            random.choice([None, 0.004, 0.02, OriginUnavailable("503"), NotFound("no"), OriginThrottled("slower"), OriginTimeout("504")])
        )
        running.append(tasks.start(guard.origin.fetch(a_fetch(random.choice([0.003, 0.05, 5.0])))))
        if random.random() < 0.2:
            random.choice(running).cancel()
        await asyncio.sleep(random.choice([0, 0, 0.001]))
        guard.clock.advance(0.001)
    await asyncio.wait(running)
    await settled(guard)
    assert {type(error) for task in running if not task.cancelled() and (error := task.exception()) is not None} <= set(
        GatewayError.__subclasses__()
    ) | {OriginUnavailable, NotFound, OriginThrottled, OriginTimeout, *OriginUnavailable.__subclasses__()}
    assert guard.slots is not None
    assert guard.slots.queued == 0


async def test_closing_ends_a_hedge_that_is_in_the_air() -> None:
    tasks = Tasks()
    guard = await hedging(asyncio.Event(), asyncio.Event())
    call = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.reached(2)
    await guard.origin.aclose()
    assert guard.inner.under_way == 1
    assert not call.done()
    await tasks.aclose()
    await settled(guard)
