"""A new file of SQLite's that several processes begin with at once."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.access.store.database import open_database
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.wal import use_wal


class Contended(sqlite3.Connection):
    """Says that it is busy, as SQLite does at once to one of two processes that would deadlock, the first few times that it is asked for
    a log."""

    refusals = 3
    reason = sqlite3.SQLITE_BUSY

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if self.refusals and "journal_mode" in arguments[0].lower():
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.reason
            raise error
        return super().execute(*arguments)


def test_two_processes_may_create_a_store_at_once(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "features.db", factory=Contended)
    use_wal(connection)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_other_troubles_are_not_waited_out(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "features.db", factory=Contended)
    connection.reason = sqlite3.SQLITE_IOERR
    with pytest.raises(sqlite3.OperationalError):
        use_wal(connection)
    assert connection.refusals == 2
    connection.close()


def test_both_stores_begin_where_others_do_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sqlite3, sqlite3.dbapi2):
        monkeypatch.setattr(module, "connect", partial(module.connect, factory=Contended))
    with closing(open_database(tmp_path / "access.db")) as database:
        database.migrate()
    with closing(SqliteStore(tmp_path / "features.db")) as store:
        store.prepare({"view": "as it is"})
