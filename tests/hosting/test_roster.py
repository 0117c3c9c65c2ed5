"""Who is started when: the first alone, all others once it is up, and whoever ends again and again ever more seldom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hosting.roster import FIRST_PAUSE_S, LONGEST_PAUSE_S, SILENCE_S, STEADY_S, Ended, Roster


def roster_with(*pids: int) -> Roster:
    """All of these are up, since time 0."""
    roster = Roster(len(pids))
    for number, pid in enumerate(pids, start=1):
        roster.started(number, pid, 0.0)
        roster.heard(number, 0.0)
        roster.is_up(number)
    return roster


def test_the_first_is_started_alone_and_the_others_when_it_is_up() -> None:
    roster = Roster(3)
    assert roster.due(0.0) == [1]
    roster.started(1, 101, 0.0)
    assert roster.due(0.0) == []
    assert roster.wait_s(0.0) is None
    roster.is_up(1)
    assert roster.due(0.0) == [2, 3]
    for number in (2, 3):
        roster.started(number, 100 + number, 0.0)
        assert not roster.all_up
        roster.is_up(number)
    assert roster.all_up
    assert roster.pids == [101, 102, 103]


def test_where_nobody_has_ever_served_there_is_no_hope() -> None:
    roster = Roster(2)
    roster.started(1, 7, 0.0)
    assert roster.ended(7, 1.0) == Ended(1, FIRST_PAUSE_S, hopeless=True)
    assert roster.ended(7, 1.0) is None
    assert roster_with(7).ended(7, 1.0) == Ended(1, FIRST_PAUSE_S, hopeless=False)


def test_one_that_ends_is_started_again_after_a_pause_and_the_others_stay() -> None:
    roster = roster_with(7, 8)
    assert roster.ended(8, 1.0) == Ended(2, FIRST_PAUSE_S, hopeless=False)
    assert roster.pids == [7]
    assert not roster.all_up
    assert roster.due(1.0) == []
    assert roster.wait_s(1.0) == pytest.approx(FIRST_PAUSE_S)
    assert roster.due(1.0 + FIRST_PAUSE_S) == [2]
    assert roster.wait_s(2.0) == 0.0


def test_a_long_life_wipes_out_early_deaths() -> None:
    roster = roster_with(7)
    for _ in range(5):
        roster.ended(7, 0.0)
        roster.started(1, 7, 0.0)
    ended = roster.ended(7, STEADY_S)
    assert ended is not None
    assert ended.pause_s == FIRST_PAUSE_S


def test_one_that_cannot_be_started_is_tried_again_later() -> None:
    roster = Roster(1)
    assert roster.missed(1, 0.0) == FIRST_PAUSE_S
    assert roster.missed(1, 0.0) == 2 * FIRST_PAUSE_S
    assert roster.due(0.0) == []


@given(st.integers(1, 200))
def test_pauses_grow_and_are_bounded(deaths: int) -> None:
    roster = roster_with(7)
    pauses = []
    for _ in range(deaths):
        ended = roster.ended(7, 0.0)
        assert ended is not None
        pauses.append(ended.pause_s)
        roster.started(1, 7, 0.0)
    assert pauses == sorted(pauses)
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses[-1] <= LONGEST_PAUSE_S


def test_who_gives_no_sign_of_life_is_named_once_it_was_up() -> None:
    roster = roster_with(7, 8)
    roster.heard(2, 1.0)
    assert roster.silent(SILENCE_S) == [7]
    assert roster.silent(SILENCE_S + 1) == [7, 8]
    roster.ended(7, SILENCE_S)
    roster.started(1, 9, SILENCE_S)  # it may take its time to begin
    assert roster.silent(2 * SILENCE_S) == [8]
