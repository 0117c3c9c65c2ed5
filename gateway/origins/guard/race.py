"""Two attempts of one call in the air: the first where the call itself is, the hedge in a task of its own.

The first needs no task: where the hedge has an answer sooner, the first is ended as a time-out ends it (`asyncio.Timeout.reschedule`). So a
call whose first attempt is in time, which is nearly all, pays for a timer.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.errors import GatewayError, OriginError

T = TypeVar("T")


class Hedge(Generic[T]):
    """Begins by itself when the first attempt has taken `delay_s`, of which `taken_s` are over, unless `begin` gives None then. `cut`: the
    time-out that the first attempt runs under, which is set to `until_s` then: a call in time has one timer, not two.

    An answer decides, and so does a refusal of the caller or the request. A failure decides nothing: the first may still be answered.
    """

    __slots__ = ("_begin", "_cut", "_first_runs", "_loop", "_task", "_timer", "_until_s", "delay_s")

    def __init__(
        self, cut: asyncio.Timeout, delay_s: float, until_s: float, begin: Callable[[], asyncio.Task[T] | None], *, taken_s: float = 0.0
    ) -> None:
        self.delay_s = delay_s
        self._cut = cut
        self._until_s = until_s
        self._begin = begin
        self._task: asyncio.Task[T] | None = None
        self._first_runs = True
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(min(self._loop.time() + delay_s - taken_s, until_s), self._send)

    @property
    def decided(self) -> bool:
        task = self._task
        if task is None or not task.done() or task.cancelled():
            return False
        error = task.exception()
        return error is None or (isinstance(error, GatewayError) and not isinstance(error, OriginError))

    def result(self) -> T:
        """Of a hedge that has decided. Raises the refusal that it is."""
        assert self._task is not None
        return self._task.result()

    async def settle(self) -> bool:
        """The first attempt has failed: wait for a hedge that is in the air. Whether it has decided."""
        self._first_runs = False
        self._timer.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})
        return self.decided

    def close(self) -> None:
        """Nobody waits for it any longer."""
        self._first_runs = False
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _send(self) -> None:
        self._cut.reschedule(self._until_s)
        self._task = self._begin()
        if self._task is not None:
            self._task.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[T]) -> None:
        if self._first_runs and self.decided and not self._cut.expired():
            self._cut.reschedule(self._loop.time())
