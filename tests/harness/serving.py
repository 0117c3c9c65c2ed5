"""An ASGI application under a real uvicorn, in a thread, on a port that the system chose."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.cli import KEEP_ALIVE_S
from tests.harness.clock import PATIENCE_S

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "lifespan": "on",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
    }
)
"""uvicorn as `feature-gateway` starts it; a test holds both together."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """The application's base URL, for as long as the block lasts."""
    # log_config: the process's logging stays pytest's, so that caplog sees what uvicorn says too
    server = _Server(uvicorn.Config(app, log_config=None, **OPTIONS))
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="gateway-under-test")
    thread.start()
    try:
        assert server.up.wait(PATIENCE_S), "uvicorn did not start"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive(), "uvicorn did not stop"
