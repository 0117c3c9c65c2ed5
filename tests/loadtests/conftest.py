from collections.abc import Iterator

import pytest

from tests.harness.measuring import unmeasured as nothing_measured


@pytest.fixture(scope="package", autouse=True)
def only_passing_through() -> Iterator[None]:
    """These look at load runs. What they go through of the gateway, many thousand times, has tests of its own, which count for coverage."""
    with nothing_measured(), pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_START", raising=False)
        yield
