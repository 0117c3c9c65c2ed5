"""The purge doors: cached values to be forgotten, or fetched again, before their time."""

from gateway.web.openapi.examples import JOIN_KEYS, WORKSPACE
from gateway.web.openapi.parts import (
    WRITERS,
    Example,
    Node,
    answer,
    flag,
    listing,
    mapping,
    operation,
    path_parameter,
    record,
    ref,
    request_body,
    whole,
)
from gateway.web.openapi.problems import BODY_STATUSES, READ_STATUSES, problem_refs
from gateway.web.openapi.types import in_service

_TAG = "Invalidation"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "The gateway forgets cached values. Once it has answered, no read is answered from them, nor from a fetch that began before. "
            "A *soft* purge makes them stale instead: they are fetched again, and served meanwhile, as stale, only where the settings "
            "allow it.\n\n"
            "An acknowledged ingest does the same by itself, for what it wrote to.\n\n"
            "It takes an API key with the right to purge (`auth.keys.<name>.purge`). Where callers' own credentials are passed through, a "
            "feature service may be purged by whom the feature store shows its schema; what is wider, by nobody.\n\n"
            "Fields are accepted in camelCase and in snake_case; null means unset; unknown fields are refused. Several fields together "
            "mean what all of them say."
        ),
    },
)
LOCAL_STATUSES = (400, 401, 403, 413, 500)
"""Of the doors that do not ask the feature store."""
_SERVICE = "/v1/workspaces/{workspace}/feature-services/{feature_service}"
_PLANE = {"tailnum": JOIN_KEYS["tailnum"]}


def paths() -> Node:
    return {
        f"{_SERVICE}/features:purge": in_service(post=_service()),
        f"{_SERVICE}/features": {"delete": _drop()},
        "/v1/workspaces/{workspace}/features:purge": {
            "parameters": [path_parameter("workspace", "The workspace.", WORKSPACE)],
            "post": _workspace(),
        },
        "/v1/features:purge": {"post": _whole()},
    }


def _service() -> Node:
    body = request_body(
        "ServicePurgeRequest",
        one_plane=Example("One view's values for one plane, softly", {"views": ["plane_history"], "joinKeys": _PLANE, "soft": True}),
        a_key=Example("All that depends on one plane", {"joinKeys": _PLANE}),
        all_of_it=Example("All of the service's views", {}),
    )
    return operation(
        "purgeFeatures",
        tag=_TAG,
        summary="Purge a feature service's views",
        description=(
            "Views are shared: a view that another feature service of the workspace reads by the same name is purged for it too. An "
            "on-demand view stands for the views that it reads. An empty body is `{}`."
        ),
        body=body | {"required": False},
        responses={"200": _purged()} | problem_refs(BODY_STATUSES),
    )


def _drop() -> Node:
    return operation(
        "dropFeatures",
        tag=_TAG,
        summary="Drop all cached values of a feature service's views",
        description="The same as `features:purge` with `{}`. Takes no body.",
        responses={"200": _purged()} | problem_refs(READ_STATUSES),
    )


def _workspace() -> Node:
    return operation(
        "purgeWorkspace",
        tag=_TAG,
        summary="Purge by view or join key across a workspace",
        body=request_body(
            "WorkspacePurgeRequest",
            a_view=Example("One view, whoever reads it", {"views": ["route_history"]}),
            a_key=Example("All that depends on one plane", {"joinKeys": _PLANE, "soft": True}),
            everything=Example("All of the workspace", {"everything": True}),
        ),
        security=WRITERS,
        responses={"200": _purged()} | problem_refs(LOCAL_STATUSES),
    )


def _whole() -> Node:
    return operation(
        "purgeEverything",
        tag=_TAG,
        summary="Purge all workspaces",
        description="Takes a key that opens all workspaces.",
        body=request_body("WholePurgeRequest", everything=Example("All of it, softly", {"everything": True, "soft": True})),
        security=WRITERS,
        responses={"200": _purged()} | problem_refs(LOCAL_STATUSES),
    )


def _purged() -> Node:
    return answer("It is done.", "PurgeResponse", done=Example("Three entries are gone", {"purged": 3}))


def schemas() -> Node:
    soft = {"soft": flag("true: cached values become stale instead of being dropped.", default=False)}
    everything = {"everything": flag("true: all there is. Goes with neither views nor joinKeys.")}
    return {
        "ServicePurgeRequest": record("", **_chosen("that the feature service has"), **soft),
        "WorkspacePurgeRequest": record(
            "At least one of `views` and `joinKeys`, or `everything`.", **_chosen("as feature services name them"), **everything, **soft
        ),
        "WholePurgeRequest": record("", ("everything",), everything={"type": "boolean", "const": True}, **soft),
        "PurgeResponse": record(
            "", ("purged",), purged=whole("How many cached entries of this process were dropped or made stale.", minimum=0)
        ),
    }


def _chosen(which: str) -> dict[str, Node]:
    return {
        "views": listing({"type": "string"}, f"Only of these feature views, {which}.", minItems=1),
        "joinKeys": mapping(
            ref("KeyValue"),
            "Only values that depend on one of these join keys, and have the values given here of all those they depend on.",
        )
        | {"minProperties": 1},
    }
