"""A served gateway is killed while administrators are at it, again and again: what any of them was told is done is there, whole, and the
audit log tells of each act once. (`access/test_kills` is the same below the doors, and goes faster.)"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gateway.access.directory import revision_of
from gateway.access.roles import Action
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import ApiKey, AuditEntry, Group, Membership, RoleAssignment, Secret, ServiceAccount
from gateway.administering import FILE
from tests.harness.clock import wait_until
from tests.harness.houses import authorization
from tests.harness.offices import enrol
from tests.harness.processes import Command, plain_environment

KEK = "5c" * 32
CLERKS = 3
"""Who act at once."""
KEYS = "/api/v1/secrets-service/scopes/etl/keys"
GROUP = {"members": [{"value": "sa-bare"}], "roles": [{"type": "workspace_prod", "value": "viewer"}]}
OF_SECRETS = {Action.READ_SECRET, Action.WRITE_SECRET, Action.DELETE_SECRET}


@dataclass(slots=True)
class Books:
    """What was acknowledged, by request id: the status and what was told."""

    told: dict[str, tuple[int, Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> int:
        with self.writing:
            return next(self.numbers)


def acts(number: int) -> list[tuple[str, str, str, object]]:
    """Who asks, and for what."""
    kind = number % 6
    if kind == 0:
        return [("root", "POST", "/api/scim/v2/Groups", {"displayName": f"group-{number}", **GROUP})]
    if kind == 1:
        given = {"name": f"account-{number}", "credentials_type": "SERVICE_ACCOUNT_CREDENTIALS_TYPE_API_KEY"}
        return [("root", "POST", "/api/v1/service-accounts-service/create-service-account", given)]
    if kind == 2:
        return [("bare", "POST", "/api/scim/v2/Groups", {"displayName": f"group-{number}"})]
    if kind == 3:
        return [("root", "PUT", f"{KEYS}/gone-{number}", {"value": "gone"}), ("root", "DELETE", f"{KEYS}/gone-{number}", None)]
    return [("root", "PUT", f"{KEYS}/kept-{number}", {"value": f"value-{number}"})]


def act_on(url: str, keys: Mapping[str, str], books: Books, enough: threading.Semaphore) -> None:
    """Until the gateway is gone."""
    with ExitStack() as open_ones:
        clients = {
            name: open_ones.enter_context(httpx.Client(base_url=url, headers=authorization(key), timeout=30.0))
            for name, key in keys.items()
        }
        while True:
            number = books.next()
            for step, (who, method, path, body) in enumerate(acts(number)):
                request_id = f"r-{number}-{step}"
                try:
                    answer = clients[who].request(method, path, json=body, headers={"X-Request-Id": request_id})
                except httpx.TransportError:
                    return
                books.told[request_id] = answer.status_code, answer.json()
                enough.release()


def killed(command: Command, keys: Mapping[str, str], books: Books, after: int) -> None:
    """Once so many acts were acknowledged, or a little more."""
    enough = threading.Semaphore(0)
    clerks = [threading.Thread(target=act_on, args=(command.url, keys, books, enough)) for _ in range(CLERKS)]
    for clerk in clerks:
        clerk.start()
    for _ in range(after):
        assert enough.acquire(timeout=60)
    command.kill()
    for clerk in clerks:
        clerk.join(60)


def settled(database: Database) -> None:
    if database.engine.dialect.name == "postgresql":
        others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        wait_until(lambda: database.transact(lambda session: session.execute(others).scalar_one(), writes=False) == 0, "nobody being left")


def held_to_its_word(database: Database, books: Books, began: tuple[int, int]) -> None:
    """`began`: the store's revision, and the newest entry of the log, before anybody was killed."""

    def look(session: Session) -> None:
        entries = [one for one in session.scalars(select(AuditEntry).where(AuditEntry.id > began[1])) if one.actor_kind != "shell"]
        by_request = Counter(one.request_id for one in entries)
        outcomes = {one.request_id: one.outcome for one in entries}
        assert {status for status, _ in books.told.values()} == {200, 201, 403}
        assert set(by_request.values()) == {1}
        assert {name: "denied" if status == 403 else "done" for name, (status, _) in books.told.items()}.items() <= outcomes.items()
        done = [one for one in entries if one.outcome == "done"]
        targets = {one.target for one in done if one.action in {Action.MANAGE_DIRECTORY, Action.CREATE_ACCOUNT}}
        groups, accounts = set(session.scalars(select(Group.id))), set(session.scalars(select(ServiceAccount.id))) - {"sa-root", "sa-bare"}
        assert targets == {f"group/{one}" for one in groups} | {f"service_account/{one}" for one in accounts}
        for whole in (select(Membership.group_id), select(RoleAssignment.principal_id).where(RoleAssignment.principal_kind == "group")):
            assert Counter(session.scalars(whole)) == Counter(dict.fromkeys(groups, 1))
        assert Counter(session.scalars(select(ApiKey.account_id))) == Counter(dict.fromkeys(accounts | {"sa-root", "sa-bare"}, 1))
        put, deleted = (
            {one.target.removeprefix("secret/etl/") for one in done if one.action == action}
            for action in (Action.WRITE_SECRET, Action.DELETE_SECRET)
        )
        assert put - deleted == set(session.scalars(select(Secret.name)))
        assert revision_of(session) == began[0] + len([one for one in done if one.action not in OF_SECRETS])

    database.transact(look, writes=False)


def told_again(command: Command, keys: Mapping[str, str], books: Books) -> None:
    """What was acknowledged, asked of the gateway that was started last."""
    with httpx.Client(base_url=command.url, headers=authorization(keys["root"]), timeout=30.0) as root:
        names = {one["name"] for one in root.get(KEYS).json()["keys"]}
        for request_id, (status, answer) in books.told.items():
            number = int(request_id.split("-")[1])
            if status == 200 and number % 6 == 1:
                mine = root.post(
                    "/api/v1/metadata-service/get-service-account", json={"ids": [answer["id"]]}, headers=authorization(answer["api_key"])
                )
                assert [one["id"] for one in mine.json()["service_accounts"]] == [answer["id"]]
            elif status == 200 and number % 6 > 3:
                assert root.get(f"{KEYS}/kept-{number}").json() == {"value": f"value-{number}"}
            elif request_id.endswith("-1"):
                assert f"gone-{number}" not in names


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 20), ("postgresql", 6)])
def test_what_was_acknowledged_outlives_the_gateway(request: pytest.FixtureRequest, tmp_path: Path, kind: str, kills: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    place = str(data / FILE)
    environment = {"FEATURE_GATEWAY_AUTH__KEK": KEK, "FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS": "gateway.demo.definitions:REPOSITORY"}
    with ExitStack() as lent:
        if kind == "postgresql":
            place = environment["FEATURE_GATEWAY_AUTH__DATABASE"] = lent.enter_context(request.getfixturevalue("postgresql").lend())
        database = lent.enter_context(closing(open_database(place if kind == "postgresql" else Path(place))))
        database.migrate()
        keys = {"root": enrol(database, "root", "admin")[1], "bare": enrol(database, "bare")[1]}

        def start(number: int) -> Command:
            arguments = ("serve", "--port", "0", "--data-dir", str(data))
            return Command(tmp_path / f"said-{number}", *arguments, environment=plain_environment(**environment))

        with start(0) as first, httpx.Client(base_url=first.url, headers=authorization(keys["root"])) as root:
            assert root.post("/api/v1/secrets-service/scopes/etl").status_code == 200
            began = database.transact(
                lambda session: (revision_of(session), session.scalar(select(func.max(AuditEntry.id))) or 0), writes=False
            )
            books = Books()
            killed(first, keys, books, 17)
        for number, after in enumerate(islice(cycle((1, 60, 5, 23, 2, 110)), kills - 1), 1):
            with start(number) as command:
                killed(command, keys, books, after)
        settled(database)
        held_to_its_word(database, books, began)
        with start(kills) as last:
            told_again(last, keys, books)
