"""How many attempts there may be beyond the first of each call: a share of the calls, and a few where there are hardly any calls.

A token bucket after Finagle's RetryBudget: a call puts a share of a token in, a retry or hedge takes a whole one out. The floor lets the
balance go below nothing, so that it is not on top of the share where there are many calls.
"""

from collections import deque
from collections.abc import Callable

_BANKED = 10.0
"""Tokens kept at most: what good times have saved up must not make a bad time's first second worse."""


class RetryBudget:
    """`clock` is monotonic, in seconds. `share` 0: nothing beyond the first attempt, ever. `floor_per_s`: so many in a second at least."""

    def __init__(self, clock: Callable[[], float], *, share: float, floor_per_s: int = 3) -> None:
        self._clock = clock
        self._share = share
        self._floor = floor_per_s if share > 0 else 0
        self._tokens = 0.0
        self._taken: deque[float] = deque(maxlen=max(1, floor_per_s))

    def earn(self) -> None:
        """A call has made its first attempt."""
        self._tokens = min(_BANKED, self._tokens + self._share)

    def take(self) -> bool:
        """Whether there may be one more; then it is charged."""
        now_s = self._clock()
        if self._tokens < 1 and not self._below_floor(now_s):
            return False
        self._tokens = max(-float(self._floor), self._tokens - 1)
        self._taken.append(now_s)
        return True

    def _below_floor(self, now_s: float) -> bool:
        return sum(now_s - taken_s < 1.0 for taken_s in self._taken) < self._floor
