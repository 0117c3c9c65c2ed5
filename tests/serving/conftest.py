from collections.abc import Iterator

import httpx
import pytest

from tests.harness.cluster import ALICE, BOB, Cluster
from tests.harness.houses import House, cluster_settings, open_house


@pytest.fixture
def house(cluster: Cluster) -> Iterator[House]:
    """A gateway before the scripted cluster, which judges every credential. Its client is ALICE."""
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        yield house


@pytest.fixture
def bob(house: House) -> Iterator[httpx.Client]:
    """A caller whom the cluster knows and lets read nothing."""
    with house.as_caller(BOB) as client:
        yield client
