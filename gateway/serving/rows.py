"""A read's rows: taken from the cache as far as they are there, put together when all is there, and told of in telemetry."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from gateway.errors import GatewayError
from gateway.features import PLAIN, SloInfo, Source, missing_in
from gateway.serving.computing import Ready
from gateway.serving.doors import Answers, Staleness
from gateway.serving.plan import ComputedView, Plan, Projection
from gateway.serving.work import RowWork
from gateway.telemetry import ReadFacts
from gateway.wire.replies import EncodedView, Vector, batch_slo, cut
from gateway.wire.requests import ReadRequest, RowInput

_NOT_READY: Ready = MappingProxyType({})


class AtHand(NamedTuple):
    """What a look for a hit has found of a read's rows under this plan: a vector of each that needs nothing more, None of the others.
    `filled`: these rows, with what has become of the others in between. `keys`: of the vectors, where they are to be noted."""

    plan: Plan
    vectors: Sequence[Vector | None]
    keys: Sequence[Sequence[Key]] = ()

    def lacking(self, request: ReadRequest) -> list[RowInput]:
        return [row for row, vector in zip(request.rows, self.vectors, strict=True) if vector is None]

    def filled(self, others: Iterable[Vector | GatewayError], now_s: float) -> list[Vector | GatewayError]:
        """`now_s`: when they are answered, which is when their ages are told of."""
        more = iter(others)
        for vector in self.vectors:
            if vector is not None:
                vector.now_s = now_s
        return [next(more) if vector is None else vector for vector in self.vectors]

    def filled_slos(self, others: Iterable[SloInfo | None]) -> list[SloInfo | None]:
        """The same of what the origin said of its service; nothing of rows that it was not asked for."""
        more = iter(others)
        return [next(more) if vector is None else None for vector in self.vectors]


def at_hand_of(plan: Plan, request: ReadRequest, found: AtHand | None) -> AtHand:
    """What was found under this plan; what was found under another is nothing."""
    return found if found is not None and found.plan is plan else AtHand(plan, [None] * len(request.rows))


def look_up(
    store: FragmentStore,
    plan: Plan,
    projection: Projection,
    request: ReadRequest,
    row: RowInput,
    now_s: float,
    *,
    use_cache: bool,
    revalidating: bool = False,
) -> RowWork:
    """Validate one row and take what is at hand for it. Raises InvalidRequest."""
    values = plan.schema.join_values(row.join_keys)
    context = plan.schema.context_values(row.context, ignore_extra_fields=request.options.ignore_extra_request_context_fields)
    return take_up(store, plan, projection, request, values, context, now_s, use_cache=use_cache, revalidating=revalidating)


def take_up(
    store: FragmentStore,
    plan: Plan,
    projection: Projection,
    request: ReadRequest,
    values: tuple[Any, ...],
    context: dict[str, Any],
    now_s: float,
    *,
    use_cache: bool,
    revalidating: bool = False,
) -> RowWork:
    """Take what is at hand for a row of these values. `revalidating`: also what is stale, where it will be fetched again, as it is not for
    a reader that forbids storing."""
    options = request.options
    variant = None if options is PLAIN else options.variant
    keys = plan.keys(values, context, variant)
    work = RowWork(values, context, keys, [None] * len(keys), [Source.CACHE] * len(keys))
    revalidating = revalidating and options.stored
    for index in projection.needed if use_cache else ():
        fragment, terms = store.lookup(keys[index]), plan.stored[index].terms
        if fragment is None or terms.life_s(negative=fragment.negative) <= 0:
            continue
        if request.max_age_s is not None and now_s - fragment.stored_at >= request.max_age_s:
            continue
        until_s = fragment.expiry(terms)
        if now_s < until_s or (revalidating and now_s < until_s + terms.revalidate_s):
            work.take(index, fragment, Source.CACHE if now_s < until_s else Source.STALE)
            if (now_s >= fragment.fresh_until or terms is not fragment.terms) and now_s >= until_s - fragment.early_s:
                work.due.append(index)
        elif now_s < until_s + terms.error_s:
            work.hopes[index] = fragment
    return work


def assemble(
    projection: Projection,
    found: Sequence[Fragment | None],
    sources: Sequence[Source],
    context: dict[str, Any],
    now_s: float,
    ready: Ready = _NOT_READY,
) -> Vector:
    """The row's views in served order: fragments as they are, on-demand views computed, if they are not yet. Raises OnDemandFailed."""
    values: list[EncodedView] = []
    came_from: list[Source] = []
    for view, positions in projection.emissions:
        if isinstance(view, ComputedView):
            computed = ready[view] if view in ready else view.compute(found, context)
            one: EncodedView = computed
            came_from.append(view.source(computed))
        else:
            fragment = found[view]
            assert fragment is not None  # a row that still lacks something has an error and no vector
            one = fragment
            came_from.append(sources[view])
        values.append(one if positions is None else cut(one, positions))
    return Vector.of(projection.text, values, came_from, now_s)


def staleness_of(plan: Plan, projection: Projection, rows: Sequence[RowWork], now_s: float) -> Staleness | None:
    """What is said of the stale fragments that went into these rows, which are served; None where there are none."""
    stale = [
        (fragment, plan.stored[index].terms, index in row.hopes)
        for row in rows
        for index in projection.needed
        if row.sources[index] is Source.STALE and (fragment := row.found[index]) is not None
    ]
    if not stale:
        return None
    told = Counter(
        view in row.hopes
        for row in rows
        for view, _ in projection.emissions
        if not isinstance(view, ComputedView) and row.sources[view] is Source.STALE
    )
    return Staleness(
        max(now_s - fragment.expiry(terms) for fragment, terms, _ in stale),
        max(now_s - fragment.stored_at for fragment, _, _ in stale),
        any(failing for _, _, failing in stale),
        told[True],
        told[False],
    )


def vector_or_error(projection: Projection, row: RowWork, ready: Ready, now_s: float) -> Vector | GatewayError:
    try:
        return assemble(projection, row.found, row.sources, row.context, now_s, ready)
    except GatewayError as error:
        return error


def facts_of(plan: Plan, answers: Answers, *, bypass: bool = False) -> ReadFacts:
    """What the span tells of a read."""
    vectors = [row for row in answers.rows if not isinstance(row, GatewayError)]
    counts = Counter(source for vector in vectors for source in vector.sources)
    kept = counts[Source.CACHE] + counts[Source.STALE]
    missed = counts[Source.ORIGIN] + counts[Source.DEFAULT] + counts[Source.TIMEOUT]
    ages_s = [
        age_s
        for vector in vectors
        for age_s, source in zip(vector.ages_s(), vector.sources, strict=True)
        if source in (Source.CACHE, Source.STALE)
    ]
    return ReadFacts(
        plan.service.workspace,
        plan.service.name,
        len(answers.rows),
        "bypass" if bypass else "stale" if answers.stale else "hit" if not missed else "partial" if kept else "miss",
        counts[Source.CACHE],
        missed,
        counts[Source.COMPUTED],
        max(ages_s, default=0.0),
        sum(missing_in(vector.told) for vector in vectors),
        _slo_of_origin(answers),
        counts[Source.STALE],
        counts[Source.DEFAULT],
    )


def facts_of_hit(plan: Plan, projection: Projection, vectors: Sequence[Vector], elapsed_s: float) -> ReadFacts:
    """The same of a plain hit, of which nearly all is known before."""
    rows, kept = len(vectors), [source is Source.CACHE for source in projection.cached_sources]
    return ReadFacts(
        plan.service.workspace,
        plan.service.name,
        rows,
        "hit",
        projection.views_kept * rows,
        0,
        projection.views_computed * rows,
        max([vector.now_s - one.stored_at for vector in vectors for one in compress(vector.values, kept)], default=0.0),
        sum([missing_in(vector.told) for vector in vectors]),
        Answers(vectors, elapsed_s).slo(0),
    )


def _slo_of_origin(answers: Answers) -> SloInfo:
    """What the origin says of its service of the read, over all rows; for a read that it was not asked for, what the gateway says."""
    said = [slo for slo in answers.of_origin or () if slo is not None]
    if len(said) <= 1:
        return said[0] if said else answers.slo(0)
    return batch_slo(said, max(slo.server_time_s or 0.0 for slo in said))
