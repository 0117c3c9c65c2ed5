"""An event loop in a thread of its own, for callers that block. Knows nothing of what runs on it."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from gateway.errors import OriginUnavailable

T = TypeVar("T")


class LoopThread:
    """Starts with the first call. Whoever waits when it is closed gets OriginUnavailable, as does whoever comes later."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._closed = False
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it, on any thread but this one."""
        with self._lock:
            if self._closed:
                work.close()
                raise OriginUnavailable("The online store is closed.")
            under_way = asyncio.run_coroutine_threadsafe(work, self._loop or self._started())
        try:
            return under_way.result()
        except CancelledError:
            raise OriginUnavailable("The online store is closed.") from None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._loop is None or self._stop is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop = self._stop = self._thread = None

    def _started(self) -> asyncio.AbstractEventLoop:
        up = Event()

        async def live() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            up.set()
            await self._stop.wait()

        self._thread = Thread(target=lambda: asyncio.run(live()), name=self._name, daemon=True)
        self._thread.start()
        up.wait()
        assert self._loop is not None
        return self._loop
