"""An origin that answers as a test has written, and a guard around it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from gateway.breaker import Breaker
from gateway.counters import Counters
from gateway.features import Caller, Priority, ReadOptions, ServiceRef
from gateway.origins.base import Description, Fetch, Fetched, FetchRow, IngestReply, Queried
from gateway.origins.guard.budget import RetryBudget
from gateway.origins.guard.lane import Lane
from gateway.origins.guard.limit import GradientLimit
from gateway.origins.guard.origin import GuardedOrigin, Policies
from gateway.origins.guard.retries import Retries
from gateway.origins.guard.slots import Slots
from gateway.origins.guard.throttle import Pause
from tests.harness.clock import Clock

SERVICE = ServiceRef("prod", "fraud")
ALICE = Caller(b"alice")
ROW = FetchRow({"user_id": "ann"}, {}, frozenset({"user"}))
FOREVER_S = 3_600.0

Step = Exception | float | asyncio.Event | tuple[asyncio.Event, Exception] | None
"""Raised; or waited for, and then answered; or waited for, and then raised. None: answered."""


class Scripted:
    """An `Origin`. `steps` are what its next calls do, whatever they are; then all are answered. `calls`: what it was asked. `cancelled`:
    how many of these were cancelled while they waited."""

    single_views = True

    def __init__(self, *steps: Step) -> None:
        self.steps = deque(steps)
        self.always: Step = None
        self.calls: list[Any] = []
        self.cancelled = self.under_way = self.most_under_way = 0
        self.unready: Exception | None = None
        self.closed = self.followed = False
        self.reply = IngestReply(200, b"{}")
        self.asked = asyncio.Event()

    async def _play(self, asked: Any) -> None:
        self.calls.append(asked)
        self.asked.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        step = self.steps.popleft() if self.steps else self.always
        try:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, tuple):
                await step[0].wait()
                raise step[1]
            elif step is not None:
                await asyncio.sleep(step)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    async def reached(self, calls: int) -> None:
        """Until it has been asked so often."""
        while len(self.calls) < calls:
            self.asked.clear()
            await self.asked.wait()

    def batch_limit(self, _service: ServiceRef) -> int:
        return 10

    def rows_at_once(self, _service: ServiceRef) -> int:
        return 7

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        await self._play((service, caller, deadline))
        return Description(service, (), (), ())

    async def fetch(self, fetch: Fetch) -> Fetched:
        await self._play(fetch)
        return Fetched(())

    async def query(self, fetch: Fetch) -> Queried:
        await self._play(fetch)
        return Queried((), ())

    async def ingest(self, body: bytes, _caller: Caller, _deadline: float) -> IngestReply:
        await self._play(body)
        return self.reply

    async def ready(self) -> None:
        if self.unready is not None:
            raise self.unready

    async def follow(self, changed: Callable[[], None]) -> None:
        self.followed = True
        changed()

    async def aclose(self) -> None:
        self.closed = True


class Prompted:
    """A fetch that was begun: a test says how it ends. `ended` with an error, or None for an answer."""

    def __init__(self, fetch: Fetch, tell: Callable[[], object]) -> None:
        self.due_s = fetch.deadline
        self._tell = tell
        self._ended: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()

    def end(self, error: Exception | None = None, *, tell: bool = True) -> None:
        if error is None:
            self._ended.set_result(Fetched(()))
        else:
            self._ended.set_exception(error)
        if tell:
            self._tell()

    def fetched(self) -> Fetched | None:
        return None if self._ended.exception() is not None else self._ended.result()

    async def waited(self) -> Fetched:
        return await self._ended


class PromptScripted(Scripted):
    """One that can be asked without waiting. `busy`: not now."""

    busy = False

    def __init__(self, *steps: Step) -> None:
        super().__init__(*steps)
        self.begun: list[Prompted] = []

    def begin(self, fetch: Fetch, tell: Callable[[], object]) -> Prompted | None:
        if self.busy:
            return None
        self.begun.append(Prompted(fetch, tell))
        return self.begun[-1]


class Guarded:
    """A guard around a scripted origin. Its policies' clock stands still, and its pauses before retries are noted instead of waited;
    hedges and deadlines are on the event loop's time."""

    def __init__(
        self, *steps: Step, retries: int = 2, hedging: bool = False, slots: int | None = 50, wait_s: float = 0.25, share: float = 0.2
    ) -> None:
        self.inner = PromptScripted(*steps)
        self.clock = Clock()
        self.counters = Counters()
        self.slept: list[float] = []
        limit = GradientLimit(self.clock, least=min(1, slots), most=slots, first=slots) if slots is not None else None
        self.reads, self.ingest = self._lane("reads"), self._lane("ingest")
        self.slots = Slots(self.clock, limit, self.counters, longest_wait_s=wait_s) if limit is not None else None
        budget = RetryBudget(self.clock, share=share, floor_per_s=1_000)
        policies = Policies(self.reads, self.ingest, budget, Retries(retries, random=Random(0)), self.slots, hedging, fair_s=0.5)
        self.origin = GuardedOrigin(self.inner, policies, self.counters, clock=self.clock, sleep=self._sleep)

    def _lane(self, name: str) -> Lane:
        return Lane(name, self.counters, Breaker(self.clock, share=0.5, pause_s=0.5), Pause(self.clock, longest_s=30.0))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def fetch(self, within_s: float = FOREVER_S, rows: int = 1, **more: Any) -> Awaitable[Fetched]:
        return self.origin.fetch(a_fetch(within_s, rows, **more))

    async def learn(self, calls: int = 64) -> None:
        """Enough quick answers for hedges to be sent after 2 ms."""
        for _ in range(calls):
            await self.fetch()
        self.inner.calls.clear()


def a_fetch(within_s: float = FOREVER_S, rows: int = 1, *, budget_ms: int | None = None, priority: Priority = Priority.NORMAL) -> Fetch:
    deadline_s = asyncio.get_running_loop().time() + within_s
    return Fetch(SERVICE, (ROW,) * rows, ALICE, deadline_s, ReadOptions(latency_budget_ms=budget_ms), priority=priority)
