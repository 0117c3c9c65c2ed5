"""A channel over stock httpx, for whoever wants the road that others travel (`origin.transport = "httpx"`), and for its mock transports."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from gateway.origins.http.channel import Reply
from gateway.origins.http.receivers import TooLarge


@dataclass
class HttpxChannel:
    """Over stock httpx. Its pool loses connections for good to calls that are cancelled while they wait in it (httpcore issue 1093), so
    connections are counted before the pool, and a call's deadline becomes its time-outs."""

    client: httpx.AsyncClient
    max_reply_bytes: int = 16_777_216
    max_connections: int = 256
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.max_connections)

    async def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline_s: float,
        *,
        again: bool = True,  # noqa: ARG002 - never twice
    ) -> Reply:
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._slots.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("no connection became free in time") from None
        try:
            return await self._exchange(path, body, headers, deadline_s)
        finally:
            self._slots.release()

    async def _exchange(self, path: str, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Reply:
        loop = asyncio.get_running_loop()
        left_s = deadline_s - loop.time()
        if left_s <= 0:
            raise httpx.ReadTimeout("no time is left")
        limits = httpx.Timeout(left_s, connect=min(left_s, self.client.timeout.connect or left_s), pool=None)
        try:
            # httpx's own time-outs are for single waits: a head that drips for ever meets none of them
            async with (
                asyncio.timeout_at(deadline_s),
                self.client.stream("POST", path, content=body, headers=headers, timeout=limits) as response,
            ):
                received = bytearray()
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > self.max_reply_bytes:
                        raise TooLarge
                return Reply(response.status_code, response.headers, bytes(received))
        except TimeoutError:
            raise httpx.ReadTimeout("no whole reply in time") from None
        except AttributeError as error:  # anyio asks for the name of a socket that the other side has reset since: there is none
            raise httpx.ConnectError("the connection was lost as it was made") from error

    async def aclose(self) -> None:
        await self.client.aclose()
