"""How late the event loop is: a timer that says by how much it was missed. Whatever holds the loop up holds up every request on it."""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Callable

EVERY_S = 0.1
BOUNDS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0)
"""Upper bounds of the histogram's buckets; the last bucket has none."""
WORRYING_S = 0.25
SAID_EVERY_S = 60.0
_WEIGHT = 0.05
"""Of the newest in the moving average: half of what it says is of the last 1.4 s."""

logger = logging.getLogger(__name__)


class LoopLag:
    """Plain numbers, read by whoever looks. `counts`: of each bucket alone; `sum_s`: of all; `recent_s`: a moving average."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_s: float | None = None
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        self.longest_s = 0.0
        self.recent_s = 0.0

    async def watch(self) -> None:
        """Runs for ever. The start's own work, which comes before the first request, is not looked at."""
        await asyncio.sleep(EVERY_S)
        while True:
            due_s = self._clock() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self.note(max(0.0, self._clock() - due_s))

    def note(self, lag_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, lag_s)] += 1
        self.sum_s += lag_s
        self.longest_s = max(self.longest_s, lag_s)
        self.recent_s += _WEIGHT * (lag_s - self.recent_s)
        if lag_s > WORRYING_S:
            self._complain(lag_s)

    def _complain(self, lag_s: float) -> None:
        now_s = self._clock()
        if self._said_s is None or now_s - self._said_s >= SAID_EVERY_S:
            self._said_s = now_s
            logger.warning("The event loop was held up for %.2f s: a machine without time to spare, or something that blocks", lag_s)
