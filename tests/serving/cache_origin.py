"""The cache machine's origin: it answers from its world, or fails, waits and judges as the machine tells it, and logs every call."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

from gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    PermissionDenied,
    Unauthenticated,
)
from gateway.features import Caller, ServiceRef, Written
from gateway.origins.base import Description, Fetch, Fetched, FetchRow, IngestReply, Queried
from tests.serving.cache_world import OriginCall, Place, Row, Snapshot, View, World

FAILURES: dict[str, Callable[[], GatewayError]] = {
    "unavailable": lambda: OriginUnavailable("503"),
    "throttled": lambda: OriginThrottled("429", "1"),
    "timeout": lambda: OriginTimeout("late"),
    "failed": lambda: OriginFailed("500"),
    "malformed": lambda: OriginMalformed("what?"),
    "denied": PermissionDenied,
    "unauthenticated": Unauthenticated,
    "refused": lambda: InvalidRequest("no such row"),
    "unknown": lambda: NotFound("no such service"),
}
SPOILT = ("late", "partial", "garbage")


@dataclass(frozen=True, slots=True)
class Flavour:
    """`judges`: callers' own credentials are shown to it."""

    name: str
    single_views: bool
    batch_limit: int
    at_once: int
    judges: bool


FLAVOURS = (
    Flavour("embedded", single_views=True, batch_limit=100, at_once=100, judges=False),
    Flavour("embedded on a store that waits", single_views=True, batch_limit=100, at_once=0, judges=False),
    Flavour("cluster", single_views=False, batch_limit=2, at_once=0, judges=True),
    Flavour("cluster without batches", single_views=False, batch_limit=1, at_once=0, judges=True),
    Flavour("single views, judged", single_views=True, batch_limit=2, at_once=0, judges=True),
)


@dataclass(slots=True)
class Held:
    """A call that waits. `early`: what it will answer was decided when it came."""

    what: str
    early: bool
    go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class IngestLog:
    """`versions`: what it made true, by place. `acked_seq`: when it was acknowledged."""

    versions: dict[Place, int]
    acked_seq: int | None = None


class ModelOrigin:
    """`holds`: how the next calls wait, one each; `faults`: how the next fetches fail; `outage`: how all others do. `rights`: who may read
    what; None: everybody everything. `calls` and `ingests` are its log."""

    def __init__(self, world: World, flavour: Flavour) -> None:
        self.world = world
        self.flavour = flavour
        self.single_views = flavour.single_views
        self.holds: list[Held] = []
        self.held: list[Held] = []
        self.faults: list[str] = []
        self.metadata_faults: list[str] = []
        self.outage: str | None = None
        self.rights: dict[str, set[ServiceRef]] | None = None
        self.calls: list[OriginCall] = []
        self.ingests: list[IngestLog] = []

    def batch_limit(self, service: ServiceRef) -> int:  # noqa: ARG002 - the same for all
        return self.flavour.batch_limit

    def rows_at_once(self, service: ServiceRef) -> int:  # noqa: ARG002
        return 0 if self.holds else self.flavour.at_once

    async def fetch(self, fetch: Fetch) -> Fetched:
        service = self.world.services[fetch.service]
        rows = [_row(row) for row in fetch.rows]
        wanted = [row.views for row in fetch.rows]
        views = [[view for view, _ in service.views if view.name in names or not self.single_views] for names in wanted]
        places = frozenset(view.place(row) for row, of_row in zip(rows, views, strict=True) for view in of_row)
        fault = self.faults.pop(0) if self.faults else self.outage

        def decide(call: OriginCall) -> list[Snapshot]:
            self._judge(call, fetch.caller)
            if fault == "partial" and not fetch.options.allow_partial_results:
                raise InvalidRequest("too large")
            if fault in FAILURES:
                raise _failure(fault)
            return [self.world.read_row(service, names, row, fetch.options) for names, row in zip(wanted, rows, strict=True)]

        call = self._begin(fetch.caller, fetch.service, places, fetch.options)
        call.spoilt = fault in SPOILT
        async with self._logged(call):
            snapshots = await self._in_time(call, decide, fetch.deadline, "fetch")
            told = tuple(snapshot.tell(call, fault if fault in SPOILT else None) for snapshot in snapshots)
            return Fetched(told, self.world.labels(fetch.service) if fetch.want_labels and not self.single_views else None)

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        fault = self.metadata_faults.pop(0) if self.metadata_faults else None

        def decide(call: OriginCall) -> Description:
            self._judge(call, caller)
            if fault is not None:
                raise _failure(fault)
            return self.world.describe(service)

        call = self._begin(caller, service)
        async with self._logged(call):
            description: Description = await self._in_time(call, decide, deadline, "metadata")
            return description

    def _begin(self, caller: Caller, service: ServiceRef, places: frozenset[Place] = frozenset(), options: Any = None) -> OriginCall:
        world = self.world
        call = OriginCall(caller.key, service, world.next(), world.now_s, places, *([] if options is None else [options]))
        self.calls.append(call)
        return call

    @asynccontextmanager
    async def _logged(self, call: OriginCall) -> AsyncIterator[None]:
        try:
            yield
        except GatewayError as error:
            call.error = error
            raise
        finally:
            call.ended_seq, call.ended_s = self.world.next(), self.world.now_s

    async def _in_time(self, call: OriginCall, decide: Callable[[OriginCall], Any], deadline: float, what: str) -> Any:
        held = next((one for one in self.holds if one.what == what), None)
        if held is None:
            return decide(call)
        self.holds.remove(held)
        decided: Any = None
        if held.early:
            try:
                decided = decide(call)
            except GatewayError as error:
                decided = error
        self.held.append(held)
        try:
            async with asyncio.timeout_at(None if deadline == inf else deadline):
                await held.go.wait()
        except TimeoutError:
            raise OriginTimeout("held for too long") from None
        finally:
            self.held.remove(held)
        if isinstance(decided, GatewayError):
            raise decided
        return decided if held.early else decide(call)

    def _judge(self, call: OriginCall, caller: Caller) -> None:
        call.judged_seq = self.world.next()
        if self.rights is not None:
            name = (caller.authorization or "").removeprefix("Tecton-key ")
            if call.service not in self.rights.get(name, ()):
                raise PermissionDenied

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:  # noqa: ARG002 - done at once
        """`{"workspaceName","places":[[view's origin name,[keys]]],"lag","missing","tell","fate"}`. `tell`: how exactly the reply says what
        was written to. `fate`: `lost` is stored, and not acknowledged."""
        asked = json.loads(body)
        if asked["fate"] == "refused":
            return IngestReply(400, b"{}", written=())
        workspace, log = asked["workspaceName"], IngestLog({})
        for name, keys in asked["places"]:
            place = workspace, name, tuple(keys)
            log.versions[place] = self.world.change_value(place, asked["lag"], asked["missing"]).number
        if asked["fate"] == "lost":
            raise OriginTimeout("stored, perhaps")
        self.ingests.append(log)
        await asyncio.sleep(0)
        written = [self._written(view, place, exactly=asked["tell"] == "keys") for place in log.versions for view in self._views(place)]
        return IngestReply(200, b"{}", written=None if asked["tell"] == "nothing" else tuple(written))

    def _views(self, place: Place) -> Sequence[View]:
        return [view for view in self.world.views if (view.workspace, view.origin_name) == place[:2]]

    def _written(self, view: View, place: Place, *, exactly: bool) -> Written:
        known = exactly and not (view.by_context and not self.single_views)
        return Written(view.workspace, view.identity if self.single_views else view.name, place[2] if known else None)

    async def query(self, fetch: Fetch) -> Queried:  # noqa: ARG002 - there is nothing to query
        raise InvalidRequest("there are no wildcard services here")

    async def ready(self) -> None:
        """Always."""

    async def follow(self, changed: Callable[[], None]) -> None:
        """The machine calls `changed` itself."""

    async def aclose(self) -> None:
        """Nothing is open."""


def _failure(fault: str) -> GatewayError:
    return FAILURES[fault]()


def _row(row: FetchRow) -> Row:
    return row.join_keys["user"], row.join_keys.get("shop"), row.context["amount"]
