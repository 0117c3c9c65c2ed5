"""Request ids on the doors: who is told which, and what the cluster and the log are told."""

import re
from collections.abc import Iterator

import httpx
import pytest

from gateway.errors import OriginFailed
from tests.harness.cluster import ALICE, Act, Cluster
from tests.harness.houses import House, cluster_settings, open_house

NAMED = "/v1/workspaces/prod/feature-services/fraud"
BODY = {"joinKeys": {"user_id": "ann", "merchant_id": 7}, "requestContext": {"amount": 1.5}}
MINE = {"X-Request-Id": "mine.1"}
MADE = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")


@pytest.fixture(params=[True, False], ids=["edge", "asgi"])
def house(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[House]:
    with open_house(cluster_settings(cluster.url), ALICE, at_the_edge=request.param) as house:
        yield house


def read(house: House, headers: dict[str, str] | None = None) -> httpx.Response:
    return house.client.post(f"{NAMED}/features", json=BODY, headers=headers or {})


def test_a_miss_tells_its_callers_id_and_a_hit_none(house: House) -> None:
    assert read(house, MINE).headers["x-request-id"] == "mine.1"
    hit = read(house, MINE)
    assert hit.status_code == 200
    assert "x-request-id" not in hit.headers
    spans = [dict(span.attributes or {}) for span in house.settle_spans(2, "POST")]
    assert [span.get("feature_gateway.request_id") for span in spans] == ["mine.1", None]


def test_a_miss_without_one_tells_none(house: House) -> None:
    assert "x-request-id" not in read(house).headers


def test_the_cluster_is_told_the_id_of_every_call_that_is_made_for_a_request(cluster: Cluster, house: House) -> None:
    read(house, MINE)
    house.client.post("/ingest", json={"workspaceName": "prod", "records": {}}, headers=MINE)
    asked = [*cluster.asked("metadata"), *cluster.asked("get-features"), *cluster.asked("ingest")]
    assert len(asked) == 3
    assert {one.headers["x-request-id"] for one in asked} == {"mine.1"}


def test_the_cluster_is_told_a_made_id_where_the_caller_has_none(cluster: Cluster, house: House) -> None:
    read(house)
    [asked] = cluster.asked("get-features")
    assert MADE.fullmatch(asked.headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), (f"{NAMED}/features", 400), (f"{NAMED}/features:query", 400), ("/ingest", 400), ("/v1/features:purge", 403)],
)
def test_what_a_caller_did_wrong_is_told_with_its_own_id_or_none(house: House, path: str, status: int) -> None:
    for headers, told in ((MINE, "mine.1"), ({"X-Request-Id": "not one"}, None), ({}, None)):
        reply = house.client.post(path, content=b"{", headers=headers)
        assert reply.status_code == status
        assert reply.headers.get("x-request-id") == told


def test_what_went_wrong_elsewhere_is_told_with_an_id_to_ask_about(cluster: Cluster, house: House) -> None:
    house.origin.metadata_fails = [OriginFailed("no"), OriginFailed("no")]
    assert read(house, MINE).headers["x-request-id"] == "mine.1"
    failed = read(house)
    assert failed.status_code == 502
    assert MADE.fullmatch(failed.headers["x-request-id"])
    assert cluster.asked("metadata") == []


@pytest.mark.parametrize("endpoint", ["metadata", "get-features", "ingest"])
def test_a_redirect_of_the_clusters_is_not_followed(cluster: Cluster, house: House, endpoint: str) -> None:
    cluster.always(endpoint, Act(status=302, body=b'{"requestError":{}}', headers={"location": f"{cluster.url}/elsewhere"}))
    records = {"workspaceName": "prod", "records": {}}
    reply = house.client.post("/ingest", json=records) if endpoint == "ingest" else read(house)
    assert reply.status_code == 502
    assert "location" not in reply.headers
    assert len(cluster.asked(endpoint)) == 1


def test_only_what_is_listed_goes_out_with_a_read(cluster: Cluster, house: House) -> None:
    hostile = {"Cookie": "a=b", "X-Forwarded-For": "10.0.0.1", "baggage": "a=b", "tracestate": "a=b", "X-HTTP-Method-Override": "DELETE"}
    read(house, hostile)
    for asked in (*cluster.asked("metadata"), *cluster.asked("get-features")):
        assert not {name.lower() for name in hostile} & set(asked.headers)
