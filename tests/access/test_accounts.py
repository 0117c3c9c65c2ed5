"""Service accounts: who finds which, what deleting one takes along, and names under a race. Through the doors: `tests/web/admin`."""

import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access import accounts
from gateway.access.accounts import API_KEY, OAUTH, Found, folded, new_account_id
from gateway.access.administration import Act, Administration
from gateway.access.principals import Actor, Principal, PrincipalKind, shell
from gateway.access.roles import Action
from gateway.access.standings import SECRET_SCOPE, WORKSPACE
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import ApiKey, ClientSecret, Group, Membership, RoleAssignment, ServiceAccount, Table, User
from gateway.errors import AlreadyExists, GatewayError
from tests.harness.offices import assign

ADA = shell("ada")
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=6).filter(str.strip)


def principal(identity: str, kind: PrincipalKind = PrincipalKind.SERVICE_ACCOUNT) -> Principal:
    return Principal(kind, identity)


def actor(identity: str) -> Actor:
    return Actor(principal(identity), identity, "key")


@dataclass(frozen=True, slots=True)
class Registry:
    """The accounts of a store, without doors before them."""

    administration: Administration

    @property
    def database(self) -> Database:
        return self.administration.database

    def create(self, who: Actor, name: str, description: str = "", kind: str = API_KEY) -> str:
        account_id = new_account_id()
        work = partial(accounts.create, account_id=account_id, name=name, description=description, credentials=kind)
        return self.administration.act_at_once(who, Action.CREATE_ACCOUNT, f"service_account/{account_id}", work).account.id

    def update(self, who: Actor, account_id: str, *, is_active: bool) -> None:
        work = partial(accounts.update, account_id=account_id, is_active=is_active)
        self.administration.act_at_once(who, Action.MANAGE_ACCOUNT, f"service_account/{account_id}", work)

    def remove(self, who: Actor, account_id: str) -> None:
        work = partial(accounts.remove, account_id=account_id)
        self.administration.act_at_once(who, Action.MANAGE_ACCOUNT, f"service_account/{account_id}", work)

    def search(self, who: Actor, text: str = "", ids: frozenset[str] | None = None) -> list[Found]:
        def work(act: Act) -> list[Found]:
            return list(accounts.search(act, text, ids))

        return self.administration.act_at_once(who, Action.VIEW_ACCOUNT, "service_account/", work)


def add_owner(session: Session, name: str) -> None:
    session.add(ServiceAccount(id=name, name=name, description="", is_active=True, credentials=API_KEY, created_us=0, updated_us=0))
    session.flush()
    assign(session, principal(name), WORKSPACE, "prod", "owner")


def with_owners(database: Database) -> Registry:
    """With two that may make accounts."""
    for name in ("one", "two"):
        database.transact(partial(add_owner, name=name))
    return Registry(Administration(database))


@pytest.fixture
def registry(database: Database) -> Registry:
    return with_owners(database)


@pytest.fixture
def quick(made: Path, tmp_path: Path) -> Iterator[Registry]:
    """In SQLite alone, for what is tried many times."""
    with closing(open_database(Path(copy(made, tmp_path / "access.db")))) as database:
        yield with_owners(database)


def test_a_name_is_taken_by_one_of_many_who_want_it_at_once(registry: Registry) -> None:
    def attempt(number: int) -> str | type[GatewayError]:
        try:
            return registry.create(actor(("one", "two")[number % 2]), "wanted")
        except GatewayError as error:
            return type(error)

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(attempt, range(8)))
    assert outcomes.count(AlreadyExists) == 7
    assert [one.account.id for one in registry.search(ADA, "wanted")] == [one for one in outcomes if isinstance(one, str)]


def test_deleting_takes_all_along_that_was_the_accounts_and_nothing_else(registry: Registry) -> None:
    kept, gone = registry.create(actor("one"), "kept", kind=OAUTH), registry.create(actor("one"), "gone", kind=OAUTH)
    keyed = registry.create(actor("one"), "keyed")

    def furnish(session: Session) -> None:
        session.add(Group(id="g", display_name="g", idp_mapping_names="[]", created_us=0, updated_us=0))
        session.flush()
        for identity in (kept, gone, keyed):
            session.add(Membership(group_id="g", member_kind="service_account", member_id=identity))
            assign(session, principal(identity), SECRET_SCOPE, "s", "secret_scope_reader")
        session.add(Membership(group_id="g", member_kind="user", member_id=gone))  # a user of the same id is somebody else
        assign(session, principal(gone, PrincipalKind.USER), WORKSPACE, "prod", "viewer")

    registry.database.transact(furnish)
    for identity in (gone, keyed):
        registry.update(actor("one"), identity, is_active=False)
        registry.remove(actor("one"), identity)

    def left(session: Session) -> list[set[tuple[object, ...]]]:
        columns: list[tuple[object, ...]] = [
            (ServiceAccount.id,),
            (ClientSecret.account_id,),
            (ApiKey.account_id,),
            (Membership.member_kind, Membership.member_id),
            (RoleAssignment.principal_kind, RoleAssignment.principal_id),
        ]
        return [{tuple(row) for row in session.execute(select(*one))} for one in columns]  # type: ignore[call-overload]

    assert registry.database.transact(left) == [
        {("one",), ("two",), (kept,)},
        {(kept,)},
        set(),
        {("service_account", kept), ("user", gone)},
        {("service_account", "one"), ("service_account", "two"), ("service_account", kept), ("user", gone)},
    ]


def test_whoever_made_an_account_is_found_with_it_be_it_a_user_or_an_account_and_still_there_or_not(registry: Registry) -> None:
    def users(session: Session) -> None:
        session.add(User(id="u", user_name="ada@example.com", given_name="Ada", created_us=0, updated_us=0))
        assign(session, principal("u", PrincipalKind.USER), WORKSPACE, "prod", "owner")

    registry.database.transact(users)
    by_user = registry.create(Actor(principal("u", PrincipalKind.USER), "Ada", "session"), "by a user")
    by_account, by_shell = registry.create(actor("one"), "by an account"), registry.create(ADA, "from the shell")
    found = {one.account.id: one.creator for one in registry.search(ADA)}
    assert isinstance(found[by_user], User)
    assert isinstance(found[by_account], ServiceAccount)
    assert found[by_shell] is None
    registry.update(ADA, "one", is_active=False)
    registry.remove(ADA, "one")
    [orphan] = registry.search(ADA, ids=frozenset({by_account}))
    assert (orphan.creator, orphan.account.creator_id) == (None, "one")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(NAMES, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), st.booleans()), max_size=5),
    sought=st.text(st.characters(codec="utf-8"), max_size=2),
    data=st.data(),
)
def test_a_search_finds_what_contains_the_text_and_the_caller_may_see(
    quick: Registry, rows: list[tuple[str, str, bool]], sought: str, data: st.DataObject
) -> None:
    def fresh(session: Session) -> None:
        for table in reversed(Table.metadata.sorted_tables):
            if table.name != "change":
                session.execute(table.delete())

    quick.database.transact(fresh)
    for name in ("one", "two"):
        quick.database.transact(partial(add_owner, name=name))
    made = {}
    for number, (name, description, first) in enumerate(rows):
        who = "one" if first else "two"
        made[quick.create(actor(who), f"{name}{number}", description)] = (f"{name}{number}", description, who)
    everybody = {**{name: (name, "", "") for name in ("one", "two")}, **made}
    ids = data.draw(st.none() | st.frozensets(st.sampled_from(sorted(everybody))))
    sought = data.draw(st.sampled_from([sought, *[text.swapcase()[1:3] for row in rows for text in row[:2]]]))

    def fits(identity: str, name: str, description: str) -> bool:
        return (ids is None or identity in ids) and any(folded(sought) in folded(text) for text in (identity, name, description))

    expected = {identity for identity, (name, description, _) in everybody.items() if fits(identity, name, description)}
    assert {one.account.id for one in quick.search(ADA, sought, ids)} == expected
    seen = {identity for identity in expected if identity == "one" or everybody[identity][2] == "one"}
    assert {one.account.id for one in quick.search(actor("one"), sought, ids)} == seen


@given(st.text(st.characters(codec="utf-8", exclude_characters="\u0131")))  # the dotless i has the capital of another letter
def test_case_does_not_matter_to_a_folded_text(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(unicodedata.normalize("NFC", text)) == folded(unicodedata.normalize("NFD", text))
    for char in text:
        assert folded(char.upper()) == folded(char.lower()) == folded(char)
