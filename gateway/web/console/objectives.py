"""What is told of the objectives: what is promised, what became of it in each window over all workers, and what is to be done about it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.measures.burn import RULES, WINDOWS_S, State, burn_rate, state
from gateway.measures.families import Report
from gateway.measures.promises import FRESHNESS, Promise, summed_promises

_MOST = 50
_LONGEST = max(WINDOWS_S, key=lambda name: WINDOWS_S[name])
_PAIRS = tuple((rule.short, rule.long, rule.factor) for rule in RULES)
_URGENCY = tuple(State)


class Row(NamedTuple):
    """One objective of one feature service, or for freshness of one view. `burns`: by window; None where there was nothing. `budget_left`:
    of what three days allow; below 0 where more was bad. `within_ms`: how long a read may take, or how old a value may be."""

    workspace: str
    name: str
    is_view: bool
    slo: str
    objective: float
    within_ms: float | None
    events: int
    bad: int
    burns: Mapping[str, float | None]
    budget_left: float
    state: State


class Told(NamedTuple):
    """`windows`: by name, as alerts look at them; `pairs`: the shorter and the longer, and the burn rate that both must be above."""

    windows: Sequence[str]
    pairs: Sequence[tuple[str, str, float]]
    rows: Sequence[Row]
    more: int


class Objectives:
    def of(self, reports: Sequence[Report], workspace: str | None = None, service: str | None = None) -> Told:
        """Of one feature service, or of those services and views that use up most."""
        promises = summed_promises([report.promises for report in reports]).values()
        wanted = [
            one for one in promises if service is None or (one.slo != FRESHNESS and (one.workspace, one.name) == (workspace, service))
        ]
        rows = sorted((_row(one) for one in wanted), key=_order)
        return Told(tuple(WINDOWS_S), _PAIRS, rows[:_MOST], max(0, len(rows) - _MOST))


def _row(promise: Promise) -> Row:
    longest, objective = promise.pasts[_LONGEST], promise.objective
    return Row(
        promise.workspace,
        promise.name,
        promise.slo == FRESHNESS,
        promise.slo,
        objective,
        None if promise.within_s is None else promise.within_s * 1000,
        longest.events,
        longest.bad,
        {name: burn_rate(past, objective) for name, past in promise.pasts.items()},
        1 - (burn_rate(longest, objective) or 0.0),
        state(promise.pasts, objective),
    )


def _order(row: Row) -> tuple[int, float, str, str, str]:
    """What is to be done at once comes first."""
    return -_URGENCY.index(row.state), row.budget_left, row.workspace, row.name, row.slo
