"""Workers that tell one another what they have counted: whoever answers in time is heard, and nobody else is waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

from gateway.counters import Counters
from gateway.lifecycle import Worker
from gateway.measures.book import Book
from gateway.measures.families import Report, Series
from gateway.tasks import Tasks
from gateway.web.metrics.exposition import Format
from gateway.web.metrics.families import PREFIX
from gateway.web.metrics.siblings import SiblingReports
from gateway.web.metrics.teller import Metrics
from gateway.web.metrics.told import Told
from tests.harness.clock import PATIENCE_S
from tests.web.metrics.samples import of, samples

READS = f"{PREFIX}read_duration_seconds"


class One:
    """A worker's end, which tells its number."""

    def __init__(self, folder: Path, number: int, count: int, patience_s: float = PATIENCE_S) -> None:
        self.number = number
        self.counters = Counters()
        self.report: Callable[[], Awaitable[Report]] = self.told
        self.tasks = Tasks()
        self.reports = SiblingReports(Worker(number, count, folder), self.tasks, self.counters, patience_s)

    async def asked(self) -> Report:
        return await self.report()

    async def told(self) -> Report:
        return Report(self.number, 1.0, {READS: (Series(("a", "b", "c", "hit"), 2.0, (1, 0, 2)),)})

    async def __aenter__(self) -> Self:
        await self.reports.begin(self.asked)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tasks.aclose()
        await self.reports.aclose()


async def test_each_is_told_what_the_others_have_counted(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(One(tmp_path, number, 3)) for number in (1, 2, 3)]
        for worker in workers:
            assert await worker.reports.ask() == [await one.told() for one in workers if one is not worker]
            assert worker.counters.reports_missed == 0


async def test_whoever_is_not_there_is_left_out_and_counted_and_found_again(tmp_path: Path) -> None:
    async with One(tmp_path, 1, 3) as one:
        assert await one.reports.ask() == []
        async with One(tmp_path, 2, 3) as two:
            assert await one.reports.ask() == [await two.told()]
        assert await one.reports.ask() == []
        (tmp_path / "3.told").touch()  # of a worker that died there
        async with One(tmp_path, 3, 3) as three:
            assert await one.reports.ask() == [await three.told()]
    assert one.counters.reports_missed == 2 + 1 + 2 + 1


async def test_whoever_does_not_answer_in_time_is_left_out(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def late() -> Report:
        await gate.wait()
        return await two.told()

    async with One(tmp_path, 1, 3, 0.05) as one, One(tmp_path, 2, 3) as two, One(tmp_path, 3, 3) as three:
        two.report = late
        assert await one.reports.ask() == [await three.told()]
        assert one.counters.reports_missed == 1
        gate.set()
        two.report = two.told
        assert len(await SiblingReports(Worker(1, 3, tmp_path), one.tasks, one.counters, PATIENCE_S).ask()) == 2


@pytest.mark.parametrize("answer", [b"", b"\x81", b"[]", b"\xc1garbage"])
async def test_an_answer_that_is_none_is_left_out(tmp_path: Path, answer: bytes) -> None:
    async def answering(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(answering, tmp_path / "2.told")
    async with server, One(tmp_path, 1, 2) as one:
        assert await one.reports.ask() == []
        assert one.counters.reports_missed == 1


async def test_one_that_cannot_tell_ends_its_answer(tmp_path: Path) -> None:
    async def failing() -> Report:
        raise RuntimeError

    async with One(tmp_path, 1, 2) as one, One(tmp_path, 2, 2) as two:
        two.report = failing
        assert await one.reports.ask() == []


async def test_all_that_several_workers_tell_has_its_worker_and_only_the_one_that_is_asked_says_so(tmp_path: Path) -> None:
    def tell(told: Told) -> Iterable[None]:
        told.number("flights", 3)
        told.number("worker", 0)
        return ()

    async with One(tmp_path, 1, 2) as one:
        async with One(tmp_path, 2, 2) as two:
            metrics = {worker.number: Metrics(Book(), [tell], list, worker.number, worker.reports) for worker in (one, two)}
            one.report, two.report = metrics[1].report, metrics[2].report
            for asked in (1, 2):
                told = samples(b"".join(await metrics[asked].text(Format.OPENMETRICS)).decode())
                assert of(told, "flights") == {(("worker", "1"),): 3, (("worker", "2"),): 3}
                assert of(told, "worker", worker=str(asked)) == {(("worker", str(asked)),): asked}
                assert all("worker" in dict(labels) for _, labels in told)
        alone = samples(b"".join(await metrics[1].text(Format.TEXT)).decode())
        assert of(alone, "flights") == {(("worker", "1"),): 3}
