"""A rolling restart behind a real haproxy, in short."""

import shutil
from pathlib import Path

import pytest

from loadtests.rolling import HAPROXY, roll


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("haproxy") is None, reason=HAPROXY)
async def test_gateways_restarted_in_turn_behind_a_load_balancer_fail_no_request(demo_copy: Path) -> None:
    rolled = await roll(demo_copy, rounds=3, rate_per_s=200)
    assert rolled.well, str(rolled)
    assert len(rolled.statuses) == 3
    assert len(rolled.outcome.records) > 1_000
