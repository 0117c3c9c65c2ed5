import gc
import os
from collections.abc import Generator, Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path
from shutil import copy

import certifi
import hypothesis
import pytest

import gateway.hosting.lag
from gateway.demo.flights import ROWS
from gateway.demo.load import load
from gateway.embedded import ONLINE_STORE, open_engine
from gateway.settings import checked
from tests.harness.cluster import Cluster
from tests.harness.houses import House, demo_settings, open_house
from tests.harness.measuring import measured_at_first
from tests.harness.measuring import unmeasured as nothing_measured
from tests.harness.postgresql import LACKING, PostgreSQL, binaries

hypothesis.settings.register_profile("suite", deadline=None)  # how long one example takes is the machine's business
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: the garbage collector need not go through it, which took as long as the collecting."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    run_by_hypothesis = getattr(item.obj, "hypothesis", None) if isinstance(item, pytest.Function) else None
    if run_by_hypothesis is not None:
        with measured_at_first(run_by_hypothesis):
            return (yield)
    return (yield)


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """For what goes the same lines thousands of times, where others show them."""
    with nothing_measured():
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def busy_machine() -> Iterator[None]:
    """Nobody complains of it among what tests look for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.hosting.lag, "WORRYING_S", 60.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Instead of all that certifi knows: to read those takes each client of httpx longer than a gateway takes to start."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    file = tmp_path_factory.mktemp("authority") / "one.pem"
    file.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="session")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the demo's flights in it. To be read only: see `demo_copy`."""
    folder = tmp_path_factory.mktemp("demo")
    workers = os.environ.get("PYTEST_XDIST_WORKER") is not None
    shared = tmp_path_factory.getbasetemp().parent if workers else tmp_path_factory.mktemp("loaded")
    with (shared / "loading").open("w") as loading:
        flock(loading, LOCK_EX)  # the first worker to come loads it, once for them all
        if not (shared / ONLINE_STORE).exists():
            with nothing_measured():
                load_demo(folder)
            draft = shared / f"{ONLINE_STORE}.draft"
            copy(folder / ONLINE_STORE, draft)
            draft.rename(shared / ONLINE_STORE)
    copy(shared / ONLINE_STORE, folder / ONLINE_STORE)
    return folder


def load_demo(folder: Path) -> None:
    engine = open_engine(checked(demo_settings(folder)))
    assert load(engine, lambda _stored: None) == ROWS
    engine.close()


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
