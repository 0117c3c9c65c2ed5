"""When to come again, as an origin says in Retry-After, and not coming before (RFC 9110, section 10.2.3)."""

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import ceil, inf

from gateway.errors import OriginError, OriginThrottled, OriginUnavailable

_MOST_DIGITS = 12


def retry_after_s(text: str | None, wall_s: float) -> float | None:
    """Seconds from now, of a header's text: so many, or an HTTP-date; one that is over is 0. None for what is neither. `wall_s`: the time
    since 1970."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _MOST_DIGITS else inf
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp() - wall_s)
    except (ValueError, OverflowError, OSError):
        return None


def whole_seconds(left_s: float) -> str:
    """As a Retry-After: never too early, and never now."""
    return str(max(1, ceil(left_s)))


class Pause:
    """No call until an instant that the origin has named. `clock` is monotonic, in seconds; no pause is longer than `longest_s`."""

    def __init__(self, clock: Callable[[], float], *, longest_s: float, wall_s: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._wall_s = wall_s
        self._until_s = -inf
        self._throttled = True

    def told_s(self, retry_after: str | None) -> float | None:
        return retry_after_s(retry_after, self._wall_s())

    def begin(self, retry_after: str | None, *, throttled: bool) -> None:
        """As the origin says, from now; of several the longest holds. `throttled`: it said so by 429, not 503."""
        told_s = self.told_s(retry_after)
        if told_s is not None:
            until_s = self._clock() + min(told_s, self._longest_s)
            if until_s > self._until_s:
                self._until_s, self._throttled = until_s, throttled

    def left_s(self) -> float:
        return 0.0 if self._until_s == -inf else max(0.0, self._until_s - self._clock())

    def refusal(self, left_s: float) -> OriginError:
        """Of a call in the pause: as the origin refused the one that began it, with what is left."""
        if self._throttled:
            return OriginThrottled("The feature store asks for fewer requests.", whole_seconds(left_s))
        return OriginUnavailable("The feature store is unavailable for a while, as it said.", whole_seconds(left_s))
