from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from tests.feature_server.purchases import NOW_NS, REPOSITORY


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "features.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS)
    yield engine
    engine.close()
