"""What an explanation tells of the views of a read: of each, what the cache had of it, how it came, how long it lasts and who says so.

Join keys are named and never shown: a set of them goes by a hash, keyed with bytes that never leave memory, so it cannot be found again by
guessing.
"""

import secrets
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.policy import Terms
from gateway.cache.store import FragmentStore
from gateway.errors import GatewayError
from gateway.features import UNCACHED, Source, statuses_of
from gateway.serving.plan import ComputedView, Plan, Projection, StoredView
from gateway.serving.trails import AtHand, Trail, Wait
from gateway.serving.work import RowWork
from gateway.wire.explanations import (
    ExplainedComputation,
    ExplainedError,
    ExplainedFeature,
    ExplainedFragment,
    ExplainedInput,
    ExplainedKey,
    ExplainedTerm,
    ExplainedTerms,
    ExplainedView,
    members,
)
from gateway.wire.replies import Vector

_HAD: Mapping[AtHand, str] = MappingProxyType(
    {
        AtHand.FRESH: "The cache had it, fresh",
        AtHand.DUE: "The cache had it, fresh, and so near its end that it is fetched again in the background",
        AtHand.STALE: "What the cache had has ended, and is fetched again in the background (stale-while-revalidate)",
        AtHand.LAST_HOPE: "What the cache had has ended",
        AtHand.EXPIRED: "What the cache had has ended",
        AtHand.TOO_OLD: "What the cache had is older than this read allows (maxAgeMs)",
        AtHand.ABSENT: "The cache did not have it",
        AtHand.NEVER_KEPT: "It is never cached (its ttl_s is 0)",
        AtHand.NOT_GRANTED: "The cache was not looked into: the feature store had not answered this caller here lately (auth.grant_life_s)",
    }
)
_CAME: Mapping[str, str] = MappingProxyType(
    {
        "at_hand": ": served from there.",
        "last_hope": ", and the feature store failed or was late: served all the same (stale-if-error).",
        "own_flight": ": fetched from the feature store.",
        "joined_flight": ": this read waited for a fetch that was under way for another.",
        "shared_cache": ": another replica had, and it came from the shared cache.",
        "along": ": it came anew with what was fetched for other views.",
        "default": ", and it did not come: the default of the settings is served.",
        "timeout": ", and it had not come when the deadline passed.",
        "nothing": ", and it did not come.",
    }
)
_ASKED_FOR = frozenset({Source.ORIGIN, Source.CACHE, Source.STALE})


class Read(NamedTuple):
    """A read that has been made, of which all is known. `now_s`: on the cache's clock."""

    trail: Trail
    plan: Plan
    projection: Projection
    row: RowWork
    now_s: float


class ViewTeller:
    """`effective_at`: the oldest of some effective times, on the cache's clock; infinite where none is told."""

    def __init__(
        self,
        store: FragmentStore,
        effective_at: Callable[[tuple[str | None, ...]], float],
        error_told: Callable[[GatewayError], ExplainedError],
    ) -> None:
        self._store = store
        self._effective_at = effective_at
        self._error_told = error_told
        self._secret = secrets.token_bytes(16)

    def views(self, read: Read) -> list[ExplainedView]:
        """Those whose values come from the origin, with those that only on-demand views read."""
        served = {view for view, _ in read.projection.emissions}
        return [self._view(read, index, served=index in served) for index in read.projection.needed]

    def _view(self, read: Read, index: int, *, served: bool) -> ExplainedView:
        trail, row, view, key = read.trail, read.row, read.plan.stored[index], read.row.keys[index]
        fragment, wait, had = row.found[index], trail.waits.get(index), trail.had[index]
        source = None if fragment is None else row.sources[index]
        came_by, failed = _came_by(source, wait, had.state), row.failed.get(index)
        ours = source in _ASKED_FOR
        return ExplainedView(
            view.layout.view,
            served,
            source,
            had.state,
            None if wait is None else trail.flights.index(wait) + 1,
            came_by,
            _HAD[had.state] + _CAME[came_by],
            self._key(view, key),
            self._terms(read.plan, view),
            self._fragment(read, view, key, fragment) if fragment is not None and ours else None,
            self._fragment(read, view, key, had.fragment) if had.fragment is not None and had.fragment is not fragment else None,
            None if failed is None else self._error_told(failed),
        )

    def _key(self, view: StoredView, key: Key) -> ExplainedKey:
        name, namespace = view.stem.name(key), view.stem.namespace
        told = blake2b(name.base + name.entry, key=self._secret, digest_size=8).hexdigest()
        names = [field.name for field in namespace.join_keys]
        return ExplainedKey(told, view.namespace, names, list(view.context_keys), namespace.view)

    def _terms(self, plan: Plan, view: StoredView) -> ExplainedTerms:
        service, terms = plan.service, view.terms
        said_by = plan.policies.speakers(service.workspace, service.name or service.id, view.layout.view)

        def term(name: str, seconds: float) -> ExplainedTerm:
            return ExplainedTerm(None if seconds == inf else seconds, said_by[name])

        return ExplainedTerms(
            term("ttl_s", terms.ttl_s),
            term("negative_ttl_s", terms.negative_ttl_s),
            term("max_age_s", terms.max_age_s),
            term("revalidate_s", terms.revalidate_s),
            term("error_s", terms.error_s),
        )

    def _fragment(self, read: Read, view: StoredView, key: Key, fragment: Fragment) -> ExplainedFragment:
        now_s, terms = read.now_s, view.terms
        effective_at, (ends_by, ends_at) = self._effective_at(fragment.effective_times), _end(fragment, terms)
        return ExplainedFragment(
            fragment.size_bytes,
            _whole_ms(now_s - fragment.stored_at),
            None if effective_at == inf else _whole_ms(now_s - effective_at),
            fragment.negative,
            key in self._store,
            _whole_ms(ends_at - now_s),
            ends_by,
            round(fragment.life, 4),
            _whole_ms(ends_at - fragment.early_s - now_s) if fragment.early_s else None,
            _whole_ms(ends_at + terms.revalidate_s - now_s) if terms.revalidate_s else None,
            _whole_ms(ends_at + terms.error_s - now_s) if terms.error_s else None,
        )


def _whole_ms(seconds: float) -> float:
    return round(seconds, 3)


def _end(fragment: Fragment, terms: Terms) -> tuple[str, float]:
    """What ends it, and when."""
    return min(fragment.bounds(terms).items(), key=lambda bound: bound[1])


def _came_by(source: Source | None, wait: Wait | None, had: AtHand) -> str:
    if source is None:
        return "nothing"
    if source is Source.DEFAULT or source is Source.TIMEOUT:
        return str(source)
    if source is Source.STALE:
        return "at_hand" if had is AtHand.STALE else "last_hope"
    if wait is None:
        return "at_hand" if source is Source.CACHE else "along"
    if source is Source.CACHE:
        return "shared_cache"
    return "own_flight" if wait.led else "joined_flight"


def features(vector: Vector) -> dict[str, ExplainedFeature]:
    """In served order."""
    told: dict[str, ExplainedFeature] = {}
    for values, source, age_s in zip(vector.values, vector.sources, vector.ages_s(), strict=True):
        age_told = _whole_ms(age_s) if source in _ASKED_FOR else None
        each = zip(members(values.named).items(), statuses_of(values.pattern), values.effective_times, strict=True)
        for (name, value), status, effective_time in each:
            plain = UNCACHED.get(status, status)
            told[name] = ExplainedFeature(value, plain, source, name.partition(".")[0], age_told, effective_time)
    return told


def computations(read: Read, vector: Vector | None) -> list[ExplainedComputation]:
    """The on-demand views that are computed here, in served order. `vector` None: there is none, the read failed."""
    sources = [None] * len(read.projection.emissions) if vector is None else vector.sources
    return [
        _computation(read, view, source)
        for (view, _), source in zip(read.projection.emissions, sources, strict=True)
        if isinstance(view, ComputedView)
    ]


def _computation(read: Read, view: ComputedView, source: Source | None) -> ExplainedComputation:
    stored, row = read.plan.stored, read.row
    held = {name: index for index in view.inputs for name in stored[index].layout.names}
    wanted = [f"{of}.{name}" for of, names in view.view.inputs for name in names]
    inputs = [ExplainedInput(name, None if row.found[held[name]] is None else row.sources[held[name]]) for name in wanted]
    text = "It was not computed: the read failed."
    if source is not None:
        text = {
            Source.COMPUTED: "Computed in the gateway from these inputs and the request context.",
            Source.DEFAULT: "An input, or the function itself, was not there in time: the default of the settings is served.",
        }.get(source, "An input, or the function itself, was not there when the deadline passed.")
    return ExplainedComputation(view.view.name, source, inputs, list(view.view.context_keys), view.view.time_limit_s, text)
