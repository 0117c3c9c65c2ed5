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
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from gateway.access.gates import Gate
from gateway.cache.flights import Flight, Flights, wait_for
from gateway.cache.keys import Key
from gateway.counters import Counters
from gateway.errors import DeadlineExceeded, GatewayError, InternalError, OriginError, PermissionDenied, SchemaDisagreement, Unauthenticated
from gateway.features import TIMED_OUT, Source
from gateway.serving.fetching import GRACE_S, Fetcher
from gateway.serving.keeping import Keeper
from gateway.serving.work import Cargo, Errand, Lack, Landed, RowWork, of_row

_ROUNDS = 3
_REFRESH_PAUSE_S = 1.0
"""After a refresh that failed, until the next one of the same fragment."""
_MOST_PAUSED = 10_000
Wait = tuple[RowWork, int, Flight[Landed]]
"""A row's view, and the flight it waits on."""


class Gatherer:
    """Hands out fragments that had to be waited for. `clock` is the cache's monotonic clock, in seconds."""

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
        self._fetcher = fetcher
        self._gate = gate
        self._keeper = keeper
        self._flights = flights
        self._counters = counters
        self._patience_s = patience_s
        self._clock = clock
        self._paused: dict[Key, float] = {}

    async def gather(self, errand: Errand, rows: Sequence[RowWork]) -> None:
        """Fill every row's missing views, or its `error`. Raises SchemaDisagreement, for the whole read to begin again."""
        loop = asyncio.get_running_loop()
        grace = GRACE_S if errand.options.latency_budget_ms is not None else 0.0
        for round_number in range(_ROUNDS):
            waits, led = self._decide(errand, rows, may_join=round_number < _ROUNDS - 1)
            in_time = await wait_for({flight for _, _, flight in waits}, errand.deadline_s + grace - loop.time())
            again = self._unload(errand, waits, led, forgiving=round_number == 0)
            if not in_time or not again:
                break
        for row in rows:
            if row.error is None:
                self._settle(errand, row)

    def refresh(self, errand: Errand, rows: Iterable[RowWork]) -> None:
        """Fetch again, in the background, what is due of these rows, as nobody in particular: no budget, whole results."""
        now_s = self._clock()
        granted = self._gate.holds(errand.caller, errand.service, now_s)
        chunk: list[Lack] = []
        for row in rows:
            due = [
                index
                for index in row.due
                if self._paused.get(row.keys[index], now_s) <= now_s
                and self._flights.find(row.keys[index], errand.caller.key, granted=granted) is None
            ]
            if due:
                chunk.append((row, due))
        if not chunk or not errand.options.stored:
            return
        options = replace(errand.options, latency_budget_ms=None, allow_partial_results=False)
        deadline_s = asyncio.get_running_loop().time() + self._patience_s
        background = replace(errand, options=options, deadline_s=deadline_s, refreshing=True, span=None, traceparent=None)
        for flight in self._lead(background, chunk, now_s):
            self._counters.refreshes += 1
            flight.task.add_done_callback(partial(self._refreshed, flight.keys))

    def _refreshed(self, keys: Sequence[Key], task: asyncio.Task[Cargo]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._counters.refreshes_failed += 1
            if len(self._paused) > _MOST_PAUSED:
                self._paused.clear()
            self._paused.update(dict.fromkeys(keys, self._clock() + _REFRESH_PAUSE_S))

    def _decide(self, errand: Errand, rows: Sequence[RowWork], *, may_join: bool) -> tuple[list[Wait], set[Flight[Landed]]]:
        """Which flight each missing fragment waits on, and which of these flights are ours. Starts flights, waits for nothing."""
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
                flight = self._flights.find(key, errand.caller.key, granted=granted) if may_join else None
                if flight is not None and flight.started_s >= not_before_s:
                    waits.append((row, index, flight))
                    continue
                if key not in ours:
                    ours[key] = []
                    to_lead.setdefault(number, (row, []))[1].append(index)
                ours[key].append((number, row, index))
        led = self._lead(errand, list(to_lead.values()), now_s)
        by_key: dict[Key, Flight[Landed]] = {}
        for flight in led:
            for key in flight.keys:
                by_key.setdefault(key, flight)
        limit = self._fetcher.batch_limit(errand.service)
        by_row = {number: led[place // limit] for place, number in enumerate(to_lead)}
        for key, wanting in ours.items():
            for number, row, index in wanting:
                own = by_row.get(number)
                waits.append((row, index, own if own is not None and key in own.keys else by_key[key]))
        return waits, set(led)

    def _lead(self, errand: Errand, lacks: Sequence[Lack], now_s: float) -> list[Flight[Landed]]:
        """Start a flight for each chunk of these rows."""
        flights = []
        rest = iter(lacks)
        while chunk := list(islice(rest, self._fetcher.batch_limit(errand.service))):
            lease = self._keeper.store.lease()
            keys = self._fetcher.keys(errand.plan, chunk)
            flights.append(self._flights.lead(keys, errand.caller.key, now_s, lease, self._fetcher.fetch(errand, chunk, lease)))
        return flights

    def _unload(self, errand: Errand, waits: Sequence[Wait], led: set[Flight[Landed]], *, forgiving: bool) -> bool:
        """Take what has landed. True where another round is due. `forgiving`: the crash of a joined flight is not ours yet."""
        again = False
        for row, index, flight in waits:
            if not flight.task.done():
                continue
            try:
                cargo = flight.cargo()
            except GatewayError as error:
                if flight in led and isinstance(error, SchemaDisagreement):
                    raise
                if flight not in led and (forgiving or isinstance(error, SchemaDisagreement | Unauthenticated | PermissionDenied)):
                    again = True
                else:
                    row.failed[index] = error
                continue
            refused = cargo.get(of_row(row))
            landed = cargo.get(row.keys[index])
            if landed is None and refused is not None and refused.refusal is not None:
                row.failed[index] = refused.refusal
            elif landed is None or (flight not in led and not landed.complete):
                again = True  # the row that was to bring it was refused, or it is not what this reader would have got
            else:
                self._take(errand, row, flight, index, landed)
        return again

    def _take(self, errand: Errand, row: RowWork, flight: Flight[Landed], index: int, landed: Landed) -> None:
        key = row.keys[index]
        assert landed.fragment is not None  # what is said of keys is said with a fragment
        if landed.complete and errand.options.stored and key not in self._keeper.store:
            # whoever led the flight may have asked for it not to be stored
            self._keeper.keep(errand.plan.stored[index], key, landed.fragment, flight.lease)
        row.take(index, landed.fragment, landed.source)
        told = flight.cargo().get(of_row(row), landed)
        row.slo = told.slo or row.slo
        row.partial = row.partial or told.partial
        if not self._fetcher.single_views:  # the reply brought all of the row's views: what it says is newer than what was at hand
            for other in errand.needed:
                fresher = flight.cargo().get(row.keys[other])
                if fresher is not None and fresher.complete and fresher.fragment is not None and row.found[other] is not None:
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
                self._counters.views_stale_on_error += 1
            elif view.default is not None:
                row.take(index, view.default, Source.DEFAULT)
            elif there is None and errand.partial_at_deadline and index not in row.failed:
                row.take(index, view.timed_out, Source.TIMEOUT)
            elif there is None:
                row.error = row.failed.get(index) or DeadlineExceeded()
                return


def _survivable(error: GatewayError) -> bool:
    """Whether something else may be served instead: the origin failed or was late, and did not judge the caller or the request."""
    return isinstance(error, OriginError | InternalError) and not isinstance(error, SchemaDisagreement)
