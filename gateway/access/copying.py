"""The gate's copy of the directory, kept like the store, and what the gate knows that the store does not: which keys are in use.

Nothing here is on the way of a read. A copy is as of when its reading began; readings follow one another, so the last one is the newest,
also where the store was put back to an older state.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import update
from sqlalchemy.orm import Session

from gateway.access.directory import read_directory, revision_of
from gateway.access.gates import KeyTable
from gateway.access.reach import Directory
from gateway.access.store.database import Database
from gateway.access.store.tables import ApiKey
from gateway.errors import AccessUnavailable

FLUSH_EVERY_S = 60.0
_AT_ONCE = 1_000
logger = logging.getLogger(__name__)

Reading = Callable[[Session], Callable[[], None]]
"""Reads something of the store, and says how it is put in the place of what was read before."""


class DirectoryCopy:
    """`max_age_s` None: what was read last counts until something else can be read. `wall_s`: the time of day, in seconds since 1970.
    `beside`: what else is copied, as of the same moment, whenever the store's revision is another. `up`: the store could be read when it
    was last looked at. `lapsed`: the copy is too old to count."""

    def __init__(
        self,
        database: Database,
        gate: KeyTable,
        *,
        max_age_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        beside: Sequence[Reading] = (),
    ) -> None:
        self._database = database
        self._gate = gate
        self._beside = beside
        self._max_age_s = max_age_s
        self._clock = clock
        self._wall_s = wall_s
        self._revision: int | None = None
        self._like_s = clock()
        self._flushed_s = clock()
        self._used: frozenset[str] = frozenset()
        self._reading = asyncio.Lock()
        self._asked = 0
        self._answered = 0
        self.up = True
        self.lapsed = False

    @property
    def age_s(self) -> float:
        """For how long the store may have said something else."""
        return self._clock() - self._like_s

    async def refresh(self) -> None:
        """Have the gate say what the store says now, or later. Raises AccessUnavailable."""
        self._asked += 1
        asked = self._asked
        async with self._reading:
            if self._answered >= asked:
                return  # by a reading that began after this was asked for
            answers, began_s = self._asked, self._clock()
            directory, adoptions = await self._database.run(self._read, writes=False)
            if directory.revision != self._revision:
                for adopt in adoptions:
                    adopt()
                self._gate.adopt(directory)
            self._revision, self._like_s, self._answered = directory.revision, began_s, answers
            self.lapsed = False

    async def follow(self, every_s: float) -> None:
        """Runs for ever: what other processes change is known here within `every_s`, and however long a reading takes."""
        while True:
            await asyncio.sleep(every_s)
            await self.turn()

    async def turn(self) -> None:
        """One look at the store."""
        began_s = self._clock()
        try:
            async with asyncio.timeout(self._left_s()):
                if await self._database.run(revision_of, writes=False) == self._revision:
                    self._like_s = began_s
                else:
                    await self.refresh()
        except (AccessUnavailable, TimeoutError):
            self._miss()
        else:
            self.up = True
            if began_s - self._flushed_s >= FLUSH_EVERY_S:
                await self.flush()

    async def flush(self) -> None:
        """Write down which keys were in use, to the minute. What cannot be written now is written later."""
        self._flushed_s = self._clock()
        used = self._used = self._used | self._gate.take_used()
        if used:
            now_us = int(self._wall_s() * 1e6)
            try:
                await self._database.run(lambda session: _mark(session, used, now_us))
            except AccessUnavailable:
                return
            self._used = frozenset()

    def _read(self, session: Session) -> tuple[Directory, Sequence[Callable[[], None]]]:
        return read_directory(session), [read(session) for read in self._beside]

    def _left_s(self) -> float | None:
        """Until the copy is too old. One that is so already waits no longer for a reading than one that is new."""
        if self._max_age_s is None:
            return None
        left_s = self._like_s + self._max_age_s - self._clock()
        return left_s if left_s > 0 else self._max_age_s

    def _miss(self) -> None:
        if self.up:
            logger.warning("The store of access control cannot be read: keys and roles are as they were last known")
        self.up = False
        if self._max_age_s is not None and self.age_s >= self._max_age_s and self._revision is not None:
            logger.error("The store of access control could not be read for %g s: its keys are refused", self._max_age_s)
            self._revision, self.lapsed = None, True
            self._gate.lapse()


def _mark(session: Session, used: Iterable[str], now_us: int) -> None:
    ids = sorted(used)  # so that two who mark the same wait for one another, and do not lock one another out
    for start in range(0, len(ids), _AT_ONCE):
        session.execute(update(ApiKey).where(ApiKey.id.in_(ids[start : start + _AT_ONCE])).values(last_used_us=now_us))
