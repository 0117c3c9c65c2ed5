"""Directories, empty and filled, in both kinds of stores."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

from gateway.access.store.database import Database, open_database
from tests.access.scim.directories import Directory, fill
from tests.harness.postgresql import PostgreSQL


@pytest.fixture
def directory(database: Database) -> Directory:
    return Directory(database)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """To be read only."""
    if request.param == "sqlite":
        database = open_database(Path(copy(made, tmp_path_factory.mktemp("filled") / "access.db")))
        fill(Directory(database))
        yield Directory(database)
        database.close()
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    with server.lend() as url:
        database = open_database(url)
        fill(Directory(database))
        yield Directory(database)
        database.close()
