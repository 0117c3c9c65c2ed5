"""What must hold of a run. A gate that does not hold is told with its figure, and the run ends with exit status 1."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run gave. `p99_ms` None: nothing was answered. `cached` and `fetched`: features served from the cache, and from elsewhere."""

    requests: int
    errors: int
    p99_ms: float | None
    cached: int
    fetched: int

    @property
    def hit_ratio(self) -> float | None:
        served = self.cached + self.fetched
        return self.cached / served if served else None


@dataclass(frozen=True, slots=True)
class Gates:
    """None: whatever it is. `p99_ms` and `error_share` at most, `hit_ratio` at least."""

    p99_ms: float | None = None
    error_share: float | None = None
    hit_ratio: float | None = None

    def broken(self, figures: Figures) -> list[str]:
        """A sentence for each gate that does not hold. Of a run without requests, none does."""
        if not figures.requests:
            return ["no request was made"]
        told = []
        share = figures.errors / figures.requests
        if self.error_share is not None and share > self.error_share:
            told.append(f"errors: {share:.3%} of {figures.requests:,} requests, at most {self.error_share:.3%} are allowed")
        if self.p99_ms is not None and (figures.p99_ms is None or figures.p99_ms > self.p99_ms):
            told.append(f"p99: {_told(figures.p99_ms, 'ms')}, at most {self.p99_ms:g} ms are allowed")
        if self.hit_ratio is not None and (figures.hit_ratio is None or figures.hit_ratio < self.hit_ratio):
            told.append(f"hit ratio: {_told(figures.hit_ratio, 'of features from the cache')}, at least {self.hit_ratio:g} is asked for")
        return told


def _told(figure: float | None, unit: str) -> str:
    return "none" if figure is None else f"{figure:.4g} {unit}"


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Of values and how often each came; None of none."""
    left = sum(counts.values()) * share
    for value in sorted(counts):
        left -= counts[value]
        if left <= 1e-9:
            return float(value)
    return None
