"""What a read was, noted once it is answered: in its service's ledger, in those of its views, among the recent errors, and in the access
log, where there is one.

Of every sixteenth read of a feature service the values are looked at one by one: how old they are, and which are missing. The first
few rows of a batch stand for the rest.
"""

import time
from collections.abc import Callable, Sequence
from math import inf

from gateway import request_ids
from gateway.access_log import AccessLog
from gateway.errors import Fault, GatewayError
from gateway.features import Source, missing_in
from gateway.measures.book import Book, ErrorNote
from gateway.measures.ledgers import Outcome, ServiceLedger, is_server_error
from gateway.serving.doors import Answers
from gateway.serving.plan import ComputedView, Plan, Projection
from gateway.telemetry import ReadFacts
from gateway.wire.replies import Vector

_ROWS_SEEN = 8
_ASKED_FOR = frozenset({Source.ORIGIN, Source.CACHE, Source.STALE})
_WHOLLY_CACHED = frozenset({Source.CACHE, Source.COMPUTED})


class Recorder:
    """`status_of`: an error's HTTP status. `effective_at`: the oldest of some effective times, on the cache's clock; infinite where
    none is told."""

    def __init__(
        self,
        book: Book,
        status_of: Callable[[GatewayError], int],
        effective_at: Callable[[tuple[str | None, ...]], float],
        access_log: AccessLog,
    ) -> None:
        self.book = book
        self._effective_at = effective_at
        self._status_of = status_of
        self._access_log = access_log

    def hit(
        self,
        plan: Plan,
        projection: Projection,
        door: str,
        vectors: Sequence[Vector | GatewayError],
        elapsed_s: float,
        trace_id: str | None = None,
    ) -> None:
        """A plain hit. `vectors`: of its rows. `trace_id`: of its trace, if it has one, as of the other kinds of read."""
        if plan.ledger.hit(door, len(vectors), projection.views_kept, projection.views_computed, elapsed_s):
            self._look_at(plan, projection, vectors)
        if trace_id is not None or self._access_log.on:
            self._say(plan, door, Outcome.HIT, len(vectors), elapsed_s, trace_id)

    def fetched(self, plan: Plan, projection: Projection, door: str, vector: Vector, elapsed_s: float, *, eligible: bool) -> None:
        """A read of one row, all of which came from the origin."""
        ledger = plan.ledger
        ledger.views[Source.ORIGIN] += projection.views_kept
        ledger.views_computed += projection.views_computed
        if ledger.read(door, Outcome.MISS, 1, elapsed_s, eligible=eligible):
            self._look_at(plan, projection, [vector])
        if self._access_log.on:
            self._say(plan, door, Outcome.MISS, 1, elapsed_s, None)

    def read(
        self,
        plan: Plan,
        projection: Projection,
        door: str,
        answers: Answers,
        elapsed_s: float,
        trace_id: str | None = None,
        *,
        bypass: bool,
    ) -> None:
        """Any other read that was answered."""
        ledger = plan.ledger
        vectors = [row for row in answers.rows if isinstance(row, Vector)]
        sources = self._count(ledger, vectors, answers)
        errors = [row for row in answers.rows if isinstance(row, GatewayError)]
        for error in errors:
            ledger.row_errors[error.fault] += 1
        outcome = _outcome(sources, bypass=bypass, stale=answers.stale is not None)
        close = ledger.read(
            door,
            outcome,
            len(answers.rows),
            elapsed_s,
            eligible=all(slo.eligible for slo in answers.of_origin or () if slo is not None),
            server_error=any(is_server_error(self._status_of(error)) for error in errors),
        )
        if close:
            self._look_at(plan, projection, vectors)
        self._say(plan, door, outcome, len(answers.rows), elapsed_s, trace_id)

    def queried(self, door: str, facts: ReadFacts, elapsed_s: float) -> None:
        """A wildcard read that was answered. Its rows are its results."""
        ledger = self.book.service(facts.workspace or "", facts.feature_service or "")
        ledger.views[Source.ORIGIN] += facts.views_missed
        ledger.views_computed += facts.views_computed
        eligible = facts.slo is None or facts.slo.eligible
        ledger.read(door, Outcome.BYPASS, facts.rows, elapsed_s, eligible=eligible)
        if self._access_log.on and self._access_log.draws():
            self._log(door, 200, elapsed_s, ledger, rows=facts.rows, outcome=Outcome.BYPASS.value)

    def _say(self, plan: Plan, door: str, outcome: Outcome, rows: int, elapsed_s: float, trace_id: str | None) -> None:
        """Of a read that was noted: under which trace it can be looked up, and its line in the log."""
        if trace_id is not None:
            plan.ledger.cell(door, outcome).mark(elapsed_s, trace_id, time.time())
        if self._access_log.on and self._access_log.draws():
            self._log(door, 200, elapsed_s, plan.ledger, rows=rows, outcome=outcome.value, trace_id=trace_id)

    def _log(self, door: str, status: int, elapsed_s: float, ledger: ServiceLedger, **facts: object) -> None:
        told = {"workspace": ledger.workspace or None, "feature_service": ledger.name or None, "request_id": request_ids.current()}
        self._access_log.tell(door, status, elapsed_s, **told, **facts)

    def failed(self, door: str, facts: ReadFacts, error: BaseException, elapsed_s: float) -> None:
        """A read that was answered with an error; what its caller did not wait for was not answered."""
        if not isinstance(error, Exception):
            return
        ledger = self.book.unknown
        if facts.workspace is not None and facts.feature_service is not None:
            ledger = self.book.service(facts.workspace, facts.feature_service)
        code = self._status_of(error) if isinstance(error, GatewayError) else 500
        fault = error.fault if isinstance(error, GatewayError) else Fault.GATEWAY
        ledger.failed(door, fault, code, elapsed_s, server_error=is_server_error(code))
        service = f"{ledger.workspace}/{ledger.name}" if ledger.name else ""
        self.book.recent.append(ErrorNote(time.time(), door, service, code, fault, type(error).__name__, request_ids.current()))
        if self._access_log.on:
            self._log(door, code, elapsed_s, ledger, outcome=Outcome.ERROR.value, fault=fault.value, error=type(error).__name__)

    def _count(self, ledger: ServiceLedger, vectors: Sequence[Vector], answers: Answers) -> set[Source]:
        """Views served, by where they came from. Of stale ones there are two kinds; on-demand views that were computed from them are of
        neither."""
        seen: set[Source] = set()
        for vector in vectors:
            for source in set(vector.sources):
                seen.add(source)
                if source is not Source.STALE:
                    ledger.views[source] += vector.sources.count(source)
        if answers.stale is not None:
            ledger.views["stale_on_error"] += answers.stale.on_error
            ledger.views["stale_revalidating"] += answers.stale.revalidating
        return seen

    def _look_at(self, plan: Plan, projection: Projection, vectors: Sequence[Vector | GatewayError]) -> None:
        """The values of a few rows."""
        rows = [row for row in vectors if isinstance(row, Vector)]
        for vector in rows[:: max(1, len(rows) // _ROWS_SEEN)]:
            for (view, _), values, source in zip(projection.emissions, vector.values, vector.sources, strict=False):
                computed = isinstance(view, ComputedView)
                name = view.layout.view if isinstance(view, ComputedView) else plan.stored[view].layout.view
                ledger = self.book.view(plan.service.workspace, name)
                pattern = values.pattern
                ledger.served(len(pattern), missing_in(pattern))
                if source in _ASKED_FOR and not computed:
                    told_s = self._effective_at(values.effective_times)
                    ledger.aged(vector.now_s - values.stored_at, vector.now_s - told_s if told_s < inf else None)


def _outcome(sources: set[Source], *, bypass: bool, stale: bool) -> Outcome:
    if bypass:
        return Outcome.BYPASS
    if stale:
        return Outcome.STALE
    if sources and sources <= _WHOLLY_CACHED:  # nothing is served of a batch all rows of which failed
        return Outcome.HIT
    return Outcome.PARTIAL if Source.CACHE in sources else Outcome.MISS
