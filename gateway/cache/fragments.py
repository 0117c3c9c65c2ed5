"""The cached unit: one view's values for one set of that view's join keys, already encoded. Nothing of it changes once it is made, but
`visits`, which is the store's own note.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import inf

import msgspec

from gateway.cache.policy import UNKEPT, Terms
from gateway.features import Status, ViewValues, as_cached, pattern_of, statuses_of

OVERHEAD_BYTES = 640
"""What an entry costs beside its texts: the fragment with its floats, two bytes objects, the key's tuple and a short string, its part in
the store's tables, a ghost, and what the allocator wastes. Measured as resident memory of 100,000 and 400,000 entries with one effective
time, beside the text of values and time: 580 to 650 bytes each when a store is first filled, and 690 to 770 after twice as many others came
and went, of which `_TIME_BYTES` are counted apart; 320 to 400 and 410 to 510 of those that came in rows of four views, which share times
and texts. They are counted alike."""
_TIME_BYTES = 80
"""Of an effective time's text; features that have one time may share it."""
_MISSING = frozenset({Status.MISSING_DATA, Status.CACHED_MISSING_DATA})


class Fragment(msgspec.Struct, gc=False):
    """`pattern`: the statuses, a letter each (`features.pattern_of`); `cached_pattern`: the same, told as cached. Both words are shared by
    all fragments that have them.

    Times are on the cache's monotonic clock, in seconds. `stored_at`: when the origin was asked. `effective_at`: the oldest effective time
    of its values; infinite where there is none. `life`: the share of its TTL that it is given (`calendar`). `retired_at`: when a soft purge
    ended it.
    `fresh_until` and `expires_at` say what comes of all this under the `terms` it was fetched with: until the first it is simply served,
    until the second it is served and fetched again.

    Each time is an object of 24 bytes, so those of fragments that came together are the same ones (`beside`). What a hit looks at stands
    first: on one cache line, in most fragments.
    """

    positional: bytes
    named: bytes
    pattern: str
    cached_pattern: str
    stored_at: float
    terms: Terms = UNKEPT
    fresh_until: float = -inf
    visits: int = 0
    effective_times: tuple[str | None, ...] = ()
    expires_at: float = -inf
    effective_at: float = inf
    life: float = 1.0
    retired_at: float = inf
    negative: bool = False

    @classmethod
    def of(
        cls,
        values: ViewValues,
        stored_at: float,
        terms: Terms = UNKEPT,
        *,
        effective_at: float = inf,
        life: float = 1.0,
        early_s: float = 0.0,
    ) -> "Fragment":
        pattern, cached_pattern, negative = patterns(values.statuses)
        expires_at = stored_at + (terms.negative_ttl_s if negative else terms.ttl_s) * life
        if effective_at < inf:
            expires_at = min(expires_at, effective_at + terms.max_age_s)
        return cls(
            values.positional,
            values.named,
            pattern,
            cached_pattern,
            stored_at,
            terms,
            expires_at - early_s if early_s else expires_at,
            0,
            values.effective_times,
            expires_at,
            effective_at,
            life,
            inf,
            negative,
        )

    def beside(self, values: ViewValues) -> "Fragment | None":
        """Values of another view that came with these, under the same terms and with the same times, whatever their age; None where they
        have an end of their own, since they are all missing and these are not, or the other way round."""
        pattern, cached_pattern, negative = patterns(values.statuses)
        if negative is not self.negative:
            return None
        return Fragment(
            values.positional,
            values.named,
            pattern,
            cached_pattern,
            self.stored_at,
            self.terms,
            self.fresh_until,
            0,
            values.effective_times,
            self.expires_at,
            inf,
            self.life,
            inf,
            negative,
        )

    @property
    def early_s(self) -> float:
        """How long before its end it is fetched again, if it is read then."""
        return self.expires_at - self.fresh_until

    def expiry(self, terms: Terms) -> float:
        """Until when it may be served from the cache under these terms, which may be those of another feature service."""
        return self.expires_at if terms is self.terms else self._expiry(terms)

    def _expiry(self, terms: Terms) -> float:
        ttl_s = terms.negative_ttl_s if self.negative else terms.ttl_s
        return min(self.stored_at + ttl_s * self.life, self.effective_at + terms.max_age_s, self.retired_at)

    def bounds(self, terms: Terms) -> dict[str, float]:
        """All that may end it under these terms, and when; it ends at the first of these (`expiry`). `ttl`, or `spread` where it was given
        less than its whole TTL; `negative_ttl`; `max_age` of its values; `purge`."""
        ttl_s = terms.life_s(negative=self.negative)
        name = "spread" if self.life < 1 else "negative_ttl" if self.negative else "ttl"
        bounds = {name: self.stored_at + ttl_s * self.life, "max_age": self.effective_at + terms.max_age_s, "purge": self.retired_at}
        return {name: at_s for name, at_s in bounds.items() if at_s < inf}

    def __repr__(self) -> str:
        return f"Fragment({self.pattern!r}, stored_at={self.stored_at:.3f})"

    def supersedes(self, known: "Fragment") -> bool:
        """Whether it was asked for later than what is known, and later than a purge that made that stale."""
        return self.stored_at > (known.stored_at if known.retired_at == inf else known.retired_at)

    def retired(self, now_s: float) -> "Fragment":
        """The same, stale from now on."""
        ended = min(self.expires_at, now_s)
        return msgspec.structs.replace(self, retired_at=min(self.retired_at, now_s), expires_at=ended, fresh_until=ended)

    @property
    def gone_at(self) -> float:
        """When it is of no use any more, not even as a last hope, under the terms it was fetched with."""
        return self.expires_at + self.terms.grace_s

    @property
    def statuses(self) -> tuple[Status, ...]:
        return statuses_of(self.pattern)

    @property
    def size_bytes(self) -> int:
        return len(self.positional) + len(self.named) + OVERHEAD_BYTES + _times_bytes(self.effective_times)


@lru_cache(maxsize=4096)
def _times_bytes(times: tuple[str | None, ...]) -> int:
    return 8 * len(times) + _TIME_BYTES * len(set(times))


@lru_cache(maxsize=4096)
def patterns(statuses: Sequence[Status]) -> tuple[str, str, bool]:
    """The two words for a view's statuses, and whether all of its values are missing."""
    pattern = pattern_of(statuses)
    return pattern, as_cached(pattern), _MISSING.issuperset(statuses)
