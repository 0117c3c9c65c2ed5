"""Several processes that serve the same ports: a parent that does nothing but start them, start them again, and end them.

Forked, before there is any thread or event loop: a worker has the parent's imports and its listening socket, and is serving again in a
fraction of a second. They share one socket and its queue, so a worker that dies takes none of the connections that wait with it.

Each worker has a channel to its parent. On it the worker says that it is up, and then every second that it is alive; the parent says there
that all of them end, and when it is in a hurry. Its end means that the other one is gone, however it went: a worker without a parent leaves
as after SIGTERM.
"""

import logging
import os
import secrets
import select
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType

from gateway.hosting.listener import Listeners
from gateway.hosting.roster import SILENCE_S, Roster
from gateway.lifecycle import Worker

UP, ALIVE, ALL_END, HASTE = b"u", b".", b"*", b"!"
BEAT_S = 1.0
_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)
_LONGEST_FOLDER = 96
"""A Unix socket's path has 107 bytes at most."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given. `channel`: to the parent, whose process is `parent`."""

    worker: Worker
    channel: socket.socket
    parent: int

    def up(self) -> None:
        with suppress(OSError):  # the parent has gone: `hosting.running` will see it
            self.channel.sendall(UP)

    def leave(self) -> None:
        """The last one out tidies up, where the parent is gone."""
        if os.getppid() != self.parent:
            with suppress(OSError):  # others are still there
                self.worker.folder.rmdir()


class Supervisor:
    """`started` is called once, when all are up. `drain_s`, `end_s`: how long a worker may take for SIGTERM's drain, and for all the rest;
    then it is killed. `reload` is called at SIGHUP, before the workers are told of it."""

    def __init__(
        self,
        count: int,
        listeners: Listeners,
        started: Callable[[], None],
        *,
        drain_s: float,
        end_s: float,
        reload: Callable[[], None] = lambda: None,
    ) -> None:
        self._count = count
        self._listeners = listeners
        self._tell_started = started
        self._drain_s, self._end_s = drain_s, end_s
        self._reload = reload
        self._roster = Roster(count)
        self._secret = secrets.token_bytes(32)
        self._channels: dict[int, socket.socket] = {}
        self._signals: list[int] = []
        self._told = False
        self._deadline_s: float | None = None
        self._killed = False
        self._hopeless: int | None = None

    def run(self) -> Post | int:
        """Returns in the parent, with its exit status, when all have ended; and in every worker, with its post, when it begins."""
        parent, folder = os.getpid(), _private_folder()
        wake, waking = socket.socketpair()
        for end in (wake, waking):
            end.settimeout(0)
        try:
            signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
            for one in _HEARD:
                signal.signal(one, self._hear)
            return self._watch(folder, wake)
        finally:
            wake.close()
            waking.close()
            if os.getpid() == parent:
                self._abandon()
                shutil.rmtree(folder, ignore_errors=True)

    def _hear(self, sig: int, _: FrameType | None) -> None:
        if sig != signal.SIGCHLD:
            self._signals.append(sig)

    def _watch(self, folder: Path, wake: socket.socket) -> Post | int:
        while True:
            if self._deadline_s is None:
                for number in self._roster.due(monotonic()):
                    post = self._start(number, folder)
                    if post is not None:
                        return post
            self._wait(wake)
            self._reap()
            while self._signals:
                self._obey(self._signals.pop(0))
            if self._deadline_s is None:
                self._kill_the_silent()
            elif self._roster.pids:
                self._kill_the_late()
            else:
                return self._hopeless if self._hopeless is not None else int(self._killed)

    def _start(self, number: int, folder: Path) -> Post | None:
        """None in the parent. Signals wait meanwhile: none may meet a worker that still has its parent's handlers."""
        parent, (ours, theirs) = os.getpid(), socket.socketpair()
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        try:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for one in _HEARD:
                    signal.signal(one, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until it can act on one
                for channel in (ours, *self._channels.values()):
                    channel.close()  # else the parent's end would not be the end of them
                return Post(Worker(number, self._count, folder, self._secret), theirs, parent)
        except OSError as error:  # no room for another process, as yet
            pause_s = self._roster.missed(number, monotonic())
            logger.warning("Worker %d cannot be started (%s); it is tried again in %g s", number, error.strerror, pause_s)
            ours.close()
        else:
            self._channels[number] = ours
            self._roster.started(number, pid, monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        theirs.close()
        return None

    def _wait(self, wake: socket.socket) -> None:
        """Until a signal, a word of a worker, or the time to do something."""
        now_s = monotonic()
        wait_s = self._roster.wait_s(now_s) if self._deadline_s is None else max(0.0, self._deadline_s - now_s)
        numbers = {channel: number for number, channel in self._channels.items()}
        readable, _, _ = select.select([wake, *numbers], [], [], BEAT_S if wait_s is None else min(wait_s, BEAT_S))
        for channel in readable:
            said = _received(channel)
            if channel is not wake:
                self._hear_worker(numbers[channel], said)
        if self._roster.all_up and not self._told:
            self._told = True
            self._tell_started()

    def _hear_worker(self, number: int, said: bytes) -> None:
        if not said:
            self._channels.pop(number).close()
            return
        self._roster.heard(number, monotonic())
        if UP in said:
            self._roster.is_up(number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._roster.ended(pid, monotonic())
            if ended is not None and self._deadline_s is None:
                self._mourn(ended.number, pid, os.waitstatus_to_exitcode(status), ended.pause_s, hopeless=ended.hopeless)

    def _mourn(self, number: int, pid: int, status: int, pause_s: float, *, hopeless: bool) -> None:
        if hopeless:  # it has said why itself
            self._hopeless = status if status > 0 else 1
            self._end(signal.SIGTERM)
        else:
            logger.warning("Worker %d (process %d) ended with status %d; it is started again in %g s", number, pid, status, pause_s)

    def _obey(self, sig: int) -> None:
        """SIGHUP is for each to take up other settings: the parent too, for workers to come. All else is the end."""
        if sig != signal.SIGHUP:
            self._end(sig)
        elif self._deadline_s is None:
            self._reload()
            for pid in self._roster.pids:
                os.kill(pid, sig)

    def _end(self, sig: int) -> None:
        """The same signal for all. The parent's own hold on the listeners goes too, so that they close with the last worker's."""
        if self._deadline_s is None:
            self._deadline_s = monotonic() + self._end_s + (self._drain_s if sig == signal.SIGTERM else 0.0)
            self._listeners.close()
            self._tell(ALL_END)
            for pid in self._roster.pids:
                os.kill(pid, sig)
        else:
            self._tell(HASTE)

    def _tell(self, word: bytes) -> None:
        for channel in self._channels.values():
            with suppress(OSError):  # it has just ended
                channel.sendall(word)

    def _kill_the_silent(self) -> None:
        for pid in self._roster.silent(monotonic()):
            logger.warning("A worker (process %d) is killed: it has given no sign of life for %g s", pid, SILENCE_S)
            os.kill(pid, signal.SIGKILL)

    def _kill_the_late(self) -> None:
        assert self._deadline_s is not None
        if monotonic() >= self._deadline_s:
            logger.warning("%d workers had to be killed: they did not end in time", len(self._roster.pids))
            self._killed = True
            self._abandon()
            self._deadline_s = monotonic() + self._end_s

    def _abandon(self) -> None:
        for pid in self._roster.pids:
            os.kill(pid, signal.SIGKILL)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(4096)
    except OSError:
        return b""  # it ended with something unread


def _private_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="feature-gateway-")
    if len(folder) > _LONGEST_FOLDER:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="feature-gateway-", dir="/tmp")
    return Path(folder)
