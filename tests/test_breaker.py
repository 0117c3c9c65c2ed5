"""When what fails is left alone, and how it is found to be well again."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker import Breaker
from tests.harness.clock import Clock


def shared(clock: Clock, **more: float) -> Breaker:
    """One that goes by the share of failures."""
    return Breaker(clock, share=0.5, least_calls=20, window_s=2.0, pause_s=0.5, **more)  # type: ignore[arg-type]


def test_it_lets_through_until_so_many_failures_in_a_row() -> None:
    breaker = Breaker(Clock(), failures=3)
    for well in (False, False, True, False, False):
        breaker.tell(well=well)
        assert breaker.allows()
    breaker.tell(well=False)
    assert not breaker.allows()
    assert not breaker.closed


def test_after_a_pause_one_probe_decides() -> None:
    clock = Clock()
    breaker = Breaker(clock, failures=1, pause_s=2.0)
    breaker.tell(well=False)
    assert breaker.rests_s() == 2.0
    clock.advance(1.9)
    assert not breaker.allows()
    clock.advance(0.1)
    assert breaker.rests_s() == 0
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.tell(well=False)
    clock.advance(1.9)
    assert not breaker.allows()
    clock.advance(0.1)
    assert breaker.allows()
    breaker.tell(well=True)
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_a_probe_that_never_tells_is_followed_by_another() -> None:
    clock = Clock()
    breaker = Breaker(clock, failures=1, pause_s=1.0)
    breaker.tell(well=False)
    clock.advance(1.0)
    assert [breaker.allows(), breaker.allows()] == [True, False]
    clock.advance(1.0)
    assert breaker.allows()


def test_of_many_calls_a_share_opens_it_and_a_run_does_not() -> None:
    clock = Clock()
    breaker = shared(clock)
    for _ in range(30):
        breaker.tell(well=True)
    for _ in range(29):
        breaker.tell(well=False)
    assert breaker.closed  # 29 in a row, and of 59
    breaker.tell(well=False)
    assert not breaker.closed


def test_of_few_calls_a_run_opens_it_and_a_share_does_not() -> None:
    clock = Clock()
    breaker = shared(clock)
    for well in (True, False, False, False, False, True, False, False, False, False):
        breaker.tell(well=well)
    assert breaker.closed
    breaker.tell(well=False)
    assert not breaker.closed


def test_what_was_longer_ago_than_the_window_does_not_count() -> None:
    clock = Clock()
    breaker = shared(clock)
    for _ in range(1_000):
        breaker.tell(well=True)
    clock.advance(2.1)
    for number in range(19):
        breaker.tell(well=number % 2 == 0)
    assert breaker.closed
    breaker.tell(well=False)
    assert not breaker.closed


def test_under_load_it_opens_within_two_seconds_of_a_total_failure() -> None:
    clock = Clock()
    breaker = shared(clock)
    for _ in range(2_000):
        clock.advance(0.002)
        breaker.tell(well=True)
    failed_s = clock()
    while breaker.closed:
        clock.advance(0.002)
        breaker.tell(well=False)
    assert clock() - failed_s < 1.2


def test_what_it_knew_before_it_opened_is_forgotten_when_it_closes() -> None:
    clock = Clock()
    breaker = shared(clock)
    for _ in range(20):
        breaker.tell(well=False)
    clock.advance(0.5)
    assert breaker.allows()
    breaker.tell(well=True)
    breaker.tell(well=False)
    assert breaker.closed


def test_each_opening_and_closing_is_an_era() -> None:
    clock = Clock()
    breaker = Breaker(clock, failures=2)
    eras = [breaker.era]
    for well in (False, False, False, True, True):
        breaker.tell(well=well)
        eras.append(breaker.era)
    assert eras == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_pauses_are_spread(seed: int) -> None:
    clock = Clock()
    breaker = Breaker(clock, failures=1, pause_s=10.0, jitter=0.2, random=Random(seed))
    pauses = set()
    for _ in range(50):
        breaker.tell(well=False)
        pauses.add(breaker.rests_s())
        breaker.tell(well=True)
    assert len(pauses) > 40
    assert min(pauses) >= 7.999
    assert max(pauses) <= 12.001


@given(steps=st.lists(st.one_of(st.booleans(), st.floats(0, 3), st.none()), max_size=200), share=st.none() | st.floats(0.01, 1))
def test_while_it_is_open_there_is_one_probe_in_a_pause_and_only_an_answer_closes_it(
    steps: list[bool | float | None], share: float | None
) -> None:
    """A step is an end of a call, time that passes, or a wish to call."""
    clock = Clock()
    breaker = Breaker(clock, failures=3, pause_s=1.0, share=share, least_calls=5)
    last_s: float | None = None
    for step in steps:
        was_closed = breaker.closed
        if step is None:
            allowed = breaker.allows()
            assert allowed or not was_closed
            if allowed and not was_closed:
                assert last_s is None or clock() - last_s >= 1.0 - 1e-9
                last_s = clock()
        elif isinstance(step, bool):
            breaker.tell(well=step)
            if step:
                assert breaker.closed
            if breaker.closed != was_closed:
                last_s = None if breaker.closed else clock()
            elif not breaker.closed:
                last_s = clock()
        else:
            clock.advance(step)
        assert (breaker.rests_s() == 0) or not breaker.closed
