"""Retry-After, as it is spelled, and what is left of it."""

from datetime import UTC, datetime
from email.utils import format_datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import OriginThrottled, OriginUnavailable
from gateway.origins.guard.throttle import Pause, retry_after_s, whole_seconds
from tests.harness.clock import Clock

NOW = datetime(2026, 11, 6, 8, 49, 37, tzinfo=UTC)
NOW_S = NOW.timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("007", 7),
        ("9" * 12, 999_999_999_999),
        ("9" * 5_000, inf),
        ("Fri, 06 Nov 2026 08:49:47 GMT", 10),
        ("Friday, 06-Nov-26 08:49:47 GMT", 10),
        ("Fri Nov  6 08:49:47 2026", 10),
        ("Fri, 06 Nov 2026 08:49:00 GMT", 0),
        ("Fri, 06 Nov 2026 10:49:47 +0200", 10),
    ],
)
def test_seconds_and_the_three_kinds_of_dates_are_understood(text: str, seconds: float) -> None:
    assert retry_after_s(text, NOW_S) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [None, "", " ", "-1", "+1", "1.5", "1e3", "0x10", "soon", "١٢", "Fri, 99 Nov 2026 99:99:99 GMT", "²"])
def test_anything_else_says_nothing(text: str | None) -> None:
    assert retry_after_s(text, NOW_S) is None


@given(text=st.text(max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    told_s = retry_after_s(text, NOW_S)
    assert told_s is None or told_s >= 0


@given(when=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_a_date_is_as_far_away_as_it_is(when: datetime) -> None:
    aware = when.replace(microsecond=0, tzinfo=UTC)
    assert retry_after_s(format_datetime(aware, usegmt=True), NOW_S) == max(0.0, aware.timestamp() - NOW_S)


@pytest.mark.parametrize(("left_s", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (30.0, "30")])
def test_what_is_left_is_told_in_whole_seconds_and_never_too_early(left_s: float, told: str) -> None:
    assert whole_seconds(left_s) == told


def a_pause(clock: Clock, longest_s: float = 30.0) -> Pause:
    return Pause(clock, longest_s=longest_s, wall_s=lambda: NOW_S + clock() - 1_000)


def test_a_pause_lasts_as_long_as_was_said_and_not_longer_than_it_may() -> None:
    clock = Clock()
    pause = a_pause(clock)
    assert pause.left_s() == 0
    pause.begin("5", throttled=True)
    assert pause.left_s() == 5
    clock.advance(4.5)
    assert pause.left_s() == 0.5
    clock.advance(0.5)
    assert pause.left_s() == 0
    pause.begin("86400", throttled=True)
    assert pause.left_s() == 30


def test_of_several_the_longest_holds_and_what_is_no_time_changes_nothing() -> None:
    clock = Clock()
    pause = a_pause(clock)
    for text in ("9", "2", "Fri, 06 Nov 2026 08:49:40 GMT", None, "soon"):
        pause.begin(text, throttled=True)
    assert pause.left_s() == 9


def test_a_refusal_is_as_the_origins_own() -> None:
    clock = Clock()
    pause = a_pause(clock)
    pause.begin("5", throttled=True)
    clock.advance(1.5)
    throttled = pause.refusal(pause.left_s())
    assert isinstance(throttled, OriginThrottled)
    assert throttled.retry_after == "4"
    pause.begin("20", throttled=False)
    unavailable = pause.refusal(pause.left_s())
    assert isinstance(unavailable, OriginUnavailable)
    assert unavailable.retry_after == "20"
