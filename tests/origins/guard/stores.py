"""A model of a feature store under load, and of callers who come when they come: an open loop, on a clock that jumps to each event."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from gateway.features import Priority
from gateway.origins.guard.limit import GradientLimit
from gateway.origins.guard.turnstile import Ticket, Turnstile
from tests.harness.clock import Clock

DEADLINE_S = 2.0
WAIT_S = 0.25


@dataclass(slots=True)
class Seen:
    """What became of the calls of one second."""

    offered: int = 0
    answered: int = 0
    refused: int = 0
    refused_at_once: int = 0
    late: int = 0
    longest_s: float = 0.0


@dataclass(slots=True)
class Store:
    """Serves `workers` at a time, each in about `service_s`, first come first served. It never says no: it gets slow."""

    workers: int
    service_s: float
    spread: float = 0.1
    busy: int = 0
    waiting: deque[Callable[[], None]] = field(default_factory=deque)


class Load:
    """Calls through a turnstile and its limit to a store."""

    def __init__(self, store: Store, *, most: int = 256, first: int = 50, seed: int = 1) -> None:
        self.clock = Clock()
        self.random = Random(seed)
        self.store = store
        self.limit = GradientLimit(self.clock, least=4, most=most, first=first, random=Random(seed))
        self.turnstile = Turnstile(self.clock, self.limit.current)
        self.seconds: list[Seen] = []
        self.deepest = 0
        self._began_s = self.clock()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def offer(self, rate: float, seconds: float) -> list[Seen]:
        """So many calls a second, for so long. What became of those that came then, by second."""
        from_second = len(self.seconds)
        self.seconds += [Seen() for _ in range(int(seconds))]
        until_s = self.clock() + seconds
        self._at(self._gap(rate), lambda: self._arrive(rate, until_s))
        while self._events and self._events[0][0] <= until_s:
            self._step()
        self.clock.advance(until_s - self.clock())
        return self.seconds[from_second:]

    def _gap(self, rate: float) -> float:
        return self.random.expovariate(rate)

    def _at(self, delay_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock() + delay_s, next(self._numbers), event))

    def _step(self) -> None:
        at_s, _, event = heapq.heappop(self._events)
        self.clock.advance(at_s - self.clock())
        event()

    def _second(self) -> Seen:
        return self.seconds[min(len(self.seconds) - 1, int(self.clock() - self._began_s))]

    def _arrive(self, rate: float, until_s: float) -> None:
        if self.clock() < until_s:
            self._at(self._gap(rate), lambda: self._arrive(rate, until_s))
        seen, came_s = self._second(), self.clock()
        seen.offered += 1
        ticket = self.turnstile.enter(Priority.NORMAL)
        if ticket is not None:
            self._send(ticket, seen, came_s)
            return
        waiting: list[Ticket] = []
        given = self.turnstile.wait(Priority.NORMAL, WAIT_S, lambda: self._send(waiting[0], seen, came_s))
        if given is None:
            seen.refused += 1
            seen.refused_at_once += 1
            return
        waiting.append(given)
        self.deepest = max(self.deepest, self.turnstile.queued)

        def give_up() -> None:
            if given.admitted_s is None:
                self.turnstile.leave(given)
                seen.refused += 1

        self._at(DEADLINE_S / 2, give_up)

    def _send(self, ticket: Ticket, seen: Seen, came_s: float) -> None:
        def begin() -> None:
            self.store.busy += 1
            spread = self.store.spread
            self._at(self.store.service_s * self.random.uniform(1 - spread, 1 + spread), end)

        def end() -> None:
            self.store.busy -= 1
            if self.store.waiting and self.store.busy < self.store.workers:
                self.store.waiting.popleft()()
            took_s = self.clock() - came_s
            seen.longest_s = max(seen.longest_s, took_s)
            if took_s <= DEADLINE_S:
                seen.answered += 1
            else:
                seen.late += 1
            assert ticket.admitted_s is not None
            self.limit.answered(1, self.clock() - ticket.admitted_s, self.turnstile.under_way)
            self.turnstile.resize(self.limit.current)
            self.turnstile.leave(ticket)

        if self.store.busy < self.store.workers:
            begin()
        else:
            self.store.waiting.append(begin)
