"""Who a reply is for: `Whole` collects it and tells, or wakes, one, `Streamed` hands it on piece by piece and holds the sender back.

A connection tells its receiver, from the event loop and never from inside a wait: the head, each piece of the body, the end, or what went
wrong instead. After the end or an error it tells no more.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx

Headers = list[tuple[bytes, bytes]]
"""Names as they came."""


class Receiver(Protocol):
    def on_head(self, status: int, headers: Headers) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_error(self, error: Exception) -> None: ...


class Whole:
    """A reply to be had in one piece. One that grows beyond `max_bytes` ends with TooLarge. `tell` is called once, when it has ended,
    unless somebody is waiting for it by then."""

    __slots__ = ("_left", "_parts", "_tell", "_waiter", "ended", "error", "headers", "status")

    def __init__(self, max_bytes: int, tell: Callable[[], object] | None = None) -> None:
        self.status = 0
        self.headers: Headers = []
        self.ended = False
        self.error: Exception | None = None
        """What came instead of a reply, once it has ended."""
        self._parts: list[bytes] = []
        self._left = max_bytes
        self._tell = tell
        self._waiter: asyncio.Future[None] | None = None

    @property
    def body(self) -> bytes:
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def awaited(self) -> "asyncio.Future[None]":
        """Done when it has ended; raises what came instead. From here on nobody is told."""
        self._tell = None
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        if self.ended:
            self._wake(waiter)
        return waiter

    def on_head(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers

    def on_data(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge
        self._parts.append(data)

    def on_end(self) -> None:
        self.ended = True
        if self._waiter is not None:
            self._wake(self._waiter)
        elif self._tell is not None:
            tell, self._tell = self._tell, None
            tell()

    def on_error(self, error: Exception) -> None:
        self.error = error
        self.on_end()

    def _wake(self, waiter: "asyncio.Future[None]") -> None:
        if not waiter.done():
            error, self.error = self.error, None  # whose frames would hold it
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


class TooLarge(Exception):
    """A reply is larger than whoever waits for it takes."""


class Streamed:
    """A reply to be had piece by piece. Above `high_bytes` that nobody has taken yet, `hold` is called with True, and below a quarter of
    it with False."""

    def __init__(self, hold: Callable[[bool], None], high_bytes: int = 262_144) -> None:
        self.status = 0
        self.headers: Headers = []
        self.headed = asyncio.Event()
        self.ended = False
        self._hold = hold
        self._high_bytes = high_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held = False
        self._error: Exception | None = None
        self._told = asyncio.Event()

    def on_head(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers
        self.headed.set()

    def on_data(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > self._high_bytes and not self._held:
            self._held = True
            self._hold(True)  # noqa: FBT003 - a callback's only word
        self._told.set()

    def on_end(self) -> None:
        self.ended = True
        self._told.set()

    def on_error(self, error: Exception) -> None:
        self._error = error
        self.ended = True
        self.headed.set()
        self._told.set()

    async def head(self) -> tuple[int, Headers]:
        """Once it is there. Raises what came instead."""
        await self.headed.wait()
        if self.status == 0:
            assert self._error is not None
            raise self._error
        return self.status, self.headers

    async def pieces(self, stall_s: float | None) -> AsyncIterator[bytes]:
        """The body. Raises what broke it off, and httpx.ReadTimeout where nothing comes for `stall_s`."""
        while True:
            while self._waiting:
                data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
                if self._held and self._waiting_bytes <= self._high_bytes // 4:
                    self._held = False
                    self._hold(False)  # noqa: FBT003 - a callback's only word
                yield data
            if self.ended:
                break
            self._told.clear()
            try:
                async with asyncio.timeout(stall_s):
                    await self._told.wait()
            except TimeoutError:
                raise httpx.ReadTimeout("nothing more came of the reply") from None
        if self._error is not None:
            raise self._error
