"""A report in the making: what tellers add series to."""

from collections.abc import Callable, Iterable, Sequence

from gateway.measures.families import Series
from gateway.measures.histogram import Histogram
from gateway.measures.promises import Promise
from gateway.web.metrics.families import FAMILIES, PREFIX


class Told:
    """Families go by their names without the prefix. Labels are given in the order of `families`."""

    def __init__(self) -> None:
        self._series: dict[str, list[Series]] = {name: [] for name in FAMILIES}
        self.promises: list[Promise] = []
        """For whoever adds up those of several workers: shares of a few events cannot be."""

    def number(self, name: str, value: float, *labels: str) -> None:
        self._series[PREFIX + name].append(Series(labels, value))

    def histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        self._series[PREFIX + name].append(Series.of(labels, histogram))

    def buckets(self, name: str, counts: Sequence[int], total: float, *labels: str) -> None:
        """A histogram of another's keeping; `counts` of each bucket alone."""
        self._series[PREFIX + name].append(Series(labels, total, tuple(counts)))

    def of_process(self, name: str, value: float) -> None:
        """One of those whose names are not the gateway's own."""
        self._series[name].append(Series((), value))

    def families(self) -> dict[str, tuple[Series, ...]]:
        """All, also those of which nothing was told."""
        return {name: tuple(series) for name, series in self._series.items()}


Tell = Callable[[Told], Iterable[None]]
"""Adds what it knows, the same each time in the same order. Where it yields, others may have their turn: what is told between is of one
moment."""
