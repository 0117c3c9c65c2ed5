"""SCIM through its doors: what contract §7 and RFC 7644 ask of them, over a socket."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.keys import key_id
from gateway.access.scim.resources import GROUP, GROUP_EXTENSION, SERVICE_ACCOUNT, USER
from tests.harness.houses import READER
from tests.harness.offices import open_offices

PREFIX = "/api/scim/v2"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
WORKSPACE_ROLE = {"type": "workspace_prod", "value": "viewer"}
RESOURCES = ("Users", "Groups", "ServiceAccounts")
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Directory:
    """The doors, as an admin sees them, and as `anybody` does. `keys`: of others."""

    admin: httpx.Client
    anybody: httpx.Client
    url: str
    keys: Mapping[str, str]

    def make(self, endpoint: str, **more: Any) -> dict[str, Any]:
        """A resource with a name that no other has."""
        name = f"{endpoint.lower()}-{next(_numbers)}@example.com"
        named = {"Users": {"userName": name}, "Groups": {"displayName": name}, "ServiceAccounts": {"name": name}}[endpoint]
        answer = self.admin.post(f"{PREFIX}/{endpoint}", json=named | more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self.admin.get(f"{PREFIX}/{path}", params=query)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def patch(self, path: str, *operations: Mapping[str, Any]) -> httpx.Response:
        return self.admin.patch(f"{PREFIX}/{path}", json={"schemas": [PATCH], "Operations": operations})

    def audited(self, target: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.admin.get("/v1/audit", params={"target": target}).json()["entries"]
        return entries


@pytest.fixture(scope="module")
def directory(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    people = (("root", "admin"), ("owner", "owner"), ("nobody",))
    with (
        open_offices(demo_dir, tmp_path_factory.mktemp("access"), *people) as (house, keys),
        house.as_caller(keys["root"]) as admin,
        house.as_caller(None) as anybody,
    ):
        yield Directory(admin, anybody, house.url, keys)


def refused(answer: httpx.Response, status: int, scim_type: str | None = None) -> str:
    """That it is an error, in SCIM's shape and every other door's. What it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/scim+json"
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(status)
    assert body.get("scimType") == scim_type
    assert body["detail"] == body["error"] == body["message"]
    assert isinstance(body["code"], int)
    return str(body["detail"])


def test_a_user_is_made_told_replaced_and_deleted(directory: Directory) -> None:
    sent = {
        "schemas": [USER],
        "userName": "ann@example.com",
        "externalId": "okta-1",
        "name": {"familyName": "Lee", "givenName": "Ann"},
        "active": True,
        "emails": [{"type": "home", "value": "a@home.example"}, {"type": "work", "primary": True, "value": "ann@example.com"}],
        "roles": [WORKSPACE_ROLE, {"type": "account_type", "value": None}],
        "groups": [{"value": "not-for-here"}],
    }
    made = directory.admin.post(f"{PREFIX}/Users", json=sent, headers={"Content-Type": "application/scim+json"})
    assert made.status_code == 201
    user = made.json()
    assert made.headers["content-type"] == "application/scim+json"
    assert made.headers["location"] == user["meta"]["location"] == f"{directory.url}{PREFIX}/Users/{user['id']}"
    assert user["meta"]["resourceType"] == "User"
    assert user["meta"]["created"] == user["meta"]["lastModified"]
    assert {name: user[name] for name in sent if name not in {"emails", "roles", "groups"}} == {
        name: value for name, value in sent.items() if name not in {"emails", "roles", "groups"}
    }
    assert user["emails"] == [{"type": "work", "primary": True, "value": "ann@example.com"}]
    assert user["roles"] == [WORKSPACE_ROLE]
    assert user["groups"] == []
    assert directory.get(f"Users/{user['id']}") == user

    replaced = directory.admin.put(f"{PREFIX}/Users/{user['id']}", json={"userName": "Ann@example.com", "active": True})
    assert replaced.status_code == 200
    told = replaced.json()
    assert told["userName"] == "Ann@example.com"
    assert told["roles"] == [WORKSPACE_ROLE]
    assert not {"name", "emails", "externalId"} & told.keys()
    assert told["meta"]["created"] == user["meta"]["created"]
    assert told["meta"]["lastModified"] > user["meta"]["lastModified"]

    gone = directory.admin.delete(f"{PREFIX}/Users/{user['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        refused(directory.admin.request(method, f"{PREFIX}/Users/{user['id']}", json={"userName": "x"}), 404)


def test_a_group_holds_users_and_service_accounts(directory: Directory) -> None:
    user, account = directory.make("Users"), directory.make("ServiceAccounts")
    extension = {"description": "ML", "idpMappingNames": ["ml", "ml-eu"]}
    members = [{"type": "User", "display": "Ann", "value": user["id"]}, {"value": account["id"]}]
    group = directory.make("Groups", members=members, roles=[WORKSPACE_ROLE], **{GROUP_EXTENSION: extension})
    assert group["schemas"] == [GROUP, GROUP_EXTENSION]
    assert group[GROUP_EXTENSION] == extension
    assert group["roles"] == [WORKSPACE_ROLE]
    told = {one["value"]: one for one in group["members"]}
    assert told[user["id"]] == {"type": "User", "display": "Ann", "value": user["id"], "$ref": user["meta"]["location"]}
    assert told[account["id"]]["display"] == account["name"]
    assert told[account["id"]]["type"] == "ServiceAccount"
    for path in (f"Users/{user['id']}", f"ServiceAccounts/{account['id']}"):
        [membership] = directory.get(path)["groups"]
        assert membership == {
            "type": "direct",
            "display": group["displayName"],
            "value": group["id"],
            "$ref": group["meta"]["location"],
        }

    name = {"displayName": group["displayName"]}
    kept = directory.admin.put(f"{PREFIX}/Groups/{group['id']}", json=name).json()
    assert {"members", "roles", GROUP_EXTENSION} <= kept.keys()
    assert kept["members"] == group["members"]
    emptied = directory.admin.put(f"{PREFIX}/Groups/{group['id']}", json=name | {"members": [], "roles": [], GROUP_EXTENSION: {}}).json()
    assert (emptied["members"], emptied["roles"]) == ([], [])
    assert GROUP_EXTENSION not in emptied


def test_a_service_account_shows_its_key_once_and_the_key_opens_what_its_roles_do(directory: Directory) -> None:
    account = directory.make("ServiceAccounts", description="reads", roles=[{"type": "account_type", "value": "admin"}])
    key = account.pop("apiKey")
    assert key_id(key) is not None
    assert account["schemas"] == [SERVICE_ACCOUNT]
    assert directory.get(f"ServiceAccounts/{account['id']}") == account
    assert key not in json.dumps(directory.get("ServiceAccounts"))

    def opens(scheme: str = "Bearer") -> bool:
        answer = directory.anybody.get(f"{PREFIX}/Users", params={"count": "0"}, headers={"Authorization": f"{scheme} {key}"})
        assert answer.status_code in {200, 401}
        return answer.status_code == 200

    assert all(opens(scheme) for scheme in ("Tecton-key", "tecton-KEY", "Bearer", "bearer"))
    directory.patch(f"ServiceAccounts/{account['id']}", {"op": "replace", "path": "active", "value": False})
    assert not opens()
    told = directory.get(f"ServiceAccounts/{account['id']}")
    assert (told["active"], told["roles"]) == (False, account["roles"])
    back = directory.admin.put(f"{PREFIX}/ServiceAccounts/{account['id']}", json={"name": "renamed", "active": True}).json()
    assert (back["name"], back["active"], back["roles"]) == ("renamed", True, account["roles"])
    assert opens()
    assert directory.admin.delete(f"{PREFIX}/ServiceAccounts/{account['id']}").status_code == 204
    assert not opens()


@pytest.mark.parametrize("endpoint", RESOURCES)
def test_a_name_is_taken_once(directory: Directory, endpoint: str) -> None:
    one, other = directory.make(endpoint), directory.make(endpoint)
    name = next(name for name in ("userName", "displayName", "name") if name in one)
    refused(directory.admin.post(f"{PREFIX}/{endpoint}", json={name: one[name]}), 409, "uniqueness")
    refused(directory.admin.put(f"{PREFIX}/{endpoint}/{other['id']}", json={name: one[name]}), 409, "uniqueness")
    refused(directory.patch(f"{endpoint}/{other['id']}", {"op": "replace", "path": name, "value": one[name]}), 409, "uniqueness")
    assert directory.admin.post(f"{PREFIX}/{endpoint}", json={name: one[name].upper()}).status_code == 201


def test_a_user_that_is_not_active_is_no_more(directory: Directory) -> None:
    for how in ("PUT", "PATCH", "PATCH of Entra's"):
        user = directory.make("Users", roles=[WORKSPACE_ROLE])
        group = directory.make("Groups", members=[{"value": user["id"]}])
        path = f"Users/{user['id']}"
        if how == "PUT":
            answer = directory.admin.put(f"{PREFIX}/{path}", json={"userName": user["userName"], "active": False})
        elif how == "PATCH":
            answer = directory.patch(path, {"op": "replace", "value": {"active": False}})
        else:
            answer = directory.patch(path, {"op": "Replace", "path": "active", "value": "False"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["active"] is False
        refused(directory.admin.get(f"{PREFIX}/{path}"), 404)
        assert directory.get(f"Groups/{group['id']}")["members"] == []
    refused(directory.admin.post(f"{PREFIX}/Users", json={"userName": "x@example.com", "active": False}), 400, "invalidValue")


def test_patches_as_identity_providers_send_them(directory: Directory) -> None:
    one, two = directory.make("Users"), directory.make("Users")
    group = directory.make("Groups", members=[{"value": one["id"]}])
    path = f"Groups/{group['id']}"

    def members() -> set[str]:
        return {member["value"] for member in directory.get(path)["members"]}

    assert directory.patch(path, {"op": "Add", "path": "members", "value": [{"$ref": None, "value": two["id"]}]}).status_code == 200
    assert members() == {one["id"], two["id"]}
    assert directory.patch(path, {"op": "remove", "path": f'members[value eq "{one["id"]}"]'}).status_code == 200
    assert members() == {two["id"]}
    assert directory.patch(path, {"op": "Remove", "path": "members", "value": [{"value": two["id"]}]}).status_code == 200
    assert members() == set()
    renamed = directory.patch(path, {"op": "replace", "value": {"id": group["id"], "displayName": "renamed"}})
    assert renamed.json()["displayName"] == "renamed"
    user = f"Users/{one['id']}"
    done = directory.patch(
        user,
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "one@work.example"},
        {"op": "Add", "path": "name.givenName", "value": "One"},
        {"op": "add", "path": "roles", "value": [WORKSPACE_ROLE]},
        {"op": "add", "path": "nickName", "value": "nobody keeps this"},
    )
    told = done.json()
    assert told["emails"] == [{"type": "work", "value": "one@work.example"}]
    assert told["name"] == {"givenName": "One"}
    assert told["roles"] == [WORKSPACE_ROLE]
    again = directory.patch(
        user, {"op": "replace", "path": 'roles[type eq "workspace_prod"].value', "value": "owner"}, {"op": "remove", "path": "emails"}
    ).json()
    assert again["roles"] == [{"type": "workspace_prod", "value": "owner"}]
    assert "emails" not in again


@pytest.mark.parametrize(
    ("operations", "scim_type"),
    [
        ([], "invalidValue"),
        ([{"op": "explode", "path": "name", "value": 1}], "invalidValue"),
        ([{"op": "remove"}], "noTarget"),
        ([{"op": "replace", "path": "id", "value": "mine"}], "mutability"),
        ([{"op": "remove", "path": "userName"}], "mutability"),
        ([{"op": "replace", "path": "][", "value": 1}], "invalidPath"),
        ([{"op": "replace", "path": "roles", "value": [{"type": "planet", "value": "owner"}]}], "invalidValue"),
        ([{"op": "replace", "path": "name.givenName", "value": ["x"]}], "invalidValue"),
        ([{"op": "replace", "path": "name.givenName", "value": "kept?"}, {"op": "remove", "path": "userName"}], "mutability"),
    ],
)
def test_a_patch_is_done_whole_or_not_at_all(directory: Directory, operations: list[Any], scim_type: str) -> None:
    user = directory.make("Users", name={"givenName": "Before"})
    refused(directory.patch(f"Users/{user['id']}", *operations), 400, scim_type)
    assert directory.get(f"Users/{user['id']}") == user


@pytest.mark.parametrize(
    "role",
    [
        {"type": "workspace_", "value": "owner"},
        {"type": "workspace_prod", "value": "admin"},
        {"type": "all_workspaces", "value": "secret_scope_reader"},
        {"type": "account_type", "value": "owner"},
        {"type": "secret_scope_nowhere", "value": "secret_scope_reader"},
        {"type": "secret_scope_nowhere", "value": "owner"},
        {"type": None, "value": "owner"},
        {"value": "owner"},
        {"type": "tecton", "value": None},
        "owner",
    ],
)
def test_a_role_that_is_none_is_refused(directory: Directory, role: Any) -> None:
    refused(directory.admin.post(f"{PREFIX}/Users", json={"userName": "r@example.com", "roles": [role]}), 400, "invalidValue")


@pytest.mark.parametrize(
    "member",
    [{"value": "nobody"}, {"type": "Group", "value": "x"}, {}, {"type": "ServiceAccount", "value": "{user}"}, {"$ref": "elsewhere"}],
)
def test_a_member_that_is_not_there_is_refused(directory: Directory, member: dict[str, str]) -> None:
    user = directory.make("Users")
    sent = {name: value.replace("{user}", user["id"]) for name, value in member.items()}
    refused(directory.admin.post(f"{PREFIX}/Groups", json={"displayName": "g", "members": [sent]}), 400, "invalidValue")


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        (b"", "invalidSyntax"),
        (b"{", "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b'{"userName": "a", "userName": "b"}', "invalidSyntax"),
        (b"{}", "invalidValue"),
        (b'{"userName": ""}', "invalidValue"),
        (b'{"userName": null}', "invalidValue"),
        (b'{"userName": 7}', "invalidValue"),
        (b'{"userName": "a\\u0000b"}', "invalidValue"),
        (b'{"userName": "' + b"a" * 513 + b'"}', "invalidValue"),
        (b'{"schemas": ["urn:something:else"], "userName": "a"}', "invalidSyntax"),
        (b'{"userName": "a", "emails": [{"value": "x", "primary": true}, {"value": "y", "primary": true}]}', "invalidValue"),
    ],
)
def test_a_body_that_is_no_user_is_refused_without_being_quoted(directory: Directory, body: bytes, scim_type: str) -> None:
    said = refused(directory.admin.post(f"{PREFIX}/Users", content=body), 400, scim_type)
    assert "aaaa" not in said


def test_lists_are_filtered_sorted_and_paged(directory: Directory) -> None:
    made = [directory.make("Groups", displayName=f"list {letter}") for letter in "bca"]
    found = directory.get("Groups", filter='displayName sw "list "', sortBy="displayName", sortOrder="descending")
    assert [one["displayName"] for one in found["Resources"]] == ["list c", "list b", "list a"]
    assert found["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    assert (found["totalResults"], found["itemsPerPage"], found["startIndex"]) == (3, 3, 1)
    assert not any({"members", "roles", "groups"} & one.keys() for one in found["Resources"])
    page = directory.get("Groups", filter='displayName sw "list "', startIndex="2", count="1")
    assert (page["totalResults"], page["itemsPerPage"], page["startIndex"]) == (3, 1, 2)
    assert page["Resources"] == [{name: value for name, value in made[1].items() if name not in {"members", "roles"}}]
    none = directory.get("Groups", filter='displayName sw "list "', startIndex="-5", count="-5")
    assert (none["totalResults"], none["itemsPerPage"], none["startIndex"], none["Resources"]) == (3, 0, 1, [])
    for text in ("displayName eq engineering", 'displayName eq "engineering"', "displayname EQ 42", 'displayName eq "true"'):
        assert directory.get("Groups", filter=text)["totalResults"] == 0
    name = directory.make("ServiceAccounts", name="fraudRiskApp")["name"]
    assert [one["name"] for one in directory.get("ServiceAccounts", filter=f"name eq {name}")["Resources"]] == [name]


def test_only_the_attributes_that_are_asked_for(directory: Directory) -> None:
    user = directory.make("Users", name={"givenName": "A", "familyName": "B"}, roles=[WORKSPACE_ROLE])
    path = f"Users/{user['id']}"
    assert directory.get(path, attributes="name.givenName,ROLES") == {
        "schemas": [USER],
        "id": user["id"],
        "name": {"givenName": "A"},
        "roles": [WORKSPACE_ROLE],
    }
    left = directory.get(path, excludedAttributes="meta,id,name.familyName,nothing")
    assert left.keys() == user.keys() - {"meta"}
    assert left["name"] == {"givenName": "A"}
    [listed] = directory.get("Users", filter=f'id eq "{user["id"]}"', attributes="roles")["Resources"]
    assert listed == {"schemas": [USER], "id": user["id"], "roles": [WORKSPACE_ROLE]}
    refused(directory.admin.get(f"{PREFIX}/{path}", params={"attributes": "name", "excludedAttributes": "id"}), 400, "invalidValue")


@pytest.mark.parametrize(
    ("query", "scim_type"),
    [
        ({"filter": "userName"}, "invalidFilter"),
        ({"filter": 'shoeSize eq "44"'}, "invalidFilter"),
        ({"filter": 'userName eq "a" and'}, "invalidFilter"),
        ({"filter": "userName eq ann lee"}, "invalidFilter"),
        ({"filter": 'schemas eq "x"'}, "invalidFilter"),
        ({"filter": "userName eq " + "x" * 5_000}, "invalidFilter"),
        ({"sortBy": "shoeSize"}, "invalidPath"),
        ({"sortBy": "["}, "invalidPath"),
        ({"sortBy": "name"}, "invalidPath"),
        ({"sortOrder": "sideways"}, "invalidValue"),
        ({"count": "many"}, "invalidValue"),
        ({"startIndex": "1.5"}, "invalidValue"),
        ({"attributes": "["}, "invalidPath"),
    ],
)
def test_a_query_that_cannot_be_understood_is_refused(directory: Directory, query: dict[str, str], scim_type: str) -> None:
    refused(directory.admin.get(f"{PREFIX}/Users", params=query), 400, scim_type)


def test_searches_are_posted_too_also_over_all_kinds(directory: Directory) -> None:
    user, group = directory.make("Users", externalId="both"), directory.make("Groups", externalId="both")
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": 'externalId eq "both"',
        "attributes": ["externalId"],
    }
    everything = directory.admin.post(f"{PREFIX}/.search", json=body).json()
    assert [one["id"] for one in everything["Resources"]] == [user["id"], group["id"]]
    assert everything["totalResults"] == 2
    second = directory.admin.post(f"{PREFIX}/.search", json=body | {"startIndex": 2, "count": 5}).json()
    assert [one["id"] for one in second["Resources"]] == [group["id"]]
    users = directory.admin.post(f"{PREFIX}/Users/.search", json=body).json()
    assert users["Resources"] == [{"schemas": [USER], "id": user["id"], "externalId": "both"}]
    named = directory.admin.post(f"{PREFIX}/.search", json={"filter": f'userName eq "{user["userName"]}"', "sortBy": "userName"}).json()
    assert [one["id"] for one in named["Resources"]] == [user["id"]]
    refused(directory.admin.post(f"{PREFIX}/.search", json={"filter": 'shoeSize eq "44"'}), 400, "invalidFilter")
    refused(directory.admin.post(f"{PREFIX}/.search", json=[]), 400, "invalidSyntax")
    refused(directory.admin.post(f"{PREFIX}/.search", json={"count": "1", "startIndex": True}), 400, "invalidValue")


def test_nobody_can_lock_everybody_out(directory: Directory) -> None:
    accounts = directory.get("ServiceAccounts", filter='name eq "root"')["Resources"]
    [root] = [f"ServiceAccounts/{one['id']}" for one in accounts]
    admins = directory.make("Groups", roles=[{"type": "account_type", "value": "admin"}])
    said = refused(directory.admin.put(f"{PREFIX}/{root}", json={"name": "root", "roles": []}), 400, "mutability")
    assert "admin" in said
    refused(directory.admin.delete(f"{PREFIX}/{root}"), 400, "mutability")
    refused(directory.patch(root, {"op": "replace", "path": "active", "value": False}), 400, "mutability")
    assert directory.get(root)["active"] is True
    directory.patch(f"Groups/{admins['id']}", {"op": "add", "path": "members", "value": [{"value": root.partition("/")[2]}]})
    assert directory.admin.put(f"{PREFIX}/{root}", json={"name": "root", "roles": []}).status_code == 200
    refused(directory.admin.delete(f"{PREFIX}/Groups/{admins['id']}"), 400, "mutability")
    refused(directory.admin.put(f"{PREFIX}/Groups/{admins['id']}", json={"displayName": "x", "members": []}), 400, "mutability")
    back = directory.patch(root, {"op": "add", "path": "roles", "value": [{"type": "account_type", "value": "admin"}]})
    assert back.status_code == 200
    assert directory.admin.delete(f"{PREFIX}/Groups/{admins['id']}").status_code == 204


def test_every_change_is_in_the_audit_log_and_no_value_is(directory: Directory) -> None:
    user = directory.make("Users", name={"givenName": "Secretive"}, roles=[WORKSPACE_ROLE])
    path = f"{PREFIX}/Users/{user['id']}"
    directory.patch(f"Users/{user['id']}", {"op": "replace", "path": "roles", "value": []})
    refused(directory.admin.put(path, json={"userName": 1}), 400, "invalidValue")
    refused(directory.anybody.delete(path, headers={"Authorization": f"Tecton-key {directory.keys['nobody']}"}), 403)
    directory.admin.delete(path)
    entries = [(one["outcome"], one["detail"], one["actor"]["name"]) for one in reversed(directory.audited(f"user/{user['id']}"))]
    assert [outcome for outcome, _, _ in entries] == ["done", "done", "refused", "denied", "done"]
    assert entries[0][1] == "given_name user_name +workspace_prod=viewer"
    assert entries[1][1] == "-workspace_prod=viewer"
    assert [name for _, _, name in entries] == ["root", "root", "root", "nobody", "root"]
    assert "Secretive" not in json.dumps(directory.audited(f"user/{user['id']}"))


ENDPOINTS = [
    *[(method, endpoint) for endpoint in RESOURCES for method in ("GET", "POST")],
    *[(method, f"{endpoint}/x") for endpoint in RESOURCES for method in ("GET", "PUT", "PATCH", "DELETE")],
    *[("POST", f"{endpoint}.search") for endpoint in ("", *[f"{one}/" for one in RESOURCES])],
    *[("GET", endpoint) for endpoint in ("ServiceProviderConfig", "ResourceTypes", "ResourceTypes/User", "Schemas", f"Schemas/{USER}")],
]


@pytest.mark.parametrize(("method", "endpoint"), ENDPOINTS)
def test_only_admins_may(directory: Directory, method: str, endpoint: str) -> None:
    """Whatever else is wrong with what they ask."""

    def asked(credential: str | None) -> httpx.Response:
        headers = {} if credential is None else {"Authorization": credential}
        return directory.anybody.request(method, f"{PREFIX}/{endpoint}?count=many", headers=headers, content=b"{")

    for credential in (f"Tecton-key {directory.keys['owner']}", f"Bearer {directory.keys['nobody']}", f"Tecton-key {READER}"):
        refused(asked(credential), 403)
    for unknown in (None, "Bearer made-up", f"Basic {directory.keys['owner']}"):
        refused(asked(unknown), 401)


def test_what_there_is_not_and_what_cannot_be_done(directory: Directory) -> None:
    refused(directory.admin.get(f"{PREFIX}/Planets"), 404)
    refused(directory.admin.get(f"{PREFIX}/Schemas/urn:nothing"), 404)
    refused(directory.admin.get(f"{PREFIX}/ResourceTypes/Planet"), 404)
    refused(directory.admin.get(f"{PREFIX}/Users/%ff"), 404)
    answer = directory.admin.patch(f"{PREFIX}/Users")
    refused(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    head = directory.admin.head(f"{PREFIX}/ServiceProviderConfig")
    assert (head.status_code, head.content) == (200, b"")


def test_a_client_that_asks_for_scim_alone_gets_no_more(directory: Directory) -> None:
    answer = directory.admin.get(f"{PREFIX}/Users/nobody", headers={"Accept": "application/scim+json"})
    assert answer.json().keys() == {"schemas", "status", "detail"}


def test_roles_can_be_switched_off(demo_dir: Path, tmp_path: Path) -> None:
    switched = {"scim_roles": False}
    with open_offices(demo_dir, tmp_path, ("root", "admin"), auth=switched) as (house, keys), house.as_caller(keys["root"]) as admin:
        directory = Directory(admin, admin, house.url, keys)
        user = directory.make("Users", roles=[WORKSPACE_ROLE, {"type": "planet", "value": "owner"}])
        assert user["roles"] == []
        refused(directory.patch(f"Users/{user['id']}", {"op": "add", "path": "roles", "value": [WORKSPACE_ROLE]}), 400, "mutability")
        assert directory.patch(f"Users/{user['id']}", {"op": "add", "path": "externalId", "value": "x"}).status_code == 200
        [roles] = [one for one in directory.get(f"Schemas/{USER}")["attributes"] if one["name"] == "roles"]
        assert roles["mutability"] == "readOnly"
