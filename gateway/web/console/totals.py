"""What the workers have counted, and what happened between two looks at it. Pure: reports in, numbers out.

A worker that was started again counts from nothing: what it tells then is all new.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.measures.families import Report, summed
from gateway.measures.histogram import DURATIONS_S

PREFIX = "feature_gateway_"
ANSWERED = ("hit", "partial", "miss", "stale", "bypass")
FAULTS = ("caller", "origin", "definition", "gateway")
QUANTILES = (0.5, 0.95, 0.99)
_NO_BUCKETS = (0,) * (len(DURATIONS_S) + 1)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one worker since it began, or of some time. `reads` by outcome, `views` by source, `errors` by fault, `calls` to the origin by
    outcome; `latencies` and `call_latencies` by bucket."""

    reads: Mapping[str, float] = field(default_factory=dict)
    latencies: tuple[int, ...] = _NO_BUCKETS
    views: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    calls: Mapping[str, float] = field(default_factory=dict)
    call_latencies: tuple[int, ...] = _NO_BUCKETS
    evictions: float = 0.0


class Point(NamedTuple):
    """What a stretch of time was like. Rates are per second, durations in ms; None where there was nothing to tell of."""

    at_s: float
    reads: float
    hits: float
    partial: float
    misses: float
    stale: float
    errors: float
    hit_ratio: float | None
    view_ratio: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    caller_errors: float
    origin_errors: float
    gateway_errors: float
    calls: float
    failed_calls: float
    call_p95_ms: float | None
    evictions: float


def totals_of(report: Report) -> Totals:
    """All that one worker has counted."""
    reads: Counter[str] = Counter()
    latencies = list(_NO_BUCKETS)
    for series in report.families.get(f"{PREFIX}read_duration_seconds", ()):
        reads[series.labels[-1]] += sum(series.counts)
        latencies = [mine + its for mine, its in zip(latencies, series.counts, strict=True)]
    calls: Counter[str] = Counter()
    call_latencies = list(_NO_BUCKETS)
    for series in report.families.get(f"{PREFIX}origin_duration_seconds", ()):
        calls[series.labels[-1]] += sum(series.counts)
        call_latencies = [mine + its for mine, its in zip(call_latencies, series.counts, strict=True)]
    return Totals(
        reads,
        tuple(latencies),
        _by(report, "views_total", -1),
        _by(report, "read_errors_total", 3),
        calls,
        tuple(call_latencies),
        sum(one.value for one in report.families.get(f"{PREFIX}cache_evictions_total", ())),
    )


def _by(report: Report, name: str, label: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for series in report.families.get(PREFIX + name, ()):
        found[series.labels[label]] += int(series.value)
    return found


def between(earlier: Mapping[int, Totals], later: Mapping[int, Totals]) -> Totals:
    """What all workers did from one look to the next; both by worker. Of a worker that is not there any more what it did last is lost."""
    done = [_since(earlier.get(worker, Totals()), totals) for worker, totals in later.items()]
    return Totals(
        _added([one.reads for one in done]),
        _bucketed([one.latencies for one in done]),
        _added([one.views for one in done]),
        _added([one.errors for one in done]),
        _added([one.calls for one in done]),
        _bucketed([one.call_latencies for one in done]),
        sum(one.evictions for one in done),
    )


def _since(earlier: Totals, later: Totals) -> Totals:
    if sum(later.latencies) < sum(earlier.latencies) or sum(later.call_latencies) < sum(earlier.call_latencies):
        earlier = Totals()  # it was started again
    return Totals(
        _less(later.reads, earlier.reads),
        tuple([one - other for one, other in zip(later.latencies, earlier.latencies, strict=True)]),
        _less(later.views, earlier.views),
        _less(later.errors, earlier.errors),
        _less(later.calls, earlier.calls),
        tuple([one - other for one, other in zip(later.call_latencies, earlier.call_latencies, strict=True)]),
        max(0.0, later.evictions - earlier.evictions),
    )


def _less(later: Mapping[str, float], earlier: Mapping[str, float]) -> dict[str, float]:
    return {name: max(0.0, value - earlier.get(name, 0)) for name, value in later.items()}


def _added(parts: Sequence[Mapping[str, float]]) -> Counter[str]:
    return sum((Counter(part) for part in parts), Counter())


def _bucketed(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple([sum(bucket) for bucket in zip(*parts, strict=True)]) if parts else _NO_BUCKETS


def point_of(done: Totals, at_s: float, seconds: float) -> Point:
    """A stretch of so many seconds that ended then."""
    answered = sum(done.reads.get(name, 0) for name in ANSWERED)
    served = sum(done.views.values())
    p50_ms, p95_ms, p99_ms = [_ms(quantile(DURATIONS_S, done.latencies, share)) for share in QUANTILES]
    return Point(
        at_s,
        sum(done.reads.values()) / seconds,
        done.reads.get("hit", 0) / seconds,
        done.reads.get("partial", 0) / seconds,
        (done.reads.get("miss", 0) + done.reads.get("bypass", 0)) / seconds,
        done.reads.get("stale", 0) / seconds,
        done.reads.get("error", 0) / seconds,
        done.reads.get("hit", 0) / answered if answered else None,
        saved_share(done.views) if served else None,
        p50_ms,
        p95_ms,
        p99_ms,
        done.errors.get("caller", 0) / seconds,
        done.errors.get("origin", 0) / seconds,
        (done.errors.get("gateway", 0) + done.errors.get("definition", 0)) / seconds,
        sum(done.calls.values()) / seconds,
        sum(count for outcome, count in done.calls.items() if outcome not in {"ok", "refused"}) / seconds,
        _ms(quantile(DURATIONS_S, done.call_latencies, 0.95)),
        done.evictions / seconds,
    )


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The value below which so large a share of all lies, as if they lay evenly in their bucket; those beyond the last bound are taken to
    be at it. None of nothing."""
    total = sum(counts)
    if not total:
        return None
    rank, below, lower = share * total, 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return bounds[-1]


def saved_share(views: Mapping[str, float]) -> float:
    """Of the views that the origin would have had to be asked for, those that were in the cache."""
    kept = sum(views.get(name, 0) for name in ("cache", "stale_revalidating"))
    asked = kept + sum(views.get(name, 0) for name in ("origin", "stale_on_error", "default", "timeout"))
    return kept / asked if asked else 0.0


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def amount(reports: Sequence[Report], name: str) -> float:
    """A family's numbers, all added: for counters, and for gauges that are amounts."""
    return sum(series.value for series in summed(reports, PREFIX + name))
