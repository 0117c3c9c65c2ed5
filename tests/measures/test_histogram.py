"""Histograms: every value in its bucket, as Prometheus has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measures.histogram import AGES_S, DURATIONS_S, ROWS, Histogram


@pytest.mark.parametrize("bounds", [DURATIONS_S, AGES_S, ROWS])
@given(values=st.lists(st.floats(0, 1e7)))
def test_every_value_is_in_the_first_bucket_that_holds_it(bounds: tuple[float, ...], values: list[float]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.note(value)
    for index, bound in enumerate(bounds):
        assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))


def test_the_newest_example_of_a_bucket_is_kept() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.mark(0.5, "a", 1.0)
    histogram.mark(0.7, "b", 2.0)
    histogram.mark(3.0, "c", 3.0)
    assert {index: one.trace_id for index, one in histogram.exemplars.items()} == {0: "b", 2: "c"}


def test_one_can_be_added_to_another() -> None:
    one, other = Histogram((1.0,)), Histogram((1.0,))
    one.note(0.5)
    other.note(3.0)
    one.add(other)
    assert (one.counts, one.total) == ([1, 1], 3.5)
