"""What may fail apart: reads, and ingest, which has an address and limits of its own. Each lane knows how its calls went lately, and
whether another may go."""

import logging

from gateway.breaker import Breaker
from gateway.counters import Counters
from gateway.errors import GatewayError, OriginError, OriginFailed, OriginMalformed, OriginResting, OriginTimeout, OriginUnavailable
from gateway.origins.guard.throttle import Pause, whole_seconds

logger = logging.getLogger(__name__)
_FAILURES = (OriginUnavailable, OriginTimeout, OriginFailed, OriginMalformed)
"""What speaks against an origin. Not what the caller did wrong, and not 429: whoever asks for fewer calls is there."""


class Lane:
    """`name` is told in the log. `breaker` None: failures stop nothing. `pause` None: Retry-After is not heeded."""

    def __init__(self, name: str, counters: Counters, breaker: Breaker | None, pause: Pause | None) -> None:
        self._name = name
        self._counters = counters
        self._breaker = breaker
        self._pause = pause

    @property
    def well(self) -> bool:
        """Nothing speaks against more calls than are asked for."""
        return (self._breaker is None or self._breaker.closed) and (self._pause is None or self._pause.left_s() == 0)

    @property
    def open(self) -> bool:
        """Whether the breaker is."""
        return self._breaker is not None and not self._breaker.closed

    def go_if_well(self) -> int | None:
        """As `go`, for one that goes only where nothing speaks against it."""
        breaker, pause = self._breaker, self._pause
        if pause is not None and pause.left_s() > 0:
            return None
        if breaker is None:
            return 0
        return breaker.era if breaker.closed else None

    def check(self) -> None:
        """Raises the refusal of a call that would be in vain now."""
        if self._pause is not None and (left_s := self._pause.left_s()) > 0:
            self._counters.guard_paused += 1
            raise self._pause.refusal(left_s)
        if self._breaker is not None and (rests_s := self._breaker.rests_s()) > 0:
            raise self._resting(rests_s)

    def go(self) -> int:
        """Right before an attempt, which may be the probe: the era that it belongs to. Raises as `check`."""
        self.check()
        if self._breaker is None:
            return 0
        allowed = self._breaker.allows()
        assert allowed, "it does not rest, so it lets one through"
        return self._breaker.era

    def tell(self, era: int, error: GatewayError | None = None) -> None:
        """How an attempt of this era went. One that began before the breaker opened, or closed, has nothing to say."""
        breaker = self._breaker
        if breaker is None or breaker.era != era:
            return
        was_closed = breaker.closed
        breaker.tell(well=not isinstance(error, _FAILURES))
        if breaker.closed is was_closed:
            return
        if was_closed:
            self._counters.guard_opened += 1
            logger.warning("%s: too many calls to the feature store fail. But for a probe now and then, none is made", self._name)
        else:
            logger.warning("%s: the feature store answers again", self._name)

    def told_s(self, error: OriginError) -> float | None:
        """In how many seconds to come again, as an error says, where that is heeded."""
        return None if self._pause is None else self._pause.told_s(error.retry_after)

    def heed(self, retry_after: str | None, *, throttled: bool = False) -> None:
        """The origin says when to come again. `throttled`: by 429, not 503."""
        if self._pause is not None:
            self._pause.begin(retry_after, throttled=throttled)

    def _resting(self, rests_s: float) -> OriginResting:
        self._counters.guard_resting += 1
        return OriginResting("The feature store has been failing, and is left alone for a moment.", whole_seconds(rests_s))
