from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.definitions import AS_OF_NS, REPOSITORY
from gateway.demo.load import load
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore


def open_demo(path: Path) -> Engine:
    return Engine.open(REPOSITORY, SqliteStore(path), lambda: AS_OF_NS, as_of_ns=AS_OF_NS)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The demo, loaded once for all tests that only read."""
    engine = open_demo(tmp_path_factory.mktemp("demo") / "features.db")
    assert load(engine, lambda _stored: None) == 12_004
    yield engine
    engine.close()
