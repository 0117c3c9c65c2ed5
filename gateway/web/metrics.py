"""What `/metrics` tells, in Prometheus' text format: the gateway's counters, the fragments at hand, the flights in the air.

Collected when somebody asks; nothing is added to on the way of a read but the plain integers of `counters`. No label holds anything that
came with a request.

To be imported when the gateway is put together, not before: `prometheus_client` opens files of the process when it is imported.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gateway.cache.flights import Flights
from gateway.cache.store import FragmentStore
from gateway.counters import MEANINGS, Counters
from gateway.hosting.lag import BOUNDS_S, LoopLag
from gateway.measures.book import Book
from gateway.origins.guard.origin import GuardedOrigin

_PREFIX = "feature_gateway_"
_BY_SOURCE = f"{_PREFIX}views_total"
_LAG = f"{_PREFIX}event_loop_lag_seconds"


SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "origin": "Views served that were fetched for the read.",
        "cache": "Views served from the cache, fresh.",
        "stale_revalidating": "Views served stale while they are fetched again.",
        "stale_on_error": "Views served stale because the origin failed or was late.",
        "computed": "On-demand views computed in the gateway.",
        "default": "Views served from the settings' defaults because the origin failed or was late.",
        "timeout": "Views served as null because the origin was late.",
    }
)
"""The values of the label `source` of served views, and what each means."""


METRICS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        _BY_SOURCE: ("counter", "Views served, by where they came from."),
        **{f"{_PREFIX}{name}_total": ("counter", meaning) for name, meaning in MEANINGS.items()},
        f"{_PREFIX}cache_bytes": ("gauge", "Bytes of fragments kept, overhead included."),
        f"{_PREFIX}cache_fragments": ("gauge", "Fragments kept."),
        f"{_PREFIX}cache_max_bytes": ("gauge", "Bytes of fragments kept at most (cache.max_bytes)."),
        f"{_PREFIX}cache_evictions_total": ("counter", "Fragments dropped to make room for others."),
        f"{_PREFIX}flights": ("gauge", "Fragments that are being fetched."),
        _LAG: ("histogram", "By how much a timer of the event loop was missed, ten times a second."),
        f"{_LAG}_max": ("gauge", "The most of it, since the start."),
        f"{_PREFIX}worker": ("gauge", "Number of the worker that tells this; 1 where it is alone."),
        f"{_LAG}_recent": ("gauge", "Its moving average over a few seconds."),
        f"{_PREFIX}guard_open": ("gauge", "1 while the breaker of reads is open: no call to the origin but probes."),
        f"{_PREFIX}guard_limit": ("gauge", "Calls to the origin that may be under way now; 0: there is no limit."),
        f"{_PREFIX}guard_under_way": ("gauge", "Of these, those that are."),
        f"{_PREFIX}guard_queued": ("gauge", "Calls that wait for one of them to end."),
    }
)
"""Each metric: its type, and what it means."""


class Metrics(Collector):
    """What is told of one house. Its own collector: no registry of the process's, so that two houses in one process do not meet."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(
        self,
        counters: Counters,
        book: Book,
        store: FragmentStore,
        flights: Flights[Any],
        lag: LoopLag,
        worker: int = 1,
        guard: GuardedOrigin | None = None,
    ) -> None:
        """`guard` None: its gauges are 0."""
        self._counters = counters
        self._book = book
        self._guard = guard
        self._store = store
        self._flights = flights
        self._lag = lag
        self._worker = worker

    def text(self) -> bytes:
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        values = self._values()
        for name, (kind, meaning) in METRICS.items():
            if name == _BY_SOURCE:
                yield self._views(meaning)
            elif name == _LAG:
                yield self._held_up(meaning)
            elif kind == "counter":
                yield CounterMetricFamily(name, meaning, values[name])
            else:
                yield GaugeMetricFamily(name, meaning, values[name])

    def _values(self) -> dict[str, float]:
        return {
            **{f"{_PREFIX}{name}_total": getattr(self._counters, name) for name in MEANINGS},
            f"{_PREFIX}cache_bytes": self._store.size_bytes,
            f"{_PREFIX}cache_fragments": len(self._store),
            f"{_PREFIX}cache_max_bytes": self._store.max_bytes,
            f"{_PREFIX}cache_evictions_total": self._store.evictions,
            f"{_PREFIX}flights": len(self._flights),
            f"{_PREFIX}worker": self._worker,
            f"{_LAG}_max": self._lag.longest_s,
            f"{_LAG}_recent": self._lag.recent_s,
            **self._guarded(),
        }

    def _guarded(self) -> dict[str, float]:
        slots = None if self._guard is None else self._guard.slots
        return {
            f"{_PREFIX}guard_open": 0 if self._guard is None else int(self._guard.open),
            f"{_PREFIX}guard_limit": 0 if slots is None else slots.limit,
            f"{_PREFIX}guard_under_way": 0 if slots is None else slots.under_way,
            f"{_PREFIX}guard_queued": 0 if slots is None else slots.queued,
        }

    def _views(self, meaning: str) -> CounterMetricFamily:
        family = CounterMetricFamily(_BY_SOURCE, meaning, labels=["source"])
        served = sum((ledger.served() for ledger in self._book.services.values()), Counter[str]())
        for source in SOURCES:
            family.add_metric([source], served[source])
        return family

    def _held_up(self, meaning: str) -> HistogramMetricFamily:
        counts = list(accumulate(self._lag.counts))
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        return HistogramMetricFamily(_LAG, meaning, buckets=list(zip(bounds, counts, strict=True)), sum_value=self._lag.sum_s)
