"""What is tried again, and after how long."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    OriginError,
    OriginFailed,
    OriginMalformed,
    OriginResting,
    OriginShed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    SchemaDisagreement,
)
from gateway.origins.guard.retries import Retries

WORTH_IT = [OriginFailed, OriginUnavailable, OriginTimeout]


@pytest.mark.parametrize("kind", WORTH_IT)
def test_a_failure_is_tried_again_so_often(kind: type[OriginError]) -> None:
    retries = Retries(2)
    assert [retries.pause_s(tried, kind("text"), None, 10.0) is not None for tried in (1, 2, 3, 4)] == [True, True, False, False]


@pytest.mark.parametrize("kind", [OriginMalformed, SchemaDisagreement, OriginShed, OriginResting, OriginThrottled])
def test_what_would_not_be_answered_better_is_not(kind: type[OriginError]) -> None:
    assert Retries(2).pause_s(1, kind("text"), None, 10.0) is None


@pytest.mark.parametrize("kind", [OriginThrottled, OriginUnavailable])
def test_when_to_come_again_is_waited_for_where_that_is_soon(kind: type[OriginError]) -> None:
    retries = Retries(2)
    for told_s in (0.0, 0.2):
        pause_s = retries.pause_s(1, kind("text"), told_s, 10.0)
        assert pause_s is not None
        assert told_s <= pause_s <= told_s + 0.025
    assert retries.pause_s(1, kind("text"), 1.0, 10.0) is None


def test_none_at_all() -> None:
    assert Retries(0).pause_s(1, OriginFailed("text"), None, 10.0) is None


@given(tried=st.integers(1, 10), left_s=st.floats(-1, 2), seed=st.integers(0, 100))
def test_a_pause_is_within_its_bounds_and_leaves_time(tried: int, left_s: float, seed: int) -> None:
    pause_s = Retries(10, random=Random(seed)).pause_s(tried, OriginFailed("text"), None, left_s)
    if pause_s is None:
        assert left_s <= min(0.25, 0.025 * 2 ** (tried - 1))
    else:
        assert 0 <= pause_s <= min(0.25, 0.025 * 2 ** (tried - 1))
        assert pause_s < left_s


def test_pauses_are_spread_over_all_of_their_time() -> None:
    retries = Retries(2, random=Random(5))
    pauses = [retries.pause_s(2, OriginFailed("text"), None, 10.0) or 0 for _ in range(200)]
    assert min(pauses) < 0.005
    assert max(pauses) > 0.045
