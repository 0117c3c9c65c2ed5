"""Client secrets: two at most, one of them active, whatever is done in whatever order, by however many at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import func, select

from gateway.access import accounts, client_secrets
from gateway.access.accounts import API_KEY, OAUTH, new_account_id
from gateway.access.administration import Administration, Work
from gateway.access.principals import Actor, shell
from gateway.access.roles import Action
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import AuditEntry, ClientSecret, ServiceAccount
from gateway.errors import AlreadyExists, FailedPrecondition, GatewayError, NotFound, PermissionDenied, Unseen
from tests.access.test_accounts import actor, with_owners

ADA = shell("ada")


def secrets_of(database: Database, account_id: str) -> dict[str, bool]:
    chosen = select(ClientSecret.id, ClientSecret.is_active).where(ClientSecret.account_id == account_id)
    return database.transact(lambda session: {row.id: row.is_active for row in session.execute(chosen)})


@pytest.fixture
def administration(database: Database) -> Administration:
    return with_owners(database).administration


def make_account(administration: Administration) -> str:
    work = partial(accounts.create, account_id="client", name="client", description="", credentials=OAUTH)
    return administration.act_at_once(ADA, Action.CREATE_ACCOUNT, "service_account/client", work).account.id


def outcomes_of(administration: Administration, works: list[Work[Any]]) -> list[str]:
    """Of all of them at once, each on a thread of its own."""

    def attempt(work: Work[Any]) -> str:
        try:
            administration.act_at_once(ADA, Action.MANAGE_ACCOUNT, "service_account/client", work)
        except GatewayError as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(len(works)) as threads:
        return sorted(threads.map(attempt, works))


def test_of_many_made_at_once_there_is_one_more(administration: Administration) -> None:
    account = make_account(administration)
    works = [partial(client_secrets.create, account_id=account, secret_id=f"s{number}") for number in range(6)]
    assert outcomes_of(administration, list(works)) == ["FailedPrecondition"] * 5 + ["done"]
    assert len(secrets_of(administration.database, account)) == 2


def test_of_two_deactivated_at_once_one_stays_active(administration: Administration) -> None:
    account = make_account(administration)
    administration.act_at_once(ADA, Action.MANAGE_ACCOUNT, "x", partial(client_secrets.create, account_id=account, secret_id="second"))
    works = [partial(client_secrets.deactivate, account_id=account, secret_id=one) for one in secrets_of(administration.database, account)]
    assert outcomes_of(administration, list(works)) == ["FailedPrecondition", "done"]
    assert sorted(secrets_of(administration.database, account).values()) == [False, True]


@dataclass(slots=True)
class Known:
    """An account as it should be."""

    name: str
    kind: str
    maker: str
    is_active: bool = True
    secrets: dict[str, bool] = field(default_factory=dict)


class Registry(RuleBasedStateMachine):
    """Two makers and an admin at a store of their own, and what should come of all that they do."""

    ids: Bundle[str] = Bundle("ids")
    actors = st.sampled_from(["one", "two", "root"])
    made: Path
    folder: Path
    number = count()

    def __init__(self) -> None:
        super().__init__()
        self.database = open_database(Path(copy(self.made, self.folder / f"{next(self.number)}.db")))
        self.administration = with_owners(self.database).administration
        self.accounts: dict[str, Known] = {}
        self.acts = 0

    def teardown(self) -> None:
        self.database.close()

    def acts_as(self, who: str) -> Actor:
        return ADA if who == "root" else actor(who)

    def outcome(self, who: str, action: Action, work: Work[Any]) -> type[GatewayError] | None:
        self.acts += 1
        try:
            self.administration.act_at_once(self.acts_as(who), action, "service_account/x", work)
        except GatewayError as error:
            return type(error)
        return None

    def barred(self, who: str, account_id: str) -> type[GatewayError] | None:
        """Why this one may not administer that account, if so."""
        known = self.accounts.get(account_id)
        if known is None:
            return NotFound
        return None if who in {"root", known.maker} else Unseen

    @rule(target=ids, who=actors, name=st.sampled_from("abc"), kind=st.sampled_from([API_KEY, OAUTH, OAUTH]))
    def create(self, who: str, name: str, kind: str) -> Any:
        account_id = new_account_id()
        work = partial(accounts.create, account_id=account_id, name=name, description="", credentials=kind)
        taken = name in {known.name for known in self.accounts.values()}
        assert self.outcome(who, Action.CREATE_ACCOUNT, work) is (AlreadyExists if taken else None)
        if taken:
            return multiple()
        self.accounts[account_id] = Known(name, kind, who, secrets=secrets_of(self.database, account_id))
        assert list(self.accounts[account_id].secrets.values()) == ([True] if kind == OAUTH else [])
        return account_id

    @rule(who=actors, account_id=ids, name=st.none() | st.sampled_from("abc"), is_active=st.none() | st.booleans())
    def update(self, who: str, account_id: str, name: str | None, is_active: bool | None) -> None:  # noqa: FBT001 - as the rule gives it
        expected = self.barred(who, account_id)
        others = {known.name for identity, known in self.accounts.items() if identity != account_id}
        if expected is None and name in others:
            expected = AlreadyExists
        work = partial(accounts.update, account_id=account_id, name=name, is_active=is_active)
        assert self.outcome(who, Action.MANAGE_ACCOUNT, work) is expected
        if expected is None:
            known = self.accounts[account_id]
            known.name = name or known.name
            known.is_active = known.is_active if is_active is None else is_active

    @rule(who=actors, account_id=ids)
    def remove(self, who: str, account_id: str) -> None:
        expected = self.barred(who, account_id) or (FailedPrecondition if self.accounts[account_id].is_active else None)
        assert self.outcome(who, Action.MANAGE_ACCOUNT, partial(accounts.remove, account_id=account_id)) is expected
        if expected is None:
            del self.accounts[account_id]

    @rule(who=actors, account_id=ids)
    def create_secret(self, who: str, account_id: str) -> None:
        secret_id, expected = new_account_id(), self.barred(who, account_id)
        if expected is None and (self.accounts[account_id].kind == API_KEY or len(self.accounts[account_id].secrets) == 2):
            expected = FailedPrecondition
        work = partial(client_secrets.create, account_id=account_id, secret_id=secret_id)
        assert self.outcome(who, Action.MANAGE_ACCOUNT, work) is expected
        if expected is None:
            self.accounts[account_id].secrets[secret_id] = True

    @rule(who=actors, account_id=ids, which=st.integers(0, 2), change=st.sampled_from(["activate", "deactivate", "remove"]))
    def change_secret(self, who: str, account_id: str, which: int, change: str) -> None:
        known, expected = self.accounts.get(account_id), self.barred(who, account_id)
        secrets = sorted(known.secrets) if known is not None else []
        secret_id = secrets[which] if which < len(secrets) else "missing"
        if known is not None and expected is None:
            others = [active for identity, active in known.secrets.items() if identity != secret_id]
            if known.kind == API_KEY:
                expected = FailedPrecondition
            elif secret_id == "missing":
                expected = NotFound
            elif (change == "deactivate" and not any(others)) or (change == "remove" and known.secrets[secret_id]):
                expected = FailedPrecondition
        work = partial(getattr(client_secrets, change), account_id=account_id, secret_id=secret_id)
        assert self.outcome(who, Action.MANAGE_ACCOUNT, work) is expected
        if known is not None and expected is None:
            known.secrets.pop(secret_id) if change == "remove" else known.secrets.update({secret_id: change == "activate"})

    @invariant()
    def the_store_is_as_it_should_be(self) -> None:
        stored = self.database.transact(
            lambda session: {
                one.id: (one.name, one.credentials, one.is_active)
                for one in session.scalars(select(ServiceAccount).where(ServiceAccount.id.not_in(["one", "two"])))
            }
        )
        assert stored == {identity: (known.name, known.kind, known.is_active) for identity, known in self.accounts.items()}
        for identity, known in self.accounts.items():
            assert secrets_of(self.database, identity) == known.secrets
            if known.kind == OAUTH:
                assert 1 <= len(known.secrets) <= 2
                assert any(known.secrets.values())

    @invariant()
    def every_act_is_written_down_once(self) -> None:
        assert self.database.transact(lambda session: session.scalars(select(func.count()).select_from(AuditEntry)).one()) == self.acts


def test_no_order_of_acts_breaks_the_rules(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "made", made, raising=False)
    monkeypatch.setattr(Registry, "folder", tmp_path, raising=False)
    run_state_machine_as_test(
        Registry, settings=settings(max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    )


def test_a_secret_is_not_for_those_who_only_see_the_account(administration: Administration) -> None:
    account = make_account(administration)
    work = partial(client_secrets.list_all, account_id=account)
    with pytest.raises(PermissionDenied):
        administration.act_at_once(actor(account), Action.VIEW_ACCOUNT, "x", work)
