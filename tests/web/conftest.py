from collections.abc import Iterator

import pytest

from tests.harness.cluster import ALICE
from tests.harness.houses import House, cluster_settings, open_house
from tests.harness.upstreams import Upstream, reply


@pytest.fixture(scope="module", params=["fast", "httpx"])
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[Upstream, House]]:
    """For tests that leave both as they were, but for what was heard and the script; over both transports."""
    with Upstream() as upstream:
        tree = cluster_settings(upstream.url, forward={"other": True})
        tree["origin"] |= {"transport": request.param}
        with open_house(tree, ALICE) as house:
            yield upstream, house


@pytest.fixture
def upstream(shared: tuple[Upstream, House]) -> Upstream:
    shared[0].script = reply()
    shared[0].heard.clear()
    return shared[0]


@pytest.fixture
def house(shared: tuple[Upstream, House]) -> House:
    shared[1].exporter.clear()
    return shared[1]
