"""get-features-batch, V1 and V2."""

from typing import Any

import pytest

from tests.doors.flights import CONTEXT, EVERYTHING, FLAGS, KEYS, OTHER_KEYS, V1, V2, problem, tecton, tecton_batch
from tests.harness.houses import House

BATCH = f"{V1[0]}/get-features-batch"


def post(house: House, body: Any, path: str = BATCH) -> dict[str, Any]:
    reply = house.client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


@pytest.mark.parametrize("path", [f"{V1[0]}/get-features-batch", f"{V1[1]}/get-features-batch", f"{V2}/get-features-batch"])
def test_each_row_is_what_a_single_read_gives(busy_demo: House, path: str) -> None:
    answer = post(busy_demo, tecton_batch(KEYS, OTHER_KEYS, KEYS), path)
    singles = [
        busy_demo.client.post(f"{V1[0]}/get-features", json=tecton(joinKeyMap=keys)).json()["result"] for keys in (KEYS, OTHER_KEYS, KEYS)
    ]
    assert answer["result"] == singles
    assert "metadata" in answer  # the Java client cannot do without


def test_a_status_is_a_list_with_one_entry_per_row_and_all_else_is_said_once(demo: House) -> None:
    never = KEYS | {"tailnum": "N-NEVER-FLEW"}
    answer = post(demo, tecton_batch(KEYS, never, metadataOptions=EVERYTHING))
    for item in answer["metadata"]["features"]:
        absent = item["name"].startswith("plane_history.")
        assert item["status"] == ["PRESENT", "MISSING_DATA" if absent else "PRESENT"]
        assert isinstance(item["dataType"], dict)
        if not item["name"].startswith("planned_flight."):
            assert set(item) == set(FLAGS.values())
            assert item["effectiveTime"].endswith("Z")


def test_slo_info_is_a_list_with_a_sum_beside_it(demo: House) -> None:
    metadata = post(demo, tecton_batch(KEYS, OTHER_KEYS, metadataOptions={"includeSloInfo": True}))["metadata"]
    assert len(metadata["sloInfo"]) == 2
    total = metadata["batchSloInfo"]
    assert total["sloEligible"] is True
    assert total["storeMaxLatency"] == max(one["storeMaxLatency"] for one in metadata["sloInfo"])
    assert total["sloServerTimeSeconds"] == max(one["sloServerTimeSeconds"] for one in metadata["sloInfo"])
    assert "storeResponseSizeBytes" not in total
    assert "dynamodbResponseSizeBytes" not in total


def test_ten_rows_are_taken_and_eleven_refused_in_the_contracts_words(busy_demo: House) -> None:
    assert len(post(busy_demo, tecton_batch(*[KEYS] * 10))["result"]) == 10
    asked = len(busy_demo.origin.fetches)
    reply = busy_demo.client.post(BATCH, json=tecton_batch(*[KEYS] * 11))
    assert problem(reply) == (400, 3, "Batch size 11 exceeds maximum of 10.")
    assert len(busy_demo.origin.fetches) == asked


@pytest.mark.parametrize("rows", [[], None, {}, "rows", [1]])
def test_rows_must_be_a_list_of_objects_with_something_in_it(busy_demo: House, rows: Any) -> None:
    assert problem(busy_demo.client.post(BATCH, json=tecton_batch(requestData=rows)))[:2] == (400, 3)


def test_one_bad_row_fails_the_whole_request(busy_demo: House) -> None:
    asked = len(busy_demo.origin.fetches)
    reply = busy_demo.client.post(BATCH, json=tecton_batch(KEYS, {"origin": "JFK"}))
    assert problem(reply) == (400, 3, "Missing required join key: dest")
    assert len(busy_demo.origin.fetches) == asked


def test_rows_come_in_either_spelling_and_nulls_are_unset(busy_demo: House) -> None:
    rows = [{"join_key_map": KEYS, "requestContextMap": CONTEXT}, {"joinKeyMap": KEYS, "request_context_map": CONTEXT}]
    body = {"params": {"workspace_name": "prod", "feature_service_name": "flight_delay", "request_data": rows}}
    assert post(busy_demo, body)["result"] == post(busy_demo, tecton_batch(KEYS, KEYS))["result"]


def test_rows_that_share_keys_share_one_call_and_later_reads_share_its_fragments(demo: House) -> None:
    post(demo, tecton_batch(*[KEYS] * 5, *[OTHER_KEYS] * 5))
    assert len(demo.origin.fetches) == 1
    assert len(demo.origin.fetches[0].rows) == 2
    reply = demo.client.post(f"{V1[0]}/get-features", json=tecton(metadataOptions={"includeServingStatus": True})).json()
    assert {item["status"] for item in reply["metadata"]["features"][3:]} == {"CACHED_PRESENT"}
    assert len(demo.origin.fetches) == 1
