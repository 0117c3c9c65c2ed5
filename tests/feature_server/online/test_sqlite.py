"""Durability, isolation and ownership of the SQLite store, with processes that really die and disks that really fill."""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import OriginError, OriginFailed
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.base import Batch, Cell, CellChange, CellRead, Event, EventKey, Kind, Part, Retention, StoreMismatch
from gateway.feature_server.online.sqlite import SqliteStore
from tests.feature_server.purchases import NOW_NS, REPOSITORY, at_once, read

ROOT = Path(__file__).parents[3]


VIEW = "shop/by_user@1"
CELL = Cell(1, b"k")


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    store.prepare({VIEW: "ours"})
    yield store
    store.close()


def put(store: SqliteStore, at_ns: int, tile: int) -> None:
    store.write(lambda batch: batch.put({CELL: CellChange([Event(at_ns, b"", b"payload")], {tile: b"states"})}, {1: at_ns}))


def test_a_committed_transaction_has_been_synced(store: SqliteStore) -> None:
    full, wal = 2, "wal"
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (full,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == (wal,)


def test_readers_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM tile")


def test_several_parts_of_a_cell_are_one_statement(store: SqliteStore) -> None:
    for at_ns, tile in ((1, 1), (3, 3), (2, 2)):
        put(store, at_ns, tile)
    statements: list[str] = []
    store._reader.set_trace_callback(statements.append)
    parts = (Part(Kind.TILES, 1, 3), Part(Kind.EVENTS, 0, 9), Part(Kind.NEWEST, 0, 3))
    found = at_once(store.read([CellRead(CELL, parts)]))
    assert found.cells == [[[(2, b"states"), (1, b"states")], [(at_ns, b"payload") for at_ns in (3, 2, 1)], [(2, b"payload")]]]
    assert sum("join_key" in statement for statement in statements) == 1


def test_a_write_that_fails_leaves_nothing(store: SqliteStore) -> None:
    def fail(batch: Batch) -> None:
        batch.put({CELL: CellChange([Event(1, b"", b"x")])}, {1: 5})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write(fail)
    assert store.write(lambda batch: batch.payloads([EventKey(CELL, 1, b"")])) == [None]
    assert at_once(store.newest()) == {}


def test_another_schema_version_is_refused(store: SqliteStore) -> None:
    store._writer.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    with pytest.raises(StoreMismatch, match="another version of the gateway"):
        store.prepare({VIEW: "ours"})


def test_a_store_that_is_new_has_no_views(path: Path) -> None:
    store = SqliteStore(path)
    assert store.views() == {}
    store.close()


def test_what_is_no_database_is_said_to_have_failed(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, and long enough to be looked at " * 40)
    with pytest.raises(OriginFailed, match="SQLITE_NOTADB"):
        SqliteStore(path)


def test_a_store_that_was_taken_away_is_not_ready(store: SqliteStore) -> None:
    at_once(store.ready())
    store.close()
    for use in (store.ready, store.newest, lambda: store.read([CellRead(CELL, (Part(Kind.TILES, 0, 1),))])):
        with pytest.raises(OriginError):
            at_once(use())
    with pytest.raises(OriginError):
        store.write(lambda batch: batch.tiles([]))


WRITER = """
    import json, sys
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from gateway.feature_server.engine import Engine
    from gateway.feature_server.online.sqlite import SqliteStore
    from tests.feature_server.purchases import NOW_NS, REPOSITORY, ingest_body
    engine = Engine.open(REPOSITORY, SqliteStore(Path(sys.argv[1])), lambda: NOW_NS)
    def ingest(index):
        record = {"at": "2024-05-01T11:59:00Z", "order": f"o{index}", "user": "ann", "shop": 1, "items": 1, "coupon": "x" * 200}
        reply = engine.ingest(ingest_body("purchases", [record, record | {"order": f"p{index}"}]))
        sys.stdout.write(json.dumps([index, reply.status]) + chr(10))  # one write: lines of several threads stay whole
        sys.stdout.flush()
    with ThreadPoolExecutor(4) as clients:
        list(clients.map(ingest, range(int(sys.argv[2]), int(sys.argv[2]) + 100_000)))
"""


def start_writer(path: Path, first: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(first)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_every_acknowledged_record_outlives_a_killed_writer(path: Path, kills: int) -> None:
    """Four clients at once, so that requests share commits. What was being written at a kill may be there or not, but whole."""
    acknowledged: list[int] = []
    for killed_after in itertools.islice(itertools.cycle((1, 17, 60, 140, 3, 33)), kills):
        with start_writer(path, 100_000 * len(acknowledged)) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(killed_after)]
            os.kill(writer.pid, signal.SIGKILL)
            said += [line for line in writer.stdout.read().splitlines() if line.endswith("]")]  # what it had said before it died
        told = [json.loads(line) for line in said]
        assert {status for _, status in told} == {200}
        acknowledged += [index for index, _ in told]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    engine = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS)
    records = [
        {"at": "2024-05-01T11:59:00Z", "order": f"{prefix}{index}", "user": "ann", "shop": 1} for index in acknowledged for prefix in "op"
    ]
    assert engine.missing("shop", "purchases", records) == []
    counted = read(engine, {"user": "ann"}, "by_user")["items_count_1m_1m"]
    assert len(records) <= counted <= len(records) + 2 * 4 * kills
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


def test_nothing_that_the_writer_does_touches_the_readers_connection(store: SqliteStore) -> None:
    """A statement of the writer's thread there (it was a PRAGMA) ended reads that were running, or cut them short."""
    put(store, 1, 1)
    statements: list[str] = []
    store._reader.set_trace_callback(statements.append)
    ids = store.prepare({VIEW: "anew", "shop/other@1": "other"})
    assert set(store.ids(store.views())) == set(ids)
    assert [key for keys in store.scan(1, 10) for key in keys] == [b"k"]
    store.trim([CELL], Retention(0, 0, None))
    put(store, 2, 2)
    assert store.forget("shop/other@1", 10)
    assert statements == []
