"""Tecton's own doors: V1 under both prefixes and V2, one read at a time."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.feature_server.definitions import object_id
from tests.doors.flights import (
    COMPUTED_VIEW,
    CONTEXT,
    EVERYTHING,
    FLAGS,
    KEYS,
    STORED_VIEWS,
    V1,
    V2,
    named,
    problem,
    read_named,
    tecton,
)
from tests.harness.houses import House, demo_settings, open_house

READ = f"{V1[0]}/get-features"


def post(house: House, body: Any, path: str = READ, **headers: str) -> dict[str, Any]:
    reply = house.client.post(path, json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    answer: dict[str, Any] = reply.json()
    return answer


@pytest.mark.parametrize("path", [f"{V1[0]}/get-features", f"{V1[1]}/get-features", f"{V2}/get-features"])
def test_every_path_gives_the_same_features_in_served_order(busy_demo: House, path: str) -> None:
    answer = post(busy_demo, tecton(metadataOptions={"includeNames": True}), path)
    names = [item["name"] for item in answer["metadata"]["features"]]
    views = list(dict.fromkeys(name.partition(".")[0] for name in names))
    assert views == [COMPUTED_VIEW, *sorted(STORED_VIEWS)]
    for view in STORED_VIEWS:
        mine = [name for name in names if name.startswith(f"{view}.")]
        assert mine == sorted(mine)
    values = answer["result"]["features"]
    by_name = read_named(busy_demo.client)["features"]
    assert list(by_name) == names
    # int64 is text here and a number there; all else is the same
    respelled = [int(value) if type(by_name[name]) is int else value for name, value in zip(names, values, strict=True)]
    assert respelled == list(by_name.values())
    assert all(type(value) is str for name, value in zip(names, values, strict=True) if type(by_name[name]) is int)


def test_without_options_there_is_no_metadata_at_all(busy_demo: House) -> None:
    assert set(post(busy_demo, tecton())) == {"result"}
    assert set(post(busy_demo, tecton(metadataOptions={}))) == {"result"}


@pytest.mark.parametrize("count", range(len(FLAGS) + 1))
def test_each_metadata_flag_adds_its_own_key_and_no_other(busy_demo: House, count: int) -> None:
    computed_lacks = {"effectiveTime"}
    for flags in itertools.combinations(FLAGS, count):
        for slo in (False, True):
            options = dict.fromkeys(flags, True) | ({"includeSloInfo": True} if slo else {})
            # not from the cache, which has no effective times
            answer = post(busy_demo, tecton(metadataOptions=options, requestOptions={"readFromCache": False}))
            metadata = answer.get("metadata", {})
            assert set(metadata) == ({"features"} if flags else set()) | ({"sloInfo"} if slo else set())
            expected = {FLAGS[flag] for flag in flags}
            if flags:
                items = metadata["features"]
                assert len(items) == len(answer["result"]["features"])
                # served order: the on-demand view's three features come first
                assert all(set(item) == expected - computed_lacks for item in items[:3])
                assert all(set(item) == expected for item in items[3:])


def test_flags_that_are_false_or_null_are_unset(busy_demo: House) -> None:
    options = {"includeNames": False, "includeDataTypes": None, "includeServingStatus": True}
    answer = post(busy_demo, tecton(metadataOptions=options))
    assert {key for item in answer["metadata"]["features"] for key in item} == {"status"}


def test_every_scalar_type_and_arrays_are_told_as_the_contract_spells_them(busy_demo: House) -> None:
    items = post(busy_demo, tecton(metadataOptions=EVERYTHING))["metadata"]["features"]
    types = {json.dumps(item["dataType"]) for item in items}
    scalars = {json.dumps({"type": name}) for name in ("int64", "float64", "string", "boolean", "timestamp")}
    assert scalars <= types
    assert json.dumps({"type": "array", "elementType": {"type": "string"}}) in types


def test_slo_info_has_the_contracts_fields_in_seconds_and_bytes(demo: House) -> None:
    slo = post(demo, tecton(metadataOptions={"includeSloInfo": True}))["metadata"]["sloInfo"]
    assert slo["sloEligible"] is True
    assert 0 < slo["storeMaxLatency"] <= slo["serverTimeSeconds"] < 2
    assert slo["storeResponseSizeBytes"] > 0
    assert slo["sloServerTimeSeconds"] <= slo["serverTimeSeconds"]
    assert "sloIneligibilityReasons" not in slo


def test_names_can_be_included_by_default_by_a_setting_and_are_not_otherwise(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, include_names_by_default=True)) as house:
        by_default = post(house, tecton())["metadata"]["features"]
        assert all(set(item) == {"name", "dataType"} for item in by_default)
        asked = post(house, tecton(metadataOptions={"includeServingStatus": True}))["metadata"]["features"]
        assert all(set(item) == {"status"} for item in asked)
        # the other doors are as they were
        assert set(house.client.post("/v1/workspaces/prod/feature-services/flight_delay/features", json=named()).json()) == {"features"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": ""},
    ],
)
def test_any_content_type_will_do(busy_demo: House, headers: dict[str, str]) -> None:
    reply = busy_demo.client.post(READ, content=json.dumps(tecton()), headers=headers)
    assert reply.status_code == 200


def test_no_content_type_will_do(busy_demo: House) -> None:
    request = busy_demo.client.build_request("POST", READ, content=json.dumps(tecton()))
    assert "content-type" not in request.headers
    assert busy_demo.client.send(request).status_code == 200


def test_camel_case_and_snake_case_mix_at_every_level(busy_demo: House) -> None:
    plain = post(busy_demo, tecton(metadataOptions={"includeNames": True, "includeDataTypes": True}))
    mixed = {
        "params": {
            "workspace_name": "prod",
            "featureServiceName": "flight_delay",
            "join_key_map": KEYS,
            "requestContextMap": CONTEXT,
            "metadataOptions": {"include_names": True, "includeDataTypes": True},
            "request_options": {"latency_budget_ms": "1500", "readFromCache": True},
            "allow_partial_results": False,
            "somethingUnknown": {"to": "be ignored"},
        }
    }
    assert post(busy_demo, mixed) == plain
    java = {
        "params": {
            "feature_service_name": "flight_delay",
            "join_key_map": KEYS,
            "metadata_options": {"include_names": True, "include_data_types": True},
            "request_context_map": {"planned_air_time": 330.0},
            "request_options": {"writeFromCache": True, "cacheTtl": "Infinity"},
            "workspace_name": "prod",
        }
    }
    assert post(busy_demo, java) == plain


def test_a_field_in_both_spellings_is_refused(busy_demo: House) -> None:
    reply = busy_demo.client.post(READ, json=tecton(join_key_map=KEYS))
    assert problem(reply)[:2] == (400, 3)


def test_explicit_null_is_unset(busy_demo: House) -> None:
    reply = busy_demo.client.post(READ, json=tecton(requestContextMap=None))
    assert problem(reply) == (400, 3, "Expected key not found: [planned_air_time] in requestContextMap")
    post(busy_demo, tecton(metadataOptions=None, requestOptions=None, allowPartialResults=None, featureServiceId=None))


def test_the_workspace_defaults_to_prod(busy_demo: House) -> None:
    body = tecton()
    del body["params"]["workspaceName"]
    post(busy_demo, body)


def test_a_service_is_found_by_its_id_too(busy_demo: House) -> None:
    body = tecton(featureServiceId=object_id("service", "prod", "flight_delay"))
    del body["params"]["featureServiceName"]
    assert post(busy_demo, body) == post(busy_demo, tecton())


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"featureServiceId": "0" * 32}, "Exactly one of featureServiceName and featureServiceId must be set."),
        ({"featureServiceName": None}, "Exactly one of featureServiceName and featureServiceId must be set."),
        (
            {"featureViewName": "route_history"},
            "Feature views and feature packages cannot be read by themselves here: name a feature service.",
        ),
    ],
)
def test_exactly_one_locator_is_asked_for(busy_demo: House, more: dict[str, Any], text: str) -> None:
    assert problem(busy_demo.client.post(READ, json=tecton(**more))) == (400, 3, text)


def test_on_v2_the_path_wins_over_what_the_body_repeats(busy_demo: House) -> None:
    answer = post(busy_demo, tecton(workspaceName="elsewhere", featureServiceName="another"), f"{V2}/get-features")
    assert answer == post(busy_demo, tecton())
    bare = {"params": {"joinKeyMap": KEYS, "requestContextMap": CONTEXT}}
    assert post(busy_demo, bare, f"{V2}/get-features") == answer


def test_a_service_name_may_be_escaped_in_the_path(busy_demo: House) -> None:
    escaped = "/api/v2/workspaces/prod/feature-services/%66light%5Fdelay/get-features"
    assert post(busy_demo, tecton(), escaped) == post(busy_demo, tecton())


def test_a_missing_entity_is_null_and_missing_data(demo: House) -> None:
    keys = KEYS | {"tailnum": "N-NEVER-FLEW"}
    answer = post(demo, tecton(joinKeyMap=keys, metadataOptions={"includeNames": True, "includeServingStatus": True}))
    for value, item in zip(answer["result"]["features"], answer["metadata"]["features"], strict=True):
        if item["name"].startswith("plane_history."):
            assert (value, item["status"]) == (None, "MISSING_DATA")
        else:
            assert item["status"] == "PRESENT"


def test_counts_of_nothing_are_zero_where_that_is_asked_for(demo: House) -> None:
    keys = KEYS | {"tailnum": "N-NEVER-FLEW"}
    names = {"metadataOptions": {"includeNames": True}}
    plain = post(demo, tecton(joinKeyMap=keys, **names))
    zeroed = post(demo, tecton(joinKeyMap=keys, requestOptions={"coerceNullCountsToZero": True}, **names))
    at = [index for index, item in enumerate(plain["metadata"]["features"]) if item["name"].startswith("plane_history.flight_count")]
    assert at
    assert [plain["result"]["features"][index] for index in at] == [None] * len(at)
    assert [zeroed["result"]["features"][index] for index in at] == ["0"] * len(at)
    # options that change values never share an entry
    assert post(demo, tecton(joinKeyMap=keys, **names)) == plain


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"joinKeyMap": {"origin": "JFK", "dest": "LAX", "carrier": "AA"}}, "Missing required join key: tailnum"),
        ({"joinKeyMap": None}, "Missing required join key: origin"),
        ({"joinKeyMap": KEYS | {"gate": "A1"}}, "Unknown join key: gate, expected one of: [origin dest carrier tailnum]"),
        ({"joinKeyMap": KEYS | {"origin": 7}}, "Unexpected JSON type for origin in joinKeyMap. Expected string or null."),
        ({"requestContextMap": {}}, "Expected key not found: [planned_air_time] in requestContextMap"),
        (
            {"requestContextMap": {"planned_air_time": "long"}},
            "Unexpected JSON type for planned_air_time in requestContextMap. Expected float64 or null.",
        ),
        ({"joinKeyMap": []}, "joinKeyMap must be a JSON object."),
        ({"metadataOptions": {"includeNames": "yes"}}, "includeNames must be true or false."),
        ({"requestOptions": {"latencyBudgetMs": 0}}, "latencyBudgetMs must be a whole number of milliseconds, from 1 to 2147483647."),
        ({"allowPartialResults": 1}, "allowPartialResults must be true or false."),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_in_the_contracts_words_before_the_origin_is_asked(
    busy_demo: House, params: dict[str, Any], text: str
) -> None:
    asked = len(busy_demo.origin.fetches)
    assert problem(busy_demo.client.post(READ, json=tecton(**params))) == (400, 3, text)
    assert len(busy_demo.origin.fetches) == asked


def test_a_join_key_may_be_null(busy_demo: House) -> None:
    names = {"metadataOptions": {"includeNames": True}}
    answer = post(busy_demo, tecton(joinKeyMap=KEYS | {"tailnum": None}, **names))
    values = dict(zip([item["name"] for item in answer["metadata"]["features"]], answer["result"]["features"], strict=True))
    assert {value for name, value in values.items() if name.startswith("plane_history.")} == {None}


def test_an_unknown_service_is_not_found(busy_demo: House) -> None:
    status, code, text = problem(busy_demo.client.post(READ, json=tecton(featureServiceName="nothing")))
    assert (status, code) == (404, 5)
    assert "nothing" in text
    assert problem(busy_demo.client.post(READ, json=tecton(workspaceName="nowhere")))[:2] == (404, 5)


def test_replies_may_be_read_by_a_client_that_takes_gzip(busy_demo: House) -> None:
    assert post(busy_demo, tecton(), **{"Accept-Encoding": "gzip, deflate"})
