"""The hot transport: HTTP/1.1 to the origin over a pool of our own connections, for whole replies (`exchange`) and, as an
`httpx.AsyncBaseTransport`, for anything that httpx sends, streamed both ways.

    1 take an idle connection, else open one or wait for one, until the deadline
    2 send the request
    3 wait for the reply, until the deadline; a cancelled wait costs the connection and nothing else
    4 a connection that turns out to have been closed while it was idle, before a byte of the reply: once more, on a fresh one

Step 4 is for what may be sent twice. Errors are httpx's; no retry but this one, no redirects, no cookies, no proxies, no environment.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import Any

import httpx

from gateway.origins.http.connection import ClosedIdle, Connection
from gateway.origins.http.pool import Address, Limits, Pool
from gateway.origins.http.receivers import Headers, Streamed, Whole

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}


class Exchange:
    """One request on its way, and its reply on its way back. Sent when it is made. `tell` is called when it has ended, if nobody waits for
    it by then."""

    __slots__ = ("_connection", "_pool", "_sent_s", "whole")

    def __init__(
        self, pool: Pool, connection: Connection, request: bytes, max_bytes: int, tell: Callable[[], object] | None = None
    ) -> None:
        self.whole = Whole(max_bytes, tell)
        self._pool = pool
        self._connection = connection
        self._sent_s = asyncio.get_running_loop().time()
        connection.send(request, self.whole)

    async def reply(self, deadline_s: float) -> Whole:
        """Wait for it. Who waits no longer costs the connection, if the reply has not ended."""
        connection, whole = self._connection, self.whole
        timer = None if whole.ended else asyncio.get_running_loop().call_at(deadline_s, connection.expire)
        try:
            await whole.awaited()
        except httpx.ReadTimeout:
            if not connection.heard:
                self._pool.doubt(self._sent_s)
            raise
        except asyncio.CancelledError:
            if not whole.ended:  # else the connection is another's already
                connection.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return whole


class FastTransport(httpx.AsyncBaseTransport):
    """`tls`: makes what `https` addresses have to prove; called at most once."""

    def __init__(self, limits: Limits, tls: Callable[[], ssl.SSLContext]) -> None:
        self._limits = limits
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._pools: dict[tuple[str, str, int], Pool] = {}

    def pool(self, scheme: str, host: str, port: int | None) -> Pool:
        """The connections to one address."""
        place = (scheme, host, port or _PORTS[scheme])
        pool = self._pools.get(place)
        if pool is None:
            if scheme == "https" and self._context is None:
                self._context = self._tls()
            pool = self._pools[place] = Pool(Address(host, place[2], self._context if scheme == "https" else None), self._limits)
        return pool

    def begin(self, pool: Pool, request: bytes, max_bytes: int, tell: Callable[[], object]) -> Exchange | None:
        """The first half of an `exchange`, where a connection is at hand; `tell` is called when it has ended. It may be waited for after
        all: `exchange` goes on with it."""
        connection = pool.take()
        if connection is None or connection.closed:
            return None
        return Exchange(pool, connection, request, max_bytes, tell)

    async def exchange(
        self, pool: Pool, request: bytes, deadline_s: float, max_bytes: int, *, again: bool, begun: Exchange | None = None
    ) -> Whole:
        """One request, whole, for one reply, whole, of at most `max_bytes` of body. `deadline_s`: on the loop's clock. `again`: it may be
        sent twice.

        Raises httpx.TransportError, and TooLarge.
        """
        if begun is None:
            connection = pool.take()
            if connection is None or connection.closed:
                connection = await _ready(pool, deadline_s)
            begun = Exchange(pool, connection, request, max_bytes)
        while True:
            try:
                return await begun.reply(deadline_s)
            except ClosedIdle:
                if not again:
                    raise
            begun = Exchange(pool, await _ready(pool, deadline_s, fresh=True), request, max_bytes)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """`extensions`: `timeout` as httpx has it (`connect` bounds the wait for a connection too, `read` and `write` each single wait),
        and `deadline` (on the loop's clock) for all until the reply's head is there. A body that is streamed is sent once, on a fresh
        connection."""
        loop = asyncio.get_running_loop()
        times: dict[str, Any] = request.extensions.get("timeout", {})
        deadline_s = request.extensions.get("deadline", inf)
        url = request.url
        pool = self.pool(url.scheme, url.host, url.port)
        whole = isinstance(request.stream, httpx.ByteStream)
        again = whole and request.method in _IDEMPOTENT
        reached_s = min(deadline_s, loop.time() + _or_ever(times.get("connect")) + _or_ever(times.get("pool"), never=0.0))
        connection = await _ready(pool, reached_s, fresh=not again)
        while True:
            receiver = Streamed(connection.hold)
            try:
                await _send(connection, request, receiver, whole=whole, stall_s=times.get("write"), deadline_s=deadline_s)
                status, headers = await _in_time(receiver.head(), min(deadline_s, loop.time() + _or_ever(times.get("read"))))
            except ClosedIdle:
                if not again:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                stream = _Body(connection, receiver, times.get("read"))
                return httpx.Response(status, headers=headers, stream=stream, extensions={"http_version": b"HTTP/1.1"})
            connection, again = await _ready(pool, reached_s, fresh=True), False

    async def aclose(self) -> None:
        """Ends what is under way."""
        for pool in self._pools.values():
            pool.close()


async def _ready(pool: Pool, deadline_s: float, *, fresh: bool = False) -> Connection:
    """A connection that has not closed on its way here."""
    while True:
        connection = await pool.acquire(deadline_s, fresh=fresh)
        if not connection.closed:
            return connection


def _or_ever(seconds: float | None, *, never: float = inf) -> float:
    return never if seconds is None else seconds


async def _in_time(head: Any, until_s: float) -> tuple[int, Headers]:
    try:
        async with asyncio.timeout_at(None if until_s == inf else until_s):
            told: tuple[int, Headers] = await head
    except TimeoutError:
        raise httpx.ReadTimeout("the reply did not begin in time") from None
    return told


async def _send(
    connection: Connection, request: httpx.Request, receiver: Streamed, *, whole: bool, stall_s: float | None, deadline_s: float
) -> None:
    """The request as httpx frames it: its headers say how long the body is, or that it comes in chunks."""
    target = request.extensions.get("target", request.url.raw_path)  # as httpcore has it: byte for byte, where a URL would encode
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), target)]
    lines += [b"%b: %b\r\n" % header for header in request.headers.raw]
    head = b"".join([*lines, b"\r\n"])
    bodiless = request.method == "HEAD"
    if whole:
        connection.send(head + b"".join([piece async for piece in _pieces(request)]), receiver, bodiless=bodiless)
        return
    chunked = b"transfer-encoding" in {name.lower() for name, _ in request.headers.raw}
    connection.send(head, receiver, whole=False, bodiless=bodiless)
    try:
        async with asyncio.timeout_at(None if deadline_s == inf else deadline_s):
            async for piece in _pieces(request):
                if receiver.headed.is_set():
                    return  # answered, or broken off, before all of it was wanted
                if piece:
                    async with asyncio.timeout(stall_s):
                        await connection.send_more(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await connection.send_more(b"0\r\n\r\n" if chunked else b"", last=True)
    except TimeoutError:
        raise httpx.WriteTimeout("the origin did not take the request in time") from None


async def _pieces(request: httpx.Request) -> AsyncIterator[bytes]:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    async for piece in request.stream:
        yield piece


class _Body(httpx.AsyncByteStream):
    """A reply's body on its way. To be closed: what was not read of it costs the connection."""

    def __init__(self, connection: Connection, receiver: Streamed, stall_s: float | None) -> None:
        self._connection = connection
        self._receiver = receiver
        self._stall_s = stall_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._receiver.pieces(self._stall_s):
            yield piece

    async def aclose(self) -> None:
        if not self._receiver.ended:
            self._connection.fail(httpx.ReadError("nobody reads on"))
