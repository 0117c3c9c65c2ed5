"""Looks after what takes too long. One timer for all connections: a request costs an assignment, not a timer of its own."""

import asyncio
from typing import Protocol


class Watched(Protocol):
    """A connection. `due_s` and `read_by_s` are instants of the loop's clock, infinity where nothing is waited for."""

    due_s: float
    """By when the client must have sent what it owes: a request, the rest of one, or its leave."""
    read_by_s: float
    """By when it must have read what it was sent."""

    def expire(self, now_s: float) -> None:
        """One of the two is over."""


class Watch:
    """Looks round every `every_s`, for as long as there is anybody to look after; so a limit is met within that time after it."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def enter(self, one: Watched, loop: asyncio.AbstractEventLoop) -> None:
        self._watched.add(one)
        if self._timer is None:
            self._timer = loop.call_later(self._every_s, self._look, loop)

    def leave(self, one: Watched) -> None:
        self._watched.discard(one)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        self._timer = loop.call_later(self._every_s, self._look, loop)
        for one in [one for one in self._watched if one.due_s <= now_s or one.read_by_s <= now_s]:
            one.expire(now_s)


def every_s(*limits_s: float) -> float:
    """How often to look, so that none of these is overrun by much."""
    return min(1.0, max(0.01, min(limits_s) / 8))
