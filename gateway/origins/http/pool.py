"""The connections to one address: bounded, the one used last taken first, none used that is too old or was idle for too long.

`take` decides without waiting; only `acquire` waits, for a connection to open or to come back. Whoever waits came first is served first.
The address is looked up again for each connection that is opened, and none lives longer than `max_age_s`: a change of DNS is followed.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from socket import SOCK_STREAM

import httpx

from gateway.luck import luck
from gateway.origins.http.connection import Connection
from gateway.origins.http.heads import Heads

_UNPROVEN_AT_ONCE = 64
"""Connections that are being opened, or have not brought a reply yet: whoever listens may not even have accepted them. More would overflow
its queue (128 places, often); what its system drops then is tried again by ours only after a second."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`idle_s` is shorter than the idle times of common servers and load balancers (60 s and more), so that it is seldom they who close."""

    max_connections: int = 256
    connect_timeout_s: float = 1.0
    idle_s: float = 30.0
    max_age_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Address:
    """`tls`: what the other side has to prove, None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Pool:
    """Belongs to one event loop, whose clock it keeps."""

    def __init__(self, address: Address, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._heads = Heads()
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._unproven: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Connections that are open or being opened."""
        return len(self._open) + self._opening

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    def take(self) -> Connection | None:
        """A connection that is good, as far as anybody knows."""
        idle, limits = self._idle, self._limits
        while idle:
            connection = idle.popitem()[0]
            now_s = asyncio.get_running_loop().time()
            if now_s - connection.since_s < limits.idle_s and now_s < connection.ends_s:
                return connection
            connection.close()
        return None

    async def acquire(self, deadline_s: float, *, fresh: bool = False) -> Connection:
        """A connection, waited for until the deadline (on the loop's clock). `fresh`: one that has not been used before.

        Raises httpx.PoolTimeout, ConnectTimeout and ConnectError.
        """
        connection = None if fresh else self.take()
        if connection is not None:
            return connection
        if len(self) >= self._limits.max_connections and self._idle:
            next(iter(self._idle)).close()  # whose place a fresh one takes
        if not self._may_open():
            waited = await self._wait(deadline_s)
            if waited is not None:
                return waited
        else:
            self._opening += 1
        return await self._connect(deadline_s)

    def _may_open(self) -> bool:
        return len(self) < self._limits.max_connections and self._opening + len(self._unproven) < _UNPROVEN_AT_ONCE

    async def _wait(self, deadline_s: float) -> Connection | None:
        """The next connection that comes back, or None for a place to open one in."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline_s):
                return await place
        except TimeoutError:
            self._forgo(place)
            raise httpx.PoolTimeout("no connection became free in time") from None
        except BaseException:
            self._forgo(place)
            raise

    def _forgo(self, place: "asyncio.Future[Connection | None]") -> None:
        """Whoever waited has gone: what it was given in the meantime is somebody else's."""
        if not place.done() or place.cancelled():
            if place in self._waiting:
                self._waiting.remove(place)
            return
        connection = place.result()
        if connection is None:
            self._opening -= 1
            self._pass_on()
        elif not connection.closed:
            self._came_back(connection)

    async def _connect(self, deadline_s: float) -> Connection:
        """In a place that has been taken."""
        try:
            return await self._opened(deadline_s)
        finally:
            self._opening -= 1
            self._pass_on()

    async def _opened(self, deadline_s: float) -> Connection:
        """One address after the other, in random order, each with its share of the time that is left."""
        loop, address = asyncio.get_running_loop(), self._address
        until_s = min(deadline_s, loop.time() + self._limits.connect_timeout_s)
        why: Exception = httpx.ConnectError("the origin's name has no address")
        try:
            async with asyncio.timeout_at(until_s):
                found = await loop.getaddrinfo(address.host, address.port, type=SOCK_STREAM)
        except TimeoutError:
            raise httpx.ConnectTimeout("the origin's name was not looked up in time") from None
        except OSError as error:
            raise httpx.ConnectError("the origin's name cannot be looked up") from error
        places = list(dict.fromkeys(one[4][:2] for one in found))
        luck.shuffle(places)
        for left, (host, port) in zip(range(len(places), 0, -1), places, strict=True):
            try:
                async with asyncio.timeout((until_s - loop.time()) / left):
                    return await self._open_one(str(host), int(port))
            except TimeoutError:
                why = httpx.ConnectTimeout("no connection in time")
            except ssl.SSLError as error:
                why = httpx.ConnectError("the origin does not prove who it is, or does not speak TLS")
                why.__cause__ = error
            except OSError as error:
                why = httpx.ConnectError("the origin takes no connection")
                why.__cause__ = error
        raise why

    async def _open_one(self, host: str, port: int) -> Connection:
        loop, address, limits = asyncio.get_running_loop(), self._address, self._limits
        connection = Connection(self._came_back, self._gone, loop.time, self._heads)
        connection.ends_s = loop.time() + limits.max_age_s * luck.uniform(0.9, 1.1)
        try:
            if address.tls is None:
                await loop.create_connection(lambda: connection, host, port)
            else:
                await loop.create_connection(lambda: connection, host, port, ssl=address.tls, server_hostname=address.host)
        except BaseException:
            connection.closed = True  # whatever is still made of it is aborted
            raise
        if self._closed or connection.closed:
            connection.close()
            raise ConnectionResetError
        self._open.add(connection)
        self._unproven.add(connection)
        return connection

    def _came_back(self, connection: Connection) -> None:
        """A connection has nothing to do: whoever waits longest has it, else it is kept."""
        if self._closed:
            connection.close()
            return
        if self._unproven:
            self._unproven.discard(connection)
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(connection)
                self._pass_on()
                return
        self._idle[connection] = None
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._limits.idle_s, self._sweep_idle)

    def _gone(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        if connection in self._open:
            self._open.remove(connection)
            self._unproven.discard(connection)
            self._pass_on()

    def _pass_on(self) -> None:
        """A place has become free: whoever waits longest may open a connection."""
        while self._waiting and self._may_open() and not self._closed:
            place = self._waiting.popleft()
            if not place.done():
                self._opening += 1
                place.set_result(None)
                return

    def doubt(self, since_s: float) -> None:
        """A connection has died without a word, on which nothing had been heard since then: of the idle ones those that were silent for as
        long are likely to be dead too, as after a network's failure, and each would cost somebody a deadline."""
        for connection in [one for one in self._idle if one.heard_s <= since_s]:
            connection.close()

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        now_s, limits = loop.time(), self._limits
        for connection in [one for one in self._idle if now_s - one.since_s >= limits.idle_s or now_s >= one.ends_s]:
            connection.close()
        self._sweep = loop.call_later(limits.idle_s / 2, self._sweep_idle) if self._idle else None

    def close(self) -> None:
        """All connections, those in use included."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._open):
            connection.fail(httpx.ReadError("the gateway is closing"))
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(httpx.PoolTimeout("the gateway is closing"))
