"""What is told is what was done: a client with a script, and its sums."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.measures.book import Book
from gateway.measures.families import Report
from gateway.measures.ledgers import Outcome
from gateway.web.metrics.exposition import Format, written
from gateway.web.metrics.reads import reads_of
from gateway.web.metrics.told import Told
from tests.doors.flights import KEYS as FLIGHT_KEYS
from tests.doors.flights import NAMED, named
from tests.harness.clock import PATIENCE_S
from tests.harness.cluster import ALICE, BOB, NOBODY, Act, Cluster, refuse
from tests.harness.houses import OPERATOR, House, cluster_settings, demo_settings, open_house
from tests.serving.payments import LITE, VIEW_KEYS
from tests.web.metrics.samples import Samples, of, samples, total

BATCH = "/api/v1/feature-service/get-features-batch"
SINGLE = "/api/v1/feature-service/get-features"
LITE_NAMES = {"workspace": "prod", "feature_service": "lite"}
CACHE = {"ttl_s": 60, "stale_if_error_s": 300, "stale_while_revalidate_s": 0}


def told(house: House) -> Samples:
    return samples(house.client.get("/metrics").text)


def keys(user: str, merchant: int) -> dict[str, Any]:
    return {"user_id": user, "merchant_id": merchant}


def one(client: httpx.Client, user: str, merchant: int) -> int:
    return client.post(f"{LITE}/features", json={"joinKeys": keys(user, merchant)}).status_code


def tecton(client: httpx.Client, path: str, **params: Any) -> int:
    return client.post(path, json={"params": {"workspaceName": "prod", "featureServiceName": "lite", **params}}).status_code


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[House, Samples]]:
    """A house in which all that is written below has been done, by callers whom the cluster judges; and what is told of it."""
    tree = {
        "cache": CACHE,
        "views": {**VIEW_KEYS, "user": VIEW_KEYS["user"]},
        "auth": {"grant_life_s": 1e6},
        "telemetry": {"sample_ratio": 0.0},
        "slo": {"latency_ms": 60_000},
    }
    with Cluster() as cluster, open_house(cluster_settings(cluster.url, **tree), ALICE) as house:
        client = house.client
        assert one(client, "ann", 7) == 200  # a miss: two views from the cluster
        assert [one(client, "ann", 7) for _ in range(4)] == [200] * 4  # hits
        assert one(client, "ann", 8) == 200  # a miss: the cluster is asked for all of a row, so all of it is served from there
        passing = {"joinKeyMap": {"user_id": "ann", "merchant_id": "7"}, "requestOptions": {"readFromCache": False}}
        assert tecton(client, SINGLE, **passing) == 200
        rows = [{"joinKeys": keys("ann", 7)}, {"joinKeys": keys("bob", 7)}, {"joinKeys": {"user_id": "ann"}}]
        reply = client.post(f"{LITE}/features:batch", json={"rows": rows, "include": ["source"]})  # partial: a new user
        assert [set(row["source"].values()) for row in reply.json()["rows"][:2]] == [{"cache"}, {"origin"}]
        assert set(reply.json()["rows"][2]) == {"error"}
        data = [{"joinKeyMap": {"user_id": "ann", "merchant_id": merchant}} for merchant in ("7", "8")]
        assert tecton(client, BATCH, requestData=data) == 200  # a hit of two rows
        query = {"featureServiceName": "visits", "joinKeyMap": {"user_id": "ann"}, "requestContextMap": {"amount": 1.0}}
        assert tecton(client, "/api/v1/feature-service/query-features", **query) == 200  # three results
        house.clock.advance(61)
        cluster.always("get-features", refuse(503, "down", 14))
        assert one(client, "ann", 7) == 200  # stale
        assert one(client, "zoe", 99) == 503
        cluster.always("get-features", refuse(429, "slower", 8))
        assert one(client, "zoe", 99) == 429
        cluster.always("get-features", None)
        for credential, status in ((BOB, 403), ("nobody's key", 401), (None, 401)):
            with house.as_caller(credential) as caller:
                assert one(caller, "ann", 7) == status
        assert client.post(f"{LITE}/features", content=b"{").status_code == 400
        assert client.post(f"{LITE}/features", json={"joinKeys": {"user_id": "ann"}}).status_code == 400
        assert client.post("/v1/workspaces/prod/feature-services/invented/features", json={"joinKeys": {}}).status_code == 404
        assert client.get(f"{LITE}/schema").status_code == 200
        assert client.get("/nowhere").status_code == 404
        records = {"workspace_name": "prod", "records": {"events": [{"record": {}}] * 3, "others": [{"record": {}}]}}
        assert client.post("/ingest", json=records).status_code == 200
        assert client.post("/ingest", json=records | {"dry_run": True}).status_code == 200
        cluster.act("ingest", Act(status=400, body=b"{}"), refuse(503, "down", 14))
        assert [client.post("/ingest", json=records).status_code for _ in range(2)] == [400, 503]
        yield house, told(house)


def by(samples: Samples, name: str, *labels: str, **narrowed: str) -> dict[tuple[str, ...], float]:
    """A family's numbers that are not 0, by the values of these labels."""
    found: dict[tuple[str, ...], float] = {}
    for labelled, value in of(samples, name, **narrowed).items():
        key = tuple(dict(labelled).get(label, "") for label in labels)
        found[key] = found.get(key, 0) + value
    return {key: value for key, value in found.items() if value}


def test_each_read_is_told_by_door_and_outcome(scripted: tuple[House, Samples]) -> None:
    assert by(scripted[1], "read_duration_seconds_count", "door", "feature_service", "outcome") == {
        ("named_single", "lite", "miss"): 2,
        ("named_single", "lite", "hit"): 4,
        ("named_single", "lite", "stale"): 1,
        ("named_single", "lite", "error"): 4,  # 503, 429, a join key that is missing, and the cluster's 403
        ("tecton_single", "lite", "bypass"): 1,
        ("named_batch", "lite", "partial"): 1,
        ("tecton_batch", "lite", "hit"): 1,
        ("tecton_query", "visits", "bypass"): 1,
        ("named_single", "", "error"): 4,  # 401 twice, what is no JSON, and a feature service that does not exist
    }


def test_each_error_is_told_by_whose_fault_it_was(scripted: tuple[House, Samples]) -> None:
    assert by(scripted[1], "read_errors_total", "feature_service", "fault", "code") == {
        ("lite", "origin", "503"): 1,
        ("lite", "origin", "429"): 1,
        ("lite", "caller", "400"): 1,
        ("lite", "caller", "403"): 1,
        ("", "caller", "401"): 2,
        ("", "caller", "400"): 1,
        ("", "caller", "404"): 1,
    }
    assert by(scripted[1], "row_errors_total", "feature_service", "fault") == {("lite", "caller"): 1}
    assert by(scripted[1], "authorizations_total", "result") == {("admitted",): 16, ("unauthenticated",): 2, ("denied",): 1}


def test_rows_and_views_are_told_by_where_they_came_from(scripted: tuple[House, Samples]) -> None:
    assert by(scripted[1], "rows_total", "door") == {
        ("named_single",): 7,
        ("tecton_single",): 1,
        ("named_batch",): 3,
        ("tecton_batch",): 2,
        ("tecton_query",): 3,
    }
    assert by(scripted[1], "batch_rows_sum", "door") == {("named_batch",): 3, ("tecton_batch",): 2}
    assert by(scripted[1], "batch_rows_count", "door") == {("named_batch",): 1, ("tecton_batch",): 1}
    assert by(scripted[1], "views_total", "source", **LITE_NAMES) == {
        ("origin",): 2 + 2 + 2 + 2,
        ("cache",): 4 * 2 + 2 + 2 * 2,
        ("stale_on_error",): 2,
    }


def test_reads_that_count_for_an_objective_are_told_and_those_that_broke_it(scripted: tuple[House, Samples]) -> None:
    answered = 1 + 4 + 1 + 1 + 1 + 1 + 1
    assert by(scripted[1], "slo_events_total", "slo", **LITE_NAMES) == {
        ("availability",): answered + 2,
        ("latency",): answered,
        ("stale",): answered,
    }
    assert by(scripted[1], "slo_bad_events_total", "slo", **LITE_NAMES) == {("availability",): 2, ("stale",): 1}


def test_values_are_looked_at_in_every_sixteenth_read_from_the_first_on(scripted: tuple[House, Samples]) -> None:
    assert by(scripted[1], "sampled_features_total", "feature_view") == {("merchant",): 2, ("user",): 2}
    assert by(scripted[1], "value_age_seconds_count", "feature_view") == {("merchant",): 1, ("user",): 1}


def test_calls_to_the_origin_are_told_by_what_was_asked_and_how_it_ended(scripted: tuple[House, Samples]) -> None:
    calls = by(scripted[1], "origin_duration_seconds_count", "origin", "call", "outcome")
    assert {key: value for key, value in calls.items() if key[1] != "metadata"} == {
        ("tecton", "read", "ok"): 4,
        ("tecton", "read", "unavailable"): 2,
        ("tecton", "read", "throttled"): 1,
        ("tecton", "read", "refused"): 1,
        ("tecton", "query", "ok"): 1,
        ("tecton", "ingest", "ok"): 3,
        ("tecton", "ingest", "unavailable"): 1,
    }


def test_other_requests_are_told_by_door_and_errors_by_status(scripted: tuple[House, Samples]) -> None:
    assert by(scripted[1], "request_duration_seconds_count", "door", "code") == {
        ("metadata", "2xx"): 1,
        ("unknown", "4xx"): 1,
        ("ingest", "2xx"): 2,
        ("ingest", "4xx"): 1,
        ("ingest", "5xx"): 1,
    }
    assert by(scripted[1], "problems_total", "code", "fault") == {
        ("400", "caller"): 2,
        ("401", "caller"): 2,
        ("403", "caller"): 1,
        ("404", "caller"): 2,
        ("429", "origin"): 1,
        ("503", "origin"): 2,
    }
    assert by(scripted[1], "ingest_records_total", "result") == {("taken",): 4, ("checked",): 4, ("refused",): 4, ("unconfirmed",): 4}


def test_the_same_counts_are_the_same_bytes_whatever_came_first() -> None:
    def text(services: list[str], doors: list[str]) -> str:
        book, made = Book(), Told()
        for service in services:
            for door in doors:
                book.service("prod", service).read(door, Outcome.MISS, 2, 0.001, eligible=True)
                book.service("prod", service).failed(door, "origin", 503, 0.001, server_error=True)
                book.request(door, 200, 0.1)
                book.call(door, 0.1)
            book.view("prod", service).aged(1.0, None)
            book.problems[len(service), "origin"] += 1
        for _ in reads_of(book, "tecton")(made):
            pass
        return "".join(written([Report(1, 0.0, made.families())], Format.OPENMETRICS, by_worker=False))

    names, doors = ["a", "bb", "ccc"], ["named_single", "tecton_single"]
    assert text(names, doors) == text(names[::-1], doors[::-1])


def test_freshness_is_told_of_views_that_have_a_bound_alone() -> None:
    book, made = Book(bound_s=lambda view: 60.0 if view == "fresh" else None), Told()
    for view in ("fresh", "any"):
        for age_s in (1.0, 61.0, 62.0):
            book.view("prod", view).aged(age_s, None)
    for _ in reads_of(book, "tecton")(made):
        pass
    told = samples("".join(written([Report(1, 0.0, made.families())], Format.OPENMETRICS, by_worker=False)))
    assert by(told, "freshness_values_total", "workspace", "feature_view") == {("prod", "fresh"): 3}
    assert by(told, "freshness_values_late_total", "workspace", "feature_view") == {("prod", "fresh"): 2}
    assert len(of(told, "freshness_values_total")) == 1


def test_ages_are_those_of_the_values_and_what_is_missing_is_told(cluster: Cluster) -> None:
    """`user` says when its values were computed; of a user whom nobody knows there are none."""
    tree = cluster_settings(cluster.url, cache={"ttl_s": 1_000, "negative_ttl_s": 1_000}, views=VIEW_KEYS, auth={"grant_life_s": 1e6})
    with open_house(tree, ALICE) as house:
        assert one(house.client, NOBODY, 7) == 200
        house.clock.advance(500)
        for _ in range(16):
            assert one(house.client, NOBODY, 7) == 200
        found = told(house)
        assert by(found, "sampled_features_total", "feature_view") == {("merchant",): 4, ("user",): 4}
        assert by(found, "sampled_features_missing_total", "feature_view") == {("user",): 4}
        assert total(found, "value_age_seconds_count", feature_view="merchant") == 2
        assert total(found, "value_age_seconds_bucket", feature_view="merchant", le="0.1") == 1
        assert total(found, "value_age_seconds_bucket", feature_view="merchant", le="300.0") == 1
        assert total(found, "value_age_seconds_bucket", feature_view="merchant", le="900.0") == 2
        assert total(found, "value_age_seconds_sum", feature_view="merchant") == pytest.approx(500)


def test_a_read_that_is_traced_is_an_example_of_its_bucket(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        for number in range(2):  # a miss and a hit
            trace = f"{number + 1:032x}"
            parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            assert house.client.post(f"{NAMED}/features", json=named(), headers=parent).status_code == 200
        text = house.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
        lines = [line for line in text.splitlines() if " # " in line and not line.startswith("#")]
        assert ['outcome="hit"' in line for line in lines] == [True, False]
        assert [f'{{trace_id="{number:032x}"}}' in line for line, number in zip(lines, (2, 1), strict=True)] == [True, True]
        assert "trace_id" not in house.client.get("/metrics").text


def test_what_is_partly_at_hand_is_told_so_and_computed_views_have_no_age(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        for _ in range(2):
            assert house.client.post(f"{NAMED}/features", json=named()).status_code == 200
        assert house.client.post(f"{NAMED}/features:purge", json={"views": ["plane_history"]}).status_code == 200
        assert house.client.post(f"{NAMED}/features", json=named()).status_code == 200
        found = told(house)
        assert by(found, "read_duration_seconds_count", "outcome") == {("miss",): 1, ("hit",): 1, ("partial",): 1}
        assert by(found, "views_total", "source") == {("origin",): 5, ("cache",): 7, ("computed",): 3}
        assert by(found, "request_duration_seconds_count", "door") == {("purge",): 1}
        assert ("planned_flight",) in by(found, "sampled_features_total", "feature_view")
        assert ("planned_flight",) not in by(found, "value_age_seconds_count", "feature_view")


def invented(number: int) -> bytes:
    body = b'{"joinKeys":{}}'
    path = f"/v1/workspaces/w{number % 7}/feature-services/invented{number}/features"
    headers = f"Host: h\r\nContent-Length: {len(body)}\r\nAuthorization: Tecton-key {OPERATOR}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body


def pipelined(url: str, requests: list[bytes]) -> list[int]:
    """The answers' statuses. Requests are sent some at a time, without waiting for each."""
    statuses: list[int] = []
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port), timeout=PATIENCE_S) as connection:
        for some in (requests[start : start + 50] for start in range(0, len(requests), 50)):
            connection.sendall(b"".join(some))
            found: list[bytes] = []
            received = b""
            while len(found) < len(some):
                received += connection.recv(1 << 20)
                found = re.findall(rb"HTTP/1\.1 (\d+) ", received)
            statuses += map(int, found)
    return statuses


def test_no_caller_can_make_a_series(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, telemetry={"sample_ratio": 0.0}), OPERATOR) as house:
        assert set(pipelined(house.url, [invented(number) for number in range(100)])) == {404}
        before = set(told(house))
        assert set(pipelined(house.url, [invented(number) for number in range(10_000)])) == {404}
        for views in (["invented.*"], ["plane_history.invented"]):
            assert house.client.post(f"{NAMED}/features", json=named(features=views)).status_code == 400
        assert house.client.post(f"{NAMED}/features", json=named(joinKeys=FLIGHT_KEYS | {"invented": "x"})).status_code == 400
        after = told(house)
        new = {(name, dict(labels).get("outcome"), dict(labels).get("code")) for name, labels in set(after) - before}
        assert {code for name, _, code in new if "_errors_" in name} == {"400"}  # of a feature service that there is
        assert len(new) < 30
        assert "invented" not in house.client.get("/metrics").text
        assert total(after, "read_errors_total", code="404", feature_service="") == 10_100


def test_a_batch_all_rows_of_which_failed_came_from_no_cache(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        reply = house.client.post(f"{NAMED}/features:batch", json={"rows": [{"joinKeys": {"origin": "JFK"}}] * 2})
        assert [set(row) for row in reply.json()["rows"]] == [{"error"}] * 2
        assert by(told(house), "read_duration_seconds_count", "outcome") == {("miss",): 1}
