"""A real PostgreSQL from the system's own binaries, on a socket in a folder of its own: a process that ends with its block.

`lend` gives databases of their own, in a moment each, with the newest tables in them or none. To make one takes long on a busy disk, so
they are used again and again.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from gateway.access.store.database import open_database
from tests.harness.clock import PATIENCE_S, wait_until

LACKING = "needs PostgreSQL: apt-get install postgresql"
_OF_DEBIAN = "/usr/lib/postgresql"
_USER = "postgres"
_BARE = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
_QUICK = ("--fsync=off", "--full_page_writes=off", "--autovacuum=off")
"""What is lost when the machine goes down is not what is tested here: processes are killed, and what they wrote is the system's to keep."""


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs: on the PATH, or where Debian keeps the newest. None: there are none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    kept = sorted(Path(_OF_DEBIAN).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return kept[-1].parent if kept else None


class PostgreSQL:
    """One server. It refuses to run as root, so for root somebody else runs it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._free: list[str] = []
        self._made = 0
        self._tables = ""
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            who = _somebody()
            os.chown(self._folder, who.pw_uid, who.pw_gid)
            self._as = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}

    def __enter__(self) -> Self:
        words = ("-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        subprocess.run([self._programs / "initdb", *words], check=True, capture_output=True, cwd=self._folder, **self._as)
        self.start()
        with self.lend(empty=True) as url:
            database = open_database(url)
            database.migrate()
            database.close()
            dump = subprocess.run([self._programs / "pg_dump", "--inserts", "-d", url], check=True, capture_output=True, text=True)
        # what begins with a backslash is for psql
        self._tables = "".join(line for line in dump.stdout.splitlines(keepends=True) if not line.startswith("\\"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        words: list[str | Path] = [self._programs / "postgres", "-D", self._data, "-k", self._folder, "--listen_addresses=", *_QUICK]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as)
        wait_until(self._answers, "a PostgreSQL server starting")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """At once: whoever is connected is cut off."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    @contextmanager
    def lend(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a database that is nobody else's for as long as the block lasts."""
        name = self._free.pop() if self._free else self._another()
        self.ask(self.url(name), _BARE if empty else f"{_BARE}; {self._tables}")
        yield self.url(name)
        self._free.append(name)

    def _another(self) -> str:
        self._made += 1
        name = f"test_{self._made}"
        self._ask(f"CREATE DATABASE {name}")
        return name

    def ask(self, url: str, statement: str) -> Sequence[tuple[Any, ...]]:
        """One statement in a connection of its own, past the gateway."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def _ask(self, statement: str) -> None:
        self.ask(self.url(_USER), statement)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            self._ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _somebody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        return pwd.getpwnam("nobody")
