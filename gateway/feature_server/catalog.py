"""The definitions compiled once for running: which plan each view has, which views a source feeds, what each feature service serves.

Owns the look-ups by name and id, and the names that stored data goes by: a view's data is stored under its name and a fingerprint of all
that shapes it, so that a changed definition never takes the data of another for its own. Knows nothing of stores' insides or requests.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from gateway.errors import InvalidRequest
from gateway.feature_server.definitions import FeatureService, FeatureView, Repository, Source, ViewUse, Workspace, object_id
from gateway.feature_server.functions import FUNCTIONS, Value
from gateway.feature_server.timestamps import NS_PER_S, format_timestamp_ns
from gateway.feature_server.validation import validate
from gateway.feature_server.windows import NewestPlan, Row, ViewPlan, Wanted, WindowPlan
from gateway.features import Feature, Field, Kind, Labels, ServiceRef, ViewLayout
from gateway.on_demand import OnDemandView
from gateway.origins.base import Description, ViewFacts

_pack = msgspec.msgpack.encode
Presenter = Callable[[Value], Value]


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a store is told of a view, so that others can tell later what is in it. `filling`: its history is still being copied in.
    `retired_at_ns`: since when no definitions want it. `whole_from_ns`: since when it has every event that it was to take in; None: since
    ever. `reach_s`: how far back its values look; None: without end."""

    workspace: str
    view: str
    source: str
    columns: tuple[tuple[str, str], ...]
    timestamp: str
    record_key: tuple[str, ...]
    join_keys: tuple[str, ...]
    ttl_s: int | None = None
    filling: bool = False
    retired_at_ns: int | None = None
    whole_from_ns: int | None = None
    reach_s: int | None = None

    def held_from_ns(self, now_ns: int) -> int | None:
        """Since when it has every event, now; None: since ever."""
        kept_ns = None if self.ttl_s is None else now_ns - self.ttl_s * NS_PER_S
        return max(kept_ns, self.whole_from_ns) if kept_ns is not None and self.whole_from_ns is not None else kept_ns or self.whole_from_ns


@dataclass(frozen=True, slots=True, eq=False)
class ViewRuntime:
    """A feature view, ready to run. `key_columns`, `index_columns` and `identity_columns` are places in a row: of the join keys, of those
    that a wildcard read gives, and of what tells two events of one moment apart."""

    workspace: str
    view: FeatureView
    source: Source
    features: tuple[Feature, ...]
    plan: ViewPlan
    key_columns: tuple[int, ...]
    index_columns: tuple[int, ...]
    identity_columns: tuple[int, ...]
    timestamp_column: int
    presenters: tuple[Presenter | None, ...]
    """How a finished value becomes the one that is served, where they differ: nanoseconds → RFC 3339 text."""
    presents: bool
    """Whether any of them differs."""
    id: str
    stored_as: str

    @property
    def name(self) -> str:
        return self.view.name

    def join_keys_of_rows(self, rows: Sequence[Row]) -> Iterable[tuple[Value, ...]]:
        """Of each row, in the view's order and typed as in a read of the same key (`schema.Schema.join_values`): join keys are int64 or
        string, and either has one Python value however it was spelled. By columns: half the time of a call per row."""
        return zip(*[[row[column] for row in rows] for column in self.key_columns], strict=True)

    def key_of_row(self, row: Row) -> bytes:
        return _pack([row[column] for column in self.key_columns])

    def index_of_row(self, row: Row) -> bytes | None:
        return _pack([row[column] for column in self.index_columns]) if self.index_columns else None

    def identity_of_row(self, row: Row) -> bytes:
        """Nothing where the view's own join keys and the timestamp are the whole identity."""
        return _pack([row[column] for column in self.identity_columns]) if self.identity_columns else b""

    @property
    def reach_s(self) -> int | None:
        """How far back values look that need their events, in seconds; None: without end. Windows over all time have their blocks."""
        if self.view.attributes:
            return self.view.ttl_s
        return max((one.window_s for one in self.view.aggregations if one.window_s is not None), default=0)

    def descriptor(self, *, filling: bool = False, whole_from_ns: int | None = None) -> Descriptor:
        return Descriptor(
            self.workspace,
            self.view.name,
            self.source.name,
            tuple((column.name, str(column.dtype)) for column in self.source.columns),
            self.source.timestamp,
            self.source.record_key,
            self.view.join_keys,
            self.view.ttl_s,
            filling,
            whole_from_ns=whole_from_ns,
            reach_s=self.reach_s,
        )


@dataclass(frozen=True, slots=True)
class SourceRuntime:
    """A source and the views it feeds. `required`: columns that no record may lack."""

    workspace: str
    source: Source
    views: tuple[ViewRuntime, ...]
    timestamp_column: int
    required: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ServedView:
    """A feature view as one feature service serves it. `join_keys`: the service's names for the view's join keys, in the view's order."""

    name: str
    runtime: ViewRuntime
    layout: ViewLayout
    join_keys: tuple[str, ...]

    def key_of_request(self, join_keys: Mapping[str, Value]) -> bytes | None:
        """Typed: msgpack keeps 1 and "1" apart. None where a key is missing or null, which no event has."""
        values = [join_keys.get(name) for name in self.join_keys]
        return None if None in values else _pack(values)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceRuntime:
    """A feature service: its views by the name they are served under, in served order, then those that only on-demand views read.

    `wildcard`: the view whose serving index says which sets of the missing join keys exist.
    """

    description: Description
    views: Mapping[str, ServedView]
    wildcard: ServedView | None = None

    def index_of_request(self, join_keys: Mapping[str, Value]) -> tuple[ServedView, bytes | None]:
        """The wildcard view, and its index's key. Raises InvalidRequest for a service that has none."""
        if self.wildcard is None:
            raise InvalidRequest(f"{self.description.service.name} is not a wildcard feature service: read it with get-features.")
        view = self.wildcard.runtime.view
        renamed = dict(zip(view.join_keys, self.wildcard.join_keys, strict=True))
        values = [join_keys.get(renamed[key]) for key in view.join_keys if key in view.serving_index]
        return self.wildcard, None if None in values else _pack(values)


class Catalog:
    """All workspaces, compiled. Raises DefinitionError for definitions that make no sense."""

    def __init__(self, repository: Repository) -> None:
        validate(repository)
        self.workspaces = frozenset(workspace.name for workspace in repository.workspaces)
        self.sources: dict[tuple[str, str], SourceRuntime] = {}
        self._services: dict[ServiceRef, ServiceRuntime] = {}
        for workspace in repository.workspaces:
            self._add(workspace)
        self.views = tuple(view for source in self.sources.values() for view in source.views)

    def _add(self, workspace: Workspace) -> None:
        sources = {source.name: source for source in workspace.sources}
        views = {view.name: _compile_view(workspace.name, view, sources[view.source]) for view in workspace.views}
        for source in workspace.sources:
            fed = tuple(runtime for runtime in views.values() if runtime.view.source == source.name)
            self.sources[workspace.name, source.name] = _compile_source(workspace.name, source, fed)
        for service in workspace.services:
            runtime = _compile_service(workspace, service, views)
            self._services[ServiceRef(workspace.name, name=service.name)] = runtime
            self._services[ServiceRef(workspace.name, id=runtime.description.service.id)] = runtime

    def service(self, ref: ServiceRef) -> ServiceRuntime | None:
        """By id where the caller gives one, else by name."""
        return self._services.get(ServiceRef(ref.workspace, id=ref.id) if ref.id else ServiceRef(ref.workspace, name=ref.name))

    def services(self) -> list[ServiceRef]:
        """All, by name."""
        return [ref for ref in self._services if not ref.id]


def _compile_view(workspace: str, view: FeatureView, source: Source) -> ViewRuntime:
    features = view.features(source)
    plan: ViewPlan
    if view.attributes:
        plan = NewestPlan([source.position(one.column) for one in view.served_attributes], view.ttl_s)
    else:
        wanted = [Wanted(source.position(one.column), FUNCTIONS[one.function], one.window_s, one.parameters) for one in view.served]
        plan = WindowPlan(view.interval_s, wanted)
    presenters = tuple(_presenter(feature) for feature in features)
    return ViewRuntime(
        workspace=workspace,
        view=view,
        source=source,
        features=features,
        plan=plan,
        key_columns=tuple(source.position(key) for key in view.join_keys),
        index_columns=tuple(source.position(key) for key in view.join_keys if key in view.serving_index),
        identity_columns=tuple(source.position(key) for key in source.record_key),
        timestamp_column=source.position(source.timestamp),
        presenters=presenters,
        presents=any(presenters),
        id=object_id("view", workspace, view.name),
        stored_as=f"{workspace}/{view.name}@{_fingerprint(view, source, plan)}",
    )


def _fingerprint(view: FeatureView, source: Source, plan: ViewPlan) -> str:
    """Of all that shapes what is stored, and nothing else: names of features, windows, services and descriptions may change freely."""
    columns = [[column.name, str(column.dtype)] for column in source.columns]
    shape = [source.name, columns, source.timestamp, source.record_key, view.join_keys, view.serving_index, plan.shape]
    return sha256(json.dumps(shape).encode()).hexdigest()[:16]


def _presenter(feature: Feature) -> Presenter | None:
    """None for values that are served as they are, null included."""
    if feature.dtype.kind is Kind.TIMESTAMP:
        return format_timestamp_ns
    if feature.dtype.element is not None and feature.dtype.element.kind is Kind.TIMESTAMP:
        return lambda instants: [format_timestamp_ns(one) for one in instants]
    return None


def _compile_source(workspace: str, source: Source, views: tuple[ViewRuntime, ...]) -> SourceRuntime:
    join_keys = {key for view in views for key in view.view.join_keys}
    return SourceRuntime(
        workspace=workspace,
        source=source,
        views=views,
        timestamp_column=source.position(source.timestamp),
        required=frozenset({source.timestamp, *join_keys, *source.record_key}),
    )


def _serve(runtime: ViewRuntime, use: ViewUse) -> ServedView:
    """All of the view, under the names of this use."""

    def served(feature: Feature) -> Feature:
        own = feature.name.partition(".")[2]
        return Feature(f"{use.name}.{use.renames.get(own, own)}", feature.dtype)

    layout = ViewLayout(use.name, runtime.features if use.plain else tuple(served(feature) for feature in runtime.features))
    return ServedView(use.name, runtime, layout, tuple(use.join_keys.get(key, key) for key in runtime.view.join_keys))


def _emitted(served: ServedView, use: ViewUse) -> tuple[Feature, ...]:
    """What of a view its service serves: by name, as served."""
    own = [feature.name.partition(".")[2] for feature in served.runtime.features]
    chosen = [one for one, name in zip(served.layout.features, own, strict=True) if use.features is None or name in use.features]
    return tuple(chosen if use.plain else sorted(chosen, key=lambda feature: feature.name))


def _compile_service(workspace: Workspace, service: FeatureService, views: Mapping[str, ViewRuntime]) -> ServiceRuntime:
    """On-demand views come first, then the others, each by name (contract §2.1)."""
    uses = {use.name: use for use in sorted(service.uses, key=lambda use: use.name)}
    on_demand = [(view, uses[view.name]) for view in sorted(workspace.on_demand, key=lambda view: view.name) if view.name in uses]
    emitted = {name: _serve(views[use.view], use) for name, use in uses.items() if use.view in views}
    inputs = {name for view, _ in on_demand for name, _ in view.inputs}
    hidden = {name: _serve(views[name], ViewUse(name)) for name in sorted(inputs - emitted.keys())}
    served = emitted | hidden
    wildcard = next((view for view in served.values() if view.runtime.view.serving_index), None)
    context = {key for view, _ in on_demand for key in view.context_keys}
    facts = {view.name: _on_demand_facts(view, served) for view, _ in on_demand}
    # One wildcard read has many sets of join keys: nothing of it is kept by them
    keyed = {name: view.join_keys if wildcard is None else None for name, view in served.items()}
    facts |= {
        name: ViewFacts(keyed[name], (), name in emitted, view.layout.features, view.runtime.stored_as) for name, view in served.items()
    }
    join_keys, answered = _join_keys([*(served[name] for view, _ in on_demand for name, _ in view.inputs), *served.values()], wildcard)
    description = Description(
        service=ServiceRef(workspace.name, name=service.name, id=object_id("service", workspace.name, service.name)),
        join_keys=join_keys,
        context_keys=tuple(key for key in workspace.context if key.name in context),
        features=(
            *(
                one
                for view, use in on_demand
                for one in view.features
                if use.features is None or one.name.partition(".")[2] in use.features
            ),
            *(feature for name, view in emitted.items() for feature in _emitted(view, uses[name])),
        ),
        kind="DEFAULT" if wildcard is None else "WILDCARD",
        output_join_keys=answered,
        views=facts,
        on_demand={view.name: view for view, _ in on_demand},
        labels=_labels([view for view, _ in on_demand], emitted.values()),
    )
    return ServiceRuntime(description, served, wildcard)


def _labels(on_demand: Sequence[OnDemandView], emitted: Iterable[ServedView]) -> dict[str, Labels]:
    labels: dict[str, Labels] = {feature.name: view.labels for view in on_demand for feature in view.features}
    for served in emitted:
        own = served.runtime.view.labels()
        labels |= {said.name: own[feature.name] for said, feature in zip(served.layout.features, served.runtime.features, strict=True)}
    return labels


def _on_demand_facts(view: OnDemandView, served: Mapping[str, ServedView]) -> ViewFacts:
    keys = dict.fromkeys(key for name, _ in view.inputs for key in served[name].join_keys)
    return ViewFacts(tuple(keys), view.context_keys)


def _join_keys(needed: Sequence[ServedView], wildcard: ServedView | None) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """The join keys a read gives, typed, in the order in which the served views first need them; and those that a wildcard read answers."""
    typed: dict[str, Field] = {}
    for view in needed:
        for name, own in zip(view.join_keys, view.runtime.view.join_keys, strict=True):
            typed.setdefault(name, Field(name, view.runtime.source.dtype(own)))
    if wildcard is None:
        return tuple(typed.values()), ()
    own_index = wildcard.runtime.view.serving_index
    answered = [name for name, own in zip(wildcard.join_keys, wildcard.runtime.view.join_keys, strict=True) if own not in own_index]
    return tuple(field for name, field in typed.items() if name not in answered), tuple(typed[name] for name in answered)
