"""The one thread that writes: requests that wait are committed together, so that one fsync serves all; other work has the time between.

Knows nothing of what is written.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, TypeVar

from gateway.errors import OriginThrottled, OriginUnavailable
from gateway.incidents import incident

Request = TypeVar("Request")
Reply = TypeVar("Reply")
T = TypeVar("T")
_RETRY_S = 5.0
logger = logging.getLogger(__name__)
MAX_WAITING = 256
"""Requests that may wait; more are asked to come back, rather than kept in memory."""


class Writer(Generic[Request, Reply]):
    """`commit` answers a group of requests, in order, each with a reply or what it raises; all that it has answered is durable. What it
    raises itself befell the whole group. `between` is called between groups, when it is due: it does a small piece of work
    and says after how many seconds it has more to do; None: not before `wake`."""

    def __init__(self, commit: Callable[[Sequence[Request]], Sequence[Reply | Exception]], between: Callable[[], float | None]) -> None:
        self._commit = commit
        self._between = between
        self._queue: SimpleQueue[tuple[Request, Future[Reply]] | Callable[[], None] | None] = SimpleQueue()
        self._waiting = 0
        self._due_s: float | None = 0.0
        """When `between` is to be called next, on the monotonic clock."""
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="feature-server-writer", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> "Future[Reply]":
        """Raises OriginThrottled where too many wait already, OriginUnavailable after `close`."""
        future: Future[Reply] = Future()
        with self._lock:
            if self._closed:
                raise OriginUnavailable("The feature server is shutting down.")
            if self._waiting >= MAX_WAITING:
                raise OriginThrottled("Ingest exceeded the concurrent request limit, please retry later", retry_after="1")
            self._waiting += 1
            self._queue.put((request, future))
        return future

    def run(self, task: Callable[[], T]) -> T:
        """Do this on the writer's thread, alone, and wait for it."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                future.set_exception(error)

        with self._lock:
            if self._closed:
                raise OriginUnavailable("The feature server is shutting down.")
            self._queue.put(do)
        return future.result()

    def wake(self) -> None:
        """There is work for `between`."""
        with self._lock:
            if not self._closed:
                self._queue.put(self._make_due)

    def close(self) -> None:
        """Answers what waits, then ends the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _make_due(self) -> None:
        self._due_s = 0.0

    def _run(self) -> None:
        while True:
            first = self._next()
            if first is None or not self._serve(first):
                return
            if self._due_s is not None and monotonic() >= self._due_s:
                self._housekeep()

    def _next(self) -> Any:
        """What comes first; nothing, when there is other work to do."""
        pause_s = None if self._due_s is None else self._due_s - monotonic()
        try:
            return self._queue.get_nowait() if pause_s is not None and pause_s <= 0 else self._queue.get(timeout=pause_s)
        except Empty:
            return _nothing

    def _housekeep(self) -> None:
        try:
            pause_s = self._between()
        except Exception as error:  # noqa: BLE001 - those who wait to write must be served, whatever befalls the rest
            incident(error, logger)
            pause_s = _RETRY_S
        self._due_s = None if pause_s is None else monotonic() + pause_s

    def _serve(self, first: Any) -> bool:
        """Everything that waits by now: requests as one group, tasks where they stand. False where the end has come."""
        group: list[tuple[Request, Future[Reply]]] = []
        item: Any = first
        while True:
            if isinstance(item, tuple):
                group.append(item)
            else:
                self._answer(group)
                group = []
                if item is None:
                    return False
                item()
            try:
                item = self._queue.get_nowait()
            except Empty:
                self._answer(group)
                return True

    def _answer(self, group: Sequence[tuple[Request, "Future[Reply]"]]) -> None:
        with self._lock:
            self._waiting -= len(group)
        live = [(request, future) for request, future in group if future.set_running_or_notify_cancel()]
        if not live:
            return
        replies: Sequence[Reply | Exception]
        try:
            replies = self._commit([request for request, _ in live])
        except Exception as error:  # noqa: BLE001 - what befell the group is each one's to be told
            replies = [error] * len(live)
        for (_, future), reply in zip(live, replies, strict=True):
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)


def _nothing() -> None:
    pass
