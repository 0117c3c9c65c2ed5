"""The administrative doors, in the order they are tried.

audit          GET /v1/audit
accounts       POST /api/v1/metadata-service/{create,delete,get,update}-service-account            (`auth.paths`; also under the next)
secrets of     POST /api/v1/service-accounts-service/{activate,create,deactivate,delete}-service-account-secret,
 accounts           …/list-service-account-secrets                                                 (`auth.paths`)
tokens         POST /oauth2/default/v1/token, GET /oauth2/default/v1/keys
scim           GET, POST /api/scim/v2/{Users, Groups, ServiceAccounts}, POST …/.search, GET, PUT, PATCH, DELETE …/{id},
               GET /api/scim/v2/{ServiceProviderConfig, ResourceTypes, Schemas}
authorization  POST /api/v1/authorization-service/{assign-roles, unassign-roles, list-assigned-principals, list-assigned-roles}
secrets        GET /api/v1/secrets-service/scopes, POST and DELETE …/scopes/{scope}, GET …/{scope}/keys, GET, PUT and DELETE …/keys/{key}
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route

from gateway.access.administration import Administration
from gateway.access.gates import KeyTable
from gateway.access.issuing import TokenIssuer
from gateway.access.vault import SecretVault
from gateway.settings import Paths
from gateway.web.admin.accounts import AccountOperations
from gateway.web.admin.audit import ReadAudit
from gateway.web.admin.authorization import AuthorizationService
from gateway.web.admin.door import AdminDoor, ByMethod, Operation
from gateway.web.admin.scim_doors import Operations, scim_routes
from gateway.web.admin.secrets import SecretsService
from gateway.web.admin.tokens import KEYS_PATH, PATH, GiveToken, ShowKeys

ACCOUNTS_TOO = "/api/v1/service-accounts-service"
"""Where newer releases of the service are thought to have the operations on accounts; also by their newer name."""
AUTHORIZATION = "/api/v1/authorization-service"
SCOPES = "/api/v1/secrets-service/scopes"


@dataclass(frozen=True, slots=True)
class Offices:
    """What the administrative doors open into."""

    gate: KeyTable
    administration: Administration
    vault: SecretVault
    max_body_bytes: int
    tokens: TokenIssuer
    paths: Paths
    scim_roles: bool = True


def admin_routes(offices: Offices) -> Sequence[BaseRoute]:
    def door(method: str, path: str, operation: Operation) -> Route:
        return Route(path, AdminDoor(offices.gate, operation, offices.max_body_bytes), methods=[method])

    accounts = AccountOperations(offices.administration)
    return [
        door("GET", "/v1/audit", ReadAudit(offices.administration)),
        *[door("POST", path, operation) for path, operation in account_paths(accounts, offices.paths).items()],
        Route(PATH, GiveToken(offices.tokens, offices.max_body_bytes), methods=["POST"]),
        Route(KEYS_PATH, ShowKeys(offices.tokens), methods=["GET"]),
        *secrets_routes(offices),
        *scim_routes(offices.gate, offices.max_body_bytes, lambda: load_scim(offices)),
    ]


def load_scim(offices: Offices) -> Operations:
    from gateway.web.admin.scim import ScimOffice, operations  # noqa: PLC0415 - two thirds of a second, for whoever asks for it

    return operations(ScimOffice(offices.administration, offices.scim_roles))


def secrets_routes(offices: Offices) -> Sequence[BaseRoute]:
    """The Secrets service, and the Authorization service that gives roles on its scopes."""

    def doors(path: str, **operations: Operation) -> Route:
        by_method = {method: AdminDoor(offices.gate, operation, offices.max_body_bytes) for method, operation in operations.items()}
        return Route(path, ByMethod(by_method), methods=list(by_method))

    authorization = AuthorizationService(offices.administration)
    secrets = SecretsService(offices.administration, offices.vault)
    return [
        doors(f"{AUTHORIZATION}/assign-roles", POST=authorization.assign),
        doors(f"{AUTHORIZATION}/unassign-roles", POST=authorization.unassign),
        doors(f"{AUTHORIZATION}/list-assigned-principals", POST=authorization.list_principals),
        doors(f"{AUTHORIZATION}/list-assigned-roles", POST=authorization.list_roles),
        doors(SCOPES, GET=secrets.list_scopes),
        doors(f"{SCOPES}/{{scope}}", POST=secrets.create_scope, DELETE=secrets.delete_scope),
        doors(f"{SCOPES}/{{scope}}/keys", GET=secrets.list_secrets),
        doors(f"{SCOPES}/{{scope}}/keys/{{key}}", GET=secrets.read_secret, PUT=secrets.put_secret, DELETE=secrets.delete_secret),
    ]


def account_paths(accounts: AccountOperations, paths: Paths) -> dict[str, Operation]:
    """The Service Accounts service by path, each once."""
    named = {f"{prefix}/{name}": one for prefix in (ACCOUNTS_TOO, paths.service_accounts) for name, one in accounts.by_name().items()}
    named[f"{ACCOUNTS_TOO}/search-service-accounts"] = accounts.search
    return named | {f"{paths.service_account_secrets}/{name}": one for name, one in accounts.secrets_by_name().items()}
