"""Windows that tell the truth about their time, and states by the workbook's table."""

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measures.burn import LEAST_BAD, RULES, STEPS, WINDOWS_S, Burns, Past, State, Subject, burn_rate, state
from gateway.measures.ledgers import Tally

READS: Subject = ("prod", "fraud", "availability")
OTHERS: Subject = ("prod", "churn", "latency")
START_S = 100.0


class History:
    """A process that is looked at every ten seconds, and what it has counted so far."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.burns = Burns(START_S)
        self.tallies: dict[Subject, Tally] = {}

    def go(self, seconds: float, *, events: int = 0, bad: int = 0, subject: Subject = READS) -> None:
        """So many events in every ten seconds."""
        for _ in range(round(seconds / 10)):
            self.now_s += 10
            known = self.tallies.get(subject, Tally(0, 0))
            self.tallies[subject] = Tally(known.events + events, known.bad + bad)
            if self.burns.is_due(self.now_s):
                self.burns.note(self.now_s, self.tallies)

    def pasts(self, subject: Subject = READS) -> dict[str, Past]:
        return self.burns.look(self.now_s).pasts(subject, self.tallies[subject])


def test_a_window_that_the_process_is_too_young_for_tells_how_long_it_is() -> None:
    history = History()
    history.go(60, events=10, bad=1)
    assert set(history.pasts().values()) == {Past(60, 60, 6)}
    assert Burns(5.0).look(5.0).pasts(READS, Tally(0, 0))["5m"] == Past(0, 0, 0)


def test_what_is_past_leaves_each_window_in_its_time() -> None:
    history = History()
    history.go(600, events=10, bad=10)
    history.go(4 * 86_400, events=10)
    for name, length_s in WINDOWS_S.items():
        past = history.pasts()[name]
        assert past.bad == 0
        assert length_s <= past.length_s <= length_s * (1 + 1 / STEPS)
        assert past.events == past.length_s
    history.go(300, events=10, bad=5)
    assert [past.bad for past in history.pasts().values()] == [150] * 5


def test_a_subject_that_comes_later_had_nothing_before() -> None:
    history = History()
    history.go(7_200, events=10)
    history.go(60, events=3, bad=1, subject=OTHERS)
    assert {(past.events, past.bad) for past in history.pasts(OTHERS).values()} == {(18, 6)}
    assert history.pasts()["5m"].events == 240


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=200),
    pauses_s=st.lists(st.sampled_from([5.0, 10.0, 11.5, 97.0, 1_000.0]), min_size=200, max_size=200),
)
def test_a_window_is_never_shorter_than_its_name_and_counts_all_that_was_in_it(counts: list[int], pauses_s: list[float]) -> None:
    burns, now_s, events = Burns(0.0), 0.0, 0
    at_s, after = [0.0], [0]
    for count, pause_s in zip(counts, pauses_s, strict=False):
        now_s += pause_s
        events += count
        at_s.append(now_s)
        after.append(events)
        if burns.is_due(now_s):
            burns.note(now_s, {READS: Tally(events, events)})
    for name, past in burns.look(now_s).pasts(READS, Tally(events, events)).items():
        begins_s = now_s - past.length_s
        assert past.length_s >= min(WINDOWS_S[name], now_s)
        assert past.events == past.bad == events - after[bisect_right(at_s, begins_s + 1e-6) - 1]


def test_beginnings_are_bounded() -> None:
    history = History()
    history.go(2 * 86_400, events=1)
    assert all(len(window._beginnings) <= STEPS + 2 for window in history.burns._windows.values())


def pasts(**bad: int) -> dict[str, Past]:
    """Of 100,000 events in each window; bad ones by window, as `w1h`."""
    return {name: Past(length_s, 100_000, bad.get(f"w{name}", 0)) for name, length_s in WINDOWS_S.items()}


OBJECTIVE = 0.999
"""Of 100,000 events 100 may be bad."""


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pasts(), State.OK),
        (pasts(w1h=1_441, w5m=1_441), State.PAGE),
        (pasts(w1h=1_440, w5m=1_441), State.OK),
        (pasts(w1h=1_441, w5m=1_440), State.OK),
        (pasts(w6h=601, w30m=601), State.PAGE),
        (pasts(w6h=600, w30m=601), State.OK),
        (pasts(w6h=601, w30m=600), State.OK),
        (pasts(w3d=101, w6h=101), State.TICKET),
        (pasts(w3d=100, w6h=101), State.OK),
        (pasts(w3d=101, w6h=100), State.OK),
        (pasts(w1h=2_000, w5m=2_000, w3d=200, w6h=200), State.PAGE),
        ({name: Past(60, 0, 0) for name in WINDOWS_S}, State.OK),
    ],
)
def test_both_windows_must_burn(seen: dict[str, Past], expected: State) -> None:
    assert state(seen, OBJECTIVE) == expected


def test_a_few_failures_of_a_few_reads_call_nobody() -> None:
    def seen(bad: int) -> dict[str, Past]:
        return {name: Past(length_s, bad, bad) for name, length_s in WINDOWS_S.items()}

    assert state(seen(LEAST_BAD - 1), OBJECTIVE) == State.OK
    assert state(seen(LEAST_BAD), OBJECTIVE) == State.PAGE


def test_a_rate_of_one_uses_up_all_that_is_allowed() -> None:
    assert burn_rate(Past(60, 1_000, 1), 0.999) == pytest.approx(1)
    assert burn_rate(Past(60, 1_000, 0), 0.999) == 0
    assert burn_rate(Past(60, 0, 0), 0.999) is None


def test_the_rules_look_at_windows_that_there_are() -> None:
    assert {name for rule in RULES for name in (rule.long, rule.short)} == set(WINDOWS_S)
