"""SQLite's write-ahead log, as both stores on files want it: readers go on while somebody writes."""

import sqlite3
from time import sleep

_ATTEMPTS, _PAUSE_S = 100, 0.02


def use_wal(connection: sqlite3.Connection) -> None:
    """Sticks to the file. Two that make a new file at once would deadlock, so SQLite refuses one of them at once, whatever its timeout
    (measured: 2 of 20 starts of four processes); that one asks again. Raises sqlite3.OperationalError."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not attempts_left:
                raise
            sleep(_PAUSE_S)
        else:
            return
