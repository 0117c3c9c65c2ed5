"""Whether, and when, a read that failed is tried again: capped exponential backoff with full jitter (M. Brooker, "Exponential Backoff And
Jitter", AWS, 2015)."""

from dataclasses import dataclass, field
from random import Random

from gateway.errors import OriginError, OriginResting, OriginShed, OriginThrottled

_OWN = (OriginShed, OriginResting)
"""Refused here, before the origin was asked: another try would be refused as well."""


@dataclass(frozen=True, slots=True)
class Retries:
    """`most`: attempts after the first. A pause is anywhere up to `first_s`, twice that before the next, and never over `longest_s`."""

    most: int
    first_s: float = 0.025
    longest_s: float = 0.25
    random: Random = field(default_factory=Random, repr=False)

    def pause_s(self, tried: int, error: OriginError, told_s: float | None, left_s: float) -> float | None:
        """Before the next attempt; None: there is none. `tried`: attempts so far. `told_s`: when to come again, as the origin said;
        throttled without a word of that is left alone. `left_s`: until the deadline."""
        if tried > self.most or not error.retryable or isinstance(error, _OWN):
            return None
        if told_s is None:
            if isinstance(error, OriginThrottled):
                return None
        elif told_s > self.longest_s:
            return None
        pause_s = (told_s or 0.0) + self.random.uniform(0, min(self.longest_s, self.first_s * 2 ** (tried - 1)))
        return pause_s if pause_s < left_s else None
