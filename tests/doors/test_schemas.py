"""What a feature service looks like from outside: Tecton's metadata, and the named schema."""

from typing import Any

import pytest

from tests.doors.flights import COMPUTED_VIEW, KEYS, NAMED, STORED_VIEWS, V1, V2, problem, read_named
from tests.harness.houses import STRANGER, House

LOCATOR = {"featureServiceName": "flight_delay", "workspaceName": "prod"}


def metadata(house: House, path: str = f"{V1[0]}/metadata", **params: Any) -> dict[str, Any]:
    reply = house.client.post(path, json={"params": LOCATOR | params})
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def test_every_metadata_door_says_the_same(busy_demo: House) -> None:
    told = metadata(busy_demo)
    assert metadata(busy_demo, f"{V1[1]}/metadata") == told
    reply = busy_demo.client.get(f"{V2}/metadata")
    assert (reply.status_code, reply.json()) == (200, told)


def test_metadata_has_the_contracts_fields_and_features_in_served_order(busy_demo: House) -> None:
    told = metadata(busy_demo)
    assert told["featureServiceType"] == "DEFAULT"
    assert told["inputJoinKeys"] == [{"name": name, "dataType": {"type": "string"}} for name in KEYS]
    assert told["inputRequestContextKeys"] == [{"name": "planned_air_time", "dataType": {"type": "float64"}}]
    assert "outputJoinKeys" not in told
    answer = read_named(busy_demo.client, include=["dataType"])
    assert [(one["name"], one["dataType"]) for one in told["featureValues"]] == list(answer["dataType"].items())


def test_snake_case_locators_are_taken(busy_demo: House) -> None:
    body = {"params": {"feature_service_name": "flight_delay", "workspaceName": "prod"}}
    assert busy_demo.client.post(f"{V1[0]}/metadata", json=body).json() == metadata(busy_demo)


def test_the_schema_says_which_keys_each_view_depends_on_and_how_long_it_is_served(busy_demo: House) -> None:
    schema = busy_demo.client.get(f"{NAMED}/schema").json()
    assert (schema["workspace"], schema["featureService"]) == ("prod", "flight_delay")
    assert [key["name"] for key in schema["joinKeys"]] == list(KEYS)
    assert [feature["name"] for feature in schema["features"]] == [one["name"] for one in metadata(busy_demo)["featureValues"]]
    views = {view.pop("name"): view for view in schema["views"]}
    assert set(views) == {COMPUTED_VIEW, *STORED_VIEWS}
    assert views["route_history"] == {"joinKeys": ["origin", "dest"], "contextKeys": [], "onDemand": False, "ttlSeconds": 60.0}
    assert views[COMPUTED_VIEW] == {"joinKeys": [], "contextKeys": ["planned_air_time"], "onDemand": True, "ttlSeconds": None}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{V1[0]}/metadata", {"params": LOCATOR | {"featureServiceName": "nothing"}}),
        ("GET", "/api/v2/workspaces/prod/feature-services/nothing/metadata", None),
        ("GET", "/v1/workspaces/prod/feature-services/nothing/schema", None),
    ],
)
def test_an_unknown_service_is_not_found_in_the_contracts_words(busy_demo: House, method: str, path: str, body: Any) -> None:
    reply = busy_demo.client.request(method, path, json=body)
    assert problem(reply) == (404, 5, "Unknown feature_service_name: nothing for workspace: prod")


@pytest.mark.parametrize("path", [f"{V2}/metadata", f"{NAMED}/schema"])
def test_whoever_may_not_read_may_not_see_the_schema(busy_demo: House, path: str) -> None:
    with busy_demo.as_caller(STRANGER) as stranger, busy_demo.as_caller(None) as nobody:
        assert problem(stranger.get(path))[:2] == (403, 7)
        assert problem(nobody.get(path))[:2] == (401, 16)


@pytest.mark.parametrize("body", [{}, {"params": {}}, {"params": {"workspaceName": "prod"}}, {"params": 7}])
def test_a_locator_is_needed(busy_demo: House, body: Any) -> None:
    assert problem(busy_demo.client.post(f"{V1[0]}/metadata", json=body))[:2] == (400, 3)
