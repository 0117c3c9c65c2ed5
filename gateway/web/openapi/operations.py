"""The doors for operators and tools: liveness, readiness, metrics, this document, the page that shows it."""

from gateway.web.openapi.parts import ANYONE, WRITERS, Node, operation
from gateway.web.openapi.problems import problem_refs

TAG = "Operations"
OBSERVABILITY = "/api/v1/observability/metrics"
TAGS = ({"name": TAG, "description": "For operators and tools. No credential is asked for, but for what is measured."},)


def paths() -> Node:
    return {
        "/livez": {"get": _livez()},
        "/readyz": {"get": _readyz()},
        "/openapi.json": {"get": _document()},
        "/docs": {"get": _docs()},
        "/console": {"get": _console()},
    }


def measured(*, clustered: bool) -> Node:
    """Where these have no port of their own. A cluster has Tecton's path itself."""
    paths = {"/metrics": {"get": _metrics("metrics", "What was counted so far, for Prometheus")}}
    if not clustered:
        same = _metrics("observability_metrics", "The same on Tecton's path, as OpenMetrics where nothing is asked for")
        paths[OBSERVABILITY] = {"get": same}
    return paths


def schemas() -> Node:
    return {}


def _livez() -> Node:
    return operation("livez", tag=TAG, summary="Whether the process runs", security=ANYONE, responses={"200": {"description": "It does."}})


_READINESS: Node = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ready", "degraded"]},
        "origin": {"const": "unavailable", "description": "Only what is at hand can be served."},
        "access": {"const": "unavailable", "description": "Keys and roles are as they were last known."},
    },
}


def _readyz() -> Node:
    return operation(
        "readyz",
        tag=TAG,
        summary="Whether reads can be answered now",
        description=(
            "Asks the feature store, at most once a second. A store elsewhere that was there once and is lost leaves the gateway ready, as "
            "`degraded`, and so does the store of access control while what was read of it last counts; see "
            "`server.ready_while_degraded`. Not ready any more once the process was told to end."
        ),
        security=ANYONE,
        responses={"200": {"description": "They can.", "content": {"application/json": {"schema": _READINESS}}}} | problem_refs((503,)),
    )


def _metrics(name: str, summary: str) -> Node:
    content = {media: {"schema": {"type": "string"}} for media in ("text/plain", "application/openmetrics-text")}
    return operation(
        name,
        tag=TAG,
        summary=summary,
        description=(
            "The text format, version 0.0.4, or OpenMetrics 1.0, with a trace as an exemplar here and there, as `Accept` asks. Workspaces, "
            "feature services and views are named; no join key, value or caller is. Where the gateway has keys of its own, "
            "an API key with a role in all workspaces is needed, unless `auth.metrics` is `open`; OAuth tokens are not taken."
        ),
        security=[{}, *WRITERS],
        responses={"200": {"description": "The metrics.", "content": content}} | problem_refs((401, 403)),
    )


def _document() -> Node:
    content = {"application/json": {"schema": {"type": "object"}}}
    return operation(
        "openapi",
        tag=TAG,
        summary="This document",
        security=ANYONE,
        responses={"200": {"description": "OpenAPI 3.1.", "content": content}},
    )


def _docs() -> Node:
    content = {"text/html": {"schema": {"type": "string"}}}
    return operation(
        "docs",
        tag=TAG,
        summary="This document as a page that works offline",
        security=ANYONE,
        responses={"200": {"description": "The page.", "content": content}},
    )


def _console() -> Node:
    content = {"text/html": {"schema": {"type": "string"}}}
    return operation(
        "console",
        tag=TAG,
        summary="What the gateway is doing, as pages for people",
        description=(
            "Whoever asks for HTML and shows no key is sent to `/console/sign-in`, which gives a session for one. Rights as for "
            "`/metrics`, whatever `auth.metrics` says. With credentials passed through there is no console without `console.key_digest`. "
            "The pages below it are for browsers; programs read `/metrics`."
        ),
        security=[{}, *WRITERS],
        responses={"200": {"description": "The overview.", "content": content}, "303": {"description": "Sign in first."}}
        | problem_refs((401, 403)),
    )
