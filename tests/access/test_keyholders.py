"""What the shell may do, whoever else asks for it must be allowed to; and what makes no sense is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.access import keyholders
from gateway.access.administration import Act, Administration
from gateway.access.keyholders import Grant
from gateway.access.principals import Actor, Principal, PrincipalKind, shell
from gateway.access.roles import Action
from gateway.access.standings import ALL_WORKSPACES, SECRET_SCOPE
from gateway.access.store.database import Database
from gateway.access.store.tables import ServiceAccount
from gateway.errors import FailedPrecondition, NotFound, PermissionDenied
from tests.harness.offices import enrol

VIEWER = Grant(ALL_WORKSPACES, "", "viewer")


def act(database: Database, actor: Actor, work: Callable[[Act], Any]) -> Any:
    return Administration(database).act_at_once(actor, Action.MANAGE_ACCOUNT, "service_account/x", work)


def somebody(database: Database, *roles: str) -> Actor:
    account, _ = enrol(database, "somebody", *roles)
    return Actor(Principal(PrincipalKind.SERVICE_ACCOUNT, account), "somebody", "key")


@pytest.mark.parametrize(
    "work",
    [
        lambda act: keyholders.rotate(act, "other", at_once=False),
        lambda act: keyholders.switch(act, "other", active=False),
        lambda act: keyholders.grant(act, "somebody", [VIEWER]),
        lambda act: keyholders.revoke(act, "other", [VIEWER]),
        lambda act: keyholders.rotate(act, "nobody", at_once=False),
        lambda act: keyholders.create(act, "sa-new", "new", [VIEWER]),
        keyholders.listed,
    ],
    ids=["rotate", "deactivate", "grant", "revoke", "nobody's", "create with a role", "list"],
)
def test_who_is_no_admin_may_do_none_of_it(database: Database, work: Callable[[Act], Any]) -> None:
    enrol(database, "other", "viewer")
    with pytest.raises(PermissionDenied):
        act(database, somebody(database, "owner"), work)
    assert [one.account for one in act(database, shell("ada"), keyholders.listed)] == ["other", "somebody"]


def test_an_account_with_client_secrets_gets_no_key(database: Database) -> None:
    account, _ = enrol(database, "oauth")

    def make_oauth(act: Act) -> None:
        act.only_judged_by_what_is_shown()
        act.session.get_one(ServiceAccount, account).credentials = "oauth"

    act(database, shell("ada"), make_oauth)
    with pytest.raises(FailedPrecondition):
        act(database, shell("ada"), lambda one: keyholders.rotate(one, "oauth", at_once=False))


def test_an_account_that_is_named_like_anothers_id_is_not_taken_for_it(database: Database) -> None:
    account, _ = enrol(database, "first")
    enrol(database, account)
    assert act(database, shell("ada"), lambda one: keyholders.managed(one, account).name) == "first"


def test_a_role_that_is_held_already_is_given_once(database: Database) -> None:
    enrol(database, "one", "viewer")
    for _ in range(2):
        act(
            database,
            shell("ada"),
            lambda one: keyholders.grant(one, "one", [VIEWER, VIEWER, Grant(SECRET_SCOPE, "etl", "secret_scope_reader")]),
        )
    [listed] = act(database, shell("ada"), keyholders.listed)
    assert listed.roles == ["*=viewer", "secrets/etl=secret_scope_reader"]
    act(database, shell("ada"), lambda one: keyholders.revoke(one, "one", [VIEWER]))
    with pytest.raises(NotFound):
        act(database, shell("ada"), lambda one: keyholders.revoke(one, "one", [VIEWER]))
