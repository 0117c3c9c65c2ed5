"""Whether this process is fit to be sent reads, as `/readyz` tells load balancers.

Being red is for what another replica would do better. All replicas see the same feature store lost at the same moment: were they red for
that, a Service would have nobody left, and hits, stale values and defaults, which is what they are there for, would go with it. So what
lies elsewhere and has been there once is told, and is no reason to be red; what is this process's own is.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.errors import AccessUnavailable, Draining, OriginError, OriginUnavailable
from gateway.lifecycle import Lifecycle
from gateway.origins.base import Origin
from gateway.tasks import Tasks

LOOK_S = 0.8
"""For the origin to say that it is there: less than the second that Kubernetes gives a probe unless told otherwise."""
FRESH_S = 1.0
"""How long what was seen counts, however many ask."""


class Copied(Protocol):
    """The gate's copy of the store of access control. `up`: the store could be read when last looked at. `lapsed`: the copy is too old to
    count. `age_s`: for how long the store may have said something else."""

    @property
    def up(self) -> bool: ...
    @property
    def lapsed(self) -> bool: ...
    @property
    def age_s(self) -> float: ...


class Readiness:
    """`elsewhere`: the origin is not a store of this process's own. `forgiving`: what was there once and is lost leaves it ready.
    `proven`: whether the origin is known to have been there, though no probe has seen it. `clock` is monotonic."""

    def __init__(
        self,
        origin: Origin,
        copied: Copied | None,
        lifecycle: Lifecycle,
        tasks: Tasks,
        *,
        elsewhere: bool,
        forgiving: bool,
        proven: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._origin = origin
        self._copied = copied
        self._lifecycle = lifecycle
        self._tasks = tasks
        self._survives = elsewhere and forgiving
        self._forgiving = forgiving
        self._proven = proven
        self._clock = clock
        self._was_there = False
        self._looked_s: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._missed: OriginError | None = None

    async def lost(self) -> list[str]:
        """What this process is ready without: `origin`, `access`, both or nothing. Raises what makes it not ready: Draining,
        AccessUnavailable, OriginUnavailable."""
        if self._lifecycle.draining:
            raise Draining
        copied, lost = self._copied, []
        if copied is not None and (copied.lapsed or not (copied.up or self._forgiving)):
            raise AccessUnavailable("The store of access control cannot be read.")
        missed = await self._look()
        if missed is not None:
            if not (self._survives and (self._was_there or self._proven())):
                raise OriginUnavailable(missed.message)
            lost.append("origin")
        if copied is not None and not copied.up:
            lost.append("access")
        return lost

    async def _look(self) -> OriginError | None:
        """Whoever leaves does not take the look away from the others."""
        if self._looking is None and (self._looked_s is None or self._clock() - self._looked_s >= FRESH_S):
            self._looking = self._tasks.start(self._ask())
        looking = self._looking
        if looking is not None:
            await asyncio.wait({looking})
            looking.result()  # what is not foreseen is told as such
        return self._missed

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._origin.ready()
        except OriginError as error:
            self._missed = error
        except TimeoutError:
            self._missed = OriginUnavailable("The feature store does not answer.")
        else:
            self._missed, self._was_there = None, True
        finally:
            self._looked_s, self._looking = self._clock(), None
