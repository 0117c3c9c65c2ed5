"""How fast what is allowed to fail is used up: shares of bad events over several windows, and what they add up to.

After "Alerting on SLOs" in Google's Site Reliability Workbook: a burn rate of 1 uses up the whole allowance in the time that it is for. Two
windows must agree: the long one that it matters, the short one that it still happens.

Tallies only grow, so the events of a window are the tally of now less that of its beginning. Each window remembers its own beginnings,
`STEPS` of them, evenly spaced: it is as long as its name says, and at most one step longer. A number costs 16 bytes a beginning, so three
objectives of a feature service 7.7 KB over all windows, and 501 services 3.8 MB.
"""

from array import array
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from gateway.measures.ledgers import Tally

WINDOWS_S: Mapping[str, float] = {"5m": 300.0, "30m": 1_800.0, "1h": 3_600.0, "6h": 21_600.0, "3d": 259_200.0}
STEPS = 30
LEAST_BAD = 10
"""Fewer bad events in the longer window are no reason to call anybody, whatever share of a few events they are."""


class State(StrEnum):
    """What is to be done about it: nothing; something within days; something now."""

    OK = "ok"
    TICKET = "ticket"
    PAGE = "page"


class _Rule(NamedTuple):
    long: str
    short: str
    factor: float
    state: State


RULES = (_Rule("1h", "5m", 14.4, State.PAGE), _Rule("6h", "30m", 6.0, State.PAGE), _Rule("3d", "6h", 1.0, State.TICKET))
"""14.4: 2% of thirty days' allowance in an hour; 6: 5% of it in six hours; 1: all of it, if it goes on."""


class Past(msgspec.Struct, frozen=True, array_like=True):
    """What a window saw. `length_s`: how long it is: shorter than its name while the process is younger."""

    length_s: float
    events: int
    bad: int


def burn_rate(past: Past, objective: float) -> float | None:
    """None where there was nothing."""
    return past.bad / past.events / (1 - objective) if past.events else None


def state(pasts: Mapping[str, Past], objective: float) -> State:
    """The first of the rules that both windows meet."""
    for rule in RULES:
        rates = [burn_rate(pasts[name], objective) for name in (rule.long, rule.short)]
        if pasts[rule.long].bad >= LEAST_BAD and all(rate is not None and rate > rule.factor for rate in rates):
            return rule.state
    return State.OK


Subject = tuple[str, str, str]
"""Workspace; feature service or view; which objective."""


class _Beginning(NamedTuple):
    """`counts`: events and bad ones of each subject in turn."""

    at_s: float
    counts: "array[int]"


class _Window:
    """The beginnings that one window may have, oldest first."""

    def __init__(self, length_s: float, start_s: float) -> None:
        self._length_s = length_s
        self._step_s = length_s / STEPS
        self._beginnings = deque([_Beginning(start_s, array("Q"))], maxlen=STEPS + 2)

    def is_due(self, now_s: float) -> bool:
        return now_s - self._beginnings[-1].at_s >= self._step_s

    def note(self, beginning: _Beginning) -> None:
        self._beginnings.append(beginning)
        while len(self._beginnings) > 1 and beginning.at_s - self._beginnings[1].at_s >= self._length_s:
            self._beginnings.popleft()

    def beginning(self, now_s: float) -> _Beginning:
        """The latest that is a whole window ago, else the earliest."""
        found = self._beginnings[0]
        for one in self._beginnings:
            if now_s - one.at_s < self._length_s:
                break
            found = one
        return found


class Look:
    """At all the windows, at one instant."""

    def __init__(self, now_s: float, places: Mapping[Subject, int], beginnings: Mapping[str, _Beginning]) -> None:
        self._now_s = now_s
        self._places = places
        self._beginnings = beginnings

    def pasts(self, subject: Subject, now: Tally) -> dict[str, Past]:
        """By window. A subject that was not there at a window's beginning had nothing then."""
        place = self._places.get(subject)
        return {name: self._past(place, now, one) for name, one in self._beginnings.items()}

    def _past(self, place: int | None, now: Tally, beginning: _Beginning) -> Past:
        length_s = self._now_s - beginning.at_s
        if place is None or 2 * place >= len(beginning.counts):
            return Past(length_s, now.events, now.bad)
        return Past(length_s, now.events - beginning.counts[2 * place], now.bad - beginning.counts[2 * place + 1])


class Burns:
    """Given the tallies of now, again and again. Knows nothing of what they are of."""

    def __init__(self, start_s: float) -> None:
        self._places: dict[Subject, int] = {}
        self._windows = {name: _Window(length_s, start_s) for name, length_s in WINDOWS_S.items()}

    def is_due(self, now_s: float) -> bool:
        return any(window.is_due(now_s) for window in self._windows.values())

    def note(self, now_s: float, tallies: Mapping[Subject, Tally]) -> None:
        """For the windows that are due."""
        for subject in tallies:
            self._places.setdefault(subject, len(self._places))
        counts = array("Q", bytes(16 * len(self._places)))
        for subject, tally in tallies.items():
            place = 2 * self._places[subject]
            counts[place], counts[place + 1] = tally
        for window in self._windows.values():
            if window.is_due(now_s):
                window.note(_Beginning(now_s, counts))

    def look(self, now_s: float) -> Look:
        return Look(now_s, self._places, {name: window.beginning(now_s) for name, window in self._windows.items()})
