from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

import gateway.hosting.lag
from gateway.demo.load import load
from gateway.embedded import ONLINE_STORE, open_engine
from gateway.settings import checked
from tests.harness.cluster import Cluster
from tests.harness.houses import House, demo_settings, open_house
from tests.harness.postgresql import LACKING, PostgreSQL, binaries


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def busy_machine() -> Iterator[None]:
    """Nobody complains of it among what tests look for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.hosting.lag, "WORRYING_S", 60.0)
        yield


@pytest.fixture(scope="session")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the demo's flights in it, loaded once. To be read only: see `demo_copy`."""
    folder = tmp_path_factory.mktemp("demo")
    engine = open_engine(checked(demo_settings(folder)))
    load(engine, lambda _stored: None)
    engine.close()
    return folder


@pytest.fixture
def demo_copy(demo_dir: Path, tmp_path: Path) -> Path:
    """The demo's data folder, to be written to. Its store was closed, so all of it is in one file."""
    copy(demo_dir / ONLINE_STORE, tmp_path / ONLINE_STORE)
    return tmp_path


@pytest.fixture
def demo(demo_dir: Path) -> Iterator[House]:
    """The demo behind a gateway with an empty cache, its clock standing still."""
    with open_house(demo_settings(demo_dir)) as house:
        yield house


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Tecton cluster that does as it is told."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server of its own for every process of the suite that asks for one."""
    programs = binaries()
    if programs is None:
        pytest.skip(LACKING)
    with PostgreSQL(programs) as server:
        yield server
