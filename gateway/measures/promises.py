"""Whether what is promised is kept: of each feature service and view, what is promised, and what became of it in each window.

One object per process and house. Its figures go to the scrape and, as they are, from one worker to another.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.measures.book import Book
from gateway.measures.burn import Burns, Past, Subject
from gateway.measures.ledgers import Slo, Tally
from gateway.measures.objectives import Objectives

FRESHNESS = "freshness"
"""What is promised of a view."""
EVERY_S = 5.0
_AT_ONCE = 32
"""Ledgers that are looked at before others have their turn: a few hundred microseconds."""


class Promise(msgspec.Struct, frozen=True, array_like=True):
    """`name`: of a feature service, or for `slo` freshness of a view. `objective`: the share that is to be good. `within_s`: how long a
    read may take, or how old a value may be."""

    workspace: str
    name: str
    slo: str
    objective: float
    within_s: float | None
    pasts: dict[str, Past]

    @property
    def subject(self) -> Subject:
        return self.workspace, self.name, self.slo


class _Said(NamedTuple):
    """A promise, and its tally until now."""

    subject: Subject
    objective: float
    within_s: float | None
    tally: Tally


class Promises:
    """`objectives` may be others at any time; what is past is held against them too."""

    def __init__(self, book: Book, objectives: Objectives, clock: Callable[[], float] = time.monotonic) -> None:
        self.objectives = objectives
        self._book = book
        self._clock = clock
        self._burns = Burns(clock())

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            if self._burns.is_due(self._clock()):
                await self.note()

    async def note(self) -> None:
        """The tallies of now, for the windows to begin with."""
        tallies: dict[Subject, Tally] = {}
        for count, said in enumerate(self._said()):
            tallies[said.subject] = said.tally
            if count % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        self._burns.note(self._clock(), tallies)

    def told(self) -> Iterator[Promise]:
        """As they are kept now."""
        look = self._burns.look(self._clock())
        for said in self._said():
            yield Promise(*said.subject, said.objective, said.within_s, look.pasts(said.subject, said.tally))

    def _said(self) -> Iterator[_Said]:
        """Not of reads that failed before it was known what they read: nobody was promised those."""
        for (workspace, name), ledger in sorted(self._book.services.items()):
            if not name:
                continue
            shares = self.objectives.shares(workspace, name)
            for slo, tally in ledger.tallies().items():
                yield _Said((workspace, name, slo), shares[slo], ledger.objective_s if slo is Slo.LATENCY else None, tally)
        for (workspace, name), view in sorted(self._book.views.items()):
            if view.bound_s is not None:
                yield _Said((workspace, name, FRESHNESS), self.objectives.freshness(name), view.bound_s, view.tally())


def summed_promises(told: Sequence[Sequence[Promise]]) -> Mapping[Subject, Promise]:
    """Of several workers: what each saw is added, and the longest of their pasts is told as the length."""
    added: dict[Subject, Promise] = {}
    for promise in [promise for worker in told for promise in worker]:
        known = added.get(promise.subject)
        pasts = promise.pasts if known is None else {name: _added(past, known.pasts[name]) for name, past in promise.pasts.items()}
        added[promise.subject] = msgspec.structs.replace(promise, pasts=pasts)
    return added


def _added(one: Past, other: Past) -> Past:
    return Past(max(one.length_s, other.length_s), one.events + other.events, one.bad + other.bad)
