from collections.abc import Iterator

import pytest

from tests.harness.valkey import Valkey, ValkeyCluster, valkey_cluster


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all tests of the shared cache: each uses a prefix of its own."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """Three masters, for all tests of the shared cache."""
    with valkey_cluster(tmp_path_factory.mktemp("valkeys")) as cluster:
        yield cluster
