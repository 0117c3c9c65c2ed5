"""Whatever comes to the administrative doors, nothing of it is the gateway's fault, and every answer is one that the description shows:
bodies, paths and queries that are nearly right, in both databases. SCIM has more of the kind beside it (`web/admin/test_scim_fuzz`)."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doors.spoiling import ADMINISTRATIVE, examples, places, replaced
from tests.doors.stage import open_admin
from tests.web.test_openapi_admin import DOCUMENT, errors

ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 7, 2**63 - 1, -(2**63), 2**64, 1.5, 1e308, "", " ", "a", "false", "0", "null", "*", "/", ".", "..", "%"),
    *("\u0000", "a\u0000b", "\ud800", "\u2028", "é" * 300, "x" * 70_000, "😀" * 100, "ﬃ", "İ", "'; DROP TABLE audit; --", "\\", '"', "_%_"),
    *("etl", "prod", "editors", "owner", "read_scope_role", "RESOURCE_TYPE_WORKSPACE", "PRINCIPAL_TYPE_GROUP", "PRINCIPAL_TYPE_WORKSPACE"),
    *([], [None], ["a", "a"], [[]], [{}], {}, {"": ""}, {"value": None}, [{"type": "workspace_prod", "value": "owner"}]),
)
NASTY: Sequence[Any] = (None, "", "a\u0000b", "x" * 70_000, [{}])
"""Those that have broken something, here or elsewhere: one of each kind."""
NAMES = ("etl", "database", "nobody", "é", "a b", "a\u2028b", "x" * 300, "%", "?", "'", "\udcff", "*", ":", "..a", "😀")
PARAMETERS = ("actor", "action", "target", "outcome", "since", "until", "before", "limit", "filter", "count", "startIndex", "sortBy", "x")
VALUES = (
    *("", "0", "-1", "1", "1000", "99999999999999999999", "1e3", "٣", "\u0000", "\udcff", "é", "prod/", "%", "_", "etl", "done"),
    *(
        "2026-01-31T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "2026-W01",
        "20260131",
        'userName eq "a"',
        "name",
    ),
)
KNOWN = {"b51f8d0a8c5f4b7ba61c3d0f4c1f6a2e": "oauth", "9fJq2ZrXc7LmW0aTbYk1": "secret", "2819c223-7f76-453a-919d-413861904646": "sa-key"}
"""What the examples call things, and what the tests do."""


class Admin:
    """One who may everything, with a few things to do it to."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.statuses = Counter[int]()
        self._known = self._furnished()

    def _furnished(self) -> dict[str, str]:
        prefix = "/api/v1/service-accounts-service"
        kind = "SERVICE_ACCOUNT_CREDENTIALS_TYPE_OAUTH_CLIENT_CREDENTIALS"
        account = self._done("POST", f"{prefix}/create-service-account", {"name": "fuzzed", "credentials_type": kind})["id"]
        secret = self._done("POST", f"{prefix}/create-service-account-secret", {"id": account})["secret"]["secret_id"]
        user = self._done("POST", "/api/scim/v2/Users", {"userName": "fuzzed"})["id"]
        self._done("POST", "/api/v1/secrets-service/scopes/etl", None)
        self._done("PUT", "/api/v1/secrets-service/scopes/etl/keys/database", {"value": "v"})
        return dict(zip(KNOWN, (account, secret, user), strict=True))

    def _done(self, method: str, path: str, body: object) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def ask(self, route: str, names: Sequence[str], query: str, body: bytes) -> None:
        """Holds the answer to what the description says of this route."""
        method, path = route.split(" ")
        for was, now in self._known.items():
            body = body.replace(was.encode(), now.encode())
        for name, part in zip(names, ("{scope}", "{key}"), strict=True):
            path = path.replace(part, quote(name, safe="", errors="surrogateescape")).replace(
                "{id}", quote(name, safe="", errors="surrogateescape")
            )
        answer = self.client.request(method, path + query, content=body)
        self.statuses[answer.status_code] += 1
        told = (route, names, query, body[:500], answer.status_code, answer.text[:500])
        assert answer.status_code < 500, told
        shown = DOCUMENT["paths"][route.split(" ")[1]][method.lower()]["responses"]
        if answer.status_code == 404 and answer.json()["message"].startswith("Not Found: no such path"):
            return
        assert str(answer.status_code) in shown, told
        for media, one in resolved(shown[str(answer.status_code)]).get("content", {}).items():
            assert answer.headers["content-type"] == media, told
            assert errors(one["schema"], answer.json()) == [], told


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in response:
        one: dict[str, Any] = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
        return one
    return response


@st.composite
def bodies(draw: st.DrawFn, route: str) -> bytes:
    shown = examples(route)
    if not shown:
        return b""
    body = draw(st.sampled_from(shown))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        value = draw(st.sampled_from(ODD) | st.text(max_size=20) | st.sampled_from(list(KNOWN)))
        body = replaced(body, draw(st.sampled_from(list(places(body)))), value)
    whole = encoded(body, escaped=draw(st.booleans()))
    if draw(st.integers(0, 15)) == 0:
        cut = draw(st.integers(0, len(whole)))
        return whole[:cut] + draw(st.sampled_from([b"", b"\xff", b"}", b"\\", b"\x00", b'{"a":' * 50]))
    return whole


def encoded(body: object, *, escaped: bool = True) -> bytes:
    """Also what is no text."""
    return json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Sequence[str], str, bytes]:
    route = draw(st.sampled_from(ADMINISTRATIVE))
    names = [draw(st.sampled_from([NAMES[place], NAMES[place], *NAMES, *KNOWN])) for place in range(2)]
    given = draw(
        st.lists(st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(VALUES)), max_size=2) if draw(st.booleans()) else st.just([])
    )
    query = "&".join(f"{name}={quote(value, errors='surrogateescape')}" for name, value in given)
    return route, names, f"?{query}" if query else "", draw(bodies(route))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def admin(request: pytest.FixtureRequest, demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    server = partial(request.getfixturevalue, "postgresql")
    with open_admin(request.param, demo_dir, tmp_path_factory.mktemp("access"), server) as (house, key), house.as_caller(key) as client:
        yield Admin(client)


def every_place(odd: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    for route in ADMINISTRATIVE:
        for example in examples(route):
            for place in places(example):
                yield from ((route, encoded(replaced(example, place, value))) for value in odd)


def test_every_place_may_hold_anything(admin: Admin) -> None:
    for route, body in every_place(NASTY):
        admin.ask(route, NAMES[:2], "", body)
    for name in PARAMETERS:
        for value in VALUES:
            admin.ask("GET /v1/audit", NAMES[:2], f"?{name}={quote(value, errors='surrogateescape')}", b"")


@pytest.mark.slow
def test_every_place_may_hold_anything_at_all(admin: Admin) -> None:
    for route, body in every_place(ODD):
        admin.ask(route, NAMES[:2], "", body)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(asked=requests())
def test_hundreds_of_requests_are_answered_as_described(admin: Admin, asked: tuple[str, Sequence[str], str, bytes]) -> None:
    admin.ask(*asked)


@pytest.mark.slow
@settings(max_examples=4_000, suppress_health_check=[HealthCheck.too_slow])
@given(asked=requests())
def test_thousands_of_requests_are_answered_as_described(admin: Admin, asked: tuple[str, Sequence[str], str, bytes]) -> None:
    admin.ask(*asked)


def test_much_of_it_was_right(admin: Admin) -> None:
    """Else the doors behind the first refusal were never reached. Comes last."""
    assert {200, 400, 404} <= admin.statuses.keys() or not admin.statuses
