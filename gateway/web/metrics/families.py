"""Which families of series there are. The README's table is held to this one by a test, and so is what is told.

Names are whole, as Prometheus has them. With several workers every series has the label `worker` as well.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.counters import MEANINGS, RESULTS
from gateway.hosting.lag import BOUNDS_S
from gateway.measures.families import About, Kind
from gateway.measures.histogram import AGES_S, DURATIONS_S, ROWS

PREFIX = "feature_gateway_"
WORKER = f"{PREFIX}worker"
"""Told by the worker that is asked alone."""

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


def _counter(meaning: str, *labels: str) -> About:
    return About(Kind.COUNTER, meaning, labels)


def _gauge(meaning: str, *labels: str) -> About:
    return About(Kind.GAUGE, meaning, labels)


def _histogram(meaning: str, bounds: tuple[float, ...], *labels: str) -> About:
    return About(Kind.HISTOGRAM, meaning, labels, bounds)


_SERVICE = ("workspace", "feature_service")
_VIEW = ("workspace", "feature_view")
_READS: Mapping[str, About] = {
    "read_duration_seconds": _histogram(
        "Time of a read in the gateway, from its whole request at hand to its reply spelled.", DURATIONS_S, "door", *_SERVICE, "outcome"
    ),
    "read_errors_total": _counter("Reads answered with an error, by fault and HTTP status.", "door", *_SERVICE, "fault", "code"),
    "rows_total": _counter("Rows read.", "door", *_SERVICE),
    "row_errors_total": _counter("Rows of a batch that have an error of their own.", *_SERVICE, "fault"),
    "batch_rows": _histogram("Rows per request of a batch door.", ROWS, "door"),
    "views_total": _counter("Views served, by where they came from.", *_SERVICE, "source"),
    "value_age_seconds": _histogram(
        "Age of served values since the origin was asked for them, of every sixteenth read of a feature service.", AGES_S, *_VIEW
    ),
    "value_effective_age_seconds": _histogram(
        "The same since the oldest effective time that the origin told, where it told one.", AGES_S, *_VIEW
    ),
    "sampled_features_total": _counter("Values served in these reads.", *_VIEW),
    "sampled_features_missing_total": _counter("Of these, those that were missing, unknown or timed out.", *_VIEW),
    "authorizations_total": _counter("Reads by what became of their credential: admitted, unauthenticated, denied.", "result"),
}
_OBJECTIVES = {
    "slo_events_total": _counter("Reads that count for an objective: availability, latency or stale.", *_SERVICE, "slo"),
    "slo_bad_events_total": _counter("Of these, those that broke it.", *_SERVICE, "slo"),
    "slo_objective_ratio": _gauge("The share that is to be good.", *_SERVICE, "slo"),
    "slo_burn_rate": _gauge(
        "Share of bad events in a window, over the share that is allowed; window: 5m, 30m, 1h, 6h or 3d.", *_SERVICE, "slo", "window"
    ),
    "freshness_values_total": _counter("Sampled values of views that have a freshness bound.", *_VIEW),
    "freshness_values_late_total": _counter("Of these, those older than it.", *_VIEW),
    "freshness_objective_ratio": _gauge("The share that is to be fresh.", *_VIEW),
}
_REQUESTS = {
    "request_duration_seconds": _histogram("Time of requests that are no reads, by door and class of status.", DURATIONS_S, "door", "code"),
    "problems_total": _counter("Error replies of all doors, by HTTP status and whose fault it was.", "code", "fault"),
    "origin_duration_seconds": _histogram(
        "Calls to the origin (read, query, metadata, ingest) as the gateway waited for them, retries and hedges included.",
        DURATIONS_S,
        "origin",
        "call",
        "outcome",
    ),
    "ingest_records_total": _counter("Records of ingests: taken, checked (a dry run), refused, or unconfirmed.", "result"),
}
_HOUSE = {
    **{f"{name}_total": _counter(meaning) for name, meaning in MEANINGS.items()},
    **{f"{name}_total": _counter(meaning, "result") for name, (meaning, _) in RESULTS.items()},
    "cache_bytes": _gauge("Bytes of fragments kept, overhead included."),
    "cache_fragments": _gauge("Fragments kept."),
    "cache_max_bytes": _gauge("Bytes of fragments kept at most (cache.max_bytes)."),
    "cache_evictions_total": _counter("Fragments dropped to make room for others."),
    "flights": _gauge("Fragments that are being fetched."),
    "event_loop_lag_seconds": _histogram("By how much a timer of the event loop was missed, ten times a second.", BOUNDS_S),
    "event_loop_lag_seconds_max": _gauge("The most of it, since the start."),
    "event_loop_lag_seconds_recent": _gauge("Its moving average over a few seconds."),
    "guard_open": _gauge("1 while the breaker of reads is open: no call to the origin but probes."),
    "guard_limit": _gauge("Calls to the origin that may be under way now; 0: there is no limit."),
    "guard_under_way": _gauge("Of these, those that are."),
    "guard_queued": _gauge("Calls that wait for one of them to end."),
    "connections": _gauge("Open connections."),
    "access_store_up": _gauge("1 where the store of who may do what could be read when it was last asked. Only where there is one."),
    "access_copy_age_seconds": _gauge("Age of the copy of it that counts. Only where there is one."),
    "worker": _gauge("Number of the worker that answers this scrape; 1 where it is alone."),
    "build_info": _gauge("1; the labels say what runs.", "version", "python", "origin"),
}
_PROCESS = {
    "process_virtual_memory_bytes": _gauge("Virtual memory size in bytes."),
    "process_resident_memory_bytes": _gauge("Resident memory size in bytes."),
    "process_start_time_seconds": _gauge("Start time of the process since unix epoch in seconds."),
    "process_cpu_seconds_total": _counter("Total user and system CPU time spent in seconds."),
    "process_open_fds": _gauge("Number of open file descriptors."),
    "process_max_fds": _gauge("Maximum number of open file descriptors."),
}

FAMILIES: Mapping[str, About] = MappingProxyType(
    {f"{PREFIX}{name}": about for name, about in {**_READS, **_OBJECTIVES, **_REQUESTS, **_HOUSE}.items()} | _PROCESS
)
"""In the order in which they are told."""
