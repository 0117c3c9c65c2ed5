"""How a feature service is read: its schema, compiled once into views to look up, views to compute, and the order they are served in.

A `StoredView` is a fragment's recipe: which join keys make its key, how long it may be served, what to say of it. A `ComputedView` is an
on-demand view whose function is known here. A `Projection` is what one kind of request needs of them (the named door's `features`).
"""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key, Namespace, Namespaces, context_part, picker
from gateway.cache.policy import Policies, Terms
from gateway.cache.sharing import Stem
from gateway.cache.store import Look
from gateway.errors import InvalidRequest, OnDemandFailed, OriginMalformed
from gateway.features import TIMED_OUT, Feature, Kind, Source, Status, ViewLayout, ViewValues, pattern_of, split_views
from gateway.measures.ledgers import ServiceLedger
from gateway.on_demand import OnDemandView
from gateway.origins.base import WILDCARD, Description, ViewFacts
from gateway.schema import Schema
from gateway.wire.replies import VectorText
from gateway.wire.values import Encoded, MembersReader, Writer, compile_writer

logger = logging.getLogger(__name__)
_REMEMBERED_PROJECTIONS = 1024
_NO_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
_NO_KEYS = (Kind.ARRAY, Kind.STRUCT, Kind.MAP)


@dataclass(frozen=True, slots=True)
class StoredView:
    """A view whose values come from the origin, one fragment per set of its join keys. `context_keys` is not empty for a view that must be
    keyed on the request context too, because nothing better is known of it.
    `positions`: of its join keys among those of the service.
    `stem`: of its fragments' names in a shared cache. `default`: served where nothing else is to be had."""

    layout: ViewLayout
    namespace: int
    positions: tuple[int, ...]
    pick: Callable[[tuple[Any, ...]], Hashable]
    context_keys: tuple[str, ...]
    terms: Terms
    timed_out: Fragment
    stem: Stem
    default: Fragment | None = None

    def key(self, values: tuple[Any, ...], context: Mapping[str, Any], variant: tuple[object, ...] | None) -> Key:
        if variant is None and not self.context_keys:
            return (self.namespace, self.pick(values))
        return (self.namespace, self.pick(values), context_part(context, self.context_keys), variant)


class Computed(msgspec.Struct, gc=False):
    """An on-demand view's values (`wire.replies.EncodedView`), put together in the spelling of the one door that asks."""

    view: "ComputedView"
    encoded: list[Encoded]

    @property
    def positional(self) -> bytes:
        return b",".join([positional for positional, _ in self.encoded])

    @property
    def named(self) -> bytes:
        return self.view.named % tuple([named for _, named in self.encoded])

    @property
    def pattern(self) -> str:
        return self.view.pattern

    @property
    def cached_pattern(self) -> str:
        return self.view.pattern

    @property
    def stored_at(self) -> float:
        """Made at the moment it is served: its age is never asked for."""
        return 0.0

    @property
    def effective_times(self) -> tuple[str | None, ...]:
        return (None,) * len(self.encoded)


class ComputedView:
    """An on-demand view, computed in the gateway from fragments and the request context."""

    def __init__(self, view: OnDemandView, layout: ViewLayout, stored: Sequence[StoredView], default: Fragment | None = None) -> None:
        self.view = view
        self.layout = layout
        self.default = default
        self.timed_out = default or Fragment.of(timed_out(layout), 0.0)
        self.pattern = pattern_of([Status.PRESENT] * len(layout))  # what the reference server always says of on-demand features
        self.named = b",".join([msgspec.json.encode(name).replace(b"%", b"%%") + b":%b" for name in layout.names])
        self._writers = [compile_writer(feature.dtype) for feature in layout.features]
        self._readers = _input_readers(view, stored)
        self.inputs = sorted({index for index, _, _ in self._readers})

    def compute(self, fragments: Sequence[Fragment | None], context: dict[str, Any]) -> Computed | Fragment:
        """The view's values. Where an input timed out, so does the view (contract §3: never partially returned), or it is its default.
        Raises OnDemandFailed."""
        inputs: dict[str, Mapping[str, Any]] = {}
        for index, source, reader in self._readers:
            fragment = fragments[index]
            if fragment is None or TIMED_OUT in fragment.pattern:
                return self.timed_out
            values = reader.read(fragment.named)
            inputs[source] = values if source not in inputs else {**inputs[source], **values}
        answers = self.view.compute(MappingProxyType(context), inputs)
        try:
            encoded = [write(answer) for write, answer in zip(self._writers, answers, strict=True)]
        except Exception:  # noqa: BLE001 - values of the function's own classes raise what they like, in texts that may quote them
            raise OnDemandFailed(
                f"On-demand view {self.view.name} returned a value of the wrong type: expected {self._misfits(answers)} or null."
            ) from None
        return Computed(self, encoded)

    def source(self, computed: Computed | Fragment) -> Source:
        """Where what `compute` returned came from."""
        if computed is not self.timed_out:
            return Source.COMPUTED
        return Source.TIMEOUT if self.default is None else Source.DEFAULT

    def lacks_input(self, fragments: Sequence[Fragment | None]) -> bool:
        """Whether `compute` would find that an input timed out."""
        return any((fragment := fragments[index]) is None or TIMED_OUT in fragment.pattern for index in self.inputs)

    def _misfits(self, answers: Sequence[Any]) -> str:
        """The declared types of the answers that cannot be written."""
        told = zip(self.layout.features, self._writers, answers, strict=False)
        return ", ".join([str(feature.dtype) for feature, write, answer in told if not _writes(write, answer)])


def _writes(write: Writer, answer: Any) -> bool:
    try:
        write(answer)
    except Exception:  # noqa: BLE001 - see `ComputedView.compute`
        return False
    return True


def _input_readers(view: OnDemandView, stored: Sequence[StoredView]) -> list[tuple[int, str, MembersReader]]:
    """For each fragment that an on-demand view reads: its index, the view's name, and a reader of just the features that are wanted."""
    held = {feature.name: (index, feature) for index, one in enumerate(stored) for feature in one.layout.features}
    readers: list[tuple[int, str, MembersReader]] = []
    for source, wanted in view.inputs:
        by_fragment: dict[int, dict[str, Feature]] = {}
        for name in wanted:
            if f"{source}.{name}" not in held:
                raise OriginMalformed(f"On-demand view {view.name} needs {source}.{name}, which the feature service does not have.")
            index, feature = held[f"{source}.{name}"]
            by_fragment.setdefault(index, {})[name] = feature
        readers += [(index, source, MembersReader(fields)) for index, fields in by_fragment.items()]
    return readers


def timed_out(layout: ViewLayout) -> ViewValues:
    """What is served of a view that did not come in time: null, TIME_OUT, never stored."""
    return ViewValues(
        layout,
        b",".join([b"null"] * len(layout)),
        b",".join([msgspec.json.encode(name) + b":null" for name in layout.names]),
        (Status.TIME_OUT,) * len(layout),
        (None,) * len(layout),
        complete=False,
    )


def default_of(layout: ViewLayout, told: Mapping[str, Any]) -> Fragment:
    """What is served of a view when nothing else is to be had: the given values, by feature without the view's prefix, null for the
    others. Raises ValueError, which names the feature, for a value that is not of its feature's type."""
    encoded = []
    for feature in layout.features:
        name = feature.name.partition(".")[2]
        try:
            encoded.append(compile_writer(feature.dtype)(told.get(name)))
        except Exception as error:  # whatever a value that is not of the type may raise
            raise ValueError(f"{name} is not of the type {feature.dtype}") from error
    names = [msgspec.json.encode(name) for name in layout.names]
    return Fragment.of(
        ViewValues(
            layout,
            b",".join([positional for positional, _ in encoded]),
            b",".join([b"%b:%b" % (name, named) for name, (_, named) in zip(names, encoded, strict=True)]),
            (Status.UNKNOWN,) * len(layout),
            (None,) * len(layout),
            complete=False,
        ),
        0.0,
    )


class Emission(NamedTuple):
    """One view of a reply. `positions` picks features of the view; None: all of them."""

    view: int | ComputedView
    positions: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Projection:
    """`needed`: indices of the stored views that must be at hand, `looked_up` the same with the views. `emissions`: what is served, in
    order, and `text` what is said of it.

    `looks`: the same, as the store takes them; None where keys are made of more than join keys. `inserted`: the on-demand views, each with
    its place among what is looked up, where that is served whole and in order beside them; None where the reply is not as simple as that.
    `cached_sources`: where the views of a hit come from; `origin_sources`: those of a read all of which was fetched. `whole`: no view is
    cut. `kept`: all of it may come from the cache. `slow`: the on-demand views among the emissions that are declared slow; where there is
    one, no read is a plain hit. `views_kept` and `views_computed`: how many of the emissions are what, for counting.
    """

    needed: tuple[int, ...]
    looked_up: tuple[tuple[int, StoredView], ...]
    looks: tuple[Look, ...] | None
    inserted: tuple[tuple[int, ComputedView], ...] | None
    emissions: tuple[Emission, ...]
    text: VectorText
    cached_sources: tuple[Source, ...]
    origin_sources: tuple[Source, ...]
    whole: bool
    kept: bool
    slow: tuple[ComputedView, ...]
    views_kept: int
    views_computed: int


class Plan:
    """A feature service, compiled. Immutable but for the projections it remembers; a changed schema makes a new plan. `ledger`: where its
    reads are noted, by whichever plan they were made."""

    def __init__(
        self,
        description: Description,
        policies: Policies,
        namespaces: Namespaces,
        defaults: Mapping[str, Mapping[str, Any]] = _NO_DEFAULTS,
        ledger: ServiceLedger | None = None,
    ) -> None:
        self.service = description.service
        self.ledger = ledger or ServiceLedger(description.service.workspace, str(description.service), inf, frozenset())
        self.name = str(description.service)
        self._defaults = defaults
        self.policies = policies
        self.description = description
        for key in description.join_keys:
            if key.dtype.kind in _NO_KEYS:
                raise OriginMalformed(f"Join key {key.name} has the type {key.dtype}, by which nothing can be looked up.")
        self.schema = Schema(description.join_keys, description.context_keys, description.features, description.output_join_keys)
        self.wildcard = description.kind == WILDCARD
        self.labels = description.labels
        self._positions = {field.name: index for index, field in enumerate(description.join_keys)}
        emitted = split_views(description.features)
        hidden = [ViewLayout(view, facts.features) for view, facts in description.views.items() if not facts.emitted]
        self._whole = {layout: self._all_of(layout) for layout in emitted}
        held = [whole for whole, _ in self._whole.values() if whole.view not in description.on_demand]
        self.stored = tuple(self._stored(layout, policies, namespaces) for layout in dict.fromkeys((*held, *hidden)))
        self.timed_out = [view.timed_out for view in self.stored]
        self.by_layout = {view.layout: index for index, view in enumerate(self.stored)}
        computed = dict.fromkeys(whole for whole, _ in self._whole.values() if whole.view in description.on_demand)
        self._computed = {
            layout: ComputedView(description.on_demand[layout.view], layout, self.stored, self._default(layout)) for layout in computed
        }
        self.computed = tuple(self._computed.values())
        self.layouts = frozenset(self.by_layout) | self.computed_layouts
        self.everything = self._project([(layout, None) for layout in emitted])
        self.key_names = tuple([field.name for field in description.join_keys])
        self._picks: list[Callable[[tuple[Any, ...]], Hashable]] = []
        self._places = self._place_keys()
        self._projections: dict[tuple[str, ...], Projection] = {}
        self._view_names: dict[tuple[int, ...], frozenset[str]] = {}

    def _place_keys(self) -> tuple[tuple[int, int], ...] | None:
        """For each stored view its namespace, and which of `_picks` makes its key; None where some are keyed on the context too."""
        if any(view.context_keys for view in self.stored):
            return None
        places: dict[tuple[int, ...], int] = {}
        for view in self.stored:
            if view.positions not in places:
                places[view.positions] = len(self._picks)
                self._picks.append(view.pick)
        return tuple([(view.namespace, places[view.positions]) for view in self.stored])

    def keys(self, values: tuple[Any, ...], context: Mapping[str, Any], variant: tuple[object, ...] | None) -> list[Key]:
        """The keys of all stored views of a row. Those of the same join keys share their values."""
        if variant is None and self._places is not None:
            picked = [pick(values) for pick in self._picks]
            return [(namespace, picked[place]) for namespace, place in self._places]
        return [view.key(values, context, variant) for view in self.stored]

    def view_names(self, stored: Sequence[int]) -> frozenset[str]:
        """The names of some of the stored views, as a fetch asks for them."""
        wanted = tuple(stored)
        names = self._view_names.get(wanted)
        if names is None:
            names = frozenset([self.stored[index].layout.view for index in wanted])
            if len(self._view_names) < _REMEMBERED_PROJECTIONS:
                self._view_names[wanted] = names
        return names

    @property
    def reads_as(self) -> object:
        """What replies must agree with: the schema, and the views that are fetched for it, also those that only on-demand views read."""
        return self.schema, tuple(self.by_layout)

    @property
    def computed_layouts(self) -> frozenset[ViewLayout]:
        """The layouts of on-demand views: an origin that always answers all views answers these too, and they are not read."""
        return frozenset([layout for layout, (whole, _) in self._whole.items() if whole in self._computed])

    def _facts(self, view: str) -> ViewFacts:
        return self.description.views.get(view, ViewFacts())

    def _all_of(self, layout: ViewLayout) -> tuple[ViewLayout, tuple[int, ...]]:
        """The view that a served layout is cut from, and the places of the layout's features in it: views are fetched, cached and computed
        whole, so that feature services which serve different parts of one share it."""
        on_demand = self.description.on_demand.get(layout.view)
        features = self._facts(layout.view).features if on_demand is None else on_demand.features
        whole = ViewLayout(layout.view, features) if set(layout.features) <= set(features) else layout
        return whole, tuple(whole.features.index(feature) for feature in layout.features)

    def _stored(self, layout: ViewLayout, policies: Policies, namespaces: Namespaces) -> StoredView:
        description, facts = self.description, self._facts(layout.view)
        join_keys = description.join_keys
        if facts.join_keys is not None and not self.wildcard:  # whose views use keys that are not given; nothing of them is cached
            join_keys = tuple(description.join_keys[self._positions[name]] for name in facts.join_keys)
        names = {field.name for field in description.context_keys}
        used = names if facts.context_keys is None else names.intersection(facts.context_keys)
        context_keys = tuple(field for field in description.context_keys if field.name in used)
        positions = tuple([self._positions[field.name] for field in join_keys])
        namespace = Namespace(self.service.workspace, layout, tuple(join_keys), context_keys, facts.identity)
        return StoredView(
            layout,
            namespaces.number(namespace),
            positions,
            picker(positions),
            tuple(field.name for field in context_keys),
            policies.terms(self.service.workspace, self.service.name or self.service.id, layout.view),
            Fragment.of(timed_out(layout), 0.0),
            Stem(namespace),
            self._default(layout),
        )

    def _default(self, layout: ViewLayout) -> Fragment | None:
        told = self._defaults.get(layout.view)
        if told is None:
            return None
        served = [feature.name for feature in self.description.features if feature.view == layout.view]
        strangers = set(told).difference(name.partition(".")[2] for name in (*layout.names, *served))
        if strangers:
            logger.warning("views.%s.defaults names features that %s does not have: ignored there", layout.view, self.service)
        try:
            return default_of(layout, told)
        except ValueError as error:
            logger.error("views.%s.defaults is not used for %s: %s", layout.view, self.service, error)  # noqa: TRY400 - it quotes no value
            return None

    def projection(self, selectors: tuple[str, ...] | None) -> Projection:
        """What a request with these selectors needs. Raises InvalidRequest for a selector that selects nothing."""
        if selectors is None:
            return self.everything
        selectors = tuple(dict.fromkeys(selectors))
        if len(selectors) > 2 * len(self.schema.features):
            raise InvalidRequest("features names more than this feature service has.")
        projection = self._projections.get(selectors)
        if projection is None:
            projection = self._select(selectors)
            if len(self._projections) < _REMEMBERED_PROJECTIONS:
                self._projections[selectors] = projection
        return projection

    def _select(self, selectors: tuple[str, ...]) -> Projection:
        chosen: set[str] = set()
        for index, selector in enumerate(selectors):
            matches = {feature.name for feature in self.schema.features if selector in (feature.name, f"{feature.view}.*")}
            if not matches:
                raise InvalidRequest(f"features[{index}] is no feature (view.feature) and no view (view.*) of this feature service.")
            chosen |= matches
        picked: list[tuple[ViewLayout, tuple[int, ...] | None]] = []
        for layout in split_views(self.schema.features):
            positions = tuple(index for index, name in enumerate(layout.names) if name in chosen)
            if positions:
                picked.append((layout, None if len(positions) == len(layout) else positions))
        return self._project(picked)

    def _project(self, picked: Sequence[tuple[ViewLayout, tuple[int, ...] | None]]) -> Projection:
        needed: set[int] = set()
        emissions: list[Emission] = []
        features: list[Feature] = []
        for layout, positions in picked:
            whole, places = self._whole[layout]
            chosen = places if positions is None else tuple(places[index] for index in positions)
            computed = self._computed.get(whole)
            needed.update([self.by_layout[whole]] if computed is None else computed.inputs)
            uncut = chosen == tuple(range(len(whole)))
            emissions.append(Emission(self.by_layout[whole] if computed is None else computed, None if uncut else chosen))
            features += [whole.features[index] for index in chosen]
        sources = tuple(Source.CACHE if isinstance(emission.view, int) else Source.COMPUTED for emission in emissions)
        all_whole = all(positions is None for _, positions in emissions)
        looked_up = tuple((index, self.stored[index]) for index in sorted(needed))
        kept = all(view.terms.ttl_s > 0 for _, view in looked_up)
        slow = tuple(view for view, _ in emissions if isinstance(view, ComputedView) and view.view.time_limit_s is not None)
        return Projection(
            tuple(sorted(needed)),
            looked_up,
            None
            if any(view.context_keys for _, view in looked_up)
            else tuple([(view.namespace, view.pick, view.terms) for _, view in looked_up]),
            self._inserted(emissions, sorted(needed)) if all_whole else None,
            tuple(emissions),
            VectorText(features, self.labels),
            sources,
            tuple([Source.ORIGIN if source is Source.CACHE else source for source in sources]),
            all_whole,
            kept,
            slow,
            sources.count(Source.CACHE),
            sources.count(Source.COMPUTED),
        )

    def _inserted(self, emissions: Sequence[Emission], needed: Sequence[int]) -> tuple[tuple[int, ComputedView], ...] | None:
        inserted = tuple([(place, view) for place, (view, _) in enumerate(emissions) if isinstance(view, ComputedView)])
        in_order = [view for view, _ in emissions if not isinstance(view, ComputedView)] == needed
        return inserted if in_order and (not inserted or len(needed) == len(self.stored)) else None  # inputs are found by place in `stored`

    def about_view(self, view: str) -> dict[str, Any]:
        """What the named door's schema says of a view."""
        facts, on_demand = self._facts(view), self.description.on_demand.get(view)
        ttl_s = next((stored.terms.ttl_s for stored in self.stored if stored.layout.view == view), None)
        return {
            "joinKeys": [] if on_demand is not None else facts.join_keys,
            "contextKeys": on_demand.context_keys if on_demand is not None else facts.context_keys,
            "onDemand": on_demand is not None,
            "ttlSeconds": ttl_s,
        }
