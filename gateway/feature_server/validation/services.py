"""The rules for what requests read: on-demand views and feature services."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.feature_server.definitions import FeatureService, FeatureView, Source, ViewUse
from gateway.feature_server.validation.mistakes import Findings, duplicates, names, places, shown
from gateway.feature_server.validation.views import feature_names
from gateway.features import DataType
from gateway.on_demand import OnDemandView


@dataclass(frozen=True, slots=True)
class Readable:
    """What a workspace has for its services to read."""

    sources: Mapping[str, Source]
    views: Mapping[str, FeatureView]
    on_demand: Mapping[str, OnDemandView]
    context: frozenset[str]

    def features(self, view: str) -> frozenset[str] | None:
        """None where they cannot be told."""
        if view in self.on_demand:
            return frozenset(output for output, _ in self.on_demand[view].outputs)
        return feature_names(self.views[view])

    def join_key_types(self, view: str) -> dict[str, DataType]:
        source = self.sources.get(self.views[view].source)
        columns = {column.name: column.dtype for column in source.columns} if source else {}
        return {key: columns[key] for key in self.views[view].join_keys if key in columns}


def on_demand_rules(view: OnDemandView, readable: Readable) -> Findings:
    if view.time_limit_s is not None and not 0 < view.time_limit_s < float("inf"):
        yield ("time_limit_s",), "its time limit must be positive."
    yield from duplicates("request-context key", places("context_keys", view.context_keys), view.context_keys)
    for at, key in enumerate(view.context_keys):
        if key not in readable.context:
            yield ("context_keys", at), f"request-context key {shown(key)} is not declared in the workspace."
    outputs = [output for output, _ in view.outputs]
    yield from names("output", [("outputs", output) for output in outputs], outputs)
    if not outputs:
        yield ("outputs",), "it has no outputs."
    yield from duplicates("input", [("inputs", name) for name, _ in view.inputs], [name for name, _ in view.inputs])
    for name, wanted in view.inputs:
        yield from ((("inputs", name, *where), text) for where, text in _input(name, wanted, readable))


def _input(name: str, wanted: tuple[str, ...], readable: Readable) -> Findings:
    if name not in readable.views:
        yield (), f"its input {shown(name)} is not a feature view of the workspace."
        return
    if readable.views[name].serving_index:
        yield (), f"its input {name} has a serving index: a read of it has many rows, and the function takes one."
    if not wanted:
        yield (), f"it reads no feature of its input {name}."
    known = readable.features(name)
    for at, feature in enumerate(wanted):
        if known is not None and feature not in known:
            yield (at,), f"its input {name} has no feature {shown(feature)}."
    yield from duplicates("feature", [(at,) for at in range(len(wanted))], wanted)


def service_rules(service: FeatureService, readable: Readable) -> Findings:
    if not service.views:
        yield ("views",), "it has no views."
    for at, use in enumerate(service.uses):
        yield from ((("views", at, *where), text) for where, text in _use(use, readable))
    served = [use.name for use in service.uses]
    for where, text in duplicates("view", [("views", at, "alias" if use.alias else "view") for at, use in enumerate(service.uses)], served):
        yield where, text.removesuffix(".") + "; a view that is used twice needs an alias."
    yield from _one_name_one_meaning(service, readable)
    wildcards = [at for at, use in enumerate(service.uses) if use.view in readable.views and readable.views[use.view].serving_index]
    for at in wildcards[1:]:
        yield ("views", at), "it has a second view with a serving index; a feature service has at most one."
    yield from _join_key_types(service, readable)


def _use(use: ViewUse, readable: Readable) -> Findings:
    if use.view not in readable.views and use.view not in readable.on_demand:
        yield ("view",), f"there is no view {shown(use.view)} in the workspace."
        return
    if use.view in readable.on_demand:
        if not use.plain:
            yield ("view",), f"{use.view} is an on-demand view, of which only features can be chosen: no alias, renames or join keys."
            return
    elif use.alias is not None:
        yield from names("view", [("alias",)], [use.alias])
    yield from _features(use, readable.features(use.view))
    if use.view in readable.views:
        keys = readable.views[use.view].join_keys
        for key in use.join_keys:
            if key not in keys:
                yield ("join_keys", key), f"view {use.view} has no join key {shown(key)}."
        renamed = [use.join_keys.get(key, key) for key in keys]
        yield from names("join key", [("join_keys", key) for key in keys], renamed)


def _features(use: ViewUse, known: frozenset[str] | None) -> Findings:
    if use.features is not None:
        if not use.features:
            yield ("features",), f"it serves no feature of view {use.view}."
        yield from duplicates("feature", places("features", use.features), use.features)
        for at, feature in enumerate(use.features):
            if known is not None and feature not in known:
                yield ("features", at), f"view {use.view} has no feature {shown(feature)}."
    for feature in use.renames:
        if known is not None and feature not in known:
            yield ("renames", feature), f"view {use.view} has no feature {shown(feature)}."
        elif use.features is not None and feature not in use.features:
            yield ("renames", feature), f"feature {shown(feature)} is renamed and not served."
    chosen = sorted(known or use.renames) if use.features is None else list(dict.fromkeys(use.features))
    renamed = [use.renames.get(feature, feature) for feature in chosen]
    fresh = [(("renames", feature), name) for feature, name in zip(chosen, renamed, strict=True) if feature in use.renames]
    yield from names("feature", [where for where, _ in fresh], [name for _, name in fresh])
    unchanged = {feature for feature in chosen if feature not in use.renames}
    yield from ((where, f"feature {shown(name)} is served twice.") for where, name in fresh if name in unchanged)


def _one_name_one_meaning(service: FeatureService, readable: Readable) -> Findings:
    """What an on-demand view reads goes by the view's own name, so nothing else in the service may."""
    read = {name for use in service.uses if use.view in readable.on_demand for name, _ in readable.on_demand[use.view].inputs}
    for at, use in enumerate(service.uses):
        if use.name not in read or use.plain:
            continue
        if use.alias is not None and use.alias != use.view:
            yield ("views", at, "alias"), f"{use.alias} is also what an on-demand view of the service reads; choose another alias."
        elif use.renames:
            yield ("views", at, "renames"), f"an on-demand view of the service reads {use.view} by its own names; renames need an alias."
        elif use.join_keys:
            yield (
                ("views", at, "join_keys"),
                f"an on-demand view of the service reads {use.view} by its own join keys; other join keys need an alias.",
            )


def _join_key_types(service: FeatureService, readable: Readable) -> Findings:
    """One request carries one value per join key, so views must agree on its type."""
    first: dict[str, tuple[str, DataType]] = {}
    for at, view, key, dtype in _join_keys(service, readable):
        other, expected = first.setdefault(key, (view, dtype))
        if dtype != expected:
            yield ("views", at), f"join key {shown(key)} has type {dtype} in view {view} and {expected} in view {other}."


def _join_keys(service: FeatureService, readable: Readable) -> Iterator[tuple[int, str, str, DataType]]:
    for at, use in enumerate(service.uses):
        if use.view in readable.on_demand:
            for name, _ in readable.on_demand[use.view].inputs:
                if name in readable.views:
                    yield from ((at, name, key, dtype) for key, dtype in readable.join_key_types(name).items())
        elif use.view in readable.views:
            types = readable.join_key_types(use.view)
            yield from ((at, use.view, use.join_keys.get(key, key), dtype) for key, dtype in types.items())
