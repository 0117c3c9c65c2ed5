from collections.abc import Mapping

import pytest

from tests.harness.helm import RELEASES, Helm, Unreachable, lend


@pytest.fixture(scope="session")
def helms() -> Mapping[str, Helm]:
    """By major version."""
    try:
        return {major: lend(major) for major in RELEASES}
    except Unreachable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=sorted(RELEASES))
def each_helm(helms: Mapping[str, Helm], request: pytest.FixtureRequest) -> Helm:
    """Either, where what matters is that both do it."""
    return helms[request.param]


@pytest.fixture(scope="session")
def helm(helms: Mapping[str, Helm]) -> Helm:
    """The newest, where what matters is what the chart says."""
    return helms[max(helms)]
