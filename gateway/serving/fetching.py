"""One call to the origin, for rows and the fragments they lack: asked, held against the plan, kept, and handed out by key.

It runs in a task of its own (a flight), so it has the gateway's patience and not the deadline of whoever leads it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from opentelemetry.trace import Span

from gateway.access.gates import Gate
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.sharing import Seen
from gateway.errors import GatewayError, InvalidRequest, OriginError, PermissionDenied, SchemaDisagreement, Unauthenticated
from gateway.features import Labels, ServiceRef, ViewLayout, ViewValues
from gateway.incidents import incident
from gateway.measures.book import Book
from gateway.origins.base import Asked, Fetch, Fetched, FetchedRow, FetchRow, Origin, PromptOrigin
from gateway.serving.checking import OnDemandChecks
from gateway.serving.keeping import Keeper
from gateway.serving.plan import Plan
from gateway.serving.second_level import SecondLevel
from gateway.serving.work import Cargo, Errand, Lack, Landed, RowWork, of_row
from gateway.telemetry import Telemetry

logger = logging.getLogger(__name__)
_NOTHING_SEEN: Mapping[Key, Seen] = MappingProxyType({})
GRACE_S = 0.025
"""How much longer than its latency budget a partial read waits for what the origin itself answers at the budget's end."""


class Begun(NamedTuple):
    """A fetch that was begun without waiting, and when."""

    asked: Asked
    asked_s: float


class Fetcher:
    """`clock` is the cache's monotonic clock, in seconds."""

    def __init__(
        self,
        origin: Origin,
        origin_name: str,
        gate: Gate,
        keeper: Keeper,
        telemetry: Telemetry,
        *,
        patience_s: float,
        clock: Callable[[], float],
        learn_labels: Callable[[ServiceRef, Plan, Mapping[str, Labels]], None],
        checks: OnDemandChecks,
        book: Book,
        second_level: SecondLevel | None = None,
    ) -> None:
        self._checks = checks
        self._book = book
        self._second_level = second_level
        self._origin = origin
        self._origin_name = origin_name
        self._gate = gate
        self._keeper = keeper
        self._telemetry = telemetry
        self.patience_s = patience_s
        self._clock = clock
        self._learn_labels = learn_labels
        self.single_views = origin.single_views
        self._prompt = origin if isinstance(origin, PromptOrigin) and second_level is None and not origin.single_views else None

    @property
    def prompt(self) -> bool:
        """Whether `begin` may ever come to something."""
        return self._prompt is not None

    def batch_limit(self, service: ServiceRef) -> int:
        """How many rows one fetch may carry."""
        return self._origin.batch_limit(service)

    def keys(self, plan: Plan, chunk: Sequence[Lack]) -> list[Key]:
        """The keys that a fetch of these rows brings: the missing ones, or all where the origin always answers all views."""
        everything = range(len(plan.stored))
        return list(dict.fromkeys(row.keys[i] for row, missing in chunk for i in (missing if self.single_views else everything)))

    def begin(self, errand: Errand, lack: Lack, tell: Callable[[], object]) -> Asked | None:
        """Ask for what a row lacks without waiting, where the origin can be asked so; `fetch` goes on with it, or `receive`."""
        return None if self._prompt is None else self._prompt.begin(self._request(errand, [lack], None), tell)

    async def fetch(self, errand: Errand, chunk: Sequence[Lack], lease: int, begun: Begun | None = None) -> Cargo:
        """What these rows lack. Raises GatewayError, and nothing else."""
        try:
            if begun is not None:
                return await self._ask(errand, chunk, lease, {}, begun)
            return await self._fetch(errand, chunk, lease)
        except GatewayError:
            raise
        except Exception as error:  # whoever waits on this flight must be able to tell its crash from one of their own
            raise incident(error, logger) from error

    async def _fetch(self, errand: Errand, chunk: Sequence[Lack], lease: int) -> Cargo:
        if self._second_level is None:
            return await self._from_origin(errand, chunk, lease, {})
        seen = await self._second_level.look_up(errand, chunk, single_views=self.single_views)
        found = dict[Key, Landed]()
        if self._gate.holds(errand.caller, errand.service, self._clock()):
            found = self._second_level.land(errand, chunk, seen, lease)
        lacking = [(row, left) for row, missing in chunk if (left := [index for index in missing if row.keys[index] not in found])]
        if not found or not lacking:
            return found or await self._from_origin(errand, lacking, lease, seen)
        try:
            brought = await self._from_origin(errand, lacking, lease, seen)
        except (Unauthenticated, PermissionDenied, SchemaDisagreement):
            raise
        except GatewayError as error:  # which says nothing of what was found
            return {**found, **{of_row(row): Landed(refusal=error) for row, _ in lacking}}
        return {**found, **{key: landed for key, landed in brought.items() if landed.complete or key not in found}}

    async def _from_origin(self, errand: Errand, chunk: Sequence[Lack], lease: int, seen: Mapping[Key, Seen]) -> Cargo:
        """Where the origin refuses several rows at once and one bad row must not take the others along, each is asked for alone."""
        if not errand.rows_may_fail:
            return await self._ask(errand, chunk, lease, seen)
        if len(chunk) > 1:
            with suppress(InvalidRequest):
                return await self._ask(errand, chunk, lease, seen)
        return await self._one_by_one(errand, chunk, lease, seen)

    async def _one_by_one(self, errand: Errand, chunk: Sequence[Lack], lease: int, seen: Mapping[Key, Seen]) -> Cargo:
        cargo: dict[Key, Landed] = {}
        for lack in chunk:
            try:
                cargo |= await self._ask(errand, [lack], lease, seen)
            except InvalidRequest as refusal:
                cargo[of_row(lack[0])] = Landed(refusal=refusal)
        return cargo

    async def _ask(self, errand: Errand, chunk: Sequence[Lack], lease: int, seen: Mapping[Key, Seen], begun: Begun | None = None) -> Cargo:
        asked_s = self._clock() if begun is None else begun.asked_s
        span = self._telemetry.origin_span(errand.span, self._origin_name, len(chunk)) if errand.span is not None else None
        try:
            fetched = await (self._origin.fetch(self._request(errand, chunk, span)) if begun is None else begun.asked.waited())
        except GatewayError as error:
            self._book.call("read", self._clock() - asked_s, error)
            if errand.witness is not None:
                attempts = error.attempts if isinstance(error, OriginError) else 1
                errand.witness.asked(chunk, self._clock() - asked_s, attempts, error=error)
            if isinstance(error, Unauthenticated | PermissionDenied):
                self._gate.refused(errand.caller, errand.service, self._clock())
            self._end(span, error)
            raise
        except Exception as error:
            self._end(span, error)
            raise
        if errand.witness is not None:
            errand.witness.asked(chunk, self._clock() - asked_s, fetched.attempts, hedged=fetched.hedged)
        if span is not None:
            slo = fetched.rows[0].slo if fetched.rows else None
            self._telemetry.end_fetch(span, slo, attempts=fetched.attempts, hedged=fetched.hedged)
        return self.receive(errand, chunk, fetched, asked_s, lease, seen)

    def receive(
        self,
        errand: Errand,
        chunk: Sequence[Lack],
        fetched: Fetched,
        asked_s: float,
        lease: int,
        seen: Mapping[Key, Seen] = _NOTHING_SEEN,
    ) -> Cargo:
        """What the origin has answered: believed where it fits the plan, and kept where it is whole. Raises SchemaDisagreement."""
        self._book.call("read", self._clock() - asked_s)
        self._gate.answered(errand.caller, errand.service, asked_s)
        cargo = self._receive(errand, chunk, fetched, asked_s, lease, seen)
        self._check(errand.plan, chunk, fetched)
        return cargo

    def receive_row(self, errand: Errand, row: RowWork, fetched: Fetched, asked_s: float, lease: int) -> list[Fragment] | None:
        """`receive` for one row, of a reply that has all views of the plan, in order, whole, and nothing beside: nearly all do. Its
        fragments; None where it is another kind of reply, of which nothing has been done yet."""
        plan, [answer] = errand.plan, fetched.rows
        stored, views = plan.stored, answer.views
        if answer.partial or plan.computed or fetched.labels is not None or len(views) != len(stored):
            return None
        for view, values in zip(stored, views, strict=True):
            if values.layout is not view.layout or not values.complete:
                return None
        self._book.call("read", self._clock() - asked_s)
        self._gate.answered(errand.caller, errand.service, asked_s)
        fragments = self._keeper.row(stored, views, asked_s)
        if errand.options.stored:
            self._keeper.keep_row(stored, row.keys, fragments, lease)
        return fragments

    def _check(self, plan: Plan, chunk: Sequence[Lack], fetched: Fetched) -> None:
        """Hold the on-demand values of a cluster against the gateway's own. Raises SchemaDisagreement, so that the read begins again with
        another plan, where they differ."""
        if not plan.computed or self.single_views:
            return
        distrusted = False
        for (row, _), answer in zip(chunk, fetched.rows, strict=True):
            distrusted |= self._checks.check(plan, row.context, {values.layout: values for values in answer.views})
        if distrusted:
            raise SchemaDisagreement("The feature store's values of an on-demand view are not the gateway's.")

    def _request(self, errand: Errand, chunk: Sequence[Lack], span: Span | None) -> Fetch:
        plan = errand.plan
        return Fetch(
            errand.service,
            (_asked_row(plan, *chunk[0]),) if len(chunk) == 1 else tuple([_asked_row(plan, row, missing) for row, missing in chunk]),
            errand.caller,
            max(asyncio.get_running_loop().time() + self.patience_s, errand.deadline_s + 2 * GRACE_S),
            errand.options,
            errand.want_labels,
            self._telemetry.traceparent_of(span, errand.traceparent),
            priority=errand.priority,
        )

    def _end(self, span: Span | None, error: BaseException) -> None:
        if span is not None:
            self._telemetry.end_fetch(span, None, error)

    def _receive(
        self, errand: Errand, chunk: Sequence[Lack], fetched: Fetched, asked_s: float, lease: int, seen: Mapping[Key, Seen]
    ) -> Cargo:
        """Hold the reply against the plan, and keep what is whole. A fragment's age counts from when it was asked for."""
        plan, cargo = errand.plan, dict[Key, Landed]()
        for (row, missing), answer in zip(chunk, fetched.rows, strict=True):
            by_layout = {values.layout: values for values in answer.views}
            cargo[of_row(row)] = Landed(slo=answer.slo, partial=answer.partial)
            if not self.single_views and not plan.layouts.issuperset(by_layout):
                raise SchemaDisagreement("The feature store's reply has features that its metadata does not.")
            together: dict[float, Fragment] | None = None if self.single_views else {}
            for index in missing if self.single_views else range(len(plan.stored)):
                landed = self._landed(plan, index, answer, by_layout, asked_s, together)
                key = row.keys[index]
                if key not in cargo or landed.complete:
                    cargo[key] = landed
                if landed.complete and errand.options.stored and landed.fragment is not None:
                    self._keeper.keep(plan.stored[index], key, landed.fragment, lease)
                    if self._second_level is not None:
                        self._second_level.share(plan.stored[index], seen.get(key), landed.fragment)
        if fetched.labels is not None:
            self._learn_labels(errand.service, plan, fetched.labels)
        return cargo

    def _landed(
        self,
        plan: Plan,
        index: int,
        answer: FetchedRow,
        by_layout: Mapping[ViewLayout, ViewValues],
        asked_s: float,
        together: dict[float, Fragment] | None,
    ) -> Landed:
        view = plan.stored[index]
        values = by_layout.get(view.layout)
        if values is None:
            raise SchemaDisagreement("The feature store's reply lacks features that its metadata has.")
        complete = values.complete and not answer.partial
        return Landed(self._keeper.fragment(view, values, asked_s, together), complete, answer.slo, answer.partial)


def _asked_row(plan: Plan, row: RowWork, missing: Sequence[int]) -> FetchRow:
    return FetchRow(dict(zip(plan.key_names, row.values, strict=True)), row.context, plan.view_names(missing))
