"""Why a read answers what it answers: the read really made, as any other, and then told.

It is one read of the named door, with the same rights, deadline and bounds; what it fetches is kept, and it may join fetches that are
under way and have others join its own. It always takes the road of reads that may wait, never that of hits. It is not noted among the reads
of its feature service: no objective is judged by it.

A read that its caller made wrong is refused as it would be; one that failed otherwise is explained too.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from gateway.access.gates import Gate
from gateway.cache.store import FragmentStore
from gateway.errors import CallerError, GatewayError
from gateway.features import Caller, ServiceRef
from gateway.serving.doors import Answers, Door
from gateway.serving.explained_views import Read, ViewTeller, computations, features
from gateway.serving.reader import Call, FeatureReader
from gateway.serving.rows import facts_of
from gateway.serving.trails import Phase, Trail, Wait
from gateway.wire.explanations import (
    ExplainedCall,
    ExplainedDeadline,
    ExplainedError,
    ExplainedFlight,
    ExplainedGrant,
    ExplainedOrigin,
    ExplainedSlo,
    ExplainedTimings,
    Explanation,
    explanation,
    timed,
)


class Explainer:
    """`clock` is the cache's monotonic clock, in seconds. `breaker_open` None: there is no breaker before the origin. `status_of`: an
    error's HTTP status."""

    def __init__(
        self,
        reader: FeatureReader,
        door: Door,
        gate: Gate,
        store: FragmentStore,
        effective_at: Callable[[tuple[str | None, ...]], float],
        status_of: Callable[[GatewayError], int],
        *,
        origin_name: str,
        breaker_open: Callable[[], bool] | None,
        clock: Callable[[], float],
    ) -> None:
        self.door = Door("explain", door.decode, door.encode)
        self._reader = reader
        self._gate = gate
        self._status_of = status_of
        self._origin_name = origin_name
        self._breaker_open = breaker_open
        self._clock = clock
        self._views = ViewTeller(store, effective_at, self._error)

    async def explain(self, call: Call) -> bytes:
        """The explanation of this read, spelled. Where its caller is known already, `understood` says who. Raises GatewayError where it did
        not come to be made, or was its caller's mistake."""
        trail = Trail()
        if call.understood is None:
            caller = self._gate.identify(call.authorization)
            trail.mark(Phase.AUTHORISE)
            call.understood = (caller, call.door.decode(call.body, call.path))
            trail.mark(Phase.DECODE)
        caller, request = call.understood
        answers = await self._reader.trace(call, trail)
        [answer] = answers.rows
        if isinstance(answer, CallerError):
            raise answer
        left_ms = round((trail.deadline_s - asyncio.get_running_loop().time()) * 1000, 1)
        deadline = ExplainedDeadline(trail.given_s * 1000, left_ms, request.deadline_ms is not None)
        told = explanation(self._explanation(trail, caller, request.service, answers, deadline))
        trail.mark(Phase.ENCODE)
        return timed(told, _timings(trail))

    def _explanation(self, trail: Trail, caller: Caller, asked: ServiceRef, answers: Answers, deadline: ExplainedDeadline) -> Explanation:
        read = self._read(trail)
        [answer] = answers.rows
        vector = None if isinstance(answer, GatewayError) else answer
        return Explanation(
            read.plan.service.workspace,
            read.plan.service.name,
            "error" if vector is None else facts_of(read.plan, answers).outcome or "",
            self._error(answer) if isinstance(answer, GatewayError) else None,
            {} if vector is None else features(vector),
            self._views.views(read),
            computations(read, vector),
            self._grant(trail, caller, asked, read.now_s),
            [_flight(read, number, wait) for number, wait in enumerate(trail.flights, 1)],
            self._origin(read),
            deadline,
            answers.partial,
            trail.plans > 1,
        )

    def _read(self, trail: Trail) -> Read:
        plan, projection, row = trail.plan, trail.projection, trail.row
        assert plan is not None
        assert projection is not None
        assert row is not None
        return Read(trail, plan, projection, row, self._clock())

    def _grant(self, trail: Trail, caller: Caller, asked: ServiceRef, now_s: float) -> ExplainedGrant:
        admission = self._gate.admission(caller, asked)
        until_s = admission.until_s
        ends_s = round(until_s - now_s, 3) if until_s is not None and until_s > now_s else None
        rights = list(admission.rights)
        return ExplainedGrant(admission.gate, trail.granted, ends_s, admission.name or None, admission.kind or None, rights)

    def _origin(self, read: Read) -> ExplainedOrigin:
        breaker = "none" if self._breaker_open is None else "open" if self._breaker_open() else "closed"
        calls = [
            ExplainedCall(
                _names(read, one.views),
                round(one.took_s * 1000, 3),
                one.attempts,
                max(0, one.attempts - 1 - one.hedged),
                one.hedged,
                None if one.error is None else self._error(one.error),
            )
            for one in read.trail.askings
        ]
        slo = read.row.slo
        told = (
            None
            if slo is None
            else ExplainedSlo(
                slo.eligible, slo.server_time_s, slo.slo_server_time_s, slo.store_max_latency_s, list(slo.ineligibility_reasons)
            )
        )
        return ExplainedOrigin(self._origin_name, breaker, calls, told)

    def _error(self, error: GatewayError) -> ExplainedError:
        return ExplainedError(error.message, self._status_of(error), int(error.code), type(error).__name__, str(error.fault))


def _flight(read: Read, number: int, wait: Wait) -> ExplainedFlight:
    landing = wait.flight.landing
    state = "under_way" if not landing.done() else "failed" if landing.cancelled() or landing.exception() is not None else "landed"
    views = _names(read, [index for index, last in read.trail.waits.items() if last == wait])
    return ExplainedFlight(number, wait.led, views, state, round(read.trail.looked_up_s - wait.flight.started_s, 3))


def _names(read: Read, indices: Iterable[int]) -> list[str]:
    return [read.plan.stored[index].layout.view for index in indices]


def _timings(trail: Trail) -> ExplainedTimings:
    parts = [trail.took_s.get(phase, 0.0) for phase in Phase]
    return ExplainedTimings(*[round(took_s * 1000, 3) for took_s in (*parts, time.perf_counter() - trail.began_s)])
