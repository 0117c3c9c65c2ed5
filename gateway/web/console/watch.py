"""The last quarter of an hour, looked at every few seconds whether or not anybody has the console open: so a page that opens has a past.

Bounded: `KEPT_S` of points of some twenty numbers each, and what was counted at the last few looks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.measures.families import Report
from gateway.web.console.totals import Point, Totals, between, point_of, totals_of

EVERY_S = 5.0
KEPT_S = 900.0
FRESH_S = 1.5
"""A look that is not older is shared by all who ask."""
_SHARE = 0.05
"""Of the time, for looking."""
Reports = Callable[[], Awaitable[Sequence[Report]]]


class Look(NamedTuple):
    """What all workers had counted at one moment. `at_s`: wall clock; `tick_s`: monotonic."""

    at_s: float
    tick_s: float
    reports: Sequence[Report]
    totals: Mapping[int, Totals]


class Watch:
    """`reports`: of all workers. `points`: one for every `EVERY_S`, the oldest first."""

    def __init__(self, reports: Reports, *, wall_s: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self._reports = reports
        self._wall_s = wall_s
        self._clock = clock
        self._looking = asyncio.Lock()
        self._looks: deque[Look] = deque(maxlen=16)
        self._last: Look | None = None
        self.points: deque[Point] = deque(maxlen=int(KEPT_S / EVERY_S))

    async def follow(self) -> None:
        """Runs for ever. Where there is so much to count that it would take more than a twentieth of the workers' time, it is done less
        often: every worker asks all. One look that took long is none to go by: the process was busy with something else."""
        took_before_s = 0.0
        while True:
            began_s = self._clock()
            look = await self.note()
            took_s = self._clock() - began_s
            await asyncio.sleep(max(EVERY_S, min(took_s, took_before_s) * len(look.reports) / _SHARE))
            took_before_s = took_s

    async def note(self) -> Look:
        """Another point, from the last one to now."""
        look = await self.look()
        if self._last is not None and look.tick_s > self._last.tick_s:
            self.points.append(_point(self._last, look))
        self._last = look._replace(reports=())
        return look

    async def look(self) -> Look:
        """What was counted so far, not much longer ago than `FRESH_S`."""
        async with self._looking:
            if self._looks and self._clock() - self._looks[-1].tick_s < FRESH_S:
                return self._looks[-1]
            if self._looks:  # of earlier ones only the totals are wanted
                self._looks[-1] = self._looks[-1]._replace(reports=())
            reports = await self._reports()
            at_s, tick_s = self._wall_s(), self._clock()
            totals = await asyncio.to_thread(lambda: {one.worker: totals_of(one) for one in reports})
            look = Look(at_s, tick_s, reports, totals)
            self._looks.append(look)
            return look

    async def now(self) -> Point:
        """The last few seconds."""
        look = await self.look()
        earlier = next((one for one in reversed(self._looks) if look.tick_s - one.tick_s >= EVERY_S), self._looks[0])
        if earlier is look:
            return point_of(Totals(), look.at_s, EVERY_S)
        return _point(earlier, look)


def _point(earlier: Look, later: Look) -> Point:
    return point_of(between(earlier.totals, later.totals), later.at_s, later.tick_s - earlier.tick_s)
