"""The definitions compiled once for running: which plan each view has, which views a source feeds, what each feature service serves.

Owns the look-ups by name and id, and the fingerprint that says whether stored tiles fit. Knows nothing of stores' insides or requests.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from gateway.feature_server.definitions import FeatureService, FeatureView, Repository, Source, Workspace, object_id, served_order
from gateway.feature_server.functions import FUNCTIONS, Value
from gateway.feature_server.timestamps import format_timestamp_ns
from gateway.feature_server.validation import validate
from gateway.feature_server.windows import Wanted, WindowPlan, plan_windows
from gateway.features import Feature, Field, Kind, Labels, ServiceRef, ViewLayout
from gateway.on_demand import OnDemandView
from gateway.origins.base import Description, ViewFacts

Row = Sequence[Value]
"""One event: the values of its source's columns, in order; None where it has none."""
_pack = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class ViewRuntime:
    """A feature view, ready to run. `key_columns` are its join keys' places in a row."""

    workspace: str
    view: FeatureView
    layout: ViewLayout
    plan: WindowPlan
    key_columns: tuple[int, ...]
    presenters: tuple[Callable[[Value], Value] | None, ...]
    """How a finished value becomes the one that is served, where they differ: nanoseconds → RFC 3339 text."""

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def id(self) -> str:
        return object_id("view", self.workspace, self.view.name)

    @property
    def stored_as(self) -> str:
        return f"view/{self.workspace}/{self.view.name}"

    def key_of_row(self, row: Row) -> bytes:
        return _pack([row[column] for column in self.key_columns])

    def key_of_request(self, join_keys: Mapping[str, Value]) -> bytes | None:
        """Typed: msgpack keeps 1 and "1" apart. None where a key is missing or null, which no event has."""
        values = [join_keys.get(name) for name in self.view.join_keys]
        return None if None in values else _pack(values)


@dataclass(frozen=True, slots=True)
class SourceRuntime:
    """A source and the views it feeds. `identity_columns` say which event a row is; `timestamp_column` when it was."""

    workspace: str
    source: Source
    views: tuple[ViewRuntime, ...]
    timestamp_column: int
    identity_columns: tuple[int, ...]
    required: frozenset[str]

    @property
    def stored_as(self) -> str:
        return f"source/{self.workspace}/{self.source.name}"

    def record_key(self, row: Row) -> bytes:
        return _pack([row[column] for column in self.identity_columns])


@dataclass(frozen=True, slots=True)
class ServiceRuntime:
    """A feature service: its views in served order, then those that only on-demand views read."""

    description: Description
    views: tuple[ViewRuntime, ...]


class Catalog:
    """All workspaces, compiled. Raises DefinitionError for definitions that make no sense."""

    def __init__(self, repository: Repository) -> None:
        validate(repository)
        self.workspaces = frozenset(workspace.name for workspace in repository.workspaces)
        self.sources: dict[tuple[str, str], SourceRuntime] = {}
        self._services: dict[ServiceRef, ServiceRuntime] = {}
        for workspace in repository.workspaces:
            self._add(workspace)

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

    @property
    def views(self) -> list[ViewRuntime]:
        return [view for source in self.sources.values() for view in source.views]

    @property
    def stored_names(self) -> list[str]:
        return [*(source.stored_as for source in self.sources.values()), *(view.stored_as for view in self.views)]

    @property
    def fingerprint(self) -> str:
        """Of all that shapes what is stored, and nothing else: services, descriptions and on-demand views may change freely."""
        shapes = [
            [
                runtime.stored_as,
                [[column.name, str(column.dtype)] for column in runtime.source.columns],
                runtime.source.timestamp,
                runtime.source.record_key,
                [[view.stored_as, view.view.join_keys, view.view.interval_s, [s.key for s in view.plan.slots]] for view in runtime.views],
            ]
            for runtime in self.sources.values()
        ]
        return sha256(json.dumps(sorted(shapes, key=str)).encode()).hexdigest()


def _compile_view(workspace: str, view: FeatureView, source: Source) -> ViewRuntime:
    wanted = [
        Wanted(source.position(one.column), FUNCTIONS[one.function], one.window_s // view.interval_s, one.n or 1) for one in view.served
    ]
    features = view.features(source)
    return ViewRuntime(
        workspace=workspace,
        view=view,
        layout=ViewLayout(view.name, features),
        plan=plan_windows(view.interval_s, wanted),
        key_columns=tuple(source.position(key) for key in view.join_keys),
        presenters=tuple(_presenter(feature) for feature in features),
    )


def _presenter(feature: Feature) -> Callable[[Value], Value] | None:
    if feature.dtype.kind is Kind.TIMESTAMP:
        return format_timestamp_ns
    if feature.dtype.element is not None and feature.dtype.element.kind is Kind.TIMESTAMP:
        return lambda instants: [format_timestamp_ns(one) for one in instants]
    return None


def _compile_source(workspace: str, source: Source, views: tuple[ViewRuntime, ...]) -> SourceRuntime:
    join_keys = {key for view in views for key in view.view.join_keys}
    identity = source.record_key or tuple(sorted(join_keys))
    return SourceRuntime(
        workspace=workspace,
        source=source,
        views=views,
        timestamp_column=source.position(source.timestamp),
        identity_columns=tuple(source.position(column) for column in identity),
        required=frozenset({source.timestamp, *join_keys, *source.record_key}),
    )


def _compile_service(workspace: Workspace, service: FeatureService, views: Mapping[str, ViewRuntime]) -> ServiceRuntime:
    on_demand, served = served_order(service, workspace)
    emitted = [views[view.name] for view in served]
    inputs = {name for view in on_demand for name, _ in view.inputs}
    hidden = [views[name] for name in sorted(inputs - {view.name for view in served})]
    everything = (*emitted, *hidden)
    context = {key for view in on_demand for key in view.context_keys}
    labels: dict[str, Labels] = {feature.name: view.labels for view in on_demand for feature in view.features}
    for runtime in emitted:
        labels |= runtime.view.labels()
    description = Description(
        service=ServiceRef(workspace.name, name=service.name, id=object_id("service", workspace.name, service.name)),
        join_keys=_join_keys(workspace, on_demand, everything, views),
        context_keys=tuple(key for key in workspace.context if key.name in context),
        features=(
            *(feature for view in on_demand for feature in view.features),
            *(feature for view in emitted for feature in view.layout.features),
        ),
        views={view.name: _on_demand_facts(view, views) for view in on_demand}
        | {view.name: ViewFacts(view.view.join_keys, ()) for view in emitted}
        | {view.name: ViewFacts(view.view.join_keys, (), emitted=False, features=view.layout.features) for view in hidden},
        on_demand={view.name: view for view in on_demand},
        labels=labels,
    )
    return ServiceRuntime(description, everything)


def _on_demand_facts(view: OnDemandView, views: Mapping[str, ViewRuntime]) -> ViewFacts:
    keys = dict.fromkeys(key for name, _ in view.inputs for key in views[name].view.join_keys)
    return ViewFacts(tuple(keys), view.context_keys)


def _join_keys(
    workspace: Workspace, on_demand: Sequence[OnDemandView], everything: Sequence[ViewRuntime], views: Mapping[str, ViewRuntime]
) -> tuple[Field, ...]:
    """Typed, in the order in which the served views first need them."""
    needed = [*(views[name] for view in on_demand for name, _ in view.inputs), *everything]
    dtypes = {(source.name, column.name): column.dtype for source in workspace.sources for column in source.columns}
    typed = {key: dtypes[view.view.source, key] for view in needed for key in view.view.join_keys}
    return tuple(Field(key, dtype) for key, dtype in typed.items())
