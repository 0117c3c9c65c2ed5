"""A transport with nothing of a gateway around it: an ASGI application that relays each body to an origin and answers what comes back.

`python -m loadtests.relay URL fast|httpx` prints its port. What a gateway's own work costs is the difference to this.
"""

import asyncio
import socket
import sys
from typing import Any, Literal, cast

import uvicorn

from gateway.hosting.server import OPTIONS, spare_collections
from gateway.origins.http.channel import Channel
from gateway.origins.http.connector import Connector

_DEADLINE_S = 10.0


def relay_app(url: str, kind: Literal["fast", "httpx"]) -> Any:
    """An ASGI application with a channel in it, opened with the first request."""
    opened: list[Channel] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body", False):
                break
        if not opened:
            opened.append(Connector(kind).channel(url))
        passed = {"content-type": "application/json", "authorization": "Tecton-key of-the-cluster"}
        reply = await opened[0].post(scope["path"], body, passed, asyncio.get_running_loop().time() + _DEADLINE_S)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply.body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    return app


def main() -> None:
    url, kind = sys.argv[1], cast("Literal['fast', 'httpx']", sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    spare_collections()
    options: dict[str, Any] = {**OPTIONS, "http": "httptools", "lifespan": "off"}
    uvicorn.Server(uvicorn.Config(relay_app(url, kind), **options)).run(sockets=[listener])


if __name__ == "__main__":
    main()
