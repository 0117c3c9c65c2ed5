"""What the gateway counts, in plain integers: added to where it happens, read when somebody looks. One object per process and house.

A counter only grows. What each means is said once, here; `web` tells them under these names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "lean_reads": "Reads fetched on the lean road: asked and answered without a task.",
        "lean_reads_left": "Of these, those that had to leave it: the origin failed, was too late, or did not answer whole.",
        "refreshes": "Fetches begun in the background: before the end of a fragment that is read, or for a stale one.",
        "refreshes_failed": "Of these, those that failed.",
        "purges": "Purges asked for on the purge doors.",
        "ingest_purges": "Acknowledged ingests whose keys were dropped from the cache.",
        "purged_fragments": "Fragments dropped or made stale by either.",
        "on_demand_checks": "On-demand views computed and compared with the origin's own answer.",
        "on_demand_mismatches": "Of these, those that differed: the gateway stops computing the view.",
        "forwarded_calls": "Calls passed on to the cluster's other endpoints.",
        "forwarded_failures": "Of these, those that the cluster did not answer, or not to the end, in time.",
        "shared_hits": "Fragments found in the shared cache.",
        "shared_misses": "Fragments looked for in the shared cache and not found.",
        "shared_unanswered": "Of these, those that nothing could be learnt of: the call failed or was late, or too many had lately.",
        "shared_failures": "Calls to the shared cache that failed or were late.",
        "shared_drops": "Fragments not offered to the shared cache: too many were waiting, or it does not answer.",
        "sibling_failures": "Purges and ingests that another worker of this gateway did not confirm in time.",
        "reports_missed": "Other workers' metrics that a scrape went without: they did not tell them in time.",
        "refused_connections": "Connections closed at once because there were too many.",
        "refused_requests": "Requests whose framing or size was refused; each ends its connection.",
        "late_requests": "Requests that did not come in within their time; each ends its connection.",
        "unread_replies": "Connections cut because their client did not read.",
        "guard_calls": "Calls to the origin that its guard was asked for.",
        "guard_retries": "Attempts made again after one that failed.",
        "guard_hedges": "Second attempts beside one that was late.",
        "guard_hedges_won": "Of these, those whose answer was taken.",
        "guard_budget_exhausted": "Retries and hedges left out because they would have been too many.",
        "guard_shed_high": "Calls of high priority refused: too many were under way and waiting.",
        "guard_shed_normal": "The same of normal priority.",
        "guard_shed_low": "The same of low priority; refreshes in the background are.",
        "guard_opened": "How often the breaker opened: too many calls failed.",
        "guard_resting": "Calls refused while it was open.",
        "guard_paused": "Calls refused until the time that the origin's Retry-After named.",
    }
)
RESULTS: Mapping[str, tuple[str, Sequence[str]]] = MappingProxyType(
    {
        "spans": ("Spans: exported, dropped because too many were waiting, or failed to be taken.", ("exported", "dropped", "failed")),
        "settings_reloads": ("Reloads of the settings: applied, or refused because of mistakes.", ("applied", "refused")),
    }
)
"""Counters that are told as one, with the label `result`: what each means, and the results. `spans_dropped` is one of them."""


@dataclass(slots=True)
class Counters:
    """See `MEANINGS` and `RESULTS`."""

    lean_reads: int = 0
    lean_reads_left: int = 0
    refreshes: int = 0
    refreshes_failed: int = 0
    purges: int = 0
    ingest_purges: int = 0
    purged_fragments: int = 0
    on_demand_checks: int = 0
    on_demand_mismatches: int = 0
    forwarded_calls: int = 0
    forwarded_failures: int = 0
    shared_hits: int = 0
    shared_misses: int = 0
    shared_unanswered: int = 0
    shared_failures: int = 0
    shared_drops: int = 0
    sibling_failures: int = 0
    reports_missed: int = 0
    refused_connections: int = 0
    refused_requests: int = 0
    late_requests: int = 0
    unread_replies: int = 0
    guard_calls: int = 0
    guard_retries: int = 0
    guard_hedges: int = 0
    guard_hedges_won: int = 0
    guard_budget_exhausted: int = 0
    guard_shed_high: int = 0
    guard_shed_normal: int = 0
    guard_shed_low: int = 0
    guard_opened: int = 0
    guard_resting: int = 0
    guard_paused: int = 0
    spans_exported: int = 0
    spans_dropped: int = 0
    spans_failed: int = 0
    settings_reloads_applied: int = 0
    settings_reloads_refused: int = 0
