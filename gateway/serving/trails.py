"""What a read that is to be explained leaves behind: what was at hand when it began, what it waited for, what the origin was asked, and
how long each part took. Only such a read has a trail; others pay a comparison with None, and hits not even that.

Notes what happens, and decides nothing: the read is made as any other.
"""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from gateway.cache.flights import Flight
from gateway.cache.fragments import Fragment
from gateway.cache.store import FragmentStore
from gateway.errors import GatewayError
from gateway.features import Source
from gateway.serving.plan import Plan, Projection
from gateway.serving.work import Lack, Landed, RowWork
from gateway.wire.requests import ReadRequest


class Phase(StrEnum):
    """The parts of a read, in order. What is wrong with its schema is found out late: then some come twice, and are added."""

    AUTHORISE = "authorise"
    DECODE = "decode"
    SCHEMA = "schema"
    LOOK_UP = "look_up"
    FETCH = "fetch"
    COMPUTE = "compute"
    ENCODE = "encode"


class AtHand(StrEnum):
    """What the cache had of a view when the read began."""

    FRESH = "fresh"
    DUE = "due"
    """Fresh, and so near its end that it is fetched again."""
    STALE = "stale"
    """It had ended, and could be served while it is fetched again."""
    LAST_HOPE = "last_hope"
    """It had ended, and could be served only where the origin failed."""
    EXPIRED = "expired"
    TOO_OLD = "too_old"
    """For this read alone, which named a bound."""
    ABSENT = "absent"
    NEVER_KEPT = "never_kept"
    NOT_GRANTED = "not_granted"
    """It was not looked for: the caller had no grant."""


class Had(NamedTuple):
    """`fragment`: what was there, used or not."""

    state: AtHand
    fragment: Fragment | None


class Wait(NamedTuple):
    """`led`: the flight was begun for this read."""

    flight: Flight[Landed]
    led: bool


class Asking(NamedTuple):
    """One call to the origin, retries and a hedge included. `views`: their indices among the stored views of the plan."""

    views: tuple[int, ...]
    took_s: float
    attempts: int
    hedged: bool
    error: GatewayError | None


class Trail:
    """Of one read of one row. A read that begins again, because its schema was not the origin's any longer, leaves what it then does."""

    def __init__(self) -> None:
        self.began_s = self._marked_s = time.perf_counter()
        self.took_s: dict[Phase, float] = {}
        self.deadline_s = 0.0
        """On the event loop's clock."""
        self.given_s = 0.0
        self.plan: Plan | None = None
        self.projection: Projection | None = None
        self.row: RowWork | None = None
        self.had: dict[int, Had] = {}
        self.granted = False
        self.looked_up_s = 0.0
        """On the cache's clock."""
        self.waits: dict[int, Wait] = {}
        """The last of each view."""
        self.flights: list[Wait] = []
        self.askings: list[Asking] = []
        self.plans = 0

    def mark(self, phase: Phase) -> None:
        """What has passed since the last mark belongs to this."""
        now_s = time.perf_counter()
        self.took_s[phase] = self.took_s.get(phase, 0.0) + now_s - self._marked_s
        self._marked_s = now_s

    def begun(self, deadline_s: float, given_s: float) -> None:
        """The schema is known. `given_s`: how long the read may take in all."""
        self.deadline_s, self.given_s = deadline_s, given_s
        self.mark(Phase.SCHEMA)

    def looked_up(
        self,
        store: FragmentStore,
        plan: Plan,
        projection: Projection,
        request: ReadRequest,
        row: RowWork,
        now_s: float,
        *,
        from_cache: bool,
    ) -> None:
        """The row as it came from the cache, with all that it lacks. `from_cache`: whether it was looked there at all."""
        self.plan, self.projection, self.row = plan, projection, row
        self.plans += 1
        self.granted, self.looked_up_s = from_cache, now_s
        self.waits, self.flights, self.askings = {}, [], []
        self.had = {index: _had(store, plan, request, row, index, now_s, granted=from_cache) for index in projection.needed}
        self.mark(Phase.LOOK_UP)

    def waited(self, index: int, flight: Flight[Landed], *, led: bool) -> None:
        self.waits[index] = wait = Wait(flight, led)
        if wait not in self.flights:
            self.flights.append(wait)

    def asked(
        self, lacks: Sequence[Lack], took_s: float, attempts: int, *, hedged: bool = False, error: GatewayError | None = None
    ) -> None:
        [(_, missing)] = lacks
        self.askings.append(Asking(tuple(missing), took_s, attempts, hedged, error))


def _had(store: FragmentStore, plan: Plan, request: ReadRequest, row: RowWork, index: int, now_s: float, *, granted: bool) -> Had:
    view, used = plan.stored[index], row.found[index]
    if not granted:
        return Had(AtHand.NOT_GRANTED, None)
    if view.terms.ttl_s <= 0:
        return Had(AtHand.NEVER_KEPT, None)
    if used is not None:
        if row.sources[index] is Source.STALE:
            return Had(AtHand.STALE, used)
        return Had(AtHand.DUE if index in row.due else AtHand.FRESH, used)
    known = store.lookup(row.keys[index])
    if known is None:
        return Had(AtHand.ABSENT, None)
    if request.max_age_s is not None and now_s - known.stored_at >= request.max_age_s:
        return Had(AtHand.TOO_OLD, known)
    return Had(AtHand.LAST_HOPE if index in row.hopes else AtHand.EXPIRED, known)
