"""Who is given a token, and what it costs the store."""

import hashlib
import hmac
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import event, select

from gateway.access import client_secrets, issuing
from gateway.access.accounts import OAUTH, create, new_account_id, update
from gateway.access.administration import Act, Administration
from gateway.access.issuing import TokenIssuer, authenticate
from gateway.access.principals import shell
from gateway.access.roles import Action
from gateway.access.sealing import Sealer
from gateway.access.signing import KeyRing, Rotation, read_keys
from gateway.access.store.database import Database
from gateway.access.store.tables import AuditEntry, Change, ClientSecret, SigningKey
from gateway.access.tokens import Policy, Verifier
from gateway.errors import ClientUnknown, Sealed, TokenRefused
from tests.harness.clock import Clock

pytestmark = pytest.mark.anyio

SEALER = Sealer([bytes(range(32))])
ROTATION, POLICY = Rotation(3_600, 86_400), Policy("gateway", "callers", 3_600)
ADA = shell("ada")


class Office:
    """An issuer at a store with one OAuth account, and the means to change that."""

    def __init__(self, database: Database, sealer: Sealer = SEALER) -> None:
        self.database = database
        self.clock = Clock(1_767_225_600.0)
        self.administration = Administration(database, wall_s=self.clock)
        self.ring = KeyRing(sealer, ROTATION)
        self.issuer = TokenIssuer(database, sealer, self.ring, ROTATION, POLICY, self.clock)
        self.verify = Verifier(self.ring, POLICY, self.clock)
        self.account = new_account_id()
        issued = self.administration.act_at_once(
            ADA, Action.CREATE_ACCOUNT, "service_account/x", lambda act: create(act, self.account, "client", "", OAUTH)
        )
        self.secret = issued.credential
        self.secret_id = database.transact(lambda session: session.scalars(select(ClientSecret.id)).one())

    def set_active(self, *, active: bool) -> None:
        def work(act: Act) -> None:
            update(act, self.account, is_active=active)

        self.administration.act_at_once(ADA, Action.MANAGE_ACCOUNT, "service_account/x", work)

    def second_secret(self) -> str:
        made = self.administration.act_at_once(
            ADA, Action.MANAGE_ACCOUNT, "client_secret/x", lambda act: client_secrets.create(act, self.account, "second")
        )
        return made[1]

    def deactivate(self, secret_id: str) -> None:
        self.administration.act_at_once(
            ADA, Action.MANAGE_ACCOUNT, "client_secret/x", lambda act: client_secrets.deactivate(act, self.account, secret_id)
        )

    def last_used_us(self) -> int | None:
        return self.database.transact(lambda session: session.get_one(ClientSecret, self.secret_id).last_used_us)


@pytest.fixture
async def office(database: Database) -> Office:
    office = Office(database)
    await office.issuer.rotate()
    return office


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Every statement that the block has the database do, without what differs in its parameters."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


async def test_whoever_shows_an_active_secret_is_given_a_token_that_names_it(office: Office) -> None:
    said = office.verify((await office.issuer.issue(office.account, office.secret)).encode())
    assert said is not None
    assert (said.account_id, said.client_secret_id, said.expires_s) == (office.account, office.secret_id, office.clock() + 3_600)


async def test_either_of_two_secrets_will_do_and_neither_once_it_is_not_active(office: Office) -> None:
    second = office.second_secret()
    for secret in (office.secret, second):
        assert office.verify((await office.issuer.issue(office.account, secret)).encode()) is not None
    office.deactivate(office.secret_id)
    with pytest.raises(ClientUnknown):
        await office.issuer.issue(office.account, office.secret)
    assert office.verify((await office.issuer.issue(office.account, second)).encode()) is not None


@pytest.mark.parametrize("client_id", ["", "nobody", "\x00", "\u00e4", "x" * 100, "' OR 1=1 --"])
async def test_an_unknown_client_is_refused(office: Office, client_id: str) -> None:
    with pytest.raises(ClientUnknown):
        await office.issuer.issue(client_id, office.secret)


async def test_a_wrong_secret_is_refused(office: Office) -> None:
    for wrong in ("", office.secret[:-1], office.secret + "x", office.secret.swapcase(), "\x00", "\u00e4"):
        with pytest.raises(ClientUnknown):
            await office.issuer.issue(office.account, wrong)


async def test_a_deactivated_account_is_told_so_where_its_secret_is_right_and_only_there(office: Office) -> None:
    office.set_active(active=False)
    with pytest.raises(TokenRefused) as refused:
        await office.issuer.issue(office.account, office.secret)
    assert refused.value.reason == "unauthorized_client"
    with pytest.raises(ClientUnknown):
        await office.issuer.issue(office.account, "wrong")
    office.set_active(active=True)
    assert await office.issuer.issue(office.account, office.secret)


async def test_an_unknown_id_and_a_wrong_secret_cost_the_same_work(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    work: Counter[str] = Counter()

    class Counted:
        """The module's own hashing and comparing, counted."""

        @staticmethod
        def sha256(data: bytes) -> object:
            work["hash"] += 1
            return hashlib.sha256(data)

        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            work[f"compare {len(one)} {len(other)}"] += 1
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(issuing, "hashlib", Counted)
    monkeypatch.setattr(issuing, "hmac", Counted)
    done = []
    for client_id in (office.account, "f" * 32, "no id at all \x00"):
        work.clear()
        with statements(office.database) as seen:
            assert office.database.transact(partial(authenticate, client_id=client_id, client_secret="fgs_" + "x" * 60)) is None
        done.append((dict(work), seen))
    assert done[0] == done[1] == done[2]
    assert done[0][0] == {"hash": 1, "compare 32 32": 2}


async def test_a_token_writes_nothing_but_once_a_minute_that_its_secret_is_used(office: Office) -> None:
    assert office.last_used_us() is None
    await office.issuer.issue(office.account, office.secret)
    first = office.last_used_us()
    assert first == int(office.clock() * 1e6)
    office.clock.advance(59.9)
    with statements(office.database) as seen:
        await office.issuer.issue(office.account, office.secret)
        with pytest.raises(ClientUnknown):
            await office.issuer.issue(office.account, "wrong")
    assert not [one for one in seen if one.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))]
    assert office.last_used_us() == first
    office.clock.advance(0.1)
    await office.issuer.issue(office.account, office.secret)
    assert office.last_used_us() == int(office.clock() * 1e6)


async def test_tokens_are_neither_audited_nor_a_change_of_who_may_do_what(office: Office) -> None:
    def told() -> tuple[int, int]:
        return office.database.transact(
            lambda session: (len(session.scalars(select(AuditEntry)).all()), session.scalars(select(Change.revision)).one())
        )

    before = told()
    await office.issuer.issue(office.account, office.secret)
    assert told() == before


async def test_the_store_that_takes_no_note_gives_tokens_all_the_same(office: Office) -> None:
    with office.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE client_secret RENAME COLUMN last_used_us TO was_used_us")
    with office.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE client_secret ADD COLUMN last_used_us BIGINT CHECK (last_used_us IS NULL)")
    assert await office.issuer.issue(office.account, office.secret)


async def test_keys_replace_one_another_under_tokens_that_go_on(office: Office) -> None:
    office.clock.advance(86_400 - 10)
    old = (await office.issuer.issue(office.account, office.secret)).encode()
    office.clock.advance(11)
    await office.issuer.issue(office.account, office.secret)  # makes the next key
    assert len(office.database.transact(read_keys)) == 2
    office.clock.advance(100)
    new = (await office.issuer.issue(office.account, office.secret)).encode()
    assert new.split(b".")[0] != old.split(b".")[0]
    assert office.verify(old) is not None
    assert office.verify(new) is not None
    office.clock.advance(3_600 - 111)
    assert office.verify(old) is None
    assert office.verify(new) is not None
    assert len(office.issuer.public_keys()) == 2
    office.clock.advance(3_600)
    assert len(office.issuer.public_keys()) == 1


async def test_two_replicas_take_the_tokens_of_one_another(office: Office) -> None:
    other_ring = KeyRing(SEALER, ROTATION)
    other = TokenIssuer(office.database, SEALER, other_ring, ROTATION, POLICY, office.clock)
    await other.rotate()
    assert len(office.database.transact(read_keys)) == 1
    token = await other.issue(office.account, office.secret)
    assert office.verify(token.encode()) is not None
    assert Verifier(other_ring, POLICY, office.clock)((await office.issuer.issue(office.account, office.secret)).encode()) is not None


async def test_without_the_key_that_seals_there_are_no_tokens(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    office = Office(database, Sealer())
    with pytest.raises(Sealed), caplog.at_level(logging.ERROR):
        await office.issuer.issue(office.account, office.secret)
    assert database.transact(lambda session: session.scalars(select(SigningKey)).all()) == []
    with pytest.raises(ClientUnknown):
        await office.issuer.issue(office.account, "wrong")
