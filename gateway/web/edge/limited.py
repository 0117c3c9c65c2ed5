"""A connection within limits: whether it may come in, by when something must come or be read, and how it ends.

What of a request is coming in, and what is answered, is the business of `connection`.
"""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.counters import Counters
from gateway.errors import GatewayError, TooManyConnections
from gateway.settings import Server
from gateway.web.edge.admission import Admission
from gateway.web.edge.spelling import last_words
from gateway.web.edge.watch import Watch
from gateway.web.problems import status_of

LINGER_S = 2.0
"""How long a refused client may take to read why."""
_LINGER_BYTES = 16_777_216
_UNSENT_BYTES = 131_072


def bound_unsent(connection: socket.socket) -> None:
    """What the system keeps for a client that does not read, else 4 MiB (`net.ipv4.tcp_wmem`). What is on its way is not bounded."""
    if connection.family in {socket.AF_INET, socket.AF_INET6} and sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


class Limited(HttpToolsProtocol):
    """uvicorn's protocol with a place to come in, a way to end, and two clocks: see `watch.Watched`.

    What is added to uvicorn's attributes stands in slots: with more than thirty in its `__dict__`, an object no longer shares their table
    with others of its class, and each connection would have one of its own to be read from memory.
    """

    __slots__ = ("_address", "_admitted", "_deaf", "_dropped_bytes", "_leaving", "due_s", "read_by_s")

    limits: Server
    counters: Counters
    problems: Counter[tuple[int, str]]
    """Error replies, by HTTP status and fault."""
    admission: Admission
    watch: Watch

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.due_s = self.read_by_s = inf
        self._address: str | None = None
        self._admitted = False
        self._deaf = False  # whatever comes is dropped
        self._dropped_bytes = 0
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else None
        if not self.admission.enter(self._address):
            self.counters.refused_connections += 1
            self.transport, self._deaf = transport, True
            transport.write(self._last_words(TooManyConnections(), b""))
            transport.close()
            return
        self._admitted = True
        if peer_socket := transport.get_extra_info("socket"):
            bound_unsent(peer_socket)
        super().connection_made(transport)
        self.due_s = self.loop.time() + self.limits.header_timeout_s
        self.watch.enter(self, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        if self._admitted:
            self.admission.leave(self._address)
            self.watch.leave(self)
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.read_by_s = self.loop.time() + self.limits.write_timeout_s

    def resume_writing(self) -> None:
        super().resume_writing()
        self.read_by_s = inf

    def expire(self, now_s: float) -> None:
        if self.read_by_s <= now_s or self._deaf or self.transport.is_closing():
            self.counters.unread_replies += not self._deaf
            self._cut()
        else:
            self.overdue(now_s)

    def overdue(self, now_s: float) -> None:
        """What the client owes did not come in time."""
        raise NotImplementedError

    def _busy(self) -> bool:
        """Whether ASGI is still answering a request of this connection."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn types it as always there; before the first request it is not
        return cycle is not None and not cycle.response_complete

    def _idle_until(self) -> float:
        return self.loop.time() + self.timeout_keep_alive

    def _last_words(self, error: GatewayError, begun: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """See `spelling`; to be said, for they are counted."""
        self.problems[status_of(error), error.fault] += 1
        return last_words(error, begun, self.server_state.default_headers, more)

    def _say_last(self, words: bytes) -> None:
        self.due_s = self.loop.time() + LINGER_S
        if self.transport.is_closing():
            return
        self.transport.write(words)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _drop(self, size_bytes: int) -> None:
        """Of a client that is still sending. Past a bound it is left to wait: it can read, and it will be cut."""
        self._dropped_bytes += size_bytes
        if self._dropped_bytes > _LINGER_BYTES and not self.transport.is_closing():
            self.transport.pause_reading()

    def _close(self) -> None:
        """Close when what was written has been read; the watch sees to it that this ends."""
        self.transport.close()
        self.due_s = self.loop.time() + self.limits.write_timeout_s

    def _cut(self) -> None:
        self.due_s = self.read_by_s = inf
        self.transport.abort()
