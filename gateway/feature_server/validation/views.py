"""The rules for feature views: their keys, times, aggregations and attributes."""

from collections.abc import Mapping

from gateway.feature_server.definitions import DAY_S, Aggregation, Entity, FeatureView, Source, spell_duration
from gateway.feature_server.functions import FUNCTIONS
from gateway.feature_server.validation.mistakes import NAME, Findings, Where, duplicates, listed, places, shown
from gateway.feature_server.validation.parameters import parameter_rules
from gateway.feature_server.validation.sources import KEY_KINDS
from gateway.features import DataType

LONGEST_S = 36_500 * DAY_S
"""A hundred years, which nanoseconds in 64 bits can still add up."""


def view_rules(view: FeatureView, source: Source | None, entities: Mapping[str, Entity]) -> Findings:
    if source is None:
        yield ("source",), f"its source {shown(view.source)} does not exist in the workspace."
    columns = {column.name: column.dtype for column in source.columns} if source else None
    yield from _entities(view, columns, entities)
    yield from _join_keys(view, columns)
    yield from _serving_index(view)
    yield from _times(view)
    if bool(view.aggregations) == bool(view.attributes):
        both = "both aggregations and attributes" if view.attributes else "neither aggregations nor attributes"
        yield (), f"it has {both}; a view has one of the two."
    for at, aggregation in enumerate(view.aggregations):
        yield from ((("aggregations", at, *where), text) for where, text in _aggregation(aggregation, view, columns))
    for at, attribute in enumerate(view.attributes):
        if columns is not None and attribute.column not in columns:
            yield ("attributes", at, "column"), f"attribute {shown(attribute.column)} is not a column of source {view.source}."
    yield from _feature_names(view)


def feature_names(view: FeatureView) -> frozenset[str] | None:
    """None where an aggregation has no name, because there is something wrong with it: then no one can say what the view has not."""
    if any(one.alias is None and not _nameable(one, view.interval_s) for one in view.aggregations):
        return None
    return frozenset([*(one.name(view.interval_s) for one in view.aggregations), *(one.name for one in view.attributes)])


def _nameable(aggregation: Aggregation, interval_s: int | None) -> bool:
    """Whether what its name says is right."""
    if aggregation.function not in FUNCTIONS or (interval_s is not None and not 0 < interval_s <= LONGEST_S):
        return False
    return not any(parameter_rules(aggregation)) and not any(_window(aggregation.window_s, interval_s))


def _entities(view: FeatureView, columns: Mapping[str, DataType] | None, entities: Mapping[str, Entity]) -> Findings:
    yield from duplicates("entity", places("entities", view.entities), view.entities)
    known = [entities[name] for name in dict.fromkeys(view.entities) if name in entities]
    for at, name in enumerate(view.entities):
        if name not in entities:
            yield ("entities", at), f"its entity {shown(name)} does not exist in the workspace."
            continue
        for key in entities[name].join_keys:
            dtype = key.dtype if columns is None else columns.get(key.name, key.dtype)
            if dtype != key.dtype:
                yield ("entities", at), f"join key {key.name} has type {key.dtype} in entity {name} and {dtype} in source {view.source}."
    theirs = {key.name for entity in known for key in entity.join_keys}
    if known and all(name in entities for name in view.entities) and theirs != set(view.join_keys):
        yield ("join_keys",), f"its join keys are {listed(view.join_keys)}; those of its entities are {listed(theirs)}."


def _join_keys(view: FeatureView, columns: Mapping[str, DataType] | None) -> Findings:
    if not view.join_keys and not view.entities:
        yield ("join_keys",), "it has no join keys."
    yield from duplicates("join key", places("join_keys", view.join_keys), view.join_keys)
    for at, key in enumerate(view.join_keys if columns is not None else ()):
        dtype = columns.get(key) if columns is not None else None
        if dtype is None:
            yield ("join_keys", at), f"join key {shown(key)} is not a column of source {view.source}."
        elif dtype.kind not in KEY_KINDS:
            yield ("join_keys", at), f"join key {shown(key)} has type {dtype}; join keys are int64 or string."


def _serving_index(view: FeatureView) -> Findings:
    yield from duplicates("serving index key", places("serving_index", view.serving_index), view.serving_index)
    for at, key in enumerate(view.serving_index):
        if key not in view.join_keys:
            yield ("serving_index", at), f"serving index key {shown(key)} is not one of its join keys."
    if view.serving_index and set(view.serving_index) >= set(view.join_keys):
        yield ("serving_index",), "its serving index has all of its join keys, so a read would have none to find."


def _times(view: FeatureView) -> Findings:
    for attribute, what, seconds in (("interval_s", "interval", view.interval_s), ("ttl_s", "ttl", view.ttl_s)):
        if seconds is not None and not 0 < seconds <= LONGEST_S:
            yield (attribute,), f"its {what} must be positive and at most {spell_duration(LONGEST_S)}."
    if view.attributes and not view.aggregations and view.interval_s is not None:
        yield ("interval_s",), "it has an interval, which attributes have no use for."
    longest_s = max((one.window_s for one in view.aggregations if one.window_s is not None), default=0)
    if view.ttl_s is not None and 0 < view.ttl_s < longest_s:
        yield ("ttl_s",), f"its ttl of {spell_duration(view.ttl_s)} is shorter than its longest window of {spell_duration(longest_s)}."


def _aggregation(aggregation: Aggregation, view: FeatureView, columns: Mapping[str, DataType] | None) -> Findings:
    function = FUNCTIONS.get(aggregation.function)
    if function is None:
        yield ("function",), f"there is no function {shown(aggregation.function)}; there are {listed(FUNCTIONS)}."
        return
    where = f"{aggregation.function} of {shown(aggregation.column)}"
    dtype = columns.get(aggregation.column) if columns is not None else None
    if columns is not None and dtype is None:
        yield ("column",), f"{where}: source {view.source} has no such column."
    elif dtype is not None and dtype.kind not in function.applies_to:
        yield ("column",), f"{where}: the column has type {dtype}, the function takes {listed(kind.value for kind in function.applies_to)}."
    yield from ((place, f"{where}: {text}") for place, text in _window(aggregation.window_s, view.interval_s))
    yield from ((place, f"{where}: {text}") for place, text in parameter_rules(aggregation))


def _window(window_s: int | None, interval_s: int | None) -> Findings:
    if window_s is None:
        return
    if not 0 < window_s <= LONGEST_S:
        yield ("window_s",), f"the window must be positive and at most {spell_duration(LONGEST_S)}."
    elif interval_s is not None and 0 < interval_s <= LONGEST_S and window_s % interval_s:
        yield (
            ("window_s",),
            f"the window of {spell_duration(window_s)} is not a multiple of the interval of {spell_duration(interval_s)}.",
        )


def _feature_names(view: FeatureView) -> Findings:
    found: list[tuple[Where, str]] = []
    for at, one in enumerate(view.aggregations):
        if one.alias is not None:
            found.append((("aggregations", at, "alias"), one.alias))
        elif _nameable(one, view.interval_s):
            found.append((("aggregations", at), one.name(view.interval_s)))
    found += [(("attributes", at, "alias") if one.alias else ("attributes", at), one.name) for at, one in enumerate(view.attributes)]
    for where, name in found:
        if where[2:] and NAME.fullmatch(name) is None:
            yield where, f"feature name {shown(name)} is not of the form {NAME.pattern}."
    yield from duplicates("feature", [where for where, _ in found], [name for _, name in found])
