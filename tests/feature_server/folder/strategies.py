"""Domains for hypothesis: repositories that make sense, their YAML said another way than the reader reads it, and texts that spoil it."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from gateway.feature_server.definitions import (
    Aggregation,
    Attribute,
    Entity,
    FeatureService,
    FeatureView,
    Repository,
    Source,
    ViewUse,
    Workspace,
)
from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, Field, Labels, array_of, map_of, struct_of
from gateway.on_demand import OnDemandView

SECONDS = st.sampled_from([1, 90, 60, 600, 3_600, 5_400, 86_400, 604_800, 1_209_600]) | st.integers(1, 100_000_000)
WORDS = st.sampled_from(
    ["no", "yes", "null", "~", "1_000", "012", "12:30:00", "0x1F", "1.10", "<<", "# no", "- a", "{", "'", '"', ""]
) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
NAMES = st.sampled_from(["no", "on", "null", "y", "name", "alias", "window_s", "interval"]) | st.from_regex(
    r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True
)
TAGS = st.dictionaries(WORDS.filter(bool), WORDS, max_size=3)
KEY_TYPES = st.sampled_from([INT64, STRING])
SCALARS = st.sampled_from([INT64, FLOAT64, STRING, BOOLEAN, TIMESTAMP])
DATA_TYPES = st.recursive(
    SCALARS,
    lambda inner: (
        inner.map(array_of) | inner.map(map_of) | st.dictionaries(NAMES, inner, max_size=3).map(lambda fields: struct_of(**fields))
    ),
    max_leaves=4,
)


def compute(_context: Mapping[str, Any], _inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {}


COMPUTE = "def compute(context, inputs):\n    return {}\n"


def unique(count: int) -> st.SearchStrategy[list[str]]:
    return st.lists(NAMES, min_size=count, max_size=count, unique=True)


@st.composite
def sources(draw: st.DrawFn, name: str) -> Source:
    """Their first column is the timestamp, the next two can be join keys."""
    names = draw(unique(6))
    types = [TIMESTAMP, draw(KEY_TYPES), draw(KEY_TYPES), *(draw(SCALARS) for _ in names[3:])]
    columns = tuple(Field(column, dtype) for column, dtype in zip(names, types, strict=True))
    record_key = tuple(names[1:4]) if draw(st.booleans()) else ()
    files = tuple(draw(st.lists(WORDS.filter(str.strip), max_size=2, unique=True)))
    return Source(name, columns, names[0], record_key, draw(WORDS), files)


@st.composite
def aggregations(draw: st.DrawFn, source: Source, interval_s: int | None, alias: str) -> Aggregation:
    column = draw(st.sampled_from(source.columns))
    window_s = draw(st.none() | st.integers(1, 50).map(lambda times: times * (interval_s or 1)))
    named = draw(st.booleans())
    more: dict[str, Any] = {"description": draw(st.none() | WORDS), "alias": alias if named else None}
    if column.dtype in {INT64, FLOAT64} and draw(st.booleans()):
        percentile = draw(st.floats(0, 1).map(lambda value: round(value, 6)))
        return Aggregation(
            column.name, "approx_percentile", window_s, percentile=percentile, precision=draw(st.none() | st.just(50)), **more
        )
    if draw(st.booleans()):
        return Aggregation(column.name, "last_n", window_s, n=draw(st.integers(1, 1_000)), **more)
    return Aggregation(column.name, draw(st.sampled_from(["count", "last", "count_distinct"])), window_s, **more)


@st.composite
def views(draw: st.DrawFn, name: str, source: Source, entities: tuple[Entity, ...]) -> FeatureView:
    keys = [column.name for column in source.columns[1:3]]
    join_keys = tuple(draw(st.permutations(keys))[: draw(st.integers(1, 2))])
    theirs = tuple(one.name for one in entities if tuple(key.name for key in one.join_keys) == join_keys)
    more: dict[str, Any] = {
        "description": draw(st.none() | WORDS),
        "tags": draw(TAGS),
        "entities": theirs[:1] if draw(st.booleans()) else (),
        "serving_index": join_keys[:1] if len(join_keys) > 1 and draw(st.booleans()) else (),
    }
    aliases = [f"feature_{number}" for number in range(3)]
    if draw(st.booleans()):
        made = [
            Attribute(source.columns[at].name, draw(st.none() | WORDS), draw(st.sampled_from([alias, None])))
            for at, alias in enumerate(aliases)
        ]
        return FeatureView(name, source.name, join_keys, ttl_s=draw(st.none() | SECONDS), attributes=tuple(made), **more)
    interval_s = draw(st.none() | st.sampled_from([1, 60, 600, 3_600, 86_400]))
    found = {one.name(interval_s): one for one in (draw(aggregations(source, interval_s, alias)) for alias in aliases)}
    longest_s = max((one.window_s or 1) for one in found.values())
    ttl_s = draw(st.none() | SECONDS.map(lambda seconds: max(seconds, longest_s)))
    return FeatureView(name, source.name, join_keys, tuple(found.values()), interval_s, ttl_s, **more)


@st.composite
def workspaces(draw: st.DrawFn, name: str) -> Workspace:
    source_names, view_names, context = draw(unique(2)), draw(unique(4)), draw(st.dictionaries(NAMES, DATA_TYPES, max_size=2))
    made = tuple(draw(sources(one)) for one in source_names)
    entities = tuple(
        Entity(one, source.columns[1 : draw(st.integers(2, 3))], draw(WORDS)) for one, source in zip(draw(unique(2)), made, strict=True)
    )
    found = tuple(draw(views(one, draw(st.sampled_from(made)), entities)) for one in view_names[:3])
    readable = [view for view in found if not view.serving_index]
    read = draw(st.sampled_from(readable)) if readable else None
    computed = OnDemandView(
        view_names[3],
        compute,
        tuple(context),
        ((read.name, (feature(read),)),) if read else (),
        tuple(draw(st.dictionaries(NAMES, DATA_TYPES, min_size=1, max_size=3)).items()),
        Labels(draw(st.none() | WORDS), tuple(draw(TAGS).items())),
        draw(st.sampled_from([None, 0.05, 2.0, 12.345])),
    )
    services = [
        FeatureService("only:one", (draw(st.sampled_from(found)).name,), draw(WORDS), draw(TAGS)),
        FeatureService("computed-1", (computed.name,)),
        FeatureService("another.name", (draw(uses(draw(st.sampled_from(found)))),)),
    ]
    return Workspace(name, made, found, tuple(services), (computed,), tuple(Field(key, dtype) for key, dtype in context.items()), entities)


def feature(view: FeatureView) -> str:
    return next(iter([*(one.name(view.interval_s) for one in view.aggregations), *(one.name for one in view.attributes)]))


@st.composite
def uses(draw: st.DrawFn, view: FeatureView) -> ViewUse:
    return ViewUse(
        view.name,
        (feature(view),) if draw(st.booleans()) else None,
        "another_name",
        {feature(view): "renamed"} if draw(st.booleans()) else {},
        {view.join_keys[0]: "somebody_else"} if draw(st.booleans()) else {},
    )


REPOSITORIES = st.tuples(workspaces("prod"), st.none() | workspaces("dev")).map(lambda both: Repository(tuple(filter(None, both))))


def dump(workspace: Workspace) -> dict[str, Any]:
    """As plain data, in the sections and fields of the format."""
    return {
        "workspace": workspace.name,
        "entities": [{"name": one.name, "join_keys": _types(one.join_keys), "description": one.description} for one in workspace.entities],
        "sources": [_source(one) for one in workspace.sources],
        "context": _types(workspace.context),
        "feature_views": [_view(one) for one in workspace.views],
        "on_demand_views": [_on_demand(one) for one in workspace.on_demand],
        "feature_services": [
            _given(name=one.name, views=[_use(use) for use in one.views], description=one.description, tags=dict(one.tags))
            for one in workspace.services
        ],
    }


def flow(data: Any) -> str:
    """YAML in flow style, by hand: every name and text in quotes, numbers and durations without."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {flow(value)}" for name, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(flow(one) for one in data) + "]"
    if isinstance(data, float):
        return f"{data:.6f}".rstrip("0").rstrip(".")
    return json.dumps(data)


def _source(one: Source) -> dict[str, Any]:
    return _given(
        name=one.name,
        columns=_types(one.columns),
        timestamp=one.timestamp,
        record_key=list(one.record_key),
        files=list(one.files),
        description=one.description,
    )


def _view(view: FeatureView) -> dict[str, Any]:
    told = _given(
        name=view.name,
        source=view.source,
        entities=list(view.entities),
        join_keys=list(view.join_keys),
        ttl=_duration(view.ttl_s),
        serving_index=list(view.serving_index),
        description=view.description,
        tags=dict(view.tags),
        aggregations=[_aggregation(one) for one in view.aggregations],
        attributes=[_given(column=one.column, name=one.alias, description=one.description) for one in view.attributes],
    )
    if view.aggregations:
        told["interval"] = _duration(view.interval_s) or "continuous"
    return told


def _aggregation(one: Aggregation) -> dict[str, Any]:
    return _given(
        column=one.column,
        function=one.function,
        window=_duration(one.window_s) or "lifetime",
        n=one.n,
        percentile=one.percentile,
        precision=one.precision,
        name=one.alias,
        description=one.description,
    )


def _on_demand(one: OnDemandView) -> dict[str, Any]:
    return _given(
        name=one.name,
        function="functions:compute",
        context=list(one.context_keys),
        inputs={name: list(wanted) for name, wanted in one.inputs},
        outputs={name: str(dtype) for name, dtype in one.outputs},
        time_limit=None if one.time_limit_s is None else f"{round(one.time_limit_s * 1_000)}ms",
        description=one.labels.description,
        tags=dict(one.labels.tags),
    )


def _use(use: str | ViewUse) -> object:
    if isinstance(use, str):
        return use
    told = _given(view=use.view, rename=dict(use.renames), join_keys=dict(use.join_keys))
    return told | ({} if use.features is None else {"features": list(use.features)}) | ({"as": use.alias} if use.alias else {})


def _types(fields: tuple[Field, ...]) -> dict[str, str]:
    return {one.name: str(one.dtype) for one in fields}


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else f"{seconds}s"


def _given(**fields: Any) -> dict[str, Any]:
    """Without what is not there."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}
