"""A store without an admin gets one, once, whoever starts; and nobody becomes admin by a name."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from gateway.access import audit
from gateway.access.administration import Administration
from gateway.access.audit import Sought
from gateway.access.directory import read_directory
from gateway.access.first_start import ADMIN_ID, ensure_admin
from gateway.access.keys import digest, key_id, new_key
from gateway.access.reach import Directory
from gateway.access.standings import all_standings
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import ApiKey, RoleAssignment, ServiceAccount
from gateway.errors import InvalidRequest
from tests.access.conftest import Place
from tests.harness.offices import enrol


def opens(database: Database, key: str) -> bool:
    """Whether it is the key of an admin."""
    entry = directory(database).keys.get(bytes.fromhex(digest(key)))
    if entry is None:
        return False
    assert entry.principal is not None
    return database.transact(all_standings)[entry.principal].admin


def directory(database: Database) -> Directory:
    return database.transact(read_directory, writes=False)


def acts(database: Database) -> list[tuple[str, str, str]]:
    entries = database.transact(lambda session: audit.read(session, Sought()), writes=False)
    return [(entry.actor_name, entry.target, entry.outcome) for entry in entries]


MADE = ("serve", f"service_account/{ADMIN_ID}", "done")


def test_a_store_that_holds_no_admin_gets_one_and_its_key_is_told_once(database: Database) -> None:
    administration = Administration(database)
    key = ensure_admin(administration, None)
    assert key is not None
    assert opens(database, key)
    assert [ensure_admin(administration, None) for _ in range(2)] == [None, None]
    assert len(directory(database).keys) == 1
    assert acts(database) == [MADE]


def test_no_key_is_in_the_audit_log(database: Database) -> None:
    key = ensure_admin(Administration(database), None)
    assert key is not None
    [entry] = database.transact(lambda session: audit.read(session, Sought()), writes=False)
    told = " ".join(str(getattr(entry, column.name)) for column in entry.__table__.columns)
    assert str(key_id(key)) in told
    assert key.rpartition("_")[2] not in told
    assert digest(key) not in told


def test_two_that_start_at_once_make_one(database: Database, place: Place) -> None:
    others = [open_database(place) for _ in range(4)]
    together = Barrier(len(others))

    def start(one: Database) -> str | None:
        together.wait(20)
        return ensure_admin(Administration(one), None)

    with ThreadPoolExecutor(len(others)) as pool:
        keys = [key for key in pool.map(start, others) if key is not None]
    assert len(keys) == 1
    assert opens(database, keys[0])
    assert acts(database) == [MADE]
    for one in others:
        one.close()


def test_a_given_key_is_the_admins_and_is_not_told(database: Database) -> None:
    given = new_key()
    for _ in range(2):
        assert ensure_admin(Administration(database), given) is None
    assert opens(database, given)
    assert acts(database) == [MADE]


def test_a_key_that_is_given_later_is_the_admins_too(database: Database) -> None:
    administration, given = Administration(database), new_key()
    first = ensure_admin(administration, None)
    assert first is not None
    assert ensure_admin(administration, given) is None
    assert opens(database, first)
    assert opens(database, given)


def test_a_given_key_that_was_deactivated_stays_so_and_another_brings_the_admin_back(database: Database) -> None:
    given, other = new_key(), new_key()
    ensure_admin(Administration(database), given)

    def lock_out(session: Session) -> None:
        session.execute(update(ApiKey).values(is_active=False))
        session.execute(update(ServiceAccount).values(is_active=False))
        session.execute(delete(RoleAssignment))

    database.transact(lock_out)
    assert ensure_admin(Administration(database), given) is None
    assert directory(database).keys == {}
    ensure_admin(Administration(database), other)
    assert opens(database, other)
    assert not opens(database, given)


def test_an_admin_that_is_deactivated_is_one_still(database: Database) -> None:
    ensure_admin(Administration(database), None)
    database.transact(lambda session: session.execute(update(ServiceAccount).values(is_active=False)))
    assert ensure_admin(Administration(database), None) is None


def test_an_account_of_that_name_is_not_made_admin(database: Database) -> None:
    _, mine = enrol(database, "admin", "prod=viewer")
    key = ensure_admin(Administration(database), None)
    assert key is not None
    assert opens(database, key)
    assert not opens(database, mine)
    names = database.transact(lambda session: session.scalars(select(ServiceAccount.name)).all())
    assert sorted(name.rpartition("-")[0] or name for name in names) == ["admin", "admin"]


def test_what_is_no_key_is_refused_and_not_told(database: Database) -> None:
    key = new_key()
    for given in ("", "c4n4ry", key[:-1], key + "x", f"Tecton-key {key}"):
        with pytest.raises(InvalidRequest) as refused:
            ensure_admin(Administration(database), given)
        assert not given or given not in str(refused.value)
    assert acts(database) == []
