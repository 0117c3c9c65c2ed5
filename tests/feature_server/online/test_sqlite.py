"""Durability, isolation and ownership of the SQLite store, with processes that really die and disks that really fill."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import OriginError, OriginFailed, OriginUnavailable
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.base import Member, OnlineStore, StoredTile, StoreMismatch, TileRange
from gateway.feature_server.online.sqlite import SqliteStore, _use_wal
from tests.feature_server.purchases import NOW_NS, REPOSITORY, read

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    store.prepare("ours", ["view/a", "source/b"])
    yield store
    store.close()


def newest(store: OnlineStore) -> dict[int, int]:
    with store.snapshot() as snapshot:
        return dict(snapshot.newest())


def test_a_committed_transaction_has_been_synced(store: SqliteStore) -> None:
    full, wal = 2, "wal"
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (full,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == (wal,)


def test_readers_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(OriginUnavailable, match="SQLITE_READONLY"), store.snapshot():
        store._reader.execute("DELETE FROM tile")


def test_tiles_come_newest_first_within_their_range(store: SqliteStore) -> None:
    with store.transaction() as transaction:
        for tile in (1, 2, 3, 4):
            transaction.put_tile(1, b"k", tile, b"%d" % tile)
        transaction.put_tile(1, b"other", 2, b"x")
        transaction.put_tile(2, b"k", 2, b"y")
        transaction.put_tile(1, b"k", 3, None)
    with store.snapshot() as snapshot:
        assert snapshot.tiles(TileRange(1, b"k", 1, 4)) == [(2, b"2"), (1, b"1")]
        assert snapshot.tiles(TileRange(1, b"k", 3, 9)) == [StoredTile(4, b"4")]


def test_events_replace_and_members_follow_in_order(store: SqliteStore) -> None:
    with store.transaction() as transaction:
        late = transaction.put_event(1, b"r2", 50, b"late")
        early = transaction.put_event(1, b"r1", 50, b"early")
        assert late.replaced is None
        assert not transaction.put_member(7, b"k", 50, b"r2", late.id)
        assert not transaction.put_member(7, b"k", 50, b"r1", early.id)
        assert not transaction.put_member(7, b"k", 50, b"r1", early.id)
        again = transaction.put_event(1, b"r1", 50, b"corrected")
        assert (again.id, again.replaced) == (early.id, b"early")
        assert transaction.members(7, b"k", 50, 51) == [Member(50, b"r1", b"corrected"), Member(50, b"r2", b"late")]
        assert transaction.members(7, b"k", 0, 50) == []
        assert transaction.put_member(7, b"k", 50, b"r1", late.id)
        transaction.drop_member(7, b"k", 50, b"r2")
        assert transaction.members(7, b"k", 50, 51) == [Member(50, b"r1", b"late")]
        assert transaction.has_event(1, b"r1", 50)
        assert not transaction.has_event(1, b"r1", 51)


def test_a_transaction_that_fails_leaves_nothing(store: SqliteStore) -> None:
    def fail() -> None:
        with store.transaction() as transaction:
            transaction.put_event(1, b"r", 1, b"x")
            transaction.advance(1, 5)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.transaction() as transaction:
        assert not transaction.has_event(1, b"r", 1)
    assert newest(store) == {}


def test_a_snapshot_sees_one_state_while_others_write(store: SqliteStore) -> None:
    with store.snapshot() as snapshot:
        assert snapshot.newest() == {}
        with store.transaction() as transaction:
            transaction.advance(1, 5)
            transaction.put_tile(1, b"k", 1, b"x")
        assert snapshot.newest() == {}
        assert snapshot.tiles(TileRange(1, b"k", 0, 9)) == []
    assert newest(store) == {1: 5}


def test_the_newest_event_is_never_set_back(store: SqliteStore) -> None:
    for at_ns in (5, 3, 7, -2):
        with store.transaction() as transaction:
            transaction.advance(1, at_ns)
    assert newest(store) == {1: 7}


def test_ids_stay_with_their_names(path: Path) -> None:
    first = SqliteStore(path)
    ids = first.prepare("ours", ["a", "b"])
    first.close()
    second = SqliteStore(path)
    assert second.prepare("ours", ["b", "c", "a"]) == {**ids, "c": 3}
    second.close()


def test_other_definitions_are_refused_with_what_to_do(store: SqliteStore) -> None:
    with pytest.raises(StoreMismatch, match=r"other feature definitions .* Give the new ones an empty data directory and ingest"):
        store.prepare("theirs", [])
    store.prepare("ours", [])


def test_another_schema_version_is_refused(store: SqliteStore) -> None:
    store._writer.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    with pytest.raises(StoreMismatch, match="another version of the gateway"):
        store.prepare("ours", [])


def test_what_is_no_database_is_said_to_have_failed(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, and long enough to be looked at " * 40)
    with pytest.raises(OriginFailed, match="SQLITE_NOTADB"):
        SqliteStore(path)


class Contended(sqlite3.Connection):
    """Says that it is busy, as SQLite does at once to one of two processes that would deadlock, for the first few statements."""

    refusals = 3
    reason = sqlite3.SQLITE_BUSY

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.reason
            raise error
        return super().execute(*arguments)


def test_two_processes_may_create_the_store_at_once(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "features.db", factory=Contended)
    _use_wal(connection)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_other_troubles_are_not_waited_out(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "features.db", factory=Contended)
    connection.reason = sqlite3.SQLITE_IOERR
    with pytest.raises(sqlite3.OperationalError):
        _use_wal(connection)
    assert connection.refusals == 2
    connection.close()


def test_a_store_that_was_taken_away_is_not_ready(store: SqliteStore) -> None:
    store.ready()
    store.close()
    with pytest.raises(OriginError):
        store.ready()
    with pytest.raises(OriginError), store.snapshot():
        pass


WRITER = """
    import json, sys
    from pathlib import Path
    from gateway.feature_server.engine import Engine
    from gateway.feature_server.online.sqlite import SqliteStore
    from tests.feature_server.purchases import NOW_NS, REPOSITORY, ingest_body
    engine = Engine.open(REPOSITORY, SqliteStore(Path(sys.argv[1])), lambda: NOW_NS)
    for index in range(int(sys.argv[2]), 1_000_000):
        record = {"at": "2024-05-01T11:59:00Z", "order": f"o{index}", "user": "ann", "shop": 1, "items": 1, "coupon": "x" * 200}
        reply = engine.ingest(ingest_body("purchases", [record, record | {"order": f"p{index}"}]))
        print(json.dumps([index, reply.status]), flush=True)
"""


def start_writer(path: Path, first: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(first)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_every_acknowledged_record_outlives_a_killed_writer(path: Path) -> None:
    acknowledged = 0
    for killed_after in (1, 17, 60, 140):
        with start_writer(path, acknowledged) as writer:
            assert writer.stdout is not None
            for _ in range(killed_after):
                assert json.loads(writer.stdout.readline()) == [acknowledged, 200]
                acknowledged += 1
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged += len(writer.stdout.read().splitlines())  # what it had said before it died
    engine = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS)
    orders = [f"{prefix}{index}" for prefix in "op" for index in range(acknowledged)]
    records = [{"at": "2024-05-01T11:59:00Z", "order": order, "user": "ann", "shop": 1} for order in orders]
    assert engine.missing("shop", "purchases", records) == []
    counted = read(engine, {"user": "ann"}, "by_user")["items_count_1m_1m"]
    # The record being written at each kill may be there or not, but whole: both of it, in events and tiles alike
    assert len(orders) <= counted <= len(orders) + 2 * 4
    assert counted % 2 == 0
    engine.close()


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from gateway.errors import OriginUnavailable
    from gateway.feature_server.engine import Engine
    from gateway.feature_server.online.sqlite import SqliteStore
    from tests.feature_server.purchases import NOW_NS, REPOSITORY, ingest_body, read
    engine = Engine.open(REPOSITORY, SqliteStore(Path(sys.argv[1])), lambda: NOW_NS)
    def ingest(index):
        record = {"at": "2024-05-01T11:59:00Z", "order": f"o{index}", "user": "ann", "shop": 1, "items": 1, "coupon": "x" * 3000}
        return engine.ingest(ingest_body("purchases", [record]))
    assert ingest(0).status == 200
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    stored, refused = 1, 0
    while refused < 3:
        try:
            ingest(stored)
            stored += 1
        except OriginUnavailable as error:
            refused += 1
            assert "x" * 10 not in error.message
    assert read(engine, {"user": "ann"}, "by_user")["items_count_1m_1m"] == stored
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert ingest(stored).status == 200
    assert read(engine, {"user": "ann"}, "by_user")["items_count_1m_1m"] == stored + 1
    engine.close()
    print(stored)
"""


def test_a_full_disk_refuses_writes_keeps_what_was_acknowledged_and_recovers(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 1
