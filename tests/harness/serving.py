"""An ASGI application under a real uvicorn, in a thread, on a port that the system chose."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from gateway.app import Gateway
from gateway.cli import KEEP_ALIVE_S
from gateway.web.edge import edge
from tests.harness.clock import PATIENCE_S

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
    }
)
"""uvicorn as `feature-gateway` starts it; a test holds both together."""


class _Server(uvicorn.Server):
    """uvicorn, which looks ten times a second whether it shall end; here it is told, or a thousand tests would wait for it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._left = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.up.set()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._left.wait()

    def leave(self) -> None:
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has left
                self._loop.call_soon_threadsafe(self._left.set)


class Running(NamedTuple):
    """A server's base URL, and what begins its shutdown without waiting for it."""

    url: str
    stop: Callable[[], None]


@contextmanager
def serve(app: ASGIApp, *, at_the_edge: bool = True) -> Iterator[Running]:
    """The application's address, for as long as the block lasts. `at_the_edge`: with the gateway's own protocol class, as in the field."""
    # log_config: the process's logging stays pytest's, so that caplog sees what uvicorn says too
    http = edge(app.routes, app.limits, app.counters) if isinstance(app, Gateway) and at_the_edge else "httptools"
    server = _Server(uvicorn.Config(app, log_config=None, http=http, **OPTIONS))
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="gateway-under-test")
    thread.start()
    try:
        assert server.up.wait(PATIENCE_S), "uvicorn did not start"
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", server.leave)
    finally:
        server.leave()
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive(), "uvicorn did not stop"
