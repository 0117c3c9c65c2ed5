"""The protocol class without a socket, bytes cut in all places, and llhttp to compare with."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import httptools
import uvicorn
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.counters import Counters
from gateway.lifecycle import Lifecycle
from gateway.settings import Server
from gateway.web.edge import Edge, edge
from gateway.web.edge.admission import Admission
from tests.web.edge.corpus import Seen

LIMITS = Server.model_validate({})
MANY_BYTES = 1_000
"""Longer cases are cut at some places only."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = self.ended = self.aborted = self.reading_paused = self.wrote_late = False
        self.half_closes = True

    def write(self, data: Any) -> None:
        self.wrote_late |= self.ended
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return self.half_closes

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.sent)]


class Application:
    """Reads each request's body and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.headers: list[Sequence[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append(Seen(scope["method"], scope["path"], body))
        self.headers.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


class Bench:
    """Connections to a protocol class of its own, one after another."""

    def __init__(self, routes: Sequence[BaseRoute] = ()) -> None:
        self.app, self.counters = Application(), Counters()
        self.problems: Counter[tuple[int, str]] = Counter()
        admission = Admission(LIMITS.max_connections, LIMITS.max_connections_per_client)
        self.edge = edge(routes, LIMITS, Lifecycle(), admission, self.counters, self.problems)
        self._config = uvicorn.Config(self.app, http=self.edge, lifespan="off", log_config=None, access_log=False, server_header=False)
        self._config.load()
        self._state = ServerState()

    def connect(self) -> tuple[Edge, Wire]:
        connection, wire = self.edge(config=self._config, server_state=self._state, app_state={}), Wire()
        connection.connection_made(wire)
        return connection, wire

    async def feed(self, parts: Sequence[bytes], answers: int, *, turns: int = 0) -> Wire:
        """What a client gets that sends these parts, so many turns of the loop apart, and leaves when there are as many answers."""
        connection, wire = self.connect()
        for part in parts:
            if not wire.closed:
                connection.data_received(part)
            for _ in range(turns):
                await asyncio.sleep(0)
        for _ in range(50):
            if len(wire.statuses()) >= answers:
                break
            await asyncio.sleep(0)
        for _ in range(3):  # for what the application may still say
            await asyncio.sleep(0)
        connection.connection_lost(None)
        assert not wire.wrote_late
        assert not len(self.edge.watch)
        assert not self.edge.admission.connections
        return wire


def cuts(raw: bytes) -> Iterator[Sequence[bytes]]:
    """Cut at every byte; and into single bytes."""
    step = 1 if len(raw) < MANY_BYTES else len(raw) // 25
    yield [raw]
    for at in range(1, len(raw), step):
        yield [raw[:at], raw[at:]]
    if len(raw) < MANY_BYTES:
        yield [raw[at : at + 1] for at in range(len(raw))]


class Understood:
    """What llhttp reads."""

    def __init__(self, raw: bytes) -> None:
        self.url, self.body, self.headers, self.complete, self.keep_alive = b"", b"", list[tuple[bytes, bytes]](), 0, False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(raw)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b"\t ")))

    def on_headers_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1
