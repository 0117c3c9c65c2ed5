"""Every door, tried by everybody: what each may and may not, as the table in `rights` says; and what may not be leaves no trace but in the
audit log."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from starlette.routing import Route

from gateway.web.admin.authorization import ROLES
from gateway.web.admin.routes import ACCOUNTS_TOO, AUTHORIZATION, SCOPES
from tests.doors.rights import COLUMNS, RIGHTS, ROUTES, Ask
from tests.doors.stage import Stage, open_stage

ROWS = [pytest.param(route, ask, id=f"{route} {ask.name}".rstrip()) for route, asks in ROUTES.items() for ask in asks]
UNKNOWN = ("none", "garbage", "new", "retired", "inactive", "stale-token", "spent-token")
STATUS = {"no": 403, "404": 404, "401": 401}


@pytest.fixture(scope="module")
def stage(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(demo_dir, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


def test_every_method_of_every_route_is_in_the_table(stage: Stage) -> None:
    routes = stage.house.app.routes
    assert all(isinstance(route, Route) for route in routes)
    methods = {f"{method} {route.path}" for route in routes if isinstance(route, Route) for method in route.methods or ()}
    assert {one for one in methods if not one.startswith("HEAD ")} == ROUTES.keys()
    assert {one.replace("HEAD ", "GET ") for one in methods if one.startswith("HEAD ")} == {one for one in ROUTES if one.startswith("GET ")}
    assert {ask.line for asks in ROUTES.values() for ask in asks} == RIGHTS.keys()


@pytest.mark.parametrize(("route", "ask"), ROWS)
def test_everybody_may_what_the_table_says_and_nothing_else(stage: Stage, route: str, ask: Ask) -> None:
    cells = {who: RIGHTS[ask.line][who] for who in COLUMNS if who != "nobody"} | dict.fromkeys(UNKNOWN, RIGHTS[ask.line]["nobody"])
    once = cache(stage.make)  # whoever may not do it leaves it to the next as it was
    refused = {who: stage.request(who, route, ask, once) for who, cell in cells.items() if cell != "yes"}
    before, told = stage.kept(), len(stage.written_down())
    statuses = {who: stage.send(who, request) for who, request in refused.items()}
    assert statuses == {who: STATUS[cells[who]] for who in refused}
    assert stage.kept() == before
    denied = [(f"sa-{who}", ask.action, "denied") for who in refused if ask.action is not None and cells[who] != "401" and who != "conf"]
    assert stage.written_down()[told:] == denied
    for who in cells.keys() - refused.keys():
        request, told = stage.request(who, route, ask), len(stage.written_down())
        assert stage.send(who, request) == ask.done, (who, request.content)
        actor = "sa-admin" if who == "bearer" else f"sa-{who}"
        assert stage.written_down()[told:] == ([(actor, ask.action, "done")] if ask.action is not None else [])


@pytest.mark.parametrize(
    ("who", "accounts", "scopes", "roles"),
    [
        ("bare", {"bare"}, set(), set()),
        ("lord", {"lord"}, set(), {"prod"}),
        ("owner", {"owner"}, set(), {"prod"}),
        ("lab", {"lab"}, set(), set()),
        ("reader", {"reader"}, {"etl"}, set()),
        ("maker", {"maker", "account"}, set(), set()),
        ("small", {"small"}, set(), set()),
        ("admin", {"admin", "bare", "account", "root", "retired"}, {"etl"}, {"prod"}),
    ],
)
def test_whoever_looks_about_is_shown_what_is_theirs(stage: Stage, who: str, accounts: set[str], scopes: set[str], roles: set[str]) -> None:
    """`roles`: in which workspaces it is told what a viewer holds."""
    stage.make("account")
    listed = stage.told(who, "POST", f"{ACCOUNTS_TOO}/get-service-account", {})["service_accounts"]
    found = {one["name"].partition("-")[0] for one in listed} - {"name", "oauth", "inactive", "young"}  # of other tests
    assert found == accounts if who != "admin" else found > accounts
    assert scopes == {one["name"] for one in stage.told(who, "GET", SCOPES)["scopes"]} & {"etl"}
    asked = {"principal_type": "PRINCIPAL_TYPE_SERVICE_ACCOUNT", "principal_id": "sa-viewer", "resource_type": "RESOURCE_TYPE_WORKSPACE"}
    shown = stage.told(who, "POST", f"{AUTHORIZATION}/list-assigned-roles", asked)["assignments"]
    assert roles == {one["resource_id"] for one in shown}


PLACES = {"workspace": ("prod", "lab", "lord"), "secret_scope": ("etl", "other")}
GIVERS: Mapping[str, set[str]] = {
    "owner": {"prod"},
    "lab": {"lab"},
    "lord": {"prod", "lab", "lord"},
    "manager": {"etl"},
    "admin": {"prod", "lab", "lord", "etl", "other"},
    **{who: set() for who in ("bare", "viewer", "editor", "seer", "reader", "writer", "maker", "small")},
}
"""Who may give roles where."""


@pytest.mark.parametrize("who", GIVERS)
def test_nobody_gives_more_than_they_may(stage: Stage, who: str) -> None:
    """Every role in every place, each in a request by itself; then all of those that may not be given, beside one that may."""
    stage.send_plainly("admin", "POST", f"{SCOPES}/other")
    account, before = stage.make("account"), stage.kept()["role_assignment"]
    asked = [
        {
            "principal_type": "PRINCIPAL_TYPE_SERVICE_ACCOUNT",
            "principal_id": account,
            "resource_type": f"RESOURCE_TYPE_{kind.upper()}",
            "resource_id": place,
            "role": role,
        }
        for kind, places in PLACES.items()
        for place in places
        for role in ROLES[kind]
    ]
    path = f"{AUTHORIZATION}/assign-roles"
    given = [one for one in asked if stage.send_plainly(who, "POST", path, json={"assignments": [one]}).status_code == 200]
    assert given == [one for one in asked if one["resource_id"] in GIVERS[who]]
    after = stage.kept()["role_assignment"]
    added = {(kind, place) for _, principal, kind, place, _ in set(after) - set(before) if principal == account}
    assert added == {(kind, place) for kind, places in PLACES.items() for place in places if place in GIVERS[who]}
    assert len(after) - len(before) == len(given)
    for one in asked:
        if one not in given:
            beside = [two for two in given if two["resource_type"] == one["resource_type"]][:1]
            assert stage.send_plainly(who, "POST", path, json={"assignments": [*beside, one]}).status_code == 403
    assert stage.kept()["role_assignment"] == after


@pytest.mark.parametrize("route", [route for route in ROUTES if route.startswith("GET ")])
def test_head_is_judged_as_get_is(stage: Stage, route: str) -> None:
    [ask] = ROUTES[route]
    for who in ("none", "bare", "reader", "admin", "small"):
        got, headed = (stage.send(who, stage.request(who, f"{method} {route[4:]}", ask)) for method in ("GET", "HEAD"))
        assert got == headed, who
