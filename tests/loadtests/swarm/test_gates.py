"""Gates, shapes and counts: what makes a run fail, how many users there are when, where features came from."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.swarm.gates import Figures, Gates, percentile
from loadtests.swarm.shapes import SHAPES, Shape, users_at
from loadtests.swarm.tallies import Tally

GOOD = Figures(requests=1_000, errors=1, p99_ms=20.0, cached=90, fetched=10)


def test_what_holds_is_not_told() -> None:
    assert Gates(p99_ms=20.0, error_share=0.001, hit_ratio=0.9).broken(GOOD) == []
    assert Gates().broken(GOOD) == []


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        (Gates(p99_ms=19.9), "p99: 20 ms, at most 19.9 ms are allowed"),
        (Gates(error_share=0.0009), "errors: 0.100% of 1,000 requests, at most 0.090% are allowed"),
        (Gates(hit_ratio=0.91), "hit ratio: 0.9 of features from the cache, at least 0.91 is asked for"),
    ],
    ids=["p99", "errors", "hits"],
)
def test_a_gate_that_does_not_hold_is_told_with_its_figure(gates: Gates, told: str) -> None:
    assert gates.broken(GOOD) == [told]


def test_a_run_of_nothing_holds_no_gate_and_unknown_figures_hold_none_that_asks_for_them() -> None:
    assert Gates().broken(Figures(0, 0, None, 0, 0)) == ["no request was made"]
    assert len(Gates(p99_ms=1.0, hit_ratio=0.1).broken(Figures(5, 0, None, 0, 0))) == 2


@given(st.lists(st.integers(0, 50), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    found = percentile(Counter(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


def test_of_no_values_there_is_no_percentile() -> None:
    assert percentile({}, 0.99) is None


@pytest.mark.parametrize("shape", SHAPES)
@given(most=st.integers(1, 1_000), stage_s=st.floats(0.5, 60.0))
def test_a_shape_has_its_stages_at_most_all_users_and_an_end(shape: Shape, most: int, stage_s: float) -> None:
    stages = len(SHAPES[shape])
    users = [users_at(shape, (stage + 0.5) * stage_s, most, stage_s) for stage in range(stages)]
    assert all(one is not None and 1 <= one <= most for one in users)
    assert max(one or 0 for one in users) == most
    assert users_at(shape, (stages + 0.5) * stage_s, most, stage_s) is None


def test_features_are_counted_by_where_the_replies_say_they_came_from() -> None:
    tally = Tally()
    tally.named(b'{"features":{"a.x":1,"b.y":2,"c.z":3,"d.w":4},"source":{"a.x":"cache","b.y":"stale","c.z":"origin","d.w":"computed"}}')
    assert (tally.cached, tally.fetched) == (2, 1)
    tally.tecton(b'{"metadata":{"features":[{"name":"a.x","status":"CACHED_PRESENT"},{"name":"b.y","status":"PRESENT"}]}}')
    assert (tally.cached, tally.fetched) == (3, 2)
    other = Tally()
    other.add(tally.take())
    assert (other.cached, other.fetched, tally.cached, tally.fetched) == (3, 2, 0, 0)
