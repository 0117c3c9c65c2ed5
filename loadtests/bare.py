"""The yardstick: a bare ASGI application that reads the body and returns fixed bytes, on uvicorn with the gateway's own options.

`python -m loadtests.bare FILE` serves the bytes of FILE, and prints its port.
"""

import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from gateway.hosting.server import OPTIONS


def bare_app(reply: bytes) -> Any:
    """An ASGI application with nothing in it."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return app


def main() -> None:
    reply = Path(sys.argv[1]).read_bytes()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    options: dict[str, Any] = {**OPTIONS, "http": "httptools", "lifespan": "off"}
    uvicorn.Server(uvicorn.Config(bare_app(reply), **options)).run(sockets=[listener])


if __name__ == "__main__":
    main()
