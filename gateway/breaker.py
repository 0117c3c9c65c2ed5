"""Leaving alone what fails again and again: when too much failed lately a pause, then one probe. Pure but for its clock.

    closed   everybody may; opens when a share of the calls of a short window failed, or, where those are too few to speak of shares (or no
             share is given), when so many failed in a row
    open     nobody may until the pause is over; then one may, the probe, and another each time a pause has passed: one that hangs holds up
             nobody for longer
    closes   at the first that goes well

Two rooms use it: the cache that replicas share, by failures in a row, and the guard of an origin, by a share of them.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random

_SLOTS = 10
"""Of a window: what is told is forgotten by tenths of it."""


class Breaker:
    """`clock` is monotonic, in seconds. Whoever is let through says how it went, unless nothing can be said (it was cancelled).

    `failures` in a row open it, or `share` of at least `least_calls` within `window_s`. A pause is `pause_s`, more or less `jitter` of it.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int = 5,
        pause_s: float = 1.0,
        share: float | None = None,
        least_calls: int = 20,
        window_s: float = 2.0,
        jitter: float = 0.0,
        random: Random | None = None,
    ) -> None:
        self._clock = clock
        self._most = failures
        self._pause_s = pause_s
        self._share = share
        self._least_calls = least_calls
        self._window = _Window(window_s)
        self._jitter = jitter
        self._random = random or Random()  # noqa: S311 - to spread probes, not to be secret
        self._failures = 0
        self._paused_until = -inf
        self.closed = True
        """Nothing is known against it: for those who do not want to be the probe."""
        self.era = 0
        """Another one after each opening and closing. What began in an earlier era says nothing of this one."""

    def allows(self) -> bool:
        """Whether to try. In a pause nobody may; after it one may, and the next only when another pause has passed."""
        if self.closed:
            return True
        if self.rests_s() > 0:
            return False
        self._pause()
        return True

    def rests_s(self) -> float:
        """How long nobody may, from now; 0: somebody may now."""
        return 0.0 if self.closed else max(0.0, self._paused_until - self._clock())

    def tell(self, *, well: bool) -> None:
        if well:
            self._failures = 0
            if not self.closed:
                self.closed = True
                self.era += 1
                self._window.clear()
            if self._share is not None:
                self._window.add(self._clock(), failed=0)
            return
        self._failures += 1
        if self.closed:
            if self._share is not None:
                self._window.add(self._clock(), failed=1)
            if not self._opens():
                return
            self.closed = False
            self.era += 1
        self._pause()

    def _opens(self) -> bool:
        calls, failed = self._window.calls, self._window.failed
        if self._share is not None and calls >= self._least_calls:
            return failed >= self._share * calls
        return self._failures >= self._most

    def _pause(self) -> None:
        lot = self._random.uniform(-self._jitter, self._jitter) if self._jitter else 0.0
        self._paused_until = self._clock() + self._pause_s * (1 + lot)


class _Window:
    """How many calls there were of late, and how many of them failed."""

    def __init__(self, window_s: float) -> None:
        self._slot_s = window_s / _SLOTS
        self._slots: deque[list[int]] = deque()
        self.calls = self.failed = 0

    def add(self, now_s: float, *, failed: int) -> None:
        number = int(now_s / self._slot_s)
        if not self._slots or self._slots[-1][0] != number:
            while self._slots and self._slots[0][0] <= number - _SLOTS:
                _, calls, of_them = self._slots.popleft()
                self.calls -= calls
                self.failed -= of_them
            self._slots.append([number, 0, 0])
        self._slots[-1][1] += 1
        self._slots[-1][2] += failed
        self.calls += 1
        self.failed += failed

    def clear(self) -> None:
        self._slots.clear()
        self.calls = self.failed = 0
