"""Bringing in what is not at hand: rows and the fragments they lack, flights joined and led, deadlines kept.

Decide, then do: `_decide` says, without waiting, which flights to join and which rows to fetch; only `gather` awaits.

    1 every fragment that is missing: somebody flies it and we may join → wait on that flight
    2                                  nobody does → it is ours to lead; rows to lead go out in chunks the origin takes
    3 wait for all flights, until the deadline
    4 landed → take its fragments, stored or not; a flight of ours that crashed → the view has failed
    5 a joined flight that crashed → once more from 1: those who had joined it share the next one, and its crash is final
      one that brought what is incomplete, on its leader's terms → once more from 1, in the end leading ourselves
    6 what has not come, because the origin failed or the deadline was first → a stale fragment, else the view's default, else TIME_OUT for
      a partial read whose time is over; else it fails its row
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

from msgspec.structs import replace

from gateway.access.gates import Gate
from gateway.cache.flights import Flight, Flights, wait_for
from gateway.cache.keys import Key
from gateway.counters import Counters
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InternalError,
    NotFound,
    OriginError,
    PermissionDenied,
    SchemaDisagreement,
    Unauthenticated,
)
from gateway.features import TIMED_OUT, Priority, Source
from gateway.serving.fetching import GRACE_S, Fetcher
from gateway.serving.keeping import Keeper
from gateway.serving.work import Cargo, Errand, Lack, Landed, RowWork, of_row

_ROUNDS = 3
_REFRESH_PAUSE_S = 1.0
"""After a refresh that failed, until the next one of the same fragment."""
_MOST_PAUSED = 10_000
_MOST_REFRESHING = 100
"""Refreshes in the air at once. Nobody waits for them, so nothing else would hold them back where the origin is slow, and whoever misses
needs its connections more. What is left out is stale or cached as before; whoever reads it next tries again."""
Wait = tuple[RowWork, int, Flight[Landed]]
"""A row's view, and the flight it waits on."""


class Gatherer:
    """Hands out fragments that had to be waited for. `clock` is the cache's monotonic clock, in seconds. `doubt` is told of an errand in
    the background whose reply did not fit its plan."""

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
        doubt: Callable[[Errand], None] = lambda _: None,
    ) -> None:
        self._doubt = doubt
        self._fetcher = fetcher
        self._gate = gate
        self._keeper = keeper
        self._flights = flights
        self._counters = counters
        self.patience_s = patience_s
        self._clock = clock
        self._paused: dict[Key, float] = {}
        self._refreshing = 0

    async def gather(self, errand: Errand, rows: Sequence[RowWork]) -> None:
        """Fill every row's missing views, or its `error`. Raises SchemaDisagreement, for the whole read to begin again."""
        loop = asyncio.get_running_loop()
        grace = GRACE_S if errand.options.latency_budget_ms is not None else 0.0
        for round_number in range(_ROUNDS):
            waits, led = self._decide(errand, rows, errand.own if round_number == 0 else None, may_join=round_number < _ROUNDS - 1)
            if errand.witness is not None:
                for _, index, flight in waits:
                    errand.witness.waited(index, flight, led=flight in led)
            in_time = await wait_for({flight for _, _, flight in waits}, errand.deadline_s + grace - loop.time())
            again = self._unload(errand, waits, led, forgiving=round_number == 0)
            if not in_time or not again:
                break
        for row in rows:
            if row.error is None:
                self._settle(errand, row)

    def refresh(self, errand: Errand, rows: Iterable[RowWork]) -> None:
        """Fetch again, in the background, what is due of these rows, as nobody in particular: no budget, whole results, the lowest
        priority, each fragment once and no row at the price of another."""
        if not errand.options.stored:
            return
        now_s, limit = self._clock(), self._fetcher.batch_limit(errand.service)
        due = list(islice(self._due(errand, rows, now_s), max(0, _MOST_REFRESHING - self._refreshing) * limit))
        options = dataclasses.replace(errand.options, latency_budget_ms=None, allow_partial_results=False)
        deadline_s = asyncio.get_running_loop().time() + self.patience_s
        background = replace(
            errand, options=options, deadline_s=deadline_s, rows_may_fail=True, span=None, traceparent=None, priority=Priority.LOW
        )
        for place, flight in enumerate(self._lead(background, due, limit, now_s)):
            wanted = [row.keys[index] for row, indices in due[place * limit : (place + 1) * limit] for index in indices]
            self._refreshing += 1
            self._counters.refreshes += 1
            flight.landing.add_done_callback(partial(self._refreshed, background, wanted))

    def _due(self, errand: Errand, rows: Iterable[RowWork], now_s: float) -> Iterator[Lack]:
        """What of these rows nobody fetches yet, nor did just now in vain."""
        granted = self._gate.holds(errand.caller, errand.service, now_s)
        chosen: set[Key] = set()
        for row in rows:
            due = [
                index
                for index in row.due
                if (key := row.keys[index]) not in chosen
                and self._paused.get(key, now_s) <= now_s
                and self._flights.find(key, errand.caller.key, granted=granted) is None
            ]
            if due:
                chosen.update(row.keys[index] for index in due)
                yield row, due

    def _refreshed(self, errand: Errand, keys: Sequence[Key], landing: "asyncio.Future[Cargo]") -> None:
        """What did not come, or not whole, is let be for a while."""
        self._refreshing -= 1
        error = None if landing.cancelled() else landing.exception()
        cargo: Cargo = {} if landing.cancelled() or error is not None else landing.result()
        vain = [key for key in keys if key not in cargo or not cargo[key].complete]
        if vain:
            self._counters.refreshes_failed += 1
            if len(self._paused) > _MOST_PAUSED:
                self._paused.clear()
            self._paused.update(dict.fromkeys(vain, self._clock() + _REFRESH_PAUSE_S))
        if isinstance(error, SchemaDisagreement):
            self._doubt(errand)
        if isinstance(error, NotFound) or (
            isinstance(error, Unauthenticated | PermissionDenied) and self._gate.holds(errand.caller, errand.service, self._clock())
        ):  # not of this caller alone, whose grant would have ended with it
            for key in keys:
                self._keeper.store.drop(key)

    def _decide(
        self, errand: Errand, rows: Sequence[RowWork], own: Flight[Landed] | None, *, may_join: bool
    ) -> tuple[list[Wait], set[Flight[Landed]]]:
        """Which flight each missing fragment waits on, and which of these flights are ours. Starts flights, waits for nothing. `own`: one
        that was started before."""
        now_s = self._clock()
        granted = self._gate.holds(errand.caller, errand.service, now_s)
        not_before_s = -math.inf if errand.max_age_s is None else now_s - errand.max_age_s
        may_join = may_join and errand.options.read_from_cache
        waits: list[Wait] = []
        ours: dict[Key, list[tuple[int, RowWork, int]]] = {}
        to_lead: dict[int, Lack] = {}
        for number, row in enumerate(rows):
            for index in row.missing(errand.needed):
                key = row.keys[index]
                if own is not None and key in own.keys:
                    waits.append((row, index, own))
                    continue
                flight = self._flights.find(key, errand.caller.key, granted=granted) if may_join else None
                if flight is not None and flight.started_s >= not_before_s:
                    waits.append((row, index, flight))
                    continue
                if key not in ours or row.alone:
                    ours.setdefault(key, [])
                    to_lead.setdefault(number, (row, []))[1].append(index)
                ours[key].append((number, row, index))
        limit = self._fetcher.batch_limit(errand.service)
        led = self._lead(errand, list(to_lead.values()), limit, now_s)
        by_key: dict[Key, Flight[Landed]] = {}
        for flight in led:
            for key in flight.keys:
                by_key.setdefault(key, flight)
        by_row = {number: led[place // limit] for place, number in enumerate(to_lead)}
        for key, wanting in ours.items():
            for number, row, index in wanting:
                leader = by_row.get(number)
                waits.append((row, index, leader if leader is not None and key in leader.keys else by_key[key]))
        return waits, {*led, own} if own is not None else set(led)

    def _lead(self, errand: Errand, lacks: Sequence[Lack], limit: int, now_s: float) -> list[Flight[Landed]]:
        """Start a flight for each `limit` of these rows."""
        flights = []
        rest = iter(lacks)
        while chunk := list(islice(rest, limit)):
            lease = self._keeper.store.lease()
            keys = self._fetcher.keys(errand.plan, chunk)
            flights.append(self._flights.lead(keys, errand.caller.key, now_s, lease, self._fetcher.fetch(errand, chunk, lease)))
        return flights

    def _unload(self, errand: Errand, waits: Sequence[Wait], led: set[Flight[Landed]], *, forgiving: bool) -> bool:
        """Take what has landed. True where another round is due. `forgiving`: the crash of a joined flight is not ours yet."""
        again = False
        landings: dict[tuple[int, int], tuple[RowWork, Flight[Landed], Landed]] = {}
        for row, index, flight in waits:
            if not flight.landing.done():
                continue
            landed = _landed(flight, row, index)
            if isinstance(landed, GatewayError):
                if flight in led and isinstance(landed, SchemaDisagreement):
                    raise landed
                if flight not in led and (forgiving or isinstance(landed, SchemaDisagreement | Unauthenticated | PermissionDenied)):
                    again = True
                else:
                    row.failed[index] = landed
            elif landed is None:
                again = row.alone = True  # the row that was to bring it was refused
            elif flight not in led and not self._suits(errand, index, landed):
                again = True  # it is not what this reader would have got
            else:
                self._take(errand, row, flight, index, landed)
                landings[id(row), id(flight)] = (row, flight, landed)
        for row, flight, landed in landings.values():
            self._hear(errand, row, flight, landed, own=flight in led)
        return again

    def _suits(self, errand: Errand, index: int, landed: Landed) -> bool:
        """Whether what another's flight brought is what this reader's own would have: whole, and if it was found, then under its terms."""
        found = landed.fragment if landed.source is Source.CACHE else None
        return landed.complete and (found is None or errand.takes(errand.plan.stored[index], found, self._clock()))

    def _take(self, errand: Errand, row: RowWork, flight: Flight[Landed], index: int, landed: Landed) -> None:
        key = row.keys[index]
        assert landed.fragment is not None  # what is said of keys is said with a fragment
        if landed.complete and errand.options.stored and key not in self._keeper.store:
            # whoever led the flight may have asked for it not to be stored
            self._keeper.keep(errand.plan.stored[index], key, landed.fragment, flight.lease)
        row.take(index, landed.fragment, landed.source)

    def _hear(self, errand: Errand, row: RowWork, flight: Flight[Landed], landed: Landed, *, own: bool) -> None:
        """What a flight that has landed says of a row as a whole. Where its reply brought all of the row's views, what it says of those
        that were at hand may be newer."""
        cargo = flight.cargo()
        told = cargo.get(of_row(row), landed)
        row.slo = told.slo or row.slo
        row.partial = row.partial or told.partial
        if self._fetcher.single_views:
            return
        for other in errand.needed:
            known, fresher = row.found[other], cargo.get(row.keys[other])
            if known is None or fresher is None or fresher.fragment is known or fresher.fragment is None or not fresher.complete:
                continue
            if fresher.source is Source.ORIGIN and (own or fresher.fragment.supersedes(known)):
                # one that was joined may have begun before a purge of this view
                row.take(other, fresher.fragment, fresher.source)

    def _settle(self, errand: Errand, row: RowWork) -> None:
        """What did not come: step 6."""
        row.error = next((error for error in row.failed.values() if not _survivable(error)), None)
        if row.error is not None:
            return
        now_s = self._clock()
        granted = self._gate.holds(errand.caller, errand.service, now_s)
        for index in errand.needed:
            there = row.found[index]
            if there is not None and TIMED_OUT not in there.pattern:
                continue
            view, hope = errand.plan.stored[index], row.hopes.get(index)
            if hope is not None and granted and now_s < hope.expiry(view.terms) + view.terms.error_s:
                row.take(index, hope, Source.STALE)
            elif view.default is not None:
                row.take(index, view.default, Source.DEFAULT)
            elif there is None and errand.partial_at_deadline and index not in row.failed:
                row.take(index, view.timed_out, Source.TIMEOUT)
            elif there is None:
                row.error = row.failed.get(index) or DeadlineExceeded()
                return


def _landed(flight: Flight[Landed], row: RowWork, index: int) -> Landed | GatewayError | None:
    """What a flight that has ended brought for a row's view; why it did not; None where it says neither."""
    try:
        cargo = flight.cargo()
    except GatewayError as error:
        return error.with_traceback(None)  # whose frames hold the flight, which holds it
    landed = cargo.get(row.keys[index])
    if landed is None:
        told = cargo.get(of_row(row))
        return None if told is None else told.refusal
    return landed


def _survivable(error: GatewayError) -> bool:
    """Whether something else may be served instead: the origin failed or was late, and did not judge the caller or the request."""
    return isinstance(error, OriginError | InternalError) and not isinstance(error, SchemaDisagreement)
