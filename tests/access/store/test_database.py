"""One contract of both databases: a whole transaction or nothing, whoever else is at it, and whatever fails."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

import gateway.access.store.database
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import Change, Group, ServiceAccount
from gateway.errors import AccessUnavailable, AlreadyExists
from tests.access.conftest import Place
from tests.harness.clock import PATIENCE_S
from tests.harness.postgresql import PostgreSQL

CANARY = "c4n4ry"


def group(name: str, key: str | None = None) -> Group:
    return Group(id=key or f"id-{name}", display_name=name, description=None, idp_mapping_names="[]", created_us=0, updated_us=0)


def revision(session: Session) -> int:
    return session.scalars(select(Change.revision)).one()


def count_up(session: Session) -> None:
    """As somebody would who has never heard of other writers."""
    session.get_one(Change, 1).revision += 1


def names(database: Database) -> list[str]:
    return sorted(database.transact(lambda session: session.scalars(select(Group.display_name)).all(), writes=False))


@pytest.fixture
def postgres(postgresql: PostgreSQL) -> Iterator[tuple[Database, Callable[[str], Any]]]:
    """A store in PostgreSQL, and a way to it past the gateway."""
    with postgresql.lend() as url, closing(open_database(url)) as database:
        yield database, lambda statement: postgresql.ask(url, statement)


def test_what_was_done_is_there_when_it_is_opened_again(place: Place) -> None:
    with closing(open_database(place)) as database:
        database.transact(lambda session: session.add(group("one")))
    with closing(open_database(place)) as database:
        assert names(database) == ["one"]


class Refused(Exception):
    """What the work makes of it."""


def test_work_that_raises_has_done_nothing(database: Database) -> None:
    def work(session: Session) -> None:
        session.add(group("one"))
        count_up(session)
        session.flush()
        raise Refused

    with pytest.raises(Refused):
        database.transact(work)
    assert names(database) == []
    assert database.transact(revision, writes=False) == 0


def test_one_statement_that_fails_undoes_those_before_it(database: Database) -> None:
    def work(session: Session) -> None:
        session.add(group("one"))
        session.flush()
        session.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(AccessUnavailable):
        database.transact(work)
    assert names(database) == []


def test_concurrent_writers_lose_nothing(database: Database, beside: Database) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            (database, beside)[number % 2].transact(count_up)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert database.transact(revision, writes=False) == 80


def test_of_many_who_want_a_name_one_gets_it_and_the_others_are_told(database: Database, beside: Database) -> None:
    start = threading.Barrier(6)

    def take(number: int) -> bool:
        def work(session: Session) -> None:
            if session.scalars(select(Group).where(Group.display_name == "wanted")).first() is not None:
                raise AlreadyExists("display_name: taken")
            session.add(group("wanted", f"id-{number}"))

        start.wait(PATIENCE_S)
        try:
            (database, beside)[number % 2].transact(work)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(take, range(6))) == [False] * 5 + [True]


def test_what_a_writer_has_read_is_still_so_when_it_writes(database: Database, beside: Database) -> None:
    """Each is allowed to go only while the other is there. Both at once must not go."""
    database.transact(lambda session: session.add_all([group("ada"), group("bob")]))
    start = threading.Barrier(2)

    def leave(where: Database, name: str) -> None:
        def work(session: Session) -> None:
            if len(session.scalars(select(Group)).all()) > 1:
                session.execute(delete(Group).where(Group.display_name == name))

        start.wait(PATIENCE_S)
        where.transact(work)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(leave, (database, beside), ("ada", "bob")))
    assert len(names(database)) == 1


def test_a_reader_waits_for_no_writer_and_sees_nothing_of_what_is_not_committed(database: Database, beside: Database) -> None:
    def work(session: Session) -> int:
        count_up(session)
        session.flush()
        return beside.transact(revision, writes=False)

    assert database.transact(work) == 0
    assert beside.transact(revision, writes=False) == 1


def test_a_reader_cannot_write(database: Database) -> None:
    for _ in range(2):  # nor does what one may stay with its connection
        with pytest.raises(AccessUnavailable):
            database.transact(count_up, writes=False)
        database.transact(count_up)
    assert database.transact(revision, writes=False) == 2


def test_a_reader_sees_one_moment(database: Database, beside: Database) -> None:
    def work(session: Session) -> tuple[int, list[str]]:
        before = revision(session)
        beside.transact(lambda other: other.add(group("late")))
        beside.transact(count_up)
        return before, list(session.scalars(select(Group.display_name)))

    assert database.transact(work, writes=False) == (0, [])


def test_a_name_that_stays_taken_is_looked_for_again_and_then_given_up(database: Database) -> None:
    database.transact(lambda session: session.add(group("one")))
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        session.add(group("one", "another"))

    with pytest.raises(AccessUnavailable):
        database.transact(work)
    assert len(tries) > 1
    assert names(database) == ["one"]


def test_a_writer_that_holds_on_for_too_long_is_not_waited_for(place: Place, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.access.store.database, "_BUSY_MS", 50)

    def work(session: Session) -> None:
        count_up(session)
        session.flush()
        with pytest.raises(AccessUnavailable):
            impatient.transact(count_up)

    with closing(open_database(place)) as impatient:
        database.transact(work)
        impatient.transact(count_up)
    assert database.transact(revision, writes=False) == 2


def test_foreign_keys_are_held(database: Database) -> None:
    def work(session: Session) -> None:
        session.execute(text("INSERT INTO membership VALUES ('nobody', 'user', 'ada')"))

    with pytest.raises(AccessUnavailable):
        database.transact(work)


async def test_whoever_stops_waiting_stops_neither_what_was_begun_nor_what_waits_its_turn(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(session: Session) -> None:
        session.add(group("one"))
        session.flush()
        begun.set()
        assert go_on.wait(PATIENCE_S)
        session.add(group("two"))

    async with asyncio.TaskGroup() as tasks:
        waiters = [tasks.create_task(database.run(work))]
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        waiters.append(tasks.create_task(database.run(lambda session: session.add(group("three")))))
        await asyncio.sleep(0)
        for waiter in waiters:
            waiter.cancel()
    assert all(waiter.cancelled() for waiter in waiters)
    go_on.set()
    database.close()
    assert names(database) == ["one", "three", "two"]


async def test_it_keeps_nobody_from_the_event_loop(database: Database) -> None:
    go_on = threading.Event()

    def work(session: Session) -> int:
        assert go_on.wait(PATIENCE_S)
        return revision(session)

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(database.run(work, writes=False))
        await asyncio.sleep(0)
        go_on.set()
    assert reading.result() == 0


async def test_a_closed_store_is_unavailable(database: Database) -> None:
    database.close()
    with pytest.raises(AccessUnavailable):
        await database.run(revision, writes=False)


def test_the_text_of_a_failure_says_nothing_of_what_was_written(database: Database) -> None:
    database.transact(lambda session: session.add(group(CANARY)))
    for work in (
        lambda session: session.add(group(CANARY, "another")),
        lambda session: session.execute(text(f"DROP TABLE {CANARY}")),
        lambda session: session.add(ServiceAccount(id=CANARY)),
    ):
        with pytest.raises(AccessUnavailable) as failure:
            database.transact(work)
        assert CANARY not in str(failure.value)


@pytest.mark.parametrize(
    "url", [f"postgresql://ada:{CANARY}@127.0.0.1:1/{CANARY}", f"postgresql://ada:{CANARY}@/{CANARY}?host=/nowhere/{CANARY}"]
)
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    with closing(open_database(url)) as database:
        for attempt in (database.migrate, lambda: database.transact(revision)):
            with pytest.raises(AccessUnavailable) as failure:
                attempt()
            assert CANARY not in str(failure.value)
        with pytest.raises(AccessUnavailable):
            await database.run(revision, writes=False)


@pytest.mark.parametrize("url", [CANARY, f"mysql://ada:{CANARY}@host/db", f"sqlite:///{CANARY}", "postgresql", ""])
def test_what_is_no_url_of_postgresql_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as failure:
        open_database(url)
    assert CANARY not in str(failure.value)


# SQLite alone


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, Database]]:
    path = tmp_path / "folder" / "access.db"
    with closing(open_database(path)) as database:
        database.migrate()
        yield path, database


def test_every_commit_is_on_the_disk_and_what_is_deleted_is_overwritten(file: tuple[Path, Database]) -> None:
    def pragmas(session: Session) -> dict[str, object]:
        return {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }

    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    for writes in (True, False):
        assert file[1].transact(pragmas, writes=writes) == expected


def test_its_files_are_its_owners_alone(file: tuple[Path, Database]) -> None:
    file[1].transact(count_up)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in file[0].parent.iterdir()}
    assert modes == dict.fromkeys(("access.db", "access.db-wal", "access.db-shm"), "0o600")


def test_a_writer_waits_for_another_processs(file: tuple[Path, Database]) -> None:
    order: list[str] = []
    held, go_on = threading.Event(), threading.Event()

    def first(session: Session) -> None:
        count_up(session)
        session.flush()
        held.set()
        assert go_on.wait(PATIENCE_S)
        order.append("first")

    def second(session: Session) -> None:
        order.append(f"second at {revision(session)}")

    with closing(open_database(file[0])) as beside, ThreadPoolExecutor(2) as threads:
        writing = threads.submit(file[1].transact, first)
        assert held.wait(PATIENCE_S)
        waiting = threads.submit(beside.transact, second)
        go_on.set()
        writing.result(PATIENCE_S)
        waiting.result(PATIENCE_S)
    assert order == ["first", "second at 1"]


def test_a_file_that_is_no_database_is_unavailable_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "access.db"
    path.write_bytes(CANARY.encode() * 1_000)
    with closing(open_database(path)) as database, pytest.raises(AccessUnavailable) as failure:
        database.migrate()
    assert CANARY not in str(failure.value)
    assert path.read_bytes() == CANARY.encode() * 1_000


# PostgreSQL alone


def test_a_transaction_that_met_another_is_done_again(postgres: tuple[Database, Callable[[str], Any]]) -> None:
    database, ask = postgres
    database.transact(lambda session: session.add(group("one")))
    seen: list[str | None] = []

    def work(session: Session) -> None:
        found = session.scalars(select(Group)).one()
        seen.append(found.description)
        if len(seen) == 1:
            ask("UPDATE principal_group SET description = 'theirs'")
        found.description = "mine"

    database.transact(work)
    assert seen == [None, "theirs"]
    assert ask("SELECT description FROM principal_group") == [("mine",)]


def test_work_whose_connection_is_lost_is_done_again(postgres: tuple[Database, Callable[[str], Any]]) -> None:
    database, ask = postgres
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
        session.execute(update(Change).values(revision=Change.revision + 1))
        if len(tries) == 1:
            ask(f"SELECT pg_terminate_backend({tries[0]})")
            session.execute(text("SELECT 1"))

    database.transact(work)
    assert len(tries) == 2
    assert ask("SELECT revision FROM change") == [(1,)]


def test_a_connection_that_is_lost_with_the_answer_to_commit_is_told_and_not_tried_again(
    postgres: tuple[Database, Callable[[str], Any]],
) -> None:
    database, ask = postgres
    ask(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
    )
    ask("CREATE CONSTRAINT TRIGGER cutting AFTER UPDATE ON change DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()")
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        count_up(session)

    with pytest.raises(AccessUnavailable, match="look whether it was made"):
        database.transact(work)
    assert len(tries) == 1


def test_it_is_reached_again_once_the_server_is_back(postgresql: PostgreSQL) -> None:
    with postgresql.lend() as url, closing(open_database(url)) as database:
        database.transact(count_up)
        postgresql.stop()
        try:
            with pytest.raises(AccessUnavailable):
                database.transact(count_up)
        finally:
            postgresql.start()
        database.transact(count_up)
        assert database.transact(revision, writes=False) == 2
