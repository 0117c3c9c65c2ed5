"""The plans at hand: Metadata, cached with a TTL, refreshed in the background, the last good one kept while Metadata is down.

A plan is fetched with the credential of the caller that needs it first; whether a later caller may see it is the reader's question.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gateway.access.gates import Gate
from gateway.access.grants import May
from gateway.errors import GatewayError, NotFound, PermissionDenied, SchemaDisagreement, Unauthenticated
from gateway.features import Caller, Labels, ServiceRef
from gateway.measures.book import Book
from gateway.origins.base import Description, Origin
from gateway.serving.plan import Plan
from gateway.tasks import Tasks

logger = logging.getLogger(__name__)
_KEPT = 10_000
_RETRY_S = 5.0


@dataclass(slots=True)
class _Entry:
    plan: Plan
    refresh_at_s: float
    doubt_from_s: float = 0.0


class Schemas:
    """One plan per feature service that exists. `compile_plan` turns a description into a plan; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        origin: Origin,
        gate: Gate,
        tasks: Tasks,
        compile_plan: Callable[[Description], Plan],
        *,
        ttl_s: float,
        patience_s: float,
        clock: Callable[[], float],
        book: Book,
    ) -> None:
        self._book = book
        self._origin = origin
        self._gate = gate
        self._tasks = tasks
        self._compile = compile_plan
        self._ttl_s = ttl_s
        self.patience_s = patience_s
        self._clock = clock
        self._entries: dict[ServiceRef, _Entry] = {}
        self._fetching: dict[tuple[ServiceRef, bytes], asyncio.Task[Plan]] = {}
        self._generation = 0

    @property
    def any_known(self) -> bool:
        """Whether the origin has told of any feature service, and what it told still counts."""
        return bool(self._entries)

    def forget(self) -> None:
        """The origin serves other definitions now: no plan of the old ones is served or kept any longer, those on their way included."""
        self._generation += 1
        self._entries.clear()
        self._fetching.clear()

    def recompile(self) -> None:
        """What `compile_plan` makes of a description has changed: the plans at hand are made anew."""
        for entry in self._entries.values():
            entry.plan = self._compile(entry.plan.description)

    def at_hand(self, service: ServiceRef, caller: Caller, now_s: float | None = None) -> Plan | None:
        """The cached plan, if there is one; starts its refresh where that is due and this caller may see it. Never waits."""
        entry = self._entries.get(service)
        if entry is None:
            return None
        if now_s is None:
            now_s = self._clock()
        if now_s >= entry.refresh_at_s and self._gate.holds(caller, service, now_s, May.DESCRIBE):
            entry.refresh_at_s = now_s + _RETRY_S
            self._tasks.start(self._refresh(service, caller))
        return entry.plan

    async def get(self, service: ServiceRef, caller: Caller) -> Plan:
        """The cached plan, else a fetched one. Raises what the origin answered."""
        return self.at_hand(service, caller) or await self.fetch(service, caller)

    async def fetch(self, service: ServiceRef, caller: Caller) -> Plan:
        """Fetch Metadata now, as this caller; callers of one credential share one call."""
        key = (service, caller.key)
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = self._tasks.start(self._describe(service, caller))
            task.add_done_callback(lambda done: self._fetched(key, done))
        return await asyncio.shield(task)

    def _fetched(self, key: tuple[ServiceRef, bytes], task: asyncio.Task[Plan]) -> None:
        if self._fetching.get(key) is task:
            del self._fetching[key]

    async def prove(self, service: ServiceRef, caller: Caller) -> None:
        """See to it that this caller may see this schema: under a grant, or because the origin shows it now."""
        if not self._gate.holds(caller, service, self._clock(), May.DESCRIBE):
            await self.fetch(service, caller)

    async def corrected(self, service: ServiceRef, caller: Caller, wrong: Plan) -> Plan:
        """The plan after a reply disagreed with `wrong`. Raises SchemaDisagreement where Metadata still says the same."""
        entry = self._entries.get(service)
        plan = entry.plan if entry is not None and entry.plan.reads_as != wrong.reads_as else await self.fetch(service, caller)
        if plan.reads_as == wrong.reads_as:
            raise SchemaDisagreement(f"The feature store's replies for {service} do not have the names and types of its metadata.")
        return plan

    def doubt(self, service: ServiceRef, wrong: Plan) -> None:
        """A reply that nobody waits for disagreed with `wrong`: ask again soon, and not for every such reply."""
        entry, now_s = self._entries.get(service), self._clock()
        if entry is not None and entry.plan.reads_as == wrong.reads_as and now_s >= entry.doubt_from_s:
            entry.doubt_from_s = now_s + self._ttl_s
            entry.refresh_at_s = min(entry.refresh_at_s, now_s)

    def learn_labels(self, service: ServiceRef, plan: Plan, labels: Mapping[str, Labels]) -> None:
        """Keep the descriptions and tags that a reply brought, for replies from cache."""
        entry = self._entries.get(service)
        if entry is not None and entry.plan is plan:
            entry.plan = self._compile(replace(plan.description, labels=labels))

    async def _describe(self, service: ServiceRef, caller: Caller) -> Plan:
        """What the origin says; once more where it said so of definitions that it does not serve any longer."""
        while True:
            asked_s, generation = self._clock(), self._generation
            try:
                description = await self._describing(service, caller)
            except (Unauthenticated, PermissionDenied):
                self._gate.refused(caller, service, self._clock())
                raise
            except NotFound:
                if generation != self._generation:
                    continue
                if self._gate.holds(caller, service, asked_s, May.DESCRIBE):  # to whom it was shown before, its absence is news
                    self._entries.pop(service, None)
                raise
            if generation == self._generation:
                self._gate.answered(caller, service, asked_s, May.DESCRIBE)
                return self._keep(service, description, asked_s)

    async def _describing(self, service: ServiceRef, caller: Caller) -> Description:
        asked_s = self._clock()
        try:
            description = await self._origin.describe(service, caller, asyncio.get_running_loop().time() + self.patience_s)
        except GatewayError as error:
            self._book.call("metadata", self._clock() - asked_s, error)
            raise
        self._book.call("metadata", self._clock() - asked_s)
        return description

    def _keep(self, service: ServiceRef, description: Description, asked_s: float) -> Plan:
        known = self._entries.get(service)
        if known is not None and description.labels is None:
            description = replace(description, labels=known.plan.labels)
        plan = self._compile(description)
        if known is not None and known.plan.description == plan.description:
            known.refresh_at_s = asked_s + self._ttl_s
            return known.plan
        if len(self._entries) >= _KEPT:
            del self._entries[next(iter(self._entries))]  # the oldest; only services that exist are ever kept
        self._entries[service] = _Entry(plan, asked_s + self._ttl_s)
        return plan

    async def _refresh(self, service: ServiceRef, caller: Caller) -> None:
        try:
            await self.fetch(service, caller)
        except GatewayError as error:
            logger.warning("metadata not refreshed, the last good one is kept: %s", type(error).__name__)
