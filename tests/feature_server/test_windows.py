"""Windows and attributes against a model that reads raw events, and the edges that decide them."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feature_server.functions import FUNCTIONS, Parameters
from gateway.feature_server.online.base import Kind, Rows
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.windows import BLOCK_TILES, NewestPlan, ViewPlan, Wanted, WindowPlan
from gateway.features import Status

Event = tuple[int, int | None, str | None]
"""Timestamp, a number, a word."""
EXACT = ("count", "sum", "mean", "min", "max", "last", "last_n", "first_n", "count_distinct", "last_distinct_n")
INTERVAL_S = 10


def wanted(lengths_s: Sequence[int | None]) -> list[Wanted]:
    return [
        Wanted(1, FUNCTIONS[name], length_s, Parameters(4 if "n" in FUNCTIONS[name].requires else None))
        for length_s in lengths_s
        for name in EXACT
    ]


def model(events: Sequence[Event], name: str, first_ns: int, end_ns: int) -> Any:
    """What the raw events say, the slow way."""
    values = [
        number for at_ns, number, _ in sorted(events, key=lambda event: event[0]) if first_ns <= at_ns < end_ns and number is not None
    ]
    if not values:
        return None
    latest = list(dict.fromkeys(reversed(values)))[:4]
    answers: dict[str, Any] = {
        "count": len(values),
        "sum": sum(values),
        "mean": sum(values) / len(values),
        "min": min(values),
        "max": max(values),
        "last": values[-1],
        "last_n": values[-4:],
        "first_n": values[:4],
        "count_distinct": len(set(values)),
        "last_distinct_n": latest[::-1],
    }
    return answers[name]


class Shelf:
    """A cell kept in dictionaries: what a store would hold of these events for this plan."""

    def __init__(self, plan: ViewPlan, events: Sequence[Event]) -> None:
        self.events = {(event[0], b"%06d" % index): msgspec.msgpack.encode(event) for index, event in enumerate(events)}
        self.tiles: dict[int, bytes] = {}
        for index, event in enumerate(events):
            for tile in plan.tiles_of(event[0]):
                first_ns, end_ns = plan.span_ns(tile)
                assert first_ns <= event[0] < end_ns
                self.tiles[tile] = plan.build(tile, self.tiles.get(tile), [(event[0], b"%06d" % index, event)])

    def rows(self, kind: Kind, first: int, end: int) -> Rows:
        if kind is Kind.TILES:
            return [(tile, self.tiles[tile]) for tile in sorted(self.tiles, reverse=True) if first <= tile < end]
        found = [(moment[0], self.events[moment]) for moment in sorted(self.events, reverse=True) if first <= moment[0] < end]
        return found[:1] if kind is Kind.NEWEST else found


def answer(plan: ViewPlan, events: Sequence[Event], at_ns: int) -> tuple[list[Any], tuple[Status, ...]]:
    shelf = Shelf(plan, events)
    return plan.answer(at_ns, [shelf.rows(*part) for part in plan.parts(at_ns)])


def same(found: Any, expected: Any) -> bool:
    return found == expected or (isinstance(expected, float) and found is not None and math.isclose(found, expected))


SECOND = NS_PER_S
EDGES = st.integers(-30, 30).map(lambda tile: tile * INTERVAL_S * SECOND)
INSTANTS = EDGES | st.builds(lambda edge, off: edge + off, EDGES, st.integers(-2, 2)) | st.integers(-300 * SECOND, 300 * SECOND)
DISTINCT_EVENTS = st.lists(
    st.tuples(INSTANTS, st.none() | st.integers(-9, 9), st.none() | st.sampled_from("abc")), max_size=40, unique_by=lambda event: event[0]
)
WINDOWS_S = (10, 20, 50, 200, None)
PLANS = {
    "interval": (WindowPlan(INTERVAL_S, wanted(WINDOWS_S[:-1])), INTERVAL_S),
    "interval and lifetime": (WindowPlan(INTERVAL_S, wanted(WINDOWS_S)), INTERVAL_S),
    "lifetime alone": (WindowPlan(INTERVAL_S, wanted((None,))), INTERVAL_S),
    "continuous": (WindowPlan(None, wanted((1, 20, 50, 200))), None),
    "continuous, wide grid": (WindowPlan(None, wanted((1, 7, 20, 100_000))), None),
    "continuous and lifetime": (WindowPlan(None, wanted((3, 50, None))), None),
    "continuous lifetime alone": (WindowPlan(None, wanted((None,))), None),
}


@pytest.mark.parametrize("kind", PLANS)
@settings(max_examples=120, deadline=None)
@given(events=DISTINCT_EVENTS, at_ns=INSTANTS, stretch=st.sampled_from([1, BLOCK_TILES // 8]))
def test_windows_are_what_the_raw_events_say(kind: str, events: list[Event], at_ns: int, stretch: int) -> None:
    """`stretch` spreads the same events over several blocks."""
    plan, interval_s = PLANS[kind]
    events = [(event[0] * stretch, *event[1:]) for event in events]
    at_ns *= stretch
    values, statuses = answer(plan, events, at_ns)
    end_ns = at_ns if interval_s is None else at_ns // (interval_s * SECOND) * interval_s * SECOND
    names = [(name, window.length_ns) for window, name in zip(plan.windows, EXACT * len(plan.windows), strict=False)]
    for (name, length_ns), value, status in zip(names, values, statuses, strict=True):
        expected = model(events, name, -(2**63) if length_ns is None else end_ns - length_ns, end_ns)
        assert same(value, expected), (name, length_ns)
        assert status is (Status.MISSING_DATA if expected is None else Status.PRESENT)


@settings(max_examples=200, deadline=None)
@given(DISTINCT_EVENTS, INSTANTS, st.none() | st.integers(1, 100))
def test_attributes_are_the_newest_events(events: list[Event], at_ns: int, ttl_s: int | None) -> None:
    first_ns = -(2**63) if ttl_s is None else at_ns - ttl_s * SECOND
    newest = max((event for event in events if first_ns <= event[0] < at_ns), key=lambda event: event[0], default=None)
    values, statuses = answer(NewestPlan([2, 1], ttl_s), events, at_ns)
    assert values == ([None, None] if newest is None else [newest[2], newest[1]])
    assert set(statuses) == {Status.MISSING_DATA if newest is None else Status.PRESENT}


@pytest.mark.parametrize(
    ("at_ns", "inside"),
    [(-1, 0), (0, 0), (10 * SECOND - 1, 0), (10 * SECOND, 1), (60 * SECOND - 1, 1), (60 * SECOND, 0)],
)
def test_an_event_on_an_edge_is_in_the_tile_that_begins_there(at_ns: int, inside: int) -> None:
    plan = WindowPlan(INTERVAL_S, [Wanted(1, FUNCTIONS["count"], 50)])
    assert answer(plan, [(0, 7, None)], at_ns)[0] == [inside or None]


@pytest.mark.parametrize(("at_ns", "inside"), [(0, 0), (1, 1), (50 * SECOND, 1), (50 * SECOND + 1, 0)])
def test_a_continuous_window_is_half_open_to_the_nanosecond(at_ns: int, inside: int) -> None:
    plan = WindowPlan(None, [Wanted(1, FUNCTIONS["count"], 50)])
    assert answer(plan, [(0, 7, None)], at_ns)[0] == [inside or None]


def test_states_are_shared_between_functions_and_windows() -> None:
    plan = WindowPlan(
        INTERVAL_S, [Wanted(1, FUNCTIONS[name], length_s) for name in ("mean", "sum", "count") for length_s in (10, 60, None)]
    )
    assert [slot.key for slot in plan.slots] == ["sum[1]", "count[1]"]


def test_a_column_that_is_always_null_is_no_data_even_for_counts() -> None:
    for plan, _ in PLANS.values():
        assert set(answer(plan, [(5, None, None)], 10 * SECOND)[0]) == {None}


@pytest.mark.parametrize("plan", [plan for plan, _ in PLANS.values()] + [NewestPlan([1], None)])
@given(INSTANTS)
def test_the_instant_after_an_event_is_the_first_that_sees_it(plan: ViewPlan, at_ns: int) -> None:
    after = plan.after(at_ns)
    assert answer(plan, [(at_ns, 7, "a")], after)[0][0] is not None
    assert answer(plan, [(at_ns, 7, "a")], after - 1)[0][0] is None


@given(st.integers(1, 10**9))
def test_the_grid_of_continuous_windows_keeps_tiles_few(length_s: int) -> None:
    plan = WindowPlan(None, [Wanted(1, FUNCTIONS["count"], length_s)])
    assert plan.grid_s == 86_400 or plan.grid_s * 512 >= length_s


@pytest.mark.parametrize("kind", PLANS)
@given(at_ns=INSTANTS, late_s=st.integers(0, 1_000))
def test_nothing_that_a_read_may_want_is_older_than_what_is_kept(kind: str, at_ns: int, late_s: int) -> None:
    plan, _ = PLANS[kind]
    ttl_s = 300
    oldest_ns = plan.oldest_ns(at_ns, ttl_s)
    assert oldest_ns <= at_ns - ttl_s * SECOND
    assert oldest_ns % (plan.grid_s * SECOND) == 0
    for later_ns in (at_ns, at_ns + late_s * SECOND):
        lengths_ns = [window.length_ns for window in plan.windows if window.length_ns is not None and window.length_ns <= ttl_s * SECOND]
        for length_ns in lengths_ns:
            end_ns = later_ns if plan.interval_s is None else later_ns // (plan.grid_s * SECOND) * plan.grid_s * SECOND
            assert end_ns - length_ns >= oldest_ns
    for tile in plan.tiles_of(at_ns - ttl_s * SECOND):
        assert plan.span_ns(tile)[0] >= oldest_ns
