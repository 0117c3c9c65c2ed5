"""The token endpoint, through the door, and what its tokens open."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.standings import WORKSPACE
from gateway.administering import open_file
from gateway.web.openapi.examples import CONTEXT, JOIN_KEYS, SERVICE
from tests.harness.houses import KEYS, House, demo_settings, open_house
from tests.harness.offices import assign, open_offices

PATH = "/oauth2/default/v1/token"
ACCOUNTS = "/api/v1/service-accounts-service"
OAUTH = "SERVICE_ACCOUNT_CREDENTIALS_TYPE_OAUTH_CLIENT_CREDENTIALS"
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials", "scope": "everything"}


@dataclass(frozen=True, slots=True)
class Desk:
    """A gateway with an admin, an OAuth account that may read, and one that is deactivated."""

    house: House
    keys: Mapping[str, str]
    client: httpx.Client
    id: str
    secret: str
    off_id: str
    off_secret: str
    key_account_id: str

    def admin(self, operation: str, **body: Any) -> Any:
        with self.house.as_caller(self.keys["root"]) as root:
            answer = root.post(f"{ACCOUNTS}/{operation}", content=json.dumps(body))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def token(self, client_id: str | None = None, secret: str | None = None) -> str:
        posted = {**GRANT, "client_id": client_id or self.id, "client_secret": secret or self.secret}
        answer = self.client.post(PATH, data=posted)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def bearing(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def mine(self, token: str) -> httpx.Response:
        """What the account of a token sees of itself."""
        return self.client.post(f"{ACCOUNTS}/get-service-account", headers=self.bearing(token))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access")


@pytest.fixture(scope="module")
def desk(demo_dir: Path, folder: Path) -> Iterator[Desk]:
    opened = open_offices(demo_dir, folder, ("root", "admin"))
    with opened as (house, keys), house.as_caller(None) as client, house.as_caller(keys["root"]) as root:

        def made(name: str) -> dict[str, Any]:
            return dict(root.post(f"{ACCOUNTS}/create-service-account", json={"name": name, "credentialsType": OAUTH}).json())

        on = made("on")
        database = open_file(folder)
        reader = Principal(PrincipalKind.SERVICE_ACCOUNT, on["id"])
        database.transact(lambda session: assign(session, reader, WORKSPACE, "prod", "consumer"))
        database.close()
        off = made("off")  # after which the gate has read of the role
        root.post(f"{ACCOUNTS}/update-service-account", json={"id": off["id"], "isActive": False})
        yield Desk(house, keys, client, on["id"], on["client_secret"], off["id"], off["client_secret"], "sa-root")


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def test_the_documented_exchange(desk: Desk) -> None:
    body = f"scope=everything&grant_type=client_credentials&client_id={desk.id}&client_secret={desk.secret}"
    answer = desk.client.post(PATH, content=body, headers={"Content-Type": FORM})
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("access_token").count(".") == 2
    assert told == {"token_type": "Bearer", "expires_in": 3600, "scope": "everything"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["content-type"] == "application/json"


MATRIX: list[tuple[str, dict[str, str] | str, dict[str, str], int, str | None]] = [
    ("posted", {**GRANT, "client_id": "{id}", "client_secret": "{secret}"}, {}, 200, None),
    ("basic", GRANT, {"Authorization": "{basic}"}, 200, None),
    ("basic in another case", GRANT, {"Authorization": "{bASIC}"}, 200, None),
    ("basic and the same id", {**GRANT, "client_id": "{id}"}, {"Authorization": "{basic}"}, 200, None),
    ("no scope", {"grant_type": "client_credentials"}, {"Authorization": "{basic}"}, 200, None),
    ("no content type", "grant_type=client_credentials", {"Authorization": "{basic}", "Content-Type": ""}, 200, None),
    ("charset", "grant_type=client_credentials", {"Authorization": "{basic}", "Content-Type": f"{FORM};charset=utf-8"}, 200, None),
    ("unknown parameter", {**GRANT, "resource": "x"}, {"Authorization": "{basic}"}, 200, None),
    ("no client", GRANT, {}, 401, "invalid_client"),
    ("no secret", {**GRANT, "client_id": "{id}"}, {}, 401, "invalid_client"),
    ("empty secret", {**GRANT, "client_id": "{id}", "client_secret": ""}, {}, 401, "invalid_client"),
    ("wrong secret", {**GRANT, "client_id": "{id}", "client_secret": "fgs_wrong"}, {}, 401, "invalid_client"),
    ("unknown id", {**GRANT, "client_id": "f" * 32, "client_secret": "{secret}"}, {}, 401, "invalid_client"),
    ("secret of another", {**GRANT, "client_id": "{id}", "client_secret": "{off_secret}"}, {}, 401, "invalid_client"),
    ("account with a key", {**GRANT, "client_id": "{key_account}", "client_secret": "{key}"}, {}, 401, "invalid_client"),
    ("wrong basic", GRANT, {"Authorization": "Basic d3Jvbmc6d3Jvbmc="}, 401, "invalid_client"),
    ("garbled basic", GRANT, {"Authorization": "Basic ???"}, 401, "invalid_client"),
    ("an api key", GRANT, {"Authorization": "Tecton-key {key}"}, 401, "invalid_client"),
    ("a token", GRANT, {"Authorization": "Bearer {token}"}, 401, "invalid_client"),
    ("deactivated", {**GRANT, "client_id": "{off_id}", "client_secret": "{off_secret}"}, {}, 400, "unauthorized_client"),
    ("deactivated, wrong secret", {**GRANT, "client_id": "{off_id}", "client_secret": "x"}, {}, 401, "invalid_client"),
    ("both ways", {**GRANT, "client_id": "{id}", "client_secret": "{secret}"}, {"Authorization": "{basic}"}, 400, "invalid_request"),
    ("two ids", {**GRANT, "client_id": "another"}, {"Authorization": "{basic}"}, 400, "invalid_request"),
    ("no grant type", {"scope": "everything"}, {"Authorization": "{basic}"}, 400, "invalid_request"),
    ("twice", "grant_type=client_credentials&grant_type=client_credentials", {"Authorization": "{basic}"}, 400, "invalid_request"),
    ("json", '{"grant_type":"client_credentials"}', {"Content-Type": "application/json"}, 400, "invalid_request"),
    ("nothing", "", {}, 400, "invalid_request"),
    ("no form", "grant_type", {}, 400, "invalid_request"),
    ("password", {"grant_type": "password"}, {"Authorization": "{basic}"}, 400, "unsupported_grant_type"),
    ("refresh", {"grant_type": "refresh_token"}, {"Authorization": "{basic}"}, 400, "unsupported_grant_type"),
    ("part of it", {**GRANT, "scope": "openid"}, {"Authorization": "{basic}"}, 400, "invalid_scope"),
    ("more of it", {**GRANT, "scope": "everything openid"}, {"Authorization": "{basic}"}, 400, "invalid_scope"),
    ("too large", "a=" + "x" * 20_000, {}, 413, "invalid_request"),
]


@pytest.mark.parametrize(("body", "headers", "status", "error"), [pytest.param(*case, id=name) for name, *case in MATRIX])
def test_client_credentials(desk: Desk, body: dict[str, str] | str, headers: dict[str, str], status: int, error: str | None) -> None:
    spelled = {
        "id": desk.id,
        "secret": desk.secret,
        "off_id": desk.off_id,
        "off_secret": desk.off_secret,
        "key_account": desk.key_account_id,
        "key": desk.keys["root"],
        "basic": basic(desk.id, desk.secret),
        "bASIC": basic(desk.id, desk.secret).replace("Basic", "bASIC"),
        "token": desk.token() if "{token}" in str(headers) else "",
    }
    sent = {"Content-Type": FORM} | {name: value.format(**spelled) for name, value in headers.items()}
    if isinstance(body, dict):
        answer = desk.client.post(
            PATH, data={name: value.format(**spelled) for name, value in body.items()}, headers={n: v for n, v in sent.items() if v}
        )
    else:
        answer = desk.client.post(PATH, content=body, headers={name: value for name, value in sent.items() if value})
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    if error is None:
        assert set(told) == {"token_type", "expires_in", "access_token", "scope"}
    else:
        assert set(told) == {"error", "error_description"}
        assert told["error"] == error
        assert ("www-authenticate" in answer.headers) is (status == 401)
        assert not [shown for shown in (desk.secret, desk.off_secret, desk.keys["root"]) if shown in answer.text]


def test_parameters_do_not_go_into_the_url(desk: Desk) -> None:
    answer = desk.client.post(f"{PATH}?client_id={desk.id}&client_secret={desk.secret}", data=GRANT)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_an_unknown_id_and_a_wrong_secret_are_answered_alike(desk: Desk) -> None:
    answers = [
        desk.client.post(PATH, data={**GRANT, "client_id": client_id, "client_secret": secret})
        for client_id, secret in ((desk.id, "fgs_wrong"), ("f" * 32, desk.secret), (desk.off_id, "fgs_wrong"), ("\x00", "x"))
    ]
    assert len({(answer.status_code, answer.content, str(sorted(answer.headers.items()))) for answer in answers}) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_tokens_are_posted_for(desk: Desk, method: str) -> None:
    answer = desk.client.request(method, PATH)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_a_token_speaks_for_its_account(desk: Desk) -> None:
    [itself] = desk.mine(desk.token()).json()["service_accounts"]
    assert itself["id"] == desk.id


def test_what_a_token_did_is_written_down_under_its_secret(desk: Desk) -> None:
    token = desk.token()
    assert desk.client.post(f"{ACCOUNTS}/create-service-account", json={"name": "x"}, headers=desk.bearing(token)).status_code == 403
    with desk.house.as_caller(desk.keys["root"]) as root:
        log = root.get("/v1/audit", params={"actor": desk.id, "limit": "1"})
    [secret] = desk.admin("list-service-account-secrets", id=desk.id)["clientSecrets"]
    assert log.json()["entries"][0]["actor"] == {"kind": "service_account", "id": desk.id, "name": "on", "credential": secret["secret_id"]}
    assert token not in log.text


def test_tokens_write_nothing_and_see_no_metrics(desk: Desk) -> None:
    token = desk.token()
    ingest = desk.client.post("/ingest", json={"workspaceName": "prod", "records": {}}, headers=desk.bearing(token))
    metrics = desk.client.get("/metrics", headers=desk.bearing(token))
    assert [answer.status_code for answer in (ingest, metrics)] == [401, 401]


def test_a_token_is_over_when_its_account_is_deactivated_and_not_before(desk: Desk) -> None:
    token = desk.token()
    assert desk.mine(token).status_code == 200
    desk.admin("update-service-account", id=desk.id, is_active=False)
    assert desk.mine(token).status_code == 401
    desk.admin("update-service-account", id=desk.id, is_active=True)
    assert desk.mine(token).status_code == 200


def test_a_token_is_over_when_its_secret_is_deactivated_and_others_are_not(desk: Desk) -> None:
    account = desk.admin("create-service-account", name="rotating", credentials_type=OAUTH)
    [first] = desk.admin("list-service-account-secrets", id=account["id"])["clientSecrets"]
    second = desk.admin("create-service-account-secret", id=account["id"])["secret"]
    by_first, by_second = desk.token(account["id"], account["client_secret"]), desk.token(account["id"], second["secret"])
    desk.admin("deactivate-service-account-secret", service_account_id=account["id"], secret_id=first["secret_id"])
    assert [desk.mine(token).status_code for token in (by_first, by_second)] == [401, 200]
    refused = desk.client.post(PATH, data=GRANT, headers={"Authorization": basic(account["id"], account["client_secret"])})
    assert refused.json()["error"] == "invalid_client"


def test_anybody_can_verify_tokens_with_the_published_keys(desk: Desk) -> None:
    answer = desk.client.get("/oauth2/default/v1/keys")
    assert answer.status_code == 200
    keys = KeySet.import_key_set(answer.json())
    token = jwt.decode(desk.token(), keys, algorithms=["ES256"])
    assert token.claims["sub"] == desk.id
    assert all("d" not in key for key in answer.json()["keys"])


def test_a_token_reads_features_where_its_account_may(desk: Desk) -> None:
    token = desk.token()
    read = {"joinKeys": JOIN_KEYS, "requestContext": CONTEXT}
    answers = [
        desk.client.post(f"/v1/workspaces/{workspace}/feature-services/{SERVICE}/features", json=read, headers=desk.bearing(token))
        for workspace in ("prod", "elsewhere")
    ]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert answers[0].json()["features"]


def reopened(folder: Path, demo_dir: Path, **auth: Any) -> AbstractContextManager[House]:
    """Another gateway at the store that is in a folder already."""
    return open_house(demo_settings(demo_dir, auth={"keys": KEYS, "store": "sqlite", "data_dir": folder, **auth}))


def test_replicas_of_one_store_take_the_tokens_of_one_another(desk: Desk, demo_dir: Path, folder: Path) -> None:
    with reopened(folder, demo_dir) as other, other.as_caller(None) as client:
        there = Desk(other, desk.keys, client, desk.id, desk.secret, desk.off_id, desk.off_secret, desk.key_account_id)
        assert there.mine(desk.token()).status_code == 200
        assert desk.mine(there.token()).status_code == 200
        other_issuer = {"oauth": {"issuer": "another"}}
    with reopened(folder, demo_dir, **other_issuer) as stranger, stranger.as_caller(None) as client:
        assert client.post(f"{ACCOUNTS}/get-service-account", headers=desk.bearing(desk.token())).status_code == 401


def test_without_the_key_that_seals_there_are_no_tokens_and_api_keys_go_on(desk: Desk, demo_dir: Path, folder: Path) -> None:
    with reopened(folder, demo_dir, kek="1a" * 32) as sealed, sealed.as_caller(desk.keys["root"]) as root, sealed.as_caller(None) as client:
        answer = client.post(PATH, data={**GRANT, "client_id": desk.id, "client_secret": desk.secret})
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert set(answer.json()) == {"error", "error_description"}
        assert client.post(PATH, data={**GRANT, "client_id": desk.id, "client_secret": "wrong"}).status_code == 401
        assert client.post(f"{ACCOUNTS}/get-service-account", headers=desk.bearing(desk.token())).status_code == 401
        assert client.get("/oauth2/default/v1/keys").json() == {"keys": []}
        assert root.post(f"{ACCOUNTS}/get-service-account").status_code == 200
    assert desk.mine(desk.token()).status_code == 200
