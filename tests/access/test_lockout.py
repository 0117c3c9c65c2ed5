"""Somebody can always let others in."""

import pytest
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.lockout import refuse_lockout
from gateway.access.principals import Actor, Principal, PrincipalKind, shell
from gateway.access.roles import NOBODY
from gateway.access.store.database import Database
from gateway.access.store.tables import ApiKey, ClientSecret, Membership, ServiceAccount
from gateway.errors import FailedPrecondition
from tests.access.holdings import ADMIN, account, add_account, add_group, add_user, give, in_workspace

ADA = Actor(account("ada"), "Ada", "key-of-ada")


def key_of(name: str, *, active: bool = True) -> ApiKey:
    return ApiKey(id=f"key-{name}", account_id=name, digest=name.ljust(32).encode(), is_active=active, created_us=0, last_used_us=None)


def secret_of(name: str, *, active: bool = True) -> ClientSecret:
    return ClientSecret(
        id=f"secret-{name}", account_id=name, digest=b"0" * 32, tail="abcd", is_active=active, created_us=0, updated_us=0, last_used_us=None
    )


def admitted(database: Database, actor: Actor = ADA) -> bool:
    def work(session: Session) -> bool:
        try:
            refuse_lockout(Act(session, actor, NOBODY, 0))
        except FailedPrecondition:
            return False
        return True

    return database.transact(work)


def test_an_admin_with_a_credential_is_enough(database: Database) -> None:
    database.transact(lambda session: give(session, add_account(session, "ada"), ADMIN))
    assert not admitted(database)
    database.transact(lambda session: session.add(key_of("ada")))
    assert admitted(database)


def test_a_client_secret_is_a_credential_and_a_group_gives_its_role(database: Database) -> None:
    def work(session: Session) -> None:
        add_account(session, "ada")
        give(session, add_group(session, "admins"), ADMIN)
        session.add(Membership(group_id="admins", member_kind="service_account", member_id="ada"))
        session.flush()
        session.add(secret_of("ada"))

    database.transact(work)
    assert admitted(database)


@pytest.mark.parametrize("what", ["inactive account", "inactive key", "inactive secret", "another role", "a user", "a group of its own"])
def test_who_cannot_call_or_is_no_admin_lets_nobody_in(database: Database, what: str) -> None:
    def work(session: Session) -> None:
        ada = add_account(session, "ada")
        session.flush()
        if what == "inactive account":
            session.get_one(ServiceAccount, "ada").is_active = False
        session.add(secret_of("ada", active=False) if what == "inactive secret" else key_of("ada", active=what != "inactive key"))
        if what == "a user":
            give(session, add_user(session, "ann"), ADMIN)
        elif what == "a group of its own":
            give(session, add_group(session, "ada"), ADMIN)
        else:
            give(session, ada, in_workspace("prod", "owner") if what == "another role" else ADMIN)

    database.transact(work)
    assert not admitted(database)


def test_the_shell_needs_nobody(database: Database) -> None:
    assert admitted(database, shell("ada"))
    assert not admitted(database, Actor(Principal(PrincipalKind.USER, "ann"), "Ann", "token"))
