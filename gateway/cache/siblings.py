"""The other workers behind the same port: each has a cache of its own, and must have dropped what is purged before that is acknowledged.

A worker listens on a Unix socket in a folder that is private to them all, and opens a line to each of the others when it first has
something to say. A frame is a length, a number and a message (`cache.shared.layout`'s); the answer to it is its number, once the message
has been acted on.

Nothing is kept for whoever is not there. A worker listens before its first read, so one that cannot be reached has kept nothing yet, or
does not live any more; nor does one whose line ends. One that lives and does not answer is waited for, for a bounded time.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

from gateway.cache.shared.layout import Message, decode_message, encode_message
from gateway.cache.sharing import Invalidation
from gateway.counters import Counters
from gateway.lifecycle import Worker
from gateway.tasks import Tasks

PATIENCE_S = 5.0
"""Far more than a worker takes that is well: the acknowledgement of a purge means that no worker serves what it purged."""
_HEAD = struct.Struct("!IQ")
_ANSWER = struct.Struct("!Q")

logger = logging.getLogger(__name__)
Hear = Callable[[Sequence[Invalidation]], Awaitable[None]]


class Siblings:
    """Belongs to one event loop. Opens nothing until `begin`."""

    def __init__(self, worker: Worker, tasks: Tasks, counters: Counters, patience_s: float = PATIENCE_S) -> None:
        self._worker = worker
        self._tasks = tasks
        self._counters = counters
        self._patience_s = patience_s
        self._lines = {number: _Line(_place(worker.folder, number)) for number in range(1, worker.count + 1) if number != worker.number}
        self._server: asyncio.Server | None = None
        self._heard: set[_Ear] = set()

    async def begin(self, hear: Hear) -> None:
        """From here on the others are heard: to be called before the first read."""
        place = _place(self._worker.folder, self._worker.number)
        place.unlink(missing_ok=True)  # of a worker that died here
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Ear(hear, self._tasks, self._heard), place)

    async def tell(self, told: Sequence[Invalidation]) -> None:
        """Returns when all that live have acted on it, or `patience_s` have passed; that is counted, and said."""
        wire = encode_message(Message.of(str(self._worker.number), told))
        telling = {self._tasks.start(line.tell(wire)) for line in self._lines.values()}
        _, late = await asyncio.wait(telling, timeout=self._patience_s)
        for task in late:
            task.cancel()
        if late:
            self._counters.sibling_failures += len(late)
            logger.warning("%d workers did not confirm a purge within %g s: they may serve what it purged", len(late), self._patience_s)

    async def aclose(self) -> None:
        """When no read runs any longer: whoever tells something now need not wait for this worker."""
        if self._server is not None:
            self._server.close()
            for ear in list(self._heard):
                ear.close()
            _place(self._worker.folder, self._worker.number).unlink(missing_ok=True)
        for line in self._lines.values():
            line.close()


def _place(folder: Path, number: int) -> Path:
    return folder / f"{number}.sock"


class _Line:
    """To one of the others. Opened anew when it has ended."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._opening = asyncio.Lock()
        self._mouth: _Mouth | None = None

    async def tell(self, wire: bytes) -> None:
        """Returns once it has been acted on, or there is nobody to act on it."""
        async with self._opening:
            if self._mouth is None or self._mouth.ended:
                try:
                    _, self._mouth = await asyncio.get_running_loop().create_unix_connection(_Mouth, str(self._place))
                except OSError:
                    return
            answered = self._mouth.say(wire)
        await answered

    def close(self) -> None:
        if self._mouth is not None:
            self._mouth.close()


class _Framed(asyncio.Protocol):
    """What both ends have in common."""

    transport: asyncio.Transport
    ended = False

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended = True

    def close(self) -> None:
        self.transport.close()


class _Mouth(_Framed):
    """Says, and hears whether that was acted on."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def say(self, wire: bytes) -> "asyncio.Future[None]":
        self._last += 1
        answered = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        self.transport.write(_HEAD.pack(len(wire), self._last) + wire)
        return answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        whole = len(self._received) // _ANSWER.size * _ANSWER.size
        for (number,) in _ANSWER.iter_unpack(self._received[:whole]):
            self._settle(number)
        del self._received[:whole]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for number in list(self._waiting):
            self._settle(number)

    def _settle(self, number: int) -> None:
        answered = self._waiting.pop(number, None)
        if answered is not None and not answered.done():  # done: nobody waits any longer
            answered.set_result(None)


class _Ear(_Framed):
    """Hears, and answers what has been acted on."""

    def __init__(self, hear: Hear, tasks: Tasks, heard: "set[_Ear]") -> None:
        super().__init__()
        self._hear = hear
        self._tasks = tasks
        self._others = heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._others.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._others.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= _HEAD.size:
            length, number = _HEAD.unpack_from(self._received)
            if len(self._received) < _HEAD.size + length:
                return
            message = decode_message(bytes(self._received[_HEAD.size : _HEAD.size + length]))
            del self._received[: _HEAD.size + length]
            if message is None:
                logger.error("A worker said what this one does not understand; its line is closed")
                self.close()
                return
            self._tasks.start(self._act(number, message))

    async def _act(self, number: int, message: Message) -> None:
        await self._hear((*message.purges, *message.writes))
        if not self.ended:
            self.transport.write(_ANSWER.pack(number))
