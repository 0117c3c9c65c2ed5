"""Every act: judged by the store, done whole or not at all, and written down in the same transaction."""

import asyncio
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from gateway.access.administration import Act, Administration
from gateway.access.directory import revision_of
from gateway.access.principals import Actor, Principal, PrincipalKind, shell
from gateway.access.roles import EVERYTHING, Action, Workspace
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import AuditEntry, Group, RoleAssignment, ServiceAccount, User
from gateway.errors import (
    AccessUnavailable,
    AlreadyExists,
    CallerError,
    FailedPrecondition,
    InternalError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
)
from tests.access.holdings import ADMIN, account, add_account, add_group, add_user, give, in_workspace
from tests.harness.clock import PATIENCE_S

ADA = Actor(account("ada"), "Ada", "key-of-ada", "request-1")
BOB = Actor(account("bob"), "Bob", "key-of-bob")
NOW_S = 1_767_225_600.25
MANAGE = Action.MANAGE_DIRECTORY


@pytest.fixture
def administration(database: Database) -> Administration:
    """Of a store with an admin, ADA, and with BOB, who holds nothing but a role in one workspace."""

    def work(session: Session) -> None:
        give(session, add_account(session, "ada"), ADMIN)
        give(session, add_account(session, "bob"), in_workspace("prod", "viewer"))

    database.transact(work)
    return Administration(database, wall_s=lambda: NOW_S)


def make(name: str, detail: str = "") -> Callable[[Act], str]:
    """Work that makes a group first and asks afterwards."""

    def work(act: Act) -> str:
        add_group(act.session, name)
        act.detail = detail
        act.require(MANAGE, EVERYTHING)
        return name

    return work


def raising(error: Exception) -> Callable[[Act], None]:
    def work(act: Act) -> None:
        act.require(MANAGE, EVERYTHING)
        add_group(act.session, "of no use")
        raise error

    return work


def unjudged(act: Act) -> None:
    add_group(act.session, "one")


def groups(administration: Administration) -> list[str]:
    return sorted(administration.database.transact(lambda session: session.scalars(select(Group.id)).all(), writes=False))


def revision(administration: Administration) -> int:
    return administration.database.transact(revision_of, writes=False)


def written(administration: Administration, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the audit log, oldest first."""
    names = columns or ("actor_name", "action", "target", "outcome", "detail")

    def work(session: Session) -> list[tuple[Any, ...]]:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        return [tuple(getattr(entry, name) for name in names) for entry in entries]

    return administration.database.transact(work, writes=False)


async def test_what_is_allowed_is_done_and_written_down(administration: Administration) -> None:
    assert await administration.act(ADA, MANAGE, "group/one", make("one", "display_name")) == "one"
    assert groups(administration) == ["one"]
    assert revision(administration) == 1
    everything = [name for name in AuditEntry.__table__.columns.keys() if name != "id"]  # noqa: SIM118 - a mapping of its own kind
    [entry] = written(administration, *everything)
    assert dict(zip(everything, entry, strict=True)) == {
        "at_us": 1_767_225_600_250_000,
        "actor_kind": "service_account",
        "actor_id": "ada",
        "actor_name": "Ada",
        "credential": "key-of-ada",
        "action": "directory.manage",
        "target": "group/one",
        "outcome": "done",
        "detail": "display_name",
        "request_id": "request-1",
    }


async def test_what_is_not_allowed_is_not_done_and_that_is_written_down(administration: Administration) -> None:
    with pytest.raises(PermissionDenied):
        await administration.act(BOB, MANAGE, "group/one", make("one", "display_name"))
    assert groups(administration) == []
    assert revision(administration) == 0
    assert written(administration) == [("Bob", "directory.manage", "group/one", "denied", "PermissionDenied")]


@pytest.mark.parametrize("error", [NotFound, AlreadyExists, FailedPrecondition, InvalidRequest])
async def test_what_cannot_be_done_as_asked_is_not_done_and_that_is_written_down(
    administration: Administration, error: type[CallerError]
) -> None:
    with pytest.raises(error):
        await administration.act(ADA, MANAGE, "group/one", raising(error("no")))
    assert groups(administration) == []
    assert revision(administration) == 0
    assert written(administration) == [("Ada", "directory.manage", "group/one", "refused", error.__name__)]


async def test_work_that_never_asks_is_taken_for_work_that_may_not_be_done(administration: Administration) -> None:
    with pytest.raises(InternalError, match="not judged"):
        await administration.act(ADA, MANAGE, "group/one", unjudged)
    with pytest.raises(InternalError, match="not judged"):
        administration.act_at_once(shell("ada"), MANAGE, "group/one", unjudged)
    with pytest.raises(InternalError, match="not judged"):
        await administration.look(ADA, revision_of_act)
    assert groups(administration) == []
    assert revision(administration) == 0
    assert written(administration) == []


def revision_of_act(act: Act) -> int:
    return revision_of(act.session)


class Unforeseen(Exception):
    """A bug of ours."""


async def test_work_that_fails_on_the_way_has_done_nothing(administration: Administration) -> None:
    with pytest.raises(Unforeseen):
        await administration.act(ADA, MANAGE, "group/one", raising(Unforeseen()))
    assert groups(administration) == []
    assert revision(administration) == 0
    assert written(administration) == []


async def test_reading_a_secret_is_written_down_and_changes_nothing(administration: Administration) -> None:
    def work(act: Act) -> str:
        act.require(MANAGE, EVERYTHING)
        return "secret"

    assert await administration.act(ADA, Action.READ_SECRET, "secret/etl/one", work, changes_access=False) == "secret"
    assert revision(administration) == 0
    assert written(administration) == [("Ada", "secret.read", "secret/etl/one", "done", "")]


async def test_a_look_is_judged_and_not_written_down(administration: Administration) -> None:
    def work(act: Act) -> int:
        act.require(MANAGE, EVERYTHING)
        return revision_of(act.session)

    assert await administration.look(ADA, work) == 0
    with pytest.raises(PermissionDenied):
        await administration.look(BOB, work)
    assert written(administration) == []


async def test_a_look_changes_nothing(administration: Administration) -> None:
    with pytest.raises(AccessUnavailable):
        await administration.look(ADA, make("one"))
    assert groups(administration) == []


async def test_a_look_may_leave_out_what_is_not_to_be_seen(administration: Administration) -> None:
    def work(act: Act) -> list[str]:
        act.only_judged_by_what_is_shown()
        return [name for name in ("prod", "live") if act.may(Action.INGEST_DRY_RUN, Workspace(name))]

    assert await administration.look(ADA, work) == ["prod", "live"]
    assert await administration.look(BOB, work) == ["prod"]


def deactivate(session: Session) -> None:
    session.get_one(ServiceAccount, "ada").is_active = False


def take_back(session: Session) -> None:
    session.delete(session.scalars(select(RoleAssignment).where(RoleAssignment.principal_id == "ada")).one())


def remove(session: Session) -> None:
    session.delete(session.get_one(ServiceAccount, "ada"))


@pytest.mark.parametrize("change", [deactivate, take_back, remove])
async def test_who_may_is_asked_of_the_store_at_that_moment(administration: Administration, change: Callable[[Session], None]) -> None:
    administration.database.transact(change)
    with pytest.raises(PermissionDenied):
        await administration.act(ADA, MANAGE, "group/one", make("one"))
    assert groups(administration) == []


async def test_users_act_for_as_long_as_they_are_there(administration: Administration) -> None:
    user = administration.database.transact(lambda session: add_user(session, "eve"))
    administration.database.transact(lambda session: give(session, user, ADMIN))
    eve = Actor(user, "Eve", "token")
    await administration.act(eve, MANAGE, "group/one", make("one"))
    administration.database.transact(lambda session: session.delete(session.get_one(User, "eve")))
    with pytest.raises(PermissionDenied):
        await administration.act(eve, MANAGE, "group/two", make("two"))
    assert groups(administration) == ["one"]


@pytest.mark.parametrize("kind", [PrincipalKind.GROUP, PrincipalKind.WORKSPACE])
async def test_who_only_holds_roles_for_others_does_not_act(administration: Administration, kind: PrincipalKind) -> None:
    principal = Principal(kind, "all")
    administration.database.transact(lambda session: give(session, principal, ADMIN))
    with pytest.raises(PermissionDenied):
        await administration.act(Actor(principal, "all", ""), MANAGE, "group/one", make("one"))


def test_the_operator_at_the_shell_needs_no_role(administration: Administration) -> None:
    administration.act_at_once(shell("root"), MANAGE, "group/one", make("one"))
    with pytest.raises(NotFound):
        administration.act_at_once(shell("root"), MANAGE, "group/two", raising(NotFound("x")))
    assert written(administration, "actor_kind", "actor_name", "credential", "outcome") == [
        ("shell", "root", "shell", "done"),
        ("shell", "root", "shell", "refused"),
    ]


async def test_what_an_act_changed_is_known_before_it_is_answered(administration: Administration) -> None:
    seen: list[int] = []

    async def changed() -> None:
        seen.append(await administration.database.run(revision_of, writes=False))

    administration.changed = changed
    await administration.act(ADA, MANAGE, "group/one", make("one"))
    assert seen == [1]
    with pytest.raises(PermissionDenied):
        await administration.act(BOB, MANAGE, "group/two", make("two"))
    await administration.act(ADA, MANAGE, "group/three", make("three"), changes_access=False)
    assert seen == [1]


async def test_a_change_that_could_not_be_copied_afterwards_is_told_as_made(administration: Administration) -> None:
    async def changed() -> None:
        raise AccessUnavailable

    administration.changed = changed
    with pytest.raises(AccessUnavailable, match="The change was made"):
        await administration.act(ADA, MANAGE, "group/one", make("one"))
    assert groups(administration) == ["one"]


@pytest.mark.parametrize(("actor", "outcome", "there"), [(ADA, "done", ["one"]), (BOB, "denied", [])], ids=["allowed", "denied"])
async def test_who_stops_waiting_stops_neither_the_act_nor_its_entry(
    administration: Administration, actor: Actor, outcome: str, there: Sequence[str]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(act: Act) -> str:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return make("one")(act)

    async with asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(administration.act(actor, MANAGE, "group/one", work))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        waiter.cancel()
    go_on.set()
    administration.database.close()
    assert groups(administration) == there
    assert written(administration, "outcome") == [(outcome,)]


# An audit log that cannot be written


@pytest.fixture
def unwritable(administration: Administration) -> Administration:
    statements = {
        "sqlite": ["CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END"],
        "postgresql": [
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'",
            "CREATE TRIGGER no BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION no()",
        ],
    }
    with administration.database.engine.begin() as connection:
        for statement in statements[connection.dialect.name]:
            connection.execute(text(statement))
    return administration


async def test_an_act_whose_entry_cannot_be_written_does_not_happen(unwritable: Administration) -> None:
    with pytest.raises(AccessUnavailable):
        await unwritable.act(ADA, MANAGE, "group/one", make("one"))
    with pytest.raises(AccessUnavailable):
        unwritable.act_at_once(shell("root"), MANAGE, "group/one", make("one"))
    assert groups(unwritable) == []
    assert revision(unwritable) == 0


async def test_a_secret_whose_reading_cannot_be_written_down_is_not_read(unwritable: Administration) -> None:
    def work(act: Act) -> str:
        act.require(MANAGE, EVERYTHING)
        return "secret"

    with pytest.raises(AccessUnavailable):
        await unwritable.act(ADA, Action.READ_SECRET, "secret/etl/one", work, changes_access=False)


async def test_a_refusal_that_cannot_be_written_down_is_one_all_the_same(unwritable: Administration) -> None:
    with pytest.raises(AccessUnavailable):
        await unwritable.act(BOB, MANAGE, "group/one", make("one"))
    assert groups(unwritable) == []


@pytest.fixture
def on_a_disk(made: Path, tmp_path: Path) -> Iterator[tuple[Path, Administration]]:
    path = Path(copy(made, tmp_path / "access.db"))
    with closing(open_database(path)) as database:
        yield path, Administration(database)


def act_until_it_fails(administration: Administration) -> int:
    """How many groups were made until one could not be."""
    for number in range(1_000):
        try:
            administration.act_at_once(shell("root"), MANAGE, f"group/{number}", make(f"{number}", "x" * 1_000))
        except AccessUnavailable:
            return number
    raise AssertionError("the disk was never full")


def held_to_its_word(administration: Administration, done: int) -> None:
    assert len(groups(administration)) == revision(administration) == done
    assert written(administration, "target", "outcome") == [(f"group/{number}", "done") for number in range(done)]


def test_a_full_disk_refuses_acts_and_keeps_those_that_were_done(on_a_disk: tuple[Path, Administration]) -> None:
    _, administration = on_a_disk

    def limit(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count=80")

    event.listen(administration.database.engine, "connect", limit)
    done = act_until_it_fails(administration)
    held_to_its_word(administration, done)
    event.remove(administration.database.engine, "connect", limit)
    administration.database.engine.dispose()
    administration.act_at_once(shell("root"), MANAGE, f"group/{done}", make(f"{done}"))
    held_to_its_word(administration, done + 1)


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_that_cannot_grow_refuses_acts_and_keeps_those_that_were_done(on_a_disk: tuple[Path, Administration]) -> None:
    """The write-ahead log, into which a commit is written."""
    path, administration = on_a_disk
    with no_file_longer_than(path.stat().st_size + 200_000):
        done = act_until_it_fails(administration)
    assert done > 0
    held_to_its_word(administration, done)
    administration.act_at_once(shell("root"), MANAGE, f"group/{done}", make(f"{done}"))
    held_to_its_word(administration, done + 1)
