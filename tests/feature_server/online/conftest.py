from collections.abc import Iterator

import pytest

from tests.feature_server.online.contract import KINDS, Stores, empty_stores
from tests.harness.valkey import Valkey, ValkeyCluster, valkey_cluster


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all tests: each uses a prefix of its own."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """Three masters, for all tests."""
    with valkey_cluster(tmp_path_factory.mktemp("valkeys")) as cluster:
        yield cluster


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """A place for stores, empty. Tests enter it, for what is opened in it to be closed."""
    return empty_stores(request.param, request, tmp_path_factory)
