"""The other workers behind the same port, as far as metrics go: each is asked for its own report when somebody asks one of them.

A worker listens on a Unix socket in the folder that is private to them all. To connect is to ask; the answer is a report, and the end.
Whoever is not there, or does not answer in time, is left out: the next scrape finds it again, and reads wait for neither.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from gateway.counters import Counters
from gateway.lifecycle import Worker
from gateway.measures.families import Report
from gateway.tasks import Tasks

PATIENCE_S = 0.5

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Report).decode


class SiblingReports:
    """Belongs to one event loop. Opens nothing until `begin`."""

    def __init__(self, worker: Worker, tasks: Tasks, counters: Counters, patience_s: float = PATIENCE_S) -> None:
        self._worker = worker
        self._tasks = tasks
        self._counters = counters
        self._patience_s = patience_s
        self._places = [_place(worker.folder, number) for number in range(1, worker.count + 1) if number != worker.number]
        self._server: asyncio.Server | None = None

    async def begin(self, report: Callable[[], Awaitable[Report]]) -> None:
        """From here on the others are told `report`."""
        place = _place(self._worker.folder, self._worker.number)
        place.unlink(missing_ok=True)  # of a worker that died here
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Asked(report, self._tasks), place)

    async def ask(self) -> Sequence[Report]:
        """Those of the others that answer within `patience_s`, in the order of their numbers. The rest are counted."""
        answers = await asyncio.gather(*[self._tasks.start(self._asked(place)) for place in self._places])
        reports = [answer for answer in answers if answer is not None]
        self._counters.reports_missed += len(answers) - len(reports)
        return reports

    async def _asked(self, place: Path) -> Report | None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self._patience_s):
                reader, writer = await asyncio.open_unix_connection(place)
                return _decode(await reader.read())
        except (OSError, TimeoutError, msgspec.DecodeError):  # it is not there, is busy, or died over its answer
            return None
        finally:
            if writer is not None:
                writer.close()

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
            _place(self._worker.folder, self._worker.number).unlink(missing_ok=True)


def _place(folder: Path, number: int) -> Path:
    return folder / f"{number}.told"


class _Asked(asyncio.Protocol):
    """Whoever connects is answered."""

    def __init__(self, report: Callable[[], Awaitable[Report]], tasks: Tasks) -> None:
        self._report = report
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tasks.start(self._answer(cast("asyncio.Transport", transport)))  # uvloop's is one in all but its ancestry

    async def _answer(self, transport: asyncio.Transport) -> None:
        try:
            transport.write(_encode(await self._report()))
        finally:
            transport.close()
