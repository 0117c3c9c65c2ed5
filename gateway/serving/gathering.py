"""Bringing in what is not at hand: rows and the fragments they lack, flights joined and led, deadlines kept.

Decide, then do: `_decide` says, without waiting, which flights to join and which rows to fetch; only `gather` awaits.

    1 every fragment that is missing: somebody flies it and we may join → wait on that flight
    2                                  nobody does → it is ours to lead; rows to lead go out in chunks the origin takes
    3 wait for all flights, until the deadline
    4 landed → take its fragments, stored or not; a flight of ours that crashed → its error is the row's
    5 a joined flight that crashed → once more from 1: those who had joined it share the next one, and its crash is final
      one that brought what is incomplete, on its leader's terms → once more from 1, in the end leading ourselves
    6 the deadline first → partial reads take TIME_OUT, others fail with DeadlineExceeded
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from opentelemetry.trace import Span

from gateway.access.gates import Gate
from gateway.cache.flights import Flight, Flights, wait_for
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from gateway.errors import DeadlineExceeded, GatewayError, PermissionDenied, SchemaDisagreement, Unauthenticated
from gateway.features import Caller, Labels, ReadOptions, ServiceRef, SloInfo, Source
from gateway.incidents import incident
from gateway.origins.base import Fetch, Fetched, FetchRow, Origin
from gateway.serving.plan import Plan
from gateway.telemetry import Telemetry, traceparent_of

logger = logging.getLogger(__name__)
_ROUNDS = 3
_GRACE_S = 0.025
"""How much longer than its latency budget a partial read waits for what the origin itself answers at the budget's end."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What a flight brings for one key."""

    fragment: Fragment
    complete: bool
    slo: SloInfo | None
    partial: bool


Cargo = Mapping[Key, Landed]


@dataclass(slots=True)
class RowWork:
    """One row on its way: its typed keys and context, and, per stored view of the plan, key, values and source so far."""

    values: tuple[Any, ...] = field(repr=False)
    context: dict[str, Any] = field(repr=False)
    keys: list[Key] = field(repr=False)
    found: list[Fragment | None] = field(repr=False)
    sources: list[Source]
    error: GatewayError | None = None
    slo: SloInfo | None = None
    partial: bool = False

    def missing(self, needed: Iterable[int]) -> list[int]:
        return [] if self.error is not None else [index for index in needed if self.found[index] is None]


@dataclass(frozen=True, slots=True)
class Errand:
    """For whom and how to gather. `deadline_s` is on the event loop's clock; `partial_at_deadline`: serve TIME_OUT instead of failing.
    `max_age_s`: a flight that has been in the air for longer brings nothing that is wanted."""

    plan: Plan
    service: ServiceRef
    caller: Caller
    options: ReadOptions
    needed: tuple[int, ...]
    deadline_s: float
    partial_at_deadline: bool
    max_age_s: float | None
    want_labels: bool
    span: Span | None
    traceparent: bytes | None


class Gatherer:
    """Fetches, stores and hands out fragments. `clock` is the cache's monotonic clock, in seconds."""

    def __init__(
        self,
        origin: Origin,
        origin_name: str,
        gate: Gate,
        store: FragmentStore,
        flights: Flights[Landed],
        telemetry: Telemetry,
        *,
        patience_s: float,
        clock: Callable[[], float],
        learn_labels: Callable[[ServiceRef, Plan, Mapping[str, Labels]], None],
    ) -> None:
        self._origin = origin
        self._origin_name = origin_name
        self._gate = gate
        self._store = store
        self._flights = flights
        self._telemetry = telemetry
        self._patience_s = patience_s
        self._clock = clock
        self._learn_labels = learn_labels

    async def gather(self, errand: Errand, rows: Sequence[RowWork]) -> None:
        """Fill every row's missing views, or its `error`. Raises SchemaDisagreement, for the whole read to begin again."""
        loop = asyncio.get_running_loop()
        grace = _GRACE_S if errand.options.latency_budget_ms is not None else 0.0
        for round_number in range(_ROUNDS):
            waits, led = self._decide(errand, rows, may_join=round_number < _ROUNDS - 1)
            in_time = await wait_for({flight for _, _, flight in waits}, errand.deadline_s + grace - loop.time())
            again = self._unload(errand, waits, led, forgiving=round_number == 0)
            if not in_time:
                self._give_up(errand, rows)
            if not again:
                return

    def _decide(
        self, errand: Errand, rows: Sequence[RowWork], *, may_join: bool
    ) -> tuple[list[tuple[RowWork, int, Flight[Landed]]], set[Flight[Landed]]]:
        """Which flight each missing fragment waits on, and which of these flights are ours. Starts flights, waits for nothing."""
        now_s = self._clock()
        granted = self._gate.holds(errand.caller, errand.service, now_s)
        not_before_s = -math.inf if errand.max_age_s is None else now_s - errand.max_age_s
        waits: list[tuple[RowWork, int, Flight[Landed]]] = []
        ours: dict[Key, list[tuple[int, RowWork, int]]] = {}
        to_lead: dict[int, tuple[RowWork, list[int]]] = {}
        for number, row in enumerate(rows):
            for index in row.missing(errand.needed):
                key = row.keys[index]
                flight = (
                    self._flights.find(key, errand.caller.key, granted=granted) if may_join and errand.options.read_from_cache else None
                )
                if flight is not None and flight.started_s >= not_before_s:
                    waits.append((row, index, flight))
                    continue
                if key not in ours:
                    ours[key] = []
                    to_lead.setdefault(number, (row, []))[1].append(index)
                ours[key].append((number, row, index))
        led: set[Flight[Landed]] = set()
        leads = iter(to_lead.items())
        by_row: dict[int, Flight[Landed]] = {}
        by_key: dict[Key, Flight[Landed]] = {}
        while numbered := list(islice(leads, self._origin.batch_limit)):
            chunk = [one for _, one in numbered]
            keys = self._chunk_keys(errand, chunk)
            flight = self._flights.lead(keys, errand.caller.key, now_s, self._fetch(errand, chunk))
            led.add(flight)
            by_row.update((number, flight) for number, _ in numbered)
            for key in keys:
                by_key.setdefault(key, flight)
        for key, wanting in ours.items():
            for number, row, index in wanting:
                own = by_row.get(number)
                waits.append((row, index, own if own is not None and key in own.keys else by_key[key]))
        return waits, led

    def _chunk_keys(self, errand: Errand, chunk: Sequence[tuple[RowWork, list[int]]]) -> list[Key]:
        """The keys that a fetch of these rows brings: the missing ones, or all where the origin always answers all views."""
        everything = range(len(errand.plan.stored))
        return list(dict.fromkeys(row.keys[i] for row, missing in chunk for i in (missing if self._origin.single_views else everything)))

    async def _fetch(self, errand: Errand, chunk: Sequence[tuple[RowWork, list[int]]]) -> Cargo:
        """One call to the origin, in a task of its own: it has the gateway's patience, not the deadline of whoever leads it."""
        loop = asyncio.get_running_loop()
        asked_s = self._clock()
        plan = errand.plan
        names = [field.name for field in plan.schema.join_keys]
        span = self._telemetry.origin_span(errand.span, self._origin_name, len(chunk)) if errand.span is not None else None
        fetch = Fetch(
            errand.service,
            tuple(FetchRow(dict(zip(names, row.values, strict=True)), row.context, plan.view_names(missing)) for row, missing in chunk),
            errand.caller,
            max(loop.time() + self._patience_s, errand.deadline_s + 2 * _GRACE_S),
            errand.options,
            errand.want_labels,
            traceparent_of(span, errand.traceparent),
        )
        try:
            fetched = await self._origin.fetch(fetch)
        except GatewayError as error:
            if isinstance(error, Unauthenticated | PermissionDenied):
                self._gate.refused(errand.caller, errand.service)
            self._end(span, error)
            raise
        except Exception as error:  # whoever waits on this flight must be able to tell its crash from one of their own
            self._end(span, error)
            raise incident(error, logger) from error
        if span is not None:
            self._telemetry.end_fetch(span, fetched.rows[0].slo if fetched.rows else None)
        self._gate.answered(errand.caller, errand.service, asked_s)
        return self._receive(errand, chunk, fetched, asked_s)

    def _end(self, span: Span | None, error: BaseException) -> None:
        if span is not None:
            self._telemetry.end_fetch(span, None, error)

    def _receive(self, errand: Errand, chunk: Sequence[tuple[RowWork, list[int]]], fetched: Fetched, asked_s: float) -> Cargo:
        """Hold the reply against the plan, and store what is whole. A fragment's age counts from when it was asked for."""
        plan, cargo = errand.plan, dict[Key, Landed]()
        for (row, missing), answer in zip(chunk, fetched.rows, strict=True):
            by_layout = {values.layout: values for values in answer.views}
            wanted = missing if self._origin.single_views else range(len(plan.stored))
            if answer.views:  # what is said of a row as a whole, beside what is said of its keys, which other rows may share
                told = Landed(Fragment.of(answer.views[0], asked_s), not answer.partial, answer.slo, answer.partial)
                cargo["row", *row.keys] = told
            if not self._origin.single_views and set(by_layout) - set(plan.by_layout) - plan.computed_layouts:
                raise SchemaDisagreement("The feature store's reply has features that its metadata does not.")
            for index in wanted:
                values = by_layout.get(plan.stored[index].layout)
                if values is None:
                    raise SchemaDisagreement("The feature store's reply lacks features that its metadata has.")
                fragment = Fragment.of(values, asked_s)
                complete = values.complete and not answer.partial
                if row.keys[index] not in cargo or complete:
                    cargo[row.keys[index]] = Landed(fragment, complete, answer.slo, answer.partial)
                if complete and errand.options.stored:
                    self._store.put(row.keys[index], fragment)
        if fetched.labels is not None:
            self._learn_labels(errand.service, plan, fetched.labels)
        return cargo

    def _unload(
        self, errand: Errand, waits: Sequence[tuple[RowWork, int, Flight[Landed]]], led: set[Flight[Landed]], *, forgiving: bool
    ) -> bool:
        """Take what has landed. True where another round is due. `forgiving`: the crash of a joined flight is not ours yet."""
        again = False
        for row, index, flight in waits:
            if not flight.task.done() or row.error is not None:
                continue
            try:
                landed = flight.cargo().get(row.keys[index])
            except GatewayError as error:
                if flight in led and isinstance(error, SchemaDisagreement):
                    raise
                if flight not in led and (forgiving or isinstance(error, SchemaDisagreement | Unauthenticated | PermissionDenied)):
                    again = True
                else:
                    row.error = error
                continue
            if flight not in led and (landed is None or not landed.complete):
                again = True
            elif landed is not None:
                self._take(errand, row, flight, index, landed)
        return again

    def _take(self, errand: Errand, row: RowWork, flight: Flight[Landed], index: int, landed: Landed) -> None:
        if landed.complete and errand.options.stored and self._store.lookup(row.keys[index]) is None:
            self._store.put(row.keys[index], landed.fragment)  # whoever led the flight may have asked for it not to be stored
        row.found[index] = landed.fragment
        row.sources[index] = Source.ORIGIN
        of_row = flight.cargo().get(("row", *row.keys), landed)
        row.slo = of_row.slo or row.slo
        row.partial = row.partial or of_row.partial
        if not self._origin.single_views:  # the reply brought all of the row's views: what it says is newer than what was at hand
            for other in errand.needed:
                fresher = flight.cargo().get(row.keys[other])
                if fresher is not None and fresher.complete and row.found[other] is not None:
                    row.found[other], row.sources[other] = fresher.fragment, Source.ORIGIN

    @staticmethod
    def _give_up(errand: Errand, rows: Sequence[RowWork]) -> None:
        """The deadline is over: what has not come in is TIME_OUT, or fails its row."""
        for row in rows:
            for index in row.missing(errand.needed):
                if not errand.partial_at_deadline:
                    row.error = DeadlineExceeded()
                    break
                row.found[index] = errand.plan.stored[index].timed_out
                row.sources[index] = Source.TIMEOUT
