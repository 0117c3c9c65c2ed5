"""Wildcard reads: some of the join keys given, one result for each set of the others that the origin has something for.

    who asks → which schema → validate → ask the origin → hold its reply against the plan → compute on-demand views → spell

The same gate, schemas, deadline and telemetry as `reader`, and none of its cache: which sets of keys there are is known to the origin alone
and changes with what it ingests, so a query looks nothing up, stores nothing and joins no flight. Every query is judged by the origin.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import Span

from gateway.access.gates import Gate
from gateway.cache.fragments import Fragment
from gateway.errors import DeadlineExceeded, InvalidRequest, PermissionDenied, SchemaDisagreement, TooManyResults, Unauthenticated
from gateway.features import Caller, Priority, ServiceRef, Source, ViewValues
from gateway.origins.base import Fetch, FetchRow, Origin, Queried
from gateway.serving.computing import compute_slow
from gateway.serving.doors import Answers, QueryDoor
from gateway.serving.plan import Plan, Projection
from gateway.serving.recording import Recorder
from gateway.serving.rows import assemble, facts_of
from gateway.serving.schemas import Schemas
from gateway.serving.work import RowWork
from gateway.serving.workers import Workers
from gateway.tasks import Tasks
from gateway.telemetry import ReadFacts, Telemetry
from gateway.wire.replies import KeysText, Match, Matches
from gateway.wire.requests import ReadRequest

_GRACE_S = 0.025
"""How much longer than its latency budget a query waits for what the origin itself answers at the budget's end (as `gathering`)."""
_SLICE_RESULTS = 50
"""Put together without a pause: some milliseconds, on-demand views included."""


@dataclass(frozen=True, slots=True)
class QueryCall:
    """One wildcard read as a door received it. `path`: the feature service, where the URL names it. Credentials as header bytes."""

    door: QueryDoor
    route: str
    body: bytes = field(repr=False)
    path: ServiceRef | None
    authorization: bytes | None = field(repr=False)
    traceparent: bytes | None
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks, until when (on the event loop's clock), and what is told of it."""

    caller: Caller
    deadline_s: float
    started_s: float
    span: Span | None
    traceparent: bytes | None
    priority: Priority


class WildcardReader:
    """`clock` is monotonic, in seconds; `patience_s` is the time of a query that names none; `max_results` bounds an answer."""

    def __init__(
        self,
        gate: Gate,
        schemas: Schemas,
        origin: Origin,
        origin_name: str,
        tasks: Tasks,
        workers: Workers,
        telemetry: Telemetry,
        recorder: Recorder,
        *,
        max_results: int,
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._schemas = schemas
        self._origin = origin
        self._origin_name = origin_name
        self._tasks = tasks
        self._workers = workers
        self._telemetry = telemetry
        self._recorder = recorder
        self._max_results = max_results
        self.patience_s = patience_s
        self._clock = clock

    async def read(self, call: QueryCall) -> bytes:
        """The reply, whatever it takes within the deadline. Raises GatewayError."""
        started_s, facts = time.perf_counter(), ReadFacts()
        span = None
        if self._telemetry.samples(call.traceparent):
            span = self._telemetry.read_span("POST", call.route, call.traceparent, time.time_ns())
        failure: BaseException | None = None
        try:
            reply = await self._read(call, facts, span, started_s)
        except BaseException as error:
            failure = error
            self._recorder.failed(call.door.name, facts, error, time.perf_counter() - started_s)
            raise
        else:
            self._recorder.queried(call.door.name, facts, time.perf_counter() - started_s)
            return reply
        finally:
            if span is not None:
                self._telemetry.end_read(span, facts, time.perf_counter() - started_s, failure)

    async def _read(self, call: QueryCall, facts: ReadFacts, span: Span | None, started_s: float) -> bytes:
        caller = self._gate.identify(call.authorization)
        request = call.door.decode(call.body, call.path)
        self._gate.admit(caller, request.service.workspace)
        budget_ms = request.options.latency_budget_ms or request.deadline_ms
        deadline_s = asyncio.get_running_loop().time() + (self.patience_s if budget_ms is None else budget_ms / 1000)
        asker = _Asker(caller, deadline_s, started_s, span, call.traceparent, call.priority)
        grace_s = 0.0 if request.options.latency_budget_ms is None else _GRACE_S
        try:
            async with asyncio.timeout_at(deadline_s + grace_s):
                matches = await self._matches(request, facts, asker)
        except TimeoutError:  # in part is not at all: without the origin's answer it is not known what the results are of
            raise DeadlineExceeded from None
        return call.door.encode(request, matches)

    async def _matches(self, request: ReadRequest, facts: ReadFacts, asker: _Asker) -> Matches:
        plan = await self._schemas.get(request.service, asker.caller)
        facts.workspace, facts.feature_service = plan.service.workspace, plan.service.name
        try:
            return await self._answer(request, plan, facts, asker)
        except SchemaDisagreement:
            plan = await self._schemas.corrected(request.service, asker.caller, plan)
            return await self._answer(request, plan, facts, asker)

    async def _answer(self, request: ReadRequest, plan: Plan, facts: ReadFacts, asker: _Asker) -> Matches:
        try:
            row = _row(request, plan)
            projection = plan.projection(request.selectors)
        except InvalidRequest:
            await self._schemas.prove(request.service, asker.caller)  # what is wrong with a request tells of the schema
            raise
        asked_s = self._clock()
        # In a task of its own: the deadline, or a client that goes away, must not cancel a call to the origin.
        queried = await asyncio.shield(self._tasks.start(self._ask(request, plan, row, asker, asked_s)))
        if queried.more and not request.options.allow_partial_results:
            raise TooManyResults(f"The query has more than {self._max_results} results. With allowPartialResults some are left out.")
        if queried.labels:
            projection = self._labelled(request, plan, queried, asker.caller) or projection
        keys, order = KeysText(plan.schema.output_join_keys), _order(plan, queried)
        context = dict(row.context)
        works = [_work(plan, result.views, context, asked_s) for result in queried.rows]
        ready = await compute_slow(self._workers, projection.slow, works, asker.deadline_s, partial_at_deadline=False)
        found: list[Match] = []
        for number, result in enumerate(queried.rows, 1):
            if number % _SLICE_RESULTS == 0:
                await asyncio.sleep(0)
            row_of = works[number - 1]
            if row_of.error is not None:
                raise row_of.error
            vector = assemble(projection, row_of.found, row_of.sources, context, self._clock(), ready[number - 1])
            found.append(Match(keys.encode([result.join_keys[index] for index in order]), vector))
        answers = Answers([match.vector for match in found], time.perf_counter() - asker.started_s, [queried.slo])
        told = facts_of(plan, answers, bypass=True)
        for name in ReadFacts.__slots__:
            setattr(facts, name, getattr(told, name))
        return Matches(keys, projection.text, found, answers.slo(0), queried.partial or queried.more)

    async def _ask(self, request: ReadRequest, plan: Plan, row: FetchRow, asker: _Asker, asked_s: float) -> Queried:
        """One call to the origin. Its answer, or refusal, is this caller's grant, or the end of it."""
        span = self._telemetry.origin_span(asker.span, self._origin_name, 1) if asker.span is not None else None
        fetch = Fetch(
            request.service,
            (row,),
            asker.caller,
            asker.deadline_s + 2 * _GRACE_S,
            request.options,
            plan.labels is None,
            self._telemetry.traceparent_of(span, asker.traceparent),
            self._max_results,
            asker.priority,
        )
        try:
            queried = await self._origin.query(fetch)
        except BaseException as error:
            self._recorder.book.call("query", self._clock() - asked_s, error)
            if isinstance(error, Unauthenticated | PermissionDenied):
                self._gate.refused(asker.caller, request.service, self._clock())
            if span is not None:
                self._telemetry.end_fetch(span, None, error)
            raise
        if span is not None:
            self._telemetry.end_fetch(span, queried.slo, attempts=queried.attempts)
        self._recorder.book.call("query", self._clock() - asked_s)
        self._gate.answered(asker.caller, request.service, asked_s)
        return queried

    def _labelled(self, request: ReadRequest, plan: Plan, queried: Queried, caller: Caller) -> Projection | None:
        """What is served, with the descriptions and tags that the reply brought."""
        self._schemas.learn_labels(request.service, plan, queried.labels or {})
        labelled = self._schemas.at_hand(request.service, caller)
        return labelled.projection(request.selectors) if labelled is not None and labelled.schema == plan.schema else None


def _row(request: ReadRequest, plan: Plan) -> FetchRow:
    """The validated request. All views are asked for, whatever is served: each may know of keys that the others do not. Raises
    InvalidRequest; for a feature service without output join keys too, which has no results to be told apart."""
    if not plan.wildcard:
        raise InvalidRequest("This is not a wildcard feature service: read it with get-features, or by name with …/features.")
    [given] = request.rows
    names = [key.name for key in plan.schema.join_keys]
    context = plan.schema.context_values(given.context, ignore_extra_fields=request.options.ignore_extra_request_context_fields)
    views = frozenset(view.layout.view for view in plan.stored)
    return FetchRow(dict(zip(names, plan.schema.join_values(given.join_keys), strict=True)), context, views)


def _order(plan: Plan, queried: Queried) -> list[int]:
    """Where each output join key of the schema stands in a row. Raises SchemaDisagreement where rows are labelled otherwise."""
    if queried.rows and set(queried.join_keys) != set(plan.schema.output_join_keys):
        raise SchemaDisagreement("The feature store's reply does not have the output join keys of its metadata.")
    return [queried.join_keys.index(key) for key in plan.schema.output_join_keys] if queried.rows else []


def _work(plan: Plan, views: Sequence[ViewValues], context: dict[str, Any], asked_s: float) -> RowWork:
    found = _fragments(plan, views, asked_s)
    return RowWork((), context, [], found, [Source.ORIGIN] * len(found))


def _fragments(plan: Plan, views: Sequence[ViewValues], asked_s: float) -> list[Fragment | None]:
    """A result's views where the plan has them. Raises SchemaDisagreement for a reply with more or fewer."""
    found: list[Fragment | None] = [None] * len(plan.stored)
    for values in views:
        index = plan.by_layout.get(values.layout)
        if index is not None:
            found[index] = Fragment.of(values, asked_s)
        elif values.layout not in plan.computed_layouts:
            raise SchemaDisagreement("The feature store's reply has features that its metadata does not.")
    if None in found:
        raise SchemaDisagreement("The feature store's reply lacks features that its metadata has.")
    return found
