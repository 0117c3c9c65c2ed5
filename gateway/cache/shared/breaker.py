"""Leaving alone what fails again and again: after some failures in a row a pause, then one probe. Pure but for its clock."""

from collections.abc import Callable
from math import inf


class Breaker:
    """`clock` is monotonic, in seconds. Whoever is let through says how it went, also where it was cancelled."""

    def __init__(self, clock: Callable[[], float], *, failures: int = 5, pause_s: float = 1.0) -> None:
        self._clock = clock
        self._most = failures
        self._pause_s = pause_s
        self._failures = 0
        self._paused_until = -inf

    @property
    def closed(self) -> bool:
        """Nothing is known against it: for those who do not want to be the probe."""
        return self._failures < self._most

    def allows(self) -> bool:
        """Whether to try. In a pause nobody may; after it one may, and the next only when another pause has passed."""
        if self.closed:
            return True
        now_s = self._clock()
        if now_s < self._paused_until:
            return False
        self._paused_until = now_s + self._pause_s
        return True

    def tell(self, *, well: bool) -> None:
        if well:
            self._failures = 0
        else:
            self._failures = min(self._failures + 1, self._most)
            self._paused_until = self._clock() + self._pause_s
