"""A few threads of the gateway's own, for functions that are declared slow (`OnDemandView.time_limit_s`).

Knows nothing of features and requests: it runs what it is given, first come, first served, and says when that is too late.

    a thread is free      → the function begins, and has its time limit, but no longer than the read's deadline
    none is free          → it waits its turn, until the read's deadline
    its time is over      → nobody waits for it any more; a thread cannot be killed, so it stays held until the function ends by itself
    all threads are held  → who waits and who comes fails at once, until one is free again

All bookkeeping is done on the event loop; a thread only runs and reports. The threads are daemons: a function that never ends does not
keep the process from ending, as one of `ThreadPoolExecutor`'s would.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from gateway.errors import DeadlineExceeded, GatewayError, OnDemandBusy, OnDemandTimeout

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Run(Generic[T]):
    """One call of a function. `running`: it holds a thread; `abandoned`: and nobody waits for it. `timer`: the end of its time."""

    name: str
    work: Callable[[], T]
    limit_s: float
    deadline_s: float
    future: asyncio.Future[T]
    timer: asyncio.TimerHandle | None = None
    running: bool = False
    abandoned: bool = False

    def fail_at(self, when_s: float, error: GatewayError) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.future.get_loop().call_at(when_s, self.fail, error)

    def fail(self, error: GatewayError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Workers:
    """At most `threads` threads, started when they are first needed. Belongs to one event loop."""

    def __init__(self, threads: int) -> None:
        self._size = threads
        self._started = 0
        self._busy = 0
        self._abandoned = 0
        self._waiting: dict[_Run[Any], None] = {}
        self._begun = SimpleQueue[_Run[Any] | None]()

    @property
    def abandoned(self) -> int:
        """How many threads are held by functions that nobody waits for any more."""
        return self._abandoned

    def submit(self, name: str, work: Callable[[], T], *, limit_s: float, deadline_s: float) -> asyncio.Future[T]:
        """What `work` returns or raises, on a thread. `limit_s` counts from when it begins, `deadline_s` is on the event loop's clock.

        `name`: the on-demand view, for error texts. The future fails with OnDemandTimeout past the limit, DeadlineExceeded past the
        deadline, OnDemandBusy while no thread can be had; who cancels it no longer waits.
        """
        loop = asyncio.get_running_loop()
        run = _Run(name, work, limit_s, deadline_s, loop.create_future())
        run.future.add_done_callback(lambda _: self._settle(run))
        if deadline_s <= loop.time():
            run.fail(_late(run))
        elif self._abandoned == self._size:
            run.fail(_busy(run))
        elif self._busy == self._size:
            self._waiting[run] = None
            run.fail_at(deadline_s, _late(run))
        else:
            self._begin(run)
        return run.future

    def close(self) -> None:
        """Let each thread end once it has nothing to do. Functions that still run are not waited for."""
        for _ in range(self._started):
            self._begun.put(None)

    def _begin(self, run: _Run[Any]) -> None:
        if self._busy == self._started:
            threading.Thread(target=self._serve, name=f"on-demand-{self._started}", daemon=True).start()
            self._started += 1
        over_s = run.future.get_loop().time() + run.limit_s
        if over_s <= run.deadline_s:
            run.fail_at(over_s, OnDemandTimeout(f"On-demand view {run.name} took longer than its time limit of {run.limit_s:g} s."))
        else:
            run.fail_at(run.deadline_s, _late(run))
        self._busy += 1
        run.running = True
        self._begun.put(run)

    def _settle(self, run: _Run[Any]) -> None:
        """The future is done: by its function's end, or because nobody waits for that any more."""
        if run.timer is not None:
            run.timer.cancel()
        self._waiting.pop(run, None)
        if not run.future.cancelled():
            run.future.exception()  # seen here, it is never reported as lost, with a traceback that may quote values
        if run.running:
            run.abandoned = True
            self._abandoned += 1
            if self._abandoned == self._size:
                logger.warning(
                    "all %d on-demand threads are held by functions that went over their time, last of view %s", self._size, run.name
                )
                for waiting in self._waiting:
                    waiting.fail(_busy(waiting))

    def _ended(self, run: _Run[Any], tell: Callable[[], None]) -> None:
        """A thread is free again: on with the next."""
        run.running = False
        self._busy -= 1
        self._abandoned -= run.abandoned
        for waiting in list(self._waiting):
            del self._waiting[waiting]
            if not waiting.future.done():
                self._begin(waiting)
                break
        if not run.future.done():
            tell()

    def _serve(self) -> None:
        """What a thread does."""
        while (run := self._begun.get()) is not None:
            try:
                tell = partial(run.future.set_result, run.work())
            except BaseException as error:  # noqa: BLE001 - whoever waits meets it, as they would without a thread between
                tell = partial(run.future.set_exception, error)
            with suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
                run.future.get_loop().call_soon_threadsafe(self._ended, run, tell)
            del run, tell  # an idle thread keeps no values


def _late(run: _Run[Any]) -> DeadlineExceeded:
    return DeadlineExceeded(f"Timed out: on-demand view {run.name} was not computed by the read's deadline.")


def _busy(run: _Run[Any]) -> OnDemandBusy:
    return OnDemandBusy(f"On-demand view {run.name} cannot be computed now: functions that went over their time hold all threads.")
