"""The guarded origin: an origin around another, which does what the policies of this room decide.

    call → lane: may any go? → slot, or wait, or refused → lane: may this one go? → attempt, hedged where it is late → what it teaches
         → failed, and worth a retry within the budget and the time left? → pause, and again

Nothing waits here but the queue for a slot and the pause before a retry; both end at the call's deadline.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from msgspec.structs import replace

from gateway.counters import Counters
from gateway.errors import GatewayError, OriginError, OriginThrottled, OriginTimeout
from gateway.features import Caller, Priority, ServiceRef
from gateway.origins.base import Description, Fetch, Fetched, IngestReply, Origin, PromptOrigin, Queried
from gateway.origins.guard.begun import Begun
from gateway.origins.guard.budget import RetryBudget
from gateway.origins.guard.hedging import Latencies
from gateway.origins.guard.lane import Lane
from gateway.origins.guard.race import Hedge
from gateway.origins.guard.retries import Retries
from gateway.origins.guard.slots import Slots
from gateway.tasks import Tasks

T = TypeVar("T")
_GRACE_S = 0.02
"""How much longer than the deadline an origin may take to end a call itself, which it does more gently than a cancellation."""
_LATE = "The feature store did not answer in time."


@dataclass(frozen=True, slots=True)
class Policies:
    """What a guard decides by. None, or 0 retries: that mechanism is off. `fair_s`: a call that had less time and ends at its deadline says
    nothing of the origin."""

    reads: Lane
    ingest: Lane
    budget: RetryBudget
    retries: Retries
    slots: Slots | None
    hedging: bool
    fair_s: float = 0.0


@dataclass(slots=True)
class _Call(Generic[T]):
    """`send` asks the origin inside, given what of the time is spent. `useful_until_s`: no attempt but the first begins after it; this and
    `deadline_s` are on the event loop's clock. `shape`: what its latency is comparable with; None: with nothing. `repeatable`: more than
    once does no harm."""

    send: Callable[[float], Awaitable[T]]
    lane: Lane
    priority: Priority
    deadline_s: float
    useful_until_s: float
    began_s: float
    shape: int | None = None
    repeatable: bool = True
    attempts: int = 0
    hedged: bool = False
    begun: Begun | None = None
    """The first attempt, where it is in the air already, until somebody waits for it."""


class GuardedOrigin:
    """An `origins.base.Origin`. `clock` is monotonic, in seconds. Belongs to one event loop."""

    def __init__(
        self,
        inner: Origin,
        policies: Policies,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.single_views = inner.single_views
        self._inner = inner
        self._prompt = inner if isinstance(inner, PromptOrigin) else None
        self._policies = policies
        self._counters = counters
        self._clock = clock
        self._sleep = sleep
        self._tasks = Tasks()
        self._latencies: dict[int, Latencies] = {}

    @property
    def open(self) -> bool:
        """Whether the breaker of reads is."""
        return self._policies.reads.open

    @property
    def slots(self) -> Slots | None:
        return self._policies.slots

    def batch_limit(self, service: ServiceRef) -> int:
        return self._inner.batch_limit(service)

    def rows_at_once(self, service: ServiceRef) -> int:
        return self._inner.rows_at_once(service)

    async def fetch(self, fetch: Fetch) -> Fetched:
        call = self._read(fetch, self._inner.fetch, shape=_shape(fetch))
        fetched = await self._answer(call)
        return fetched if call.attempts == 1 else replace(fetched, attempts=call.attempts, hedged=call.hedged)

    def begin(self, fetch: Fetch, tell: Callable[[], object]) -> Begun | None:
        """Where nothing speaks against it and nobody waits: a slot is free, and the origin inside can be asked at once."""
        reads, slots = self._policies.reads, self._policies.slots
        era = reads.go_if_well()
        if era is None or self._prompt is None:
            return None
        ticket = None
        if slots is not None and (ticket := slots.spare(fetch.priority)) is None:
            return None
        asked = self._prompt.begin(fetch, tell)
        if asked is None:
            if slots is not None and ticket is not None:
                slots.give_back_unused(ticket)
            return None
        self._counters.guard_calls += 1
        self._policies.budget.earn()
        shape = _shape(fetch)
        return Begun(self, fetch, asked, era, ticket, shape, self._latencies_of(shape), self._clock(), hedging=self._policies.hedging)

    def succeeded(self, begun: Begun) -> None:
        """An attempt that nobody had to wait for."""
        took_s = self._clock() - begun.began_s
        slots, latencies = self._policies.slots, begun.latencies
        if slots is not None and begun.ticket is not None:
            slots.answered(begun.shape, took_s)
            slots.give_back(begun.ticket)
        self._policies.reads.tell(begun.era)
        latencies.add(took_s)

    async def go_on(self, begun: Begun) -> Fetched:
        """Wait for an attempt that was begun, and do about it what there is to do."""
        call = self._read(begun.fetch, self._inner.fetch, shape=_shape(begun.fetch))
        again = call.send

        def send(_: float) -> Awaitable[Fetched]:
            call.send = again
            return begun.asked.waited()

        call.send, call.begun, call.began_s, call.attempts = send, begun, begun.began_s, 1
        fetched = await self._answer(call)
        return fetched if call.attempts == 1 else replace(fetched, attempts=call.attempts, hedged=call.hedged)

    async def query(self, fetch: Fetch) -> Queried:
        """Not hedged: how long one takes says little of another."""
        call = self._read(fetch, self._inner.query, shape=None)
        queried = await self._answer(call)
        return queried if call.attempts == 1 else dataclasses.replace(queried, attempts=call.attempts)

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        """Ahead of the rest: these are few, and every read of a feature service begins with one."""

        def send(_: float) -> Awaitable[Description]:
            return self._inner.describe(service, caller, deadline)

        return await self._answer(_Call(send, self._policies.reads, Priority.HIGH, deadline, deadline, self._clock()))

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:
        """Once: whether one that failed was stored is not known."""

        def send(_: float) -> Awaitable[IngestReply]:
            return self._inner.ingest(body, caller, deadline)

        lane = self._policies.ingest
        reply = await self._answer(_Call(send, lane, Priority.NORMAL, deadline, deadline, self._clock(), repeatable=False))
        if reply.status == 429:
            lane.heed(reply.retry_after, throttled=True)
        return reply

    async def ready(self) -> None:
        """As the origin is, whatever is known of it here."""
        await self._inner.ready()

    async def follow(self, changed: Callable[[], None]) -> None:
        await self._inner.follow(changed)

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self._inner.aclose()

    def _read(self, fetch: Fetch, ask: Callable[[Fetch], Awaitable[T]], *, shape: int | None) -> _Call[T]:
        """A latency budget runs from here: what of it is spent when an attempt begins is not asked for again."""
        budget_ms, useful_until_s = fetch.options.latency_budget_ms, fetch.deadline
        if budget_ms is None:
            send = partial(_unchanged, ask, fetch)
        else:
            send = partial(_budgeted, ask, fetch, budget_ms)
            useful_until_s = min(useful_until_s, asyncio.get_running_loop().time() + budget_ms / 1000)
        return _Call(send, self._policies.reads, fetch.priority, fetch.deadline, useful_until_s, self._clock(), shape)

    async def _answer(self, call: _Call[T]) -> T:
        self._counters.guard_calls += call.begun is None
        tried = 0
        while True:
            tried += 1
            try:
                return await self._try(call)
            except OriginError as error:
                error.attempts = max(1, call.attempts)
                pause_s = self._pause_s(call, tried, error)
                if pause_s is None:
                    raise
            await self._sleep(pause_s)
            self._counters.guard_retries += 1

    def _pause_s(self, call: _Call[T], tried: int, error: OriginError) -> float | None:
        """Before another attempt; None: there is none."""
        if not call.repeatable:
            return None
        told_s = call.lane.told_s(error)
        left_s = call.useful_until_s - asyncio.get_running_loop().time()
        pause_s = self._policies.retries.pause_s(tried, error, told_s, left_s)
        return pause_s if pause_s is not None and not call.lane.open and self._affords() else None

    def _affords(self) -> bool:
        if self._policies.budget.take():
            return True
        self._counters.guard_budget_exhausted += 1
        return False

    async def _try(self, call: _Call[T]) -> T:
        slots = self._policies.slots
        if slots is None:
            return await self._attempt(call)
        ticket = slots.spare(call.priority) if call.begun is None else call.begun.ticket
        if ticket is None:
            call.lane.check()
            ticket = await slots.take(call.priority, call.useful_until_s)
        try:
            return await self._attempt(call)
        finally:
            slots.give_back(ticket)

    async def _attempt(self, call: _Call[T], *, first: bool = True) -> T:
        """One request to the origin inside, and what it teaches. `first`: it may be hedged. Where it is, and ends for the hedge's sake, all
        that is known of it is that it took longer than the hedge was held back."""
        begun, call.begun = call.begun, None
        if begun is None:
            era = call.lane.go()
            if call.attempts == 0:
                self._policies.budget.earn()
            call.attempts += 1
            began_s = self._clock()
        else:
            era, began_s = begun.era, begun.began_s
        hedge: Hedge[T] | None = None
        try:
            async with asyncio.timeout(None) as cut:
                hedge = self._hedge(call, cut, began_s) if first else None
                if hedge is None:
                    cut.reschedule(call.deadline_s + _GRACE_S)
                answer = await call.send(began_s - call.began_s)
        except TimeoutError as error:
            if hedge is not None and hedge.decided:
                self._latencies_of(call.shape).add(hedge.delay_s)
                return self._won(hedge)
            late = OriginTimeout(_LATE)
            self._learn(call, era, late, began_s)
            raise late from error
        except GatewayError as error:
            self._learn(call, era, error, began_s)
            if hedge is not None and isinstance(error, OriginError) and await hedge.settle():
                return self._won(hedge)
            raise
        finally:
            if hedge is not None:
                hedge.close()
        call.lane.tell(era)
        if call.shape is not None:
            self._answered(call.shape, self._clock() - began_s)
        return answer

    def _learn(self, call: _Call[T], era: int, error: GatewayError, began_s: float) -> None:
        """Of an attempt that failed, or was refused. That it had not the time that is fair speaks against whoever gave it less."""
        hurried = isinstance(error, OriginTimeout) and self._clock() - began_s < self._policies.fair_s
        if hurried and asyncio.get_running_loop().time() >= call.deadline_s:
            return
        call.lane.tell(era, error)
        if isinstance(error, OriginError):
            call.lane.heed(error.retry_after, throttled=isinstance(error, OriginThrottled))
        if isinstance(error, OriginThrottled) and self._policies.slots is not None:
            self._policies.slots.throttled()

    def _answered(self, shape: int, took_s: float) -> None:
        self._latencies_of(shape).add(took_s)
        if self._policies.slots is not None:
            self._policies.slots.answered(shape, took_s)

    def _latencies_of(self, shape: int | None) -> Latencies:
        assert shape is not None, "only what is comparable is hedged"
        known = self._latencies.get(shape)
        if known is None:
            known = self._latencies[shape] = Latencies()
        return known

    def _hedge(self, call: _Call[T], cut: asyncio.Timeout, began_s: float) -> Hedge[T] | None:
        """Set for when the first attempt is late."""
        if not self._policies.hedging or call.shape is None or call.lane.open:
            return None
        delay_s = self._latencies_of(call.shape).hedge_after_s
        if delay_s is None:
            return None
        taken_s = self._clock() - began_s
        return Hedge(cut, delay_s, call.deadline_s + _GRACE_S, partial(self._second, call), taken_s=taken_s)

    def _second(self, call: _Call[T]) -> asyncio.Task[T] | None:
        """The hedge, if there may be one now: the origin is well, and there is time, a slot that nobody waits for, and budget."""
        if not call.lane.well or asyncio.get_running_loop().time() >= call.useful_until_s:
            return None
        slots = self._policies.slots
        ticket = None if slots is None else slots.spare(call.priority)
        if slots is not None and ticket is None:
            return None

        def give_back(_: object = None) -> None:
            if slots is not None and ticket is not None:
                slots.give_back(ticket)

        if not self._affords():
            give_back()
            return None
        self._counters.guard_hedges += 1
        call.hedged = True
        task = self._tasks.start(self._attempt(call, first=False))
        task.add_done_callback(give_back)  # not in the coroutine: one that is cancelled before its first step runs none of it
        return task

    def _won(self, hedge: Hedge[T]) -> T:
        self._counters.guard_hedges_won += 1
        return hedge.result()


def _shape(fetch: Fetch) -> int:
    """Reads of about as many rows are comparable."""
    return len(fetch.rows).bit_length()


def _unchanged(ask: Callable[[Fetch], Awaitable[T]], fetch: Fetch, _spent_s: float) -> Awaitable[T]:
    return ask(fetch)


def _budgeted(ask: Callable[[Fetch], Awaitable[T]], fetch: Fetch, budget_ms: int, spent_s: float) -> Awaitable[T]:
    """With the latency budget that is left, in whole milliseconds and one at least."""
    left_ms = max(1, budget_ms - round(spent_s * 1000))
    return ask(fetch if left_ms == budget_ms else replace(fetch, options=dataclasses.replace(fetch.options, latency_budget_ms=left_ms)))
