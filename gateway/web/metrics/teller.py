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
"""Thousands of series take a while. Nobody waits longer for them than this, and one of them."""


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
        """All that this worker tells."""
        process = await asyncio.get_running_loop().run_in_executor(None, self._look)
        told, turn = Told(), _Turn()
        for name, value in process:
            told.of_process(name, value)
        for tell in self._tellers:
            for _ in tell(told):
                if turn.is_over:
                    await turn.give()
        return Report(self._worker, self._wall_s(), told.families(), tuple(self._book.recent), tuple(told.promises))

    async def reports(self) -> Sequence[Report]:
        """This worker's, and those of the others that answer in time; in the order of their numbers."""
        if self._siblings is None:
            return [_answering(await self.report())]
        others = await self._siblings.ask()
        return sorted([_answering(await self.report()), *others], key=lambda report: report.worker)

    async def text(self, form: Format) -> Sequence[bytes]:
        """For a scrape: in parts, for all together may be megabytes, which take their time only to be copied."""
        reports, turn = await self.reports(), _Turn()
        parts: list[bytes] = []
        pieces: list[str] = []
        for piece in written(reports, form, by_worker=self._siblings is not None):
            pieces.append(piece)
            if turn.is_over:
                parts.append("".join(pieces).encode())
                pieces.clear()
                await turn.give()
        return [*parts, "".join(pieces).encode()]

    async def aclose(self) -> None:
        if self._siblings is not None:
            await self._siblings.aclose()


class _Turn:
    """On the event loop, of whoever has much to do."""

    def __init__(self) -> None:
        self._until_s = time.perf_counter() + _AT_ONCE_S

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self._until_s

    async def give(self) -> None:
        """To the others."""
        await asyncio.sleep(0)
        self._until_s = time.perf_counter() + _AT_ONCE_S


def _answering(report: Report) -> Report:
    """The report of the worker that was asked, which says so."""
    one = Series((), report.worker)
    return msgspec.structs.replace(report, families=report.families | {WORKER: (one,)})
