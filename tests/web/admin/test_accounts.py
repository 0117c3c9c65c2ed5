"""The Service Accounts service, through the door."""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.keys import PREFIX, SECRET_PREFIX
from tests.harness.houses import READER, House
from tests.harness.offices import open_offices

Offices = tuple[House, dict[str, str]]
METADATA, SERVICE = "/api/v1/metadata-service", "/api/v1/service-accounts-service"
API_KEY, OAUTH = "SERVICE_ACCOUNT_CREDENTIALS_TYPE_API_KEY", "SERVICE_ACCOUNT_CREDENTIALS_TYPE_OAUTH_CLIENT_CREDENTIALS"
MICROSECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
MILLISECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
NAMES = count()


@pytest.fixture(scope="module")
def offices(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    principals = ("root", "admin"), ("maker", "prod=owner"), ("other", "elsewhere=owner"), ("nobody",)
    with open_offices(demo_dir, tmp_path_factory.mktemp("access"), *principals) as opened:
        yield opened


class Caller:
    """One of the principals at the Service Accounts service, on a connection of its own."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def ask(self, operation: str, prefix: str = SERVICE, /, **body: Any) -> httpx.Response:
        return self.client.post(f"{prefix}/{operation}", content=json.dumps(body))

    def told(self, operation: str, prefix: str = SERVICE, /, **body: Any) -> dict[str, Any]:
        answer = self.ask(operation, prefix, **body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def refused(self, status: int, code: int, operation: str, /, **body: Any) -> str:
        answer = self.ask(operation, **body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.json()["error"] == answer.json()["message"]
        return str(answer.json()["message"])

    def made(self, kind: str = API_KEY) -> dict[str, Any]:
        return self.told("create-service-account", METADATA, name=f"account-{next(NAMES)}", description="d", credentials_type=kind)

    def names(self, **sought: Any) -> set[str]:
        return {one["name"] for one in self.told("get-service-account", METADATA, **sought)["service_accounts"]}


@pytest.fixture(scope="module")
def callers(offices: Offices) -> Iterator[dict[str, Caller]]:
    house, keys = offices
    clients = {name: house.as_caller(key) for name, key in keys.items()}
    yield {name: Caller(client) for name, client in clients.items()}
    for client in clients.values():
        client.close()


@pytest.fixture
def root(callers: dict[str, Caller]) -> Caller:
    return callers["root"]


@pytest.fixture
def maker(callers: dict[str, Caller]) -> Caller:
    return callers["maker"]


@pytest.fixture
def other(callers: dict[str, Caller]) -> Caller:
    return callers["other"]


def test_an_account_is_made_with_an_api_key_that_opens_the_gateway(offices: Offices, root: Caller) -> None:
    answer = root.ask("create-service-account", METADATA, name="with a key", description="for tests", credentials_type=API_KEY)
    made = answer.json()
    key, at, identity = made.pop("api_key"), made.pop("created_at"), made.pop("id")
    assert made == {"name": "with a key", "description": "for tests", "is_active": True, "credentials_type": API_KEY}
    assert key.startswith(PREFIX)
    assert re.fullmatch(MICROSECONDS, at)
    assert answer.headers["cache-control"] == "no-store"
    with offices[0].as_caller(key) as new:
        assert new.post(f"{METADATA}/get-service-account").json()["service_accounts"][0]["id"] == identity


def test_an_account_is_made_with_a_client_secret(root: Caller) -> None:
    made = root.made(OAUTH)
    assert re.fullmatch(re.escape(SECRET_PREFIX) + "[0-9A-Za-z]{60}", made["client_secret"])
    assert "api_key" not in made


@pytest.mark.parametrize("prefix", [METADATA, SERVICE])
def test_an_api_key_is_what_there_is_where_nothing_is_said_and_names_come_in_either_case(root: Caller, prefix: str) -> None:
    plain = root.told("create-service-account", prefix, name=f"plain-{prefix}")
    spoken = root.told("create-service-account", prefix, name=f"spoken-{prefix}", credentialsType=OAUTH, description=None, more={"a": 1})
    assert (plain["credentials_type"], plain["description"]) == (API_KEY, "")
    assert (spoken["credentials_type"], spoken["description"]) == (OAUTH, "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": " \u2003"}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "unlike any", "description": "x" * 4097}, "description"),
        ({"name": "unlike any", "description": "\x00"}, "description"),
        ({"name": "unlike any", "description": []}, "description"),
        ({"name": "unlike any", "credentialsType": "SERVICE_ACCOUNT_CREDENTIALS_TYPE_PASSWORD"}, "credentials_type"),
        ({"name": "unlike any", "credentials_type": 1}, "credentials_type"),
        ({"name": "unlike any", "credentials_type": API_KEY, "credentialsType": API_KEY}, "credentials_type"),
    ],
)
def test_what_does_not_fit_is_refused_by_field(root: Caller, body: dict[str, Any], field: str) -> None:
    assert field in root.refused(400, 3, "create-service-account", **body)
    assert "unlike any" not in root.names()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"name":', b'{"name":"a","name":"b"}', b"\xff"])
def test_what_is_no_object_is_refused(root: Caller, body: bytes) -> None:
    answer = root.client.post(f"{METADATA}/create-service-account", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


def test_a_name_is_taken_once(root: Caller, maker: Caller) -> None:
    first, second = root.made(), root.made()
    assert first["name"] not in maker.refused(409, 6, "create-service-account", name=first["name"])
    root.refused(409, 6, "update-service-account", id=second["id"], name=first["name"])
    assert root.told("update-service-account", id=first["id"], name=first["name"])["name"] == first["name"]


def test_owners_and_admins_make_accounts_and_nobody_else_does(offices: Offices, callers: dict[str, Caller]) -> None:
    callers["nobody"].refused(403, 7, "create-service-account", name="of nobody")
    for credential, status in ((None, 401), (READER, 403)):
        with offices[0].as_caller(credential) as stranger:
            assert stranger.post(f"{METADATA}/create-service-account", json={"name": "of a stranger"}).status_code == status
    assert not {"of nobody", "of a stranger"} & callers["root"].names()


def test_admins_see_all_makers_their_own_and_everybody_itself(offices: Offices, callers: dict[str, Caller]) -> None:
    ours, theirs = callers["maker"].made(), callers["other"].made()
    assert {ours["name"], theirs["name"], "root", "maker", "nobody"} <= callers["root"].names()
    assert ours["name"] in callers["maker"].names()
    assert {theirs["name"], "root"}.isdisjoint(callers["maker"].names())
    assert callers["nobody"].names() == {"nobody"}
    with offices[0].as_caller(ours["api_key"]) as itself:
        assert Caller(itself).names() == {ours["name"]}


def test_who_made_an_account_is_told_where_somebody_did(root: Caller, maker: Caller) -> None:
    made = maker.made(OAUTH)
    [told] = root.told("search-service-accounts", ids=[made["id"]])["service_accounts"]
    assert told == {
        **{name: made[name] for name in ("id", "name", "description", "is_active", "created_at", "credentials_type")},
        "created_by": {"service_account": {"id": "sa-maker", "name": "maker", "description": "", "is_active": True}},
    }
    [shell] = root.told("get-service-account", ids=["sa-root"])["service_accounts"]
    assert "created_by" not in shell


def test_accounts_are_found_by_any_part_of_name_description_or_id_in_any_case(root: Caller) -> None:
    made = root.told("create-service-account", name="Straße 9%_", description="zur Ärztin")
    for text in ("STRASSE", "9%_", "ärzt", "A\u0308RZTIN", made["id"][3:20].upper()):
        assert root.names(search=text) == {made["name"]}, text
    assert root.names(search="_9") == set()
    assert root.names(search="9%_", ids=["sa-root"]) == set()
    assert root.names(search="", ids=["sa-root", made["id"], "\x00"]) == {"root", made["name"]}
    assert root.names(ids=[]) == set()
    assert root.names(ids=None, search=None) == root.names()


def test_an_account_is_changed_where_something_is_said(root: Caller) -> None:
    made = root.made()
    assert root.told("update-service-account", METADATA, id=made["id"], name="another", isActive=None) == {
        "id": made["id"],
        "name": "another",
        "description": "d",
        "is_active": True,
        "created_at": made["created_at"],
    }
    assert root.told("update-service-account", id=made["id"], description="")["description"] == ""
    root.refused(400, 3, "update-service-account", id=made["id"], is_active="false")
    root.refused(400, 3, "update-service-account", id=made["id"], name="")
    root.refused(400, 3, "update-service-account", name="x")
    assert root.names(ids=[made["id"]]) == {"another"}


def test_a_deactivated_account_opens_nothing_until_it_is_active_again(offices: Offices, maker: Caller) -> None:
    made = maker.made()
    with offices[0].as_caller(made["api_key"]) as itself:
        assert itself.post(f"{METADATA}/get-service-account").status_code == 200
        assert maker.told("update-service-account", id=made["id"], is_active=False)["is_active"] is False
        assert itself.post(f"{METADATA}/get-service-account").status_code == 401
        maker.told("update-service-account", id=made["id"], is_active=True)
        assert itself.post(f"{METADATA}/get-service-account").status_code == 200


def test_the_last_admin_does_not_lock_everybody_out(root: Caller) -> None:
    assert "no active service account that is an admin" in root.refused(400, 9, "update-service-account", id="sa-root", is_active=False)
    assert root.names(ids=["sa-root"]) == {"root"}


def test_only_an_inactive_account_is_deleted_and_then_all_of_it(offices: Offices, maker: Caller) -> None:
    made = maker.made()
    assert "deactivated" in maker.refused(400, 9, "delete-service-account", id=made["id"])
    maker.told("update-service-account", id=made["id"], is_active=False)
    assert maker.told("delete-service-account", METADATA, id=made["id"]) == {}
    maker.refused(404, 5, "delete-service-account", id=made["id"])
    with offices[0].as_caller(made["api_key"]) as itself:
        assert itself.post(f"{METADATA}/get-service-account").status_code == 401


@pytest.mark.parametrize("operation", ["update-service-account", "delete-service-account", "create-service-account-secret"])
def test_what_a_caller_may_not_see_answers_as_what_does_not_exist(root: Caller, maker: Caller, other: Caller, operation: str) -> None:
    made = maker.made(OAUTH)
    unseen = other.ask(operation, id=made["id"])
    missing = other.ask(operation, id="f" * 32)
    odd = other.ask(operation, id="\x00\u00e9")
    assert [one.status_code for one in (unseen, missing, odd)] == [404, 404, 404]
    assert unseen.content == missing.content
    entries = root.client.get("/v1/audit", params={"target": f"service_account/{made['id']}", "limit": "1"}).json()["entries"]
    assert [(one["outcome"], one["detail"]) for one in entries] == [("denied", "Unseen")]


def test_an_account_sees_itself_and_may_not_change_itself(offices: Offices, root: Caller) -> None:
    made = root.made()
    with offices[0].as_caller(made["api_key"]) as client:
        itself = Caller(client)
        itself.refused(403, 7, "update-service-account", id=made["id"], name="better")
        itself.refused(403, 7, "list-service-account-secrets", id=made["id"])


def test_a_new_secret_is_shown_once_and_masked_ever_after(root: Caller) -> None:
    made = root.made(OAUTH)
    new = root.told("create-service-account-secret", id=made["id"])["secret"]
    assert set(new) == {"secret_id", "created_at", "status", "secret"}
    listed = root.told("list-service-account-secrets", id=made["id"])
    assert set(listed) == {"clientSecrets"}
    masked = ["*" * 12 + secret[-4:] for secret in (made["client_secret"], new["secret"])]
    assert [one["masked_secret"] for one in listed["clientSecrets"]] == masked
    for one in listed["clientSecrets"]:
        assert set(one) == {"secret_id", "created_at", "updated_at", "status", "masked_secret"}
        assert one["status"] == "ACTIVE"
        assert re.fullmatch(MILLISECONDS, one["created_at"])
        assert re.fullmatch(MILLISECONDS, one["updated_at"])


def test_secrets_rotate_with_one_of_them_active_throughout(root: Caller) -> None:
    account = root.made(OAUTH)["id"]
    [first] = [one["secret_id"] for one in root.told("list-service-account-secrets", id=account)["clientSecrets"]]
    old = {"service_account_id": account, "secret_id": first}
    assert "stay active" in root.refused(400, 9, "deactivate-service-account-secret", **old)
    second = root.told("create-service-account-secret", id=account)["secret"]["secret_id"]
    assert "at most 2" in root.refused(400, 9, "create-service-account-secret", id=account)
    assert "deactivated" in root.refused(400, 9, "delete-service-account-secret", **old)
    off = root.told("deactivate-service-account-secret", serviceAccountId=account, secretId=first)["secret"]
    assert (off["secret_id"], off["status"]) == (first, "INACTIVE")
    assert root.told("deactivate-service-account-secret", **old)["secret"] == off
    root.refused(400, 9, "deactivate-service-account-secret", service_account_id=account, secret_id=second)
    assert root.told("activate-service-account-secret", **old)["secret"]["status"] == "ACTIVE"
    root.told("deactivate-service-account-secret", **old)
    assert root.told("delete-service-account-secret", **old) == {}
    root.refused(404, 5, "activate-service-account-secret", **old)
    assert root.told("create-service-account-secret", id=account)["secret"]["status"] == "ACTIVE"


def test_an_account_with_an_api_key_has_no_client_secrets(root: Caller) -> None:
    account = root.made(API_KEY)["id"]
    for operation in ("create-service-account-secret", "list-service-account-secrets"):
        assert "API key" in root.refused(400, 9, operation, id=account)
    root.refused(400, 9, "activate-service-account-secret", service_account_id=account, secret_id="x")


def test_a_secret_is_of_one_account(root: Caller) -> None:
    ours, theirs = root.made(OAUTH)["id"], root.made(OAUTH)["id"]
    [secret] = root.told("list-service-account-secrets", id=theirs)["clientSecrets"]
    for operation in ("activate", "deactivate", "delete"):
        asked = {"service_account_id": ours, "secret_id": secret["secret_id"]}
        assert "no such client secret" in root.refused(404, 5, f"{operation}-service-account-secret", **asked)
        root.refused(400, 3, f"{operation}-service-account-secret", service_account_id=ours)
        root.refused(404, 5, f"{operation}-service-account-secret", service_account_id=ours, secret_id="x" * 65)


def test_what_was_done_is_written_down_without_credentials_and_names(root: Caller) -> None:
    made = root.told("create-service-account", name="canary-name", description="canary-text", credentials_type=OAUTH)
    new = root.told("create-service-account-secret", id=made["id"])["secret"]
    root.told("update-service-account", id=made["id"], name="canary-other", is_active=False)
    root.told("delete-service-account", id=made["id"])
    log = root.client.get("/v1/audit", params={"target": f"service_account/{made['id']}"})
    told = [(one["action"], one["outcome"], one["detail"]) for one in reversed(log.json()["entries"])]
    assert told == [
        ("service_account.create", "done", "credentials: oauth"),
        ("service_account.manage", "done", f"made client_secret/{new['secret_id']}"),
        ("service_account.manage", "done", "changed: name, deactivated"),
        ("service_account.manage", "done", "deleted"),
    ]
    for secret in ("canary", made["client_secret"], new["secret"]):
        assert secret not in log.text


def test_paths_that_nobody_confirms_are_settings(demo_dir: Path, tmp_path: Path) -> None:
    paths = {"service_accounts": "/api/v1/accounts", "service_account_secrets": "/api/v2/client-secrets"}
    opened = open_offices(demo_dir, tmp_path, ("root", "admin"), auth={"paths": paths})
    with opened as (house, keys), house.as_caller(keys["root"]) as client:
        root = Caller(client)
        made = root.told("create-service-account", "/api/v1/accounts", name="somewhere", credentials_type=OAUTH)
        assert len(root.told("list-service-account-secrets", "/api/v2/client-secrets", id=made["id"])["clientSecrets"]) == 1
        assert root.ask("list-service-account-secrets", id=made["id"]).status_code == 404
        assert root.ask("get-service-account", METADATA).status_code == 404
        assert root.told("search-service-accounts", ids=[made["id"]])["service_accounts"]
