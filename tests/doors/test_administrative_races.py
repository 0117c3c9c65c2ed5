"""Administrators at once: of what can be done once it is done once, what must stay true stays true, and nobody is told of a failure that is
the gateway's own; in both databases."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.web.admin.routes import ACCOUNTS_TOO, AUTHORIZATION, SCOPES
from tests.doors.stage import open_admin
from tests.harness.houses import House

AT_ONCE = 8
OAUTH = "SERVICE_ACCOUNT_CREDENTIALS_TYPE_OAUTH_CLIENT_CREDENTIALS"
SCIM = "/api/scim/v2"
ON, OFF = ({"Operations": [{"op": "replace", "path": "active", "value": value}]} for value in (True, False))
Ask = tuple[str, str, Any]
"""Method, path and body."""


class Crowd:
    """Admins, each on a connection of its own."""

    def __init__(self, house: House, clients: Sequence[httpx.Client], threads: ThreadPoolExecutor) -> None:
        self.house = house
        self._clients = clients
        self._threads = threads
        self._names = count()

    def name(self) -> str:
        return f"n{next(self._names)}"

    def done(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._clients[0].request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def at_once(self, *asks: Ask) -> list[httpx.Response]:
        """Of all of them, in turn, as many as there are admins."""
        asked = [
            self._threads.submit(client.request, method, path, json=body)
            for client, (method, path, body) in zip(self._clients, cycle(asks), strict=False)
        ]
        return [one.result(60) for one in asked]

    def statuses(self, *asks: Ask) -> Counter[int]:
        return Counter(answer.status_code for answer in self.at_once(*asks))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowd(request: pytest.FixtureRequest, demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    server = partial(request.getfixturevalue, "postgresql")
    with open_admin(request.param, demo_dir, tmp_path_factory.mktemp("access"), server) as (house, key), ExitStack() as open_ones:
        clients = [open_ones.enter_context(house.as_caller(key)) for _ in range(AT_ONCE)]
        yield Crowd(house, clients, open_ones.enter_context(ThreadPoolExecutor(AT_ONCE)))


MADE: dict[str, Callable[[str], Ask]] = {
    "account": lambda name: ("POST", f"{ACCOUNTS_TOO}/create-service-account", {"name": name, "credentials_type": OAUTH}),
    "user": lambda name: ("POST", f"{SCIM}/Users", {"userName": name}),
    "group": lambda name: ("POST", f"{SCIM}/Groups", {"displayName": name}),
    "scim account": lambda name: ("POST", f"{SCIM}/ServiceAccounts", {"name": name}),
    "scope": lambda name: ("POST", f"{SCOPES}/{name}", None),
}


@pytest.mark.parametrize("what", MADE)
def test_a_name_is_taken_once(crowd: Crowd, what: str) -> None:
    for _ in range(5):
        statuses = crowd.statuses(MADE[what](crowd.name()))
        assert statuses == {201 if what in {"user", "group", "scim account"} else 200: 1, 409: AT_ONCE - 1}


def test_the_last_value_of_a_secret_is_one_of_those_that_were_put(crowd: Crowd) -> None:
    scope = crowd.name()
    crowd.done("POST", f"{SCOPES}/{scope}")
    path = f"{SCOPES}/{scope}/keys/password"
    assert crowd.statuses(*[("PUT", path, {"value": f"v{number}"}) for number in range(AT_ONCE)]) == {200: AT_ONCE}
    assert crowd.done("GET", path)["value"] in {f"v{number}" for number in range(AT_ONCE)}
    assert crowd.statuses(("DELETE", path, None)) == {200: 1, 404: AT_ONCE - 1}


def test_a_scope_is_not_deleted_under_a_secret(crowd: Crowd) -> None:
    """Either the secret was there first and the scope stays, or the scope went first and there is no place for the secret."""
    for _ in range(5):
        scope = crowd.name()
        crowd.done("POST", f"{SCOPES}/{scope}")
        put = [("PUT", f"{SCOPES}/{scope}/keys/a", {"value": "v"})] * (AT_ONCE - 1)
        *stored, deleted = crowd.at_once(*put, ("DELETE", f"{SCOPES}/{scope}", None))
        listed = scope in {one["name"] for one in crowd.done("GET", SCOPES)["scopes"]}
        assert deleted.status_code in {200, 400}
        assert listed == (deleted.status_code == 400)
        assert {answer.status_code for answer in stored} <= {200, 403, 404}


def test_an_account_has_two_client_secrets_at_most_and_one_active_at_least(crowd: Crowd) -> None:
    account = crowd.done("POST", f"{ACCOUNTS_TOO}/create-service-account", {"name": crowd.name(), "credentials_type": OAUTH})["id"]
    assert crowd.statuses(("POST", f"{ACCOUNTS_TOO}/create-service-account-secret", {"id": account})) == {200: 1, 400: AT_ONCE - 1}
    path = f"{ACCOUNTS_TOO}/list-service-account-secrets"
    secrets = [one["secret_id"] for one in crowd.done("POST", path, {"id": account})["clientSecrets"]]
    for _ in range(5):
        asks = [
            ("POST", f"{ACCOUNTS_TOO}/deactivate-service-account-secret", {"service_account_id": account, "secret_id": secret})
            for secret in secrets
        ]
        statuses = crowd.statuses(*asks)
        assert set(statuses) <= {200, 400}
        shown = crowd.done("POST", path, {"id": account})["clientSecrets"]
        assert sorted(one["status"] for one in shown) == ["ACTIVE", "INACTIVE"]
        for secret in secrets:
            crowd.done("POST", f"{ACCOUNTS_TOO}/activate-service-account-secret", {"service_account_id": account, "secret_id": secret})


def test_a_member_joins_once_and_a_role_is_given_once(crowd: Crowd) -> None:
    user, group = crowd.done(*MADE["user"](crowd.name()))["id"], crowd.done(*MADE["group"](crowd.name()))["id"]
    join = {"Operations": [{"op": "add", "path": "members", "value": [{"value": user}]}]}
    assert crowd.statuses(("PATCH", f"{SCIM}/Groups/{group}", join)) == {200: AT_ONCE}
    assert [one["value"] for one in crowd.done("GET", f"{SCIM}/Groups/{group}")["members"]] == [user]
    one = {"principal_type": "PRINCIPAL_TYPE_USER", "principal_id": user, "resource_type": "RESOURCE_TYPE_WORKSPACE", "resource_id": "prod"}
    path = f"{AUTHORIZATION}/assign-roles"
    assert crowd.statuses(("POST", path, {"assignments": [{**one, "role": "viewer"}]})) == {200: AT_ONCE}
    [told] = crowd.done("GET", f"{SCIM}/Users/{user}")["roles"]
    assert (told["type"], told["value"]) == ("workspace_prod", "viewer")
    removed = crowd.statuses(("DELETE", f"{SCIM}/Users/{user}", None), ("PATCH", f"{SCIM}/Groups/{group}", join))
    assert removed[204] == 1
    assert set(removed) <= {200, 204, 400, 404}
    assert crowd.done("GET", f"{SCIM}/Groups/{group}")["members"] == []


def test_admins_who_put_each_other_out_do_not_all(crowd: Crowd) -> None:
    """Somebody who can let others in is left."""
    admin = {"roles": [{"type": "account_type", "value": "admin"}]}
    admins = [crowd.done("POST", f"{SCIM}/ServiceAccounts", {"name": crowd.name(), **admin}) for _ in range(3)]
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(crowd.house.as_caller(one["apiKey"])) for one in admins]
        assert clients[0].patch(f"{SCIM}/ServiceAccounts/sa-root", json=OFF).status_code == 200
        with ThreadPoolExecutor(3) as threads:
            asked = [
                threads.submit(client.patch, f"{SCIM}/ServiceAccounts/{other['id']}", json=OFF)
                for client, other in zip(clients, [*admins[1:], admins[0]], strict=True)
            ]
            assert {one.result(60).status_code for one in asked} <= {200, 400, 401, 403}
        left = [client for client in clients if client.get(f"{SCIM}/Users").status_code == 200]
        assert left
        assert left[0].patch(f"{SCIM}/ServiceAccounts/sa-root", json=ON).status_code == 200
