"""What the sketches promise: estimates within the stated error, one estimate for one set of values, states that stay small."""

from bisect import bisect_left, bisect_right
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feature_server.sketches import DistinctSketch, PercentileSketch, estimate_distinct, estimate_percentile


def distinct_state(sketch: DistinctSketch, values: list[Any]) -> bytes:
    state: Any = None
    for value in values:
        state = sketch.add(state, value)
    packed = sketch.pack(state)
    assert isinstance(packed, bytes)
    return packed


def percentile_state(sketch: PercentileSketch, values: list[float]) -> bytes:
    state: Any = None
    for value in values:
        state = sketch.add(state, value)
    packed = sketch.pack(state)
    assert isinstance(packed, bytes)
    return packed


@settings(max_examples=100, deadline=None)
@given(
    precision=st.integers(4, 12),
    values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=400),
    parts=st.integers(1, 7),
    chance=st.randoms(use_true_random=False),
)
def test_one_set_of_values_has_one_estimate(precision: int, values: list[int], parts: int, chance: Random) -> None:
    sketch = DistinctSketch(precision)
    whole = estimate_distinct(sketch.merge([distinct_state(sketch, values)]))
    again = values + chance.sample(values, len(values) // 2)
    chance.shuffle(again)
    tiles = [distinct_state(sketch, again[part::parts]) for part in range(parts) if again[part::parts]]
    assert estimate_distinct(sketch.merge(tiles)) == whole
    nested = sketch.merge([sketch.merge(tiles[:1]), *tiles[1:]])
    assert estimate_distinct(nested) == whole
    assert estimate_distinct(sketch.merge([sketch.pack(nested)])) == whole


@pytest.mark.parametrize("precision", [4, 6, 8, 10, 12, 16])
@pytest.mark.parametrize("count", [1, 10, 100, 1_000, 20_000])
def test_estimates_of_distinct_values_lie_within_the_stated_error(precision: int, count: int) -> None:
    """The library's hash has a fixed seed, and so have these values: what passes once passes always."""
    sketch = DistinctSketch(precision)
    errors = []
    for start in range(5):
        values = [f"user-{start}-{number}" for number in range(count)]
        tiles = [distinct_state(sketch, values[part : part + 1_000]) for part in range(0, count, 1_000)]
        errors.append(estimate_distinct(sketch.merge(tiles)) / count - 1)
    stated = 1.04 / 2 ** (precision / 2)
    assert max(abs(error) for error in errors) <= 3 * stated
    if count <= 2**precision / 16:
        assert errors == [0] * 5


@pytest.mark.parametrize(
    "values",
    [
        ["", " ", "a", "a\0", "a\0b", "ä", "🛫"],
        [-(2**63), -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1],
        [0.0, 1.0, 1.5, -1.5, 5e-324, 1.7976931348623157e308],
        [False, True],
    ],
)
def test_values_that_differ_are_counted_apart_and_equal_ones_once(values: list[Any]) -> None:
    sketch = DistinctSketch(8)
    assert estimate_distinct(sketch.merge([distinct_state(sketch, values + values)])) == len(values)
    for value in values:
        assert estimate_distinct(sketch.merge([distinct_state(sketch, [value]), distinct_state(sketch, [value])])) == 1


def test_the_two_zeros_are_one_value() -> None:
    sketch = DistinctSketch(8)
    assert distinct_state(sketch, [0.0]) == distinct_state(sketch, [-0.0])


def test_adding_goes_on_from_a_packed_state_and_from_a_merged_one() -> None:
    sketch, quantiles = DistinctSketch(8), PercentileSketch(100)
    state: Any = None
    numbers: Any = None
    for value in range(60):
        state = sketch.pack(sketch.add(state, value)) if value % 2 else sketch.add(state, value)
        numbers = quantiles.pack(quantiles.add(numbers, value)) if value % 2 else quantiles.add(numbers, value)
    whole = estimate_distinct(sketch.merge([distinct_state(sketch, list(range(60)))]))
    assert estimate_distinct(sketch.merge([state])) == whole
    merged = sketch.add(sketch.merge([distinct_state(sketch, list(range(59)))]), 59)
    assert estimate_distinct(sketch.merge([sketch.pack(merged)])) == whole
    assert [estimate_percentile(numbers, rank) for rank in (0.0, 0.5, 1.0)] == [0.0, 29.0, 59.0]


@pytest.mark.parametrize(("precision", "stated"), [(20, 0.064), (100, 0.0134), (500, 0.0028)])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "few values"])
def test_percentiles_lie_within_the_stated_rank_error(precision: int, stated: float, order: str) -> None:
    """The library draws lots, and three times an error that 99% of sketches keep, 7.7 standard deviations, is never seen."""
    chance = Random(precision)
    values = [chance.gauss(0, 1) for _ in range(20_000)]
    if order == "few values":
        values = [float(round(value)) for value in values]
    elif order != "random":
        values.sort(reverse=order == "falling")
    sketch = PercentileSketch(precision)
    merged = sketch.merge([percentile_state(sketch, values[part : part + 400]) for part in range(0, len(values), 400)])
    ordered = sorted(values)
    for percentile in (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999):
        value = estimate_percentile(merged, percentile)
        least, most = bisect_left(ordered, value) / len(ordered), bisect_right(ordered, value) / len(ordered)
        assert least - 3 * stated <= percentile <= most + 3 * stated
    assert (estimate_percentile(merged, 0.0), estimate_percentile(merged, 1.0)) == (ordered[0], ordered[-1])


def test_states_stay_small() -> None:
    distinct, percentile = DistinctSketch(8), PercentileSketch(100)
    for count, distinct_bytes, percentile_bytes in ((3, 20, 64), (20_000, 200, 5_000)):
        assert len(distinct_state(distinct, list(range(count)))) <= distinct_bytes
        assert len(percentile_state(percentile, [float(number) for number in range(count)])) <= percentile_bytes
    merged = distinct.pack(distinct.merge([distinct_state(distinct, list(range(start, start + 900))) for start in range(0, 9_000, 900)]))
    assert merged is not None
    assert len(merged) <= 200


def test_only_those_who_want_a_sketch_load_the_library() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from gateway.feature_server.functions import Parameters, accumulator;"
        "accumulator('moments', Parameters()); before = 'numpy' in sys.modules;"
        "accumulator('distinct_sketch', Parameters()); print(before, 'datasketches' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["False", "True"]
    assert told.stderr == ""
