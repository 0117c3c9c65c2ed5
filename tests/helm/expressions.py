"""PromQL, taken apart: which metrics and labels an expression speaks of, and those that there are."""

from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as promql

from gateway.web.metrics.families import FAMILIES

SCRAPED = frozenset({"job", "instance", "pod", "node", "namespace", "worker"})
"""Labels that Prometheus, or several workers, add to any series."""
OURS = {"up": frozenset[str](), "ALERTS": frozenset({"alertname", "alertstate", "severity"})}
"""Metrics that Prometheus makes itself."""


def parts(expression: Any) -> Iterator[Any]:
    """An expression and all in it."""
    yield expression
    for name in ("lhs", "rhs", "expr", "param", "args", "vector_selector"):
        inner = getattr(expression, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None:
                yield from parts(one)


def selectors(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each metric that is spoken of, and what its labels must be. Raises ValueError for what is no PromQL."""
    for part in parts(promql.parse(text)):
        if isinstance(part, promql.VectorSelector):
            yield part.name or "", {matcher.name: matcher.value for matcher in part.matchers.matchers}


def labels_named(text: str) -> set[str]:
    """The labels that aggregations and matchings name."""
    found: set[str] = set()
    for part in parts(promql.parse(text)):
        modifier = getattr(part, "modifier", None)
        for one in (modifier, getattr(modifier, "matching", None)):
            found |= set(getattr(one, "labels", None) or [])
    return found


def series() -> dict[str, frozenset[str]]:
    """Every series that a gateway tells, with its labels."""
    told: dict[str, frozenset[str]] = {}
    for name, about in FAMILIES.items():
        labels = frozenset(about.labels)
        if about.bounds:
            told |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            told[name] = labels
    return told
