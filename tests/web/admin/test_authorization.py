"""The Authorization service, through the door: roles are given, taken back and told, by whom it is allowed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.store.tables import Group, Membership, User
from gateway.administering import open_file
from tests.harness.callers import Callers, calling
from tests.harness.houses import READER
from tests.harness.offices import open_offices

SERVICE = "/api/v1/authorization-service"
SCOPES = "/api/v1/secrets-service/scopes"
SCOPE = "RESOURCE_TYPE_SECRET_SCOPE"
DIRECT = {"assignment_type": "ROLE_ASSIGNMENT_TYPE_DIRECT"}
THROUGH = {
    "assignment_type": "ROLE_ASSIGNMENT_TYPE_FROM_PRINCIPAL_GROUP",
    "principal_group_name": "data engineers",
    "principal_group_id": "g1",
}


@pytest.fixture(scope="module")
def opened(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder = tmp_path_factory.mktemp("access")
    database = open_file(folder)
    database.migrate()
    times = {"created_us": 0, "updated_us": 0}

    def work(session: Any) -> None:
        session.add(User(id="u1", user_name="ada@example.org", given_name="Ada", family_name="L", **times))
        session.add(Group(id="g1", display_name="data engineers", idp_mapping_names="[]", **times))
        session.flush()
        session.add(Membership(group_id="g1", member_kind="user", member_id="u1"))
        session.add(Membership(group_id="g1", member_kind="service_account", member_id="sa-member"))

    database.transact(work)
    database.close()
    names = ("manager", "reader", "member", "nobody")
    principals = (("root", "admin"), ("owner", "prod=owner"), ("editor", "prod=editor"), *((name,) for name in names))
    with open_offices(demo_dir, folder, *principals) as (house, keys), calling(house, keys) as callers:
        yield callers


@pytest.fixture
def offices(opened: Callers) -> Callers:
    """Two scopes, `etl` and `ml`, in which nobody has a role, and `manager` manages `etl`."""
    for scope in ("etl", "ml"):
        opened.ask("root", "DELETE", f"{SCOPES}/{scope}")
        assert opened.ask("root", "POST", f"{SCOPES}/{scope}").status_code == 200
        assert ask(opened, "root", "unassign-roles", given("sa-root", "manage_scope_role", scope)).status_code == 200
    assert ask(opened, "root", "assign-roles", given("sa-manager", "manage_scope_role")).status_code == 200
    return opened


def one(principal: str, role: str, place: str = "etl", kind: str = "SERVICE_ACCOUNT", resource: str = SCOPE) -> dict[str, str]:
    return {
        "resource_type": resource,
        "resource_id": place,
        "role": role,
        "principal_type": f"PRINCIPAL_TYPE_{kind}",
        "principal_id": principal,
    }


def given(principal: str, role: str, place: str = "etl", kind: str = "SERVICE_ACCOUNT") -> dict[str, Any]:
    return {"assignments": [one(principal, role, place, kind)]}


def about(principal: str, kind: str = "SERVICE_ACCOUNT", **more: Any) -> dict[str, Any]:
    return {"principal_type": f"PRINCIPAL_TYPE_{kind}", "principal_id": principal, "resource_type": SCOPE, **more}


def ask(offices: Callers, who: str | None, operation: str, body: object) -> httpx.Response:
    return offices.ask(who, "POST", f"{SERVICE}/{operation}", body)


def principals(offices: Callers, place: str = "etl", **chosen: Any) -> Any:
    answer = ask(offices, "root", "list-assigned-principals", {"resource_type": SCOPE, "resource_id": place, **chosen})
    assert answer.status_code == 200, answer.text
    return answer.json()["assignments"]


def holders(offices: Callers, place: str = "etl") -> list[tuple[str, str]]:
    """Ids of service accounts, users and groups, with the roles that they hold."""
    held: list[tuple[str, str]] = []
    for told in principals(offices, place):
        [(_, principal)] = told["principal"].items()
        identity = principal.get("id") or principal.get("okta_id") or principal["name"]
        held += [(identity, role["role"]) for role in told["role_assignments"][0]["roles_granted"]]
    return sorted(held)


def test_a_role_opens_a_scope_until_it_is_taken_back(offices: Callers) -> None:
    secret = f"{SCOPES}/etl/keys/a"
    assert offices.ask("manager", "PUT", secret, {"value": "1"}).status_code == 200
    assert offices.ask("reader", "GET", secret).status_code == 403
    for _ in range(2):
        assert ask(offices, "manager", "assign-roles", given("sa-reader", "read_scope_role")).json() == {}
    assert offices.ask("reader", "GET", secret).json() == {"value": "1"}
    for _ in range(2):
        assert ask(offices, "manager", "unassign-roles", given("sa-reader", "read_scope_role")).json() == {}
    assert offices.ask("reader", "GET", secret).status_code == 403
    assert offices.ask("manager", "DELETE", secret).status_code == 200


def test_a_scopes_principals_are_told_with_how_they_came_to_it(offices: Callers) -> None:
    everything = {
        "assignments": [
            one("g1", "write_scope_role", kind="GROUP"),
            one("u1", "read_scope_role", kind="USER"),
            one("prod", "read_scope_role", kind="WORKSPACE"),
        ]
    }
    assert ask(offices, "manager", "assign-roles", everything).status_code == 200

    def held(*roles: tuple[str, dict[str, str]]) -> list[dict[str, Any]]:
        granted = [{"role": role, "role_assignment_sources": [source]} for role, source in roles]
        return [{"resource_type": SCOPE, "resource_id": "etl", "roles_granted": granted}]

    def account(name: str) -> dict[str, Any]:
        return {"service_account": {"id": f"sa-{name}", "name": name, "description": "", "is_active": True}}

    ada = {"user": {"okta_id": "u1", "first_name": "Ada", "last_name": "L", "login_email": "ada@example.org"}}
    assert principals(offices) == [
        {"principal": {"group": {"id": "g1", "name": "data engineers"}}, "role_assignments": held(("write_scope_role", DIRECT))},
        {"principal": account("manager"), "role_assignments": held(("manage_scope_role", DIRECT))},
        {"principal": account("member"), "role_assignments": held(("write_scope_role", THROUGH))},
        {"principal": ada, "role_assignments": held(("read_scope_role", DIRECT), ("write_scope_role", THROUGH))},
        {"principal": {"workspace": {"name": "prod"}}, "role_assignments": held(("read_scope_role", DIRECT))},
    ]
    chosen = principals(offices, roles=["write_scope_role"], principalTypes=["PRINCIPAL_TYPE_USER"])
    assert chosen == [{"principal": ada, "role_assignments": held(("write_scope_role", THROUGH))}]
    assert principals(offices, roles=[], principal_types=None) == principals(offices)


def test_a_groups_member_may_what_the_group_may(offices: Callers) -> None:
    assert ask(offices, "manager", "assign-roles", given("g1", "write_scope_role", kind="GROUP")).status_code == 200
    assert offices.ask("member", "PUT", f"{SCOPES}/etl/keys/a", {"value": "1"}).status_code == 200
    assert offices.ask("member", "DELETE", f"{SCOPES}/etl/keys/a").status_code == 200
    told = ask(offices, "member", "list-assigned-roles", about("sa-member")).json()
    [scope] = told["assignments"]
    assert scope["roles_granted"] == [{"role": "write_scope_role", "role_assignment_sources": [THROUGH]}]


def test_a_principals_roles_are_told_to_itself_and_to_those_who_may_give_them(offices: Callers) -> None:
    for scope in ("etl", "ml"):
        assert ask(offices, "root", "assign-roles", given("sa-reader", "read_scope_role", scope)).status_code == 200

    def seen(who: str, **more: Any) -> list[str]:
        answer = ask(offices, who, "list-assigned-roles", about("sa-reader", **more))
        assert answer.status_code == 200
        return [told["resource_id"] for told in answer.json()["assignments"]]

    assert seen("root") == seen("reader") == ["etl", "ml"]
    assert seen("manager") == ["etl"]
    assert seen("nobody") == []
    assert seen("reader", resourceIds=["ml", "absent"]) == ["ml"]
    assert seen("reader", roles=["write_scope_role"]) == []
    assert seen("reader", roles=["write_scope_role", "read_scope_role"]) == ["etl", "ml"]
    assert ask(offices, "root", "list-assigned-roles", about("absent")).json() == {"assignments": []}


@pytest.mark.parametrize("operation", ["assign-roles", "unassign-roles", "list-assigned-principals"])
@pytest.mark.parametrize(("who", "status"), [("reader", 403), ("nobody", 403), ("editor", 403), (READER, 403), (None, 401)])
def test_nobody_else_gives_takes_or_sees(offices: Callers, operation: str, who: str | None, status: int) -> None:
    ask(offices, "root", "assign-roles", given("sa-reader", "write_scope_role"))
    place = {"resource_type": SCOPE, "resource_id": "etl"}
    before = holders(offices)
    body = place if operation.startswith("list") else given("sa-nobody", "read_scope_role")
    assert ask(offices, who, operation, body).status_code == status
    assert holders(offices) == before


@pytest.mark.parametrize("operation", ["assign-roles", "unassign-roles", "list-assigned-principals"])
def test_whether_a_scope_exists_is_told_to_those_who_may_see_it(offices: Callers, operation: str) -> None:
    def answered(who: str, scope: str) -> tuple[int, str]:
        body = (
            {"resource_type": SCOPE, "resource_id": scope} if operation.startswith("list") else given("sa-reader", "read_scope_role", scope)
        )
        answer = ask(offices, who, operation, body)
        return answer.status_code, answer.text

    assert answered("root", "absent")[0] == 404
    assert answered("nobody", "absent") == answered("nobody", "etl")


@pytest.mark.parametrize(
    "wrong",
    [
        one("absent", "read_scope_role"),
        one("absent", "read_scope_role", kind="USER"),
        one("sa-reader", "read_scope_role", kind="GROUP"),
        one("sa-reader", "read_scope_role", "absent"),
        one("sa-reader", "read_scope_role", "ml"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_all_of_a_requests_assignments_are_made_or_none(offices: Callers, wrong: dict[str, str], *, first: bool) -> None:
    right = one("sa-reader", "read_scope_role")
    before = holders(offices), holders(offices, "ml")
    answer = ask(offices, "manager", "assign-roles", {"assignments": [wrong, right] if first else [right, wrong]})
    assert answer.status_code == (403 if wrong["resource_id"] != "etl" else 404)
    assert (holders(offices), holders(offices, "ml")) == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"assignments": None},
        {"assignments": []},
        {"assignments": {}},
        {"assignments": [7]},
        {"assignments": [one("sa-reader", "read_scope_role")] * 101},
        given("sa-reader", "secret_scope_reader"),
        given("sa-reader", "owner"),
        given("sa-reader", "read_scope_role", kind="ROBOT"),
        given("sa-reader", "read_scope_role", "a/b"),
        given("", "read_scope_role"),
        given("sa\nreader", "read_scope_role"),
        {"assignments": [{**one("sa-reader", "read_scope_role"), "resource_type": "RESOURCE_TYPE_SERVICE_ACCOUNT"}]},
        {"assignments": [{**one("sa-reader", "read_scope_role"), "resourceType": SCOPE}]},
        {"assignments": [{**one("sa-reader", "read_scope_role"), "principal_id": 7}]},
        {"assignments": [{name: value for name, value in one("sa-reader", "read_scope_role").items() if name != "role"}]},
        {"assignments": [one("sa-reader", "read_scope_role"), one("sa-reader", "viewer", "prod", resource="RESOURCE_TYPE_WORKSPACE")]},
        {"assignments": [one("prod", "viewer", "dev", "WORKSPACE", "RESOURCE_TYPE_WORKSPACE")]},
    ],
)
@pytest.mark.parametrize("operation", ["assign-roles", "unassign-roles"])
def test_what_cannot_be_understood_is_refused(opened: Callers, operation: str, body: object) -> None:
    answer = ask(opened, "root", operation, body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("list-assigned-principals", {"resource_type": SCOPE}),
        ("list-assigned-principals", {"resource_id": "etl"}),
        ("list-assigned-principals", {"resource_type": SCOPE, "resource_id": "etl", "roles": ["owner"]}),
        ("list-assigned-principals", {"resource_type": SCOPE, "resource_id": "etl", "principal_types": ["USER"]}),
        ("list-assigned-principals", {"resource_type": SCOPE, "resource_id": "etl", "principal_types": "PRINCIPAL_TYPE_USER"}),
        ("list-assigned-roles", {"principal_type": "PRINCIPAL_TYPE_USER", "principal_id": "u1"}),
        ("list-assigned-roles", {"principal_type": "USER", "principal_id": "u1", "resource_type": SCOPE}),
        ("list-assigned-roles", {"principal_type": "PRINCIPAL_TYPE_USER", "principal_id": "u1", "resource_type": "SCOPE"}),
        (
            "list-assigned-roles",
            {"principal_type": "PRINCIPAL_TYPE_USER", "principal_id": "u1", "resource_type": SCOPE, "roles": ["viewer"]},
        ),
    ],
)
def test_a_question_that_cannot_be_understood_is_refused(opened: Callers, operation: str, body: object) -> None:
    assert ask(opened, "root", operation, body).status_code == 400


def test_both_spellings_and_unknown_fields_are_taken(offices: Callers) -> None:
    spelled = {
        "resourceType": SCOPE,
        "resource_id": "etl",
        "role": "read_scope_role",
        "principalType": "PRINCIPAL_TYPE_SERVICE_ACCOUNT",
        "principal_id": "sa-reader",
        "reason": "because",
    }
    assert ask(offices, "root", "assign-roles", {"assignments": [spelled], "more": 1}).json() == {}
    assert ("sa-reader", "read_scope_role") in holders(offices)


@pytest.mark.parametrize(("who", "status"), [("root", 200), ("owner", 200), ("editor", 403), ("manager", 403)])
def test_owners_give_roles_in_their_workspace(offices: Callers, who: str, status: int) -> None:
    body = {"assignments": [one("sa-nobody", "consumer", "prod", resource="RESOURCE_TYPE_WORKSPACE")]}
    assert ask(offices, who, "assign-roles", body).status_code == status
    schema = offices.ask("nobody", "GET", "/v1/workspaces/prod/feature-services/flight_delay/schema")
    assert schema.status_code == (200 if status == 200 else 403)
    question = {"resource_type": "RESOURCE_TYPE_WORKSPACE", "resource_id": "prod", "roles": ["consumer"]}
    told = ask(offices, who, "list-assigned-principals", question)
    assert told.status_code == status
    if status == 200:
        assert [held["principal"]["service_account"]["id"] for held in told.json()["assignments"]] == ["sa-nobody"]
    assert ask(offices, who, "unassign-roles", body).status_code == status
    elsewhere = {"assignments": [one("sa-nobody", "consumer", "dev", resource="RESOURCE_TYPE_WORKSPACE")]}
    assert ask(offices, "owner", "assign-roles", elsewhere).status_code == 403


def test_each_scope_has_its_entry_in_the_audit_log(offices: Callers) -> None:
    both = {"assignments": [one("sa-reader", "read_scope_role", "etl"), one("u1", "write_scope_role", "ml", "USER")]}
    ask(offices, "root", "assign-roles", both)
    ask(offices, "manager", "unassign-roles", given("sa-reader", "read_scope_role"))
    ask(offices, "reader", "assign-roles", given("sa-reader", "manage_scope_role"))
    log = offices.ask("root", "GET", "/v1/audit?action=secret_scope.assign_roles&limit=5").json()["entries"]
    assert [(entry["actor"]["name"], entry["target"], entry["outcome"], entry["detail"]) for entry in log[::-1]] == [
        ("root", "secret_scope/etl", "done", "secret_scope_reader to service_account/sa-reader"),
        ("root", "secret_scope/ml", "done", "secret_scope_writer to user/u1"),
        ("root", "secret_scope/*", "done", "2 of them, each with an entry of its own"),
        ("manager", "secret_scope/etl", "done", "secret_scope_reader from service_account/sa-reader"),
        ("reader", "secret_scope/etl", "denied", "PermissionDenied"),
    ]
