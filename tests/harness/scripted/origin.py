"""The scripted origin: raw bytes over real sockets, in a thread with an event loop of its own, on asyncio protocols.

It answers as the cluster that it is given would, unless a script says otherwise, and notes what it was asked, when, and on which
connection. On one core it answers several thousand requests a second, so it serves under load as well.
"""

import asyncio
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar, cast

from tests.harness.clock import PATIENCE_S
from tests.harness.cluster import Cluster
from tests.harness.scripted.scripts import right
from tests.harness.scripted.steps import Deafen, Exchange, HalfFinish, Reach, Reset, Script, Send, Step, Wait
from tests.harness.sockets import Request, ThreadedServer, read_head, unpacked

_NO_LINGER = struct.pack("ii", 1, 0)
READ = "get-features"
T = TypeVar("T")


@dataclass(slots=True)
class Connections:
    """How many there are, and have been."""

    open: int = 0
    peak: int = 0
    total: int = 0


class ScriptedOrigin(ThreadedServer):
    """`act` is for the next requests of an endpoint, one each; `always` for all that no `act` is left for. Both may be called from any
    thread while it runs. `greeting`: what is done with each connection as it is accepted, before any request."""

    def __init__(self, cluster: Cluster | None = None, *, port: int = 0) -> None:
        super().__init__()
        self._port = port
        self.cluster = cluster or Cluster()
        self.exchanges: list[Exchange] = []
        self.connections = Connections()
        self.greeting: tuple[Step, ...] = ()
        self._script: defaultdict[str, deque[Script]] = defaultdict(deque)
        self._always: dict[str, Script] = {}
        self._live: set[_Connection] = set()
        self._accepting = asyncio.Event()

    def act(self, *scripts: Script, endpoint: str = READ) -> None:
        self._script[endpoint].extend(scripts)

    def always(self, script: Script | None, endpoint: str = READ) -> None:
        if script is None:
            self._always.pop(endpoint, None)
        else:
            self._always[endpoint] = script

    def asked(self, endpoint: str = READ) -> list[Exchange]:
        """In order of arrival."""
        return [one for one in self.exchanges if one.endpoint == endpoint]

    def accept(self, *, yes: bool) -> None:
        """Whether connections are accepted. Those that are not wait in the listener's queue, where a client takes them for open ones."""
        self._on_loop(self._accepting.set if yes else self._accepting.clear)

    def freeze(self) -> int:
        """Every connection that is open becomes half-open; new ones are well. How many."""
        return self._on_loop(lambda: sum(one.deafen() for one in list(self._live)))

    def close_idle(self, *, reset: bool = False) -> int:
        """End every connection on which no request is being answered. How many; their ends are out by then."""
        ended = self._on_loop(lambda: sum(one.end(reset=reset) for one in list(self._live) if one.idle))
        self._on_loop(lambda: None)  # a transport closes its socket one turn of the loop later
        return ended

    def interject(self, data: bytes) -> int:
        """Send bytes on every idle connection. How many."""
        return self._on_loop(lambda: sum(one.interject(data) for one in list(self._live) if one.idle))

    def _on_loop(self, what: Callable[[], T]) -> T:
        assert self._loop is not None
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(what())
            except BaseException as error:  # noqa: BLE001 - it is raised where it was called for
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(PATIENCE_S)

    async def serve(self, listener: socket.socket, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._accepting = asyncio.Event()
        self._accepting.set()
        accepting = loop.create_task(self._accept(listener))
        await stopping.wait()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listener.close()
        for connection in list(self._live):
            connection.end(reset=True)
        await asyncio.sleep(0)  # for `connection_lost`

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._accepting.wait()
            sock, _ = await loop.sock_accept(listener)
            try:
                await self._accepting.wait()  # this one was being waited for already
            except asyncio.CancelledError:
                sock.close()
                raise
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(lambda: _Connection(self), sock)

    # what connections ask of it

    def joined(self, connection: "_Connection") -> int:
        self._live.add(connection)
        counts = self.connections
        counts.open, counts.total = counts.open + 1, counts.total + 1
        counts.peak = max(counts.peak, counts.open)
        return counts.total - 1

    def left(self, connection: "_Connection") -> None:
        self._live.discard(connection)
        self.connections.open -= 1

    def steps_for(self, request: Request, connection: int, turn: int) -> Iterable[Step]:
        exchange = Exchange(request, self.cluster, connection, turn, time.monotonic())
        self.exchanges.append(exchange)
        scripted = self._script[exchange.endpoint]
        script = scripted.popleft() if scripted else self._always.get(exchange.endpoint, right)
        return script(exchange)


class _Connection(asyncio.Protocol):
    """One request at a time; more that come meanwhile wait in the buffer."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        self._origin = origin
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._steps: Iterator[Step] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0
        self._gone = False
        self._deaf = False

    @property
    def idle(self) -> bool:
        return self._steps is None and not self._gone and not self._deaf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._origin.joined(self)
        if self._origin.greeting:
            self._steps = iter(self._origin.greeting)
            self._go_on()

    def connection_lost(self, _: Exception | None) -> None:
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
        self._origin.left(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take()

    def _take(self) -> None:
        while self.idle and (request := self._request()) is not None:
            self._steps = iter(self._origin.steps_for(request, self._number, self._turn))
            self._turn += 1
            self._do()

    def _request(self) -> Request | None:
        """The next whole request that has come in."""
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        method, path, headers = read_head(bytes(self._buffer[:end]))
        size = int(headers.get("content-length", "0"))
        if len(self._buffer) < end + size:
            return None
        body = bytes(self._buffer[end : end + size])
        del self._buffer[: end + size]
        return Request(method, path, headers, unpacked(body, headers))

    def _go_on(self) -> None:
        self._timer = None
        self._do()
        self._take()

    def _do(self) -> None:
        """Steps, up to one that takes time or ends the connection."""
        for step in self._steps or ():
            if self._gone or self._deaf:
                return
            if isinstance(step, Send):
                self._transport.write(step.data)
            elif isinstance(step, Wait):
                self._timer = self._loop.call_later(step.seconds, self._go_on)
                return
            elif isinstance(step, Reach):
                self._loop.create_task(step.hold.reach()).add_done_callback(lambda _: self._go_on())
                return
            elif isinstance(step, HalfFinish):
                self._transport.write_eof()
                return
            elif isinstance(step, Deafen):
                self.deafen()
                return
            else:
                self.end(reset=isinstance(step, Reset))
                return
        self._steps = None

    def deafen(self) -> bool:
        """No byte is read or written any more. What was under way never ends."""
        if self._deaf or self._gone or self._transport.is_closing():
            return False
        if self._timer is not None:
            self._timer.cancel()
        if self._transport.is_reading():
            self._transport.pause_reading()
        self._deaf = True
        return True

    def end(self, *, reset: bool) -> bool:
        if self._gone:
            return False
        if reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self._transport.abort()
        else:
            self._transport.close()
        self._gone = True
        return True

    def interject(self, data: bytes) -> bool:
        self._transport.write(data)
        return True
