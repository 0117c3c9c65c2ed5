"""Another key for all that is sealed: everything opens under it afterwards, or nothing has changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.rekeying import Survey, how_many, kek_in_use, rewrap_all, survey
from gateway.access.roles import NOBODY, Action
from gateway.access.sealing import Sealer, context_of
from gateway.access.store.tables import SigningKey
from gateway.errors import PermissionDenied, Sealed, Tampered
from tests.harness.vaults import KEK, Vaulted, open_vault

NEW = bytes(range(1, 33))
BEFORE, BOTH, AFTER = Sealer([KEK]), Sealer([NEW, KEK]), Sealer([NEW])
SECRETS = 205


@pytest.fixture
def vaulted(tmp_path: Path) -> Iterator[Vaulted]:
    """A signing key, an empty scope, one with a secret, and one with more of them than are read at once."""
    with open_vault(tmp_path, BEFORE) as opened:
        for scope in ("empty", "few", "many"):
            opened.create(scope)
        opened.put("few", "a", "value of a")

        def fill(act: Act) -> None:
            for number in range(SECRETS):
                opened.vault.put(act, "many", f"s{number}", f"value {number}")

        opened.administration.act_at_once(opened.actor, Action.WRITE_SECRET, "secret/many/*", fill, changes_access=False)
        opened.database.transact(lambda session: session.add(signing_key()))
        yield opened


def signing_key() -> SigningKey:
    return SigningKey(id="k1", sealed=BEFORE.seal(b"pem", context_of("signing_key", "k1")), created_us=0, retires_us=None)


def looked_at(vaulted: Vaulted, sealer: Sealer) -> Survey:
    return vaulted.database.transact(lambda session: survey(session, sealer), writes=False)


def test_everything_is_under_the_new_key_and_opens(vaulted: Vaulted) -> None:
    total = SECRETS + 2
    assert vaulted.database.transact(how_many) == total
    assert looked_at(vaulted, BEFORE) == Survey(3, SECRETS + 1, 1, {BEFORE.kek_id: total}, [], None)
    heard: list[int] = []

    def work(act: Act) -> int:
        return rewrap_all(act, BOTH, heard.append)

    assert vaulted.administration.act_at_once(vaulted.actor, Action.ROTATE_KEK, "vault/kek", work) == total
    assert heard == sorted(heard)
    assert heard[-1] == total
    assert looked_at(vaulted, AFTER) == Survey(3, SECRETS + 1, 1, {AFTER.kek_id: total}, [], None)
    assert vaulted.database.transact(kek_in_use) == AFTER.kek_id
    after = vaulted.under(AFTER)
    assert [after.read("many", f"s{number}") for number in (0, 99, 100, 204)] == [f"value {number}" for number in (0, 99, 100, 204)]
    after.put("empty", "b", "new")
    assert vaulted.rows("SELECT detail FROM audit WHERE action = 'vault.rotate_kek'") == [(f"{total} values under {AFTER.kek_id}",)]
    with pytest.raises(Sealed):
        vaulted.read("few", "a")


def test_a_second_time_nothing_is_wrapped_again(vaulted: Vaulted) -> None:
    vaulted.rotate(BOTH)
    stored = vaulted.rows("SELECT sealed FROM secret ORDER BY scope, name")
    assert vaulted.rotate(BOTH) == SECRETS + 2
    assert vaulted.rows("SELECT sealed FROM secret ORDER BY scope, name") == stored


@pytest.mark.parametrize("sealer", [AFTER, Sealer()], ids=["without the old key", "without any"])
def test_without_the_key_that_opens_nothing_is_changed(vaulted: Vaulted, sealer: Sealer) -> None:
    with pytest.raises(Sealed):
        vaulted.rotate(sealer)
    assert looked_at(vaulted, BEFORE).under == {BEFORE.kek_id: SECRETS + 2}
    assert vaulted.read("few", "a") == "value of a"


def test_what_does_not_open_stops_it_and_is_named(vaulted: Vaulted) -> None:
    vaulted.tamper("UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'a') WHERE name = 's204'")
    with pytest.raises(Tampered):
        vaulted.rotate(BOTH)
    told = looked_at(vaulted, BEFORE)
    assert told.under == {BEFORE.kek_id: SECRETS + 2}
    assert (told.refused, told.sealed) == (["many/s204"], None)
    vaulted.tamper("DELETE FROM secret WHERE name = 's204'")
    told = looked_at(vaulted, BEFORE)
    assert told.refused == []
    assert told.sealed is not None
    assert "incident" in told.sealed


def test_nobody_rotates_but_an_operator(vaulted: Vaulted) -> None:
    def work(session: Session) -> None:
        with pytest.raises(PermissionDenied):
            rewrap_all(Act(session, vaulted.actor, NOBODY, 0), BOTH, lambda _: None)

    vaulted.database.transact(work)
