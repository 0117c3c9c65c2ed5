"""What an ingest wrote to, as far as a cluster lets one know: which views from its reply, which join keys from the records that were sent.

The reply names views and no keys; the records have columns and name no views; the API does not say which column is which join key. So a key
is believed only where a record has columns by the very names of the view's join keys, of the types that Metadata tells. In any doubt it is
all of the view: what is dropped in vain is fetched again, what is kept in error is served wrong.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.features import Field, Kind, Written
from gateway.schema import compile_check
from gateway.wire.ingest import Sent

_MAX_VIEWS = 10_000
_UNTOLD = (None,)
_ONE_SPELLING = frozenset({Kind.INT64, Kind.STRING, Kind.BOOLEAN})
"""Types of which a read's typed value is the stored one. An instant has many spellings, and each is a key of its own."""
Check = Callable[[Any], Any]


class KeyReader:
    """Reads the join keys of the views whose join keys the settings name. Learns their types from Metadata."""

    def __init__(self, view_join_keys: Mapping[str, Sequence[str]]) -> None:
        self._names = view_join_keys
        self._fields: dict[tuple[str, str], tuple[Field, ...] | None] = {}

    def learn(self, workspace: str, views: Iterable[str], fields: Mapping[str, Field]) -> None:
        """A feature service serves these views and is read by these join keys. Where it lacks a key of a view, or types one as no other
        service does, the view is kept by other keys there: from then on nobody can tell which of its keys a record means."""
        for view in views:
            names = self._names.get(view)
            known = (workspace, view)
            if names is None or (known not in self._fields and len(self._fields) >= _MAX_VIEWS):
                continue
            told = tuple(fields[name] for name in names) if fields.keys() >= set(names) else None
            self._fields[known] = told if self._fields.get(known, told) == told else None

    def written(self, sent: Sent, views: Iterable[str]) -> tuple[Written, ...]:
        """One for each key of each of these views, or for all of the view."""
        return tuple(Written(sent.workspace, view, keys) for view in views for keys in self._keys(sent, view))

    def _keys(self, sent: Sent, view: str) -> Iterable[tuple[Any, ...] | None]:
        """None, alone, where they cannot be told."""
        fields = self._fields.get((sent.workspace, view))
        if not fields or sent.sources is None or not all(field.dtype.kind in _ONE_SPELLING for field in fields):
            return _UNTOLD
        checks = [(field.name, compile_check(field.dtype)) for field in fields]
        keys: dict[tuple[Any, ...], None] = {}
        for records in sent.sources:
            if all(any(name not in record for name, _ in checks) for record in records):
                continue  # another source's view: it is not said which source feeds which
            for record in records:
                key = _key(checks, record)
                if key is None:
                    return _UNTOLD
                keys[key] = None
        return keys or _UNTOLD


def _key(checks: Sequence[tuple[str, Check]], record: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """A record's join keys, typed as in a read. None where one is missing, null or not of its type."""
    try:
        values = tuple([check(record[name]) for name, check in checks])
    except (KeyError, ValueError):
        return None
    return None if None in values else values
