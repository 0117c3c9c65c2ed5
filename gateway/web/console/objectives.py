"""What is told of the objectives: by feature service, how many events there were, how many bad ones, and how fast the rest is used up."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.measures.families import Report, summed
from gateway.web.console.totals import PREFIX

WINDOWS = ("5m", "1h", "30m", "6h", "3d")
"""In pairs, as alerts look at them."""
_PAIRS = (("1h", "5m", 14.4, "page"), ("6h", "30m", 6.0, "page"), ("3d", "6h", 1.0, "ticket"))
_MOST = 50


class Row(NamedTuple):
    """One objective of one feature service. `burns`: by window, where it is told."""

    workspace: str
    service: str
    slo: str
    objective: float | None
    events: int
    bad: int
    burns: Mapping[str, float | None]
    state: str


class Told(NamedTuple):
    windows: Sequence[str]
    rows: Sequence[Row]


class Objectives:
    """Over all workers: a burn rate is what each worker tells, weighed by the events that it saw."""

    def of(self, reports: Sequence[Report], workspace: str | None = None, service: str | None = None) -> Told:
        """Of one feature service, or of those that use up most."""
        events = {one.labels: int(one.value) for one in summed(reports, f"{PREFIX}slo_events_total")}
        bad = {one.labels: int(one.value) for one in summed(reports, f"{PREFIX}slo_bad_events_total")}
        objectives = {one.labels: one.value for report in reports for one in report.families.get(f"{PREFIX}slo_objective_ratio", ())}
        burns = _burns(reports)
        rows = []
        for labels, count in events.items():
            own = burns.get(labels, {})
            told = {window: own.get(window) for window in WINDOWS}
            rows.append(Row(labels[0], labels[1], labels[2], objectives.get(labels), count, bad.get(labels, 0), told, _state(told)))
        wanted = [row for row in rows if row.service and (service is None or (row.workspace, row.service) == (workspace, service))]
        return Told(WINDOWS, sorted(wanted, key=_urgency)[:_MOST])


def _burns(reports: Sequence[Report]) -> Mapping[tuple[str, ...], Mapping[str, float]]:
    weighed: defaultdict[tuple[str, ...], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for report in reports:
        seen = {one.labels: one.value for one in report.families.get(f"{PREFIX}slo_events_total", ())}
        for one in report.families.get(f"{PREFIX}slo_burn_rate", ()):
            sums, weight = weighed[one.labels[:3]][one.labels[3]], seen.get(one.labels[:3], 0)
            sums[0] += one.value * weight
            sums[1] += weight
    return {
        labels: {window: total / weight for window, (total, weight) in windows.items() if weight} for labels, windows in weighed.items()
    }


def _state(burns: Mapping[str, float | None]) -> str:
    for long, short, threshold, state in _PAIRS:
        if (burns[long] or 0) > threshold and (burns[short] or 0) > threshold:
            return state
    return "ok"


def _urgency(row: Row) -> tuple[float, int, str, str, str]:
    return -max([rate or 0.0 for rate in row.burns.values()], default=0.0), -row.events, row.workspace, row.service, row.slo
