"""One worker's report, and those of all the workers: for whoever scrapes, looks at the console, or watches the objectives."""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from gateway.measures.book import Book
from gateway.measures.families import Report, Series
from gateway.web.metrics.exposition import Format, written
from gateway.web.metrics.families import WORKER
from gateway.web.metrics.siblings import SiblingReports
from gateway.web.metrics.told import Tell, Told

_AT_ONCE_S = 0.001
"""The event loop is held no longer for text; then others have their turn."""


class Metrics:
    """What is told of one house. `look`: what the system says of the process; called in a thread. `siblings` None: this worker is alone."""

    def __init__(
        self,
        book: Book,
        tellers: Sequence[Tell],
        look: Callable[[], Sequence[tuple[str, float]]],
        worker: int = 1,
        siblings: SiblingReports | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._tellers = tellers
        self._look = look
        self._worker = worker
        self._siblings = siblings
        self._wall_s = wall_s

    async def begin(self) -> None:
        if self._siblings is not None:
            await self._siblings.begin(self.report)

    async def report(self) -> Report:
        """All that this worker tells, as of one moment."""
        process = await asyncio.get_running_loop().run_in_executor(None, self._look)
        told = Told()
        for name, value in process:
            told.of_process(name, value)
        for tell in self._tellers:
            tell(told)
        return Report(self._worker, self._wall_s(), told.families(), tuple(self._book.recent))

    async def reports(self) -> Sequence[Report]:
        """This worker's, and those of the others that answer in time; in the order of their numbers."""
        if self._siblings is None:
            return [_answering(await self.report())]
        others = await self._siblings.ask()
        return sorted([_answering(await self.report()), *others], key=lambda report: report.worker)

    async def text(self, form: Format) -> bytes:
        """For a scrape. Thousands of series take a while: others have their turn meanwhile."""
        pieces: list[str] = []
        until_s = time.perf_counter() + _AT_ONCE_S
        for piece in written(await self.reports(), form, by_worker=self._siblings is not None):
            pieces.append(piece)
            if time.perf_counter() > until_s:
                await asyncio.sleep(0)
                until_s = time.perf_counter() + _AT_ONCE_S
        return "".join(pieces).encode()

    async def aclose(self) -> None:
        if self._siblings is not None:
            await self._siblings.aclose()


def _answering(report: Report) -> Report:
    """The report of the worker that was asked, which says so."""
    one = Series((), report.worker)
    return msgspec.structs.replace(report, families=report.families | {WORKER: (one,)})
