"""A histogram of explicit buckets, and the trace that is remembered of each as an example."""

from bisect import bisect_left
from typing import NamedTuple

DURATIONS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
AGES_S = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0)
ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Exemplar(NamedTuple):
    """`at_s`: wall clock, in seconds."""

    value: float
    trace_id: str
    at_s: float


class Histogram:
    """`counts`: of each bucket alone; the last has no bound. `total`: of all values."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    @property
    def count(self) -> int:
        return sum(self.counts)

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def mark(self, value: float, trace_id: str, at_s: float) -> None:
        """The newest example of its bucket."""
        self.exemplars[bisect_left(self.bounds, value)] = Exemplar(value, trace_id, at_s)

    def add(self, other: "Histogram") -> None:
        """Into this one, of the same buckets."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
