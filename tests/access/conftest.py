"""A store of access control in a file of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.access.store.database import Database
from gateway.administering import open_file


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    store = open_file(tmp_path)
    store.migrate()
    yield store
    store.close()
