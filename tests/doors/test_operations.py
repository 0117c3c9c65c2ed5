"""Liveness, readiness, the API's own description and its page."""

from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from gateway.access.store.database import Database
from gateway.administering import open_file
from gateway.errors import OriginUnavailable
from gateway.serving.readiness import FRESH_S
from tests.doors.flights import NAMED, named, problem
from tests.harness.clock import wait_until
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import House, cluster_settings, open_house
from tests.harness.offices import open_offices
from tests.serving.payments import read, sources


def test_a_live_process_says_so_to_anybody(busy_demo: House) -> None:
    with busy_demo.as_caller(None) as nobody:
        reply = nobody.get("/livez")
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_readiness_asks_the_origin(demo: House) -> None:
    assert demo.client.get("/readyz").json() == {"status": "ready"}
    demo.origin.unready = OriginUnavailable("The online store cannot be used now (SQLITE_BUSY).")
    demo.clock.advance(FRESH_S)
    assert problem(demo.client.get("/readyz")) == (503, 14, "The online store cannot be used now (SQLITE_BUSY).")
    assert demo.client.get("/livez").status_code == 200


def test_readiness_before_a_cluster_asks_the_cluster(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), None) as house:
        assert house.client.get("/readyz").status_code == 200  # it answered 401, so it is there
        [asked] = cluster.asked("metadata")
        assert "authorization" not in asked.headers
        assert house.client.get("/readyz").json() == {"status": "ready"}
        assert len(cluster.asked("metadata")) == 1, "probes are no load"


def test_a_cluster_that_was_there_once_is_no_reason_not_to_be_ready(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        read(house.client)
        cluster.stop()
        house.clock.advance(1)
        lost = house.client.get("/readyz")
        assert (lost.status_code, lost.json()) == (200, {"status": "degraded", "origin": "unavailable"})
        assert sources(read(house.client)) == {"cache"}
        cluster.start()
        house.clock.advance(FRESH_S)
        assert house.client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("strict", [False, True])
def test_a_cluster_that_was_never_there_or_must_be_there_is(cluster: Cluster, *, strict: bool) -> None:
    with open_house(cluster_settings(cluster.url, server={"ready_while_degraded": not strict}), ALICE) as house:
        if strict:
            assert house.client.get("/readyz").status_code == 200
            house.clock.advance(FRESH_S)
        cluster.stop()
        assert problem(house.client.get("/readyz"))[:2] == (503, 14)
        assert house.client.get("/livez").status_code == 200


def test_readiness_tells_of_a_lost_store_of_access_control_until_its_copy_counts_no_more(demo_dir: Path, tmp_path: Path) -> None:
    auth = {"refresh_s": 0.01, "max_copy_age_s": 1.0}

    def ready() -> tuple[int, object]:
        reply = house.client.get("/readyz")
        return reply.status_code, reply.json().get("access")

    with (
        open_offices(demo_dir, tmp_path, ("reader", "consumer"), auth=auth) as (house, keys),
        closing(open_file(tmp_path)) as store,
        house.as_caller(keys["reader"]) as reader,
    ):
        assert ready() == (200, None)
        rename(store, "change", "change_gone")
        wait_until(lambda: ready() == (200, "unavailable"), "the loss being seen")
        wait_until(lambda: ready() == (503, None), "the copy being too old")
        assert problem(reader.post(f"{NAMED}/features", json=named()))[:2] == (503, 14)
        rename(store, "change_gone", "change")
        wait_until(lambda: ready() == (200, None), "the store being read again")
        assert reader.post(f"{NAMED}/features", json=named()).status_code == 200


def rename(store: Database, before: str, after: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


def test_head_gets_the_headers_alone(busy_demo: House) -> None:
    reply = busy_demo.client.head("/livez")
    assert (reply.status_code, reply.content) == (200, b"")


def test_the_api_describes_itself_and_has_a_page(busy_demo: House) -> None:
    document = busy_demo.client.get("/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert document.json()["openapi"].startswith("3.1")
    page = busy_demo.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_the_server_does_not_say_what_it_is(busy_demo: House) -> None:
    with httpx.Client(base_url=busy_demo.url) as client:
        assert "server" not in client.get("/livez").headers


def test_an_embedded_feature_server_forwards_nothing(busy_demo: House) -> None:
    for path in ("/api/v1/secrets-service/scopes", "/oauth2/default/v1/token", "/api/v1/jobs/list"):
        assert problem(busy_demo.client.post(path, content=b"{}"))[:2] == (404, 5)
    scim = busy_demo.client.post("/api/scim/v2/Users", content=b"{}")
    assert (scim.status_code, scim.json()["status"], scim.json()["code"]) == (404, "404", 5)
    assert not [path for path in busy_demo.client.get("/openapi.json").json()["paths"] if "scim" in path]


def test_before_a_cluster_the_description_names_what_is_forwarded(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, forward={"scim": False}), None) as house:
        paths = house.client.get("/openapi.json").json()["paths"]
        assert "/api/v1/secrets-service/{path}" in paths
        assert "/api/scim/v2/{path}" not in paths
