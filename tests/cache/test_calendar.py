"""What was filled together does not end together, and a trickle keeps its whole TTL. On a clock of the test's own."""

import heapq
from collections import Counter
from collections.abc import Iterable
from math import e, inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.cache.calendar import _RINGS, Calendar, early_s

pytestmark = pytest.mark.usefixtures("unmeasured")
BINS = 50
JITTER = 0.75
FEW = 7
"""Ends that may meet in any bin, however few there are: two in each of the three slots that a bin touches, and one that is rounded in."""


def refills(fills: Iterable[tuple[int, float]], ttl_s: float, until_s: float, jitter: float = JITTER) -> tuple[list[float], list[float]]:
    """The times of all refills and the lives of all entries, where each entry, filled first at its time, is filled again when it ends."""
    calendar = Calendar(jitter)
    due = [(at_s, number, namespace, True) for number, (namespace, at_s) in enumerate(fills)]
    heapq.heapify(due)
    times, lives = [], []
    while due[0][0] < until_s:
        now_s, number, namespace, first = heapq.heappop(due)
        if not first:
            times.append(now_s)
        life = calendar.life(namespace, now_s, ttl_s)
        assert 1 - jitter < life <= 1 or life == 1 - jitter == 1
        lives.append(life)
        heapq.heappush(due, (now_s + life * ttl_s, number, namespace, False))
    return times, lives


def peak_and_mean(times: Iterable[float], from_s: float, ttl_s: float, ttls: int = 5) -> tuple[int, float]:
    """Refills in the fullest bin, and in a bin on average."""
    counts = Counter(int((at_s - from_s) / ttl_s * BINS) for at_s in times if from_s <= at_s < from_s + ttls * ttl_s)
    return max(counts.values()), sum(counts.values()) / (ttls * BINS)


@pytest.mark.parametrize("namespaces", [1, 2, 7, 50, 400])
def test_5000_entries_filled_at_once_are_refilled_evenly(namespaces: int) -> None:
    times, _ = refills([(number % namespaces, 17.3) for number in range(5_000)], 60.0, 17.3 + 300)
    peak, mean = peak_and_mean(times, 17.3, 60.0)
    assert mean > 95
    assert peak <= 1.5 * mean


@pytest.mark.parametrize("burst", [300, 1_000, 5_000, 20_000])
def test_a_burst_in_a_warm_cache_is_refilled_evenly(burst: int) -> None:
    warm = [(number % 3, number * 60 / 5_000) for number in range(5_000)]
    times, _ = refills([*warm, *[(number % 4, 200.0) for number in range(burst)]], 60.0, 500.0)
    peak, mean = peak_and_mean(times, 200.0, 60.0)
    assert peak <= 1.5 * mean


def test_without_the_calendar_they_would_all_come_at_once() -> None:
    times, lives = refills([(0, 0.0)] * 1_000, 60.0, 300.0, jitter=0.0)
    assert peak_and_mean(times, 0.0, 60.0)[0] == 1_000
    assert set(lives) == {1.0}


@settings(max_examples=25, deadline=None)
@given(
    st.floats(1e-3, 1e8),
    st.integers(1, 800),
    st.integers(1, 9),
    st.floats(0, 1e9),
    st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), max_size=2),
)
@example(60.0, 100, 1, 0.0, [])
@example(60.0, 300, 1, 0.0, [(300, 0.5), (300, 0.6)])
def test_whatever_the_ttl_and_however_many_no_bin_is_crowded(
    ttl_s: float, count: int, namespaces: int, start_s: float, later: list[tuple[int, float]]
) -> None:
    fills = [(number % namespaces, start_s) for number in range(count)]
    for burst, at in later:
        fills += [(number % namespaces, start_s + at * ttl_s) for number in range(burst)]
    ttl_s = max(ttl_s, start_s / 1e9)  # finer than that a float cannot tell a thousandth of the TTL
    times, _ = refills(fills, ttl_s, start_s + 6 * ttl_s)
    peak, mean = peak_and_mean(times, start_s + ttl_s, ttl_s)
    assert peak <= 1.5 * mean + FEW


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 1_000), ttl_s=st.floats(0.1, 1e6), start_s=st.floats(0, 1e6), read=st.booleans())
@example(count=5_000, ttl_s=60.0, start_s=0.0, read=True)
def test_a_steady_trickle_keeps_nearly_whole_ttls(count: int, ttl_s: float, start_s: float, read: bool) -> None:  # noqa: FBT001 - drawn
    fills = [(0, start_s + number * ttl_s / count) for number in range(count if read else 5 * count)]
    if read:
        _, lives = refills(fills, ttl_s, start_s + 5 * ttl_s)
    else:
        calendar = Calendar(JITTER)
        lives = [calendar.life(namespace, at_s, ttl_s) for namespace, at_s in fills]
    assert sum(lives) / len(lives) >= 0.95


def test_small_caches_keep_their_whole_ttls() -> None:
    _, lives = refills([(0, number * 0.6) for number in range(100)], 60.0, 600.0)
    assert min(lives) > 0.98
    calendar = Calendar(JITTER)
    assert [calendar.life(0, 5.0, 60.0) for _ in range(2)] == [1.0, 1.0]
    assert min(calendar.life(0, 5.0, 60.0) for _ in range(18)) > 0.85


def test_lives_in_one_slot_differ() -> None:
    calendar = Calendar(JITTER)
    lives = [calendar.life(0, 0.0, 60.0) for _ in range(5_000)]
    assert len({round(life, 9) for life in lives}) > 4_900


def test_nothing_ends_early_without_jitter_or_without_a_ttl() -> None:
    assert {Calendar(0.0).life(0, 1.0, 60.0) for _ in range(100)} == {1.0}
    assert {Calendar(JITTER).life(0, 1.0, 0.0) for _ in range(100)} == {1.0}


@pytest.mark.parametrize("jitter", [1e-6, 0.004, 0.1, 0.999])
def test_no_life_is_shorter_than_the_jitter_allows(jitter: float) -> None:
    calendar = Calendar(jitter)
    lives = [calendar.life(0, now_s, 60.0) for now_s in (0.0, 0.31, 59.99, 1e7) for _ in range(500)]
    assert 1 - jitter < min(lives) <= max(lives) <= 1


def test_entries_of_another_ttl_do_not_crowd() -> None:
    calendar = Calendar(JITTER)
    for _ in range(1_000):
        calendar.life(0, 0.0, 60.0)
    assert calendar.life(0, 0.0, 61.0) == 1.0


def test_a_view_of_its_own_is_spread_also_among_many_others() -> None:
    calendar = Calendar(JITTER)
    for number in range(20_000):
        calendar.life(0, number * 0.003, 60.0)
    ends = Counter(int(calendar.life(1, 60.0, 60.0) * 100) for _ in range(200))
    assert max(ends.values()) <= 6


def test_what_is_remembered_is_bounded() -> None:
    calendar = Calendar(JITTER)
    for namespace in range(3 * _RINGS):
        assert calendar.life(namespace, 0.0, 60.0 + namespace) == 1.0
    assert len(calendar._rings) <= _RINGS


def test_a_clock_that_stands_or_jumps_is_no_trouble() -> None:
    calendar = Calendar(JITTER)
    for now_s in (0.0, 0.0, 1e6, 1e6, 5.0, 1e6 + 1):
        assert JITTER < 1 - JITTER + calendar.life(0, now_s, 60.0) <= 2 - JITTER


def test_xfetch_is_early_in_proportion_to_the_fetch_and_to_its_eagerness() -> None:
    assert early_s(0.2, 1.0, 1.0) == 0
    assert early_s(0.2, 1.0, 1 / e) == pytest.approx(0.2)
    assert early_s(0.2, 3.0, 1 / e) == pytest.approx(0.6)
    assert early_s(0.2, 0.0, 0.5) == 0
    assert early_s(0.2, 1.0, 1e-300) < inf
