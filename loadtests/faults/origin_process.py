"""The scripted origin as a process of its own, which can be killed, told what to do, and asked what it saw."""

import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from tests.harness.scripted.origin import READ, Connections, ScriptedOrigin
from tests.harness.scripted.steps import Script

_PATIENCE_S = 30.0
_SPAWNED = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Call:
    """One read that reached the origin. `at_s` is monotonic, and the same clock for all processes of a machine."""

    at_s: float
    user: str
    connection: int


class OriginGone(Exception):
    """The origin's process did not do what it was told."""


class OriginProcess:
    """Commands wait until they are done. After `kill` a `start` takes the same port again."""

    def __init__(self) -> None:
        self.port = 0
        self._process: BaseProcess | None = None
        self._pipe: Pipe[Any, Any] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self, *, epoch: int = 0, script: Script | None = None) -> None:
        """`epoch`: which values it has."""
        ours, theirs = _SPAWNED.Pipe()
        self._pipe = ours
        self._process = _SPAWNED.Process(target=_serve, args=(theirs, self.port, epoch, script), name="scripted-origin", daemon=True)
        self._process.start()
        theirs.close()
        self.port = self._heard()

    def kill(self) -> None:
        """As a machine dies: without a word. Its kernel says RST for it; see `freeze` for one that does not."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None

    def always(self, script: Script | None) -> None:
        """For all reads from here on."""
        self._told("always", script)

    def freeze(self) -> int:
        frozen: int = self._told("freeze")
        return frozen

    def calls(self) -> list[Call]:
        """All reads since it was started, or since they were last forgotten."""
        calls: list[Call] = self._told("calls")
        return calls

    def forget(self) -> None:
        self._told("forget")

    def connections(self) -> Connections:
        counts: Connections = self._told("connections")
        return counts

    def _told(self, what: str, *arguments: Any) -> Any:
        assert self._pipe is not None
        self._pipe.send((what, arguments))
        return self._heard()

    def _heard(self) -> Any:
        assert self._pipe is not None
        if not self._pipe.poll(_PATIENCE_S):
            raise OriginGone("the origin's process does not answer")
        try:
            return self._pipe.recv()
        except EOFError:
            raise OriginGone("the origin's process has ended") from None


class _Commands:
    """What the process does on the other end."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        self._origin = origin

    def always(self, script: Script | None) -> None:
        self._origin.always(script)

    def freeze(self) -> int:
        return self._origin.freeze()

    def calls(self) -> list[Call]:
        return [Call(one.at_s, one.user, one.connection) for one in self._origin.asked(READ)]

    def forget(self) -> None:
        self._origin.exchanges.clear()

    def connections(self) -> Connections:
        return self._origin.connections


def _serve(pipe: "Pipe[Any, Any]", port: int, epoch: int, script: Script | None) -> None:
    origin = ScriptedOrigin(port=port)
    origin.cluster.epoch = epoch
    origin.always(script)
    with origin:
        commands = _Commands(origin)
        pipe.send(origin.port)
        while True:
            try:
                what, arguments = pipe.recv()
            except EOFError:  # whoever started it has gone
                return
            pipe.send(getattr(commands, what)(*arguments))
