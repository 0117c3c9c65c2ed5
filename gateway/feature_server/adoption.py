"""The running server's side of `feature-gateway apply`: it serves the version in force, and takes up the one it is asked to serve.

Owns the conversation with whoever applies, through the registry's files. Knows nothing of caches; what must go with old definitions goes
when the engine tells of the change (`Engine.on_change`).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from time import monotonic

from gateway.errors import GatewayError
from gateway.feature_server.definitions import Repository
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.base import StoreMismatch
from gateway.feature_server.registry import Pending, Registry, Status
from gateway.feature_server.validation import DefinitionError
from gateway.incidents import incident

logger = logging.getLogger(__name__)
POLL_S = 1.0
_TOLD_EVERY_S = 0.5


class Adoption:
    """`load` reads a version's folder; `serving` is the number of the version that the engine was opened with."""

    def __init__(self, engine: Engine, registry: Registry, load: Callable[[Path], Repository], serving: int) -> None:
        self._engine = engine
        self._registry = registry
        self._load = load
        self._serving = serving
        self._told_s = 0.0

    async def follow(self) -> None:
        """Until it is cancelled. A version that was asked for while no server ran is taken up at once."""
        stamp = None
        await asyncio.to_thread(self._say, Status(os.getpid(), self._serving))
        while True:
            seen = self._registry.pending_stamp()
            if seen is not None and seen != stamp:
                await self._take_up()
            stamp = seen
            await asyncio.sleep(POLL_S)

    async def _take_up(self) -> None:
        try:
            pending = await asyncio.to_thread(self._registry.pending)
            if pending is not None:
                await self._answer(pending)
        except Exception as error:  # noqa: BLE001 - what is asked for next must find somebody here
            incident(error, logger)

    async def _answer(self, pending: Pending) -> None:
        refusal = await self._adopt(pending)
        if refusal is None:
            self._serving = pending.version
            answer = Status(os.getpid(), self._serving, pending.request)
        else:
            answer = Status(os.getpid(), self._serving, pending.request, "refused", refusal)
        logger.warning("definitions: version %d is %s", pending.version, "in force" if refusal is None else "refused")
        await asyncio.to_thread(self._say, answer)
        await asyncio.to_thread(self._registry.withdraw, pending)

    async def _adopt(self, pending: Pending) -> str | None:
        """Why not; None where it is in force now."""
        if pending.version == self._serving:
            return None
        try:
            done = await asyncio.to_thread(self._begin, pending)
            waited = asyncio.wrap_future(done)
            waited.add_done_callback(lambda one: one.cancelled() or one.exception())  # seen, also where nobody waits any more
            await asyncio.shield(waited)  # the writer goes on with it, whoever waits
        except (DefinitionError, StoreMismatch) as error:
            return str(error)
        except GatewayError as error:
            return error.message
        except OSError as error:
            return f"A file of the data folder cannot be used ({error.strerror})."
        except Exception as error:  # noqa: BLE001 - told by its incident
            return incident(error, logger).message
        return None

    def _begin(self, pending: Pending) -> "Future[None]":
        version = self._registry.version(pending.version)
        repository = self._load(self._registry.folder(pending.version))

        def progress(view: str, done: int) -> None:
            now_s = monotonic()
            if now_s - self._told_s >= _TOLD_EVERY_S:
                self._told_s = now_s
                self._say(Status(os.getpid(), self._serving, pending.request, "copying", view, done))

        self._say(Status(os.getpid(), self._serving, pending.request, "copying"))
        return self._engine.adopt(repository, version.start_empty, progress, lambda: self._registry.put_in_force(pending.version))

    def _say(self, status: Status) -> None:
        """Only told: what counts is `current`."""
        try:
            self._registry.report(status)
        except OSError as error:
            logger.warning("definitions: the status cannot be written (%s)", error.strerror)
