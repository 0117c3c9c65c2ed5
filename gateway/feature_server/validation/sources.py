"""The rules for entities and sources."""

from collections.abc import Iterable

from gateway.feature_server.definitions import Entity, FeatureView, Source
from gateway.feature_server.validation.mistakes import Findings, duplicates, listed, names, places, shown
from gateway.features import Kind

COLUMN_KINDS = frozenset({Kind.INT64, Kind.FLOAT64, Kind.STRING, Kind.BOOLEAN, Kind.TIMESTAMP})
KEY_KINDS = frozenset({Kind.INT64, Kind.STRING})


def entity_rules(entity: Entity) -> Findings:
    keys = [key.name for key in entity.join_keys]
    if not keys:
        yield ("join_keys",), "it has no join keys."
    yield from names("join key", [("join_keys", key) for key in keys], keys)
    for key in entity.join_keys:
        if key.dtype.kind not in KEY_KINDS:
            yield ("join_keys", key.name), f"join key {shown(key.name)} has type {key.dtype}; join keys are int64 or string."


def source_rules(source: Source, views: Iterable[FeatureView]) -> Findings:
    """`views`: those that it feeds."""
    columns = {column.name: column for column in source.columns}
    listed_columns = [column.name for column in source.columns]
    yield from names("column", [("columns", name) for name in listed_columns], listed_columns)
    for column in source.columns:
        if column.dtype.kind not in COLUMN_KINDS:
            kinds = listed(kind.value for kind in COLUMN_KINDS)
            yield ("columns", column.name), f"column {shown(column.name)} has type {column.dtype}; columns are one of {kinds}."
    if source.timestamp not in columns:
        yield ("timestamp",), f"its timestamp column {shown(source.timestamp)} is not one of its columns."
    elif columns[source.timestamp].dtype.kind is not Kind.TIMESTAMP:
        yield ("timestamp",), f"its timestamp column {source.timestamp} has type {columns[source.timestamp].dtype}, not timestamp."
    yield from _record_key(source, columns.keys(), views)
    yield from duplicates("files pattern", places("files", source.files), source.files)
    for at, pattern in enumerate(source.files):
        if not pattern.strip() or "\0" in pattern:
            yield ("files", at), "it names no file."


def _record_key(source: Source, columns: Iterable[str], views: Iterable[FeatureView]) -> Findings:
    for at, key in enumerate(source.record_key):
        if key not in columns:
            yield ("record_key", at), f"record key column {shown(key)} is not one of its columns."
    yield from duplicates("record key column", places("record_key", source.record_key), source.record_key)
    lacking: dict[str, list[str]] = {}
    for view in views if source.record_key else ():
        for key in dict.fromkeys(view.join_keys):
            if key in columns and key not in source.record_key:
                lacking.setdefault(key, []).append(view.name)
    for key, of in lacking.items():
        yield (
            ("record_key",),
            f"its record key lacks {key}, a join key of {listed(of)}: a correction could move an event from one key to another.",
        )
