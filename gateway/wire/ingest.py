"""What the gateway itself needs to know of an ingest (contract §6): for which workspace it is, which records it sends, and which views took
them in. The rest is the origin's to read."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.errors import InvalidRequest
from gateway.wire.json import decode_strict

_SPELLINGS = ("workspaceName", "workspace_name")


class Purpose(NamedTuple):
    """What an ingest asks for, as far as rights hang on it. `workspace` None: it names none; then the origin refuses it, in the ingest
    API's own words. `dry`: nothing is to be stored. `records`: how many it brings, as far as they stand where records belong."""

    workspace: str | None
    dry: bool
    records: int = 0


def read_purpose(body: bytes) -> Purpose:
    """Raises MalformedBody and InvalidRequest for a body that another parser could take for another purpose."""
    given = decode_strict(body)
    if type(given) is not dict:
        return Purpose(None, dry=False)
    named = [given[name] for name in _SPELLINGS if name in given and given[name] is not None]
    if len(named) > 1:
        raise InvalidRequest("The body has workspace_name twice, in camelCase and in snake_case.")
    if named and type(named[0]) is not str:
        raise InvalidRequest("workspaceName must be a string.")
    said = [given[name] for name in ("dryRun", "dry_run") if name in given]
    if len(said) > 1:
        raise InvalidRequest("The body has dry_run twice, in camelCase and in snake_case.")
    return Purpose(named[0] if named else None, dry=said == [True] and type(said[0]) is bool, records=_count(given.get("records")))


def _count(records: object) -> int:
    return sum(len(sent) for sent in records.values() if type(sent) is list) if type(records) is dict else 0


def named_workspace(body: bytes) -> str | None:
    return read_purpose(body).workspace


class Sent(NamedTuple):
    """An ingest as it was sent. `sources`: for each stream source its records, column by column; None where they are not in the contract's
    form. `dry`: nothing is to be stored."""

    workspace: str
    sources: Sequence[Sequence[Mapping[str, Any]]] | None
    dry: bool = False


class _Head(msgspec.Struct):
    """Fields in either spelling; null is unset."""

    camel_workspace: str | None = msgspec.field(name="workspaceName", default=None)
    snake_workspace: str | None = msgspec.field(name="workspace_name", default=None)
    camel_dry: bool | None = msgspec.field(name="dryRun", default=None)
    snake_dry: bool | None = msgspec.field(name="dry_run", default=None)


class _Record(msgspec.Struct):
    record: dict[str, Any]


class _Records(msgspec.Struct):
    records: dict[str, list[_Record]]


class _ViewMetric(msgspec.Struct):
    view: str = msgspec.field(name="featureViewName")


class _Metrics(msgspec.Struct):
    views: list[_ViewMetric] = msgspec.field(name="featureViewIngestMetrics")


class _Reply(msgspec.Struct):
    metrics: _Metrics = msgspec.field(name="ingestMetrics")


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_records = msgspec.json.Decoder(_Records).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode


def read_sent(body: bytes) -> Sent:
    """Raises ValueError for a body that names no workspace, or two; a cluster may take it all the same."""
    head = _decode_head(body)
    named = [name for name in (head.camel_workspace, head.snake_workspace) if name is not None]
    if len(named) != 1:
        raise ValueError("not one workspace")
    said = [dry for dry in (head.camel_dry, head.snake_dry) if dry is not None]
    try:
        sources = [[one.record for one in records] for records in _decode_records(body).records.values()]
    except ValueError:
        sources = None
    return Sent(named[0], sources, dry=bool(said) and all(said))


def read_fed_views(body: bytes) -> list[str]:
    """The views that an ingest's reply says took the records in. Raises ValueError where it does not say."""
    return list(dict.fromkeys(metric.view for metric in _decode_reply(body).metrics.views))
