"""Invalidation: what a `Purge`, or what an ingest `Written`, means in this process's cache, and seeing to it.

Order, because of what may run in between: other replicas are told first; then, without waiting in between, nobody may join a flight for
what is meant, and the store lets go of it, refusing from then on what fetches bring that began before. So whoever reads after `purge` or
`ingested` has returned gets nothing that was fetched before.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

from gateway.cache.flights import Flights
from gateway.cache.keys import Base, Namespace, Namespaces, Scope
from gateway.counters import Counters
from gateway.errors import InvalidRequest
from gateway.features import Field, Purge, Written
from gateway.schema import compile_check
from gateway.serving.plan import Plan

Change = Purge | tuple[Written, ...]
"""What replicas tell one another. Names and plain values: a namespace's number means something in one process alone."""


class Purgeable(Protocol):
    """What fragments are kept in."""

    async def purge(self, scope: Scope, now_s: float, *, soft: bool = False) -> int: ...


class Purger:
    """`clock` is the cache's monotonic clock, in seconds. `broadcast` tells the other replicas, and whatever else keeps fragments."""

    def __init__(
        self,
        namespaces: Namespaces,
        store: Purgeable,
        flights: Flights[Any],
        counters: Counters,
        clock: Callable[[], float],
        broadcast: Callable[[Change], Awaitable[None]] | None = None,
    ) -> None:
        self._namespaces = namespaces
        self._store = store
        self._flights = flights
        self._counters = counters
        self._clock = clock
        self._broadcast = broadcast

    async def purge(self, purge: Purge) -> int:
        """Everywhere; how many fragments that were in this process. Raises what `broadcast` raises, after the own part is done."""
        self._counters.purges += 1
        return await self._everywhere(purge)

    async def ingested(self, written: tuple[Written, ...] | None, workspace: str | None) -> int:
        """What an acknowledged ingest makes wrong. `written` None: nobody can tell, so all of the workspace; without one, everything."""
        if written is not None and not written:
            return 0
        purged = await self._everywhere(Purge(workspace) if written is None else written)
        self._counters.ingest_purges += 1
        return purged

    async def apply(self, change: Change) -> int:
        """Here alone: what another replica tells of."""
        scope = self.scope_of(change)
        if not scope:
            return 0
        self._flights.pass_by(scope)
        purged = await self._store.purge(scope, self._clock(), soft=isinstance(change, Purge) and change.soft)
        self._counters.purged_fragments += purged
        return purged

    async def _everywhere(self, change: Change) -> int:
        try:
            if self._broadcast is not None:
                await self._broadcast(change)
        finally:  # whoever cannot be told, and a caller that gives up meanwhile, leave no stale values here
            purged = await self.apply(change)
        return purged

    def scope_of(self, change: Change) -> Scope:
        """The entries that it means, by the namespaces known now: what is met later is fetched later."""
        return self._scope_of_purge(change) if isinstance(change, Purge) else self._scope_of_written(change)

    def _scope_of_purge(self, purge: Purge) -> Scope:
        if purge.workspace is None and purge.views is None and not purge.join_keys:
            return Scope(everything=True)
        bases: set[Base] = set()
        parts: dict[int, tuple[tuple[int, Hashable], ...]] = {}
        for number, namespace in self._namespaces.known():
            if purge.workspace not in {None, namespace.workspace}:
                continue
            if purge.views is not None and namespace.layout.view not in purge.views:
                continue
            wanted = _positions(namespace, purge.join_keys)
            if wanted and len(wanted) == len(namespace.join_keys):
                bases.add(namespace.base(number, [value for _, value in wanted]))
            elif wanted is not None:
                parts[number] = wanted
        return Scope(frozenset(bases), parts)

    def _scope_of_written(self, written: Sequence[Written]) -> Scope:
        by_view: defaultdict[tuple[str, str], list[tuple[Any, ...] | None]] = defaultdict(list)
        for one in written:
            by_view[one.workspace, one.view].append(one.join_keys)
        bases: set[Base] = set()
        parts: dict[int, tuple[tuple[int, Hashable], ...]] = {}
        for number, namespace in self._namespaces.known():
            view = namespace.layout.view if namespace.view is None else namespace.view
            for join_keys in by_view.get((namespace.workspace, view), ()):
                values = None if join_keys is None else _typed(namespace.join_keys, join_keys)
                if values is None:
                    parts[number] = ()
                else:
                    bases.add(namespace.base(number, values))
        return Scope(frozenset(bases), parts)


def _positions(namespace: Namespace, given: Mapping[str, Any]) -> tuple[tuple[int, Hashable], ...] | None:
    """Where in the namespace's keys which of the given values must stand; empty: any entry will do. None: it has no such entry, because
    it uses none of these join keys, or has another type for one."""
    used = [(position, field) for position, field in enumerate(namespace.join_keys) if field.name in given]
    if given and not used:
        return None
    values = _typed([field for _, field in used], [given[field.name] for _, field in used])
    return None if values is None else tuple((position, value) for (position, _), value in zip(used, values, strict=True))


def _typed(fields: Sequence[Field], values: Sequence[Any]) -> list[Any] | None:
    """The values as keys of these types hold them; None where they do not fit."""
    if len(fields) != len(values):
        return None
    try:
        return [compile_check(field.dtype)(value) for field, value in zip(fields, values, strict=True)]
    except ValueError:
        return None


def of_service(plan: Plan, purge: Purge) -> Purge:
    """The purge of a feature service as it stands in its plan: join keys typed, views by what is kept of them. An on-demand view that is
    computed here means the views that it reads. Raises InvalidRequest for names and types that the schema does not have."""
    kept = {view.layout.view: {view.layout.view} for view in plan.stored}
    computed = {name: {source for source, _ in view.inputs} for name, view in plan.description.on_demand.items()}
    views = kept | computed
    chosen = kept.keys() if purge.views is None else purge.views
    if not views.keys() >= chosen:
        raise InvalidRequest(f"views names one that this feature service does not have. Expected some of: [{' '.join(sorted(views))}]")
    return Purge(
        plan.service.workspace,
        frozenset[str]().union(*(views[name] for name in chosen)),
        plan.schema.some_join_values(purge.join_keys),
        purge.soft,
    )
