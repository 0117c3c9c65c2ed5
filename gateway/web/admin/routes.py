"""The administrative doors, in the order they are tried.

audit          GET /v1/audit
authorization  POST /api/v1/authorization-service/{assign-roles, unassign-roles, list-assigned-principals, list-assigned-roles}
secrets        GET /api/v1/secrets-service/scopes, POST and DELETE …/scopes/{scope}, GET …/{scope}/keys, GET, PUT and DELETE …/keys/{key}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.administration import Administration
from gateway.access.gates import KeyTable
from gateway.access.vault import SecretVault
from gateway.web.admin.audit import ReadAudit
from gateway.web.admin.authorization import AuthorizationService
from gateway.web.admin.door import AdminDoor, Operation
from gateway.web.admin.secrets import SecretsService

AUTHORIZATION = "/api/v1/authorization-service"
SCOPES = "/api/v1/secrets-service/scopes"


@dataclass(frozen=True, slots=True)
class Offices:
    """What the administrative doors open into."""

    gate: KeyTable
    administration: Administration
    vault: SecretVault
    max_body_bytes: int


class ByMethod:
    """One path, several doors."""

    def __init__(self, doors: Mapping[str, ASGIApp]) -> None:
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._doors["GET" if scope["method"] == "HEAD" else scope["method"]](scope, receive, send)


def admin_routes(offices: Offices) -> Sequence[BaseRoute]:
    def door(method: str, path: str, operation: Operation) -> Route:
        return Route(path, AdminDoor(offices.gate, operation, offices.max_body_bytes), methods=[method])

    def doors(path: str, **operations: Operation) -> Route:
        by_method = {method: AdminDoor(offices.gate, operation, offices.max_body_bytes) for method, operation in operations.items()}
        return Route(path, ByMethod(by_method), methods=list(by_method))

    authorization = AuthorizationService(offices.administration)
    secrets = SecretsService(offices.administration, offices.vault)
    return [
        door("GET", "/v1/audit", ReadAudit(offices.administration)),
        door("POST", f"{AUTHORIZATION}/assign-roles", authorization.assign),
        door("POST", f"{AUTHORIZATION}/unassign-roles", authorization.unassign),
        door("POST", f"{AUTHORIZATION}/list-assigned-principals", authorization.list_principals),
        door("POST", f"{AUTHORIZATION}/list-assigned-roles", authorization.list_roles),
        door("GET", SCOPES, secrets.list_scopes),
        doors(f"{SCOPES}/{{scope}}", POST=secrets.create_scope, DELETE=secrets.delete_scope),
        door("GET", f"{SCOPES}/{{scope}}/keys", secrets.list_secrets),
        doors(f"{SCOPES}/{{scope}}/keys/{{key}}", GET=secrets.read_secret, PUT=secrets.put_secret, DELETE=secrets.delete_secret),
    ]
