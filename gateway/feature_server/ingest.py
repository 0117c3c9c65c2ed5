"""The ingest API's request and replies (contract §6): JSON body → validated rows, and the three shapes of answer.

Everything is checked before anything is stored: one mistake refuses the request, and each mistake is listed. Texts name fields, positions
and types, never values. Knows the catalog; knows nothing of stores, HTTP headers or who may ingest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import MalformedBody
from gateway.feature_server.catalog import Catalog, SourceRuntime, ViewRuntime
from gateway.feature_server.records import MAX_ECHO, RecordError, RecordReader
from gateway.feature_server.windows import Row
from gateway.features import Written
from gateway.origins.base import IngestReply
from gateway.wire.json import decode_strict

MAX_RECORDS = 10
"""Per source and request (contract §6)."""
_MAX_ERRORS = 100
_SPELLINGS = (("workspace_name", "workspaceName"), ("dry_run", "dryRun"), ("records", "records"))
Feed = tuple[ViewRuntime, Sequence[Row]]
"""The rows that a view takes in."""
_INVALID = "RequestValidationError"
_UNKNOWN = "TectonObjectValidationError"


class IngestRefused(Exception):
    """The request is answered with this and nothing of it is stored."""

    def __init__(self, reply: IngestReply) -> None:
        super().__init__(f"refused with {reply.status}")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """Rows to store, by source, in the order sent."""

    workspace: str
    rows: tuple[tuple[SourceRuntime, tuple[Row, ...]], ...]
    dry_run: bool


def parse_request(body: bytes, catalog: Catalog, now_ns: int, max_records: int) -> IngestRequest:
    """Raises IngestRefused. `now_ns` judges whether a timestamp lies within a view's serving TTL."""
    fields = _fields(body)
    workspace, dry_run = fields["workspace_name"], fields["dry_run"]
    if not isinstance(workspace, str) or not isinstance(dry_run, bool):
        wrong = "`workspace_name` is not a string" if not isinstance(workspace, str) else "`dry_run` is not a boolean"
        raise _refused(400, _INVALID, f"Field {wrong} in the request")
    if workspace not in catalog.workspaces:
        raise _refused(404, _UNKNOWN, f"Workspace `{workspace[:MAX_ECHO]}` does not exist or is not a live workspace")
    chosen = []
    for name, records in _records(fields["records"], max_records).items():
        source = catalog.sources.get((workspace, name))
        if source is None:
            raise _refused(404, _UNKNOWN, f"Stream source `{name[:MAX_ECHO]}` does not exist in workspace `{workspace}`")
        if not source.views and not dry_run:
            raise _refused(404, _UNKNOWN, f"Stream source `{name}` has no feature view that serves it online in workspace `{workspace}`")
        chosen.append((source, records))
    return IngestRequest(workspace, _rows(workspace, chosen, now_ns), dry_run)


def _fields(body: bytes) -> dict[str, Any]:
    """The request's fields in snake_case. Unknown ones are ignored, as protobuf's JSON does; null is unset."""
    try:
        document = decode_strict(body)
    except MalformedBody as error:
        raise _refused(400, _INVALID, error.message) from error
    if not isinstance(document, dict):
        raise _refused(400, _INVALID, "The request is not a JSON object")
    fields: dict[str, Any] = {"dry_run": False}
    for snake, camel in _SPELLINGS:
        if snake != camel and snake in document and camel in document:
            raise _refused(400, _INVALID, f"Field `{snake}` is given twice in the request")
        value = document.get(snake, document.get(camel))
        if value is not None:
            fields[snake] = value
    for required in ("workspace_name", "records"):
        if fields.get(required, "") in ("", {}):
            raise _refused(400, _INVALID, f"Required field `{required}` is missing in the request")
    return fields


def _records(by_source: Any, max_records: int) -> Mapping[str, list[Mapping[str, Any]]]:
    """The columns of each record, by source."""
    if not isinstance(by_source, dict):
        raise _refused(400, _INVALID, "Field `records` is not an object of lists by stream source in the request")
    found = {}
    for name, records in by_source.items():
        if not isinstance(records, list) or not records:
            raise _refused(400, _INVALID, f"Field `records` has no list of records for stream source `{name[:MAX_ECHO]}`")
        if len(records) > max_records:
            raise _refused(
                400,
                _INVALID,
                f"Field `records` has {len(records)} records for stream source `{name[:MAX_ECHO]}`; the maximum is {max_records}",
            )
        for index, record in enumerate(records):
            if not isinstance(record, dict) or not isinstance(record.get("record"), dict):
                raise _refused(
                    400, _INVALID, f"Record {index} of stream source `{name[:MAX_ECHO]}` is not an object with a `record` object"
                )
        found[name] = [record["record"] for record in records]
    return found


def _rows(
    workspace: str, chosen: Sequence[tuple[SourceRuntime, list[Mapping[str, Any]]]], now_ns: int
) -> tuple[tuple[SourceRuntime, tuple[Row, ...]], ...]:
    mistakes: list[RecordError] = []
    rows: list[tuple[SourceRuntime, tuple[Row, ...]]] = []
    for source, records in chosen:
        reader = RecordReader(source, now_ns)
        rows.append((source, tuple(reader.read(index, record, mistakes) for index, record in enumerate(records))))
    if mistakes:
        raise IngestRefused(_record_errors(workspace, mistakes[:_MAX_ERRORS]))
    return tuple(rows)


def accepted(request: IngestRequest, feeds: Iterable[Feed] = ()) -> IngestReply:
    """How many events each subscribed view took in: none on a dry run, and none offline, for there is no offline store here. `feeds`: what
    is stored, which may be for more views than those of the definitions in force."""
    metrics = [_metric(view, 0 if request.dry_run else len(rows)) for source, rows in request.rows for view in source.views]
    document = {"workspaceName": request.workspace, "ingestMetrics": {"featureViewIngestMetrics": metrics}}
    return IngestReply(200, msgspec.json.encode(document), written=_written(feeds))


def _written(feeds: Iterable[Feed]) -> tuple[Written, ...]:
    """Every key that has a row, also where it is there already: the request may have been sent again because its answer was lost.

    An event also moves the newest event of its whole view. Of other keys that changes the effective time, which is a label, and what is
    read as of the latest event; those wait for their TTL, as what changes by the passing of time does.
    """
    return tuple(
        [
            Written(view.workspace, view.stored_as, join_keys)
            for view, rows in feeds
            for join_keys in dict.fromkeys(view.join_keys_of_rows(rows))
        ]
    )


def _metric(view: ViewRuntime, count: int) -> dict[str, str]:
    return {
        "featureViewName": view.name,
        "onlineRecordIngestCount": str(count),
        "offlineRecordIngestCount": "0",
        "featureViewId": view.id,
    }


def _record_errors(workspace: str, mistakes: Sequence[RecordError]) -> IngestReply:
    errors = []
    for mistake in mistakes:
        view = {} if mistake.view is None else {"featureViewName": mistake.view}
        errors.append(view | {"pushSourceName": mistake.source, "errorType": _INVALID, "errorMessage": mistake.message})
    return _reply(400, {"workspaceName": workspace, "recordErrors": errors})


def _refused(status: int, kind: str, message: str) -> IngestRefused:
    return IngestRefused(_reply(status, {"requestError": {"errorMessage": message, "errorType": kind}}))


def _reply(status: int, body: Mapping[str, Any]) -> IngestReply:
    return IngestReply(status, msgspec.json.encode(body))
