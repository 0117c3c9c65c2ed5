"""SCIM 2.0: users, groups and service accounts, and what describes them."""

from collections.abc import Mapping

from gateway.settings import Paths
from gateway.web.openapi.admin_scim_shapes import (
    ACCOUNT,
    BASE,
    CORE,
    ID,
    KINDS,
    MESSAGES,
    QUERY,
    SHOWN,
    USER,
    Kind,
    schemas,
    scim_answer,
    scim_body,
    scim_refusals,
)
from gateway.web.openapi.parts import Example, Node, operation, path_parameter

__all__ = ["TAGS", "paths", "schemas"]

_TAG = "SCIM"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "Users, groups and service accounts, as identity providers keep them (RFC 7643, RFC 7644). For admins, with the API key of a "
            "service account as `Tecton-key <key>` or `Bearer <key>`.\n\n"
            "Group memberships are changed at the groups, roles at each resource. Names of attributes may come in any case, and in "
            "snake_case; those that are not known are ignored. Answers and errors are `application/scim+json`; errors have the members "
            "of every other door's as well, unless that type is asked for by name (`Accept`)."
        ),
    },
)


def paths(_places: Paths) -> Node:
    told: Node = {f"{BASE}/.search": {"post": _search("All", USER)}}
    for kind in KINDS:
        told |= {
            f"{BASE}/{kind.name}s": {"get": _list(kind), "post": _create(kind)},
            f"{BASE}/{kind.name}s/.search": {"post": _search(f"{kind.name}s", kind)},
            f"{BASE}/{kind.name}s/{{id}}": {
                "parameters": [path_parameter("id", "As the gateway has made it.", ID)],
                "get": _show(kind),
                "put": _replace(kind),
                "patch": _patch(kind),
                "delete": _delete(kind),
            },
        }
    return told | _discovery()


_NO_FILTER = ("filter: not a filter of RFC 7644, or one that this kind of resource cannot be filtered by", "invalidFilter")
_NO_VALUE = ("roles.value: for workspace it is one of owner, editor, consumer, operator, viewer or null", "invalidValue")
_BOTH = ("A value is missing, or does not fit its attribute.", "invalidValue")
_LAST = (
    "This would leave no active service account that is an admin and has a credential: give another one account_type admin first.",
    "mutability",
)


def _taken(kind: Kind) -> tuple[str, str]:
    return f"{kind.unique}: another {kind.name} has this one.", "uniqueness"


def _missing(kind: Kind) -> tuple[str, None]:
    return f"There is no {kind.name} with this id.", None


def _parameters(told: Mapping[str, str]) -> Node:
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": meaning, "schema": {"type": "string"}}
            for name, meaning in told.items()
        ]
    }


def _listed(kind: Kind) -> Node:
    listed = {"schemas": [f"{MESSAGES}ListResponse"], "totalResults": 1, "startIndex": 1, "itemsPerPage": 1, "Resources": [kind.listed()]}
    return scim_answer("Those that fit.", "ScimList", Example("One", listed))


def _list(kind: Kind) -> Node:
    return operation(
        f"listScim{kind.name}s",
        tag=_TAG,
        summary=f"Find {kind.name} resources",
        responses={"200": _listed(kind)} | scim_refusals({400: _NO_FILTER}, body=False),
    ) | _parameters(QUERY | SHOWN)


def _search(which: str, kind: Kind) -> Node:
    asked = {"schemas": [f"{MESSAGES}SearchRequest"], "filter": f'{kind.unique} sw "s"', "count": 10}
    return operation(
        f"searchScim{which}",
        tag=_TAG,
        summary=f"Find resources of {'all kinds' if which == 'All' else f'kind {kind.name}'}, by a query in the body",
        body=scim_body("ScimSearch", Example("By the start of a name", asked)),
        responses={"200": _listed(kind)} | scim_refusals({400: _NO_FILTER}, body=True),
    )


def _create(kind: Kind) -> Node:
    made = kind.answered() | ({"apiKey": "fgk_…"} if kind is ACCOUNT else {})
    location = {"Location": {"description": "Where it is told of.", "schema": {"type": "string"}}}
    return operation(
        f"createScim{kind.name}",
        tag=_TAG,
        summary=f"Create a {kind.name}",
        body=scim_body(f"Scim{kind.name}", Example("One", kind.sent())),
        responses={"201": scim_answer("It is made.", f"Scim{kind.name}", Example("One", made)) | {"headers": location}}
        | scim_refusals({400: _NO_VALUE, 409: _taken(kind)}, body=True),
    )


def _show(kind: Kind) -> Node:
    return operation(
        f"getScim{kind.name}",
        tag=_TAG,
        summary=f"Get a {kind.name}",
        responses={"200": _whole(kind)} | scim_refusals({400: _BOTH, 404: _missing(kind)}, body=False),
    ) | _parameters(SHOWN)


def _replace(kind: Kind) -> Node:
    return operation(
        f"replaceScim{kind.name}",
        tag=_TAG,
        summary=f"Replace a {kind.name}",
        description="What is left out is unset; but roles, members and extensions that are left out stay as they are."
        + (" `active: false` deletes the user." if kind is USER else ""),
        body=scim_body(f"Scim{kind.name}", Example("One", kind.sent())),
        responses={"200": _whole(kind)} | scim_refusals({400: _NO_VALUE, 404: _missing(kind), 409: _taken(kind)}, body=True),
    )


def _patch(kind: Kind) -> Node:
    renamed = {"schemas": [f"{MESSAGES}PatchOp"], "Operations": [{"op": "replace", "path": kind.unique, "value": kind.said[kind.unique]}]}
    return operation(
        f"patchScim{kind.name}",
        tag=_TAG,
        summary=f"Change a {kind.name}",
        description="`active: false` deletes the user." if kind is USER else "",
        body=scim_body("ScimPatch", Example("Rename it", renamed)),
        responses={"200": _whole(kind)} | scim_refusals({400: _LAST, 404: _missing(kind), 409: _taken(kind)}, body=True),
    )


def _delete(kind: Kind) -> Node:
    return operation(
        f"deleteScim{kind.name}",
        tag=_TAG,
        summary=f"Delete a {kind.name}",
        description="With its roles and memberships" + (" and credentials." if kind is ACCOUNT else "."),
        responses={"204": {"description": "It is gone."}} | scim_refusals({400: _LAST, 404: _missing(kind)}, body=False),
    )


def _whole(kind: Kind) -> Node:
    return scim_answer("The resource as it is now.", f"Scim{kind.name}", Example("One", kind.answered()))


def _discovery() -> Node:
    told: Node = {}
    for path, summary in {
        "ServiceProviderConfig": "What these doors can do",
        "ResourceTypes": "Which resources there are",
        "ResourceTypes/{id}": "One kind of resource",
        "Schemas": "The schemas of the resources",
        "Schemas/{id}": "One schema",
    }.items():
        one = path.endswith("{id}")
        name = path.removesuffix("/{id}")
        described = {"schemas": [f"{CORE}{name.removesuffix('s')}"]} if one or name.endswith("Config") else {"totalResults": 3}
        refused: dict[int, tuple[str, str | None]] = {400: ("The query string has a parameter twice.", None)}
        if one:
            refused[404] = ("There is no resource type or schema with this id.", None)
        parameters = {"parameters": [path_parameter("id", "Its name, or the URN of a schema.", f"{CORE}User")]} if one else {}
        told[f"{BASE}/{path}"] = parameters | {
            "get": operation(
                f"getScim{name}{'ById' if one else ''}",
                tag=_TAG,
                summary=summary,
                responses={"200": scim_answer("A description.", "ScimDescription", Example("A part of it", described))}
                | scim_refusals(refused, body=False),
            )
        }
    return told
