"""Errors as every door but ingest answers them: one body, one shared response per status. Texts are those of `gateway.errors` where it
has them."""

from collections.abc import Iterable
from http import HTTPStatus

from gateway.errors import (
    Code,
    DeadlineExceeded,
    InternalError,
    OnDemandBusy,
    OnDemandFailed,
    OnDemandTimeout,
    PermissionDenied,
    Unauthenticated,
)
from gateway.web.openapi.parts import Example, Node, answer, record, text, whole

READ_STATUSES = (400, 401, 403, 404, 429, 500, 502, 503, 504)
BODY_STATUSES = (400, 401, 403, 404, 413, 429, 500, 502, 503, 504)


def schemas() -> Node:
    message = "What went wrong. Names fields, never their values."
    code = "The gRPC status code that belongs to the error."
    codes = [one.value for one in Code]
    return {
        "Error": record(
            "What every error looks like, whoever caused it.",
            ("error", "message", "code"),
            error=text("The same text as `message`."),
            message=text(message),
            code=whole(code, enum=codes),
        ),
        "RowError": record(
            "Why one row of a batch has no features.",
            ("message", "code"),
            message=text(message),
            code=whole(code, enum=codes),
            retryAfterSeconds=whole("When to try again, where that is known: what `Retry-After` says of a whole request.", minimum=0),
        ),
    }


def responses() -> Node:
    return {
        _name(HTTPStatus(400)): _problem(
            "The request does not fit the contract, or not the feature service's schema, or an on-demand view's function fails on it.",
            missing_join_key=_error("A join key is missing", "Missing required join key: origin", Code.INVALID_ARGUMENT),
            wrong_type=_error(
                "A value has the wrong type",
                "Unexpected JSON type for planned_air_time in requestContextMap. Expected float64 or null.",
                Code.INVALID_ARGUMENT,
            ),
            on_demand=_error(
                "An on-demand view's function failed",
                "On-demand view planned_flight failed: its function raised ZeroDivisionError.",
                OnDemandFailed.code,
            ),
            too_many_results=_error(
                "A query finds more than one answer may carry",
                "The query has more than 1000 results. With allowPartialResults some are left out.",
                Code.FAILED_PRECONDITION,
            ),
        ),
        _name(HTTPStatus(401)): _problem(
            "No credential, or one that is not known.",
            unknown_key=_error("The key is not known", Unauthenticated().message, Code.UNAUTHENTICATED),
        ),
        _name(HTTPStatus(403)): _problem(
            "The credential is known but may not do this in this workspace.",
            not_authorized=_error("The key lacks a role", PermissionDenied().message, Code.PERMISSION_DENIED),
        ),
        _name(HTTPStatus(404)): _problem(
            "No such feature service in this workspace, no data for it yet, or no such path.",
            unknown_service=_error("The feature service is not known", _UNKNOWN_SERVICE, Code.NOT_FOUND),
        ),
        _name(HTTPStatus(413)): _problem(
            "The body is larger than the gateway takes.",
            too_large=_error("The body is too large", "The request body is too large.", Code.RESOURCE_EXHAUSTED),
        ),
        _name(HTTPStatus(429)): _throttled(),
        _name(HTTPStatus(500)): _problem(
            "The gateway's own fault.",
            internal=_error("Something broke in the gateway", InternalError().message, Code.INTERNAL),
        ),
        _name(HTTPStatus(502)): _problem(
            "The feature store failed, or answered what cannot be understood. Nothing of such an answer is served.",
            malformed=_error("The feature store's answer made no sense", "The feature store's answer is not valid.", Code.INTERNAL),
        ),
        _name(HTTPStatus(503)): _problem(
            "The feature store cannot be reached, says that it is unavailable, or is not asked because it fails or is at its limit; or an "
            "on-demand view cannot be computed now.",
            unavailable=_error("The feature store is down", "503 Service Temporarily Unavailable", Code.UNAVAILABLE),
            on_demand_busy=_error(
                "No thread is free for an on-demand view",
                "On-demand view planned_flight cannot be computed now: functions that went over their time hold all threads.",
                OnDemandBusy.code,
            ),
        )
        | {"headers": retry_after()},
        _name(HTTPStatus(504)): _problem(
            "The read's deadline passed before the answer was complete, or an on-demand view's time limit before its function ended.",
            timed_out=_error("Out of time", DeadlineExceeded().message, Code.DEADLINE_EXCEEDED),
            on_demand_timeout=_error(
                "An on-demand view's function took too long",
                "On-demand view planned_flight took longer than its time limit of 0.2 s.",
                OnDemandTimeout.code,
            ),
        ),
    }


_UNKNOWN_SERVICE = (
    "Unable to query FeatureService `flight_dely` for workspace `prod`. Newly created feature services may take up to 60 seconds to query. "
    "Also, ensure that the workspace is a live workspace."
)


def problem_refs(statuses: Iterable[int]) -> Node:
    """Those statuses of an operation that it answers like every other one."""
    return {str(status): {"$ref": f"#/components/responses/{_name(HTTPStatus(status))}"} for status in statuses}


def retry_after() -> Node:
    """The header of a 429 or 503."""
    told = "When to try again, where the feature store said so, or the gateway did not ask it."
    return {"Retry-After": {"description": told, "schema": {"type": "string"}}}


def _throttled() -> Node:
    response = _problem(
        "The feature store asks for fewer requests.",
        concurrency=_error(
            "Too many requests at once", "GetFeatures exceeded the concurrent request limit, please retry later", Code.RESOURCE_EXHAUSTED
        ),
    )
    return response | {"headers": retry_after()}


def _name(status: HTTPStatus) -> str:
    return status.name.title().replace("_", "")


def _problem(description: str, **examples: Example) -> Node:
    return answer(description, "Error", **examples)


def _error(summary: str, message: str, code: Code) -> Example:
    return Example(summary, {"error": message, "message": message, "code": code.value})
