"""Which of many denied acts are written down: whoever is denied again and again must not be able to fill the audit log.

Of one actor and one action the first ones are, and from then on one every few seconds, which says how many were left out before it. What is
allowed is never left out, nor is what was allowed and not possible.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.access.principals import Actor
from gateway.access.roles import Action

BURST = 100
EVERY_S = 6.0
_KEPT = 10_000


@dataclass(slots=True)
class _Told:
    """`left`: how many may be written now; `since_s`: as of when; `omitted`: how many were not, since the last that was."""

    left: float
    since_s: float
    omitted: int = 0


class Denials:
    """One per process; threads share it. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: OrderedDict[tuple[str, Action], _Told] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, actor: Actor, action: Action) -> int | None:
        """How many were left out before this one, which is to be written down; None: this one is left out too."""
        key, now_s = (str(actor.principal), action), self._clock()
        with self._lock:
            told = self._told.setdefault(key, _Told(BURST, now_s))
            self._told.move_to_end(key)
            if len(self._told) > _KEPT:
                self._told.popitem(last=False)
            told.left, told.since_s = min(BURST, told.left + (now_s - told.since_s) / EVERY_S), now_s
            if told.left < 1:
                told.omitted += 1
                return None
            told.left -= 1
            omitted, told.omitted = told.omitted, 0
            return omitted
