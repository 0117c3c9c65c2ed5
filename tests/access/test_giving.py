"""A key is one row, of which only its digest could tell what it was."""

import hashlib

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.giving import add_key, role_row
from gateway.access.keys import key_id, new_key
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.store.database import Database
from gateway.access.store.tables import ApiKey, RoleAssignment
from tests.harness.offices import enrol


def test_a_key_that_is_given_and_one_that_is_made_are_kept_as_digests(database: Database) -> None:
    account, _ = enrol(database, "loader")
    given = new_key()

    def work(session: Session) -> tuple[str, str]:
        return add_key(session, account, 5, given), add_key(session, account, 6)

    kept, made = database.transact(work)
    assert kept == given
    rows = database.transact(lambda session: list(session.scalars(select(ApiKey).where(ApiKey.created_us > 0).order_by(ApiKey.created_us))))
    assert [(row.id, row.digest, row.is_active, row.last_used_us) for row in rows] == [
        (key_id(key), hashlib.sha256(key.encode()).digest(), True, None) for key in (kept, made)
    ]


def test_a_role_is_found_by_whom_it_was_given_to_and_on_what(database: Database) -> None:
    principal = Principal(PrincipalKind.GROUP, "g1")
    database.transact(lambda session: session.add(role_row(principal, "workspace", "prod", "viewer")))
    found = database.transact(lambda session: session.get(RoleAssignment, ("group", "g1", "workspace", "prod", "viewer")))
    assert found is not None
