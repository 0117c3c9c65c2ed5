"""Whatever comes to the SCIM doors, none of it is the gateway's fault: thousands of queries and bodies that are nearly right."""

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from gateway.access.scim.resources import GROUP, GROUP_EXTENSION, SERVICE_ACCOUNT, USER
from gateway.access.store.database import open_database
from tests.harness.offices import enrol, open_offices
from tests.harness.postgresql import PostgreSQL

PREFIX = "/api/scim/v2"
ENDPOINTS = ("Users", "Groups", "ServiceAccounts")
ODD: Sequence[Any] = (
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    2**70,
    1.5,
    1e308,
    "",
    "a",
    "false",
    "\u0000",
    "\ud800",
    "é" * 600,
    "x" * 70_000,
    "2020-01-01T00:00:00Z",
    "urn:ietf:params:scim:schemas:core:2.0:User",
    "secret_scope_x",
    "workspace_prod",
    "owner",
    "members",
    'emails[type eq "work"].value',
    [],
    [None],
    ["a", "a"],
    [[]],
    [{}],
    {},
    {"value": None},
    {"type": "User", "value": "nobody"},
    [{"type": "workspace_prod", "value": "owner"}],
    [{"primary": True}, {"primary": True}],
)
ATTRIBUTES = [
    *("schemas", "id", "externalId", "meta", "userName", "name", "name.givenName", "active", "emails", "emails.value", "emails[primary"),
    *("roles", "roles.type", "groups", "groups.value", "displayName", "members", "members.$ref", "description", "apiKey", "nothing"),
    *(GROUP_EXTENSION, f"{GROUP_EXTENSION}:description", f"{USER}:userName"),
]
OPERATORS = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
WORDS = [
    *OPERATORS,
    *("pr", "and", "or", "not", "(", ")", "[", "]", ".", ":", "true", "false", "null", "7", "-1e400", "\\", "%"),
    *('"', '"a"', '"\\u0000"', '"\\ud800"'),
]
VALID: Sequence[dict[str, Any]] = (
    {"schemas": [USER], "userName": "u@x.io", "name": {"givenName": "A"}, "emails": [{"value": "u@x.io", "primary": True}], "roles": []},
    {"schemas": [GROUP], "displayName": "g", "members": [{"value": "m"}], GROUP_EXTENSION: {"description": "d", "idpMappingNames": ["i"]}},
    {
        "schemas": [SERVICE_ACCOUNT],
        "name": "s",
        "active": True,
        "description": "d",
        "roles": [{"type": "workspace_prod", "value": "viewer"}],
    },
)

RIGHT: Sequence[Any] = (
    {"op": "add", "path": "externalId", "value": "x"},
    {"op": "Replace", "path": "roles", "value": [{"type": "all_workspaces", "value": "viewer"}]},
    {"op": "remove", "path": 'members[value eq "a"]'},
    {"op": "add", "path": "members", "value": [{"value": "a", "$ref": None}]},
    {"op": "add", "path": 'emails[type eq "work"].value', "value": "w@x.io"},
    {"op": "replace", "value": {"description": "d", "nickName": "n"}},
)


class Fuzz:
    """Requests that are nearly right, the same ones for the same seed. `ids`: of resources of each kind that were there lately."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.ids: dict[str, deque[str]] = {endpoint: deque(maxlen=4) for endpoint in ENDPOINTS}

    def request(self) -> tuple[str, str, bytes]:
        choose = self._random.choice
        endpoint = choose(ENDPOINTS)
        kind = self._random.randrange(6)
        if kind == 0:
            return "GET", f"{endpoint}?{self._query()}", b""
        if kind == 1:
            return "POST", choose((".search", f"{endpoint}/.search")), self._encoded(self._search())
        path = f"{endpoint}/{choose((*self.ids[endpoint], *self.ids[endpoint], 'nobody', '%ff', quote('é')))}"
        if self._random.random() < 0.2:
            path += f"?{self._query()}"
        if kind == 2:
            patch = {"Operations": [self._operation() for _ in range(self._random.randrange(4))]}
            return "PATCH", path, self._encoded(patch | ({"schemas": choose(ODD)} if self._random.random() < 0.1 else {}))
        if kind == 3:
            return "PUT", path, self._encoded(self._resource(endpoint))
        if kind == 4:
            return choose(("GET", "GET", "PATCH", "DELETE")), path, b""
        return "POST", endpoint, self._encoded(self._resource(endpoint))

    def _resource(self, endpoint: str) -> dict[str, Any]:
        body = dict(VALID[ENDPOINTS.index(endpoint)] if self._random.random() < 0.9 else self._random.choice(VALID))
        if "members" in body:
            body["members"] = [{"value": one} for one in (*self.ids["Users"], *self.ids["ServiceAccounts"])]
        for name in ("userName", "displayName", "name"):
            if isinstance(body.get(name), str):
                body[name] = f"{self._random.random()}@x.io"
        for _ in range(self._random.choice((0, 0, 1, 2))):
            body[self._random.choice(ATTRIBUTES)] = self._value()
        if self._random.random() < 0.2:
            body.pop(self._random.choice(list(body)))
        return body

    def _value(self) -> Any:
        value = self._random.choice(ODD)
        if self._random.random() < 0.2:
            return [{self._random.choice(ATTRIBUTES).partition(".")[2] or "value": value}]
        return {self._random.choice(ATTRIBUTES): value} if self._random.random() < 0.1 else value

    def _operation(self) -> Any:
        if self._random.random() < 0.5:
            return self._random.choice(RIGHT)
        path = self._random.choice([*ATTRIBUTES, f"members[{self._filter()}]", f"emails[{self._filter()}].value", self._filter(), None, 7])
        op = self._random.choice(["add", "Replace", "remove", "REMOVE", "move", None, 3])
        whole = {"op": op, "path": path, "value": self._value()}
        for name in ("op", "path", "value"):
            if self._random.random() < 0.15:
                whole.pop(name)
        return whole if self._random.random() < 0.95 else self._random.choice(ODD)

    def _filter(self) -> str:
        if self._random.random() < 0.5:
            attribute, operator = self._random.choice(ATTRIBUTES), self._random.choice(OPERATORS)
            return f'{attribute} {operator} "{self._random.choice(["a", "", "u@x.io", "%", "2020-01-01T00:00:00Z"])}"'
        return " ".join(self._random.choice((*WORDS, *ATTRIBUTES)) for _ in range(self._random.randrange(1, 9)))

    def _search(self) -> Any:
        asked: dict[str, Any] = {"filter": self._filter(), "count": 3}
        for name in ("startIndex", "count", "sortBy", "sortOrder", "attributes", "excludedAttributes", "filter"):
            if self._random.random() < 0.15:
                asked[name] = self._random.choice((*ODD, *ATTRIBUTES))
        return asked

    def _query(self) -> str:
        asked = {name: value for name, value in self._search().items() if isinstance(value, str | int) and not isinstance(value, bool)}
        return "&".join(f"{name}={quote(str(value)[:2_000], errors='replace')}" for name, value in asked.items())

    def _encoded(self, body: Any) -> bytes:
        """Also what is no text, and no JSON."""
        try:
            encoded = msgspec.json.encode(body)
        except (UnicodeEncodeError, OverflowError):
            return b'{"userName": "\\ud800", "displayName": "\\ud800", "name": 99999999999999999999999}'
        if self._random.random() < 0.03:
            cut = self._random.randrange(len(encoded) + 1)
            return encoded[:cut] + self._random.choice((b"", b"\xff", b"}", b"\\"))
        return encoded


@pytest.fixture(scope="module")
def admin(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        open_offices(demo_dir, tmp_path_factory.mktemp("access"), ("root", "admin")) as (house, keys),
        house.as_caller(keys["root"]) as client,
    ):
        yield client


@pytest.fixture
def admin_of_postgresql(demo_dir: Path, tmp_path: Path, postgresql: PostgreSQL) -> Iterator[httpx.Client]:
    with postgresql.lend() as url:
        database = open_database(url)
        _, key = enrol(database, "root", "admin")
        database.close()
        kept = {"store": "postgresql", "database": url, "kek": "5c" * 32}
        with open_offices(demo_dir, tmp_path, auth=kept) as (house, _), house.as_caller(key) as client:
            yield client


def survive(admin: httpx.Client, seed: int, cases: int) -> Counter[int]:
    """How many of each status."""
    fuzz, statuses = Fuzz(seed), Counter[int]()
    for number in range(cases):
        method, path, sent = fuzz.request()
        answer = admin.request(method, f"{PREFIX}/{path}", content=sent)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, (number, method, path, sent[:500], answer.text)
        if answer.status_code == 201:
            fuzz.ids[path].append(answer.json()["id"])
        if answer.status_code >= 400:
            told = answer.json()
            assert told["status"] == str(answer.status_code)
            assert told.get("scimType") in {
                None,
                *["invalidFilter", "invalidPath", "invalidSyntax", "invalidValue", "mutability", "noTarget", "uniqueness"],
            }
            assert len(told["detail"]) < 400, (number, method, path, sent[:500], answer.text)
    assert admin.get("/v1/audit").status_code == 200
    return statuses


def test_hundreds_of_requests_that_are_nearly_right(admin: httpx.Client) -> None:
    statuses = survive(admin, 1, 400)
    assert {200, 201, 204, 400, 404} <= statuses.keys()


def test_hundreds_in_postgresql_which_keeps_less(admin_of_postgresql: httpx.Client) -> None:
    """It has lengths, and takes no NUL."""
    assert {200, 201, 204, 400, 404} <= survive(admin_of_postgresql, 3, 400).keys()


@pytest.mark.slow
def test_thousands_of_requests_that_are_nearly_right(admin: httpx.Client) -> None:
    statuses = survive(admin, 2, 5_000)
    assert {200, 201, 204, 400, 404} <= statuses.keys()
    assert statuses[200] + statuses[201] + statuses[204] > 1_000
