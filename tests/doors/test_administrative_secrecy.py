"""Nothing that administrators send, and no credential or secret that they are given, is told by an error, the log, a span, a metric, the
audit log, or to anybody else. Names and ids are in the audit log, which is what it is for, and in no other of these."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway.web.admin.tokens import PATH as TOKENS
from tests.doors.rights import ROUTES
from tests.doors.spoiling import ADMINISTRATIVE, examples, places, replaced, spoilt
from tests.doors.stage import Stage, open_stage
from tests.doors.test_secrecy import told_by

CANARY = "c4n4ry"
ODD, PLAIN = f"{CANARY} of mine", f"{CANARY}-of-mine"
"""What could be no id and no name of a scope, and what could."""
IDENTIFYING = {"id", "ids", "service_account_id", "secret_id", "resource_id", "resource_ids", "principal_id", "members", "roles", "filter"}
"""Fields that hold ids and names of places, which the audit log tells."""
CLIENTS = ("httpx", "httpcore")
"""Loggers of the tests' own clients."""


@pytest.fixture(scope="module")
def stage(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(demo_dir, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    formatter = logging.Formatter("%(name)s %(message)s")
    return "\n".join(formatter.format(record) for record in caplog.records if not record.name.startswith(CLIENTS))


def held_to_silence(stage: Stage, caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    told = {
        "log": logged(caplog),
        "spans": told_by(stage.house.spans()),
        "metrics": stage.send_plainly("conf", "GET", "/metrics").text,
        "audit": str(stage.audit()),
    }
    assert "# TYPE" in told["metrics"]
    for secret in secrets:
        assert [where for where, text in told.items() if secret in text] == [], secret
    stage.house.exporter.clear()


def canaries(route: str) -> Iterator[Any]:
    """Bodies with a canary in each place, as a value, as a value of the wrong type, and as a name."""
    for example in examples(route):
        for place in places(example):
            yield replaced(example, place, ODD)
            yield replaced(example, place, [{ODD: ODD}])
            if not IDENTIFYING & set(place):
                yield replaced(example, place, PLAIN)
                yield spoilt(example, place, lambda value: {**value, PLAIN: PLAIN} if isinstance(value, dict) else {PLAIN: PLAIN})
    yield from (ODD, [ODD], {ODD: ODD})


def refused_in_silence(replies: Sequence[httpx.Response]) -> None:
    for reply in replies:
        assert reply.status_code < 500, (reply.request.url, reply.request.content, reply.text)
        if reply.status_code >= 400:
            assert CANARY not in reply.text, (reply.request.url, reply.request.content, reply.text)
        assert CANARY not in str(reply.headers)


@pytest.mark.parametrize("route", [route for route in ADMINISTRATIVE if examples(route)])
def test_a_body_is_told_to_nobody(stage: Stage, caplog: pytest.LogCaptureFixture, route: str) -> None:
    [ask, *_] = ROUTES[route]
    method, path = route.split(" ", maxsplit=1)[0], stage.path(ask, route)
    replies = [stage.send_plainly("admin", method, path, json=body) for body in canaries(route)]
    replies += [stage.send_plainly("admin", method, path, content=f'{{"{PLAIN}": {PLAIN}'.encode())]
    replies += [stage.send_plainly(who, method, path, json={PLAIN: ODD}) for who in ("none", "bare", "lord")]
    refused_in_silence(replies)
    held_to_silence(stage, caplog, CANARY)


def spelled_out(body: object) -> dict[str, Any]:
    """Forms come as bytes."""
    return {"content": body} if isinstance(body, bytes) else {"json": body}


@pytest.mark.parametrize("route", [route for route, asks in ROUTES.items() if asks[0].line not in {"open", "token"}])
def test_headers_and_query_are_told_to_nobody(stage: Stage, caplog: pytest.LogCaptureFixture, route: str) -> None:
    [ask, *_] = ROUTES[route]
    method = route.split(" ", maxsplit=1)[0]
    path = stage.path(ask, route)
    names = ("Cookie", "Referer", "User-Agent", "Content-Type", "Accept", "If-Match", "X-Forwarded-For", f"X-{PLAIN}", "Traceparent")
    sent: dict[str, Any] = {} if method in {"GET", "DELETE"} else spelled_out(ask.body(stage.things("admin")))
    replies = [stage.send_plainly(who, method, path, headers=dict.fromkeys(names, ODD), **sent) for who in ("bare", "none")]
    for scheme in ("Tecton-key", "Bearer", "Basic", PLAIN):
        replies.append(stage.send_plainly("none", method, path, headers={"Authorization": f"{scheme} {PLAIN}"}, **sent))
        assert replies[-1].status_code == 401
    queries = (PLAIN, f"{PLAIN}={PLAIN}", f"limit={PLAIN}", f"since={PLAIN}", f"count={PLAIN}", f"filter={quote(f'userName eq {ODD}')}")
    more = (f"filter={PLAIN}%20eq%20%22{PLAIN}%22", f"sortBy={PLAIN}", f"attributes={PLAIN}", f"{PLAIN}=1&{PLAIN}=2", f"actor={PLAIN}&x=1")
    replies += [stage.send_plainly(who, method, f"{path}?{query}", **sent) for who in ("admin", "bare") for query in (*queries, *more)]
    refused_in_silence(replies)
    held_to_silence(stage, caplog, CANARY)


@pytest.mark.parametrize("route", [route for route in ROUTES if "{workspace}" in route])
def test_places_that_do_not_exist_are_in_no_metric(stage: Stage, caplog: pytest.LogCaptureFixture, route: str) -> None:
    """Their caller is told of them by name (contract §1.5), and so are who looks into a span."""
    [ask, *_] = ROUTES[route]
    method, path = route.split(" ")
    sent: dict[str, Any] = {} if method in {"GET", "DELETE"} else spelled_out(ask.body(stage.things("lord")))
    spelled = path.replace("{workspace}", PLAIN).replace("{feature_service}", PLAIN)
    replies = [stage.send_plainly(who, method, spelled, **sent) for who in ("lord", "bare", "none")]
    assert [reply.status_code for reply in replies] in ([404, 403, 401], [200, 403, 401])
    assert CANARY not in stage.send_plainly("conf", "GET", "/metrics").text
    assert CANARY not in logged(caplog)
    stage.house.exporter.clear()


@pytest.mark.parametrize("route", [route for route in ADMINISTRATIVE if "{" in route])
def test_what_is_no_name_is_told_to_nobody(stage: Stage, caplog: pytest.LogCaptureFixture, route: str) -> None:
    [ask, *_] = ROUTES[route]
    method, path = route.split(" ")
    names = (quote(ODD), f"{CANARY}%ff", quote(f"é{CANARY}"), CANARY * 50, quote(f"{CANARY}\u2028{CANARY}"))
    parts = [one for one in ("{scope}", "{key}", "{id}") if one in path]
    sent: dict[str, Any] = {} if method in {"GET", "DELETE"} else {"json": ask.body(stage.things("admin"))}
    replies = []
    for name in names:
        spelled = path
        for part in parts:
            spelled = spelled.replace(part, name if part == parts[-1] else "etl")
        replies += [stage.send_plainly(who, method, spelled, **sent) for who in ("admin", "bare", "none")]
    assert {reply.status_code for reply in replies} <= {400, 401, 403, 404}
    refused_in_silence(replies)
    held_to_silence(stage, caplog, CANARY)


def test_secrets_are_told_to_who_may_read_them_alone(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    scope, name, value = stage.make("scope"), "database", f"{CANARY} that is secret"
    path = f"/api/v1/secrets-service/scopes/{scope}/keys/{name}"
    assert stage.send_plainly("manager", "PUT", path, json={"value": value}).status_code == 200
    assert stage.send_plainly("reader", "GET", path).json() == {"value": value}
    others = ("none", "conf", "bare", "lord", "admin", "token", "maker")
    replies = [stage.send_plainly(who, "GET", path) for who in others]
    replies += [stage.send_plainly(who, "GET", one) for who in ("reader", "admin") for one in (path.rpartition("/")[0], "/v1/audit")]
    assert [reply for reply in replies if value in reply.text] == []
    assert stage.send_plainly("manager", "DELETE", path).status_code == 200
    assert value not in stage.send_plainly("reader", "GET", path).text
    held_to_silence(stage, caplog, value)
    assert not [file for file in stage.files() if value.encode() in file.read_bytes()]


def test_credentials_are_told_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    made, told = list[str](), dict[str, str]()
    for kind, field in (("API_KEY", "api_key"), ("OAUTH_CLIENT_CREDENTIALS", "client_secret")):
        given = {"name": stage.make("name"), "credentials_type": f"SERVICE_ACCOUNT_CREDENTIALS_TYPE_{kind}"}
        told = stage.told("admin", "POST", "/api/v1/service-accounts-service/create-service-account", given)
        made.append(told[field])
    account = told["id"]
    second = stage.told("admin", "POST", "/api/v1/service-accounts-service/create-service-account-secret", {"id": account})
    made.append(second["secret"]["secret"])
    made.append(stage.send_plainly("admin", "POST", "/api/scim/v2/ServiceAccounts", json={"name": stage.make("name")}).json()["apiKey"])
    form = {"grant_type": "client_credentials", "client_id": account, "client_secret": made[1]}
    made.append(stage.send_plainly("none", "POST", TOKENS, data=form).json()["access_token"])
    replies = [
        stage.send_plainly("none", "POST", TOKENS, data={**form, "scope": made[0]}),
        stage.send_plainly("none", "POST", TOKENS, data={**form, "client_secret": made[2][:-1]}),
        stage.send_plainly("none", "POST", TOKENS, data={**form, made[1]: made[1]}),
        stage.send_plainly("none", "POST", f"{TOKENS}?client_secret={made[1]}", data=form),
        stage.send_plainly("none", "POST", TOKENS, data={"grant_type": made[1]}, headers={"Authorization": f"Bearer {made[0]}"}),
        stage.send_plainly("admin", "POST", "/api/v1/service-accounts-service/list-service-account-secrets", json={"id": account}),
        stage.send_plainly("admin", "POST", "/api/v1/service-accounts-service/get-service-account", json={}),
        stage.send_plainly("admin", "GET", "/api/scim/v2/ServiceAccounts?attributes=apiKey,name"),
        stage.send_plainly("admin", "GET", "/oauth2/default/v1/keys"),
        *[stage.send_plainly("none", "GET", "/v1/audit", headers={"Authorization": f"Bearer {one}"}) for one in made],
    ]
    for secret in made:
        assert [reply.request.url for reply in replies if secret in reply.text + str(reply.headers)] == []
    held_to_silence(stage, caplog, *made)
    assert not [file for file in stage.files() for secret in made if secret.encode() in file.read_bytes()]
