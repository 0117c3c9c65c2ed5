"""The online store in one SQLite file.

WAL and synchronous=FULL: readers never wait for the writer, and a committed transaction has been fsynced. Two connections. Reads run inline
on the thread that asks, which is the event loop's: a range of tiles takes tens of microseconds, less than a hop to another thread would.
Writes belong to one thread of their own (`engine`), because a commit waits for the disk. `sqlite3` is used directly: this is the hot path
of a miss.

Tables: `event` is the truth; `member` says which events count for a view and join key, in order; `tile` is derived from them; `newest` is
each view's effective time; `name` gives views and sources their short ids; `meta` says whose data this is.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import sleep

from gateway.errors import OriginFailed, OriginUnavailable
from gateway.feature_server.online.base import Member, StoredTile, StoreMismatch, TileRange, WrittenEvent

SCHEMA_VERSION = "1"
_BUSY_TIMEOUT_S = 5.0
_WAL_ATTEMPTS, _WAL_PAUSE_S = 100, 0.02
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS event (
  id INTEGER PRIMARY KEY, source INTEGER NOT NULL, record_key BLOB NOT NULL, at_ns INTEGER NOT NULL, payload BLOB NOT NULL,
  UNIQUE (source, record_key, at_ns)
) STRICT;
CREATE TABLE IF NOT EXISTS member (
  view INTEGER NOT NULL, join_key BLOB NOT NULL, at_ns INTEGER NOT NULL, identity BLOB NOT NULL, event INTEGER NOT NULL,
  PRIMARY KEY (view, join_key, at_ns, identity)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tile (
  view INTEGER NOT NULL, join_key BLOB NOT NULL, tile INTEGER NOT NULL, states BLOB NOT NULL,
  PRIMARY KEY (view, join_key, tile)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS newest (view INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;
"""
_TILES = "SELECT tile, states FROM tile WHERE view = ? AND join_key = ? AND tile >= ? AND tile < ? ORDER BY tile DESC"


class SqliteSnapshot:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._read = connection.execute

    def tiles(self, wanted: TileRange) -> list[StoredTile]:
        return self._read(_TILES, wanted).fetchall()

    def newest(self) -> Mapping[int, int]:
        return dict(self._read("SELECT view, at_ns FROM newest").fetchall())


class SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def has_event(self, source: int, record_key: bytes, at_ns: int) -> bool:
        key = (source, record_key, at_ns)
        return self._run("SELECT 1 FROM event WHERE source = ? AND record_key = ? AND at_ns = ?", key).fetchone() is not None

    def put_event(self, source: int, record_key: bytes, at_ns: int, payload: bytes) -> WrittenEvent:
        key = (source, record_key, at_ns)
        found = self._run("SELECT id, payload FROM event WHERE source = ? AND record_key = ? AND at_ns = ?", key).fetchone()
        if found is not None:
            self._run("UPDATE event SET payload = ? WHERE id = ?", (payload, found[0]))
            return WrittenEvent(*found)
        row = self._run("INSERT INTO event (source, record_key, at_ns, payload) VALUES (?, ?, ?, ?)", (*key, payload)).lastrowid
        if row is None:  # pragma: no cover - an INSERT that did not raise has a row
            raise OriginFailed("The online store did not say which row it wrote.")
        return WrittenEvent(row, None)

    def put_member(self, view: int, join_key: bytes, at_ns: int, identity: bytes, event: int) -> bool:
        key = (view, join_key, at_ns, identity)
        added = self._run("INSERT OR IGNORE INTO member (view, join_key, at_ns, identity, event) VALUES (?, ?, ?, ?, ?)", (*key, event))
        if added.rowcount:
            return False
        moved = "UPDATE member SET event = ? WHERE view = ? AND join_key = ? AND at_ns = ? AND identity = ? AND event <> ?"
        return self._run(moved, (event, *key, event)).rowcount > 0

    def drop_member(self, view: int, join_key: bytes, at_ns: int, identity: bytes) -> None:
        key = (view, join_key, at_ns, identity)
        self._run("DELETE FROM member WHERE view = ? AND join_key = ? AND at_ns = ? AND identity = ?", key)

    def members(self, view: int, join_key: bytes, first_ns: int, end_ns: int) -> list[Member]:
        found = self._run(
            "SELECT member.at_ns, identity, payload FROM member JOIN event ON event.id = member.event"
            " WHERE view = ? AND join_key = ? AND member.at_ns >= ? AND member.at_ns < ? ORDER BY member.at_ns, identity",
            (view, join_key, first_ns, end_ns),
        )
        return [Member(*row) for row in found]

    def tile(self, view: int, join_key: bytes, tile: int) -> bytes | None:
        key = (view, join_key, tile)
        found = self._run("SELECT states FROM tile WHERE view = ? AND join_key = ? AND tile = ?", key).fetchone()
        return None if found is None else found[0]

    def put_tile(self, view: int, join_key: bytes, tile: int, states: bytes | None) -> None:
        key = (view, join_key, tile)
        if states is None:
            self._run("DELETE FROM tile WHERE view = ? AND join_key = ? AND tile = ?", key)
        else:
            self._run("INSERT OR REPLACE INTO tile (view, join_key, tile, states) VALUES (?, ?, ?, ?)", (*key, states))

    def advance(self, view: int, at_ns: int) -> None:
        self._run(
            "INSERT INTO newest (view, at_ns) VALUES (?, ?) ON CONFLICT (view) DO UPDATE SET at_ns = max(at_ns, excluded.at_ns)",
            (view, at_ns),
        )


class SqliteStore:
    """Opens, and if need be creates, the file at `path` and the directories it is in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _translated():
            self._writer = _connect(path)
            try:
                _use_wal(self._writer)
                self._writer.execute("PRAGMA synchronous = FULL")
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise
        self._snapshot = SqliteSnapshot(self._reader)

    def prepare(self, fingerprint: str, names: Sequence[str]) -> Mapping[str, int]:
        with _translated(), _scope(self._writer, "BEGIN IMMEDIATE"):
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._writer.execute(statement)
            self._claim("schema_version", SCHEMA_VERSION, "another version of the gateway")
            self._claim("definitions", fingerprint, "other feature definitions (sources, join keys, intervals or aggregations differ)")
            self._writer.executemany("INSERT OR IGNORE INTO name (name) VALUES (?)", [(name,) for name in names])
            ids = dict(self._writer.execute("SELECT name, id FROM name").fetchall())
        with _translated():
            self._reader.execute("PRAGMA query_only = ON")
        return {name: ids[name] for name in names}

    def _claim(self, key: str, ours: str, others: str) -> None:
        self._writer.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", (key, ours))
        (theirs,) = self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if theirs != ours:
            raise StoreMismatch(
                f"The online store {self.path} was written by {others}. Give the new ones an empty data directory and ingest"
                " the events again, or start with what wrote this one."
            )

    def snapshot(self) -> AbstractContextManager[SqliteSnapshot]:
        return _Reading(self._reader, self._snapshot)

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        with _translated(), _scope(self._writer, "BEGIN IMMEDIATE"):
            yield SqliteTransaction(self._writer)

    def ready(self) -> None:
        with _translated():
            self._reader.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class _Reading:
    """A read transaction, as a plain class: the two calls of a generator-based one cost as much as reading a tile."""

    __slots__ = ("_connection", "_snapshot")

    def __init__(self, connection: sqlite3.Connection, snapshot: SqliteSnapshot) -> None:
        self._connection = connection
        self._snapshot = snapshot

    def __enter__(self) -> SqliteSnapshot:
        try:
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise _translate(error) from error
        return self._snapshot

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")  # nothing was written
        if isinstance(error, sqlite3.Error):
            raise _translate(error) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Sticks to the file. Two processes that make a new file at once would deadlock, so SQLite refuses one of them at once, whatever its
    timeout (measured: 2 of 20 starts of four processes); that one asks again."""
    for attempts_left in reversed(range(_WAL_ATTEMPTS)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not attempts_left:
                raise
            sleep(_WAL_PAUSE_S)
        else:
            return


@contextmanager
def _scope(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have rolled back already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error) from error


def _translate(error: sqlite3.Error) -> OriginUnavailable | OriginFailed:
    """Operational errors (locked, disk full, I/O) may pass; others (corrupt file, constraint) will not."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if isinstance(error, sqlite3.OperationalError):
        return OriginUnavailable(f"The online store cannot be used now ({name}).")
    return OriginFailed(f"The online store failed ({name}).")
