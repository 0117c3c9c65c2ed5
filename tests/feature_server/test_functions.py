"""Every function against a model that sees all events at once: whatever the tiles, the order of arrival and what was stored between."""

import math
import statistics
from collections.abc import Callable, Sequence
from copy import deepcopy
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feature_server.functions import FUNCTIONS, Accumulator, Function, Observation, Parameters, State, accumulator, state_key
from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, DataType, Kind

INT64_RANGE = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    INT64: INT64_RANGE | st.integers(-3, 3),
    FLOAT64: st.floats(-1e150, 1e150) | st.sampled_from([0.0, -0.0, 1.0, 1.5, 1e9, 1e9 + 1e-3]),
    STRING: st.text(max_size=3) | st.sampled_from(["", "a", "b", "\0"]),
    BOOLEAN: st.booleans(),
    TIMESTAMP: INT64_RANGE,
}
CASES = [
    pytest.param(name, dtype, id=f"{name}-{dtype}")
    for name, function in FUNCTIONS.items()
    for dtype in VALUES
    if dtype.kind in function.applies_to
]
EPSILON = 2.0**-52
Tile = list[Observation]


@st.composite
def given_parameters(draw: st.DrawFn, function: Function) -> Parameters:
    return Parameters(
        n=draw(st.integers(1, 5)) if "n" in function.takes else None,
        percentile=draw(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 0.9, 1.0])) if "percentile" in function.takes else None,
        precision=None,
    )


@st.composite
def arrivals(draw: st.DrawFn, dtype: DataType) -> list[Observation]:
    """Events in the order of their arrival; their times say nothing about it. Many share a time, and their identities tell them apart."""
    seen = draw(st.lists(st.tuples(st.integers(-20, 20), st.sampled_from([b"", b"a", b"b"])), min_size=1, max_size=20, unique=True))
    return [Observation(at_ns, identity, draw(VALUES[dtype])) for at_ns, identity in seen]


def in_tiles(events: Sequence[Observation], length_ns: int) -> list[Tile]:
    """Newest first."""
    tiles: dict[int, Tile] = {}
    for one in events:
        tiles.setdefault(one.at_ns // length_ns, []).append(one)
    return [tiles[number] for number in sorted(tiles, reverse=True)]


def stored(kept: Accumulator, state: State) -> State:
    """Written and read again: what msgpack cannot carry fails here."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(kept.freeze(state)))


def fold(kept: Accumulator, tile: Sequence[Observation], store: Callable[[], bool]) -> State:
    state: State = None
    for one in tile:
        state = kept.add(state, one)
        if store():
            state = stored(kept, state)
    return state


def merge_nested(kept: Accumulator, states: Sequence[State], cuts: Sequence[int]) -> State:
    """As windows that nest do: a longer window is the shorter one's state and the tiles it has not."""
    state: State = None
    for first, end in zip([0, *cuts], [*cuts, len(states)], strict=True):
        older = list(states[first:end])
        if older:
            state = kept.merge(older if state is None else [state, *older])
    return state


def value_of(name: str, parameters: Parameters, states_of: Callable[[Accumulator], State]) -> Any:
    function = FUNCTIONS[name]
    return function.finish([states_of(accumulator(one, parameters)) for one in function.accumulators], parameters)


# The model: all values of a window, oldest first.


def int64_or_none(number: int) -> int | None:
    return number if -(2**63) <= number < 2**63 else None


def spread(values: list[Any], fewer: int) -> float | None:
    """Exact until the last step."""
    if len(values) <= fewer:
        return None
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return float(sum((one - mean) ** 2 for one in exact) / (len(exact) - fewer))


def root(number: float | None) -> float | None:
    return None if number is None else math.sqrt(number)


def first_of_each(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]


def nearest_rank(values: list[Any], percentile: float) -> float:
    return float(sorted(values)[max(math.ceil(percentile * len(values)), 1) - 1])


MODEL: dict[str, Callable[[list[Any], Any], Any]] = {
    "count": lambda values, _: len(values),
    "sum": lambda values, _: int64_or_none(sum(values)) if isinstance(values[0], int) else math.fsum(values),
    "mean": lambda values, _: float(sum(Fraction(value) for value in values) / len(values)),
    "min": lambda values, _: min(values),
    "max": lambda values, _: max(values),
    "stddev_samp": lambda values, _: root(spread(values, 1)),
    "stddev_pop": lambda values, _: root(spread(values, 0)),
    "var_samp": lambda values, _: spread(values, 1),
    "var_pop": lambda values, _: spread(values, 0),
    "first": lambda values, _: values[0],
    "last": lambda values, _: values[-1],
    "first_n": lambda values, given: values[: given.n],
    "last_n": lambda values, given: values[-given.n :],
    "first_distinct_n": lambda values, given: first_of_each(values)[: given.n],
    "last_distinct_n": lambda values, given: first_of_each(values[::-1])[: given.n][::-1],
    "count_distinct": lambda values, _: len(first_of_each(values)),
    "approx_count_distinct": lambda values, _: len(first_of_each(values)),
    "approx_percentile": lambda values, given: nearest_rank(values, given.percentile),
}


def tolerance(name: str, values: list[Any]) -> float:
    """How far float64 arithmetic may lead from the exact result: some roundings of the largest thing summed."""
    if not isinstance(values[0], float):
        return 4 * EPSILON * abs(MODEL[name](values, Parameters()) or 0) if name.startswith("stddev") else 0.0
    size, norm = len(values), math.sqrt(math.fsum(value * value for value in values))
    if name in {"sum", "mean"}:
        return 4 * size * EPSILON * math.fsum(abs(value) for value in values)
    # Chan, Golub and LeVeque bound the relative error by the condition number, norm / √(sum of squared differences), times n times epsilon
    squares = (spread(values, 0) or 0) * size
    slack = 32 * size * EPSILON * (squares + norm * math.sqrt(squares) + size * EPSILON * norm * norm)
    return math.sqrt(slack) if name.startswith("stddev") else slack


def test_the_model_knows_every_function() -> None:
    assert MODEL.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize(("name", "dtype"), CASES)
@settings(max_examples=15, deadline=None)  # for each function and type, which makes a thousand
@given(data=st.data())
def test_any_tiles_in_any_order_of_arrival_give_what_all_events_at_once_give(name: str, dtype: DataType, data: st.DataObject) -> None:
    parameters = data.draw(given_parameters(FUNCTIONS[name]))
    events = data.draw(arrivals(dtype))
    tiles = in_tiles(events, data.draw(st.integers(1, 50)))
    chance = data.draw(st.randoms(use_true_random=False))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(tiles)), max_size=3)))

    def states_of(kept: Accumulator) -> State:
        states = [fold(kept, tile, lambda: chance.random() < 0.3) for tile in tiles]
        states = [stored(kept, state) if chance.random() < 0.5 else state for state in states]
        return merge_nested(kept, states, cuts)

    values = [one.value for one in sorted(events, key=lambda one: (one.at_ns, one.identity))]
    got, wanted = value_of(name, parameters, states_of), MODEL[name](values, parameters)
    if isinstance(wanted, float) and (slack := tolerance(name, values)):
        assert isinstance(got, float)
        assert abs(got - wanted) <= slack
    else:
        assert got == wanted
        if name.startswith(("first", "last")):
            assert repr(got) == repr(wanted)  # of the two zeros, that of the value's own event
    assert FUNCTIONS[name].result(dtype).kind in kinds_of(got)


def kinds_of(value: Any) -> set[Kind]:
    """What a value may be served as: booleans are no integers."""
    if isinstance(value, list):
        return {Kind.ARRAY}
    if value is None:
        return set(Kind)
    return {bool: {Kind.BOOLEAN}, int: {Kind.INT64, Kind.TIMESTAMP}, float: {Kind.FLOAT64}, str: {Kind.STRING}}[type(value)]


@pytest.mark.parametrize(("name", "dtype"), CASES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_merging_leaves_what_it_merged_as_it_was_also_when_the_result_grows(name: str, dtype: DataType, data: st.DataObject) -> None:
    tiles = in_tiles(data.draw(arrivals(dtype)), 10)
    newer = [Observation(1_000 + index, b"", data.draw(VALUES[dtype])) for index in range(4)]
    parameters = Parameters(n=3, percentile=0.5)
    for kept in (accumulator(one, parameters) for one in FUNCTIONS[name].accumulators):
        states = [fold(kept, tile, lambda: False) for tile in tiles]
        states[-1] = stored(kept, states[-1])
        before = [deepcopy(kept.freeze(state)) for state in states]
        merged = kept.merge(states)
        once = deepcopy(kept.freeze(merged))
        for one in newer:
            merged = kept.add(merged, one)
        assert [kept.freeze(state) for state in states] == before
        assert kept.freeze(kept.merge(states)) == once


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_frozen_state_stays_as_it_is_and_so_does_none(name: str) -> None:
    for one in FUNCTIONS[name].accumulators:
        kept = accumulator(one, Parameters())
        assert kept.freeze(None) is None
        frozen = stored(kept, kept.add(None, Observation(0, b"", 1)))
        assert kept.freeze(frozen) is frozen


def aggregate(name: str, values: Sequence[Any], parameters: Parameters = Parameters()) -> Any:  # noqa: B008 - immutable
    tiles = in_tiles([Observation(index, b"", value) for index, value in enumerate(values)], 2)
    return value_of(name, parameters, lambda kept: kept.merge([stored(kept, fold(kept, tile, lambda: False)) for tile in tiles]))


def test_a_sum_that_int64_cannot_hold_is_exact_inside_and_no_value_outside() -> None:
    assert aggregate("sum", [2**63 - 1, 2**63 - 1]) is None
    assert aggregate("mean", [2**63 - 1, 2**63 - 1]) == float(2**63 - 1)
    assert aggregate("sum", [2**63 - 1, 2**63 - 1, -(2**63), -(2**63) + 5]) == 3
    assert aggregate("sum", [-(2**63)]) == -(2**63)


def test_moments_of_integers_are_exact_where_floats_would_cancel() -> None:
    values = [2**62, 2**62 + 1, 2**62 + 2, 2**62 + 3]
    assert aggregate("var_pop", values) == 1.25
    assert aggregate("var_samp", values) == 5 / 3
    assert aggregate("stddev_pop", [2**63 - 1, -(2**63)]) == 2.0**63


def test_moments_of_floats_do_not_cancel() -> None:
    values = [1e9 + one for one in (4.0, 7.0, 13.0, 16.0)] * 500
    assert aggregate("var_pop", values) == pytest.approx(22.5, rel=1e-9)
    assert aggregate("stddev_samp", values) == pytest.approx(statistics.stdev(values), rel=1e-9)
    assert aggregate("var_pop", [0.1] * 1_000) == 0.0


@pytest.mark.parametrize("name", ["var_samp", "stddev_samp"])
@pytest.mark.parametrize("value", [7, 7.5])
def test_a_sample_of_one_has_no_deviation(name: str, value: float) -> None:
    assert aggregate(name, [value]) is None
    assert aggregate(name.replace("samp", "pop"), [value]) == 0.0
    assert aggregate(name, [value, value]) == 0.0


@pytest.mark.parametrize("values", [[1e200, -1e200], [1.7e308, -1.7e308], [-1.7e308, 1.0, 1.7e308, 1.7e308]])
def test_a_variance_that_float64_cannot_hold_is_no_value(values: list[float]) -> None:
    assert aggregate("var_pop", values) is None
    assert aggregate("stddev_samp", values) is None


def test_distinct_values_count_at_their_latest_or_earliest_event() -> None:
    seen = ["a", "b", "a", "c", "b", "d", "a"]
    assert aggregate("last_distinct_n", seen, Parameters(n=3)) == ["b", "d", "a"]
    assert aggregate("first_distinct_n", seen, Parameters(n=3)) == ["a", "b", "c"]
    assert aggregate("last_distinct_n", [0.0, 1.0, -0.0], Parameters(n=5)) == [1.0, 0.0]
    assert math.copysign(1, aggregate("last_distinct_n", [0.0, 1.0, -0.0], Parameters(n=5))[1]) == -1


@pytest.mark.parametrize("name", ["first_n", "last_n", "first_distinct_n", "last_distinct_n"])
def test_a_state_holds_no_more_values_than_are_asked_for(name: str) -> None:
    kept = accumulator(FUNCTIONS[name].accumulators[0], Parameters(n=4))
    tiles = in_tiles([Observation(at_ns, b"", at_ns % 9) for at_ns in range(60)], 30)
    states = [fold(kept, tile, lambda: False) for tile in tiles]
    assert [len(state) for state in [*states, kept.merge(states)]] == [4, 4, 4]


def test_ties_in_time_are_broken_by_identity_whatever_the_order_of_arrival() -> None:
    seen = [Observation(5, b"b", "second"), Observation(5, b"a", "first"), Observation(1, b"z", "oldest"), Observation(5, b"c", "first")]
    for order in (seen, seen[::-1]):

        def states_of(kept: Accumulator, order: list[Observation] = order) -> State:
            return kept.merge([fold(kept, order, lambda: False)])

        assert value_of("last_n", Parameters(n=3), states_of) == ["first", "second", "first"]
        assert value_of("last_distinct_n", Parameters(n=3), states_of) == ["oldest", "second", "first"]
        assert value_of("first_distinct_n", Parameters(n=2), states_of) == ["oldest", "first"]
        assert value_of("first_n", Parameters(n=2), states_of) == ["oldest", "first"]


@pytest.mark.parametrize(
    ("name", "parameters", "spelled"),
    [
        ("mean", Parameters(), "mean"),
        ("last", Parameters(), "last"),
        ("last_n", Parameters(n=5), "last_5"),
        ("first_n", Parameters(n=1), "first_1"),
        ("last_distinct_n", Parameters(n=3), "last_distinct_3"),
        ("first_distinct_n", Parameters(n=3), "first_distinct_3"),
        ("approx_count_distinct", Parameters(precision=12), "approx_count_distinct"),
        ("approx_percentile", Parameters(percentile=0.5), "approx_percentile_p0_5"),
        ("approx_percentile", Parameters(percentile=0.999, precision=50), "approx_percentile_p0_999"),
        ("approx_percentile", Parameters(percentile=0), "approx_percentile_p0_0"),
        ("approx_percentile", Parameters(percentile=1.0), "approx_percentile_p1_0"),
        ("approx_percentile", Parameters(percentile=1e-05), "approx_percentile_p0_00001"),
        ("approx_percentile", Parameters(), "approx_percentile"),
    ],
)
def test_functions_are_spelled_as_tecton_spells_them(name: str, parameters: Parameters, spelled: str) -> None:
    assert FUNCTIONS[name].spell(name, parameters) == spelled


def keys(name: str, parameters: Parameters) -> list[str]:
    return [state_key(one, parameters) for one in FUNCTIONS[name].accumulators]


def test_functions_share_the_states_that_are_alike() -> None:
    assert keys("mean", Parameters()) == [*keys("sum", Parameters()), *keys("count", Parameters())]
    assert keys("var_samp", Parameters()) == keys("stddev_pop", Parameters())
    assert keys("last", Parameters()) == keys("last_n", Parameters(n=1)) != keys("last_n", Parameters(n=2))
    assert keys("first", Parameters()) == keys("first_n", Parameters(n=1)) != keys("last", Parameters())
    p50, p99 = Parameters(percentile=0.5), Parameters(percentile=0.99, precision=100)
    assert keys("approx_percentile", p50) == keys("approx_percentile", p99) == ["percentile_sketch(100)"]
    assert keys("approx_percentile", p50) != keys("approx_percentile", p50._replace(precision=200))
    assert keys("approx_count_distinct", Parameters()) == keys("approx_count_distinct", Parameters(precision=8))


@pytest.mark.parametrize(
    ("name", "parameters", "refused"),
    [
        ("sum", Parameters(), []),
        ("sum", Parameters(1, 0.5, 8), [f"the function takes no {name}." for name in Parameters._fields]),
        ("last_n", Parameters(), ["n must be given, from 1 to 1000."]),
        ("last_n", Parameters(n=0), ["n must be from 1 to 1000."]),
        ("last_n", Parameters(n=1_000), []),
        ("last_n", Parameters(n=1_001), ["n must be from 1 to 1000."]),
        ("approx_count_distinct", Parameters(), []),
        ("approx_count_distinct", Parameters(precision=17), ["precision must be from 4 to 16."]),
        ("approx_percentile", Parameters(), ["percentile must be given, from 0 to 1."]),
        ("approx_percentile", Parameters(percentile=math.nan), ["percentile must be from 0 to 1."]),
        ("approx_percentile", Parameters(percentile=1.0, precision=19), ["precision must be from 20 to 1000."]),
        ("approx_percentile", Parameters(percentile=0.0, precision=1_000), []),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name: str, parameters: Parameters, refused: list[str]) -> None:
    assert list(FUNCTIONS[name].refusals(parameters)) == refused


def test_what_functions_take_and_require() -> None:
    assert {name for name, function in FUNCTIONS.items() if function.takes} == {
        "first_n",
        "last_n",
        "first_distinct_n",
        "last_distinct_n",
        "approx_count_distinct",
        "approx_percentile",
    }
    assert FUNCTIONS["approx_percentile"].takes == {"percentile", "precision"}
    assert FUNCTIONS["approx_percentile"].requires == {"percentile"}
    assert not FUNCTIONS["approx_count_distinct"].requires
    assert {name for name, function in FUNCTIONS.items() if function.counts} == {"count", "count_distinct", "approx_count_distinct"}
