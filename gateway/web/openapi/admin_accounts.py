"""The Service Accounts service: accounts and client secrets, at the paths that the settings say."""

from typing import Any

from gateway.settings import Paths
from gateway.web.openapi.admin_problems import refusals
from gateway.web.openapi.parts import Example, Node, answer, flag, listing, operation, record, ref, request_body, text
from gateway.wire.accounts import API_KEY, OAUTH

_TAG = "Service accounts"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "Programs that call, and what they show: an API key, or a client secret for which the token endpoint gives access tokens. "
            "Credentials are shown once, when they are made.\n\n"
            "An account is made by an admin or an owner of some workspace, and administered by its maker and by admins. It sees itself; to "
            "everybody else it does not exist. Fields are accepted in camelCase and in snake_case; null means unset; unknown fields are "
            "ignored."
        ),
    },
)
_ALSO = "/api/v1/service-accounts-service"
_ID, _SECRET_ID = "b51f8d0a8c5f4b7ba61c3d0f4c1f6a2e", "9fJq2ZrXc7LmW0aTbYk1"
_ACCOUNT = {
    "id": _ID,
    "name": "scoring",
    "description": "reads features for the scoring model",
    "is_active": True,
    "created_at": "2026-01-31T16:40:23.674137Z",
}
_MAKER = {"user": {"okta_id": "00u18938zqdN98Gzq358", "first_name": "Ada", "last_name": "Smith", "login_email": "ada@example.com"}}
_SECRET = {
    "secret_id": _SECRET_ID,
    "created_at": "2026-01-31T16:40:23.674Z",
    "updated_at": "2026-02-01T06:21:10.000Z",
    "status": "ACTIVE",
    "masked_secret": "************hbDU",
}
_NO_ACCOUNT, _NO_SECRET = "There is no such service account.", "The service account has no such client secret."
_MISSING = "id is missing."


def paths(places: Paths) -> Node:
    accounts = {
        "create-service-account": _create,
        "delete-service-account": _delete,
        "get-service-account": _search,
        "update-service-account": _update,
    }
    told = {f"{_ALSO}/{name}": {"post": told("AtServiceAccounts")} for name, told in accounts.items()}
    told[f"{_ALSO}/search-service-accounts"] = {"post": _search("ByItsNewerName")}
    told |= {f"{places.service_accounts}/{name}": {"post": told("")} for name, told in accounts.items()}
    return told | {f"{places.service_account_secrets}/{name}": {"post": one} for name, one in _secrets().items()}


def schemas() -> Node:
    identity, at = text("As the gateway has made it."), {"type": "string", "format": "date-time"}
    status = text(enum=["ACTIVE", "INACTIVE"])
    account = {
        "id": identity,
        "name": text("No two accounts have the same.", minLength=1, maxLength=256),
        "description": text(maxLength=4096),
        "is_active": flag("An account that is not active keeps its roles, memberships and credentials, and may do nothing."),
        "created_at": at,
    }
    kind = text("What the account shows. It stays as it is.", enum=[API_KEY, OAUTH])
    masked = {"secret_id": text(), "created_at": at, "updated_at": at, "status": status, "masked_secret": text()}
    maker = {"user": record(""), "service_account": record("")}
    return {
        "CreateServiceAccountRequest": record(
            "",
            ("name",),
            name=account["name"],
            description=account["description"] | {"default": ""},
            credentials_type=kind | {"default": API_KEY},
        ),
        "CreateServiceAccountResponse": record(
            "With one of `api_key` and `client_secret`, which are never shown again.",
            (*account, "credentials_type"),
            **account,
            credentials_type=kind,
            api_key=text("Shown as `Authorization: Tecton-key <key>`."),
            client_secret=text("Shown at the token endpoint, with `id` as `client_id`."),
        ),
        "ServiceAccountId": record("", ("id",), id=identity),
        "GetServiceAccountsRequest": record(
            "Both conditions hold together.",
            search=text("A part of the name, the description or the id, in any case.", default=""),
            ids=listing(identity, "Only these. null: all of them. An empty list names none."),
        ),
        "GetServiceAccountsResponse": record("", ("service_accounts",), service_accounts=listing(ref("ServiceAccount"))),
        "ServiceAccount": record(
            "",
            (*account, "credentials_type"),
            **account,
            credentials_type=kind,
            created_by=record("Who made it: a user or a service account. Missing where that was done at the shell.", **maker),
        ),
        "UpdateServiceAccountRequest": record(
            "What is missing or null stays as it is.",
            ("id",),
            **{name: account[name] for name in ("id", "name", "description", "is_active")},
        ),
        "UpdateServiceAccountResponse": record("", tuple(account), **account),
        "ClientSecretRef": record("", ("service_account_id", "secret_id"), service_account_id=identity, secret_id=identity),
        "ClientSecret": record("Its value is not kept, and cannot be had.", tuple(masked), **masked),
        "ClientSecretResponse": record("", ("secret",), secret=ref("ClientSecret")),
        "ListClientSecretsResponse": record("", ("clientSecrets",), clientSecrets=listing(ref("ClientSecret"))),
        "CreateClientSecretResponse": record(
            "",
            ("secret",),
            secret=record(
                "",
                ("secret_id", "created_at", "status", "secret"),
                secret_id=text(),
                created_at=at,
                status=status,
                secret=text("Never shown again."),
            ),
        ),
        "Nothing": record("An empty object: it is done."),
    }


def _create(where: str) -> Node:
    made = {**_ACCOUNT, "credentials_type": OAUTH, "client_secret": "fgs_…"}
    asked = {"name": "scoring", "description": _ACCOUNT["description"], "credentials_type": OAUTH}
    return operation(
        f"createServiceAccount{where}",
        tag=_TAG,
        summary="Create a service account",
        description="It is active, and has no role yet.",
        body=request_body("CreateServiceAccountRequest", oauth=Example("One that will ask for tokens", asked)),
        responses={"200": answer("The account, and its credential.", "CreateServiceAccountResponse", made=Example("It is made", made))}
        | refusals({400: "name is missing.", 409: "There is a service account of this name."}),
    )


def _delete(where: str) -> Node:
    return operation(
        f"deleteServiceAccount{where}",
        tag=_TAG,
        summary="Delete a service account that is not active",
        description="With its credentials, memberships and roles.",
        body=request_body("ServiceAccountId", one=Example("An account", {"id": _ID})),
        responses={"200": _done()}
        | refusals({400: _MISSING, 404: _NO_ACCOUNT}, "The service account must be deactivated before it can be deleted."),
    )


def _search(where: str) -> Node:
    found = {"service_accounts": [{**_ACCOUNT, "created_by": _MAKER, "credentials_type": OAUTH}]}
    return operation(
        f"getServiceAccounts{where}",
        tag=_TAG,
        summary="Find service accounts",
        description="Of those that the caller may see: admins all, others the ones they made, and themselves. The oldest first.",
        body=request_body(
            "GetServiceAccountsRequest", part=Example("By a part of it", {"search": "SCOR"}), one=Example("By id", {"ids": [_ID]})
        )
        | {"required": False},
        responses={"200": answer("Those that fit.", "GetServiceAccountsResponse", found=Example("One", found))}
        | refusals({400: "ids must be a list of strings."}),
    )


def _update(where: str) -> Node:
    return operation(
        f"updateServiceAccount{where}",
        tag=_TAG,
        summary="Change a service account, or its being active",
        body=request_body("UpdateServiceAccountRequest", off=Example("Deactivate it", {"id": _ID, "is_active": False})),
        responses={
            "200": answer(
                "The account as it is now.", "UpdateServiceAccountResponse", off=Example("It is off", {**_ACCOUNT, "is_active": False})
            )
        }
        | refusals({400: _MISSING, 404: _NO_ACCOUNT, 409: "There is a service account of this name."}),
    )


def _secrets() -> dict[str, Node]:
    only = "Only of accounts with OAuth credentials. "
    last = "At least one client secret must stay active; deactivate the service account to stop it altogether."
    new = {name: _SECRET[name] for name in ("secret_id", "created_at", "status")} | {"secret": "fgs_…"}
    return {
        "activate-service-account-secret": _of_secret("activate", "Activate a client secret", only + "One that is active stays so."),
        "create-service-account-secret": _of_account(
            "createClientSecret",
            "Create a client secret",
            only + "There are two at most.",
            answer("The secret.", "CreateClientSecretResponse", made=Example("It is made", {"secret": new})),
            "A service account has at most 2 client secrets: delete one before another is made.",
        ),
        "deactivate-service-account-secret": _of_secret(
            "deactivate",
            "Deactivate a client secret",
            only + "Tokens that were given for it are over. One that is not active stays so.",
            last,
        ),
        "delete-service-account-secret": _of_secret(
            "delete", "Delete a client secret that is not active", only, "The client secret must be deactivated before it can be deleted."
        ),
        "list-service-account-secrets": _of_account(
            "listClientSecrets",
            "List client secrets",
            only + "The oldest first, their values masked.",
            answer("All of them.", "ListClientSecretsResponse", one=Example("One", {"clientSecrets": [_SECRET]})),
            "The service account has an API key: only those with OAuth credentials have client secrets.",
        ),
    }


def _of_account(operation_id: str, summary: str, description: str, answered: Node, precondition: str) -> Node:
    return operation(
        operation_id,
        tag=_TAG,
        summary=summary,
        description=description,
        body=request_body("ServiceAccountId", one=Example("An account", {"id": _ID})),
        responses={"200": answered} | refusals({400: _MISSING, 404: _NO_ACCOUNT}, precondition),
    )


def _of_secret(verb: str, summary: str, description: str, precondition: str | None = None) -> Node:
    changed: Any = {"secret": {**_SECRET, "status": "ACTIVE" if verb == "activate" else "INACTIVE"}}
    answered = _done() if verb == "delete" else answer("The secret as it is now.", "ClientSecretResponse", now=Example("One", changed))
    return operation(
        f"{verb}ClientSecret",
        tag=_TAG,
        summary=summary,
        description=description.strip(),
        body=request_body("ClientSecretRef", one=Example("A secret", {"service_account_id": _ID, "secret_id": _SECRET_ID})),
        responses={"200": answered} | refusals({400: "secret_id is missing.", 404: _NO_SECRET}, precondition),
    )


def _done() -> Node:
    return answer("It is done.", "Nothing", done=Example("Done", {}))
