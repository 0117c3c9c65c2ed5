"""The reads of one feature service, and the values served of one feature view.

What a hit adds is on its way: the counts of one histogram, and a few integers. All else is worked out when somebody looks.
"""

from bisect import bisect_left
from collections import Counter
from enum import StrEnum
from typing import NamedTuple

from gateway.measures.histogram import AGES_S, DURATIONS_S, ROWS, Histogram

SAMPLED_EVERY = 16
"""Of so many reads one is looked at closely: the ages of its values, and which are missing. A power of two."""
_ROUND = SAMPLED_EVERY - 1


class Outcome(StrEnum):
    """What a read was to the cache: all of it came from there, some, none; some of it stale; the request forbade it; it failed."""

    HIT = "hit"
    PARTIAL = "partial"
    MISS = "miss"
    STALE = "stale"
    BYPASS = "bypass"
    ERROR = "error"

    __hash__ = str.__hash__


class Slo(StrEnum):
    """What is promised of a feature service's reads."""

    AVAILABILITY = "availability"
    LATENCY = "latency"
    STALE = "stale"

    __hash__ = str.__hash__


class Tally(NamedTuple):
    """So many events that count for an objective, and the bad ones among them. Both only grow."""

    events: int
    bad: int


class _Cell(Histogram):
    """The reads of one door with one outcome. `batches`: rows of each, where the door takes several."""

    __slots__ = ("batches",)

    def __init__(self, batches: Histogram | None) -> None:
        super().__init__(DURATIONS_S)
        self.batches = batches


class ServiceLedger:
    """`objective_s`: a read that takes longer is late. `views`: views served, by source. `errors`: by door, fault and HTTP status."""

    __slots__ = (
        "_batch_doors",
        "_beside",
        "_hits",
        "_sampled",
        "batches",
        "cells",
        "eligible",
        "errors",
        "late",
        "name",
        "objective_s",
        "row_errors",
        "server_errors",
        "stale",
        "views",
        "views_cache",
        "views_computed",
        "workspace",
    )

    def __init__(self, workspace: str, name: str, objective_s: float, batch_doors: frozenset[str]) -> None:
        self.workspace = workspace
        self.name = name
        self.objective_s = objective_s
        self.cells: dict[tuple[str, Outcome], _Cell] = {}
        self.batches: dict[str, Histogram] = {}
        self.errors: Counter[tuple[str, str, int]] = Counter()
        self.row_errors: Counter[str] = Counter()
        self.views: Counter[str] = Counter()
        self.views_cache = 0
        self.views_computed = 0
        self.eligible = 0
        """Reads that count for the latency objective, beside hits, which all do."""
        self.late = 0
        self.server_errors = 0
        self.stale = 0
        self._batch_doors = batch_doors
        self._beside: Counter[str] = Counter()
        """Rows beyond one of each read of a door that takes one: a query has several results, or none."""
        self._hits: dict[str, _Cell] = {}
        self._sampled = 0

    def hit(self, door: str, rows: int, kept: int, computed: int, elapsed_s: float) -> bool:
        """A read that was answered from the cache alone; `kept` and `computed` are views of one row. Whether to look at it closely."""
        cell = self._hits.get(door)
        if cell is None:
            cell = self._hits[door] = self.cell(door, Outcome.HIT)
        cell.counts[bisect_left(DURATIONS_S, elapsed_s)] += 1
        cell.total += elapsed_s
        if elapsed_s > self.objective_s:
            self.late += 1
        if cell.batches is not None:
            cell.batches.note(rows)
        self.views_cache += kept * rows
        if computed:
            self.views_computed += computed * rows
        self._sampled = sampled = self._sampled + 1
        return sampled & _ROUND == 1

    def read(self, door: str, outcome: Outcome, rows: int, elapsed_s: float, *, eligible: bool, server_error: bool = False) -> bool:
        """Any other read that was answered. `server_error`: some row of it was not, through no fault of its caller."""
        cell = self.cell(door, outcome)
        cell.note(elapsed_s)
        if cell.batches is not None:
            cell.batches.note(rows)
        elif rows != 1:
            self._beside[door] += rows - 1
        if eligible:
            self.eligible += outcome is not Outcome.HIT
            self.late += elapsed_s > self.objective_s
        self.stale += outcome is Outcome.STALE
        self.server_errors += server_error
        self._sampled += 1
        return self._sampled & _ROUND == 1

    def failed(self, door: str, fault: str, code: int, elapsed_s: float, *, server_error: bool) -> None:
        """A read that was answered with an error."""
        self.cell(door, Outcome.ERROR).note(elapsed_s)
        self.errors[door, fault, code] += 1
        self.server_errors += server_error

    def cell(self, door: str, outcome: Outcome) -> _Cell:
        known = self.cells.get((door, outcome))
        if known is None:
            batches = self.batches.setdefault(door, Histogram(ROWS)) if door in self._batch_doors and outcome is not Outcome.ERROR else None
            known = self.cells[door, outcome] = _Cell(batches)
        return known

    def rows(self) -> dict[str, int]:
        """Rows of reads that were answered, by door."""
        told = Counter(self._beside)
        for (door, outcome), cell in self.cells.items():
            if outcome is not Outcome.ERROR and cell.batches is None:
                told[door] += cell.count
        return {**told, **{door: int(batches.total) for door, batches in self.batches.items()}}

    def served(self) -> Counter[str]:
        """Views served, by source."""
        return self.views + Counter(cache=self.views_cache, computed=self.views_computed)

    def tallies(self) -> dict[Slo, Tally]:
        """Of each objective. Reads that fail through their caller, or through a definition, count for none."""
        answered = sum(cell.count for (_, outcome), cell in self.cells.items() if outcome is not Outcome.ERROR)
        hits = sum(cell.count for (_, outcome), cell in self.cells.items() if outcome is Outcome.HIT)
        failed = sum(count for (_, _, code), count in self.errors.items() if is_server_error(code))
        return {
            Slo.AVAILABILITY: Tally(answered + failed, self.server_errors),
            Slo.LATENCY: Tally(hits + self.eligible, self.late),
            Slo.STALE: Tally(answered, self.stale),
        }


def is_server_error(code: int) -> bool:
    """Whether a reply with this HTTP status breaks a promise: 429 too, for it is the origin that asks for fewer requests."""
    return code >= 500 or code == 429


class ViewLedger:
    """The values served of one view in the reads that were looked at closely: their ages, how many there were, how many of them missing.

    `bound_s`: how old they may be; None: as old as they like. An age is what the origin's effective time says; where it told none, the time
    since it was asked.
    """

    __slots__ = ("ages", "bound_s", "effective_ages", "features", "late", "missing", "name", "values", "workspace")

    def __init__(self, workspace: str, name: str, bound_s: float | None) -> None:
        self.workspace = workspace
        self.name = name
        self.bound_s = bound_s
        self.ages = Histogram(AGES_S)
        self.effective_ages = Histogram(AGES_S)
        self.features = 0
        self.missing = 0
        self.values = 0
        self.late = 0

    def served(self, pattern_length: int, missing: int) -> None:
        self.features += pattern_length
        self.missing += missing

    def aged(self, age_s: float, effective_age_s: float | None) -> None:
        self.ages.note(age_s)
        if effective_age_s is not None:
            self.effective_ages.note(effective_age_s)
        if self.bound_s is not None:
            self.values += 1
            self.late += (age_s if effective_age_s is None else effective_age_s) > self.bound_s

    def tally(self) -> Tally:
        """Of its freshness."""
        return Tally(self.values, self.late)
