"""Slots that are waited for: `turnstile` decides who goes, who waits and who is refused; here it is done. The limit is learnt here too."""

import asyncio
import logging
from collections.abc import Callable
from math import inf

from gateway.counters import Counters
from gateway.errors import OriginShed, OriginTimeout
from gateway.features import Priority
from gateway.origins.guard.limit import GradientLimit
from gateway.origins.guard.throttle import whole_seconds
from gateway.origins.guard.turnstile import Ticket, Turnstile

logger = logging.getLogger(__name__)
_TELL_EVERY_S = 10.0


class Slots:
    """`clock` is monotonic, in seconds. Whoever would wait longer than `longest_wait_s`, as it looks, is refused; whoever waits does so for
    half of the time that it has left: what has waited for nothing is a worse answer than one more wait."""

    def __init__(self, clock: Callable[[], float], limit: GradientLimit, counters: Counters, *, longest_wait_s: float) -> None:
        self._clock = clock
        self._limit = limit
        self._turnstile = Turnstile(clock, limit.current)
        self._counters = counters
        self._longest_wait_s = longest_wait_s
        self._told_s = -inf
        self._told = 0

    @property
    def limit(self) -> int:
        return self._limit.current

    @property
    def under_way(self) -> int:
        return self._turnstile.under_way

    @property
    def queued(self) -> int:
        return self._turnstile.queued

    def spare(self, priority: Priority) -> Ticket | None:
        """A slot that nobody waits for, if there is one."""
        return self._turnstile.enter(priority)

    async def take(self, priority: Priority, deadline_s: float) -> Ticket:
        """A slot, to be given back. `deadline_s`: on the event loop's clock. Raises OriginShed."""
        ticket = self._turnstile.enter(priority)
        return ticket if ticket is not None else await self._waited(priority, deadline_s)

    def give_back(self, ticket: Ticket) -> None:
        self._turnstile.leave(ticket)

    def give_back_unused(self, ticket: Ticket) -> None:
        """One that was taken just now, in vain."""
        self._turnstile.leave(ticket, used=False)

    def answered(self, shape: int, took_s: float) -> None:
        if self._limit.answered(shape, took_s, self._turnstile.under_way):
            self._turnstile.resize(self._limit.current)

    def throttled(self) -> None:
        self._limit.throttled()
        self._turnstile.resize(self._limit.current)

    async def _waited(self, priority: Priority, deadline_s: float) -> Ticket:
        loop = asyncio.get_running_loop()
        left_s = deadline_s - loop.time()
        if left_s <= 0:
            raise OriginTimeout("The time for the feature store's answer is over.")
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        ticket = self._turnstile.wait(priority, min(self._longest_wait_s, left_s / 2), wake)
        if ticket is None:
            raise self._shed(priority)
        timer = loop.call_later(left_s / 2, wake)
        try:
            await woken
        except BaseException:
            self._turnstile.leave(ticket)  # the slot, where it was found meanwhile
            raise
        finally:
            timer.cancel()
        if ticket.admitted_s is None:
            self._turnstile.leave(ticket)
            raise self._shed(priority)
        return ticket

    def _shed(self, priority: Priority) -> OriginShed:
        name = f"guard_shed_{priority.name.lower()}"
        setattr(self._counters, name, getattr(self._counters, name) + 1)
        self._told += 1
        now_s = self._clock()
        if now_s - self._told_s >= _TELL_EVERY_S:
            logger.warning("the feature store is at its limit of calls under way: refused %d since this was last said", self._told)
            self._told_s, self._told = now_s, 0
        return OriginShed("Too many calls to the feature store are under way.", whole_seconds(self._turnstile.estimate_s(priority)))
