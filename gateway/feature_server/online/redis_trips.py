"""Trips to Redis or Valkey: many commands, one round trip, replies in order, our own errors.

Every trip is bounded in time. What a broken connection, a failover or an unknown script left unanswered is sent once more, at once;
everything sent here may be done twice. Knows nothing of what the commands mean.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors

from gateway.errors import OriginError, OriginFailed, OriginUnavailable
from gateway.feature_server.online.redis_layout import Command
from gateway.redis_servers import LOST, Address, Cluster, Link, Node, OneServer, Words

_SLICE = 1_000
"""Commands in one trip at most: its time is bounded, whatever a write brings."""
_MOVING = (redis_errors.ClusterError, redis_errors.AskError, redis_errors.TryAgainError, redis_errors.ReadOnlyError)
_ONCE_MORE = (redis_errors.ConnectionError, redis_errors.NoScriptError, *_MOVING)
_PASSING = (*LOST, *_MOVING, redis_errors.OutOfMemoryError, redis_errors.RedisClusterException, OSError)
_PASSING_WORDS = frozenset({"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"})


class Trips:
    """Belongs to the event loop that it is made in. Close it there."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._link: Link = Cluster(address) if address.cluster else OneServer(address)
        self._room = asyncio.Semaphore(address.connections)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies. Commands on different servers are sent at once, those on one server in order. Raises OriginUnavailable,
        OriginFailed."""
        replies: list[Any] = []
        for start in range(0, len(commands), _SLICE):
            some = await self._bounded(commands[start : start + _SLICE])
            for reply in some:
                if isinstance(reply, Exception):
                    raise _translate(reply) from _shown(reply)
            replies += some
        return replies

    async def nodes(self) -> Sequence[Node]:
        await self._opened()
        return self._link.nodes()

    async def ask(self, node: Node, *words: bytes | str | int) -> Any:
        """One command that has no key, of one server."""
        await self._opened()
        (reply,) = await self._at(node, [words])
        if isinstance(reply, Exception):
            raise _translate(reply) from _shown(reply)
        return reply

    async def aclose(self) -> None:
        await self._link.aclose()

    async def _opened(self) -> None:
        try:
            async with asyncio.timeout(self._address.patience_s):
                await self._link.open()
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:  # OSError: TimeoutError is one
            raise _translate(error) from _shown(error)

    async def _bounded(self, commands: Sequence[Command]) -> list[Any]:
        try:
            async with asyncio.timeout(self._address.patience_s), self._room:
                return await self._sent(commands)
        except TimeoutError as error:
            await self._link.failed(None, None)
            raise OriginUnavailable("The online store did not answer in time.") from error
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:
            raise _translate(error) from _shown(error)

    async def _sent(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._once(commands, whole=False)
        again = [index for index, reply in enumerate(replies) if isinstance(reply, _ONCE_MORE)]
        if again:
            for index, reply in zip(again, await self._once([commands[index] for index in again], whole=True), strict=True):
                replies[index] = reply
        return replies

    async def _once(self, commands: Sequence[Command], *, whole: bool) -> list[Any]:
        await self._link.open()
        places: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            places.setdefault(self._link.node_of(command.keys[0]), []).append(index)
        told = [self._at(node, [commands[index].words(whole=whole) for index in indices]) for node, indices in places.items()]
        if len(told) == 1:
            return await told[0]
        replies: list[Any] = [None] * len(commands)
        for indices, some in zip(places.values(), await asyncio.gather(*told), strict=True):
            for index, reply in zip(indices, some, strict=True):
                replies[index] = reply
        return replies

    async def _at(self, node: Node, commands: Sequence[Words]) -> list[Any]:
        """From one server, replies or errors."""
        try:
            async with asyncio.timeout(self._address.command_timeout_s):
                replies = await self._link.send(node, commands)
        except TimeoutError:
            replies = [redis_errors.TimeoutError()] * len(commands)
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:
            replies = [error] * len(commands)
        for reply in replies:
            if isinstance(reply, (*LOST, *_MOVING)):
                await self._link.failed(node, reply)
                break
        return replies


def _translate(error: Exception) -> OriginError:
    """What may pass by itself, and what will not. Neither names a key or a value, as the server's own texts may."""
    word = str(error).split(" ", 1)[0]
    name = word if word in _PASSING_WORDS else type(error).__name__
    if isinstance(error, _PASSING) or word in _PASSING_WORDS:
        return OriginUnavailable(f"The online store cannot be used now ({name}).")
    return OriginFailed(f"The online store failed ({name}).")


def _shown(error: Exception) -> Exception | None:
    """As the cause only what tells of connections and nothing else: other texts quote commands."""
    return error if isinstance(error, (*LOST, OSError)) else None
