from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.houses import House, demo_settings, open_house


@pytest.fixture(scope="module")
def busy_demo(demo_dir: Path) -> Iterator[House]:
    """One gateway for all of a module's tests, for what does not depend on what was asked before."""
    with open_house(demo_settings(demo_dir)) as house:
        yield house
