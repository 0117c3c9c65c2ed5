"""Rows before a cluster: in chunks of ten where it takes batches, one by one where it does not."""

from typing import Any

import pytest

from tests.harness.cluster import ALICE, NOBODY, SLO, Act, Cluster, html
from tests.harness.houses import House, cluster_settings, open_house
from tests.serving.payments import CONTEXT, FRAUD, KEYS, VIEW_KEYS, read, sources

BATCH = f"{FRAUD}/features:batch"
TECTON_BATCH = "/api/v1/feature-service/get-features-batch"


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"joinKeys": KEYS | {"merchant_id": number}, "requestContext": CONTEXT} for number in range(count)]


def post(house: House, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reply = house.client.post(BATCH, json={"rows": rows, "include": ["source"]})
    assert reply.status_code == 200, reply.text
    answered: list[dict[str, Any]] = reply.json()["rows"]
    assert len(answered) == len(rows)
    return answered


def test_rows_go_out_in_chunks_of_ten_and_come_back_in_order(house: House, cluster: Cluster) -> None:
    answered = post(house, rows_of(25))
    assert sorted(len(params["requestData"]) for params in cluster.params("get-features-batch")) == [5, 10, 10]
    assert not cluster.asked()
    singles = [read(house.client, joinKeys=KEYS | {"merchant_id": number}) for number in range(25)]
    assert all(sources(single) == {"cache"} for single in singles)
    assert [row["features"] for row in answered] == [single["features"] for single in singles]


def test_a_last_row_alone_goes_out_as_a_single_read(house: House, cluster: Cluster) -> None:
    post(house, rows_of(11))
    assert [len(params["requestData"]) for params in cluster.params("get-features-batch")] == [10]
    assert len(cluster.asked()) == 1


def test_a_cluster_that_takes_no_batches_is_asked_row_by_row(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url)
    tree["origin"]["batch"] = False
    with open_house(tree, ALICE) as house:
        answered = post(house, rows_of(12))
        assert len(cluster.asked()) == 12
        assert not cluster.asked("get-features-batch")
        assert [row["features"] for row in answered] == [
            read(house.client, joinKeys=KEYS | {"merchant_id": number})["features"] for number in range(12)
        ]


def test_rows_with_equal_keys_are_asked_once(house: House, cluster: Cluster) -> None:
    post(house, rows_of(3) * 4)
    assert [len(params["requestData"]) for params in cluster.params("get-features-batch")] == [3]


def test_only_rows_that_are_not_at_hand_go_out(house: House, cluster: Cluster) -> None:
    read(house.client, joinKeys=KEYS | {"merchant_id": 1})
    answered = post(house, rows_of(3))
    assert [sources(row) for row in answered] == [{"origin"}, {"cache"}, {"origin"}]
    assert [len(params["requestData"]) for params in cluster.params("get-features-batch")] == [2]


def test_a_failed_chunk_fails_its_own_rows_alone(house: House, cluster: Cluster) -> None:
    cluster.act("get-features-batch", html(503))
    answered = post(house, rows_of(20))
    failed = [index for index, row in enumerate(answered) if "error" in row]
    assert failed in (list(range(10)), list(range(10, 20)))
    assert {answered[index]["error"]["code"] for index in failed} == {14}
    assert all(sources(row) == {"origin"} for index, row in enumerate(answered) if index not in failed)
    again = post(house, rows_of(20))
    assert all("features" in row for row in again)


def test_rows_are_not_mixed_up_where_a_reply_has_too_few_or_too_many(house: House, cluster: Cluster) -> None:
    cluster.act(
        "get-features-batch",
        Act(edit=lambda document: document["result"].pop()),
        Act(edit=lambda document: document["result"].append(document["result"][0])),
        Act(edit=lambda document: document["metadata"]["features"][4].update(status=["PRESENT"])),
    )
    for _ in range(3):
        assert {row["error"]["code"] for row in post(house, rows_of(4))} == {13}
    assert all("features" in row for row in post(house, rows_of(4)))


def test_each_row_has_its_own_statuses(house: House) -> None:
    rows = rows_of(2)
    rows[1]["joinKeys"] = KEYS | {"user_id": NOBODY}
    reply = house.client.post(BATCH, json={"rows": rows, "include": ["status"]}).json()["rows"]
    assert [row["status"]["user.name"] for row in reply] == ["PRESENT", "MISSING_DATA"]
    assert [row["features"]["user.name"] is None for row in reply] == [False, True]


def test_the_tecton_batch_door_passes_on_the_stores_slo_of_each_row(house: House) -> None:
    data = [{"joinKeyMap": KEYS | {"merchant_id": number}, "requestContextMap": CONTEXT} for number in range(3)]
    params = {"workspaceName": "prod", "featureServiceName": "fraud", "requestData": data, "metadataOptions": {"includeSloInfo": True}}
    metadata = house.client.post(TECTON_BATCH, json={"params": params}).json()["metadata"]
    assert [one["storeResponseSizeBytes"] for one in metadata["sloInfo"]] == [SLO["storeResponseSizeBytes"]] * 3
    assert metadata["batchSloInfo"]["storeMaxLatency"] == SLO["storeMaxLatency"]
    cached = house.client.post(TECTON_BATCH, json={"params": params}).json()["metadata"]
    assert [one["storeResponseSizeBytes"] for one in cached["sloInfo"]] == [0] * 3


@pytest.mark.parametrize("reasons", [["REDIS_LATENCY_LIMIT_EXCEEDED"], ["UNKNOWN", "REDIS_RESPONSE_SIZE_LIMIT_EXCEEDED"]])
def test_ineligibility_is_passed_on_with_its_reasons(house: House, cluster: Cluster, reasons: list[str]) -> None:
    slo = SLO | {"sloEligible": False, "sloIneligibilityReasons": reasons, "dynamodbResponseSizeBytes": 2_048}
    cluster.act("get-features", Act(edit=lambda document: document["metadata"].update(sloInfo=slo)))
    params = {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": KEYS, "requestContextMap": CONTEXT}
    body = {"params": params | {"metadataOptions": {"includeSloInfo": True}}}
    told = house.client.post("/api/v1/feature-service/get-features", json=body).json()["metadata"]["sloInfo"]
    assert (told["sloEligible"], told["sloIneligibilityReasons"], told["dynamodbResponseSizeBytes"]) == (False, reasons, 2_048)
    # what was served from cache has asked no store
    told = house.client.post("/api/v1/feature-service/get-features", json=body).json()["metadata"]["sloInfo"]
    assert told["sloEligible"] is True
    assert "sloIneligibilityReasons" not in told


def test_view_join_keys_of_the_settings_give_hits_before_a_cluster(cluster: Cluster) -> None:
    lite = "/v1/workspaces/prod/feature-services/lite"
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        read(house.client, lite, joinKeys={"user_id": "ann", "merchant_id": 1}, requestContext={})
        read(house.client, lite, joinKeys={"user_id": "ben", "merchant_id": 2}, requestContext={})
        assert len(cluster.asked()) == 2
        never_asked = read(house.client, lite, joinKeys={"merchant_id": 2, "user_id": "ann"}, requestContext={})
        assert sources(never_asked) == {"cache"}
        assert len(cluster.asked()) == 2
        fresh = read(house.client, lite, joinKeys={"merchant_id": 2, "user_id": "ann"}, requestContext={}, maxAgeMs=0)
        assert never_asked["features"] == fresh["features"]


def test_without_them_a_view_is_cached_for_all_of_the_services_keys(house: House, cluster: Cluster) -> None:
    lite = "/v1/workspaces/prod/feature-services/lite"
    read(house.client, lite, joinKeys={"user_id": "ann", "merchant_id": 1}, requestContext={})
    read(house.client, lite, joinKeys={"user_id": "ben", "merchant_id": 2}, requestContext={})
    assert sources(read(house.client, lite, joinKeys={"user_id": "ann", "merchant_id": 2}, requestContext={})) == {"origin"}
    assert len(cluster.asked()) == 3


def test_an_on_demand_view_of_the_cluster_is_keyed_on_its_context(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        read(house.client)
        other = read(house.client, requestContext={"amount": 50.0})
        assert other["features"]["basket.over"] == -50
        again = read(house.client, requestContext={"amount": 50.0})
        assert sources(again) == {"cache"}
        assert again["features"]["basket.over"] == -50
        assert sources(read(house.client)) == {"cache"}
        assert len(cluster.asked()) == 2


def test_a_reply_that_had_to_be_fetched_for_one_view_refreshes_the_others_it_brought(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS, auth={"grant_life_s": 1_000}), ALICE) as house:
        before = read(house.client)
        cluster.epoch += 1
        house.clock.advance(30)
        after = read(house.client, requestContext={"amount": 50.0})
        assert sources(after) == {"origin"}
        assert after["features"]["user.name"] != before["features"]["user.name"]
        house.clock.advance(45)  # 75 s after the first read, 45 s after the second
        again = read(house.client, features=["user.*"])
        assert sources(again) == {"cache"}
        assert again["features"]["user.name"] == after["features"]["user.name"]
