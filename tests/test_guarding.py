"""Which origins have a guard, and what of it the settings switch off."""

from pathlib import Path
from typing import Any

import pytest

from gateway.counters import Counters
from gateway.guarding import guarded, policies, waits
from gateway.settings import checked
from tests.origins.guard.scripted import Scripted

CLUSTER = {"origin": {"kind": "tecton", "url": "https://acme.tecton.ai", "max_connections": 30}}
REDIS = {"feature_server": {"store": "redis", "redis": {"url": "redis://127.0.0.1:6379"}}}
LAB = {"feature_server": {**REDIS["feature_server"], "faults": {"not_ready": True}}}
OFF = {
    "retries": 0,
    "retry_budget": 0,
    "hedging": False,
    "breaker_share": 0,
    "retry_after_max_s": 0,
    "limit_max": 0,
}


@pytest.mark.parametrize(("tree", "expected"), [(CLUSTER, True), (REDIS, True), (LAB, False), ({}, False)])
def test_whoever_is_waited_for_has_a_guard(tree: dict[str, Any], *, expected: bool) -> None:
    settings, origin = checked(tree), Scripted()
    assert waits(settings) is expected
    assert (guarded(settings, origin, Counters()) is not None) is expected


def test_the_limit_is_bounded_by_the_connections_unless_it_is_set() -> None:
    by_connections = policies(checked(CLUSTER), Counters()).slots
    assert by_connections is not None
    assert by_connections.limit == 30
    chosen = policies(checked(CLUSTER | {"guard": {"limit_max": 2, "limit_min": 9}}), Counters()).slots
    assert chosen is not None
    assert chosen.limit == 2


@pytest.mark.anyio
async def test_every_part_can_be_switched_off() -> None:
    from gateway.errors import OriginFailed, OriginThrottled
    from tests.origins.guard.scripted import a_fetch

    inner = Scripted()
    guard = guarded(checked(CLUSTER | {"guard": OFF}), inner, Counters())
    assert guard is not None
    assert guard.slots is None
    for error in (OriginThrottled("slower", "9"), OriginFailed("500")):
        inner.always = error
        for _ in range(50):
            with pytest.raises(type(error)):
                await guard.fetch(a_fetch())
    assert len(inner.calls) == 100
    assert not guard.open


def test_the_defaults_are_a_whole_guard(tmp_path: Path) -> None:
    chosen = checked(CLUSTER | {"feature_server": {"data_dir": tmp_path}}).guard
    assert (chosen.retries, chosen.hedging, chosen.breaker_share, chosen.priority_header) == (2, True, 0.5, None)
