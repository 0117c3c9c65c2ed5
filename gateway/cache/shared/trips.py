"""Trips to the shared cache's Redis: scripts that go out at once and replies in order, each of them an answer or what went wrong.

A trip is bounded in time. Nothing is repeated but a script that a server has not seen. Knows nothing of what the scripts mean.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions as redis_errors

from gateway.cache.shared.layout import Call
from gateway.redis_servers import LOST, Address, Cluster, Link, Node, OneServer

FAILURES = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)  # OSError: TimeoutError is one
_MOVING = (redis_errors.ClusterError, redis_errors.AskError, redis_errors.TryAgainError, redis_errors.ReadOnlyError)


class Trips:
    """Opens nothing until it is used. Belongs to the event loop that uses it first."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._link: Link = Cluster(address) if address.cluster else OneServer(address)
        self._room = asyncio.Semaphore(address.connections)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """The replies, with the errors in their places."""
        try:
            async with asyncio.timeout(self._address.command_timeout_s), self._room:
                await self._link.open()
                return await self._sent(calls)
        except FAILURES as error:
            await self._link.failed(None, None)
            return [error] * len(calls)

    def servers(self, keys: Iterable[bytes]) -> frozenset[Node]:
        """Those that these keys are on, as far as is known."""
        with suppress(*FAILURES, KeyError):
            return frozenset([self._link.node_of(key) for key in keys])
        return frozenset()

    async def nodes(self) -> Sequence[Node]:
        """Where one can listen. Raises FAILURES."""
        async with asyncio.timeout(self._address.command_timeout_s):
            await self._link.open()
        return self._link.nodes()

    async def aclose(self) -> None:
        await self._link.aclose()

    async def _sent(self, calls: Sequence[Call]) -> list[Any]:
        places: dict[Node, list[int]] = {}
        for index, call in enumerate(calls):
            places.setdefault(self._link.node_of(call.keys[0]), []).append(index)
        if len(places) == 1:
            return await self._at(next(iter(places)), calls)
        told = [self._at(node, [calls[index] for index in indices]) for node, indices in places.items()]
        replies: list[Any] = [None] * len(calls)
        for indices, some in zip(places.values(), await asyncio.gather(*told), strict=True):
            for index, reply in zip(indices, some, strict=True):
                replies[index] = reply
        return replies

    async def _at(self, node: Node, calls: Sequence[Call]) -> list[Any]:
        try:
            replies = await self._link.send(node, [call.words(whole=False) for call in calls])
            unseen = [index for index, reply in enumerate(replies) if isinstance(reply, redis_errors.NoScriptError)]
            if unseen:
                for index, reply in zip(unseen, await self._link.send(node, [calls[at].words(whole=True) for at in unseen]), strict=True):
                    replies[index] = reply
        except FAILURES as error:
            replies = [error] * len(calls)
        for reply in replies:
            if isinstance(reply, (*LOST, *_MOVING)):
                await self._link.failed(node, reply)
                break
        return replies
