"""`/v1/slo`: what was promised of reads that were really made, added up over workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.measures.burn import WINDOWS_S, Past
from gateway.measures.families import Report
from gateway.measures.promises import Promise
from gateway.web.objectives import told
from tests.harness.cluster import ALICE, Cluster, refuse
from tests.harness.houses import STRANGER, House, cluster_settings, demo_settings, open_house
from tests.serving.payments import LITE, VIEW_KEYS
from tests.web.metrics.samples import of, samples
from tests.web.test_openapi import component, errors

TREE = {
    "views": {**VIEW_KEYS, "user": {**VIEW_KEYS["user"], "fresh_within_s": 3600}},
    "services": {"prod/lite": {"slo_availability": 0.9, "slo_latency_ms": 60_000}},
}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """In which 30 reads were answered, 20 of them from the cache, and 10 more failed."""
    with Cluster() as cluster, open_house(cluster_settings(cluster.url, **TREE), ALICE) as house:
        for _ in range(3):
            for number in range(10):
                reply = house.client.post(f"{LITE}/features", json={"joinKeys": {"user_id": f"u{number}", "merchant_id": 7}})
                assert reply.status_code == 200
        cluster.always("get-features", refuse(503, "down", 14))
        for number in range(10):
            reply = house.client.post(f"{LITE}/features", json={"joinKeys": {"user_id": f"new{number}", "merchant_id": 8}})
            assert reply.status_code == 503
        assert house.client.post(f"{LITE}/features", json={"joinKeys": {"user_id": "u1"}}).status_code == 400
        yield house


def objectives(body: Any) -> dict[str, Any]:
    [service] = body["services"]
    return {one["slo"]: one for one in service["objectives"]}


def test_each_objective_of_a_feature_service_is_told_with_its_windows(house: House) -> None:
    body = house.client.get("/v1/slo").json()
    assert errors(component("Objectives"), body) == []
    assert body["workers"] == [1]
    [service] = body["services"]
    assert (service["workspace"], service["featureService"]) == ("prod", "lite")
    assert service["errors"] == {"origin": 10, "caller": 1}
    own = objectives(body)
    assert {slo: one["objective"] for slo, one in own.items()} == {"availability": 0.9, "latency": 0.99, "stale": 0.99}
    assert own["latency"]["withinMs"] == 60_000
    assert {slo: one["state"] for slo, one in own.items()} == {"availability": "ticket", "latency": "ok", "stale": "ok"}
    for name in WINDOWS_S:
        assert {slo: (one["windows"][name]["events"], one["windows"][name]["bad"]) for slo, one in own.items()} == {
            "availability": (40, 10),
            "latency": (30, 0),
            "stale": (30, 0),
        }
        assert own["availability"]["windows"][name]["burnRate"] == pytest.approx(2.5)
    assert own["availability"]["budgetLeft"] == pytest.approx(-1.5)


def test_a_view_with_a_bound_is_told_with_its_freshness(house: House) -> None:
    [view] = house.client.get("/v1/slo").json()["views"]
    assert (view["featureView"], view["slo"], view["withinSeconds"], view["objective"]) == ("user", "freshness", 3600, 0.99)
    assert view["windows"]["5m"]["events"] > 0


def test_the_scrape_tells_the_same(house: House) -> None:
    told = samples(house.client.get("/metrics").text)
    lite = {"workspace": "prod", "feature_service": "lite"}
    assert list(of(told, "slo_objective_ratio", **lite, slo="availability").values()) == [0.9]
    assert list(of(told, "slo_burn_rate", **lite, slo="availability").values()) == pytest.approx([2.5] * 5)
    assert list(of(told, "freshness_objective_ratio").values()) == [0.99]
    assert list(of(told, "slo_objective_ratio", feature_service="").values()) == [0.9995]


def test_promises_are_added_up_over_workers() -> None:
    def report(worker: int, events: int, bad: int) -> Report:
        pasts = {name: Past(60, events, bad) for name in WINDOWS_S}
        return Report(worker, 0.0, {}, (), (Promise("prod", "fraud", "availability", 0.9, None, pasts),))

    body = told([report(1, 99, 0), report(2, 1, 1)])
    assert body["workers"] == [1, 2]
    window = objectives(body)["availability"]["windows"]["1h"]
    assert (window["events"], window["bad"], window["burnRate"]) == (100, 1, pytest.approx(0.1))


def test_only_whoever_may_see_the_metrics_may_see_them(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), None) as house:
        assert house.client.get("/v1/slo").status_code == 401
        with house.as_caller(STRANGER) as caller:
            assert caller.get("/v1/slo").status_code == 403
