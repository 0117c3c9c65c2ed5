"""Settings that change while a house serves: what was cached, promised and let in goes by the new ones at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.access.keys import digest, new_key
from gateway.settings import checked
from gateway.settings.loading import merged
from tests.doors.flights import named, read_named, sources_by_view
from tests.harness.houses import OPERATOR, House, authorization, demo_settings, open_house

CARRIERS, PLANES = "carrier_performance", "plane_history"


@pytest.fixture
def tree(demo_dir: Path) -> dict[str, Any]:
    return dict(demo_settings(demo_dir))


@pytest.fixture
def house(tree: dict[str, Any]) -> Iterator[House]:
    with open_house(tree, OPERATOR) as house:
        read_named(house.client)
        yield house


def sources(house: House) -> dict[str, str]:
    return {view: source for view, (source,) in sources_by_view(read_named(house.client)).items()}


def test_what_is_cached_lives_by_the_new_terms(house: House, tree: dict[str, Any]) -> None:
    house.clock.advance(10)
    assert sources(house)[CARRIERS] == "cache"
    house.app.apply(checked(merged(tree, {"views": {CARRIERS: {"ttl_s": 5, "stale_if_error_s": 0}}})))
    told = sources(house)
    assert (told[CARRIERS], told[PLANES]) == ("origin", "cache")
    house.app.apply(checked(merged(tree, {"views": {CARRIERS: {"ttl_s": 0}, PLANES: {"ttl_s": 0}}})))
    for _ in range(2):
        told = sources(house)
        assert (told[CARRIERS], told[PLANES]) == ("origin", "origin")
    house.app.apply(checked(tree))
    sources(house)
    assert set(sources(house).values()) == {"cache", "computed"}


def test_an_age_that_matters_from_now_on_is_known_of_whatever_is_served(house: House, tree: dict[str, Any]) -> None:
    """While no view's age was bounded none was noted: what was kept then is fetched again rather than believed."""
    assert sources(house)[CARRIERS] == "cache"
    house.app.apply(checked(merged(tree, {"views": {CARRIERS: {"max_age_s": 1}}})))
    for _ in range(2):
        assert sources(house)[CARRIERS] == "origin"
    assert sources(house)[PLANES] == "cache"


def test_other_defaults_deadlines_objectives_and_lines_hold(house: House, tree: dict[str, Any]) -> None:
    told = {"deadlines": {"read_s": 7}, "slo": {"latency_ms": 5}, "telemetry": {"sample_ratio": 1}, "log": {"requests": "all"}}
    house.app.apply(checked(merged(tree, told)))
    house.exporter.clear()
    read_named(house.client)
    assert len(house.spans()) > 0
    assert {ledger.objective_s for ledger in house.app.book.services.values()} == {0.005}
    assert {(span.attributes or {}).get("feature_gateway.slo.objective") for span in house.spans("POST /v1")} == {0.005}
    assert house.app.access_log.on
    house.app.apply(checked(merged(tree, {"telemetry": {"sample_ratio": 0}})))
    house.exporter.clear()
    read_named(house.client)
    assert house.spans() == []


def test_a_sampler_of_the_environment_keeps_the_last_word(tree: dict[str, Any]) -> None:
    with open_house(tree, OPERATOR, {"OTEL_TRACES_SAMPLER": "always_off"}) as house:
        house.app.apply(checked(merged(tree, {"telemetry": {"sample_ratio": 1}})))
        read_named(house.client)
        assert house.spans() == []


def test_keys_of_the_settings_come_and_go_at_once(house: House, tree: dict[str, Any]) -> None:
    key = new_key()

    def status() -> int:
        path = "/v1/workspaces/prod/feature-services/flight_delay/features"
        return house.client.post(path, json=named(), headers=authorization(key)).status_code

    assert status() == 401
    anne = {"digest": digest(key), "workspaces": ["prod"]}
    house.app.apply(checked(merged(tree, {"auth": {"keys": {"anne": anne}}})))
    assert status() == 200
    house.app.apply(checked(merged(tree, {"auth": {"keys": {"anne": anne | {"workspaces": ["elsewhere"]}}}})))
    assert status() == 403
    house.app.apply(checked(tree))
    assert status() == 401
    assert set(sources(house).values()) == {"cache", "computed"}
