"""What Prometheus is told: in its own format, of what happened, and of nothing that came with a request."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.cache.flights import Flights
from gateway.cache.fragments import Fragment
from gateway.cache.store import FragmentStore
from gateway.counters import MEANINGS, Counters
from gateway.features import INT64, Feature, ViewLayout
from gateway.hosting.lag import LoopLag
from gateway.measures.book import Book
from gateway.serving.plan import timed_out
from gateway.tasks import Tasks
from gateway.web.metrics import METRICS, Metrics
from tests.doors.flights import KEYS, NAMED, named, problem
from tests.harness.clock import Hold
from tests.harness.cluster import Cluster
from tests.harness.exchanges import Exchange
from tests.harness.houses import KEYS as KEYS_OF_ALL
from tests.harness.houses import OPERATOR, READER, STRANGER, WRITER, House, authorization, cluster_settings, demo_settings, open_house

Samples = Mapping[tuple[str, str | None], float]


@pytest.fixture
def house(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        yield house


def families(text: str) -> dict[str, Metric]:
    """By the name that a sample has. The parser leaves a counter's `_total` out of its family's name."""
    return {family.name + ("_total" if family.type == "counter" else ""): family for family in text_string_to_metric_families(text)}


def samples(text: str) -> Samples:
    return {(one.name, one.labels.get("source")): one.value for family in families(text).values() for one in family.samples}


def scraped(house: House) -> Samples:
    reply = house.client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(reply.text)


def test_every_metric_is_told_with_its_type_and_meaning_and_no_other() -> None:
    metrics = Metrics(Counters(), Book(), FragmentStore(1_000), Flights[str](Tasks()), LoopLag())
    told = families(metrics.text().decode())
    assert {name: (family.type, family.documentation) for name, family in told.items()} == dict(METRICS)


def test_every_counter_is_told_under_its_own_name() -> None:
    counters = Counters(*range(1, len(MEANINGS) + 1))
    told = samples(Metrics(counters, Book(), FragmentStore(1_000), Flights[str](Tasks()), LoopLag()).text().decode())
    for name in MEANINGS:
        assert told[f"feature_gateway_{name}_total", None] == getattr(counters, name)
    assert set(MEANINGS) == {field.name for field in fields(Counters)}


def test_what_is_told_of_views_is_where_they_came_from() -> None:
    told = samples(Metrics(Counters(), Book(), FragmentStore(1_000), Flights[str](Tasks()), LoopLag()).text().decode())
    assert {source for name, source in told if name == "feature_gateway_views_total"} == {
        "cache",
        "origin",
        "stale_revalidating",
        "stale_on_error",
        "computed",
        "default",
        "timeout",
    }
    assert all(source is None for name, source in told if name != "feature_gateway_views_total")


def test_the_store_is_told_as_it_is() -> None:
    store = FragmentStore(10_000)
    fragment = Fragment.of(timed_out(ViewLayout("a", (Feature("a.x", INT64),))), 0.0)
    for number in range(3):
        store.put((0, number), fragment)
    told = samples(Metrics(Counters(), Book(), store, Flights[str](Tasks()), LoopLag()).text().decode())
    assert told["feature_gateway_cache_fragments", None] == 3
    assert told["feature_gateway_cache_bytes", None] == 3 * fragment.size_bytes
    assert told["feature_gateway_cache_max_bytes", None] == 10_000
    assert told["feature_gateway_cache_evictions_total", None] == store.evictions


def test_the_lag_of_the_event_loop_is_told_in_buckets() -> None:
    lag = LoopLag()
    for lag_s in (0.0005, 0.003, 0.003, 0.2, 7.0):
        lag.note(lag_s)
    told = families(Metrics(Counters(), Book(), FragmentStore(0), Flights[str](Tasks()), lag, 3).text().decode())
    buckets = {
        one.labels["le"]: one.value for one in told["feature_gateway_event_loop_lag_seconds"].samples if one.name.endswith("_bucket")
    }
    assert buckets == {"0.001": 1, "0.005": 3, "0.025": 3, "0.1": 3, "0.25": 4, "1.0": 4, "+Inf": 5}
    sums = {
        one.name.rpartition("_")[2]: one.value for one in told["feature_gateway_event_loop_lag_seconds"].samples if "le" not in one.labels
    }
    assert sums == {"count": 5, "sum": pytest.approx(lag.sum_s)}
    assert told["feature_gateway_event_loop_lag_seconds_max"].samples[0].value == 7.0
    assert told["feature_gateway_worker"].samples[0].value == 3


def test_a_scrape_sees_what_happened_since_the_last_one(house: House) -> None:
    before = {name: value for (name, _), value in scraped(house).items() if "event_loop" not in name and not name.endswith("_worker")}
    assert set(before.values()) == {0, 268_435_456}
    assert house.client.post(f"{NAMED}/features", json=named()).status_code == 200
    filled = scraped(house)
    assert filled["feature_gateway_cache_fragments", None] == 4
    assert house.client.post(f"{NAMED}/features:purge", json={"views": ["plane_history"]}).json() == {"purged": 1}
    after = scraped(house)
    assert after["feature_gateway_cache_fragments", None] == 3
    assert after["feature_gateway_cache_bytes", None] < filled["feature_gateway_cache_bytes", None]
    assert after["feature_gateway_purges_total", None] == 1
    assert after["feature_gateway_purged_fragments_total", None] == 1


def test_flights_in_the_air_are_told(house: House) -> None:
    hold = house.origin.hold = Hold()
    with Exchange(house.url, f"{NAMED}/features", named(), authorization(OPERATOR)) as reading:
        hold.wait_reached()
        assert scraped(house)["feature_gateway_flights", None] == 4
        hold.release()
        assert reading.answer()[0] == 200
    assert scraped(house)["feature_gateway_flights", None] == 0


def test_nothing_of_a_request_is_told(house: House) -> None:
    house.client.post(f"{NAMED}/features", json=named(joinKeys=KEYS | {"tailnum": "canary"}))
    house.client.post(f"{NAMED}/features:purge", json={"joinKeys": {"tailnum": "canary"}})
    text = house.client.get("/metrics").text
    for told in ("canary", "tailnum", "flight_delay", "prod", "plane_history", OPERATOR):
        assert told not in text


def test_head_gets_the_headers_alone(house: House) -> None:
    reply = house.client.head("/metrics")
    assert (reply.status_code, reply.content) == (200, b"")


def test_with_keys_metrics_are_for_who_holds_a_role_everywhere(house: House) -> None:
    for credential, status in ((None, 401), ("fgk_unknown", 401), (STRANGER, 403), (WRITER, 403), (READER, 200)):
        with house.as_caller(credential) as caller:
            for method in ("GET", "HEAD"):
                assert caller.request(method, "/metrics").status_code == status
    with house.as_caller(None) as anybody:
        assert problem(anybody.get("/metrics"))[1] == 16


def test_they_can_be_left_open_and_are_where_the_gateway_has_no_keys(demo_dir: Path, cluster: Cluster) -> None:
    for tree in (demo_settings(demo_dir, auth={"keys": KEYS_OF_ALL, "metrics": "open"}), cluster_settings(cluster.url)):
        with open_house(tree, None) as opened:
            assert opened.client.get("/metrics").status_code == 200
