"""What Prometheus is told: in its own format, of what happened, and of nothing that came with a request."""

import platform
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

import pytest

from gateway.cache.flights import Flights
from gateway.cache.fragments import Fragment
from gateway.cache.store import FragmentStore
from gateway.counters import MEANINGS, RESULTS, Counters
from gateway.features import INT64, Feature, ViewLayout
from gateway.hosting.lag import LoopLag
from gateway.measures.book import Book
from gateway.measures.families import Kind
from gateway.serving.plan import timed_out
from gateway.tasks import Tasks
from gateway.web.edge.admission import Admission
from gateway.web.metrics.exposition import Format
from gateway.web.metrics.families import FAMILIES, SOURCES
from gateway.web.metrics.house import Rooms, rooms_of
from gateway.web.metrics.process import look
from gateway.web.metrics.reads import reads_of
from gateway.web.metrics.teller import Metrics
from tests.doors.flights import KEYS, NAMED, named, problem
from tests.harness.clock import Hold
from tests.harness.cluster import Cluster
from tests.harness.exchanges import Exchange
from tests.harness.houses import KEYS as KEYS_OF_ALL
from tests.harness.houses import OPERATOR, READER, STRANGER, WRITER, House, authorization, cluster_settings, demo_settings, open_house
from tests.web.metrics.samples import Samples, families, of, samples, total


@pytest.fixture
def house(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        yield house


def metrics(counters: Counters | None = None, store: FragmentStore | None = None, lag: LoopLag | None = None) -> Metrics:
    """Of a house in which nothing else has happened."""
    rooms = Rooms(
        counters or Counters(), store or FragmentStore(1_000), Flights[str](Tasks()), lag or LoopLag(), Admission(1, 1), "1.0", "embedded"
    )
    book = Book()
    return Metrics(book, [reads_of(book, "embedded"), rooms_of(rooms)], look)


async def text(metrics: Metrics, form: Format = Format.TEXT) -> str:
    return b"".join(await metrics.text(form)).decode()


def scraped(house: House) -> Samples:
    reply = house.client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(reply.text)


@pytest.mark.parametrize("form", list(Format))
async def test_every_family_is_told_with_its_type_and_meaning_and_no_other(form: Format) -> None:
    told = families(await text(metrics(), form))
    assert {name: (family.type, family.documentation) for name, family in told.items()} == {
        name: (about.kind, about.meaning) for name, about in FAMILIES.items()
    }


async def test_every_counter_is_told_under_its_own_name() -> None:
    counters = Counters(*range(1, len(fields(Counters)) + 1))
    told = samples(await text(metrics(counters)))
    for name in MEANINGS:
        assert total(told, f"{name}_total") == getattr(counters, name)
    parts = [(name, result) for name, (_, results) in RESULTS.items() for result in results]
    for name, result in parts:
        assert of(told, f"{name}_total", result=result) == {(("result", result),): getattr(counters, f"{name}_{result}")}
    assert {*MEANINGS, *[f"{name}_{result}" for name, result in parts]} == {field.name for field in fields(Counters)}


async def test_the_store_is_told_as_it_is() -> None:
    store = FragmentStore(10_000)
    fragment = Fragment.of(timed_out(ViewLayout("a", (Feature("a.x", INT64),))), 0.0)
    for number in range(3):
        store.put((0, number), fragment)
    told = samples(await text(metrics(store=store)))
    assert total(told, "cache_fragments") == 3
    assert total(told, "cache_bytes") == 3 * fragment.size_bytes
    assert total(told, "cache_max_bytes") == 10_000
    assert total(told, "cache_evictions_total") == store.evictions


async def test_the_lag_of_the_event_loop_is_told_in_buckets() -> None:
    lag = LoopLag()
    for lag_s in (0.0005, 0.003, 0.003, 0.2, 7.0):
        lag.note(lag_s)
    told = samples(await text(metrics(lag=lag)))
    buckets = {dict(labels)["le"]: value for labels, value in of(told, "event_loop_lag_seconds_bucket").items()}
    assert buckets == {"0.001": 1, "0.005": 3, "0.025": 3, "0.1": 3, "0.25": 4, "1.0": 4, "+Inf": 5}
    assert total(told, "event_loop_lag_seconds_count") == 5
    assert total(told, "event_loop_lag_seconds_sum") == pytest.approx(lag.sum_s)
    assert total(told, "event_loop_lag_seconds_max") == 7.0


def test_a_scrape_sees_what_happened_since_the_last_one(house: House) -> None:
    before = scraped(house)
    assert total(before, "cache_fragments") == total(before, "views_total") == total(before, "purges_total") == 0
    assert house.client.post(f"{NAMED}/features", json=named()).status_code == 200
    filled = scraped(house)
    assert total(filled, "cache_fragments") == 4
    assert {dict(labels)["source"] for labels in of(filled, "views_total", feature_service="flight_delay")} == set(SOURCES)
    assert total(filled, "views_total", workspace="prod", source="origin") == 4
    assert house.client.post(f"{NAMED}/features:purge", json={"views": ["plane_history"]}).json() == {"purged": 1}
    after = scraped(house)
    assert total(after, "cache_fragments") == 3
    assert total(after, "cache_bytes") < total(filled, "cache_bytes")
    assert total(after, "purges_total") == total(after, "purged_fragments_total") == 1


def test_flights_in_the_air_are_told(house: House) -> None:
    hold = house.origin.hold = Hold()
    with Exchange(house.url, f"{NAMED}/features", named(), authorization(OPERATOR)) as reading:
        hold.wait_reached()
        assert total(scraped(house), "flights") == 4
        hold.release()
        assert reading.answer()[0] == 200
    assert total(scraped(house), "flights") == 0


def test_nothing_of_a_request_is_told(house: House) -> None:
    house.client.post(f"{NAMED}/features", json=named(joinKeys=KEYS | {"tailnum": "canary"}))
    house.client.post(f"{NAMED}/features:purge", json={"joinKeys": {"tailnum": "canary"}})
    text = house.client.get("/metrics").text
    for told in ("canary", "tailnum", "N338AA", OPERATOR):
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


def test_what_only_grows_only_grows_and_fits_together_at_every_moment(demo_dir: Path) -> None:
    grows = {name for name, about in FAMILIES.items() if about.kind is not Kind.GAUGE}
    with open_house(demo_settings(demo_dir, telemetry={"sample_ratio": 0.5}), OPERATOR) as house:
        over = threading.Event()

        def caller(number: int) -> None:
            bodies = [named(), named(joinKeys=KEYS | {"tailnum": f"N{number}"}), named(joinKeys={}), named(maxAgeMs=0)]
            with house.as_caller(OPERATOR) as client:
                for body in cycle(bodies):
                    if over.is_set():
                        return
                    client.post(f"{NAMED}/features", json=body)
                    client.post(f"{NAMED}/features:batch", json={"rows": [body]})

        with ThreadPoolExecutor(3) as pool:
            calling = [pool.submit(caller, number) for number in range(3)]
            before: Samples = {}
            for _ in range(25):
                reply = house.client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
                now = samples(reply.text)  # the parser refuses buckets that do not add up
                kept = {key: value for key, value in before.items() if re.sub("_(bucket|sum|count)$", "", key[0]) in grows}
                assert all(now[key] >= value for key, value in kept.items())
                events, bad = of(now, "slo_events_total"), of(now, "slo_bad_events_total")
                assert events.keys() == bad.keys()
                assert all(bad[labels] <= count for labels, count in events.items())
                answered = total(now, "read_duration_seconds_count") - total(now, "read_duration_seconds_count", outcome="error")
                assert answered == total(now, "slo_events_total", slo="stale")
                before = now
            over.set()
            assert [one.result() for one in calling] == [None] * 3


def test_it_is_compressed_and_told_in_another_format_for_who_asks(house: House) -> None:
    plain = house.client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = house.client.get("/metrics", headers={"Accept-Encoding": "gzip", "Accept": "application/openmetrics-text;version=1.0.0"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert int(packed.headers["content-length"]) < len(packed.text) / 3
    assert packed.headers["vary"] == plain.headers["vary"] == "accept, accept-encoding"
    assert families(packed.text).keys() == families(plain.text).keys()


def test_without_a_cluster_tectons_own_path_tells_the_same_to_the_same(house: House) -> None:
    reply = house.client.get("/api/v1/observability/metrics")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert families(reply.text).keys() == FAMILIES.keys()
    with house.as_caller(STRANGER) as caller:
        assert caller.get("/api/v1/observability/metrics").status_code == 403


def test_what_runs_is_told_and_how_many_are_connected(house: House) -> None:
    with house.as_caller(OPERATOR) as other:
        assert other.get("/livez").status_code == 200
        told = scraped(house)
        [labels] = of(told, "build_info")
        assert dict(labels) == {"version": version("feature-gateway"), "python": platform.python_version(), "origin": "embedded"}
        assert total(told, "connections") == house.app.admission.connections >= 2
        assert told["process_resident_memory_bytes", ()] > 1e6
        assert told["process_open_fds", ()] > 3
