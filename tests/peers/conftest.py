from collections.abc import Iterator

import pytest

from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import House, cluster_settings, open_house


@pytest.fixture
def fraud(cluster: Cluster) -> Iterator[House]:
    """A gateway before the scripted cluster, whose feature service `fraud` has every data type."""
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        yield house
