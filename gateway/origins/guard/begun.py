"""An attempt that was begun by a plain function: what it has taken of the guard, until it ends or somebody waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from gateway.origins.base import Asked, Fetch, Fetched
from gateway.origins.guard.hedging import Latencies
from gateway.origins.guard.turnstile import Ticket


class Guard(Protocol):
    """Whose attempt it is."""

    def succeeded(self, begun: "Begun") -> None:
        """It was answered, and nobody had to wait: its slot is free again, and it has taught what there was to learn."""
        ...

    def go_on(self, begun: "Begun") -> Coroutine[Any, Any, Fetched]:
        """Wait for it, and do about it what there is to do."""
        ...


class Begun:
    """A read under way that nobody waits for (`base.Asked`): the attempt itself, and what it has taken here."""

    __slots__ = ("_guard", "asked", "began_s", "due_s", "era", "fetch", "latencies", "shape", "ticket")

    def __init__(
        self,
        guard: Guard,
        fetch: Fetch,
        asked: Asked,
        era: int,
        ticket: Ticket | None,
        shape: int,
        latencies: Latencies,
        began_s: float,
        *,
        hedging: bool,
    ) -> None:
        self._guard = guard
        self.fetch = fetch
        self.asked = asked
        self.era = era
        self.ticket = ticket
        self.shape = shape
        self.latencies = latencies
        self.began_s = began_s
        hedge_s = latencies.hedge_after_s if hedging else None
        self.due_s = asked.due_s if hedge_s is None else min(asked.due_s, asyncio.get_running_loop().time() + hedge_s)

    def fetched(self) -> Fetched | None:
        fetched = self.asked.fetched()
        if fetched is not None:
            self._guard.succeeded(self)
        return fetched

    def waited(self) -> Coroutine[Any, Any, Fetched]:
        return self._guard.go_on(self)
