"""Time that passes when a test says so, and points in time that a test waits for."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

PATIENCE_S = 20.0
"""How long a test waits for what must happen anyway, before it says that it did not."""


class Clock:
    """A monotonic clock, in seconds."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self._now_s = now_s

    def __call__(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds


class Hold:
    """A place that others wait at until a test lets them go on: `reach` on any event loop, the rest on any thread."""

    def __init__(self) -> None:
        self._arrivals = threading.Semaphore(0)
        self._released: Future[None] = Future()

    async def reach(self) -> None:
        self._arrivals.release()
        # shielded: a cancelled waiter must not cancel what the others wait for
        await asyncio.shield(asyncio.wrap_future(self._released))

    def wait_reached(self, times: int = 1) -> None:
        """Until so many more have arrived."""
        for _ in range(times):
            assert self._arrivals.acquire(timeout=PATIENCE_S), "nobody came"

    def release(self) -> None:
        if not self._released.done():
            self._released.set_result(None)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """For what no event tells of, such as another process or thread getting somewhere: asked again and again, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain: {what}"
        pause.wait(0.005)
