"""Beyond the first attempts there is a fifth more, and a few where there are hardly any; never both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.origins.guard.budget import RetryBudget
from tests.harness.clock import Clock

STEPS = st.lists(st.tuples(st.sampled_from(["earn", "take", "pass"]), st.floats(0, 0.5)), max_size=400)


@given(steps=STEPS, share=st.sampled_from([0.05, 0.2, 1.0]))
def test_no_schedule_gets_more_than_the_share_what_was_saved_up_and_the_floor(steps: list[tuple[str, float]], share: float) -> None:
    clock = Clock()
    budget = RetryBudget(clock, share=share)
    earned, taken, began_s = 0, 0, clock()
    for step, more_s in steps:
        if step == "earn":
            budget.earn()
            earned += 1
        elif step == "take":
            taken += budget.take()
        else:
            clock.advance(more_s)
        assert taken <= share * earned + 3 * (1 + clock() - began_s) + 3


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("rate", [50, 500, 5_000])
def test_where_every_call_fails_there_are_six_attempts_for_five_calls_at_most(rate: int) -> None:
    clock = Clock()
    budget = RetryBudget(clock, share=0.2)
    calls = 30 * rate
    attempts = 0
    for _ in range(calls):
        clock.advance(1 / rate)
        budget.earn()
        attempts += 1 + budget.take() + budget.take()
    assert 1.19 * calls <= attempts <= 1.2 * calls + 14


def test_good_times_save_up_ten() -> None:
    clock = Clock()
    budget = RetryBudget(clock, share=0.2)
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.take() for _ in range(100)) == 10


def test_where_there_are_hardly_any_calls_there_are_three_a_second() -> None:
    clock = Clock()
    budget = RetryBudget(clock, share=0.2)
    budget.earn()
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    clock.advance(0.99)
    assert not budget.take()
    clock.advance(0.01)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]


def test_a_share_of_nothing_is_nothing() -> None:
    budget = RetryBudget(Clock(), share=0.0)
    for _ in range(100):
        budget.earn()
    assert not budget.take()
