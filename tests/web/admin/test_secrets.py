"""The Secrets service, through the door: who may do what, what is answered, what is written down, and what never leaves."""

import base64
import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.vault import MAX_VALUE_BYTES
from gateway.sealing_keys import KEK_FILE
from tests.harness.callers import Callers, calling
from tests.harness.houses import READER
from tests.harness.offices import open_offices

SCOPES = "/api/v1/secrets-service/scopes"


@pytest.fixture(scope="module")
def offices(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    principals = (
        ("root", "admin"),
        ("maker", "prod=editor"),
        ("manager", "secrets/etl=secret_scope_manager"),
        ("writer", "secrets/etl=secret_scope_writer"),
        ("reader", "secrets/etl=secret_scope_reader"),
        ("consumer", "consumer"),
        ("nobody",),
    )
    folder = tmp_path_factory.mktemp("access")
    with open_offices(demo_dir, folder, *principals) as (house, keys), calling(house, keys) as callers:
        assert ask(callers, "manager", "POST", "/etl").status_code == 403
        assert ask(callers, "root", "POST", "/etl").json() == {}
        # what a scope's maker gets is not to be in the way of the table below; nor are roles on it from before it was made
        assert change(callers, "unassign", "sa-root", "manage_scope_role") == 200
        for name, held in (("manager", "manage_scope_role"), ("writer", "write_scope_role"), ("reader", "read_scope_role")):
            assert ask(callers, name, "GET", "").json() == {"scopes": []}
            assert change(callers, "assign", f"sa-{name}", held) == 200
        yield callers


def change(offices: Callers, way: str, account: str, held: str) -> int:
    principal = {"principal_type": "PRINCIPAL_TYPE_SERVICE_ACCOUNT", "principal_id": account}
    one = {"resource_type": "RESOURCE_TYPE_SECRET_SCOPE", "resource_id": "etl", "role": held, **principal}
    return offices.ask("root", "POST", f"/api/v1/authorization-service/{way}-roles", {"assignments": [one]}).status_code


def ask(offices: Callers, who: str | None, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
    return offices.ask(who, method, f"{SCOPES}{path}", body, **more)


def test_a_secret_goes_in_and_comes_out_as_it_went(offices: Callers) -> None:
    value = 'ein "Geheimnis" \u2028 mit \U0001f511 und \0'
    assert ask(offices, "writer", "PUT", "/etl/keys/db_password", {"value": value}).json() == {}
    told = ask(offices, "reader", "GET", "/etl/keys/db_password")
    assert told.json() == {"value": value}
    assert told.headers["cache-control"] == "no-store"
    assert ask(offices, "writer", "PUT", "/etl/keys/db_password", {"value": value}).json() == {}
    assert ask(offices, "writer", "PUT", "/etl/keys/db_password", {"value": "another"}).json() == {}
    assert ask(offices, "reader", "GET", "/etl/keys/db%5Fpassword").json() == {"value": "another"}
    assert ask(offices, "reader", "GET", "/etl/keys").json() == {"keys": [{"name": "db_password"}]}
    assert ask(offices, "writer", "DELETE", "/etl/keys/db_password").json() == {}
    assert ask(offices, "reader", "GET", "/etl/keys/db_password").status_code == 404
    assert ask(offices, "reader", "GET", "/etl/keys").json() == {"keys": []}


def test_who_makes_a_scope_manages_it(offices: Callers) -> None:
    assert ask(offices, "maker", "POST", "/own").json() == {}
    assert ask(offices, "maker", "POST", "/own").json() == {
        "error": "scope: there is a secret scope of this name.",
        "message": "scope: there is a secret scope of this name.",
        "code": 6,
    }
    assert ask(offices, "maker", "GET", "").json() == {"scopes": [{"name": "own"}]}
    assert ask(offices, "maker", "PUT", "/own/keys/a", {"value": "1"}).status_code == 200
    refused = ask(offices, "maker", "DELETE", "/own")
    assert (refused.status_code, refused.json()["code"]) == (400, 9)
    assert ask(offices, "maker", "DELETE", "/own/keys/a").status_code == 200
    assert ask(offices, "maker", "DELETE", "/own").json() == {}
    assert ask(offices, "maker", "GET", "").json() == {"scopes": []}


@pytest.mark.parametrize(("who", "scopes"), [("root", ["etl"]), ("manager", ["etl"]), ("reader", ["etl"]), ("maker", []), ("nobody", [])])
def test_everybody_sees_the_scopes_that_they_may_see(offices: Callers, who: str, scopes: list[str]) -> None:
    assert ask(offices, who, "GET", "").json() == {"scopes": [{"name": name} for name in scopes]}


ALLOWED = {
    ("POST", "/new"): {"root", "maker"},
    ("GET", "/etl/keys"): {"manager", "writer", "reader"},
    ("PUT", "/etl/keys/a"): {"manager", "writer"},
    ("GET", "/etl/keys/a"): {"manager", "writer", "reader"},
    ("DELETE", "/etl/keys/a"): {"manager", "writer"},
    ("DELETE", "/etl"): {"root", "manager"},
}


@pytest.mark.parametrize("who", ["root", "maker", "manager", "writer", "reader", "consumer", "nobody", READER, None])
@pytest.mark.parametrize(("method", "path"), ALLOWED)
def test_the_others_are_refused_and_nothing_is_done(offices: Callers, method: str, path: str, who: str | None) -> None:
    """Allowed here: whatever comes after the judgement, which is no 403. `DELETE /etl` never succeeds: it holds `kept`."""
    ask(offices, "writer", "PUT", "/etl/keys/kept", {"value": "1"})
    ask(offices, "writer", "PUT", "/etl/keys/a", {"value": "1"})
    answer = ask(offices, who, method, path, {"value": "2"} if method == "PUT" else None)
    if who is None:
        assert (answer.status_code, answer.json()["code"]) == (401, 16)
    elif who in ALLOWED[method, path]:
        assert answer.status_code == (400 if path == "/etl" else 200)
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, 7)
        assert ask(offices, "reader", "GET", "/etl/keys/a").json() == {"value": "1"}
    ask(offices, "maker", "DELETE", "/new")
    ask(offices, "root", "DELETE", "/new")


@pytest.mark.parametrize(("method", "path"), [("GET", "/{}/keys"), ("GET", "/{}/keys/a"), ("PUT", "/{}/keys/a"), ("DELETE", "/{}")])
def test_whether_a_scope_exists_is_told_to_those_who_may_see_it(offices: Callers, method: str, path: str) -> None:
    absent = ask(offices, "root", method, path.format("absent"), {"value": "1"})
    assert (absent.status_code, absent.json()["code"]) == (404, 5)
    strangers = [ask(offices, "nobody", method, path.format(scope), {"value": "1"}) for scope in ("absent", "etl")]
    assert [(answer.status_code, answer.text) for answer in strangers] == [(403, strangers[0].text)] * 2


@pytest.mark.parametrize("name", ["%20", "-a", ".a", "a%20b", "%C3%A9", "%00", "a" * 257, "a%2Fb", "%2e%2e"])
@pytest.mark.parametrize("where", ["/{}", "/{}/keys", "/etl/keys/{}"])
def test_a_name_that_is_none_is_refused(offices: Callers, name: str, where: str) -> None:
    method = "DELETE" if where == "/{}" else "GET"
    assert ask(offices, "root", method, where.format(name)).status_code in {400, 404}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"value":null}',
        b'{"value":""}',
        b'{"value":7}',
        b'{"value":["canary"]}',
        b'{"value":"canary","value":"canary"}',
        b'{"value":"canary',
        b'{"value":"canary\\ud800"}',
        b'{"value":"canary\xff"}',
        b'{"value":"' + b"canary" * 10_923 + b'"}',
    ],
)
def test_a_value_that_is_none_is_refused_and_not_quoted(offices: Callers, body: bytes) -> None:
    answer = ask(offices, "writer", "PUT", "/etl/keys/refused", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert "canary" not in answer.text
    assert ask(offices, "reader", "GET", "/etl/keys/refused").status_code == 404


def test_the_largest_value_is_taken_whatever_else_is_in_the_body(offices: Callers) -> None:
    largest = "é" * (MAX_VALUE_BYTES // 2)
    assert ask(offices, "writer", "PUT", "/etl/keys/large", {"value": largest, "valueType": 7}).status_code == 200
    assert ask(offices, "reader", "GET", "/etl/keys/large").json() == {"value": largest}


@pytest.mark.parametrize(
    ("path", "allow"), [("/etl", "DELETE, POST"), ("/etl/keys/a", "DELETE, GET, HEAD, PUT"), ("/etl/keys", "GET, HEAD")]
)
def test_a_method_that_a_path_has_not_is_told_those_that_it_has(offices: Callers, path: str, allow: str) -> None:
    answer = ask(offices, "root", "PATCH", path)
    assert answer.status_code == 501
    assert ", ".join(sorted(answer.headers["allow"].replace(" ", "").split(","))) == allow


def test_changes_and_every_reading_are_written_down_and_no_value(offices: Callers, caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-3f81"
    with caplog.at_level(logging.DEBUG):
        ask(offices, "writer", "PUT", "/etl/keys/audited", {"value": canary})
        ask(offices, "reader", "GET", "/etl/keys/audited")
        ask(offices, "nobody", "GET", "/etl/keys/audited")
        ask(offices, "reader", "PUT", "/etl/keys/audited", {"value": canary})
        ask(offices, "writer", "DELETE", "/etl/keys/audited")
        ask(offices, "reader", "GET", "/etl/keys/audited")
    log = offices.ask("root", "GET", "/v1/audit?target=secret/etl/audited")
    told = [(entry["actor"]["name"], entry["action"], entry["outcome"], entry["detail"].split()[0]) for entry in log.json()["entries"]]
    assert told[::-1] == [
        ("writer", "secret.write", "done", "version"),
        ("reader", "secret.read", "done", "version"),
        ("nobody", "secret.read", "denied", "PermissionDenied"),
        ("reader", "secret.write", "denied", "PermissionDenied"),
        ("writer", "secret.delete", "done", "version"),
        ("reader", "secret.read", "refused", "NotFound"),
    ]
    assert all(entry["requestId"] for entry in log.json()["entries"])
    spans = "".join(span.to_json() for span in offices.house.spans())
    assert canary not in log.text + caplog.text + spans


def test_sealed_is_told_and_features_are_served_all_the_same(demo_dir: Path, tmp_path: Path) -> None:
    read = "/v1/workspaces/prod/feature-services/flight_delay/features"
    flight = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}
    with open_offices(demo_dir, tmp_path, ("root", "admin"), ("consumer", "consumer")) as (house, keys), calling(house, keys) as offices:
        assert ask(offices, "root", "POST", "/etl").status_code == 200
        assert ask(offices, "root", "PUT", "/etl/keys/a", {"value": "kept"}).status_code == 200
    (tmp_path / KEK_FILE).rename(tmp_path / "elsewhere")
    with open_offices(demo_dir, tmp_path, ("other", "admin")) as (house, _), calling(house, keys) as offices:
        for method, path in (("GET", ""), ("POST", "/new"), ("GET", "/etl/keys"), ("GET", "/etl/keys/a"), ("DELETE", "/etl/keys/a")):
            answer = ask(offices, "root", method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, 14)
            assert "sealed" in answer.json()["message"]
        assert ask(offices, "root", "PUT", "/etl/keys/a", {"value": "new"}).status_code == 503
        assert not (tmp_path / KEK_FILE).exists()
        served = offices.ask("consumer", "POST", read, {"joinKeys": flight, "requestContext": {"planned_air_time": 330}})
        assert served.status_code == 200
        assert offices.ask(None, "GET", "/readyz").status_code == 200
        (tmp_path / "elsewhere").rename(tmp_path / KEK_FILE)
        assert ask(offices, "root", "GET", "/etl/keys/a").json() == {"value": "kept"}


def test_nothing_that_opens_anything_is_in_the_stores_files(demo_dir: Path, tmp_path: Path) -> None:
    """100 secrets, the keys of accounts and their client secrets, a token, and the key that everything is sealed under."""
    kinds = ("API_KEY", "OAUTH_CLIENT_CREDENTIALS")
    with open_offices(demo_dir, tmp_path, ("root", "admin")) as (house, keys), calling(house, keys) as offices:
        ask(offices, "root", "POST", "/etl")
        planted = [base64.b64encode(secrets.token_bytes(24)).decode() for _ in range(100)]
        for number, value in enumerate(planted):
            assert ask(offices, "root", "PUT", f"/etl/keys/s{number % 90}", {"value": value}).status_code == 200
        made: dict[str, str] = {}
        for number in range(10):
            body = {"name": f"account {number}", "credentials_type": f"SERVICE_ACCOUNT_CREDENTIALS_TYPE_{kinds[number % 2]}"}
            made = offices.ask("root", "POST", "/api/v1/metadata-service/create-service-account", body).json()
            planted.append(made.get("api_key") or made["client_secret"])
        form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": planted[-1]}
        planted.append(httpx.post(f"{house.url}/oauth2/default/v1/token", data=form).json()["access_token"])
        planted += [keys["root"], (tmp_path / KEK_FILE).read_text().strip()]
        files = {file.name: file.read_bytes() for file in tmp_path.glob("access.db*")}
    assert {"access.db", "access.db-wal"} <= set(files)
    held = b"".join(files.values())
    assert b"account 9" in held
    assert len(planted) == 113
    assert not [place for place, one in enumerate(planted) if one.encode() in held]
    assert b"PRIVATE KEY" not in held
    assert base64.b64decode(planted[-1]) not in held
