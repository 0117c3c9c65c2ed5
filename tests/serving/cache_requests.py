"""Reads of the cache machine, as bodies for the four doors and as the judge knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.features import ReadOptions
from tests.serving.cache_replies import Read
from tests.serving.cache_world import Row, Service

INCLUDE = ("status", "effectiveTime", "ageSeconds", "source", "dataType")
METADATA = {
    "names": "includeNames",
    "effectiveTime": "includeEffectiveTimes",
    "dataType": "includeDataTypes",
    "status": "includeServingStatus",
}
_OPTIONS = {
    "readFromCache": "read_from_cache",
    "writeToCache": "write_to_cache",
    "coerceNullCountsToZero": "coerce_null_counts_to_zero",
    "ignoreExtraRequestContextFields": "ignore_extra_request_context_fields",
    "aggregationLeadingEdge": "aggregation_leading_edge",
    "highWatermarkOverride": "high_watermark_override",
    "latencyBudgetMs": "latency_budget_ms",
}


@dataclass(frozen=True, slots=True)
class Who:
    """Which features of which rows, for whom."""

    service: Service
    caller: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class How:
    """`told`: all, some or none of what a door tells beside values, or with it labels or SLO info. `options` and `partial` are the Tecton
    doors', `max_age_ms`, `deadline_ms` and `selectors` the named ones'. `as_text`: int64 keys as strings."""

    door: str = "named_batch"
    told: str = "all"
    options: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    max_age_ms: int | None = None
    deadline_ms: int | None = None
    selectors: Sequence[str] | None = None
    as_text: bool = False


def request(who: Who, how: How) -> tuple[Read, dict[str, Any]]:
    """The read, and its body."""
    rows = who.rows if how.door.endswith("batch") else who.rows[:1]
    return _tecton(who, rows, how) if how.door.startswith("tecton") else _named(who, rows, how)


def _tecton(who: Who, rows: Sequence[Row], how: How) -> tuple[Read, dict[str, Any]]:
    shown = {"some": {name: METADATA[name] for name in ("status", "names")}, "none": {}}.get(how.told, METADATA)
    more = {"labels": {"includeFeatureDescriptions": True}, "slo": {"includeSloInfo": True}}.get(how.told, {})
    metadata = dict.fromkeys(shown.values(), True) | more
    ref = who.service.ref
    params: dict[str, Any] = {"workspaceName": ref.workspace, "featureServiceName": ref.name}
    params |= {"metadataOptions": metadata} if metadata else {}
    params |= {"requestOptions": how.options} if how.options else {}
    params |= {"allowPartialResults": True} if how.partial else {}
    items = [{"joinKeyMap": _join_keys(who.service, row, as_text=how.as_text), "requestContextMap": {"amount": row[2]}} for row in rows]
    params |= {"requestData": items} if how.door == "tecton_batch" else items[0]
    budget_ms = how.options.get("latencyBudgetMs")
    read = Read(
        how.door,
        who.service,
        who.caller,
        b"",
        rows,
        frozenset([*shown, *(["labels"] if how.told == "labels" else [])]),
        ReadOptions(**{_OPTIONS[name]: value for name, value in how.options.items()}, allow_partial_results=how.partial),
        budget_s=None if budget_ms is None else budget_ms / 1000,
        slo=how.told == "slo" or how.door == "tecton_batch",
    )
    return read, {"params": params}


def _named(who: Who, rows: Sequence[Row], how: How) -> tuple[Read, dict[str, Any]]:
    include = {"some": ["source", "ageSeconds"], "none": []}.get(how.told, list(INCLUDE))
    body: dict[str, Any] = {"include": include} if include else {}
    body |= {"maxAgeMs": how.max_age_ms} if how.max_age_ms is not None else {}
    body |= {"deadlineMs": how.deadline_ms} if how.deadline_ms is not None else {}
    body |= {"features": how.selectors} if how.selectors is not None else {}
    items = [{"joinKeys": _join_keys(who.service, row, as_text=how.as_text), "requestContext": {"amount": row[2]}} for row in rows]
    body |= {"rows": items} if how.door == "named_batch" else items[0]
    read = Read(
        how.door,
        who.service,
        who.caller,
        b"",
        rows,
        frozenset(include),
        selectors=how.selectors,
        max_age_s=None if how.max_age_ms is None else how.max_age_ms / 1000,
        budget_s=None if how.deadline_ms is None else how.deadline_ms / 1000,
    )
    return read, body


def _join_keys(service: Service, row: Row, *, as_text: bool) -> dict[str, Any]:
    given = {"user": row[0], "shop": str(row[1]) if as_text else row[1]}
    return {name: given[name] for name in service.join_keys}
