"""A gateway without sockets: the edge's protocol class on a transport that keeps what is written, before a cluster whose replies come when
they are fetched, on a loop whose time stands still. So nothing happens but what a read itself does, in the same order each time."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import Context
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from uvicorn.server import ServerState

from gateway.app import Seams, create_app
from gateway.settings import checked
from gateway.web.edge import edge
from tests.harness.clock import PATIENCE_S, Clock
from tests.harness.cluster import ALICE
from tests.harness.houses import cluster_settings
from tests.serving.baskets import Shop


class Wire(asyncio.Transport):
    """Keeps what is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""

    abort = pause_reading = resume_reading = close

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits."""


class Loop(asyncio.SelectorEventLoop):
    """Its time stands still, its connections are `Wire`s, and it counts what it is given."""

    def __init__(self) -> None:
        self.callbacks = self.timers = self.tasks = 0
        self.lines: list[tuple[asyncio.Protocol, Wire]] = []
        super().__init__()

    def time(self) -> float:
        return 1_000.0

    def call_soon(self, callback: Callable[..., object], *arguments: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        self.callbacks += 1
        return super().call_soon(callback, *arguments, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any, context: Context | None = None) -> asyncio.TimerHandle:  # type: ignore[override]
        self.timers += 1
        return super().call_at(when, callback, *arguments, context=context)

    def create_task(self, *arguments: Any, **options: Any) -> asyncio.Task[Any]:
        self.tasks += 1
        return super().create_task(*arguments, **options)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)

    async def create_connection(self, protocol_factory: Callable[[], asyncio.Protocol], *_: Any, **__: Any) -> Any:  # type: ignore[override]
        protocol, wire = protocol_factory(), Wire()
        protocol.connection_made(wire)
        self.lines.append((protocol, wire))
        return wire, protocol


class Stand:
    """One connection to a gateway."""

    def __init__(self, loop: Loop, app: Any, url: str) -> None:
        self.loop, self._url = loop, url
        self.origin_calls = 0
        self._asked = b""
        self._foreseen: dict[bytes, bytes] = {}
        protocol = edge(app.routes, app.limits, app.lifecycle, app.admission, app.counters, app.book.problems)
        config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, access_log=False, server_header=False)
        config.load()
        self.wire = Wire()
        self.edge = protocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.edge.connection_made(self.wire)

    def hand(self, protocol: asyncio.Protocol, data: bytes) -> None:
        """As the transport does, from within the loop."""
        asyncio.events._set_running_loop(self.loop)
        try:
            protocol.data_received(data)
        finally:
            asyncio.events._set_running_loop(None)

    def turn(self) -> None:
        """One turn of the loop: all that is ready now."""
        asyncio.SelectorEventLoop.call_soon(self.loop, self.loop.stop)
        self.loop.run_forever()

    def fetch(self) -> tuple[asyncio.Protocol, bytes] | None:
        """The cluster's reply to what it was asked since, whole, and whom to give it; None where nothing was."""
        for protocol, wire in self.loop.lines:
            if wire.written:
                asked = b"".join(wire.written)
                wire.written.clear()
                self.origin_calls += 1
                foreseen = self._foreseen.pop(asked.partition(b"\r\n\r\n")[2], None)
                if foreseen is not None:
                    return protocol, foreseen
                self._asked = asked
                return protocol, exchange(self._url, asked)
        return None

    def foresee(self, known: str, user: str) -> None:
        """Ask the cluster of this user now, as it was asked of a known one last, so that the read itself waits for no socket."""
        asked = self._asked.replace(known.encode(), user.encode())
        self._foreseen[asked.partition(b"\r\n\r\n")[2]] = exchange(self._url, asked)

    def give(self) -> None:
        """What the cluster was asked is answered, all in one piece."""
        while (reply := self.fetch()) is not None:
            self.hand(*reply)

    def ask(self, wire: bytes) -> bytes:
        """The answer, however many turns and replies it takes."""
        self.wire.written.clear()
        self.hand(self.edge, wire)
        for _ in range(200):
            if self.wire.written and (answer := b"".join(self.wire.written)).partition(b"\r\n\r\n")[2]:
                self.turn()
                return answer
            if (reply := self.fetch()) is not None:
                self.hand(*reply)
            self.turn()
        raise AssertionError("no answer")


def exchange(url: str, asked: bytes) -> bytes:
    address = urlsplit(url)
    assert address.hostname is not None
    with closing(socket.create_connection((address.hostname, address.port or 0), timeout=PATIENCE_S)) as connection:
        connection.sendall(asked)
        received = b""
        while True:
            received += connection.recv(65_536)
            head, found, body = received.partition(b"\r\n\r\n")
            if found and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
                return received


def post(path: str, body: Any, ending: bytes = b"") -> bytes:
    """`ending`: white space behind the body."""
    content = json.dumps(body, separators=(",", ":")).encode() + ending
    head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Tecton-key {ALICE}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@contextmanager
def stand(**tree: Any) -> Iterator[Stand]:
    """A gateway before the scripted cluster, as it is set up in production, but that nothing is traced: who is traced is told by lot."""
    loop = Loop()
    with Shop() as shop:
        settings = checked(cluster_settings(shop.url, telemetry={"sample_ratio": 0.0}, guard={}, **tree))
        app = create_app(settings, Seams(Clock(), environment={}))
        asyncio.set_event_loop(loop)
        one = Stand(loop, app, shop.url)
        try:
            yield one
        finally:
            one.edge.connection_lost(None)
            for task in asyncio.all_tasks(loop):
                task.cancel()
            one.turn()
            asyncio.set_event_loop(None)
            loop.close()
