"""The read path, on one screen.

    hit(call)    a plain function: decode → grant → validate → key → look up → compute → splice; None for whatever would have to wait.
                 `again` for requests that are known (`recall`), `first` for others
    begin(call)  plain too: what is no hit on the lean road (`lean`), if it may take it
    read(call)   the same with time to wait: who asks, which schema, what is at hand, what must be fetched, what is slow to compute, merge

A caller gets cached values only under a grant (`access`). Nothing on the way of a hit awaits, so a door below ASGI can call it too.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import msgspec
from opentelemetry.trace import Span

from gateway import request_ids
from gateway.access.gates import Gate
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from gateway.errors import DeadlineExceeded, GatewayError, InvalidRequest, SchemaDisagreement
from gateway.features import PLAIN, Caller, Priority, ServiceRef, SloInfo, Source
from gateway.request_log import RequestLog
from gateway.serving.computing import compute_slow
from gateway.serving.doors import Answers, Door, Reply
from gateway.serving.gathering import Gatherer
from gateway.serving.inline import InlineReads
from gateway.serving.lean import Launched, LeanRead, LeanReads, Missed, Waiter
from gateway.serving.plan import Computed, ComputedView, Plan, Projection
from gateway.serving.recall import Recall, Recalled
from gateway.serving.recording import Recorder
from gateway.serving.rows import AtHand, assemble, at_hand_of, facts_of, facts_of_hit, look_up, staleness_of, vector_or_error
from gateway.serving.schemas import Schemas
from gateway.serving.trails import Phase, Trail
from gateway.serving.work import Errand, RowWork
from gateway.serving.workers import Workers
from gateway.telemetry import ReadFacts, Telemetry, trace_id_of
from gateway.wire.replies import Vector
from gateway.wire.requests import ReadRequest, RowInput, Show

T = TypeVar("T")
_LABELS = Show.LABELS.value
_CACHE = Source.CACHE


class Call(msgspec.Struct, gc=False):
    """One read as a door received it. `path`: the feature service, where the URL names it. Times and credentials as header bytes.
    `understood`, `missed`, `at_hand`: what a look for a hit has made of it, so that the read which follows need not again. `request_id`: by
    what it is found again, once it is known to be no hit. `sampled`: whether it gets spans, once that is decided."""

    door: Door
    route: str
    body: bytes
    path: ServiceRef | None = None
    authorization: bytes | None = None
    traceparent: bytes | None = None
    priority: Priority = Priority.NORMAL
    understood: tuple[Caller, ReadRequest] | None = None
    missed: Missed | None = None
    at_hand: AtHand | None = None
    request_id: str | None = None
    sampled: bool | None = None


class FeatureReader:
    """`clock` is monotonic, in seconds; `patience_s` is the time of a read that names none."""

    def __init__(
        self,
        gate: Gate,
        schemas: Schemas,
        store: FragmentStore,
        gatherer: Gatherer,
        inline_reads: InlineReads,
        lean_reads: LeanReads,
        workers: Workers,
        telemetry: Telemetry,
        recorder: Recorder,
        request_log: RequestLog | None = None,
        *,
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._request_log = request_log
        self._recall = Recall()
        store.echoes.append(self._recall.forget)
        self._recorder = recorder
        self._gate = gate
        self._schemas = schemas
        self._store = store
        self._gatherer = gatherer
        self._inline_reads = inline_reads
        self._lean_reads = lean_reads
        self._workers = workers
        self._telemetry = telemetry
        self.patience_s = patience_s
        self._clock = clock

    def hit(self, call: Call) -> bytes | None:
        """The reply, if all of it is at hand, or to be had from the origin at once, and this caller may have it. What is wrong with a
        request is `read`'s to say."""
        known = self.again(call.body, call.door, call.route, call.path, call.authorization, call.traceparent)
        return self.first(call) if known is None else known

    def again(
        self, body: bytes, door: Door, route: str, path: ServiceRef | None, authorization: bytes | None, traceparent: bytes | None
    ) -> bytes | None:
        """`hit` of a request that is known (`recall`), if it is one again. Its parts by themselves: it needs no `Call`."""
        started_s = perf_counter()
        known = self._recall.find(body)
        if known is None or known.door is not door or known.path != path:
            return None
        plan, service = known.plan, known.request.service
        try:
            caller = self._gate.identify(authorization)
        except GatewayError:
            return None
        now_s = self._clock()
        if self._schemas.at_hand(service, caller, now_s) is not plan:
            self._recall.drop(body)
            return None
        if not self._gate.holds(caller, service, now_s):
            return None
        spelled, vector = known.spelled, known.vector
        if vector is not None and known.found is not None and now_s < known.until_s and self._store.still(known.keys, known.found):
            vector.now_s = now_s
        else:
            found = self._store.fresh_at(known.keys, known.terms, now_s)
            if found is None:
                known.let_go()
                return None
            vector = self._vector_of(plan, known.projection, found, {}, now_s)
            spelled = known.keep(found, vector)
        elapsed_s = perf_counter() - started_s
        reply = door.encode(known.request, Answers([vector], elapsed_s)) if spelled is None else spelled.again(elapsed_s)
        self._record(door, route, traceparent, plan, known.projection, [vector], started_s)
        return reply

    def first(self, call: Call) -> bytes | None:
        """`hit` of a request that is not known."""
        started_s = perf_counter()
        try:
            return self._first(call, self._gate.identify(call.authorization), self._clock(), started_s)
        except GatewayError:
            return None

    def _first(self, call: Call, caller: Caller, now_s: float, started_s: float) -> bytes | None:
        """`hit` of a request of which nothing is known. Raises what is wrong with it."""
        request = call.door.decode(call.body, call.path)
        call.understood = (caller, request)
        plan = self._schemas.at_hand(request.service, caller, now_s)
        if plan is None:
            return None
        projection = plan.projection(request.selectors)
        if projection.slow:
            return None
        use_cache = self._from_cache(request, plan, caller, now_s)
        vectors: list[Vector | None] = []
        fresh: Vector | None = None
        missed: Missed | None = None
        read: list[list[Key]] | None = None if self._request_log is None else []
        due: list[RowInput] = []
        schema, looks = plan.schema, use_cache and projection.kept
        plain = request.plain and looks and read is None
        quick = plain and projection.looks is not None
        lenient = request.options.ignore_extra_request_context_fields
        for row in request.rows:
            context = schema.context_values(row.context, ignore_extra_fields=lenient) if schema.context_keys else {}
            fresh = vector = self._fresh_vector(plan, projection, row, context, now_s) if quick else None
            if vector is not None:
                vectors.append(vector)
                continue
            values = schema.join_values(row.join_keys)
            if looks:
                vector = self._cached_vector(plan, projection, request, row, values, context, now_s, read, due)
            if vector is None:
                missed = missed or Missed(caller, request, plan, projection, values, context, use_cache, started_s)
            vectors.append(vector)
        if due:
            rows = [look_up(self._store, plan, projection, request, row, now_s, use_cache=True) for row in due]
            self._refresh(plan, projection, request, caller, rows)
        if missed is not None:
            call.missed, call.at_hand = missed, AtHand(plan, vectors, read or ())
            return self._inline(call, missed, call.at_hand)
        self._note(plan, read or (), now_s)
        lasting = fresh is not None or (plain and not quick and not due)
        if lasting and len(vectors) == 1 and not projection.views_computed and self._recall.wants(call.body):
            self._remember(call, request, plan, projection)
        hits: list[Vector] = vectors  # type: ignore[assignment]  # none missed
        reply = call.door.encode(request, Answers(hits, perf_counter() - started_s))
        self._record(call.door, call.route, call.traceparent, plan, projection, hits, started_s)
        return reply

    def _remember(self, call: Call, request: ReadRequest, plan: Plan, projection: Projection) -> None:
        """A plain read of one row that was a hit, for when it comes again."""
        row = request.rows[0]
        values, context = plan.schema.join_values(row.join_keys), plan.schema.context_values(row.context)
        keys = tuple([view.key(values, context, None) for _, view in projection.looked_up])
        terms = tuple([view.terms for _, view in projection.looked_up])
        self._recall.remember(call.body, Recalled(call.door, call.path, request, plan, projection, keys, terms))

    def _record(
        self,
        door: Door,
        route: str,
        traceparent: bytes | None,
        plan: Plan,
        projection: Projection,
        vectors: Sequence[Vector],
        started_s: float,
    ) -> None:
        """A hit that was answered. Its span is made after the fact."""
        elapsed_s, trace_id = perf_counter() - started_s, None
        if self._telemetry.samples(traceparent):
            span = self._telemetry.read_span("POST", route, traceparent, time.time_ns() - int(elapsed_s * 1e9))
            if span is not None:
                self._telemetry.end_read(span, facts_of_hit(plan, projection, vectors, elapsed_s), elapsed_s)
                trace_id = trace_id_of(span)
        self._recorder.hit(plan, projection, door.name, vectors, elapsed_s, trace_id)

    def begin(self, call: Call, waiter: Waiter) -> LeanRead | None:
        """Have a read made that `hit` could not answer, without waiting; None where `read` must."""
        missed = call.missed
        if missed is None or not self._lean_reads.suits(missed):
            return None
        call.sampled = self._telemetry.samples(call.traceparent)
        if call.sampled:
            return None
        request_id = call.request_id = call.request_id or request_ids.made()
        assumed = request_ids.assume(request_id)
        try:
            return self._lean_reads.begin(missed, partial(self._spell, call), waiter, request_id, call.traceparent, call.priority)
        except GatewayError:
            return None
        finally:
            request_ids.leave(assumed)

    def _spell(self, call: Call, read: LeanRead) -> bytes:
        """The reply of a read on the lean road. Raises OnDemandFailed."""
        row, missed = read.lack[0], call.missed
        assert missed is not None, "it had to be one"
        now_s, projection = self._clock(), missed.projection
        if projection.whole and not projection.views_computed:
            values = [one for view, _ in projection.emissions if isinstance(view, int) and (one := row.found[view]) is not None]
            told = "".join([one.pattern for one in values])
            vector = Vector(projection.text, values, projection.origin_sources, now_s, told)
        else:
            vector = assemble(projection, row.found, row.sources, row.context, now_s)
        answers = Answers([vector], perf_counter() - missed.started_s, [row.slo])
        reply = call.door.encode(missed.request, answers)
        eligible, elapsed_s = row.slo is None or row.slo.eligible, perf_counter() - missed.started_s
        self._recorder.fetched(missed.plan, projection, call.door.name, vector, elapsed_s, eligible=eligible)
        if self._request_log is not None:
            self._note(missed.plan, [[row.keys[index] for index in projection.needed]], now_s)
        return reply

    def _inline(self, call: Call, missed: Missed, at_hand: AtHand) -> bytes | None:
        """A read that is no hit, of an origin that answers at once; None where it is not one. Raises what is wrong with it or with the
        origin, which `read` meets again: it asks once more."""
        request, plan, projection, caller, started_s = missed.request, missed.plan, missed.projection, missed.caller, missed.started_s
        if not self._inline_reads.suits(request.service, at_hand.vectors.count(None), plan, projection):
            return None
        self._gate.admit(caller, request.service.workspace)
        traced = self._telemetry.samples(call.traceparent)
        if not traced and (brought := self._inline_reads.vector(missed)) is not None:
            return self._spell_brought(call, missed, *brought)
        now_s = self._clock()
        rows = [look_up(self._store, plan, projection, request, row, now_s, use_cache=missed.use_cache) for row in at_hand.lacking(request)]
        span = None
        if traced:
            elapsed_ns = int((perf_counter() - started_s) * 1e9)
            span = self._telemetry.read_span("POST", call.route, call.traceparent, time.time_ns() - elapsed_ns)
        if missed.use_cache:
            self._refresh(plan, projection, request, caller, rows)
        self._inline_reads.fetch(request, plan, projection, caller, rows, span)
        self._note(plan, [*at_hand.keys, *[[row.keys[index] for index in projection.needed] for row in rows]], now_s)
        vectors = at_hand.filled([assemble(projection, row.found, row.sources, row.context, now_s) for row in rows], now_s)
        slos = at_hand.filled_slos([row.slo for row in rows])
        answers = Answers(vectors, perf_counter() - started_s, slos, any(row.partial for row in rows))
        reply = call.door.encode(request, answers)
        elapsed_s, bypass = perf_counter() - started_s, not request.options.read_from_cache
        trace_id = None if span is None else trace_id_of(span)
        self._recorder.read(plan, projection, call.door.name, answers, elapsed_s, trace_id, bypass=bypass)
        if span is not None:
            self._telemetry.end_read(span, facts_of(plan, answers, bypass=bypass), elapsed_s)
        return reply

    def _spell_brought(self, call: Call, missed: Missed, vector: Vector, slo: SloInfo | None) -> bytes:
        """The reply of a read of one row, all of which the origin had at once."""
        plan, started_s = missed.plan, missed.started_s
        reply = call.door.encode(missed.request, Answers([vector], perf_counter() - started_s, [slo]))
        eligible, elapsed_s = slo is None or slo.eligible, perf_counter() - started_s
        self._recorder.fetched(plan, missed.projection, call.door.name, vector, elapsed_s, eligible=eligible)
        if self._request_log is not None:
            keys = [view.key(missed.values, missed.context, None) for _, view in missed.projection.looked_up]
            self._note(plan, [keys], vector.now_s)
        return reply

    def _fresh_vector(self, plan: Plan, projection: Projection, row: RowInput, context: dict[str, Any], now_s: float) -> Vector | None:
        """One row of a plain read, if all it needs is at hand and fresh under this plan's own terms. Raises OnDemandFailed, and
        InvalidRequest for some of what is wrong with the row; with what else is, nothing is found."""
        assert projection.looks is not None, "looked at by who asks"
        fresh = self._store.fresh(projection.looks, plan.schema.values_to_find(row.join_keys), now_s)
        if fresh is None:
            return None
        return self._vector_of(plan, projection, fresh, context, now_s)

    def _vector_of(self, plan: Plan, projection: Projection, fresh: list[Fragment], context: dict[str, Any], now_s: float) -> Vector:
        """Of what was found for `projection.looks`. Raises OnDemandFailed."""
        inserted = projection.inserted
        if inserted is not None:
            views: list[Computed | Fragment] = [*fresh]
            for place, view in inserted:
                views.insert(place, view.compute(fresh, context))
            told = "".join([view.cached_pattern for view in views])
            return Vector(projection.text, views, projection.cached_sources, now_s, told, of_hit=True)
        found = plan.timed_out.copy()
        for index, fragment in zip(projection.needed, fresh, strict=True):
            found[index] = fragment
        return self._hit_vector(projection, found, context, now_s)

    def _cached_vector(
        self,
        plan: Plan,
        projection: Projection,
        request: ReadRequest,
        row: RowInput,
        values: tuple[Any, ...],
        context: dict[str, Any],
        now_s: float,
        read: list[list[Key]] | None,
        due: list[RowInput],
    ) -> Vector | None:
        """One row, of these typed values, if all it needs is at hand and fresh; where `read` is a list, its keys are added there, and the
        row to `due`, where something of it should be fetched again. Raises OnDemandFailed."""
        options = request.options
        variant = None if options is PLAIN else options.variant
        found = plan.timed_out.copy()
        peek, max_age_s, is_due = self._store.peek, request.max_age_s, False
        for index, view in projection.looked_up:
            fragment = peek(view.key(values, context, variant))
            if fragment is None:
                return None
            if now_s >= fragment.fresh_until or fragment.terms is not view.terms:
                until_s = fragment.expiry(view.terms)
                if now_s >= until_s:
                    return None
                is_due = is_due or now_s >= until_s - fragment.early_s
            if max_age_s is not None and now_s - fragment.stored_at >= max_age_s:
                return None
            found[index] = fragment
        self._store.asked(found)  # and what stands for views that were not wanted, of which nobody counts it
        if read is not None:
            read.append([view.key(values, context, variant) for _, view in projection.looked_up])
        if is_due:
            due.append(row)
        return self._hit_vector(projection, found, context, now_s)

    @staticmethod
    def _hit_vector(projection: Projection, found: list[Fragment], context: dict[str, Any], now_s: float) -> Vector:
        """Of what is at hand. Raises OnDemandFailed."""
        if not projection.whole:
            return assemble(projection, found, [_CACHE] * len(found), context, now_s)
        views = [view.compute(found, context) if isinstance(view, ComputedView) else found[view] for view, _ in projection.emissions]
        told = "".join([view.cached_pattern for view in views])
        return Vector(projection.text, views, projection.cached_sources, now_s, told, of_hit=True)

    def _refresh(self, plan: Plan, projection: Projection, request: ReadRequest, caller: Caller, rows: Sequence[RowWork]) -> None:
        """Have what is due fetched again, in the background."""
        if not any(row.due for row in rows):
            return
        self._gatherer.refresh(Errand(plan, request.service, caller, request.options, projection.needed, 0.0), rows)

    def _note(self, plan: Plan, read: Iterable[Sequence[Key]], now_s: float) -> None:
        """In the request log, where there is one."""
        if self._request_log is not None:
            for keys in read:
                self._request_log.note(plan.name, keys, now_s)

    async def read(self, call: Call, launched: Launched | None = None) -> Reply:
        """The reply, whatever it takes within the deadline. `launched`: what the lean road has come to. Raises GatewayError."""
        started_s, start_ns = perf_counter() if launched is None else launched.started_s, time.time_ns()
        facts = ReadFacts()
        span = None
        if self._telemetry.samples(call.traceparent) if call.sampled is None else call.sampled:
            span = self._telemetry.read_span("POST", call.route, call.traceparent, start_ns)
        try:
            reply = await self._read(call, facts, span, started_s, launched)
        except BaseException as error:
            elapsed_s = perf_counter() - started_s
            self._recorder.failed(call.door.name, facts, error, elapsed_s)
            if span is not None:
                self._telemetry.end_read(span, facts, elapsed_s, error)
            raise
        if span is not None:
            self._telemetry.end_read(span, facts, perf_counter() - started_s)
        return reply

    async def trace(self, call: Call, trail: Trail) -> Answers:
        """The answers of a read made as `read` makes it, which leaves a trail; it is neither spelled nor noted as a read. Raises
        GatewayError."""
        _, _, answers = await self._answers(call, ReadFacts(), None, perf_counter(), None, trail)
        return answers

    async def _read(self, call: Call, facts: ReadFacts, span: Span | None, started_s: float, launched: Launched | None) -> Reply:
        request, plan, answers = await self._answers(call, facts, span, started_s, launched)
        bypass, door = not request.options.read_from_cache, call.door.name
        if span is not None:
            told = facts_of(plan, answers, bypass=bypass)
            for name in ReadFacts.__slots__:
                setattr(facts, name, getattr(told, name))
        reply = Reply(call.door.encode(request, answers), answers.stale)
        elapsed_s = perf_counter() - started_s
        trace_id = None if span is None else trace_id_of(span)
        self._recorder.read(plan, plan.projection(request.selectors), door, answers, elapsed_s, trace_id, bypass=bypass)
        return reply

    async def _answers(
        self, call: Call, facts: ReadFacts, span: Span | None, started_s: float, launched: Launched | None, trail: Trail | None = None
    ) -> tuple[ReadRequest, Plan, Answers]:
        caller, request = call.understood or self._understand(call)
        self._gate.admit(caller, request.service.workspace)
        facts.rows = len(request.rows)
        budget_ms = request.options.latency_budget_ms or request.deadline_ms
        given_s = self.patience_s if budget_ms is None else budget_ms / 1000
        deadline_s = asyncio.get_running_loop().time() + given_s if launched is None else launched.deadline_s
        plan = self._schemas.at_hand(request.service, caller)
        if plan is None:
            plan = await _in_time(self._schemas.fetch(request.service, caller), deadline_s)
        facts.workspace, facts.feature_service = plan.service.workspace, plan.service.name
        if trail is not None:
            trail.begun(deadline_s, given_s)
        try:
            answers = await self._answer(call, request, plan, caller, span, started_s, deadline_s, launched, trail)
        except SchemaDisagreement:
            plan = await _in_time(self._schemas.corrected(request.service, caller, plan), deadline_s)
            answers = await self._answer(call, request, plan, caller, span, started_s, deadline_s, trail=trail)
        return request, plan, answers

    def _understand(self, call: Call) -> tuple[Caller, ReadRequest]:
        return self._gate.identify(call.authorization), call.door.decode(call.body, call.path)

    async def _answer(
        self,
        call: Call,
        request: ReadRequest,
        plan: Plan,
        caller: Caller,
        span: Span | None,
        started_s: float,
        deadline_s: float,
        launched: Launched | None = None,
        trail: Trail | None = None,
    ) -> Answers:
        if plan.wildcard:
            await _in_time(self._schemas.prove(request.service, caller), deadline_s)
            raise InvalidRequest("This is a wildcard feature service: read it with query-features, or by name with …/features:query.")
        now_s = self._clock()
        at_hand = at_hand_of(plan, request, call.at_hand)
        try:
            projection = plan.projection(request.selectors)
            if launched is not None and launched.plan is plan:
                rows = [launched.row]
            else:
                launched = None  # of definitions that are not served any longer
                rows = [self._row(call.door, plan, projection, request, row, caller, now_s) for row in at_hand.lacking(request)]
        except InvalidRequest:
            await _in_time(self._schemas.prove(request.service, caller), deadline_s)  # what is wrong with a request tells of the schema
            raise
        if not projection.needed or any(isinstance(row.error, InvalidRequest) for row in rows):
            await _in_time(
                self._schemas.prove(request.service, caller), deadline_s
            )  # nothing else would show that the caller may know of this service
        errand = Errand(
            plan,
            request.service,
            caller,
            request.options,
            projection.needed,
            deadline_s,
            partial_at_deadline=request.options.latency_budget_ms is not None or request.deadline_ms is not None,
            max_age_s=request.max_age_s,
            want_labels=plan.labels is None,
            needs_labels=bool(request.show & _LABELS) and plan.labels is None,
            rows_may_fail=call.door.rows_may_fail,
            span=span,
            traceparent=call.traceparent,
            priority=call.priority,
            own=None if launched is None else launched.flight,
            witness=trail,
        )
        if trail is not None:
            from_cache = self._from_cache(request, plan, caller, now_s)
            trail.looked_up(self._store, plan, projection, request, rows[0], now_s, from_cache=from_cache)
        self._refresh(plan, projection, request, caller, rows)
        await self._gatherer.gather(errand, rows)
        if trail is not None:
            trail.mark(Phase.FETCH)
        fetched = [[row.keys[index] for index in projection.needed] for row in rows if row.error is None]
        self._note(plan, [*at_hand.keys, *fetched], now_s)
        if request.show & _LABELS and plan.labels is None:  # the reply may have brought them
            labelled = self._schemas.at_hand(request.service, caller)
            if labelled is not None and labelled.reads_as == plan.reads_as:
                projection = labelled.projection(request.selectors)
        waiting_s = perf_counter()
        ready = await compute_slow(self._workers, projection.slow, rows, deadline_s, partial_at_deadline=errand.partial_at_deadline)
        waited_s = perf_counter() - waiting_s if projection.slow else 0.0
        answered_s = self._clock()
        outcomes = [row.error or vector_or_error(projection, row, one, answered_s) for row, one in zip(rows, ready, strict=True)]
        elapsed_s = perf_counter() - started_s
        served = [row for row, outcome in zip(rows, outcomes, strict=True) if isinstance(outcome, Vector)]
        stale = staleness_of(plan, projection, served, answered_s)
        if trail is not None:
            trail.mark(Phase.COMPUTE)
        slos = at_hand.filled_slos([row.slo for row in rows])
        return Answers(at_hand.filled(outcomes, answered_s), elapsed_s, slos, any(row.partial for row in rows), waited_s, stale)

    def _from_cache(self, request: ReadRequest, plan: Plan, caller: Caller, now_s: float) -> bool:
        """Whether this caller, with these options, may be served from the cache at all."""
        return (
            not plan.wildcard
            and (request.options is PLAIN or (request.options.read_from_cache and request.options.high_watermark_override is None))
            and not (request.show & _LABELS and plan.labels is None)
            and self._gate.holds(caller, request.service, now_s)
        )

    def _row(
        self, door: Door, plan: Plan, projection: Projection, request: ReadRequest, row: RowInput, caller: Caller, now_s: float
    ) -> RowWork:
        """`_look_up`, with a bad row's error kept in its own row where the door tells rows apart."""
        try:
            work = look_up(
                self._store,
                plan,
                projection,
                request,
                row,
                now_s,
                use_cache=self._from_cache(request, plan, caller, now_s),
                revalidating=True,
            )
        except InvalidRequest as error:
            if not door.rows_may_fail:
                raise
            return RowWork((), {}, [], [], [], error=error)
        return work


async def _in_time(work: Coroutine[Any, Any, T], deadline_s: float) -> T:
    """Wait no longer than the read's deadline. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout_at(deadline_s):
            return await work
    except TimeoutError:
        raise DeadlineExceeded from None
