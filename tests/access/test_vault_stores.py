"""The vault in both databases: many at once, and what only one of them could get wrong."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.access.rekeying import survey
from gateway.access.sealing import Sealer
from gateway.access.store.database import Database
from gateway.access.store.tables import Secret
from gateway.errors import AccessUnavailable, NotFound, Tampered
from tests.harness.vaults import KEK, Vaulted, vault_in

NEW = bytes(range(1, 33))
NAMES = ["_", "A", "Z", "a", "z", "a-b", "a.b", "a_b", "a@b", "B", "b", "0"]
"""Which a database may sort by another rule than Python does."""


@pytest.fixture
def vaulted(database: Database, tmp_path: Path) -> Vaulted:
    opened = vault_in(database, Sealer([KEK]), tmp_path)
    opened.create("etl")
    return opened


def test_secrets_are_kept_told_apart_by_case_and_taken_away(vaulted: Vaulted) -> None:
    for name in NAMES:
        vaulted.put("etl", name, f"value of {name}")
    assert vaulted.names("etl") == sorted(NAMES)
    assert [vaulted.read("etl", name) for name in NAMES] == [f"value of {name}" for name in NAMES]
    vaulted.create("ETL")
    assert vaulted.scopes() == ["ETL", "etl"]
    for name in NAMES:
        vaulted.delete("etl", name)
    vaulted.drop("etl")
    with pytest.raises(NotFound):
        vaulted.names("etl")


def test_a_large_value_of_any_text_comes_back_as_it_was(vaulted: Vaulted) -> None:
    value = "".join(map(chr, [*range(0x800), 0x2028, 0xFFFF, 0x1F511])) * 20
    vaulted.put("etl", "a", value)
    assert vaulted.read("etl", "a") == value


def test_many_at_once_leave_what_each_of_them_wrote(vaulted: Vaulted) -> None:
    """A store that is too busy for one of them says so, and then has nothing of it."""

    def put(number: int) -> int | None:
        try:
            vaulted.put("etl", f"s{number}", f"value {number}")
        except AccessUnavailable:
            return None
        return number

    with ThreadPoolExecutor(4) as threads:
        written = {number for number in threads.map(put, range(40)) if number is not None}
    assert len(written) > 10
    assert set(vaulted.names("etl")) == {f"s{number}" for number in written}
    assert all(vaulted.read("etl", f"s{number}") == f"value {number}" for number in written)
    versions = vaulted.database.transact(lambda session: session.scalars(select(Secret.version)).all())
    assert len(set(versions)) == len(written)


def test_another_key_for_all_of_them(vaulted: Vaulted) -> None:
    for name in NAMES:
        vaulted.put("etl", name, f"value of {name}")
    assert vaulted.rotate(Sealer([NEW, KEK])) == len(NAMES)
    after = vaulted.under(Sealer([NEW]))
    assert [after.read("etl", name) for name in NAMES] == [f"value of {name}" for name in NAMES]
    told = vaulted.database.transact(lambda session: survey(session, Sealer([NEW])), writes=False)
    assert (told.secrets, told.refused, told.sealed) == (len(NAMES), [], None)


def test_what_was_changed_behind_its_back_is_refused(vaulted: Vaulted) -> None:
    vaulted.put("etl", "a", "value")

    def work(session: Session) -> None:
        session.execute(update(Secret).values(version=Secret.version + 1))

    vaulted.database.transact(work)
    with pytest.raises(Tampered):
        vaulted.read("etl", "a")
