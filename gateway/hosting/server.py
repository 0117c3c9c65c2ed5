"""uvicorn's server, with a beginning and an end of its own. Knows nothing of other workers, nor of what is served.

A life: start up, tell, serve; and from the signal on

    1  leaving    readiness is red; everything is still answered, each reply the last on its connection, for `drain_s`
    2  closing    nobody new may connect; whoever waits in the listener's queue is let in, and it closes; idle connections end
    3  finishing  what is under way, or coming in, is answered, for up to `grace_s`; what then remains is told 503, and cut
    4  ending     the operations' listener closes, and the application's lifespan ends: tasks, spans, stores

A second signal goes on to the end of 3 at once.
"""

import asyncio
import gc
import logging
import signal
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, MappingProxyType
from typing import Any

import uvicorn

from gateway.app import Gateway
from gateway.counters import Counters
from gateway.hosting.listener import HANDSHAKE_S, accepted, shut
from gateway.hosting.operations import OperationsListener
from gateway.hosting.tls import ListenerTls
from gateway.lifecycle import Lifecycle
from gateway.web.edge import Edge, edge
from gateway.web.edge.admission import Admission

KEEP_ALIVE_S = 75
"""Longer than the idle time of common load balancers and clients, so that it is they who close."""
OPERATORS = 64
"""Connections for probes and scrapes, where they have a port of their own."""
FIRST_REQUEST_S = 0.5
"""How long a new connection is given to begin its first request, once the listener has closed."""
_TICK_S = 0.1
_TICKS_PER_DAY = 864_000
_RENEW_TICKS = 100
_POLL_S = 0.02
_CUT_S = 1.0
"""For those who are cut to be told so."""
OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "log_config": None,  # its loggers are the process's (`hosting.logs`)
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nobody here asks for the client's address
        "timeout_keep_alive": KEEP_ALIVE_S,
    }
)

logger = logging.getLogger(__name__)


class Config(uvicorn.Config):
    """uvicorn's settings, and the listener's TLS, where it has any."""

    tls: ListenerTls | None = None


def configured(app: Gateway, **other: Any) -> Config:
    """For this application. `other` wins. Raises SettingsError for certificates that cannot be used."""
    options: dict[str, Any] = {
        **OPTIONS,
        "http": edge(app.routes, app.limits, app.lifecycle, app.admission, app.counters, app.book.problems),
    }
    tls = None if app.limits.tls_certificate_file is None else ListenerTls(app.limits)
    if tls is not None:
        context = tls.context
        options["ssl_context_factory"] = lambda _config, _default: context
    config = Config(app, **options | other)
    config.tls = tls
    return config


def operations_of(app: Gateway, listener: socket.socket) -> OperationsListener:
    """As many of its connections as `OPERATORS`; no read is answered there. What is counted of connections is of the callers' alone."""
    protocol = edge((), app.limits, app.lifecycle, Admission(OPERATORS, 0), Counters(), Counter())
    options: dict[str, Any] = {**OPTIONS, "http": protocol, "lifespan": "off"}
    return OperationsListener(listener, uvicorn.Config(app.operations, **options))


def spare_collections() -> None:
    """What is there when serving begins stays, so full collections need not look through it: they took 17-45 ms each, and were most of the
    tail of reads. A collection is due after more allocations than a batch of reads makes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Server(uvicorn.Server):
    """`started` is called once requests are answered. `one_of_many`: others serve the same listener. Then a second signal is taken for the
    first, for their parent passes it on; else it hastens the end. And the listener is shut only where `all_end` was called. `operations`:
    the port for probes and metrics, where it is another."""

    def __init__(
        self,
        config: uvicorn.Config,
        lifecycle: Lifecycle,
        *,
        drain_s: float,
        grace_s: float,
        started: Callable[[], None] = lambda: None,
        one_of_many: bool = False,
        operations: OperationsListener | None = None,
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._tell_started = started
        self._operations = operations
        self._insistent = self._may_shut = not one_of_many
        self._tls = config.tls if isinstance(config, Config) else None
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticks = 0

    def leave(self, *, drain: bool = True) -> None:
        """From any thread, and from a signal handler."""
        self._lifecycle.draining = True
        if not drain:
            self._drain_s = 0.0
        self.should_exit = True
        self._wake()

    def hasten(self) -> None:
        """Wait for nobody any longer. From any thread."""
        self.force_exit = True
        self._wake()

    def all_end(self) -> None:
        """Whoever else serves the listener leaves too."""
        self._may_shut = True

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._woken.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """SIGINT is a person at a terminal, who does not want to wait for load balancers. (uvicorn would raise the signal again once all is
        done, and the exit status would not be 0.)"""
        if not self.should_exit:
            self.leave(drain=sig != signal.SIGINT)
        elif self._insistent:
            signal.signal(sig, signal.SIG_DFL)  # and a third one ends the process as it is
            self.hasten()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup([])  # its listeners would wait for a TLS handshake for a minute
        self.servers = [
            await self._loop.create_server(self._protocol, sock=one, backlog=self.config.backlog, **self._tls_options())
            for one in sockets or []
        ]
        if self._operations is not None:
            await self._operations.open()
        spare_collections()
        if self.started and not self.should_exit:
            self._tell_started()

    async def main_loop(self) -> None:
        while not await self._tick():
            await self._nap(_TICK_S)
        await self._drain()

    async def _tick(self) -> bool:
        ends = await self.on_tick(self._ticks)
        if self._operations is not None:
            self._operations.tick(self.server_state.default_headers)
        if self._tls is not None and self._ticks % _RENEW_TICKS == 0:
            self._tls.renew()
        self._ticks = (self._ticks + 1) % _TICKS_PER_DAY
        return ends

    async def _nap(self, seconds: float) -> None:
        """So long, or until something is to be done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def _drain(self) -> None:
        """Load balancers learn from `/readyz`, and clients from each reply, to go elsewhere."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for connection in self._connections():
            connection.retire()
        while not self.force_exit and (left_s := began_s + self._drain_s - loop.time()) > 0:
            await self._nap(min(_TICK_S, left_s))
            await self._tick()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._lifecycle.draining = True
        await self._close_listeners(sockets or [])
        await self._finish()
        await self._cut()
        if self._operations is not None:
            await self._operations.close()
        await self.lifespan.shutdown()

    async def _close_listeners(self, sockets: Sequence[socket.socket]) -> None:
        """What has come in while those who were connecting did so is read: its connection is not idle."""
        for listener in sockets if self._may_shut else []:
            shut(listener)
        await asyncio.sleep(HANDSHAKE_S)
        queued = [connection for listener in sockets for connection in accepted(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        loop = asyncio.get_running_loop()
        for connection in queued:
            with suppress(OSError):  # it has gone
                await loop.connect_accepted_socket(self._protocol, connection, **self._tls_options())

    def _tls_options(self) -> dict[str, Any]:
        return {} if self._tls is None else {"ssl": self._tls.context, "ssl_handshake_timeout": self._tls.handshake_s}

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return protocol

    async def _finish(self) -> None:
        loop, state = asyncio.get_running_loop(), self.server_state
        began_s = loop.time()
        while not self.force_exit and loop.time() < began_s + self._grace_s:
            patient = loop.time() < began_s + FIRST_REQUEST_S
            for connection in list(state.connections):
                if not (patient and isinstance(connection, Edge) and not connection.begun):
                    connection.shutdown()
            await asyncio.sleep(0)
            if not state.connections and not state.tasks:
                return
            await self._nap(_POLL_S)

    async def _cut(self) -> None:
        """Whatever is still under way. `web.middleware` tells whoever has no answer yet."""
        tasks = list(self.server_state.tasks)
        given_up = sum([connection.give_up() for connection in self._connections()])
        if tasks or given_up:
            logger.warning("%d requests were cut: they were not done in time (server.shutdown_grace_s)", len(tasks) + given_up)
        if tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_CUT_S)
        for connection in list(self.server_state.connections):
            connection.transport.close()

    def _connections(self) -> list[Edge]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Edge)]
