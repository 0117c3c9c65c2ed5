"""Which entries of the audit log are found."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from gateway.access import audit
from gateway.access.audit import DENIED, DONE, REFUSED, Sought
from gateway.access.principals import Actor, shell
from gateway.access.roles import Action
from gateway.access.store.database import Database
from tests.access.holdings import account

ADA, BOB = Actor(account("sa-1"), "Ada", "key-1", "request-1"), Actor(account("sa-2"), "Bob", "key-2")
ENTRIES = (
    (10, ADA, Action.WRITE_SECRET, "secret/etl/one", DONE),
    (20, ADA, Action.READ_SECRET, "secret/etl/two", DENIED),
    (30, BOB, Action.READ_SECRET, "secret/e%l/one", DONE),
    (40, BOB, Action.CREATE_SCOPE, "secret_scope/etl", REFUSED),
    (50, shell("Ada"), Action.MANAGE_DIRECTORY, "group/g", DONE),
    (50, ADA, Action.MANAGE_DIRECTORY, "secret/etl", DONE),
)


@pytest.fixture
def filled(database: Database) -> Database:
    def work(session: Session) -> None:
        for at_us, actor, action, target, outcome in ENTRIES:
            audit.write(session, at_us, actor, action, target, outcome)

    database.transact(work)
    return database


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"actor": "sa-1"}, [6, 2, 1]),
        ({"actor": "Ada"}, [6, 5, 2, 1]),
        ({"actor": "ada"}, []),
        ({"action": "secret.read"}, [3, 2]),
        ({"target": "secret/etl"}, [6]),
        ({"target": "secret/etl/"}, [2, 1]),
        ({"target": "secret/e%l/"}, [3]),
        ({"target": "secret/e_l/"}, []),
        ({"target": "secret/"}, [6, 3, 2, 1]),
        ({"outcome": "denied"}, [2]),
        ({"since_us": 20, "until_us": 50}, [4, 3, 2]),
        ({"before_id": 3}, [2, 1]),
        ({"limit": 2}, [6, 5]),
        ({"limit": 0}, [6]),
        ({"limit": -1}, [6]),
        ({"actor": "Ada", "action": "directory.manage", "outcome": "done", "since_us": 50, "before_id": 6}, [5]),
        ({"actor": "Ada", "outcome": "refused"}, []),
    ],
    ids=str,
)
def test_everything_that_is_given_must_fit(filled: Database, sought: dict[str, Any], found: list[int]) -> None:
    assert filled.transact(lambda session: [entry.id for entry in audit.read(session, Sought(**sought))], writes=False) == found


def test_no_question_is_answered_with_more_than_a_thousand(database: Database) -> None:
    def work(session: Session) -> None:
        for number in range(1_010):
            audit.write(session, number, ADA, Action.READ_SECRET, f"secret/etl/{number}", DONE)

    database.transact(work)
    assert len(database.transact(lambda session: audit.read(session, Sought(limit=10**6)), writes=False)) == 1_000
