"""The guard around an origin that does as it is told: what reaches it, how often, and what a caller is told."""

import asyncio
import logging

import pytest

from gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    OriginError,
    OriginFailed,
    OriginMalformed,
    OriginResting,
    OriginShed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
)
from gateway.features import Priority
from gateway.origins.base import IngestReply
from gateway.tasks import Tasks
from tests.origins.guard.scripted import ALICE, SERVICE, Guarded, a_fetch

pytestmark = pytest.mark.anyio


def unavailable(retry_after: str | None = None) -> OriginUnavailable:
    return OriginUnavailable("503", retry_after)


async def test_an_answer_costs_one_attempt() -> None:
    guard = Guarded()
    fetched = await guard.fetch()
    assert (fetched.attempts, fetched.hedged) == (1, False)
    assert (len(guard.inner.calls), guard.counters.guard_calls, guard.counters.guard_retries) == (1, 1, 0)


@pytest.mark.parametrize("kind", [OriginFailed, OriginUnavailable, OriginTimeout])
async def test_a_failure_is_tried_again_twice_after_pauses(kind: type[OriginError]) -> None:
    guard = Guarded(kind("1"), kind("2"))
    assert (await guard.fetch()).attempts == 3
    assert len(guard.slept) == 2
    assert guard.slept[0] <= 0.025
    assert guard.slept[1] <= 0.05
    assert guard.counters.guard_retries == 2


async def test_the_last_failure_is_told_with_its_attempts() -> None:
    guard = Guarded(OriginFailed("1"), OriginFailed("2"), OriginFailed("3"))
    with pytest.raises(OriginFailed, match="3") as failed:
        await guard.fetch()
    assert failed.value.attempts == 3
    assert len(guard.inner.calls) == 3


@pytest.mark.parametrize("kind", [OriginMalformed, OriginThrottled, InvalidRequest, NotFound])
async def test_what_would_be_the_same_again_is_not_tried_again(kind: type[GatewayError]) -> None:
    guard = Guarded(kind("no"))
    with pytest.raises(kind):
        await guard.fetch()
    assert len(guard.inner.calls) == 1


async def test_queries_and_metadata_are_tried_again_and_ingest_is_not() -> None:
    guard = Guarded(unavailable(), None, unavailable(), None, unavailable())
    deadline_s = asyncio.get_running_loop().time() + 60
    assert (await guard.origin.query(a_fetch())).attempts == 2
    await guard.origin.describe(SERVICE, ALICE, deadline_s)
    with pytest.raises(OriginUnavailable):
        await guard.origin.ingest(b"{}", ALICE, deadline_s)
    assert len(guard.inner.calls) == 5


async def test_without_budget_there_is_one_attempt_and_that_is_counted() -> None:
    guard = Guarded(unavailable(), share=0.0)
    with pytest.raises(OriginUnavailable):
        await guard.fetch()
    assert (len(guard.inner.calls), guard.counters.guard_budget_exhausted) == (1, 1)


async def test_nothing_is_tried_again_for_which_there_is_no_time() -> None:
    guard = Guarded(unavailable())
    with pytest.raises(OriginUnavailable):
        await guard.fetch(within_s=0.0)
    assert guard.slept == []


async def test_a_call_ends_at_its_deadline_whatever_the_origin_does() -> None:
    guard = Guarded(asyncio.Event())
    with pytest.raises(OriginTimeout):
        await guard.fetch(within_s=0.02)
    assert guard.inner.cancelled == 1
    assert guard.slots is not None
    assert guard.slots.under_way == 0


async def test_a_retry_asks_for_the_latency_budget_that_is_left() -> None:
    guard = Guarded(unavailable(), unavailable())
    inner_asked = guard.inner.calls

    async def later(_: float) -> None:
        guard.clock.advance(0.04)

    guard.origin._sleep = later
    await guard.fetch(budget_ms=10_000)
    assert [fetch.options.latency_budget_ms for fetch in inner_asked] == [10_000, 9_960, 9_920]
    inner_asked.clear()
    guard.inner.steps.append(unavailable())
    await guard.fetch()
    assert [fetch.options.latency_budget_ms for fetch in inner_asked] == [None, None]


async def test_a_latency_budget_that_is_over_buys_no_retry() -> None:
    guard = Guarded(unavailable())
    with pytest.raises(OriginUnavailable):
        await guard.fetch(budget_ms=0)  # what the wire lets through is more; a millisecond is over as soon


@pytest.mark.parametrize("kind", [InvalidRequest, NotFound, OriginThrottled])
async def test_neither_refusals_nor_throttling_open_the_breaker(kind: type[GatewayError]) -> None:
    guard = Guarded()
    guard.inner.always = kind("no")
    for _ in range(100):
        with pytest.raises(kind):
            await guard.fetch()
    assert not guard.origin.open
    assert len(guard.inner.calls) == 100


@pytest.mark.parametrize("kind", [OriginFailed, OriginUnavailable, OriginTimeout, OriginMalformed])
async def test_failures_open_it_and_a_probe_closes_it(kind: type[OriginError], caplog: pytest.LogCaptureFixture) -> None:
    guard = Guarded(retries=0)
    guard.inner.always = kind("no")
    for _ in range(5):
        with pytest.raises(kind):
            await guard.fetch()
    assert guard.origin.open
    for _ in range(10):
        with pytest.raises(OriginResting) as resting:
            await guard.fetch()
        assert resting.value.retry_after == "1"
    assert len(guard.inner.calls) == 5
    guard.clock.advance(0.6)
    with pytest.raises(kind):
        await guard.fetch()  # the probe
    with pytest.raises(OriginResting):
        await guard.fetch()
    guard.clock.advance(0.6)
    guard.inner.always = None
    await guard.fetch()
    await guard.fetch()
    assert (guard.counters.guard_opened, guard.counters.guard_resting) == (1, 11)
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage().split(":")[0] for record in told] == ["reads", "reads"]


async def test_callers_in_too_great_a_hurry_do_not_open_it() -> None:
    guard = Guarded(retries=0)
    guard.inner.always = asyncio.Event()
    for _ in range(20):
        with pytest.raises(OriginTimeout):
            await guard.fetch(within_s=0.002)
    assert not guard.origin.open
    guard.inner.always = OriginTimeout("504")  # the origin's own, as quick as it is
    for _ in range(5):
        with pytest.raises(OriginTimeout):
            await guard.fetch()
    assert guard.origin.open


async def test_calls_that_had_time_enough_and_got_no_answer_open_it() -> None:
    guard, tasks = Guarded(), Tasks()
    guard.inner.always = asyncio.Event()
    late = [tasks.start(guard.origin.fetch(a_fetch(0.02))) for _ in range(5)]
    await guard.inner.reached(5)
    guard.clock.advance(1.0)
    await asyncio.wait(late)
    assert guard.origin.open


async def test_a_refusal_shows_that_the_origin_is_there() -> None:
    guard = Guarded(*[unavailable()] * 5, NotFound("no such service"), retries=0)
    for _ in range(5):
        with pytest.raises(OriginUnavailable):
            await guard.fetch()
    guard.clock.advance(0.6)
    with pytest.raises(NotFound):
        await guard.fetch()
    assert not guard.origin.open


async def test_a_probe_that_hangs_holds_up_nobody_for_long() -> None:
    guard, tasks = Guarded(*[unavailable()] * 5, asyncio.Event(), retries=0), Tasks()
    for _ in range(5):
        with pytest.raises(OriginUnavailable):
            await guard.fetch()
    guard.clock.advance(0.6)
    probe = tasks.start(guard.origin.fetch(a_fetch()))
    await asyncio.sleep(0)
    with pytest.raises(OriginResting):
        await guard.fetch()
    guard.clock.advance(0.6)
    await guard.fetch()
    assert not guard.origin.open
    probe.cancel()
    await asyncio.wait({probe})
    assert not guard.origin.open
    await tasks.aclose()


async def test_what_began_before_it_opened_neither_closes_it_nor_lengthens_its_pause() -> None:
    slow, tasks = asyncio.Event(), Tasks()
    guard = Guarded(slow, *[unavailable()] * 5, retries=0)
    early = tasks.start(guard.origin.fetch(a_fetch()))
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(OriginUnavailable):
            await guard.fetch()
    slow.set()
    await early
    assert guard.origin.open


async def test_a_caller_that_goes_away_speaks_neither_for_nor_against_the_origin() -> None:
    guard, tasks = Guarded(), Tasks()
    guard.inner.always = asyncio.Event()
    for _ in range(30):
        task = tasks.start(guard.origin.fetch(a_fetch()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert not guard.origin.open
    assert guard.slots is not None
    assert (guard.slots.under_way, guard.inner.cancelled) == (0, 30)


async def test_after_retry_after_no_call_goes_out_until_then_and_what_is_left_is_told() -> None:
    guard = Guarded(OriginThrottled("slower", "4"))
    with pytest.raises(OriginThrottled, match="slower"):
        await guard.fetch()
    guard.clock.advance(1.5)
    for _ in range(20):
        with pytest.raises(OriginThrottled) as paused:
            await guard.fetch()
        assert paused.value.retry_after == "3"
    with pytest.raises(OriginThrottled):
        await guard.origin.describe(SERVICE, ALICE, asyncio.get_running_loop().time() + 1)
    assert (len(guard.inner.calls), guard.counters.guard_paused) == (1, 21)
    guard.clock.advance(2.5)
    await guard.fetch()


async def test_a_503_with_retry_after_is_heeded_alike_and_told_as_503() -> None:
    guard = Guarded(unavailable("2"))
    with pytest.raises(OriginUnavailable):
        await guard.fetch()
    with pytest.raises(OriginUnavailable) as paused:
        await guard.fetch()
    assert (paused.value.retry_after, len(guard.inner.calls)) == ("2", 1)


async def test_its_own_refusals_prolong_no_pause() -> None:
    guard = Guarded(OriginThrottled("slower", "2"))
    for advance_s in (0, 0.5, 0.5, 0.5, 0.4):
        guard.clock.advance(advance_s)
        with pytest.raises(OriginThrottled):
            await guard.fetch()
    guard.clock.advance(0.1)
    await guard.fetch()


async def test_retry_after_nothing_is_tried_again_at_once() -> None:
    guard = Guarded(OriginThrottled("slower", "0"))
    assert (await guard.fetch()).attempts == 2


async def test_429_takes_slots_away() -> None:
    guard = Guarded(OriginThrottled("slower"))
    assert guard.slots is not None
    with pytest.raises(OriginThrottled):
        await guard.fetch()
    assert guard.slots.limit == 40


async def test_reads_and_ingest_fail_apart() -> None:
    guard = Guarded(retries=0)
    deadline_s = asyncio.get_running_loop().time() + 60
    guard.inner.always = unavailable()
    for _ in range(5):
        with pytest.raises(OriginUnavailable):
            await guard.origin.ingest(b"{}", ALICE, deadline_s)
    with pytest.raises(OriginResting):
        await guard.origin.ingest(b"{}", ALICE, deadline_s)
    guard.inner.always = None
    await guard.fetch()
    guard.clock.advance(1)
    guard.inner.reply = IngestReply(429, b"{}", "7")
    assert (await guard.origin.ingest(b"{}", ALICE, deadline_s)).status == 429
    guard.inner.reply = IngestReply(200, b"{}")
    with pytest.raises(OriginThrottled) as paused:
        await guard.origin.ingest(b"{}", ALICE, deadline_s)
    assert paused.value.retry_after == "7"
    await guard.fetch()


async def test_at_the_limit_calls_wait_and_the_highest_go_first() -> None:
    guard, tasks, held = Guarded(asyncio.Event(), slots=1, wait_s=30.0), Tasks(), asyncio.Event()
    guard.inner.steps[0] = held
    running = [tasks.start(guard.origin.fetch(a_fetch()))]
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        await asyncio.sleep(0)
        running.append(tasks.start(guard.origin.fetch(a_fetch(priority=priority))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(guard.inner.calls) == 1
    held.set()
    await asyncio.gather(*running)
    assert [fetch.priority for fetch in guard.inner.calls[1:]] == [Priority.HIGH, Priority.NORMAL, Priority.LOW]
    assert guard.inner.most_under_way == 1


async def test_what_cannot_wait_is_refused_with_a_time_to_come_again() -> None:
    guard, tasks = Guarded(asyncio.Event(), slots=1, wait_s=0.0), Tasks()
    first = tasks.start(guard.origin.fetch(a_fetch()))
    await guard.inner.asked.wait()
    with pytest.raises(OriginShed) as shed:
        await guard.fetch()
    assert (shed.value.retry_after, len(guard.inner.calls), guard.counters.guard_retries) == ("1", 1, 0)
    assert guard.counters.guard_shed_normal == 1
    first.cancel()
    await tasks.aclose()


async def test_whoever_waited_while_the_breaker_opened_does_not_call() -> None:
    guard, tasks, held = Guarded(slots=1, wait_s=30.0, retries=0), Tasks(), asyncio.Event()
    guard.inner.always = unavailable()
    for _ in range(4):
        with pytest.raises(OriginUnavailable):
            await guard.fetch()

    guard.inner.always = (held, unavailable())
    first, second = tasks.start(guard.origin.fetch(a_fetch())), tasks.start(guard.origin.fetch(a_fetch()))
    await asyncio.sleep(0)
    held.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(one) for one in results] == [OriginUnavailable, OriginResting]
    assert guard.slots is not None
    assert guard.slots.under_way == 0


async def test_without_a_limit_all_go_at_once() -> None:
    guard, tasks = Guarded(slots=None), Tasks()
    guard.inner.always = held = asyncio.Event()
    running = [tasks.start(guard.origin.fetch(a_fetch())) for _ in range(500)]
    await asyncio.sleep(0)
    assert guard.inner.under_way == 500
    assert guard.origin.slots is None
    held.set()
    await asyncio.gather(*running)


async def test_a_bug_inside_is_let_through_and_leaves_nothing_taken() -> None:
    guard = Guarded(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await guard.fetch()
    assert guard.slots is not None
    assert guard.slots.under_way == 0
    assert not guard.origin.open


async def test_what_is_asked_beside_calls_is_the_origins_own() -> None:
    guard, told = Guarded(), list[str]()
    assert guard.origin.single_views
    assert guard.origin.batch_limit(SERVICE) == 10
    assert guard.origin.rows_at_once(SERVICE) == 7
    await guard.origin.follow(lambda: told.append("changed"))
    assert told == ["changed"]
    await guard.origin.ready()
    guard.inner.always = unavailable()
    for _ in range(5):
        with pytest.raises(OriginUnavailable):
            await guard.fetch()
    assert guard.origin.open
    await guard.origin.ready()  # the breaker has no say in it
    guard.inner.unready = OriginFailed("not ready")
    with pytest.raises(OriginFailed):
        await guard.origin.ready()
    await guard.origin.aclose()
    assert guard.inner.closed
