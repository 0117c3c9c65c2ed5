"""How commands get to Redis or Valkey: one server, or a cluster whose slots move and whose servers fail.

Redis-py's asyncio clients serve reads and writes alike. Its threaded cluster client would send each command of a pipeline that timed out
again, one after the other, so that a hanging node holds a write for as many timeouts as it has commands (redis-py 8.1). Nothing is tried
again here, and only connecting is bounded in time: both are the business of those who send, the online store and the shared cache.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

Node = ClusterNode | None
"""None: the only one."""
Words = tuple[bytes | str | int, ...]
_REFRESH_PAUSE_S, _MOVED_PAUSE_S = 0.1, 5.0
"""Between two questions for all of the cluster's slots, after each of which redis-py opens every connection anew."""
LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError)
"""A server that did not answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is. `command_timeout_s`: for one server's part of a trip, connecting included; all of a trip, with waiting for a
    connection and sending once more, takes at most both timeouts together. `connections`: at most, per server and event loop."""

    url: str = field(repr=False)
    cluster: bool = False
    connect_timeout_s: float = 1.0
    command_timeout_s: float = 1.0
    connections: int = 32

    def __post_init__(self) -> None:
        try:
            parsed = parse_url(self.url)
        except ValueError:  # whose text may quote a part of the password
            raise ValueError("The Redis URL is not a redis://, rediss:// or unix:// URL.") from None
        if self.cluster and ("path" in parsed or parsed.get("db")):
            raise ValueError("A Redis cluster is reached neither through a Unix socket nor by a database number.")

    @property
    def patience_s(self) -> float:
        return self.connect_timeout_s + self.command_timeout_s

    @property
    def options(self) -> dict[str, Any]:
        """RESP 2, and no more than AUTH and SELECT on connecting: every server and proxy knows them. Time is bounded here, around whole
        trips: redis-py would start a task for each send to do it."""
        return {
            "protocol": 2,
            "driver_info": None,
            "socket_connect_timeout": self.connect_timeout_s,
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "max_connections": self.connections + 8,  # the room for more than trips: redirections and questions about slots
        }


class Link(Protocol):
    """The part of a trip that differs between one server and a cluster."""

    async def open(self) -> None:
        """Know where to send what."""
        ...

    def nodes(self) -> Sequence[Node]:
        """Those that are written to, which is all that hold keys."""
        ...

    def node_of(self, key: bytes) -> Node: ...

    async def send(self, node: Node, commands: Sequence[Words]) -> list[Any]:
        """Replies, or the errors in their places."""
        ...

    async def failed(self, node: Node, error: Exception | None) -> None:
        """It did not answer, or answered so. No error: nobody knows who did not."""
        ...

    async def aclose(self) -> None: ...


class OneServer:
    def __init__(self, address: Address) -> None:
        self._client = Redis.from_url(address.url, **address.options)

    async def open(self) -> None:
        """Connections are opened by those who need one."""

    def nodes(self) -> Sequence[Node]:
        return (None,)

    def node_of(self, _key: bytes) -> Node:
        return None

    async def send(self, _node: Node, commands: Sequence[Words]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        return await pipeline.execute(raise_on_error=False)

    async def failed(self, _node: Node, _error: Exception | None) -> None:
        """The pool tests a connection before it gives it out."""

    async def aclose(self) -> None:
        await self._client.aclose()


class Cluster:
    """Redis-py keeps the slots and the connections. Redirections are followed here: it would send ASKING and the command on two
    connections, and cannot ask a server that has no slots yet, which is where every move to a new one begins (redis-py 8.1)."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client = self._made()
        self._refreshing = asyncio.Lock()
        self._stale = False
        self._failed: str | None = None
        self._refreshed_s = 0.0
        self._newcomers: dict[str, ClusterNode] = {}

    def _made(self) -> RedisCluster:
        # No steps: after so many MOVED redis-py would close connections that others are using
        return RedisCluster.from_url(self._address.url, reinitialize_steps=0, **self._address.options)

    async def open(self) -> None:
        await self._client.initialize()
        if self._due():
            async with self._refreshing:
                if self._due():
                    self._refreshed_s = asyncio.get_running_loop().time()
                    await self._refresh()
                    self._stale, self._failed = False, None

    def _due(self) -> bool:
        return self._stale and self._age_s() >= _REFRESH_PAUSE_S

    def _age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._refreshed_s

    async def _refresh(self) -> None:
        try:
            await self._client.nodes_manager.initialize(last_failed_node_name=self._failed)
        except redis_errors.RedisClusterException:
            # None of the servers that were known answers: perhaps all have new addresses, and the URL's name leads to them
            await self._client.aclose()
            self._client = self._made()
            await self._client.initialize()

    def nodes(self) -> Sequence[Node]:
        return self._client.get_primaries()

    def node_of(self, key: bytes) -> Node:
        return self._client.nodes_manager.get_node_from_slot(self._client.keyslot(key))

    async def send(self, node: Node, commands: Sequence[Words]) -> list[Any]:
        replies = await self._told(node, commands)
        for place, reply in enumerate(replies):
            if isinstance(reply, redis_errors.MovedError):
                await self._client.nodes_manager.move_slot(reply)
            elif isinstance(reply, redis_errors.AskError):
                _, replies[place] = await self._told(self._asked(reply), [("ASKING",), commands[place]])
        return replies

    async def _told(self, node: Node, commands: Sequence[Words]) -> list[Any]:
        """On one connection."""
        pipeline = self._client.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words, target_nodes=node)
        return await pipeline.execute(raise_on_error=False, allow_redirections=False)

    def _asked(self, error: redis_errors.AskError) -> ClusterNode:
        known = self._client.get_node(error.host, error.port)
        if known is not None:
            return known
        name = f"{error.host}:{error.port}"
        if name not in self._newcomers:
            self._newcomers[name] = ClusterNode(error.host, error.port, **self._client.connection_kwargs)
        return self._newcomers[name]

    async def failed(self, node: Node, error: Exception | None) -> None:
        # A slot that moved is known already; all of them are asked for in case a whole server's did
        self._stale = self._stale or not isinstance(error, redis_errors.AskError) or self._age_s() >= _MOVED_PAUSE_S
        if node is not None and isinstance(error, LOST):
            self._failed = node.name
            await node.disconnect_free_connections()  # which most likely broke with this one

    async def aclose(self) -> None:
        await self._client.aclose()
        for node in self._newcomers.values():
            await node.disconnect()
