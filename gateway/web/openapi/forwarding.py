"""The cluster's other endpoints, as far as they are forwarded: by group, one path for each pattern. What they take and answer is the
cluster's to say."""

from collections.abc import Sequence
from http import HTTPStatus

from gateway.origins.targets import OAUTH, Group
from gateway.web.openapi.parts import READERS, Node, operation, path_parameter
from gateway.web.openapi.problems import problem_refs

_TAG = "Cluster"
_STATUSES = (400, 401, 403, 404, 502, 503, 504)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_PATH = "The rest of the path, with as many segments as the endpoint has. It goes to the cluster byte for byte."


def tags(groups: Sequence[Group]) -> list[Node]:
    description = (
        "Other endpoints of the cluster, forwarded as they come, with the caller's own credential: the answers are the cluster's. Only "
        "where callers' credentials are passed through (`auth.mode`); `forward.*` switches groups off."
    )
    return [{"name": _TAG, "description": description}] if groups else []


def security_schemes(groups: Sequence[Group]) -> Node:
    if OAUTH not in groups:
        return {}
    return {"ClientCredentials": {"type": "http", "scheme": "basic", "description": "Id and secret of a service account, for a token."}}


def paths(groups: Sequence[Group]) -> Node:
    return {
        path: {method.lower(): _operation(group, path, method) for method in methods}
        | ({"parameters": [path_parameter("path", _PATH, "…")]} if path.endswith("{path}") else {})
        for group in groups
        for path, methods in group.paths.items()
    }


def _operation(group: Group, path: str, method: str) -> Node:
    tail = [part.strip("{}").replace("-", "_") for part in path.split("/") if part not in {"", "api", "v1"}]
    answered = {"200": {"description": "The cluster's own answer, whatever its status."}}
    return operation(
        "_".join(["forward", method.lower(), *tail]),
        tag=_TAG,
        summary=group.meaning,
        description=f"Forwarded to the cluster. Setting: `forward.{group.name}`.",
        security=[{}, {"ClientCredentials": []}] if group is OAUTH else READERS,
        body=_body(group) if method in _WITH_BODY else None,
        responses=answered | problem_refs((*_STATUSES, HTTPStatus.REQUEST_ENTITY_TOO_LARGE) if method in _WITH_BODY else _STATUSES),
    )


def _body(group: Group) -> Node:
    media = "application/x-www-form-urlencoded" if group is OAUTH else "application/json"
    return {"required": False, "content": {media: {"schema": {}}}}
