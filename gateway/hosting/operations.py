"""The listener for operators and tools: probes and scrapes, on a port of their own.

Plain HTTP, for probes have no certificate to show. Its connections take none of the callers' places, and theirs none of its: a gateway that
has as many callers as it admits still says that it is alive. It is the last to close, so that the end can be watched.
"""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.server import ServerState

_POLLS, _POLL_S = 50, 0.02
"""For answers under way, once all else has ended."""


class OperationsListener:
    """`config`: of the application that is served there. Opened and closed once."""

    def __init__(self, listener: socket.socket, config: uvicorn.Config) -> None:
        self._listener = listener
        self._config = config
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=self._listener, backlog=self._config.backlog)

    def tick(self, default_headers: list[tuple[bytes, bytes]]) -> None:
        """These stand in every reply from now on: the date is one of them."""
        self._state.default_headers = default_headers

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        for _ in range(_POLLS):
            if not self._state.connections:
                return
            await asyncio.sleep(_POLL_S)
        for connection in list(self._state.connections):
            connection.transport.close()

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self._config.http_protocol_class
        protocol: asyncio.Protocol = kind(config=self._config, server_state=self._state, app_state={})
        return protocol
