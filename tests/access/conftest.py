"""Stores, of both kinds, with the newest tables in them and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

from gateway.access.store.database import Database, open_database
from tests.harness.postgresql import PostgreSQL

Place = Path | str
"""A file of SQLite's, or the URL of a PostgreSQL database."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store that was just made. To be copied."""
    path = tmp_path_factory.mktemp("made") / "access.db"
    database = open_database(path)
    database.migrate()
    database.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a store is that nobody has opened yet."""
    if request.param == "sqlite":
        yield Path(copy(request.getfixturevalue("made"), tmp_path / "access.db"))
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    with server.lend() as url:
        yield url


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    database = open_database(place)
    yield database
    database.close()


@pytest.fixture
def beside(place: Place) -> Iterator[Database]:
    """The same store, as another process has it open."""
    database = open_database(place)
    yield database
    database.close()
