from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

from gateway.demo.definitions import AS_OF_NS, REPOSITORY
from gateway.embedded import ONLINE_STORE
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore


def open_demo(path: Path) -> Engine:
    return Engine.open(REPOSITORY, SqliteStore(path), lambda: AS_OF_NS, as_of_ns=AS_OF_NS)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def demo(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The demo, loaded once for all tests that only read."""
    path = tmp_path_factory.mktemp("demo") / "features.db"
    copy(demo_dir / ONLINE_STORE, path)
    engine = open_demo(path)
    yield engine
    engine.close()
