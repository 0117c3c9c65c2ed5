"""The online store in one SQLite file.

WAL and synchronous=FULL: readers never wait for the writer, and a committed transaction has been fsynced. Two connections. Reads run inline
on the thread that asks, which is the event loop's: a range of tiles takes tens of microseconds, less than a hop to another thread would.
Writes belong to one thread of their own (`writer`), because a commit waits for the disk. `sqlite3` is used directly: this is the hot path
of a miss.

Tables: `event` holds each view's events, `tile` what is derived from them, `newest` each view's effective time, `cell` the join keys that a
wildcard read finds, `view` the short ids and descriptions of views, `meta` the version of all this.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.errors import OriginFailed, OriginUnavailable
from gateway.feature_server.online.base import (
    BLOCKS_END,
    Cell,
    CellChange,
    CellRead,
    Event,
    EventKey,
    Found,
    Kind,
    Part,
    Retention,
    Rows,
    StoreMismatch,
    TileKey,
)
from gateway.wal import use_wal

T = TypeVar("T")
SCHEMA_VERSION = "2"
_BUSY_TIMEOUT_S = 5.0
_WRITER_CACHE_KIB = 65_536
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'meta'"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS view (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS event (
  view INTEGER NOT NULL, join_key BLOB NOT NULL, at_ns INTEGER NOT NULL, identity BLOB NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (view, join_key, at_ns, identity)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tile (
  view INTEGER NOT NULL, join_key BLOB NOT NULL, tile INTEGER NOT NULL, states BLOB NOT NULL,
  PRIMARY KEY (view, join_key, tile)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cell (
  view INTEGER NOT NULL, indexed_under BLOB NOT NULL, join_key BLOB NOT NULL, PRIMARY KEY (view, indexed_under, join_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cell_of_key ON cell (view, join_key);
CREATE TABLE IF NOT EXISTS newest (view INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;
"""
_CELL = "view = ? AND join_key = ?"
_TILES = f"SELECT tile, states FROM tile WHERE {_CELL} AND tile >= ? AND tile < ? ORDER BY tile DESC"  # noqa: S608 - constants alone
_EVENTS = f"SELECT at_ns, payload FROM event WHERE {_CELL} AND at_ns >= ? AND at_ns < ? ORDER BY at_ns DESC, identity DESC"  # noqa: S608
# In a subquery "LIMIT -1" is no limit, but one that has a limit keeps its order
_STATEMENTS: Mapping[Kind, str] = {Kind.TILES: _TILES, Kind.EVENTS: _EVENTS, Kind.NEWEST: f"{_EVENTS} LIMIT 1"}
_NEWEST = "SELECT view, at_ns FROM newest"
# The view's newest event beside each row, looked up once: less work than a statement or a part of its own
_ONE: Mapping[Kind, str] = {
    kind: select.replace(" FROM", ", (SELECT at_ns FROM newest WHERE view = ?) FROM", 1) for kind, select in _STATEMENTS.items()
}
_PAYLOAD = f"SELECT payload FROM event WHERE {_CELL} AND at_ns = ? AND identity = ?"  # noqa: S608
_STATES = f"SELECT states FROM tile WHERE {_CELL} AND tile = ?"  # noqa: S608
_RANGE = f"SELECT at_ns, identity, payload FROM event WHERE {_CELL} AND at_ns >= ? AND at_ns < ? ORDER BY at_ns, identity"  # noqa: S608
_FORGET_CELL = (
    f"DELETE FROM cell WHERE {_CELL} AND NOT EXISTS (SELECT 1 FROM event WHERE {_CELL}) AND NOT EXISTS (SELECT 1 FROM tile WHERE {_CELL})"  # noqa: S608
)
_KEYS = "SELECT join_key FROM cell WHERE view = ? AND indexed_under = ? ORDER BY join_key LIMIT ?"
_LAST = "SELECT max(join_key) FROM {} WHERE view = ?"
_FIRST, _NEXT = "SELECT min(join_key) FROM {} WHERE view = ?", "SELECT min(join_key) FROM {} WHERE view = ? AND join_key > ?"


class SqliteBatch:
    """A write transaction under way."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._run_all = connection.executemany

    def payloads(self, wanted: Sequence[EventKey]) -> list[bytes | None]:
        found = [self._run(_PAYLOAD, (*key.cell, key.at_ns, key.identity)).fetchone() for key in wanted]
        return [None if row is None else row[0] for row in found]

    def tiles(self, wanted: Sequence[TileKey]) -> list[bytes | None]:
        found = [self._run(_STATES, (*key.cell, key.tile)).fetchone() for key in wanted]
        return [None if row is None else row[0] for row in found]

    def events(self, wanted: Sequence[tuple[Cell, int, int]]) -> list[list[Event]]:
        return [[Event(*row) for row in self._run(_RANGE, (*cell, first_ns, end_ns))] for cell, first_ns, end_ns in wanted]

    def put(self, changes: Mapping[Cell, CellChange], newest: Mapping[int, int]) -> None:
        """Retention is left to `trim`: a write should not pay for what can be done when there is nothing else to do."""
        cells = changes.items()
        self._run_all(
            "INSERT OR REPLACE INTO event (view, join_key, at_ns, identity, payload) VALUES (?, ?, ?, ?, ?)",
            [(*cell, *event) for cell, change in cells for event in change.events],
        )
        self._run_all(
            "INSERT OR REPLACE INTO tile (view, join_key, tile, states) VALUES (?, ?, ?, ?)",
            [(*cell, tile, states) for cell, change in cells for tile, states in change.tiles.items() if states is not None],
        )
        self._run_all(
            f"DELETE FROM tile WHERE {_CELL} AND tile = ?",  # noqa: S608
            [(*cell, tile) for cell, change in cells for tile, states in change.tiles.items() if states is None],
        )
        self._run_all(
            "INSERT OR IGNORE INTO cell (view, indexed_under, join_key) VALUES (?, ?, ?)",
            [(cell.view, change.indexed_under, cell.join_key) for cell, change in cells if change.indexed_under is not None],
        )
        self._run_all(
            "INSERT INTO newest (view, at_ns) VALUES (?, ?) ON CONFLICT (view) DO UPDATE SET at_ns = excluded.at_ns"
            " WHERE at_ns < excluded.at_ns",
            list(newest.items()),
        )


class SqliteStore:
    """Opens, and if need be creates, the file at `path` and the directories it is in."""

    immediate = True
    forgets = False

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _translated(), ExitStack() as opened:
            self._writer = opened.enter_context(closing(_connect(path)))
            use_wal(self._writer)
            self._writer.execute("PRAGMA synchronous = FULL")
            # Loading 336,776 flights into 12 views: 1,605 records a second instead of 1,177 with the default 2 MB
            self._writer.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
            self._reader = opened.enter_context(closing(_connect(path)))
            # Now and never again: it ends the statements that are running, and later those are others' reads
            self._reader.execute("PRAGMA query_only = ON")
            self._one = self._reader.cursor()  # `execute` of a connection makes one each time
            opened.pop_all()
        self._statements: dict[tuple[Kind, ...], str] = {}

    def prepare(self, views: Mapping[str, str]) -> Mapping[str, int]:
        with _translated(), _scope(self._writer):
            self._claim()
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._writer.execute(statement)
            known = dict(self._writer.execute("SELECT name, description FROM view").fetchall())
            self._writer.executemany(
                "INSERT INTO view (name, description) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET description = excluded.description",
                [(name, description) for name, description in views.items() if known.get(name) != description],
            )
            ids = dict(self._writer.execute("SELECT name, id FROM view").fetchall())
        return {name: ids[name] for name in views}

    def _claim(self) -> None:
        if self._writer.execute(_TABLES).fetchone() is None:
            self._writer.execute(_SCHEMA.split(";", maxsplit=1)[0])
            self._writer.execute("INSERT INTO meta (key, value) VALUES ('schema_version', ?)", (SCHEMA_VERSION,))
        self._check_version()

    def _check_version(self) -> None:
        (theirs,) = self._writer.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        if theirs != SCHEMA_VERSION:
            raise StoreMismatch(
                f"The online store {self.path} was written by another version of the gateway (layout {theirs}, not {SCHEMA_VERSION})."
                " Choose an empty data directory and ingest the events again, or start the version that wrote this one."
            )

    def views(self) -> Mapping[str, str]:
        with _translated():
            if self._writer.execute(_TABLES).fetchone() is None:
                return {}
            self._check_version()
            return dict(self._writer.execute("SELECT name, description FROM view").fetchall())

    def ids(self, names: Iterable[str]) -> Mapping[str, int]:
        if not (wanted := set(names)):
            return {}
        with _translated():
            return {name: one for name, one in self._writer.execute("SELECT name, id FROM view") if name in wanted}

    async def read(self, wanted: Sequence[CellRead]) -> Found:
        return self.read_now(wanted)

    def read_now(self, wanted: Sequence[CellRead]) -> Found:
        """In one read transaction. Nothing in it waits, so nothing else uses the connection meanwhile."""
        run = self._reader.execute
        try:
            if len(wanted) == 1 and len(wanted[0].parts) == 1:
                found = self._read_one(*wanted[0])
                if found is not None:
                    return found
            run("BEGIN")
            try:
                cells = [
                    [run(_STATEMENTS[parts[0].kind], (*cell, parts[0].first, parts[0].end)).fetchall()]
                    if len(parts) == 1
                    else self._read_parts(cell, parts)
                    for cell, parts in wanted
                ]
                return Found(cells, dict(run(_NEWEST).fetchall()))
            finally:
                if self._reader.in_transaction:
                    run("ROLLBACK")  # nothing was written
        except sqlite3.Error as error:
            raise _translate(error) from error

    def _read_one(self, cell: Cell, parts: Sequence[Part]) -> Found | None:
        """One part of one cell, and its view's newest event: one statement, a snapshot of its own. None where the part has no rows:
        then nothing tells the newest event either."""
        [(kind, first, end)] = parts
        view, join_key = cell
        found = self._one.execute(_ONE[kind], (view, view, join_key, first, end)).fetchall()
        if not found:
            return None
        return Found([[[(number, value) for number, value, _ in found]]], {view: found[0][2]})

    def _read_parts(self, cell: Cell, parts: Sequence[Part]) -> list[Rows]:
        """Several parts of a cell in one statement."""
        kinds = tuple(part.kind for part in parts)
        statement = self._statements.get(kinds)
        if statement is None:
            limited = [_STATEMENTS[kind] if kind is Kind.NEWEST else f"{_STATEMENTS[kind]} LIMIT -1" for kind in kinds]
            selects = [f"SELECT {place}, * FROM ({select})" for place, select in enumerate(limited)]  # noqa: S608 - constants alone
            statement = self._statements[kinds] = " UNION ALL ".join(selects)
        rows: list[Rows] = [[] for _ in parts]
        for place, number, value in self._reader.execute(statement, [one for part in parts for one in (*cell, part.first, part.end)]):
            rows[place].append((number, value))
        return rows

    async def newest(self) -> Mapping[int, int]:
        with _translated():
            return dict(self._reader.execute(_NEWEST).fetchall())

    async def keys(self, view: int, indexed_under: bytes, limit: int) -> list[bytes]:
        with _translated():
            return [key for (key,) in self._reader.execute(_KEYS, (view, indexed_under, limit))]

    def write(self, work: Callable[[SqliteBatch], T]) -> T:
        with _translated(), _scope(self._writer):
            return work(SqliteBatch(self._writer))

    def scan(self, view: int, limit: int) -> Iterator[list[bytes]]:
        """By skipping from key to key in the indexes: each costs two look-ups, however many events it has. Ends at what was the last key at
        its beginning, so that keys that keep coming do not keep it from its end."""
        after: bytes | None = None
        with _translated():
            last = self._last(view)
        while True:
            found: list[bytes] = []
            with _translated():
                while len(found) < limit and (key := self._next_of_any(view, after)) is not None and last is not None and key <= last:
                    found.append(key)
                    after = key
            if not found:
                return
            yield found

    def _last(self, view: int) -> bytes | None:
        found = [self._writer.execute(_LAST.format(table), (view,)).fetchone()[0] for table in ("event", "tile")]
        return max((key for key in found if key is not None), default=None)

    def _next_of_any(self, view: int, after: bytes | None) -> bytes | None:
        return min((key for table in ("event", "tile") if (key := self._next(table, view, after)) is not None), default=None)

    def _next(self, table: str, view: int, after: bytes | None) -> bytes | None:
        found = (
            self._writer.execute(_FIRST.format(table), (view,))
            if after is None
            else self._writer.execute(_NEXT.format(table), (view, after))
        )
        (key,) = found.fetchone()
        return key  # type: ignore[no-any-return]

    def trim(self, cells: Sequence[Cell], retention: Retention) -> None:
        with _translated(), _scope(self._writer):
            self._writer.executemany(
                f"DELETE FROM tile WHERE {_CELL} AND tile >= ? AND tile < ?",  # noqa: S608
                [(*cell, BLOCKS_END, retention.oldest_tile) for cell in cells],
            )
            self._writer.executemany(
                f"DELETE FROM event WHERE {_CELL} AND at_ns < ?",  # noqa: S608
                [(*cell, retention.oldest_ns) for cell in cells],
            )
            self._writer.executemany(
                "DELETE FROM cell WHERE view = ? AND join_key = ? AND NOT EXISTS"  # noqa: S608
                f" (SELECT 1 FROM event WHERE {_CELL}) AND NOT EXISTS (SELECT 1 FROM tile WHERE {_CELL})",
                [(*cell, *cell, *cell) for cell in cells],
            )

    def forget(self, name: str, limit: int) -> bool:
        with _translated(), _scope(self._writer):
            found = self._writer.execute("SELECT id FROM view WHERE name = ?", (name,)).fetchone()
            if found is None:
                return True
            (view,) = found
            for _ in range(limit):
                key = self._next_of_any(view, None)
                if key is None:
                    break
                for table in ("event", "tile"):  # together, so that what is left of the view is whole cells
                    self._writer.execute(f"DELETE FROM {table} WHERE {_CELL}", (view, key))  # noqa: S608
            else:
                return False
            for table in ("cell", "newest"):
                self._writer.execute(f"DELETE FROM {table} WHERE view = ?", (view,))  # noqa: S608
            self._writer.execute("DELETE FROM view WHERE id = ?", (view,))
            return True

    async def ready(self) -> None:
        with _translated():
            self._reader.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


@contextmanager
def _scope(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction. IMMEDIATE: it waits for other writers now, not when half of it is done."""
    connection.execute("BEGIN IMMEDIATE")
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
