"""One database, and the only way to it: a whole transaction, or nothing.

SQLite (a file of its own, beside a running server too: WAL, every commit on the disk before it is acknowledged) or PostgreSQL
(serializable, tried again where two of them met). Both have one writer at a time, who waits for the one before. Transactions run on
threads of the database's own, off the event loop.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from gateway.access.store.migrating import migrate
from gateway.errors import AccessUnavailable
from gateway.luck import luck
from gateway.wal import use_wal

T = TypeVar("T")
_TRIES = 8
_BUSY_MS = 5_000
_MET_ANOTHER = frozenset({"40001", "40P01"})
"""PostgreSQL's states of a transaction that met another: serialization failure, deadlock."""
_STATEMENT_MS = 10_000
_PERHAPS = "The store of access control was lost while a change was written: look whether it was made before you ask for it again."
"""The connection took the answer to COMMIT with it. Trying again could do it twice."""


class Database:
    """Open until `close`. Every failure of the database is AccessUnavailable, whose text says nothing of what was in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(writes=True)
        self._reading = engine.execution_options(writes=False, postgresql_readonly=True)
        self._threads = ThreadPoolExecutor(1 if engine.dialect.name == "sqlite" else 4, thread_name_prefix="access")

    def migrate(self) -> None:
        """Bring the tables to this version's shape. Raises AccessUnavailable, also where they are of a later version."""
        try:
            migrate(self.engine)
        except SQLAlchemyError as error:
            raise AccessUnavailable from error

    def transact(self, work: Callable[[Session], T], *, writes: bool = True) -> T:
        """What `work` returns, its changes committed; none of them where it raises. It may be run more than once. What writes although it
        said that it would not is AccessUnavailable."""
        for tried in range(1, _TRIES + 1):
            worked = False
            try:
                with Session(self._writing if writes else self._reading, expire_on_commit=False) as session, session.begin():
                    done = work(session)
                    session.flush()
                    worked = True
                return done  # noqa: TRY300 - once it is committed
            except DBAPIError as error:
                if worked and error.connection_invalidated:
                    raise AccessUnavailable(_PERHAPS) from error
                if tried == _TRIES or not _worth_another(error):
                    raise AccessUnavailable from error
                time.sleep(luck.uniform(0.005, 0.02) * tried)  # so that two do not meet again
            except SQLAlchemyError as error:
                raise AccessUnavailable from error
        raise AccessUnavailable

    async def run(self, work: Callable[[Session], T], *, writes: bool = True) -> T:
        """`transact`, off the event loop."""
        return await self.apart(lambda: self.transact(work, writes=writes))

    async def apart(self, job: Callable[[], T]) -> T:
        """What `job` returns, on a thread of the database's own. It runs to its end, whoever waits for it."""
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, job)
        except RuntimeError as error:  # the threads have ended: it is closed
            raise AccessUnavailable from error
        running.add_done_callback(_seen)
        return await asyncio.shield(running)

    def close(self) -> None:
        """What was begun is done first."""
        self._threads.shutdown()
        self.engine.dispose()


def open_database(url: str | Path) -> Database:
    """The database at a `postgresql://` URL, or in an SQLite file, whose folder is made. Connects to nothing yet but SQLite's file.

    Raises ValueError for a URL that is none, without quoting it.
    """
    if isinstance(url, Path):
        url.parent.mkdir(parents=True, exist_ok=True)
        if not url.exists():
            url.touch(mode=0o600)
        return Database(_sqlite(URL.create("sqlite+pysqlite", database=str(url))))
    try:
        given = make_url(url)
    except ArgumentError:
        raise ValueError("not a database URL; e.g. postgresql://user:password@host/database") from None
    if given.get_backend_name() != "postgresql":
        raise ValueError("only postgresql:// is taken; without it, SQLite keeps a file in the data folder")
    return Database(_postgresql(given.set(drivername="postgresql+psycopg")))


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "isolation_level": None, "timeout": _BUSY_MS / 1000}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        use_wal(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        """Writers wait for one another before they read, so that what they have read is still so when they write."""
        writes = connection.get_execution_options().get("writes", True)
        connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    options = f"-c statement_timeout={_STATEMENT_MS} -c lock_timeout={_BUSY_MS}"
    engine = create_engine(
        url,
        isolation_level="SERIALIZABLE",
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=2,
        pool_timeout=5,
        hide_parameters=True,
        connect_args={"connect_timeout": 3, "options": options, "application_name": "feature-gateway"},
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        """As in SQLite: all of them count up one row, so without it most would meet another, and be done again and again. To lock a table
        is no read yet: what is seen afterwards is what the writer before has left."""
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql("LOCK TABLE change IN SHARE ROW EXCLUSIVE MODE")

    return engine


def _seen(done: asyncio.Future[Any]) -> None:
    """Where nobody waits any more, the event loop would log the failure as lost, with what the database said of it, values included."""
    if not done.cancelled():
        done.exception()


def _worth_another(error: DBAPIError) -> bool:
    """Whether it failed because another transaction was first, or on a connection that was lost before. One whose look for a name found
    none, and that then could not have it, looks again and says so itself."""
    return getattr(error.orig, "sqlstate", None) in _MET_ANOTHER or isinstance(error, IntegrityError) or error.connection_invalidated
