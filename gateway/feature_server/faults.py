"""The fault lab: an origin around another that is late, fails, answers in part or changes its schema, as the settings say.

For client teams' tests and for the gateway's own; where nothing is set, nobody makes one. `fates` decides before anything is asked; here
it is carried out. Knows nothing of the feature server inside but what every origin shows.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.errors import OriginTimeout, OriginUnavailable
from gateway.feature_server.fates import SPARED, Fate, Fates, Mark, Marks, fetch_fate
from gateway.feature_server.schema_change import SchemaChange, instant_s, planned_change
from gateway.features import Caller, ServiceRef, SloInfo, Status, ViewValues
from gateway.origins.base import Description, Fetch, Fetched, FetchedRow, IngestReply, Origin, Queried
from gateway.settings.faults import Faults
from gateway.wire.ingest import named_workspace

T = TypeVar("T")
_STATUSES = {Mark.LEFT_OUT: Status.UNKNOWN, Mark.TIMED_OUT: Status.TIME_OUT, Mark.MISSING: Status.MISSING_DATA}
_REASONS = {Mark.LEFT_OUT: "DYNAMODB_RESPONSE_SIZE_LIMIT_EXCEEDED", Mark.TIMED_OUT: "REDIS_LATENCY_LIMIT_EXCEEDED"}
"""Of SLO ineligibility, as clients know them (contract §4.3)."""


class FaultLab:
    """An `origins.base.Origin`. `now_s` is the wall clock, in seconds since 1970; `sleep` lets time pass.

    Calls that nothing can hit draw no lots: they do not move the fates of others.
    """

    def __init__(
        self,
        inner: Origin,
        faults: Faults,
        *,
        now_s: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises ValueError for an instant that is none."""
        self.single_views = inner.single_views
        self._inner = inner
        self._faults = faults
        self._now_s = now_s
        self._sleep = sleep
        self._fates = Fates(faults, Random(faults.seed))  # noqa: S311 - to be reproduced, not to be secret
        self._change = planned_change(faults.schema_change)
        self._changes_at_s = instant_s(faults.schema_change, now_s())

    def batch_limit(self, service: ServiceRef) -> int:
        return self._inner.batch_limit(service)

    def rows_at_once(self, _service: ServiceRef) -> int:
        """None: bad days are waited for."""
        return 0

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        change = self._change_of(service)
        hit = self._hits("describe", service.workspace, service)
        fate = self._fates.call() if hit and not self._faults.views else SPARED
        description = await self._answered(fate, deadline, lambda: self._inner.describe(service, caller, deadline))
        return description if change is None else change.description(description)

    async def fetch(self, fetch: Fetch) -> Fetched:
        change = self._change_of(fetch.service)
        fate, marks = self._fetch_fates(fetch)
        fetched = await self._answered(fate, fetch.deadline, lambda: self._inner.fetch(fetch))
        rows = [_row(row, one, change, fate.latency_s) for row, one in zip(fetched.rows, marks, strict=True)]
        return replace(fetched, rows=tuple(rows))

    async def query(self, fetch: Fetch) -> Queried:
        """Late or refused like a fetch; what is answered is left as it is."""
        return await self._answered(self._fetch_fates(fetch)[0], fetch.deadline, lambda: self._inner.query(fetch))

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:
        """A reply that comes too late is of records that are stored: whoever sends them again must be able to."""
        hit = self._hits("ingest", named_workspace(body) if self._faults.workspaces else None, None)
        fate = self._fates.call() if hit and not self._faults.views else SPARED
        return await self._answered(fate, deadline, lambda: self._inner.ingest(body, caller, deadline))

    async def follow(self, changed: Callable[[], None]) -> None:
        await self._inner.follow(changed)

    async def ready(self) -> None:
        if self._faults.not_ready:
            raise OriginUnavailable("The feature server is not ready (fault lab).")
        await self._inner.ready()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _fetch_fates(self, fetch: Fetch) -> tuple[Fate, list[Marks]]:
        """What becomes of a read, and of each of its rows. Only views in the lab's reach are drawn for."""
        faults = self._faults
        views = [sorted(row.views & faults.views if faults.views else row.views) for row in fetch.rows]
        if not any(views) or not self._reaches(fetch.service.workspace, fetch.service):
            return SPARED, [{} for _ in fetch.rows]
        call = self._fates.call() if "fetch" in faults.calls else SPARED
        marks = [self._fates.row(one) for one in views]
        return fetch_fate(call, marks, fetch.options), marks

    def _hits(self, call: Literal["describe", "ingest"], workspace: str | None, service: ServiceRef | None) -> bool:
        return call in self._faults.calls and self._reaches(workspace, service)

    def _reaches(self, workspace: str | None, service: ServiceRef | None) -> bool:
        """What a call does not name is on no list."""
        faults = self._faults
        in_workspace = not faults.workspaces or workspace in faults.workspaces
        return in_workspace and (not faults.services or (service is not None and str(service) in faults.services))

    def _change_of(self, service: ServiceRef) -> SchemaChange | None:
        """The change that a call which begins now sees, all of it."""
        if self._change is None or self._now_s() < self._changes_at_s or not self._reaches(service.workspace, service):
            return None
        return self._change

    async def _answered(self, fate: Fate, deadline: float, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer or the fated error, late. The inner origin is asked first: it is the reply that a slow server delays."""
        if fate.error is not None:
            await self._delay(fate.latency_s, deadline)
            raise fate.error
        answer = await ask()
        await self._delay(fate.latency_s, deadline)
        return answer

    async def _delay(self, latency_s: float, deadline: float) -> None:
        """Raises OriginTimeout at the deadline: nobody listens to what comes later."""
        if latency_s <= 0:
            return
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        await self._sleep(min(latency_s, left_s))
        if latency_s >= left_s:
            raise OriginTimeout("The feature store did not answer in time (fault lab).")


def _row(row: FetchedRow, marks: Marks, change: SchemaChange | None, latency_s: float) -> FetchedRow:
    partial = Mark.LEFT_OUT in marks.values()
    views = row.views if change is None else [change.values(view) for view in row.views]
    reasons = tuple(_REASONS[mark] for mark in dict.fromkeys(marks.values()) if mark in _REASONS)
    return FetchedRow(
        tuple([_view(view, marks.get(view.layout.view), partial=partial) for view in views]),
        None if row.slo is None else _slo(row.slo, latency_s, reasons),
        row.partial or partial,
    )


def _view(view: ViewValues, mark: Mark | None, *, partial: bool) -> ViewValues:
    """MISSING_DATA is an answer like others; what was left out or not done in time must not be taken for one."""
    if mark is None:
        return replace(view, complete=False) if partial else view
    names = view.layout.names
    return ViewValues(
        view.layout,
        b",".join([b"null"] * len(names)),
        b",".join([msgspec.json.encode(name) + b":null" for name in names]),
        (_STATUSES[mark],) * len(names),
        view.effective_times if mark is Mark.MISSING else (None,) * len(names),
        complete=mark is Mark.MISSING and not partial and view.complete,
    )


def _slo(slo: SloInfo, latency_s: float, reasons: tuple[str, ...]) -> SloInfo:
    """What a server that is as slow as this one would measure."""
    later = {
        name: told + latency_s
        for name in ("server_time_s", "slo_server_time_s", "store_max_latency_s")
        if (told := getattr(slo, name)) is not None
    }
    reasons = tuple(dict.fromkeys((*slo.ineligibility_reasons, *reasons)))
    return replace(slo, **later, eligible=slo.eligible and not reasons, ineligibility_reasons=reasons)
