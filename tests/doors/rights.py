"""Who may do what, at every door: one table, and what is asked for each line of it.

    yes   done          no    403, not authorized          404   answered as what is not there          401   no such credential, here

`nobody` stands for everybody whom the gateway does not know: no credential, none that could be one, a key that was never given out, a
deactivated key, a key and a token of deactivated accounts, a token of a deactivated client secret. `conf`: a key of the settings with
every right those can give. `oper` and `cons`: operator and consumer of prod, as viewer, editor and owner are of it. `group`: an editor
through a group. `lab`: the owner of another workspace. `seer` and `lord`: viewer and owner of all workspaces. `bearer`: the admin's API
key, called a Bearer token. `token` and `small`: tokens of an admin and of a consumer of prod. `reader`, `writer` and `manager` have a role
on the scope in question and no other; `maker` made the account in question, `self` is that account.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.access.roles import Action
from gateway.access.scim.resources import GROUP, SERVICE_ACCOUNT, USER
from tests.doors.flights import named, tecton, tecton_batch
from tests.doors.test_ingest import RECORD

PRINCIPALS: Mapping[str, tuple[str, ...]] = {
    "bare": (),
    "viewer": ("prod=viewer",),
    "oper": ("prod=operator",),
    "cons": ("prod=consumer",),
    "editor": ("prod=editor",),
    "owner": ("prod=owner",),
    "group": (),
    "lab": ("lab=owner",),
    "seer": ("viewer",),
    "lord": ("owner",),
    "admin": ("admin",),
    "reader": ("secrets/etl=secret_scope_reader",),
    "writer": ("secrets/etl=secret_scope_writer",),
    "manager": ("secrets/etl=secret_scope_manager",),
    "maker": (),
    "self": (),
}
"""The accounts with an API key, and their roles."""

GRID = """
               nobody conf bare viewer oper cons editor owner group lab seer lord admin bearer token small reader writer manager maker self
open           yes    yes  yes  yes    yes  yes  yes    yes   yes   yes yes  yes  yes   yes    yes   yes   yes    yes    yes     yes   yes
read           401    yes  no   no     no   yes  yes    yes   yes   no  no   yes  yes   401    yes   yes   no     no     no      no    no
ingest         401    yes  no   no     no   no   yes    yes   yes   no  no   yes  yes   401    401   401   no     no     no      no    no
ingest dry     401    yes  no   yes    yes  yes  yes    yes   yes   no  yes  yes  yes   401    401   401   no     no     no      no    no
purge          401    yes  no   no     yes  no   yes    yes   yes   no  no   yes  yes   401    yes   no    no     no     no      no    no
purge all      401    yes  no   no     no   no   no     no    no    no  no   yes  yes   401    yes   no    no     no     no      no    no
metrics        401    yes  no   no     no   no   no     no    no    no  yes  yes  yes   401    401   401   no     no     no      no    no
console        401    yes  no   no     no   no   no     no    no    no  yes  yes  yes   401    401   401   no     no     no      no    no
try it         401    yes  no   no     no   no   no     no    no    no  no   yes  yes   401    401   401   no     no     no      no    no
console audit  401    no   no   no     no   no   no     no    no    no  no   no   yes   401    401   401   no     no     no      no    no
audit          401    no   no   no     no   no   no     no    no    no  no   no   yes   401    yes   no    no     no     no      no    no
scim           401    no   no   no     no   no   no     no    no    no  no   no   yes   yes    yes   no    no     no     no      no    no
make account   401    no   no   no     no   no   no     yes   no    yes no   yes  yes   401    yes   no    no     no     no      no    no
manage account 401    no   404  404    404  404  404    404   404   404 404  404  yes   401    yes   404   404    404    404     yes   no
look about     401    no   yes  yes    yes  yes  yes    yes   yes   yes yes  yes  yes   401    yes   yes   yes    yes    yes     yes   yes
roles in prod  401    no   no   no     no   no   no     yes   no    no  no   yes  yes   401    yes   no    no     no     no      no    no
make scope     401    no   no   no     no   no   yes    yes   yes   yes no   yes  yes   401    yes   no    no     no     no      no    no
manage scope   401    no   no   no     no   no   no     no    no    no  no   no   yes   401    yes   no    no     no     yes     no    no
read secrets   401    no   no   no     no   no   no     no    no    no  no   no   no    401    no    no    yes    yes    yes     no    no
write secrets  401    no   no   no     no   no   no     no    no    no  no   no   no    401    no    no    no     yes    yes     no    no
token          401    401  401  401    401  401  401    401   401   401 401  401  401   401    401   401   401    401    401     401   401
"""
_COLUMNS, *_LINES = GRID.strip("\n").splitlines()
COLUMNS = tuple(_COLUMNS.split())
NAME_WIDTH = len(_COLUMNS) - len(_COLUMNS.lstrip())
RIGHTS: Mapping[str, Mapping[str, str]] = {
    line[:NAME_WIDTH].strip(): dict(zip(COLUMNS, line[NAME_WIDTH:].split(), strict=True)) for line in _LINES
}


class Things:
    """What requests are made of. Each is a new one, unless its name says otherwise."""

    def __init__(self, make: Callable[[str], str], who: str) -> None:
        self._make = make
        self._who = who

    def new(self, what: str) -> str:
        """The id of a new `account`, `oauth`, `inactive`, `user`, `group`, `scope` or `secret`, or a `name` that nothing has."""
        return self._make(what)

    def account(self, what: str) -> str:
        """The account in question: the one that asks, if it is `self`."""
        return "sa-self" if self._who == "self" else self._make(what)

    def client_secrets(self) -> dict[str, str]:
        """An account and one of its two client secrets, which is not active."""
        account = self.account("oauth")
        return {"service_account_id": account, "secret_id": f"{account}-old"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a route. `line`: of the table. `body`: what is sent, made anew for each who asks. `params`: the kinds of things in the
    path. `done`: the status of one that is done. `action`: what the audit log calls it; None: it is not in there."""

    line: str
    body: Callable[[Things], Any] = lambda _: None
    action: Action | None = None
    params: Mapping[str, str] | None = None
    done: int = 200
    name: str = ""


def sent(body: object) -> Callable[[Things], Any]:
    return lambda _: body


_PROD = {"workspace": "=prod", "feature_service": "=flight_delay"}
_LOCATOR = {"params": {"workspaceName": "prod", "featureServiceName": "flight_delay"}}
_V1 = ("/api/v1/feature-service", "/v1/feature-service")
_V2 = "/api/v2/workspaces/{workspace}/feature-services/{feature_service}"
_NAMED = "/v1/workspaces/{workspace}/feature-services/{feature_service}"
_QUERY = {"params": {**_LOCATOR["params"], "joinKeyMap": {"origin": "JFK"}}}
_ALL = {"everything": True}
_READS: dict[str, list[Ask]] = {
    **{f"POST {prefix}/get-features": [Ask("read", sent(tecton()))] for prefix in _V1},
    **{f"POST {prefix}/get-features-batch": [Ask("read", sent(tecton_batch(tecton()["params"]["joinKeyMap"])))] for prefix in _V1},
    **{f"POST {prefix}/query-features": [Ask("read", sent(_QUERY), done=400)] for prefix in _V1},  # the demo has no wildcards
    **{f"POST {prefix}/metadata": [Ask("read", sent(_LOCATOR))] for prefix in _V1},
    f"POST {_V2}/get-features": [Ask("read", sent(tecton()), params=_PROD)],
    f"POST {_V2}/get-features-batch": [Ask("read", sent(tecton_batch(tecton()["params"]["joinKeyMap"])), params=_PROD)],
    f"GET {_V2}/metadata": [Ask("read", params=_PROD)],
    f"POST {_NAMED}/features": [Ask("read", sent(named()), params=_PROD)],
    f"POST {_NAMED}/features:batch": [Ask("read", sent({"rows": [named()]}), params=_PROD)],
    f"POST {_NAMED}/features:query": [Ask("read", sent({"joinKeys": {"origin": "JFK"}}), params=_PROD, done=400)],
    f"POST {_NAMED}/features:explain": [Ask("read", sent(named()), params=_PROD)],
    f"GET {_NAMED}/schema": [Ask("read", params=_PROD)],
}
_RECORDS = {"workspace_name": "prod", "records": {"flights": [{"record": RECORD}]}}
_WRITES: dict[str, list[Ask]] = {
    **{
        f"POST {path}": [Ask("ingest", sent(_RECORDS)), Ask("ingest dry", sent({**_RECORDS, "dry_run": True}), name="dry")]
        for path in ("/ingest", "/v2/ingest")
    },
    f"POST {_NAMED}/features:purge": [Ask("purge", sent({}), params=_PROD)],
    f"DELETE {_NAMED}/features": [Ask("purge", params=_PROD)],
    "POST /v1/workspaces/{workspace}/features:purge": [Ask("purge", sent(_ALL), params=_PROD)],
    "POST /v1/features:purge": [Ask("purge all", sent(_ALL))],
}
_OPERATIONS: dict[str, list[Ask]] = {
    **{
        f"GET {path}": [Ask("open")]
        for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/docs/page.css", "/docs/page.js", "/oauth2/default/v1/keys")
    },
    **{f"GET /docs/{name}": [Ask("open")] for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")},
    **{f"GET {path}": [Ask("metrics")] for path in ("/metrics", "/v1/slo", "/api/v1/observability/metrics")},
    "GET /v1/audit": [Ask("audit")],
    "POST /oauth2/default/v1/token": [Ask("token", sent(b"grant_type=client_credentials"))],
}
_MANAGE, _DIRECTORY = Action.MANAGE_ACCOUNT, Action.MANAGE_DIRECTORY
_OPERATED: dict[str, Ask] = {
    "create-service-account": Ask(
        "make account",
        lambda new: {"name": new.new("name"), "credentials_type": "SERVICE_ACCOUNT_CREDENTIALS_TYPE_API_KEY"},
        Action.CREATE_ACCOUNT,
    ),
    "delete-service-account": Ask("manage account", lambda new: {"id": new.account("inactive")}, _MANAGE),
    "get-service-account": Ask("look about", sent({})),
    "update-service-account": Ask("manage account", lambda new: {"id": new.account("account"), "description": "other"}, _MANAGE),
}
_ACCOUNTS: dict[str, list[Ask]] = {
    **{
        f"POST {prefix}/{name}": [ask]
        for prefix in ("/api/v1/service-accounts-service", "/api/v1/metadata-service")
        for name, ask in _OPERATED.items()
    },
    "POST /api/v1/service-accounts-service/search-service-accounts": [_OPERATED["get-service-account"]],
    **{
        f"POST /api/v1/service-accounts-service/{verb}-service-account-secret": [Ask("manage account", Things.client_secrets, _MANAGE)]
        for verb in ("activate", "deactivate", "delete")
    },
    "POST /api/v1/service-accounts-service/create-service-account-secret": [
        Ask("manage account", lambda new: {"id": new.account("young oauth")}, _MANAGE)
    ],
    "POST /api/v1/service-accounts-service/list-service-account-secrets": [Ask("manage account", lambda new: {"id": new.account("oauth")})],
}


def _assignments(kind: str, place: str, role: str) -> Callable[[Things], Any]:
    def body(new: Things) -> Any:
        whom = {"principal_type": "PRINCIPAL_TYPE_SERVICE_ACCOUNT", "principal_id": new.new("account")}
        return {"assignments": [{**whom, "resource_type": f"RESOURCE_TYPE_{kind}", "resource_id": place, "role": role}]}

    return body


_IN_PROD, _ON_ETL = _assignments("WORKSPACE", "prod", "viewer"), _assignments("SECRET_SCOPE", "etl", "read_scope_role")
_ROLES: dict[str, list[Ask]] = {
    **{
        f"POST /api/v1/authorization-service/{verb}-roles": [
            Ask("roles in prod", _IN_PROD, Action.ASSIGN_WORKSPACE_ROLES),
            Ask("manage scope", _ON_ETL, Action.ASSIGN_SCOPE_ROLES, name="on a scope"),
        ]
        for verb in ("assign", "unassign")
    },
    "POST /api/v1/authorization-service/list-assigned-principals": [
        Ask("roles in prod", sent({"resource_type": "RESOURCE_TYPE_WORKSPACE", "resource_id": "prod"})),
        Ask("manage scope", sent({"resource_type": "RESOURCE_TYPE_SECRET_SCOPE", "resource_id": "etl"}), name="on a scope"),
    ],
    "POST /api/v1/authorization-service/list-assigned-roles": [
        Ask(
            "look about",
            sent({"principal_type": "PRINCIPAL_TYPE_USER", "principal_id": "u", "resource_type": "RESOURCE_TYPE_WORKSPACE"}),
        )
    ],
}
_SCOPES = "/api/v1/secrets-service/scopes"
_IN_ETL, _ETL = {"scope": "=etl"}, {"scope": "=etl", "key": "secret"}
_SECRETS: dict[str, list[Ask]] = {
    f"GET {_SCOPES}": [Ask("look about")],
    f"POST {_SCOPES}/{{scope}}": [Ask("make scope", action=Action.CREATE_SCOPE, params={"scope": "name"})],
    f"DELETE {_SCOPES}/{{scope}}": [Ask("manage scope", action=Action.DELETE_SCOPE, params={"scope": "scope"})],
    f"GET {_SCOPES}/{{scope}}/keys": [Ask("read secrets", params=_IN_ETL)],
    f"GET {_SCOPES}/{{scope}}/keys/{{key}}": [Ask("read secrets", action=Action.READ_SECRET, params=_ETL)],
    f"PUT {_SCOPES}/{{scope}}/keys/{{key}}": [Ask("write secrets", sent({"value": "v"}), Action.WRITE_SECRET, _ETL)],
    f"DELETE {_SCOPES}/{{scope}}/keys/{{key}}": [Ask("write secrets", action=Action.DELETE_SECRET, params=_ETL)],
}
_SCIM = "/api/scim/v2"
_KINDS: dict[str, tuple[str, Callable[[Things], dict[str, Any]]]] = {
    "Users": ("user", lambda new: {"schemas": [USER], "userName": new.new("name")}),
    "Groups": ("group", lambda new: {"schemas": [GROUP], "displayName": new.new("name")}),
    "ServiceAccounts": ("account", lambda new: {"schemas": [SERVICE_ACCOUNT], "name": new.new("name")}),
}
_PATCH = {"Operations": [{"op": "replace", "path": "externalId", "value": "x"}]}
_RESOURCES: dict[str, list[Ask]] = {
    route: [ask]
    for endpoint, (what, body) in _KINDS.items()
    for one in [f"{_SCIM}/{endpoint}/{{id}}"]
    for route, ask in {
        f"GET {_SCIM}/{endpoint}": Ask("scim"),
        f"POST {_SCIM}/{endpoint}": Ask("scim", body, _DIRECTORY, done=201),
        f"POST {_SCIM}/{endpoint}/.search": Ask("scim", sent({"count": 1})),
        f"GET {one}": Ask("scim", params={"id": what}),
        f"PUT {one}": Ask("scim", body, _DIRECTORY, {"id": what}),
        f"PATCH {one}": Ask("scim", sent(_PATCH), _DIRECTORY, {"id": what}),
        f"DELETE {one}": Ask("scim", action=_DIRECTORY, params={"id": what}, done=204),
    }.items()
}
_DISCOVERY: dict[str, list[Ask]] = {
    **{f"GET {_SCIM}/{name}": [Ask("scim")] for name in ("ServiceProviderConfig", "ResourceTypes", "Schemas")},
    f"GET {_SCIM}/ResourceTypes/{{id}}": [Ask("scim", params={"id": "=User"})],
    f"GET {_SCIM}/Schemas/{{id}}": [Ask("scim", params={"id": f"={USER}"})],
    f"POST {_SCIM}/.search": [Ask("scim", sent({"count": 1}))],
}
_SERVICE_PAGE = "/console/services/{workspace}/{feature_service}"
_TRIED = b"join.origin=JFK&join.dest=LAX&join.carrier=AA&join.tailnum=N338AA&context.planned_air_time=330"
_CONSOLE: dict[str, list[Ask]] = {
    **{f"GET /console{page}": [Ask("console")] for page in ("", "/live.json", "/services", "/savings", "/errors")},
    f"GET {_SERVICE_PAGE}": [Ask("console", params=_PROD)],
    f"GET {_SERVICE_PAGE}/try": [Ask("try it", params=_PROD)],
    f"POST {_SERVICE_PAGE}/try": [Ask("try it", sent(_TRIED), params=_PROD)],
    "GET /console/audit": [Ask("console audit")],
    "GET /console/sign-in": [Ask("open")],
    "POST /console/sign-in": [Ask("token", sent(b"key=of+nobody"))],
    "POST /console/sign-out": [Ask("open", done=303)],
    **{f"GET /console/{name}": [Ask("open")] for name in ("console.css", "console.js", "focus.js", "theme.js", "favicon-32x32.png")},
    **{f"GET /console/{name}": [Ask("open")] for name in ("uPlot.iife.min.js", "uPlot.min.css")},
}
ROUTES: Mapping[str, list[Ask]] = _READS | _WRITES | _OPERATIONS | _CONSOLE | _ACCOUNTS | _ROLES | _SECRETS | _RESOURCES | _DISCOVERY
"""Every method of every route, with what is asked of it."""
