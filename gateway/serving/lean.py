"""The lean road: a read of one row that must be fetched, from the door's callback to the origin's and back, all in plain functions.

    begin      what is at hand is looked up, a flight launched, the origin asked; no task, no coroutine, nobody waits
    told       the answer is there → kept, the flight lands, the reply is spelled and given to the door
    not so     it failed, or is late → the flight goes on as any other, in a task
    not so     in the end it failed, the read's time is over, the reply is not whole or does not fit the plan → the read, too, goes on as
               any other, in `FeatureReader.read`, with the flight as its own

So only what goes well goes this way. Whatever needs patience (several rows, options of the request's own, something stale at hand, a
flight to join, a span to be told, a cache beyond this process) takes the other road from the start.
"""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway import request_ids
from gateway.access.gates import Gate
from gateway.cache.flights import Flight, Flights
from gateway.counters import Counters
from gateway.errors import Draining, GatewayError
from gateway.features import PLAIN, Caller, Priority, Source
from gateway.incidents import incident
from gateway.origins.base import Asked, Fetched
from gateway.serving.fetching import Begun, Fetcher
from gateway.serving.keeping import Keeper
from gateway.serving.plan import Plan, Projection
from gateway.serving.rows import take_up
from gateway.serving.work import Cargo, Errand, Lack, Landed, RowWork, of_row
from gateway.wire.requests import ReadRequest

logger = logging.getLogger(__name__)
_LISTENS_S = 0.0005
"""Any time that is not over at once will do: it is the next turn of the loop that counts."""


class Missed(msgspec.Struct, frozen=True, gc=False):
    """A read that is no hit, as far as the look for one has come: `values` and `context` are those of the row that missed."""

    caller: Caller
    request: ReadRequest
    plan: Plan
    projection: Projection
    values: tuple[Any, ...]
    context: dict[str, Any]
    use_cache: bool
    started_s: float


class Launched(NamedTuple):
    """A read that has left the lean road: what the other one goes on with."""

    plan: Plan
    row: RowWork
    flight: Flight[Landed]
    started_s: float
    deadline_s: float


class Waiter(Protocol):
    """Whoever a read is for. One of the two comes, once, from the event loop, unless the process ends before."""

    def answer(self, read: "LeanRead", reply: bytes) -> None: ...

    def hand_over(self, read: "LeanRead", launched: Launched) -> None:
        """The read is to be made by `FeatureReader.read`, with this."""
        ...


Spell = Callable[["LeanRead"], bytes]
"""Put the reply together, of a row that has all it needs. Raises GatewayError."""


class LeanReads:
    """`clock` is the cache's monotonic clock, in seconds; `patience_s` the time of a read that names none."""

    def __init__(
        self,
        fetcher: Fetcher,
        gate: Gate,
        keeper: Keeper,
        flights: Flights[Landed],
        counters: Counters,
        *,
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.fetcher = fetcher
        self.flights = flights
        self.counters = counters
        self.closed = False
        self._gate = gate
        self._store = keeper.store
        self.patience_s = patience_s
        self._clock = clock

    def close(self) -> None:
        """From here on nothing is begun, and what fails is not tried again."""
        self.closed = True

    def suits(self, missed: Missed) -> bool:
        """Whether a read may take this road, as far as it can be told without looking anything up."""
        request, plan = missed.request, missed.plan
        return (
            self.fetcher.prompt
            and not self.closed
            and request.options is PLAIN
            and len(request.rows) == 1
            and plan.labels is not None
            and not plan.wildcard
            and not missed.projection.slow
        )

    def begin(
        self, missed: Missed, spell: Spell, waiter: Waiter, request_id: str, traceparent: bytes | None, priority: Priority
    ) -> "LeanRead | None":
        """Ask for what one row lacks; None where it cannot be done so. Raises what is wrong with the request."""
        caller, request, plan, projection = missed.caller, missed.request, missed.plan, missed.projection
        self._gate.admit(caller, request.service.workspace)
        now_s, loop = self._clock(), asyncio.get_running_loop()
        row = take_up(
            self._store, plan, projection, request, missed.values, missed.context, now_s, use_cache=missed.use_cache, revalidating=True
        )
        missing = [index for index in projection.needed if row.found[index] is None]
        if not missing or row.due or Source.STALE in row.sources or not self.flights.free(row.keys):
            return None
        patience_s = self.patience_s if request.deadline_ms is None else request.deadline_ms / 1000
        errand = Errand(
            plan,
            request.service,
            caller,
            request.options,
            projection.needed,
            loop.time() + patience_s,
            partial_at_deadline=request.deadline_ms is not None,
            max_age_s=request.max_age_s,
            traceparent=traceparent,
            priority=priority,
        )
        read = LeanRead(self, errand, projection, (row, missing), missed.started_s, spell, waiter, request_id)
        asked = self.fetcher.begin(errand, read.lack, read.told)
        if asked is None:
            return None
        self.counters.lean_reads += 1
        flight = self.flights.launch(tuple(row.keys), caller.key, now_s, self._store.lease())
        due_s, deadline_s = asked.due_s, errand.deadline_s
        timer = loop.call_at(due_s, read.due) if due_s < deadline_s else loop.call_at(deadline_s, read.late)
        read.take_off(asked, flight, timer)
        return read


class LeanRead:
    """One read on this road, and its flight."""

    __slots__ = (
        "_asked",
        "_flight",
        "_left",
        "_reads",
        "_request_id",
        "_spell",
        "_timer",
        "_waiter",
        "errand",
        "lack",
        "projection",
        "started_s",
    )

    def __init__(
        self,
        reads: LeanReads,
        errand: Errand,
        projection: Projection,
        lack: Lack,
        started_s: float,
        spell: Spell,
        waiter: Waiter,
        request_id: str,
    ) -> None:
        self.errand = errand
        self.projection = projection
        self.lack = lack
        self.started_s = started_s
        self._reads = reads
        self._spell = spell
        self._waiter = waiter
        self._request_id = request_id
        self._left = False

    def take_off(self, asked: Asked, flight: Flight[Landed], timer: asyncio.TimerHandle) -> None:
        self._asked = asked
        self._flight = flight
        self._timer = timer

    def told(self) -> None:
        """The origin's answer is there, or what came instead."""
        if self._left:  # just now: whoever waits for it has not begun to
            return
        self._timer.cancel()
        try:
            fetched = self._asked.fetched()
        except Exception:  # noqa: BLE001 - whoever waits meets it again, where it is told
            fetched = None
        if fetched is None:
            self._go_on()
            return
        if not self._arrive(fetched):
            self._receive(fetched)

    def _arrive(self, fetched: Fetched) -> bool:
        """With a reply like nearly all of them. False: it is not one, or it cannot be given as it is."""
        reads, errand, flight, row = self._reads, self.errand, self._flight, self.lack[0]
        try:
            fragments = reads.fetcher.receive_row(errand, row, fetched, flight.started_s, flight.lease)
        except Exception:  # noqa: BLE001 - met again below, where it is told
            return False
        if fragments is None:
            return False
        slo = fetched.rows[0].slo
        cargo: Cargo = {}
        if flight.sought:
            cargo = {key: Landed(fragment, slo=slo) for key, fragment in zip(row.keys, fragments, strict=True)}
            cargo[of_row(row)] = Landed(slo=slo)
        reads.flights.land(flight, cargo)
        known = row.found, row.sources
        row.found, row.sources, row.slo = list(fragments), [Source.ORIGIN] * len(fragments), slo
        try:
            reply = self._spell(self)
        except Exception:  # noqa: BLE001 - the other road meets it again
            row.found, row.sources = known
            self._hand_over()
        else:
            self._waiter.answer(self, reply)
        return True

    def _receive(self, fetched: Fetched) -> None:
        """Any reply."""
        reads, flight = self._reads, self._flight
        try:
            cargo = reads.fetcher.receive(self.errand, [self.lack], fetched, flight.started_s, flight.lease)
        except GatewayError as error:
            reads.flights.crash(flight, error.with_traceback(None))  # whose frames hold the flight, which holds it
            reply = None
        except Exception as error:  # noqa: BLE001 - whoever waits on this flight must be able to tell its crash from one of their own
            reads.flights.crash(flight, incident(error, logger))
            reply = None
        else:
            reads.flights.land(flight, cargo)
            reply = self._spelled(cargo)
        if reply is None:
            self._hand_over()
        else:
            self._waiter.answer(self, reply)

    def due(self) -> None:
        """The answer should be there, and where it is this process that is slow it may be: a loop's timers come before what it has heard
        meanwhile. It listens once more, before it does more work for an answer that it has."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(min(loop.time() + _LISTENS_S, self.errand.deadline_s), self.late)

    def late(self) -> None:
        """Somebody should wait for it now."""
        self._go_on()

    def _spelled(self, cargo: Cargo) -> bytes | None:
        """The reply; None where it cannot be given as it is, which the other road meets again."""
        try:
            return self._spell(self) if self._take(cargo) else None
        except Exception:  # noqa: BLE001 - see there
            return None

    def _take(self, cargo: Cargo) -> bool:
        """What came, whole: the origin answers all views, and what it says is newer than what was at hand. False: some is not whole."""
        row, _ = self.lack
        landed = [cargo[row.keys[index]] for index in self.errand.needed]
        if not all(one.complete for one in landed):
            return False
        for index, one in zip(self.errand.needed, landed, strict=True):
            assert one.fragment is not None  # what is said of keys is said with a fragment
            row.take(index, one.fragment, Source.ORIGIN)
        row.slo = cargo[of_row(row)].slo
        return True

    def _go_on(self) -> None:
        """The other road, for the flight; and for the read, unless its flight still brings what it wants in time."""
        reads, self._left = self._reads, True
        landing, deadline_s, loop = self._flight.landing, self.errand.deadline_s, asyncio.get_running_loop()
        if reads.closed:
            reads.flights.crash(self._flight, Draining())
        else:
            context = Context()  # not that of whoever opened the connection on which the origin was heard
            context.run(request_ids.assume, self._request_id)
            begun = Begun(self._asked, self._flight.started_s)
            fetch = reads.fetcher.fetch(self.errand, [self.lack], self._flight.lease, begun)
            context.run(reads.flights.follow, self._flight, fetch)
        if landing.done() or loop.time() >= deadline_s:
            self._hand_over()
        else:
            self._timer = loop.call_at(deadline_s, self._over)
            landing.add_done_callback(self._landed)

    def _landed(self, landing: "asyncio.Future[Cargo]") -> None:
        """The flight that went on has ended."""
        self._timer.cancel()
        failed = landing.cancelled() or landing.exception() is not None
        reply = None if failed else self._spelled(landing.result())
        if reply is None:
            self._hand_over()
        else:
            self._waiter.answer(self, reply)

    def _over(self) -> None:
        """The read's time is, and not its flight's."""
        self._flight.landing.remove_done_callback(self._landed)
        self._hand_over()

    def _hand_over(self) -> None:
        self._reads.counters.lean_reads_left += 1
        errand = self.errand
        self._waiter.hand_over(self, Launched(errand.plan, self.lack[0], self._flight, self.started_s, errand.deadline_s))
