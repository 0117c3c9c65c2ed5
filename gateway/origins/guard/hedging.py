"""When an attempt is so late that a second one beside it is worth its price: after the recent 95th percentile (J. Dean and L. A. Barroso,
"The Tail at Scale", 2013).

The trap: where one call in twenty is slow, the percentile turns slow with it and no hedge is ever sent; and a hedge that wins hides how
long the first would have taken. So an attempt that was overtaken counts as having taken until its hedge was sent, and the delay is never
more than eight medians. Where the latencies really are that spread, more than one call in twenty is hedged, as far as the budget goes.
"""

from collections import deque

_KEPT = 256
_FEWEST = 64
"""Before so many are known nothing is hedged."""
_REFRESH_EVERY = 32
_MEDIANS = 8.0
_SHORTEST_S = 0.002
"""A hedge sooner would answer for this process's own hitches."""


class Latencies:
    """What attempts of one kind took lately."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_KEPT)
        self._fresh = 0
        self.hedge_after_s: float | None = None
        """None: too little is known."""

    def add(self, took_s: float) -> None:
        self._recent.append(took_s)
        self._fresh += 1
        if self._fresh >= _REFRESH_EVERY and len(self._recent) >= _FEWEST:
            self._fresh = 0
            ordered = sorted(self._recent)
            late_s, median_s = ordered[len(ordered) * 95 // 100], ordered[len(ordered) // 2]
            self.hedge_after_s = max(_SHORTEST_S, min(late_s, _MEDIANS * median_s))
