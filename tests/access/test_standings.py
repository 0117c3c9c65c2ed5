"""What principals hold, as the store tells it: directly, through groups, one by one and all at once."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import ScopeRole, Standing, WorkspaceRole, including, including_scopes
from gateway.access.standings import Held, all_standings, held_by, standing_from, standing_of
from gateway.access.store.database import Database, open_database
from tests.access.holdings import ADMIN, account, add_account, add_group, add_user, clear, give, in_all, in_workspace, on_scope

ROLES = (ADMIN, in_all("viewer"), in_workspace("prod", "owner"), in_workspace("prod", "consumer"), on_scope("etl", "writer"))


def test_roles_are_held_directly(database: Database) -> None:
    database.transact(lambda session: give(session, account("ada"), in_workspace("prod", "consumer"), on_scope("etl", "writer")))
    assert database.transact(lambda session: standing_of(session, account("ada"))) == Standing(
        account("ada"),
        workspaces={"prod": including([WorkspaceRole.CONSUMER])},
        scopes={"etl": including_scopes([ScopeRole.WRITER])},
    )


def test_roles_are_held_through_groups_and_it_is_told_which(database: Database) -> None:
    def work(session: Session) -> None:
        ada = add_account(session, "ada")
        give(session, add_group(session, "readers", ada), in_all("consumer"))
        give(session, add_group(session, "admins", ada), ADMIN, in_all("consumer"))
        give(session, add_group(session, "others"), in_all("owner"))
        give(session, ada, in_all("consumer"))

    database.transact(work)
    assert list(database.transact(lambda session: held_by(session, account("ada")))) == [
        Held(*in_all("consumer")),
        Held(*ADMIN, "admins"),
        Held(*in_all("consumer"), "admins"),
        Held(*in_all("consumer"), "readers"),
    ]
    assert database.transact(lambda session: standing_of(session, account("ada"))) == Standing(
        account("ada"), admin=True, everywhere=including([WorkspaceRole.CONSUMER])
    )


def test_a_group_and_a_user_of_the_same_id_are_two(database: Database) -> None:
    def work(session: Session) -> None:
        give(session, add_group(session, "ada", add_user(session, "ada")), in_workspace("prod", "viewer"))
        give(session, account("ada"), ADMIN)

    database.transact(work)
    user = Principal(PrincipalKind.USER, "ada")
    assert database.transact(lambda session: standing_of(session, user)) == Standing(
        user, workspaces={"prod": including([WorkspaceRole.VIEWER])}
    )


def test_who_holds_nothing_stands_so(database: Database) -> None:
    assert database.transact(lambda session: standing_of(session, account("ada"))) == Standing(account("ada"))
    assert database.transact(all_standings) == {}


UNKNOWN = [
    Held("account_type", "", "emperor"),
    Held("account_type", "", "owner"),
    Held("all_workspaces", "", "admin"),
    Held("all_workspaces", "", "OWNER"),
    Held("workspace", "prod", "admin"),
    Held("workspace", "prod", "secret_scope_manager"),
    Held("secret_scope", "etl", "owner"),
    Held("galaxy", "prod", "owner"),
    Held("", "", ""),
]


@pytest.mark.parametrize("held", UNKNOWN, ids=str)
def test_a_role_that_nobody_knows_gives_nothing(held: Held) -> None:
    assert standing_from(account("ada"), [held]) == Standing(account("ada"))


def test_a_kind_of_principal_that_nobody_knows_is_nobody(database: Database) -> None:
    def work(session: Session) -> None:
        give(session, account("ada"), ADMIN)
        add_group(session, "group")
        session.execute(text("INSERT INTO role_assignment VALUES ('robot', 'ada', 'account_type', '', 'admin')"))
        session.execute(text("INSERT INTO membership VALUES ('group', 'robot', 'ada', NULL)"))

    database.transact(work)
    assert database.transact(all_standings) == {account("ada"): Standing(account("ada"), admin=True)}


@pytest.fixture(scope="module")
def sqlite(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with closing(open_database(Path(copy(made, tmp_path_factory.mktemp("standings"))))) as database:
        yield database


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["ada", "bob"]), st.sets(st.sampled_from(ROLES))),
    st.dictionaries(
        st.sampled_from(["readers", "writers"]), st.tuples(st.sets(st.sampled_from(["ada", "bob"])), st.sets(st.sampled_from(ROLES)))
    ),
)
def test_all_at_once_they_stand_as_one_by_one(
    sqlite: Database, direct: dict[str, set[tuple[str, str, str]]], groups: dict[str, tuple[set[str], set[tuple[str, str, str]]]]
) -> None:
    people = [account("ada"), account("bob")]

    def work(session: Session) -> None:
        clear(session)
        for name, roles in direct.items():
            give(session, account(name), *roles)
        for name, (members, roles) in groups.items():
            give(session, add_group(session, name, *map(account, members)), *roles)

    sqlite.transact(work)
    found = sqlite.transact(all_standings)
    one_by_one = sqlite.transact(lambda session: [standing_of(session, one) for one in people])
    assert [found.get(one, Standing(one)) for one in people] == one_by_one
