"""Whether a repository of definitions makes sense: every mistake found at once, each in one sentence that names where it is.

Owns the rules. Knows nothing of how definitions are written down or run.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from gateway.feature_server.definitions import Aggregation, FeatureService, FeatureView, Repository, Source, Workspace
from gateway.feature_server.functions import FUNCTIONS
from gateway.features import Field, Kind
from gateway.on_demand import OnDemandView

MAX_N = 1_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SERVICE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.\-]*")
_COLUMN_KINDS = frozenset({Kind.INT64, Kind.FLOAT64, Kind.STRING, Kind.BOOLEAN, Kind.TIMESTAMP})
_KEY_KINDS = frozenset({Kind.INT64, Kind.STRING})
Mistakes = Iterator[str]


class DefinitionError(ValueError):
    """The definitions contradict themselves. `mistakes` has one sentence for each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("The feature definitions are not valid:\n" + "\n".join(f"  - {mistake}" for mistake in self.mistakes))


def validate(repository: Repository) -> None:
    """Raises DefinitionError with every mistake."""
    mistakes = [
        *_duplicates("workspace", (workspace.name for workspace in repository.workspaces)),
        *(f"Workspace {workspace.name}: {mistake}" for workspace in repository.workspaces for mistake in _workspace(workspace)),
    ]
    if mistakes:
        raise DefinitionError(mistakes)


def _workspace(workspace: Workspace) -> Mistakes:
    views = [*(view.name for view in workspace.views), *(view.name for view in workspace.on_demand)]
    yield from _names("source", (source.name for source in workspace.sources))
    yield from _names("view", views)
    yield from _names("request-context key", (key.name for key in workspace.context))
    yield from _names("feature service", (service.name for service in workspace.services), _SERVICE_NAME)
    sources = {source.name: source for source in workspace.sources}
    for source in workspace.sources:
        yield from (f"source {source.name}: {mistake}" for mistake in _source(source))
    for view in workspace.views:
        yield from (f"feature view {view.name}: {mistake}" for mistake in _view(view, sources.get(view.source)))
    features = {view.name: _feature_names(view) for view in workspace.views}
    for on_demand in workspace.on_demand:
        yield from (f"on-demand view {on_demand.name}: {mistake}" for mistake in _on_demand(on_demand, features, workspace.context))
    for service in workspace.services:
        yield from (f"feature service {service.name}: {mistake}" for mistake in _service(service, views))
    yield from _join_key_types(workspace, sources)


def _source(source: Source) -> Mistakes:
    yield from _names("column", (column.name for column in source.columns))
    for column in source.columns:
        if column.dtype.kind not in _COLUMN_KINDS:
            yield f"column {column.name} has type {column.dtype}; columns are one of {_listed(kind.value for kind in _COLUMN_KINDS)}."
    columns = {column.name: column for column in source.columns}
    if source.timestamp not in columns:
        yield f"its timestamp column {source.timestamp} is not one of its columns."
    elif columns[source.timestamp].dtype.kind is not Kind.TIMESTAMP:
        yield f"its timestamp column {source.timestamp} has type {columns[source.timestamp].dtype}, not timestamp."
    for key in source.record_key:
        if key not in columns:
            yield f"record key column {key} is not one of its columns."
    yield from _duplicates("record key column", source.record_key)


def _view(view: FeatureView, source: Source | None) -> Mistakes:
    if source is None:
        yield f"its source {view.source} does not exist in the workspace."
        return
    columns = {column.name: column for column in source.columns}
    if not view.join_keys:
        yield "it has no join keys."
    yield from _duplicates("join key", view.join_keys)
    for key in view.join_keys:
        if key not in columns:
            yield f"join key {key} is not a column of source {source.name}."
        elif columns[key].dtype.kind not in _KEY_KINDS:
            yield f"join key {key} has type {columns[key].dtype}; join keys are int64 or string."
    if view.interval_s <= 0:
        yield f"its interval is {view.interval_s} s; it must be positive."
        return
    if not view.aggregations:
        yield "it has no aggregations."
    for aggregation in view.aggregations:
        yield from _aggregation(aggregation, view, columns)
    yield from _duplicates("feature", _feature_names(view))
    longest_s = max((one.window_s for one in view.aggregations), default=0)
    if view.ttl_s is not None and view.ttl_s < longest_s:
        yield f"its ttl of {view.ttl_s} s is shorter than its longest window of {longest_s} s."


def _aggregation(aggregation: Aggregation, view: FeatureView, columns: dict[str, Field]) -> Mistakes:
    where = f"{aggregation.function} of {aggregation.column}"
    function = FUNCTIONS.get(aggregation.function)
    if function is None:
        yield f"there is no function {aggregation.function}; there are {_listed(FUNCTIONS)}."
        return
    if aggregation.column not in columns:
        yield f"{where}: the source has no such column."
    elif columns[aggregation.column].dtype.kind not in function.applies_to:
        kinds = _listed(kind.value for kind in function.applies_to)
        yield f"{where}: the column has type {columns[aggregation.column].dtype}, the function takes {kinds}."
    if aggregation.window_s <= 0 or aggregation.window_s % view.interval_s:
        yield f"{where}: the window of {aggregation.window_s} s is not a positive multiple of the interval of {view.interval_s} s."
    if function.takes_n and (aggregation.n is None or not 1 <= aggregation.n <= MAX_N):
        yield f"{where}: n must be given, from 1 to {MAX_N}."
    if not function.takes_n and aggregation.n is not None:
        yield f"{where}: the function takes no n."


def _feature_names(view: FeatureView) -> list[str]:
    return [one.name(view.interval_s) for one in view.aggregations if view.interval_s > 0 and one.window_s > 0]


def _on_demand(view: OnDemandView, features: dict[str, list[str]], context: tuple[Field, ...]) -> Mistakes:
    known = {key.name for key in context}
    for key in view.context_keys:
        if key not in known:
            yield f"request-context key {key} is not declared in the workspace."
    yield from _names("output", (output for output, _ in view.outputs))
    if not view.outputs:
        yield "it has no outputs."
    yield from _duplicates("input", (name for name, _ in view.inputs))
    for name, wanted in view.inputs:
        if name not in features:
            yield f"its input {name} is not a feature view of the workspace."
            continue
        yield from (f"its input {name} has no feature {feature}." for feature in wanted if feature not in features[name])


def _service(service: FeatureService, views: list[str]) -> Mistakes:
    if not service.views:
        yield "it has no views."
    yield from _duplicates("view", service.views)
    yield from (f"there is no view {name} in the workspace." for name in service.views if name not in views)


def _join_key_types(workspace: Workspace, sources: dict[str, Source]) -> Mistakes:
    """One request carries one value per join key, so views must agree on its type."""
    kinds: dict[str, set[Kind]] = {}
    for view in workspace.views:
        for column in sources[view.source].columns if view.source in sources else ():
            if column.name in view.join_keys:
                kinds.setdefault(column.name, set()).add(column.dtype.kind)
    for key, found in kinds.items():
        if len(found) > 1:
            yield f"join key {key} has different types in different views: {_listed(kind.value for kind in found)}."


def _names(what: str, names: Iterable[str], pattern: re.Pattern[str] = _NAME) -> Mistakes:
    listed = list(names)
    yield from (f"{what} name {name!r} is not of the form {pattern.pattern}." for name in listed if pattern.fullmatch(name) is None)
    yield from _duplicates(what, listed)


def _duplicates(what: str, names: Iterable[str]) -> Mistakes:
    yield from (f"{what} {name} is declared {count} times." for name, count in Counter(names).items() if count > 1)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
