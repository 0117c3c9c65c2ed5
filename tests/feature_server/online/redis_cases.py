"""What tests of the Redis store alone share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.feature_server.online.base import Cell, CellChange, Event
from gateway.feature_server.online.redis import RedisStore
from gateway.feature_server.online.redis_layout import view_id
from gateway.redis_servers import Address
from tests.harness.clock import wait_until
from tests.harness.valkey import Valkey, ValkeyCluster

VIEW = view_id("view")
ANN = Cell(VIEW, b"ann")
ONE_EVENT = CellChange([Event(1, b"", b"p")], {1: b"s"})
TIMEOUT_S = 0.5


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[RedisStore]:
    store = RedisStore(address)
    try:
        yield store
    finally:
        await store.aclose()


def quick(server: Valkey | ValkeyCluster) -> Address:
    return Address(server.url, isinstance(server, ValkeyCluster), connect_timeout_s=TIMEOUT_S, command_timeout_s=TIMEOUT_S)


async def reached(condition: Callable[[], bool], what: str) -> None:
    await asyncio.get_running_loop().run_in_executor(None, wait_until, condition, what)
