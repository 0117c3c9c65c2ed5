"""Windows against a model that reads raw events, and the edges that decide them."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feature_server.definitions import Aggregation, FeatureView
from gateway.feature_server.functions import FUNCTIONS
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.windows import Wanted, WindowPlan, plan_windows
from tests.feature_server.model import aggregate, in_window

INTERVAL_S = 10
WINDOWS_S = (10, 20, 50, 200)
COLUMNS = ("at", "number", "word")
AGGREGATIONS = tuple(
    Aggregation(column, function, window_s, n=4 if FUNCTIONS[function].takes_n else None)
    for window_s in WINDOWS_S
    for column, functions in (("number", FUNCTIONS), ("word", ("count", "last", "last_n", "count_distinct")))
    for function in functions
)
VIEW = FeatureView("view", "source", (), AGGREGATIONS, INTERVAL_S)
PLAN = plan_windows(
    INTERVAL_S,
    [Wanted(COLUMNS.index(one.column), FUNCTIONS[one.function], one.window_s // INTERVAL_S, one.n or 1) for one in AGGREGATIONS],
)
EDGES = st.integers(-30, 30).map(lambda tile: tile * INTERVAL_S * NS_PER_S)
INSTANTS = EDGES | st.builds(lambda edge, off: edge + off, EDGES, st.integers(-2, 2)) | st.integers(-300 * NS_PER_S, 300 * NS_PER_S)
EVENTS = st.lists(
    st.tuples(INSTANTS, st.none() | st.integers(-(10**6), 10**6), st.none() | st.sampled_from(["a", "b", "c", "d", "e", "f"])), max_size=60
)
Event = tuple[int, int | None, str | None]


def tiled(plan: WindowPlan, events: list[Event], end_tile: int) -> list[Any]:
    """Into tiles in the order given, through storage, and read back at the start of `end_tile`."""
    tiles: dict[int, list[Any]] = {}
    for index, event in enumerate(events):
        plan.add(tiles.setdefault(plan.tile_of(event[0]), plan.empty()), event[0], b"%06d" % index, event)
    newest_first = sorted((tile for tile in tiles if end_tile - plan.horizon_tiles <= tile < end_tile), reverse=True)
    states = [msgspec.msgpack.decode(msgspec.msgpack.encode(tiles[tile])) for tile in newest_first]
    return plan.values(end_tile, newest_first, states)


@settings(max_examples=400, deadline=None)
@given(EVENTS, INSTANTS)
def test_windows_are_what_the_raw_events_say(events: list[Event], at_ns: int) -> None:
    ordered = [dict(zip(COLUMNS, event, strict=True)) for event in sorted(events, key=lambda event: event[0])]
    found = tiled(PLAN, events, PLAN.tile_of(at_ns))
    for aggregation, value in zip(AGGREGATIONS, found, strict=True):
        expected = aggregate(in_window(ordered, VIEW, aggregation.window_s, {}, at_ns, "at"), aggregation)
        assert value == expected or (isinstance(expected, float) and math.isclose(value, expected)), aggregation


@pytest.mark.parametrize(
    ("at_ns", "inside"),
    [(-1, 0), (0, 0), (10 * NS_PER_S - 1, 0), (10 * NS_PER_S, 1), (60 * NS_PER_S - 1, 1), (60 * NS_PER_S, 0)],
)
def test_an_event_on_an_edge_is_in_the_tile_that_begins_there(at_ns: int, inside: int) -> None:
    plan = plan_windows(INTERVAL_S, [Wanted(1, FUNCTIONS["count"], 5)])
    assert tiled(plan, [(0, 7, None)], plan.tile_of(at_ns)) == [inside or None]


def test_states_are_shared_between_functions_and_windows() -> None:
    wanted = [Wanted(1, FUNCTIONS[name], tiles) for name in ("mean", "sum", "count") for tiles in (1, 6)]
    plan = plan_windows(INTERVAL_S, wanted)
    assert [slot.key for slot in plan.slots] == ["sum(1,1)", "count(1,1)"]
    assert plan.reaches == ((1, 6), (1, 6))


def test_a_column_that_is_always_null_is_no_data_even_for_counts() -> None:
    assert set(tiled(PLAN, [(5, None, None)], 1)) == {None}
