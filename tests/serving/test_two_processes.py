"""The gateway before a second process of our own, which serves as its cluster: whole, killed, stopped, and replaced by garbage."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.embedded import ONLINE_STORE
from tests.doors.flights import BOARD, CONTEXT, KEYS, NAMED, OTHER_KEYS, V1, named, problem, read_named, sources_by_view, tecton
from tests.harness.clock import wait_until
from tests.harness.cluster import Act, Cluster
from tests.harness.houses import House, cluster_settings, open_house
from tests.harness.processes import Command

ALL_VIEWS = {"airport_departures", "carrier_performance", "plane_history", "planned_flight", "route_history"}


@pytest.fixture
def store(demo_dir: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    shutil.copy(demo_dir / ONLINE_STORE, folder / ONLINE_STORE)
    return folder


@pytest.fixture
def far(store: Path, tmp_path: Path) -> Iterator[Command]:
    """The process that serves as the cluster."""
    with Command(tmp_path / "far", "demo", "--port", "0", "--data-dir", str(store)) as far:
        yield far


def api_key(far: Command) -> str:
    return far.told(r"API key: (\S+)")[1]


@pytest.fixture
def near(far: Command) -> Iterator[House]:
    """The gateway before it; its patience is short, and it is told what its cluster cannot tell."""
    views = {
        "airport_departures": {"join_keys": ["origin"]},
        "carrier_performance": {"join_keys": ["carrier"]},
        "plane_history": {"join_keys": ["tailnum"]},
        "route_history": {"join_keys": ["origin", "dest"]},
    }
    tree = cluster_settings(far.url, views=views, deadlines={"read_s": 0.5})
    with open_house(tree, api_key(far)) as house:
        yield house


def test_two_gateways_in_a_row_give_what_one_gives(far: Command, near: House, demo: House) -> None:
    through_both = read_named(near.client, include=["status", "effectiveTime", "dataType", "source"])
    direct = read_named(demo.client, include=["status", "effectiveTime", "dataType", "source"])
    for told in ("features", "status", "effectiveTime", "dataType"):
        assert through_both[told] == direct[told]
    assert sources_by_view(through_both) == {view: {"origin"} for view in ALL_VIEWS}
    body = tecton(metadataOptions={"includeNames": True, "includeDataTypes": True})
    tecton_both, tecton_direct = (house.client.post(f"{V1[0]}/get-features", json=body).json() for house in (near, demo))
    assert tecton_both == tecton_direct
    # a span there has the span here for its parent, so far as the header tells
    assert near.settle_spans(1, "origin.fetch")
    with near.as_caller("fgk_unknown") as stranger:
        assert problem(stranger.post(f"{NAMED}/features", json=named()))[:2] == (401, 16)
    assert "Traceback" not in far.stderr


def test_hits_are_served_while_the_cluster_is_stopped(far: Command, near: House) -> None:
    read_named(near.client)
    read_named(near.client, joinKeys=OTHER_KEYS)
    far.pause()
    assert sources_by_view(read_named(near.client)) == {view: {"cache"} for view in ALL_VIEWS}
    # a combination that was never asked, on a service without an on-demand view
    mixed = {"origin": KEYS["origin"], "dest": KEYS["dest"]}
    reply = near.client.post(f"{BOARD}/features", json={"joinKeys": mixed, "include": ["source"]})
    assert problem(reply)[:2] == (504, 4)  # its schema is not known yet
    far.resume()
    wait_until(lambda: near.client.post(f"{BOARD}/features", json={"joinKeys": mixed}).status_code == 200, "the cluster to come to")
    far.pause()
    answer = near.client.post(f"{BOARD}/features", json={"joinKeys": mixed, "include": ["source"]}).json()
    assert sources_by_view(answer) == {"airport_departures": {"cache"}, "route_history": {"cache"}}


def test_a_cluster_that_is_stopped_is_a_504_within_the_deadline_and_nothing_is_kept(far: Command, near: House) -> None:
    read_named(near.client)
    far.pause()
    reply = near.client.post(f"{NAMED}/features", json=named(joinKeys=OTHER_KEYS))
    assert problem(reply)[:2] == (504, 4)
    assert 0.4 < reply.elapsed.total_seconds() < 1.5
    partial = read_named(near.client, joinKeys=OTHER_KEYS, deadlineMs=100)
    assert sources_by_view(partial) == {view: {"timeout"} for view in ALL_VIEWS}
    far.resume()
    wait_until(
        lambda: near.client.post(f"{NAMED}/features", json=named(joinKeys=OTHER_KEYS)).status_code == 200, "the cluster to come to again"
    )
    answer = read_named(near.client, joinKeys=OTHER_KEYS)
    assert "TIME_OUT" not in answer["status"].values()


def test_a_cluster_that_is_killed_is_a_503_and_nothing_is_kept(far: Command, near: House) -> None:
    read_named(near.client)
    far.kill()
    for path, body in (
        (f"{NAMED}/features", named(joinKeys=OTHER_KEYS)),
        (f"{V1[0]}/get-features", tecton(joinKeyMap=OTHER_KEYS)),
        ("/ingest", {"workspaceName": "prod", "records": {}}),
    ):
        reply = near.client.post(path, json=body)
        assert reply.status_code == 503
        assert reply.headers["content-type"] == "application/json"
    assert near.client.get("/readyz").json() == {"status": "degraded", "origin": "unavailable"}
    assert sources_by_view(read_named(near.client)) == {view: {"cache"} for view in ALL_VIEWS}
    near.clock.advance(61)
    assert problem(near.client.post(f"{NAMED}/features", json=named()))[:2] == (503, 14)


def test_a_cluster_that_answers_garbage_is_a_502_and_nothing_is_kept(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), "alice-0123456789-canary") as house:
        body = {"joinKeys": {"user_id": "ann", "merchant_id": 7}, "requestContext": {"amount": 1}, "include": ["source"]}
        path = "/v1/workspaces/prod/feature-services/fraud/features"
        cluster.act("get-features", Act(body=b"\x00garbage"), Act(body=b'{"result":{"features":[]}}'))
        assert problem(house.client.post(path, json=body))[:2] == (502, 13)
        assert problem(house.client.post(path, json=body))[:2] == (502, 13)
        assert sources_by_view(house.client.post(path, json=body).json())["user"] == {"origin"}


def test_serve_as_typed_before_the_other_process(far: Command, tmp_path: Path) -> None:
    with Command(tmp_path / "near", "serve", "--origin", "tecton", "--tecton-url", far.url, "--port", "0") as process:
        near = process.told(r"Serving on (http://\S+) \(origin: tecton, auth: passthrough\)")[1]
        with httpx.Client(base_url=near, headers={"Authorization": f"Tecton-key {api_key(far)}"}) as client:
            first, second = read_named(client), read_named(client)
            assert first["features"] == second["features"]
            assert sources_by_view(second) == {view: {"cache"} for view in ALL_VIEWS}
            far.kill()
            reply = client.post(f"{NAMED}/features", json=named(joinKeys=OTHER_KEYS, requestContext=CONTEXT))
            assert problem(reply)[:2] == (503, 14)
            assert sources_by_view(read_named(client)) == {view: {"cache"} for view in ALL_VIEWS}
        assert process.stderr == ""
