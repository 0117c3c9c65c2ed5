"""Listening to what other replicas invalidate: one connection, subscribed, asked for a sign of life, and opened anew when it gives none.

Redis delivers a message at most once: who was deaf for a moment has missed what was said, and is told so.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool

from gateway.cache.shared.trips import FAILURES, Trips
from gateway.incidents import incident
from gateway.luck import luck
from gateway.redis_servers import Address, Node

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


class Deaf(Exception):
    """The connection gave no sign of life."""


class Bus:
    """`pulse_s`: between two signs of life; who misses one is deaf for at most twice as long without knowing."""

    def __init__(self, address: Address, trips: Trips, channel: bytes, pulse_s: float) -> None:
        self._address = address
        self._trips = trips
        self._channel = channel
        self._pulse_s = pulse_s

    async def heard(self) -> AsyncGenerator[bytes | None, None]:
        """Messages, for ever. None: subscribed just now, so whatever was said before may have been missed; then b"" every now and then."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with aclosing(self._connected()) as messages:
                    async for message in messages:
                        pause_s = _FIRST_PAUSE_S
                        yield message
            except (Deaf, *FAILURES):
                pass  # it is opened anew
            except Exception as error:  # noqa: BLE001 - whoever stopped listening here would never know what was purged
                incident(error, logger)
            await asyncio.sleep(pause_s * luck.uniform(0.5, 1.0))  # replicas do not come back all at once
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _connected(self) -> AsyncGenerator[bytes | None, None]:
        """Until the connection is lost. Raises FAILURES and Deaf."""
        connection = self._made(luck.choice(await self._trips.nodes()))
        try:
            async with asyncio.timeout(self._address.command_timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", self._channel)
                await connection.read_response(disconnect_on_error=False)
            yield None
            asked = False
            while True:
                reply = await connection.read_response(timeout=self._pulse_s, disconnect_on_error=False)
                if reply is None:
                    if asked:
                        raise Deaf
                    await connection.send_command("PING", check_health=False)
                    asked = True
                else:
                    asked = False
                    yield _message_of(reply)
        finally:
            await connection.disconnect(nowait=True)

    def _made(self, node: Node) -> AbstractConnection:
        """A connection of its own, to this server; in a cluster any of them hears all."""
        pool = ConnectionPool.from_url(self._address.url, **self._address.options)
        if node is not None:
            pool.connection_kwargs.update(host=node.host, port=node.port)
        return pool.make_connection()  # type: ignore[no-any-return,no-untyped-call]


def _message_of(reply: Any) -> bytes:
    """What was said; nothing, where the server answered a sign of life."""
    return bytes(reply[2]) if reply[0] == b"message" else b""
