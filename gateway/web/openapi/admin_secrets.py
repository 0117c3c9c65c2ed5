"""The Secrets service, and the Authorization service, which gives roles on its scopes and in workspaces."""

from typing import Any

from gateway.settings import Paths
from gateway.web.openapi.admin_problems import refusals
from gateway.web.openapi.parts import Example, Node, answer, listing, operation, path_parameter, record, ref, request_body, text
from gateway.wire.authorization import MOST_ASSIGNMENTS

_TAG = "Secrets"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "Secrets in scopes, kept sealed. Whoever makes a scope manages it; roles on it are `read_scope_role`, `write_scope_role` and "
            "`manage_scope_role`, each with all before it. An admin sees every scope and gives roles on it, but opens no secret without a "
            "role. Whoever has no role on a scope is refused the same whether it is there or not. Every reading of a value is audited.\n\n"
            "Without the right key-encryption key everything here but roles answers 503."
        ),
    },
)
_SCOPES, _ROLES = "/api/v1/secrets-service/scopes", "/api/v1/authorization-service"
_NO_SCOPE, _NO_SECRET = "scope: there is no secret scope of this name.", "key: the scope holds no secret of this name."
_NAME = "1 to 256 characters of A-Z a-z 0-9 _ . @ -, and of those the first no . @ -"
_NO_NAME = f"scope: {_NAME}"
_TYPES = ["PRINCIPAL_TYPE_USER", "PRINCIPAL_TYPE_SERVICE_ACCOUNT", "PRINCIPAL_TYPE_GROUP", "PRINCIPAL_TYPE_WORKSPACE"]
_ROLE_NAMES = ["read_scope_role", "write_scope_role", "manage_scope_role", "owner", "editor", "consumer", "operator", "viewer"]
_PLACE = {"resource_type": "RESOURCE_TYPE_SECRET_SCOPE", "resource_id": "etl"}
_WHO = {"principal_type": "PRINCIPAL_TYPE_SERVICE_ACCOUNT", "principal_id": "b51f8d0a8c5f4b7ba61c3d0f4c1f6a2e"}
_GRANTED = {
    **_PLACE,
    "roles_granted": [
        {
            "role": "read_scope_role",
            "role_assignment_sources": [
                {
                    "assignment_type": "ROLE_ASSIGNMENT_TYPE_FROM_PRINCIPAL_GROUP",
                    "principal_group_name": "data engineers",
                    "principal_group_id": "0b2e6f3c9d8a4c51b7de",
                }
            ],
        }
    ],
}
_HOLDER = {"service_account": {"id": _WHO["principal_id"], "name": "scoring", "description": "", "is_active": True}}


def paths(_places: Paths) -> Node:
    scope = path_parameter("scope", f"The scope's name: {_NAME}", "etl")
    key = path_parameter("key", "The secret's name, as a scope's.", "db_password")
    return {
        f"{_ROLES}/assign-roles": {"post": _change("assignRoles", "Give roles", "A role that is given already stays.")},
        f"{_ROLES}/unassign-roles": {"post": _change("unassignRoles", "Take roles back", "A role that is not given stays so.")},
        f"{_ROLES}/list-assigned-principals": {"post": _principals()},
        f"{_ROLES}/list-assigned-roles": {"post": _roles()},
        _SCOPES: {"get": _list_scopes()},
        f"{_SCOPES}/{{scope}}": {"parameters": [scope], "post": _create_scope(), "delete": _delete_scope()},
        f"{_SCOPES}/{{scope}}/keys": {"parameters": [scope], "get": _list_secrets()},
        f"{_SCOPES}/{{scope}}/keys/{{key}}": {
            "parameters": [scope, key],
            "get": _read_secret(),
            "put": _put_secret(),
            "delete": _delete_secret(),
        },
    }


def schemas() -> Node:
    place = {
        "resource_type": text(enum=["RESOURCE_TYPE_SECRET_SCOPE", "RESOURCE_TYPE_WORKSPACE"]),
        "resource_id": text("The name of the scope, or of the workspace.", minLength=1),
    }
    who = {
        "principal_type": text(enum=_TYPES),
        "principal_id": text("The id of a user, service account or group; the name of a workspace.", minLength=1),
    }
    role = text("Of a scope: the first three. Of a workspace: the others.", enum=_ROLE_NAMES)
    roles = listing(role, "Only these. null, and an empty list: all.")
    named = listing(record("", ("name",), name=text()))
    granted = listing(record("", ("role", "role_assignment_sources"), role=role, role_assignment_sources=listing(ref("RoleSource"))))
    return {
        "ListScopesResponse": record("", ("scopes",), scopes=named),
        "ListSecretsResponse": record("", ("keys",), keys=named),
        "SecretValue": record("", ("value",), value=text("Up to 65,536 bytes of UTF-8.", minLength=1, maxLength=65_536)),
        "RoleAssignments": record(
            "",
            ("assignments",),
            assignments=listing(
                record("", (*place, "role", *who), **place, role=role, **who),
                "All of them are made, or none. Of one kind of resource.",
                minItems=1,
                maxItems=MOST_ASSIGNMENTS,
            ),
        ),
        "ListAssignedPrincipalsRequest": record(
            "", tuple(place), **place, roles=roles, principal_types=listing(who["principal_type"], "As `roles`.")
        ),
        "ListAssignedPrincipalsResponse": record(
            "",
            ("assignments",),
            assignments=listing(
                record(
                    "",
                    ("principal", "role_assignments"),
                    principal=record("One of them.", **{name: record("") for name in ("user", "service_account", "group", "workspace")}),
                    role_assignments=listing(ref("GrantedRoles")),
                )
            ),
        ),
        "ListAssignedRolesRequest": record(
            "",
            (*who, "resource_type"),
            **who,
            resource_type=place["resource_type"],
            resource_ids=listing(place["resource_id"], "As `roles`."),
            roles=roles,
        ),
        "ListAssignedRolesResponse": record("", ("assignments",), assignments=listing(ref("GrantedRoles"))),
        "GrantedRoles": record("", (*place, "roles_granted"), **place, roles_granted=granted),
        "RoleSource": record(
            "How it was given: directly, or to a group that the principal is in.",
            ("assignment_type",),
            assignment_type=text(enum=["ROLE_ASSIGNMENT_TYPE_DIRECT", "ROLE_ASSIGNMENT_TYPE_FROM_PRINCIPAL_GROUP"]),
            principal_group_name=text(),
            principal_group_id=text(),
        ),
    }


def _change(operation_id: str, summary: str, description: str) -> Node:
    return operation(
        operation_id,
        tag=_TAG,
        summary=f"{summary} on secret scopes, or in workspaces",
        description=f"{description} On a scope by whom manages it, in a workspace by its owners, and by admins.",
        body=request_body("RoleAssignments", one=Example("One", {"assignments": [{**_PLACE, "role": "read_scope_role", **_WHO}]})),
        responses={"200": _done()} | refusals({400: "role is missing.", 404: "resource_id: there is no secret scope of this name."}),
    )


def _principals() -> Node:
    told = {"assignments": [{"principal": _HOLDER, "role_assignments": [_GRANTED]}]}
    return operation(
        "listAssignedPrincipals",
        tag=_TAG,
        summary="Who has roles on a secret scope, or in a workspace",
        description="Groups, and each of their members. For those who may give roles there.",
        body=request_body("ListAssignedPrincipalsRequest", all=Example("All", _PLACE)),
        responses={"200": answer("All who do.", "ListAssignedPrincipalsResponse", one=Example("One", told))}
        | refusals({400: "resource_id is missing.", 404: "resource_id: there is no secret scope of this name."}),
    )


def _roles() -> Node:
    return operation(
        "listAssignedRoles",
        tag=_TAG,
        summary="Which roles a principal has on secret scopes, or in workspaces",
        description="Of itself, everybody may ask; of others it is told where the caller may give roles. Of an unknown principal: none.",
        body=request_body("ListAssignedRolesRequest", all=Example("All", {**_WHO, "resource_type": _PLACE["resource_type"]})),
        responses={"200": answer("Those it has.", "ListAssignedRolesResponse", one=Example("One", {"assignments": [_GRANTED]}))}
        | refusals({400: "principal_id is missing."}),
    )


def _list_scopes() -> Node:
    return operation(
        "listSecretScopes",
        tag=_TAG,
        summary="The secret scopes that the caller may view",
        responses={"200": answer("By name.", "ListScopesResponse", one=Example("One", {"scopes": [{"name": "etl"}]}))}
        | refusals({400: "The query string cannot be understood."}, body=False),
    )


def _create_scope() -> Node:
    return operation(
        "createSecretScope",
        tag=_TAG,
        summary="Create a secret scope",
        description="By admins, and whoever is an editor of some workspace.",
        body=_none(),
        responses={"200": _done()} | refusals({400: _NO_NAME, 409: "scope: there is a secret scope of this name."}),
    )


def _delete_scope() -> Node:
    return operation(
        "deleteSecretScope",
        tag=_TAG,
        summary="Delete an empty secret scope, and all roles on it",
        responses={"200": _done()}
        | refusals({400: _NO_NAME, 404: _NO_SCOPE}, "scope: it still holds secrets; delete them first.", body=False),
    )


def _list_secrets() -> Node:
    return operation(
        "listSecrets",
        tag=_TAG,
        summary="The names of a scope's secrets",
        responses={"200": answer("By name.", "ListSecretsResponse", one=Example("One", {"keys": [{"name": "db_password"}]}))}
        | refusals({400: _NO_NAME, 404: _NO_SCOPE}, body=False),
    )


def _read_secret() -> Node:
    return operation(
        "readSecret",
        tag=_TAG,
        summary="A secret's value",
        responses={"200": answer("It.", "SecretValue", one=Example("One", {"value": "s3cr3t"}))}
        | refusals({400: _NO_NAME, 404: _NO_SECRET}, body=False),
    )


def _put_secret() -> Node:
    return operation(
        "putSecret",
        tag=_TAG,
        summary="Make a secret, or give it another value",
        body=request_body("SecretValue", one=Example("One", {"value": "s3cr3t"})),
        responses={"200": _done()} | refusals({400: "value must be a string.", 404: _NO_SCOPE}),
    )


def _delete_secret() -> Node:
    return operation(
        "deleteSecret",
        tag=_TAG,
        summary="Delete a secret, at once",
        responses={"200": _done()} | refusals({400: _NO_NAME, 404: _NO_SECRET}, body=False),
    )


def _none() -> dict[str, Any]:
    return request_body("Nothing", nothing=Example("Nothing", {})) | {"required": False}


def _done() -> Node:
    return answer("It is done.", "Nothing", done=Example("Done", {}))
