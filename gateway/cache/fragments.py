"""The cached unit: one view's values for one set of that view's join keys, immutable and already encoded."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.features import Status, ViewValues, as_cached, pattern_of, statuses_of

OVERHEAD_BYTES = 640
"""An allowance for what an entry costs beside its text: the fragment, two bytes objects, the key's tuple and short strings, the store's
own tables. tracemalloc saw 636 bytes, over 100,000 entries of two string keys."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """`pattern`: the statuses, a letter each (`features.pattern_of`); `cached_pattern`: the same, told as cached. Both words are shared by
    all fragments that have them.

    `stored_at`: when the origin was asked, on the cache's monotonic clock, in seconds.
    """

    positional: bytes
    named: bytes
    pattern: str
    cached_pattern: str
    effective_times: tuple[str | None, ...]
    stored_at: float

    @classmethod
    def of(cls, values: ViewValues, stored_at: float) -> "Fragment":
        pattern, cached_pattern = _patterns(values.statuses)
        return cls(values.positional, values.named, pattern, cached_pattern, values.effective_times, stored_at)

    @property
    def statuses(self) -> tuple[Status, ...]:
        return statuses_of(self.pattern)

    @property
    def size_bytes(self) -> int:
        return len(self.positional) + len(self.named) + OVERHEAD_BYTES


@lru_cache(maxsize=4096)
def _patterns(statuses: tuple[Status, ...]) -> tuple[str, str]:
    pattern = pattern_of(statuses)
    return pattern, as_cached(pattern)


def size_of(fragment: Any) -> int:
    """The store's size function."""
    return int(fragment.size_bytes)
