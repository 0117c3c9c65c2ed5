"""Records in, on both paths, in the ingest API's own shapes (contract §6)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doors.flights import read_named, sources_by_view
from tests.harness.cluster import ALICE, Act, Cluster, refuse
from tests.harness.houses import READER, STRANGER, WRITER, House, cluster_settings, demo_settings, open_house
from tests.harness.offices import open_offices

COUNT = "airport_departures.flight_count_1h_10m"
RECORD = {
    "scheduled_departure": "2013-01-14T22:45:00Z",
    "carrier": "ZZ",
    "flight": 4711,
    "origin": "JFK",
    "dest": "LAX",
    "tailnum": "N-INGESTED",
    "distance": 2475,
    "dep_delay": 1_000.5,
    "arr_delay": None,
    "air_time": None,
    "departed_at": "2013-01-14T22:50:00Z",
    "cancelled": False,
}


@pytest.fixture
def written(demo_copy: Path) -> Iterator[House]:
    """The demo on a store of its own; its client may write."""
    with open_house(demo_settings(demo_copy), WRITER) as house:
        yield house


def ingest(house: House, *records: dict[str, Any], path: str = "/ingest", **more: Any) -> httpx.Response:
    body = {"workspace_name": "prod", "records": {"flights": [{"record": record} for record in records]}, **more}
    return house.client.post(path, json=body)


@pytest.mark.parametrize("path", ["/ingest", "/v2/ingest"])
def test_an_event_is_taken_in_by_every_view_of_its_source(written: House, path: str) -> None:
    reply = ingest(written, RECORD, path=path)
    assert reply.status_code == 200
    answer = reply.json()
    assert answer["workspaceName"] == "prod"
    metrics = answer["ingestMetrics"]["featureViewIngestMetrics"]
    assert {one["featureViewName"] for one in metrics} == {"airport_departures", "carrier_performance", "plane_history", "route_history"}
    assert {one["onlineRecordIngestCount"] for one in metrics} == {"1"}


def test_a_read_sees_what_was_ingested_as_soon_as_that_is_acknowledged(written: House) -> None:
    before = read_named(written.client)["features"]
    assert ingest(written, RECORD).status_code == 200
    after = read_named(written.client)
    assert sources_by_view(after)["airport_departures"] == {"origin"}
    assert after["features"][COUNT] == before[COUNT] + 1
    assert after["features"]["airport_departures.dep_delay_max_6h_10m"] == 1_000.5


def test_the_same_event_again_counts_once_and_the_last_write_wins(written: House) -> None:
    before = read_named(written.client)["features"]
    for delay in (1_000.5, 2_000.5):
        assert ingest(written, RECORD | {"dep_delay": delay}).status_code == 200
    after = read_named(written.client, maxAgeMs=0)["features"]
    assert after[COUNT] == before[COUNT] + 1
    assert after["airport_departures.dep_delay_max_6h_10m"] == 2_000.5


def test_a_dry_run_stores_nothing(written: House) -> None:
    before = read_named(written.client)["features"]
    assert ingest(written, RECORD, dry_run=True).status_code == 200
    assert ingest(written, RECORD, dryRun=True).status_code == 200
    assert read_named(written.client, maxAgeMs=0)["features"] == before


def test_ten_records_of_a_source_are_taken_and_eleven_are_not(written: House) -> None:
    assert ingest(written, *[RECORD | {"flight": number} for number in range(10)]).status_code == 200
    before = read_named(written.client)["features"][COUNT]
    refused = ingest(written, *[RECORD | {"flight": number} for number in range(100, 111)])
    assert refused.status_code == 400
    assert refused.json()["requestError"]["errorType"] == "RequestValidationError"
    assert "11" in refused.json()["requestError"]["errorMessage"]
    assert read_named(written.client, maxAgeMs=0)["features"][COUNT] == before


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"workspace_name":"prod","workspace_name":"prod","records":{}}', None),
        (b'{"workspace_name":"prod","records":{"flights":[{"record":{"dep_delay":NaN}}]}}', None),
        (b'{"records":{"flights":[{"record":{}}]}}', "Required field `workspace_name` is missing in the request"),
        (b'{"workspace_name":"prod"}', "Required field `records` is missing in the request"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_the_ingest_apis_own_shape(written: House, body: bytes, text: str | None) -> None:
    reply = written.client.post("/ingest", content=body)
    assert reply.status_code == 400
    [shape] = reply.json().items()
    assert shape[0] == "requestError"
    assert shape[1]["errorType"] == "RequestValidationError"
    assert text is None or shape[1]["errorMessage"] == text


def test_records_that_do_not_fit_are_each_told_and_nothing_of_the_request_is_stored(written: House) -> None:
    before = read_named(written.client)["features"]
    reply = ingest(written, RECORD, RECORD | {"flight": "canary"}, RECORD | {"origin": None})
    assert reply.status_code == 400
    assert "canary" not in reply.text
    assert reply.json()["workspaceName"] == "prod"
    errors = reply.json()["recordErrors"]
    assert [error["errorMessage"].partition(":")[0] for error in errors] == ["Record 1", "Record 2"]
    assert read_named(written.client, maxAgeMs=0)["features"] == before


def test_an_unknown_workspace_or_source_is_not_found(written: House) -> None:
    body = {"workspace_name": "prod", "records": {"trains": [{"record": {}}]}}
    reply = written.client.post("/ingest", json=body)
    assert (reply.status_code, reply.json()["requestError"]["errorType"]) == (404, "TectonObjectValidationError")


@pytest.mark.parametrize(("credential", "status"), [(None, 401), ("fgk_unknown", 401), (READER, 403), (STRANGER, 403)])
def test_who_may_not_write_is_refused_before_the_origin_is_asked(written: House, credential: str | None, status: int) -> None:
    with written.as_caller(credential) as caller:
        reply = caller.post("/ingest", json={"workspace_name": "prod", "records": {"flights": [{"record": RECORD}]}})
    assert reply.status_code == status
    assert set(reply.json()) == {"requestError"}
    assert written.origin.ingests == []


def test_by_roles_an_editor_writes_and_a_viewer_may_see_what_would_be_written(demo_copy: Path) -> None:
    principals = (("editor", "prod=editor"), ("viewer", "prod=viewer"), ("stranger", "dev=owner"))
    body = {"workspace_name": "prod", "records": {"flights": [{"record": RECORD}]}}
    with open_offices(demo_copy, demo_copy, *principals) as (house, keys):
        for who, statuses in (("viewer", (200, 403)), ("stranger", (403, 403)), ("editor", (200, 200))):
            with house.as_caller(keys[who]) as caller:
                assert (
                    caller.post("/ingest", json=body | {"dry_run": True}).status_code,
                    caller.post("/ingest", json=body).status_code,
                ) == statuses
        with house.as_caller(keys["viewer"]) as caller:
            twice = caller.post("/ingest", json=body | {"dry_run": True, "dryRun": False})
        assert (twice.status_code, set(twice.json())) == (400, {"requestError"})
        assert len(house.origin.ingests) == 3


def test_a_writer_may_write_to_its_own_workspaces_alone(written: House) -> None:
    reply = written.client.post("/ingest", json={"workspaceName": "elsewhere", "records": {"flights": [{"record": RECORD}]}})
    assert reply.status_code == 403


def test_before_a_cluster_the_clusters_own_answer_is_passed_on(cluster: Cluster) -> None:
    body = {"workspaceName": "prod", "records": {"events": [{"record": {"user_id": "ann"}}]}}
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        reply = house.client.post("/ingest", json=body)
        assert (reply.status_code, reply.json()["workspaceName"]) == (200, "prod")
        [request] = cluster.asked("ingest")
        assert request.headers["authorization"] == f"Tecton-key {ALICE}"

        record_error = b'{"workspaceName":"prod","recordErrors":[]}'
        cluster.act("ingest", Act(status=400, body=record_error), Act(status=429, body=b"{}", headers={"Retry-After": "7"}))
        assert house.client.post("/v2/ingest", json=body).content == record_error
        throttled = house.client.post("/ingest", json=body)
        assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "7")

        cluster.act("ingest", refuse(503, "down", 14), Act(status=200, body=b"<html>"), Act(cut=10))
        statuses = [house.client.post("/ingest", json=body) for _ in range(3)]
        assert [reply.status_code for reply in statuses] == [503, 502, 503]
        assert all(set(reply.json()) == {"requestError"} for reply in statuses)
