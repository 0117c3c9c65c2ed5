"""The gate's copy of the directory: as new as the store's last answer, and given up where that is too old."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import select, text, update

from gateway.access import copying
from gateway.access.copying import FLUSH_EVERY_S, DirectoryCopy
from gateway.access.gates import KeyTable
from gateway.access.store.database import Database
from gateway.access.store.tables import ApiKey, Change, ServiceAccount
from gateway.errors import AccessUnavailable, Unauthenticated
from gateway.features import ServiceRef
from tests.harness.clock import Clock
from tests.harness.offices import enrol

LIVE = ServiceRef("live", "fraud")


class Copied:
    """A gate and its copy of a store, on a clock that stands still."""

    def __init__(self, database: Database, max_age_s: float | None = None) -> None:
        self.database = database
        self.clock = Clock()
        self.gate = KeyTable({})
        self.copy = DirectoryCopy(database, self.gate, max_age_s=max_age_s, clock=self.clock, wall_s=lambda: 1_000_000.5)

    async def turn(self, after_s: float = 1.0) -> None:
        self.clock.advance(after_s)
        await self.copy.turn()

    def reads(self, key: str) -> bool:
        try:
            return self.gate.holds(self.gate.identify(f"Tecton-key {key}".encode()), LIVE, 0.0)
        except Unauthenticated:
            return False


@pytest.fixture
def copied(database: Database) -> Copied:
    return Copied(database)


def break_store(database: Database) -> Callable[[], None]:
    """What is asked of it fails, until what is returned is called."""

    def rename(before: str, after: str) -> None:
        with database.engine.begin() as connection:
            for name in ("change", "service_account", "api_key"):
                connection.execute(text(f"ALTER TABLE {name}{before} RENAME TO {name}{after}"))

    rename("", "_gone")
    return lambda: rename("_gone", "")


async def test_what_another_process_changes_is_known_after_the_next_look(copied: Copied, beside: Database) -> None:
    await copied.copy.refresh()
    other = beside
    account, key = enrol(other, "etl", "live=consumer")
    assert not copied.reads(key)
    await copied.turn()
    assert copied.reads(key)

    other.transact(lambda session: session.execute(update(ServiceAccount).where(ServiceAccount.id == account).values(is_active=False)))
    await copied.turn()
    assert copied.reads(key)  # nobody said that anything changed
    other.transact(lambda session: session.execute(update(Change).values(revision=Change.revision + 1)))
    await copied.turn()
    assert not copied.reads(key)


async def test_it_says_whether_the_store_answers_and_how_old_it_is(copied: Copied) -> None:
    await copied.copy.refresh()
    assert (copied.copy.up, copied.copy.age_s) == (True, 0.0)
    mend = break_store(copied.database)
    await copied.turn(5.0)
    assert (copied.copy.up, copied.copy.age_s) == (False, 5.0)
    mend()
    await copied.turn()
    assert (copied.copy.up, copied.copy.age_s) == (True, 0.0)


async def test_a_store_that_was_put_back_is_copied_as_it_is_now(copied: Copied) -> None:
    _, key = enrol(copied.database, "etl", "live=consumer")
    await copied.copy.refresh()
    copied.database.transact(lambda session: session.execute(text("DELETE FROM api_key")))
    copied.database.transact(lambda session: session.execute(update(Change).values(revision=0)))
    await copied.turn()
    assert not copied.reads(key)


async def test_those_who_ask_at_once_share_a_reading_that_began_after_them(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []
    run = copied.database.run

    def counted(work: object, *, writes: bool = True) -> object:
        readings.append(work)
        return run(work, writes=writes)  # type: ignore[arg-type]

    monkeypatch.setattr(copied.database, "run", counted)
    await asyncio.gather(*[copied.copy.refresh() for _ in range(10)])
    assert 1 <= len(readings) <= 2


async def test_while_the_store_cannot_be_read_what_was_read_last_counts(copied: Copied, caplog: pytest.LogCaptureFixture) -> None:
    _, key = enrol(copied.database, "etl", "live=consumer")
    await copied.copy.refresh()
    mend = break_store(copied.database)
    for _ in range(3):
        await copied.turn(after_s=1e6)
    assert copied.reads(key)
    assert (copied.copy.up, copied.copy.lapsed, copied.copy.age_s) == (False, False, 3e6)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with pytest.raises(AccessUnavailable):
        await copied.copy.refresh()
    mend()
    await copied.turn()
    assert (copied.copy.up, copied.copy.age_s) == (True, 0.0)
    mend = break_store(copied.database)
    await copied.turn()
    assert len(caplog.records) == 2
    mend()


async def test_but_no_longer_than_it_may(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    copied = Copied(database, max_age_s=30.0)
    _, key = enrol(database, "etl", "live=consumer")
    await copied.copy.refresh()
    mend = break_store(database)
    await copied.turn(after_s=29.0)
    assert copied.reads(key)
    for _ in range(2):
        await copied.turn()
        with pytest.raises(AccessUnavailable):
            copied.reads(key)
        assert (copied.copy.up, copied.copy.lapsed) == (False, True)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    mend()
    await copied.turn()
    assert copied.reads(key)
    assert (copied.copy.up, copied.copy.lapsed) == (True, False)


async def test_a_store_that_hangs_is_waited_for_no_longer_than_the_copy_may_be_old(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Copied(database, max_age_s=0.05)
    await copied.copy.refresh()

    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(database, "run", hang)
    await copied.turn()
    with pytest.raises(AccessUnavailable):
        copied.reads("any")


async def test_the_last_use_of_keys_is_written_down_once_a_minute(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_AT_ONCE", 2)
    keys = [enrol(copied.database, name, "live=consumer")[1] for name in ("one", "two", "three", "four")]
    await copied.copy.refresh()
    for key in keys[:3]:
        assert copied.reads(key)

    def used() -> list[int | None]:
        return list(copied.database.transact(lambda session: session.scalars(select(ApiKey.last_used_us)).all()))

    await copied.turn(after_s=FLUSH_EVERY_S - 1)
    assert set(used()) == {None}
    before = copied.database.transact(lambda session: session.scalars(select(Change.revision)).one())
    await copied.turn()
    assert sorted(map(str, used())) == ["1000000500000", "1000000500000", "1000000500000", "None"]
    assert copied.database.transact(lambda session: session.scalars(select(Change.revision)).one()) == before


async def test_a_use_that_cannot_be_written_down_now_is_written_down_later(copied: Copied) -> None:
    _, key = enrol(copied.database, "etl", "live=consumer")
    await copied.copy.refresh()
    assert copied.reads(key)
    mend = break_store(copied.database)
    await copied.copy.flush()
    mend()
    await copied.copy.flush()
    assert copied.database.transact(lambda session: session.scalars(select(ApiKey.last_used_us)).one()) == 1_000_000_500_000
