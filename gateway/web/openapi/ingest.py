"""The ingest doors: records into stream sources, with errors of their own shape (contract §6)."""

from gateway.web.openapi.examples import WORKSPACE
from gateway.web.openapi.parts import (
    WRITERS,
    Example,
    Node,
    answer,
    flag,
    json_content,
    listing,
    mapping,
    operation,
    record,
    ref,
    request_body,
    text,
)
from gateway.web.openapi.problems import retry_after

_TAG = "Ingest"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "Records into stream sources. Takes API keys only. Its errors have a shape of their own. `workspaceName` and `dryRun` are "
            "accepted in snake_case too."
        ),
    },
)
_SOURCE = "flights"
_VIEW = "airport_departures"


def paths() -> Node:
    return {"/ingest": {"post": _ingest("ingest", "Ingest records")}, "/v2/ingest": {"post": _ingest("ingestV2", "The same as /ingest")}}


def _ingest(operation_id: str, summary: str) -> Node:
    return operation(
        operation_id,
        tag=_TAG,
        summary=summary,
        description=(
            "At most 10 records per stream source, several sources per request. Timestamps are ISO 8601; without an offset they are UTC. "
            "Of records with the same keys and timestamp the last one counts."
        ),
        body=request_body("IngestRequest", departures=_records(dry_run=False), dry_run=_records(dry_run=True)),
        security=WRITERS,
        responses={"200": answer("What was written.", "IngestResponse", written=_written())} | _problems(),
    )


def _records(*, dry_run: bool) -> Example:
    flight = {
        "scheduled_departure": "2013-01-14T22:45:00Z",
        "carrier": "AA",
        "flight": "1",
        "origin": "JFK",
        "dest": "LAX",
        "tailnum": "N338AA",
        "dep_delay": 7.0,
        "cancelled": False,
    }
    body = {"workspaceName": WORKSPACE, "dryRun": dry_run, "records": {_SOURCE: [{"record": flight}]}}
    return Example("Checked and not written" if dry_run else "One departure", body)


def _written() -> Example:
    counted = {"featureViewName": _VIEW, "onlineRecordIngestCount": "1", "offlineRecordIngestCount": "0"}
    metrics = {"featureViewIngestMetrics": [{**counted, "featureViewId": "0123456789abcdef0123456789abcdef"}]}
    return Example("One record reached one view", {"workspaceName": WORKSPACE, "ingestMetrics": metrics})


def _problems() -> Node:
    spoken = {
        "400": ("The request, or a record of it, is not valid.", {"missing_field": _missing_field(), "bad_record": _bad_record()}),
        "401": ("No credential, or one that is not known.", {}),
        "403": ("The credential may not write to this workspace.", {}),
        "404": ("No such workspace or stream source, or nothing subscribes to it.", {}),
        "413": ("The body is larger than the gateway takes.", {}),
        "429": ("The feature store asks for fewer requests.", {}),
        "500": ("The gateway's own fault.", {}),
        "502": ("The feature store failed, or answered what cannot be understood.", {}),
        "503": ("The feature store cannot be reached, or says that it is unavailable.", {}),
        "504": ("The feature store did not answer in time. Whether the records were written is not known.", {}),
    }
    problems: Node = {
        status: {"description": meaning, "content": json_content(ref("IngestError"), examples)}
        for status, (meaning, examples) in spoken.items()
    }
    problems["429"]["headers"] = problems["503"]["headers"] = retry_after()
    return problems


def _missing_field() -> Example:
    error = {"errorMessage": "Required field `workspace_name` is missing in the request", "errorType": "RequestValidationError"}
    return Example("A required field is missing", {"requestError": error})


def _bad_record() -> Example:
    error = {
        "featureViewName": _VIEW,
        "pushSourceName": _SOURCE,
        "errorType": "RequestValidationError",
        "errorMessage": "Expected float64 or null for dep_delay.",
    }
    return Example("A record does not fit its source", {"workspaceName": WORKSPACE, "recordErrors": [error]})


def schemas() -> Node:
    return _request() | _answer() | _errors()


def _request() -> Node:
    wrapped = record("", ("record",), record=mapping({}, "Values by column."))
    sources = mapping(listing(wrapped, minItems=1, maxItems=10), "Records by stream source.")
    return {
        "IngestRequest": record(
            "",
            ("records",),
            workspaceName=text("Required. The workspace."),
            dryRun=flag(
                "true: everything is checked and nothing is written. Tecton requires it; the embedded feature server takes false for it."
            ),
            records=sources,
        )
    }


def _answer() -> Node:
    count = {"type": "string", "pattern": "^[0-9]+$", "description": "A count, as a decimal string."}
    return {
        "IngestResponse": record(
            "",
            ("workspaceName", "ingestMetrics"),
            workspaceName=text(),
            ingestMetrics=record(
                "",
                featureViewIngestMetrics=listing(
                    record(
                        "",
                        featureViewName=text(),
                        onlineRecordIngestCount=count,
                        offlineRecordIngestCount=count,
                        featureViewId=text(),
                    ),
                    "One per feature view that subscribes to a source of the request.",
                ),
                dataSourceIngestMetrics=listing(
                    record("", dataSourceName=text(), offlineRecordIngestCount=count, dataSourceId=text()),
                    "Where the feature store gives them.",
                ),
            ),
        )
    }


def _errors() -> Node:
    request_error = record("", ("errorMessage", "errorType"), errorMessage=text(), errorType=_error_type())
    record_error = record(
        "", ("errorMessage", "errorType"), featureViewName=text(), pushSourceName=text(), errorType=_error_type(), errorMessage=text()
    )
    return {
        "IngestError": {"oneOf": [ref("IngestRequestError"), ref("IngestRecordErrors")]},
        "IngestRequestError": record("The request as a whole was refused.", ("requestError",), requestError=request_error),
        "IngestRecordErrors": record(
            "Single records were refused.", ("recordErrors",), workspaceName=text(), recordErrors=listing(record_error)
        ),
    }


def _error_type() -> Node:
    return text("Known: `RequestValidationError`, `TectonObjectValidationError`.")
