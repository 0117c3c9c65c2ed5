"""Look-ups that go together: those that are begun in one turn of the event loop share a trip, its deadline and its failure.

A busy gateway is asked many things in one turn, and each alone would pay for a task, a timer, a connection and a script that reads the
generations. An idle one loses nothing: a trip begins in the next turn anyway. Only those go together that the same servers answer, so that
one server that hangs takes from nobody what others have.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Protocol

from gateway.cache.sharing import Name, Seen
from gateway.incidents import incident
from gateway.tasks import Tasks

logger = logging.getLogger(__name__)
Answer = Sequence[Seen | None] | None
"""In the order of the names. None: it failed, or was late."""
_PUNCTUAL_S = 0.001
"""A timer that is later than this tells of a process that was held up."""


class Told(Protocol):
    def __call__(self, *, well: bool) -> None: ...


class JointLookups:
    """`ask` makes one trip, for `most` names at most. `told`: of each trip, whether it was answered in time."""

    def __init__(
        self, ask: Callable[[Sequence[Name]], Awaitable[Answer]], told: Told, tasks: Tasks, *, most: int, deadline_s: float
    ) -> None:
        self._ask = ask
        self._told = told
        self._tasks = tasks
        self._most = most
        self._deadline_s = deadline_s
        self._gathering: dict[Hashable, _Trip] = {}

    async def look_up(self, names: Sequence[Name], servers: Hashable) -> Answer:
        """Of `most` names at most. Whoever stops waiting takes nothing from the others."""
        trip = self._gathering.get(servers)
        if trip is None or trip.ended or len(trip.names) + len(names) > self._most:
            trip = self._gathering[servers] = _Trip(self._told, self._deadline_s)
            self._tasks.start(self._go(trip, servers))
        return await trip.join(names)

    async def _go(self, trip: "_Trip", servers: Hashable) -> None:
        """A late one goes on, for the connection that it opens or reads to the end is the next one's."""
        if self._gathering.get(servers) is trip:
            del self._gathering[servers]
        answer: Answer = None
        try:
            answer = await self._ask(trip.names)
        except Exception as error:  # noqa: BLE001 - a cache that fails, however it fails, is a cache without an answer
            incident(error, logger)
        finally:
            trip.end(answer)


class _Trip:
    """Ends once: with its answer, or at its deadline."""

    def __init__(self, told: Told, deadline_s: float) -> None:
        self.names: list[Name] = []
        self._waiting: list[tuple[int, int, asyncio.Future[Answer]]] = []
        self._told = told
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time() + deadline_s
        self._timer = self._loop.call_at(self._due_s, self._late)
        self._extended = False
        self.ended = False

    def join(self, names: Sequence[Name]) -> asyncio.Future[Answer]:
        start, answer = len(self.names), self._loop.create_future()
        self.names += names
        self._waiting.append((start, len(self.names), answer))
        return answer

    def _late(self) -> None:
        """Where it is this process that was held up, the answer may be there: a loop's timers come before what it has heard meanwhile."""
        held_up_s = self._loop.time() - self._due_s
        if self._extended or held_up_s <= _PUNCTUAL_S:
            self.end(None)
        else:
            self._extended = True
            self._timer = self._loop.call_later(min(held_up_s, self._deadline_s), self._late)

    def end(self, answer: Answer) -> None:
        if self.ended:
            return
        self.ended = True
        self._timer.cancel()
        for start, end, waiting in self._waiting:
            if not waiting.done():  # else it was cancelled
                waiting.set_result(None if answer is None else answer[start:end])
        self._told(well=answer is not None)
