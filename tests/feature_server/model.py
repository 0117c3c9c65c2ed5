"""What windows mean, said the slow way: raw events, a filter and Python's own sum, max and set. Shares nothing with the engine but the
definitions it reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.feature_server.definitions import Aggregation, FeatureView

NS_PER_S = 1_000_000_000
Event = Mapping[str, Any]
"""A record with its timestamps as nanoseconds since 1970."""


def in_window(
    events: Sequence[Event], view: FeatureView, window_s: int | None, keys: Mapping[str, Any], at_ns: int, timestamp: str
) -> list[Event]:
    """A view's events for one set of join keys within the window that ends at or before `at_ns`."""
    end_ns = at_ns if view.interval_s is None else at_ns - at_ns % (view.interval_s * NS_PER_S)
    first_ns = -(2**63) if window_s is None else end_ns - window_s * NS_PER_S
    wanted = {key: keys[key] for key in view.join_keys}
    return [
        event for event in events if first_ns <= event[timestamp] < end_ns and all(event[key] == value for key, value in wanted.items())
    ]


def aggregate(events: Sequence[Event], aggregation: Aggregation) -> Any:
    """`events` in the order in which they count as latest."""
    values = [event[aggregation.column] for event in events if event[aggregation.column] is not None]
    if not values:
        return None
    match aggregation.function:
        case "count":
            return len(values)
        case "sum":
            return sum(values)
        case "mean":
            return sum(values) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "last":
            return values[-1]
        case "last_n":
            return values[-(aggregation.n or 1) :]
        case "count_distinct":
            return len(set(values))
        case unknown:
            raise AssertionError(unknown)
