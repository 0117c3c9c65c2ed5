"""What is told of all that is measured: families of series, as Prometheus has them, in a form that goes from one worker to another.

A family has a name, a kind and labels; a series is one set of label values with its number, or its histogram. `gateway.web.metrics` says
which families there are; whoever wants a number (the scrape, the console, the objectives) takes it from a `Report`.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec

from gateway.measures.book import ErrorNote
from gateway.measures.histogram import Exemplar, Histogram
from gateway.measures.promises import Promise


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class About(NamedTuple):
    """What a family is. `bounds`: upper bounds of its buckets, of a histogram."""

    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


class Series(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`counts`: of each bucket alone, and `value` their sum of values, of a histogram."""

    labels: tuple[str, ...]
    value: float
    counts: tuple[int, ...] = ()
    exemplars: tuple[tuple[int, Exemplar], ...] = ()

    @classmethod
    def of(cls, labels: tuple[str, ...], histogram: Histogram) -> "Series":
        return cls(labels, histogram.total, tuple(histogram.counts), tuple(histogram.exemplars.items()))


class Report(msgspec.Struct, frozen=True):
    """All that one worker tells. `at_s`: wall clock."""

    worker: int
    at_s: float
    families: dict[str, tuple[Series, ...]]
    recent: tuple[ErrorNote, ...] = ()
    promises: tuple[Promise, ...] = ()


def summed(reports: Iterable[Report], name: str) -> Iterator[Series]:
    """A family over several workers: series of the same labels are added. Not for gauges that are no amounts."""
    added: dict[tuple[str, ...], Series] = {}
    for report in reports:
        for one in report.families.get(name, ()):
            known = added.get(one.labels)
            if known is None:
                added[one.labels] = one
                continue
            counts = tuple([mine + its for mine, its in zip(known.counts, one.counts, strict=True)])
            added[one.labels] = Series(one.labels, known.value + one.value, counts, known.exemplars or one.exemplars)
    return iter(added.values())
