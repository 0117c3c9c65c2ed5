"""Findings of a review: each of these states what the design promises, and failed when it was written."""

import contextlib
import json
import socket
import time
import tracemalloc
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies
from gateway.errors import InvalidRequest
from gateway.features import FLOAT64, INT64, Feature, ServiceRef
from gateway.hosting import server
from gateway.origins.base import Description
from gateway.serving.plan import Plan
from tests.harness.clock import Hold
from tests.harness.cluster import ALICE, BOB, SLO, Act, Cluster, html
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import KEYS as GATEWAY_KEYS
from tests.harness.houses import ONE_TRY, WRITER, House, authorization, cluster_settings, open_house
from tests.serving.payments import CONTEXT, KEYS, LITE, VIEW_KEYS, payment, read, sources, status
from tests.serving.payments import FRAUD as FRAUD_PATH

READ = f"{FRAUD_PATH}/features"
TECTON = "/api/v1/feature-service/get-features"
CAROL = "carol-0123456789-canary"


def params(**more: Any) -> dict[str, Any]:
    return {"params": {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": KEYS, "requestContextMap": CONTEXT} | more}


def ask(house: House, credential: str = ALICE, path: str = READ, **more: Any) -> Exchange:
    return Exchange(house.url, path, payment(**more), authorization(credential))


def budget_ran_out(view: str) -> Any:
    def edit(document: Any) -> None:
        for index, item in enumerate(document["metadata"]["features"]):
            if item["name"].startswith(f"{view}."):
                item["status"] = "TIME_OUT"
                document["result"]["features"][index] = None

    return edit


@pytest.mark.parametrize(
    "body",
    [
        b'{"workspaceName":"prod","workspaceName":"elsewhere","records":{}}',
        b'{"workspaceName":"elsewhere","workspace_name":"elsewhere","records":{}}',
    ],
)
def test_a_key_of_one_workspace_writes_to_no_other_through_the_gateways_own_key(cluster: Cluster, body: bytes) -> None:
    tree = cluster_settings(cluster.url, auth={"keys": GATEWAY_KEYS})
    tree["origin"]["api_key"] = ALICE
    with open_house(tree, WRITER) as house:
        assert house.client.post("/ingest", content=body).status_code in (400, 403)
    assert not cluster.asked("ingest")


def rows_sharing_a_user(count: int) -> list[dict[str, Any]]:
    return [{"joinKeys": {"user_id": "ann", "merchant_id": number}, "requestContext": {}} for number in range(count)]


def batch(house: House, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answered: list[dict[str, Any]] = house.client.post(f"{LITE}/features:batch", json={"rows": rows}).json()["rows"]
    return answered


def test_a_failed_row_fails_no_row_that_shares_a_key_with_it_where_there_are_no_batches(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url, views=VIEW_KEYS)
    tree["origin"]["batch"] = False
    with open_house(tree, ALICE) as house:
        cluster.act("get-features", html(503))
        assert sum("error" in row for row in batch(house, rows_sharing_a_user(3))) == 1


def test_a_failed_chunk_fails_no_row_of_another_chunk_that_shares_a_key_with_it(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        cluster.act("get-features-batch", html(503))
        assert sum("error" in row for row in batch(house, rows_sharing_a_user(20))) == 10


def test_a_follower_is_never_refused_for_what_another_callers_credential_may_not(house: House, cluster: Cluster) -> None:
    cluster.rights[CAROL] = {"fraud"}
    with house.as_caller(CAROL) as carol:
        read(carol, joinKeys=KEYS | {"user_id": "other"})
    read(house.client, joinKeys=KEYS | {"user_id": "other"}, maxAgeMs=0)
    cluster.rights[CAROL] = set()  # she still has a grant here, so she may join flights, and lead
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, BOB) as leader:  # no rights at all
        hold.wait_reached()
        with ask(house, CAROL) as second:
            seen_by(house.url)
            with ask(house, ALICE) as follower:
                seen_by(house.url)
                hold.release()
                assert leader.answer()[0] == 403
                assert second.answer()[0] == 403
                assert follower.answer()[0] == 200


def slow(cluster: Cluster, seconds: float) -> None:
    cluster.always("metadata", Act(first=lambda: time.sleep(seconds)))
    cluster.always("get-features", Act(first=lambda: time.sleep(seconds)))


def test_the_deadline_is_for_the_whole_read_its_metadata_included(cluster: Cluster) -> None:
    slow(cluster, 0.35)
    with open_house(cluster_settings(cluster.url, deadlines={"read_s": 0.5}), ALICE) as house:
        assert house.client.post(READ, json=payment()).status_code == 504


def test_a_read_that_names_its_own_time_has_it_without_a_schema_too(cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("metadata", Act(hold=hold))
    with open_house(cluster_settings(cluster.url, deadlines={"read_s": 5.0}), ALICE) as house:
        try:
            reply = house.client.post(READ, json=payment(deadlineMs=100), timeout=2.0)
            assert reply.status_code == 504
        except httpx.ReadTimeout:
            pytest.fail("it waited for far more than its deadline")
        finally:
            hold.release()


def test_a_read_that_names_a_longer_time_than_the_default_has_it(cluster: Cluster) -> None:
    hold = Hold()
    with open_house(cluster_settings(cluster.url, deadlines={"read_s": 0.5}), ALICE) as house:
        read(house.client, joinKeys=KEYS | {"user_id": "other"})
        cluster.act("get-features", Act(hold=hold))
        reply = house.client.post(READ, json=payment(deadlineMs=1_500))
        hold.release()
        assert reply.status_code == 200, reply.text
        assert sources(reply.json()) == {"timeout"}


def test_a_follower_with_the_new_schema_is_not_failed_by_a_leader_with_the_old_one(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url, views=VIEW_KEYS, metadata={"ttl_s": 10})
    with open_house(tree, ALICE) as house:
        read(house.client, LITE, joinKeys=KEYS | {"user_id": "other"}, requestContext={})
        hold = Hold()
        cluster.act("get-features", Act(hold=hold))
        keys: dict[str, Any] = {"joinKeys": {"user_id": "ann", "merchant_id": 9}, "requestContext": {}}
        with ask(house, path=f"{LITE}/features", **keys) as leader:
            hold.wait_reached()
            cluster.services["prod", "lite"] = cluster.services["prod", "lite"].with_first("aaa.new", FLOAT64)
            house.clock.advance(11)
            asked = len(cluster.asked("metadata"))
            read(house.client, LITE, joinKeys=KEYS | {"user_id": "third"}, requestContext={})  # refreshes the schema
            assert len(cluster.asked("metadata")) > asked
            assert "aaa.new" in read(house.client, LITE, joinKeys=KEYS | {"user_id": "fourth"}, requestContext={})["features"]
            with ask(house, path=f"{LITE}/features", **keys) as follower:
                seen_by(house.url)
                hold.release()
                assert leader.answer()[0] == 200
                code, answer = follower.answer()
                assert code == 200, answer


def test_a_read_past_the_cache_does_not_take_what_a_flight_through_it_brings(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with Exchange(house.url, TECTON, params(), authorization(ALICE)) as leader:
        hold.wait_reached()
        past = params(requestOptions={"readFromCache": False})
        with Exchange(house.url, TECTON, past, authorization(ALICE)) as follower:
            seen_by(house.url)
            hold.release()
            assert (leader.answer()[0], follower.answer()[0]) == (200, 200)
    assert [one.get("requestOptions") for one in cluster.params()] == [None, {"readFromCache": False}]


def test_an_older_flight_does_not_displace_what_a_newer_one_stored(house: House, cluster: Cluster) -> None:
    read(house.client, joinKeys=KEYS | {"user_id": "other"})
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house) as older:
        hold.wait_reached()
        house.clock.advance(5)
        read(house.client, maxAgeMs=0)
        hold.release()
        assert older.answer()[0] == 200
    assert set(read(house.client, include=["ageSeconds"])["ageSeconds"].values()) == {0.0}


def test_a_services_ttl_holds_where_it_is_named_by_its_id_too(cluster: Cluster) -> None:
    identity = "0123456789abcdef0123456789abcdef"
    tree = cluster_settings(cluster.url, services={f"prod/{identity}": {"ttl_s": 0}})
    with open_house(tree, ALICE) as house:
        original = cluster._document

        def answering(endpoint: str, request: Any) -> Any:
            body = request.body.replace(b'"featureServiceId":"' + identity.encode(), b'"featureServiceName":"fraud')
            return original(endpoint, type(request)(request.method, request.path, request.headers, body))

        cluster._document = answering  # type: ignore[method-assign]
        body = {"params": {"workspaceName": "prod", "featureServiceId": identity, "joinKeyMap": KEYS, "requestContextMap": CONTEXT}}
        for _ in range(2):
            assert house.client.post(TECTON, json=body).status_code == 200
        assert len(cluster.asked()) == 2


def test_the_connections_to_a_cluster_outlive_its_slow_minutes(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url, deadlines={"read_s": 0.5})
    tree["origin"]["max_connections"] = 4
    tree["guard"] = {**ONE_TRY, "limit_max": 0}  # so that it is the connections that are waited for
    with open_house(tree, ALICE) as house:
        read(house.client)
        hold = Hold()
        cluster.always("get-features", Act(hold=hold))
        for _ in range(5):
            asked = [ask(house, joinKeys=KEYS | {"user_id": str(number)}) for number in range(40)]
            assert {one.answer()[0] for one in asked} == {504}
            for one in asked:
                one.hang_up()
        cluster.always("get-features", None)
        hold.release()
        assert httpx.post(f"{cluster.url}{TECTON}", json=params(), headers=authorization(ALICE)).status_code == 200  # it is well again
        codes = [status(house.client, joinKeys=KEYS | {"user_id": f"after {number}"}) for number in range(8)]
        assert codes[4:] == [200] * 4, codes


def test_a_wildcard_reads_join_keys_are_not_dropped_in_silence(house: House, cluster: Cluster) -> None:
    cluster.act("metadata", Act(edit=lambda document: document.update(featureServiceType="WILDCARD", outputJoinKeys=[])))
    cluster.act("get-features", Act(edit=lambda document: document["result"].update(joinKeys=["m1", "m2"])))
    reply = house.client.post(TECTON, json=params())
    assert reply.status_code >= 400 or "joinKeys" in reply.json()["result"]


def lite_batch(count: int) -> dict[str, Any]:
    data = [{"joinKeyMap": {"user_id": "ann", "merchant_id": number}} for number in range(count)]
    shown = {"includeSloInfo": True, "includeServingStatus": True, "includeNames": True}
    return {"params": {"workspaceName": "prod", "featureServiceName": "lite", "requestData": data, "metadataOptions": shown}}


def test_rows_that_share_a_key_keep_their_own_slo(cluster: Cluster) -> None:
    def sizes(document: Any) -> None:
        document["metadata"]["sloInfo"] = [SLO | {"storeResponseSizeBytes": 100 + number} for number in range(3)]

    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        cluster.act("get-features-batch", Act(edit=sizes))
        told = house.client.post(f"{TECTON}-batch", json=lite_batch(3)).json()["metadata"]["sloInfo"]
        assert [one["storeResponseSizeBytes"] for one in told] == [100, 101, 102]


def test_a_row_that_came_whole_is_not_told_as_timed_out_for_another_that_shares_its_key(cluster: Cluster) -> None:
    def last_row_late(document: Any) -> None:
        for index, item in enumerate(document["metadata"]["features"]):
            if item["name"].startswith("user."):
                item["status"][-1] = "TIME_OUT"
                document["result"][-1]["features"][index] = None

    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        cluster.act("get-features-batch", Act(edit=last_row_late))
        told = house.client.post(f"{TECTON}-batch", json=lite_batch(2)).json()["metadata"]["features"]
        assert next(item for item in told if item["name"] == "user.name")["status"][0] == "PRESENT"


def wide_plan() -> Plan:
    features = tuple(Feature(f"v{view}.f{number}", INT64) for view in range(20) for number in range(10))
    return Plan(Description(ServiceRef("prod", "wide"), (), (), features), Policies(), Namespaces())


def test_a_mebibyte_of_selectors_does_not_hold_up_the_loop() -> None:
    plan = wide_plan()
    began_s = time.perf_counter()
    with contextlib.suppress(InvalidRequest):
        plan.projection(("v1.*",) * 140_000)  # 5 s when this was written
    assert time.perf_counter() - began_s < 0.5


def test_remembered_projections_are_bounded_in_bytes() -> None:
    plan = wide_plan()
    tracemalloc.start()
    try:
        for number in range(1, 9):
            with contextlib.suppress(InvalidRequest):
                plan.projection(tuple(f"v{one % 20}.f{one % 10}" for one in range(5_000 + number)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_a_request_behind_a_hit_is_not_cut_off_by_the_hits_keep_alive_timer(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OPTIONS", MappingProxyType({**server.OPTIONS, "timeout_keep_alive": 1}))
    with open_house(cluster_settings(cluster.url, deadlines={"read_s": 10}), ALICE) as house:
        house.client.post(TECTON, json=params())

        def raw(body: dict[str, Any]) -> bytes:
            content = json.dumps(body).encode()
            head = f"POST {TECTON} HTTP/1.1\r\nHost: g\r\nAuthorization: Tecton-key {ALICE}\r\nContent-Length: {len(content)}\r\n\r\n"
            return head.encode() + content

        cluster.act("get-features", Act(first=lambda: time.sleep(2)))
        place = urlsplit(house.url)
        with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=5) as connection:
            connection.sendall(raw(params()) + raw(params(joinKeyMap=KEYS | {"user_id": "never asked for"})))
            received = b""
            while received.count(b"HTTP/1.1 200") < 2 and (more := connection.recv(65_536)):
                received += more
        assert received.count(b"HTTP/1.1 200") == 2
