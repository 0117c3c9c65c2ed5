"""Serves what the settings describe on listening sockets, in this process or in several, until it is told to end."""

import asyncio
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from gateway.app import Seams, create_app
from gateway.cache.memory import keep_freed
from gateway.hosting.listener import Listeners
from gateway.hosting.logs import Logs
from gateway.hosting.reloads import Load, Reloads
from gateway.hosting.server import Server, configured, operations_of
from gateway.hosting.workers import ALIVE, ALL_END, BEAT_S, HASTE, Post, Supervisor
from gateway.lifecycle import Lifecycle
from gateway.settings import Settings

CLOSING_S = 20.0
"""For what comes after the last reply: tasks, spans, stores."""
_OTHER_FILES = 512


def end_when_told() -> None:
    """Before there is anything to drain: SIGTERM ends the process at once, with status 0."""
    signal.signal(signal.SIGTERM, _leave_early)


def serve(settings: Settings, listeners: Listeners, started: Callable[[], None], load: Load | None = None) -> None:
    """Returns, or ends the process with the status of a worker that could not begin. `load`: the settings as they are told now, for SIGHUP;
    None: that ends the process, as it does any other. Raises what `create_app` raises."""
    chosen, reloads = settings.server, Reloads(settings, load)
    end_when_told()
    if load is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until there is somebody to act on it
    logs = Logs(settings.log)
    logs.begin(threaded=False)
    if chosen.workers == 1:
        _serve(reloads, listeners, started, None)
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    end_s = chosen.shutdown_grace_s + CLOSING_S
    supervisor = Supervisor(
        chosen.workers, listeners, started, drain_s=chosen.drain_s, end_s=end_s, reload=lambda: reloads.parent_reloads(logs.change)
    )
    born = supervisor.run()
    if isinstance(born, Post):
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, _leave_early)
        _serve(reloads, listeners, born.up, born)
    else:
        sys.exit(born)


def _serve(reloads: Reloads, listeners: Listeners, started: Callable[[], None], post: Post | None) -> None:
    logs = Logs(reloads.settings.log, worker=None if post is None else post.worker.number)
    logs.begin(threaded=True)
    try:
        _run(reloads, logs, listeners, started, post)
    finally:
        logs.end()
    if post is not None:
        post.leave()


def hasten_the_loop() -> None:
    """Threads that export spans or write files let the event loop go on after half a millisecond, not after the interpreter's five:
    by so much each of them may hold up every read that comes meanwhile."""
    sys.setswitchinterval(0.0005)


def _run(reloads: Reloads, logs: Logs, listeners: Listeners, started: Callable[[], None], post: Post | None) -> None:
    settings = reloads.settings
    keep_freed()
    hasten_the_loop()
    app = create_app(settings, Seams(lifecycle=Lifecycle(None if post is None else post.worker)))

    def take_up(told: Settings) -> None:
        app.apply(told)
        logs.change(told.log)

    def begun() -> None:
        reloads.heed(take_up, app.counters)
        started()
        if post is not None:
            heed(post.channel, server)

    server = Server(
        configured(app),
        app.lifecycle,
        drain_s=settings.server.drain_s,
        grace_s=settings.server.shutdown_grace_s,
        started=begun,
        one_of_many=post is not None,
        operations=None if listeners.operations is None else operations_of(app, listeners.operations),
    )
    allow_files(settings.server.max_connections)
    server.run(sockets=[listeners.main])
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)  # it is ending


def heed(channel: socket.socket, server: Server) -> None:
    """Do as the parent says, from the running loop on, and let it hear that the loop turns; leave when there is no parent any more."""
    loop = asyncio.get_running_loop()
    channel.settimeout(0)

    def hear() -> None:
        try:
            said = channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if ALL_END in said:
            server.all_end()
        if HASTE in said:
            server.hasten()
        if not said:
            loop.remove_reader(channel)
            server.leave()

    def beat() -> None:
        with suppress(OSError):  # it is gone, or has stopped listening
            channel.send(ALIVE)
        loop.call_later(BEAT_S, beat)

    loop.add_reader(channel, hear)
    loop.call_later(BEAT_S, beat)


def allow_files(connections: int) -> None:
    """As many open files as so many connections need, and some for all else, where the system lets us: its first limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES if hard == resource.RLIM_INFINITY else min(connections + _OTHER_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _leave_early(_: int, __: FrameType | None) -> None:
    """Before there is anything to drain."""
    sys.exit(0)
