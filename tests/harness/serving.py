"""An ASGI application under the gateway's own server, in a thread, on a port that the system chose."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from gateway.app import Gateway
from gateway.hosting.server import Server, configured, operations_of
from gateway.lifecycle import Lifecycle
from tests.harness.clock import PATIENCE_S


class Running(NamedTuple):
    """A server's base URL, what begins its end without waiting for it, and what lets that end wait for nobody. `operations_url`: of the
    port for probes and metrics, where the settings have one."""

    url: str
    stop: Callable[[], None]
    hasten: Callable[[], None]
    operations_url: str = ""


def configure(app: ASGIApp, *, at_the_edge: bool = True) -> tuple[uvicorn.Config, Lifecycle]:
    # log_config: the process's logging stays pytest's, so that caplog sees what uvicorn says too
    if isinstance(app, Gateway):
        return configured(app, log_config=None, **({} if at_the_edge else {"http": "httptools"})), app.lifecycle
    return uvicorn.Config(app, log_config=None, loop="uvloop", http="httptools", ws="none", lifespan="on", access_log=False), Lifecycle()


@contextmanager
def serve(app: ASGIApp, *, at_the_edge: bool = True, drain_s: float = 0, grace_s: float = PATIENCE_S) -> Iterator[Running]:
    """The application's address, for as long as the block lasts. `at_the_edge`: with the gateway's own protocol class, as in the field."""
    up = threading.Event()
    config, lifecycle = configure(app, at_the_edge=at_the_edge)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    apart, operations = None, None
    if isinstance(app, Gateway) and app.limits.operations_port is not None:
        apart = socket.create_server(("127.0.0.1", 0))
        operations = operations_of(app, apart)
    server = Server(config, lifecycle, drain_s=drain_s, grace_s=grace_s, started=up.set, operations=operations)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="gateway-under-test")
    thread.start()
    try:
        assert up.wait(PATIENCE_S), "uvicorn did not start"
        operations_url = "" if apart is None else f"http://127.0.0.1:{apart.getsockname()[1]}"
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", server.leave, server.hasten, operations_url)
    finally:
        server.leave(drain=False)
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive(), "uvicorn did not stop"
