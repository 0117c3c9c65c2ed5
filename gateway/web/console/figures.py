"""What the pages tell of feature services, views and workers: series in, figures out. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.measures.book import ErrorNote
from gateway.measures.families import Report, Series, summed
from gateway.measures.histogram import AGES_S, DURATIONS_S
from gateway.web.console.totals import ANSWERED, PREFIX, QUANTILES, amount, quantile, saved_share

OTHER = "_other"
_UNKNOWN = ("", "")
"""The ledger of reads that failed before it was known what they read."""


@dataclass(slots=True)
class ServiceFigures:
    """The reads of one feature service since the workers began. `reads` by outcome, `doors` by door, `views` by source, `errors` by fault
    and HTTP status."""

    workspace: str
    name: str
    reads: Counter[str] = field(default_factory=Counter)
    doors: Counter[str] = field(default_factory=Counter)
    latencies: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS_S) + 1))
    views: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: int = 0

    @property
    def total(self) -> int:
        return sum(self.reads.values())

    @property
    def answered(self) -> int:
        return sum(self.reads[name] for name in ANSWERED)

    @property
    def hit_ratio(self) -> float | None:
        return self.reads["hit"] / self.answered if self.answered else None

    @property
    def view_ratio(self) -> float | None:
        return saved_share(self.views) if sum(self.views.values()) else None

    @property
    def quantiles_ms(self) -> Sequence[float | None]:
        """p50, p95 and p99."""
        found = [quantile(DURATIONS_S, self.latencies, share) for share in QUANTILES]
        return [None if one is None else one * 1000 for one in found]

    @property
    def saved_views(self) -> int:
        """Views that the origin did not have to be asked for."""
        return self.views["cache"] + self.views["stale_revalidating"]

    @property
    def asked_views(self) -> int:
        """Views that it was asked for."""
        return sum(self.views[name] for name in ("origin", "stale_on_error", "default", "timeout"))

    @property
    def failed(self) -> int:
        """Errors that are not their caller's."""
        return sum(count for (fault, _), count in self.errors.items() if fault != "caller")


@dataclass(frozen=True, slots=True)
class ViewFigures:
    """The values served of one view in the reads that were looked at closely. Ages in seconds: p50 and p95."""

    ages_s: Sequence[float | None]
    effective_ages_s: Sequence[float | None]
    features: int
    missing: int
    bounded: int
    late: int

    @property
    def missing_share(self) -> float | None:
        return self.missing / self.features if self.features else None

    @property
    def late_share(self) -> float | None:
        return self.late / self.bounded if self.bounded else None


def services_of(reports: Sequence[Report]) -> list[ServiceFigures]:
    """Every feature service that was read, the busiest first."""
    found: dict[tuple[str, str], ServiceFigures] = {}

    def of(workspace: str, name: str) -> ServiceFigures:
        return found.setdefault((workspace, name), ServiceFigures(workspace, name))

    for series in summed(reports, f"{PREFIX}read_duration_seconds"):
        door, workspace, name, outcome = series.labels
        service, count = of(workspace, name), sum(series.counts)
        service.reads[outcome] += count
        service.doors[door] += count
        service.latencies = [mine + its for mine, its in zip(service.latencies, series.counts, strict=True)]
    for series in summed(reports, f"{PREFIX}views_total"):
        of(*series.labels[:2]).views[series.labels[2]] += int(series.value)
    for series in summed(reports, f"{PREFIX}read_errors_total"):
        of(*series.labels[1:3]).errors[series.labels[3], series.labels[4]] += int(series.value)
    for series in summed(reports, f"{PREFIX}rows_total"):
        of(*series.labels[1:3]).rows += int(series.value)
    found.pop(_UNKNOWN, None)
    return sorted(found.values(), key=lambda one: (-one.total, one.workspace, one.name))


def views_of(reports: Sequence[Report], workspace: str) -> dict[str, ViewFigures]:
    """The views of a workspace that were served, by name."""
    told: dict[str, dict[str, Series]] = {}
    names = ("value_age_seconds", "value_effective_age_seconds", "sampled_features_total", "sampled_features_missing_total")
    for name in (*names, "freshness_values_total", "freshness_values_late_total"):
        for series in summed(reports, PREFIX + name):
            if series.labels[0] == workspace:
                told.setdefault(series.labels[1], {})[name] = series

    def number(of: Mapping[str, Series], name: str) -> int:
        return int(of[name].value) if name in of else 0

    return {
        view: ViewFigures(
            _ages(of.get("value_age_seconds")),
            _ages(of.get("value_effective_age_seconds")),
            number(of, "sampled_features_total"),
            number(of, "sampled_features_missing_total"),
            number(of, "freshness_values_total"),
            number(of, "freshness_values_late_total"),
        )
        for view, of in told.items()
    }


def _ages(series: Series | None) -> Sequence[float | None]:
    return [None, None] if series is None else [quantile(AGES_S, series.counts, share) for share in (0.5, 0.95)]


@dataclass(frozen=True, slots=True)
class HouseFigures:
    """The gateway beside its reads, over all workers; gauges that are no amounts are the worst of them."""

    cache_bytes: float
    cache_max_bytes: float
    fragments: float
    evictions: float
    flights: float
    guard_open: int
    guard_limit: float
    guard_under_way: float
    guard_queued: float
    guard: Mapping[str, float]
    connections: float
    workers: Sequence["WorkerFigures"]


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    number: int
    age_s: float
    reads: int
    lag_recent_ms: float
    lag_max_ms: float
    cache_bytes: float
    resident_bytes: float


_GUARD = ("guard_calls", "guard_retries", "guard_hedges", "guard_hedges_won", "guard_opened", "guard_resting", "guard_paused")
_SHED = ("guard_shed_high", "guard_shed_normal", "guard_shed_low")


def house_of(reports: Sequence[Report], now_s: float) -> HouseFigures:
    guard = {name.removeprefix("guard_"): amount(reports, f"{name}_total") for name in _GUARD}
    return HouseFigures(
        amount(reports, "cache_bytes"),
        amount(reports, "cache_max_bytes"),
        amount(reports, "cache_fragments"),
        amount(reports, "cache_evictions_total"),
        amount(reports, "flights"),
        sum(_gauge(one, f"{PREFIX}guard_open") > 0 for one in reports),
        amount(reports, "guard_limit"),
        amount(reports, "guard_under_way"),
        amount(reports, "guard_queued"),
        guard | {"shed": sum(amount(reports, f"{name}_total") for name in _SHED)},
        amount(reports, "connections"),
        [_worker(one, now_s) for one in sorted(reports, key=lambda one: one.worker)],
    )


def _worker(report: Report, now_s: float) -> WorkerFigures:
    return WorkerFigures(
        report.worker,
        now_s - _gauge(report, "process_start_time_seconds", now_s),
        sum(sum(series.counts) for series in report.families.get(f"{PREFIX}read_duration_seconds", ())),
        _gauge(report, f"{PREFIX}event_loop_lag_seconds_recent") * 1000,
        _gauge(report, f"{PREFIX}event_loop_lag_seconds_max") * 1000,
        _gauge(report, f"{PREFIX}cache_bytes"),
        _gauge(report, "process_resident_memory_bytes"),
    )


def _gauge(report: Report, name: str, missing: float = 0.0) -> float:
    return next((series.value for series in report.families.get(name, ())), missing)


def recent_errors(reports: Iterable[Report]) -> list[tuple[int, ErrorNote]]:
    """The last error replies of all workers, the newest first, each with its worker."""
    noted = [(report.worker, note) for report in reports for note in report.recent]
    return sorted(noted, key=lambda one: -one[1].at_s)
