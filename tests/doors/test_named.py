"""The named doors: one read, and batches."""

from typing import Any

import pytest

from tests.doors.flights import BOARD, COMPUTED_VIEW, CONTEXT, KEYS, NAMED, STORED_VIEWS, named, problem, read_named, sources_by_view
from tests.harness.houses import House

READ, BATCH = f"{NAMED}/features", f"{NAMED}/features:batch"
INCLUDES = ("status", "effectiveTime", "ageSeconds", "source", "dataType")


def test_features_come_by_name_and_nothing_else_unless_asked(busy_demo: House) -> None:
    reply = busy_demo.client.post(READ, json=named())
    assert reply.status_code == 200
    answer = reply.json()
    assert set(answer) == {"features"}
    assert {name.partition(".")[0] for name in answer["features"]} == {COMPUTED_VIEW, *STORED_VIEWS}
    assert type(answer["features"]["airport_departures.flight_count_1d_10m"]) is int


@pytest.mark.parametrize("include", INCLUDES)
def test_each_thing_included_is_a_map_by_name(busy_demo: House, include: str) -> None:
    answer = busy_demo.client.post(READ, json=named(include=[include])).json()
    assert set(answer) == {"features", include}
    assert list(answer[include]) == list(answer["features"])


def test_everything_included_at_once(demo: House) -> None:
    read_named(demo.client, include=list(INCLUDES))
    demo.clock.advance(12.5)
    answer = read_named(demo.client, include=list(INCLUDES))
    assert set(answer) == {"features", *INCLUDES}
    name = "carrier_performance.flight_count_1d_1h"
    assert answer["source"][name] == "cache"
    assert answer["ageSeconds"][name] == 12.5
    assert answer["status"][name] == "PRESENT"  # cached or not is told by source here
    assert answer["effectiveTime"][name].endswith("Z")
    assert answer["dataType"][name] == {"type": "int64"}
    assert answer["ageSeconds"][f"{COMPUTED_VIEW}.usual_air_time"] == 0
    assert answer["effectiveTime"][f"{COMPUTED_VIEW}.usual_air_time"] is None


def test_snake_case_is_taken_too(busy_demo: House) -> None:
    body = {"join_keys": KEYS, "request_context": CONTEXT, "include": ["effective_time", "age_seconds", "data_type"], "max_age_ms": 0}
    reply = busy_demo.client.post(READ, json=body)
    assert set(reply.json()) == {"features", "effectiveTime", "ageSeconds", "dataType"}


def test_a_view_or_a_feature_can_be_selected(demo: House) -> None:
    answer = read_named(demo.client, features=["airport_departures.*", "carrier_performance.flight_count_1d_1h"])
    views = {name.partition(".")[0] for name in answer["features"]}
    assert views == {"airport_departures", "carrier_performance"}
    assert [name for name in answer["features"] if name.startswith("carrier")] == ["carrier_performance.flight_count_1d_1h"]
    assert demo.origin.views_fetched == [frozenset({"airport_departures", "carrier_performance"})]


def test_selected_features_come_in_served_order_whatever_order_they_are_asked_in(busy_demo: House) -> None:
    everything = list(read_named(busy_demo.client)["features"])
    chosen = [everything[20], everything[0], everything[9]]
    assert list(read_named(busy_demo.client, features=chosen)["features"]) == sorted(chosen, key=everything.index)


def test_selecting_a_computed_view_fetches_its_inputs_and_serves_them_not(demo: House) -> None:
    answer = read_named(demo.client, features=[f"{COMPUTED_VIEW}.*"])
    assert {name.partition(".")[0] for name in answer["features"]} == {COMPUTED_VIEW}
    assert demo.origin.views_fetched == [frozenset({"route_history"})]


@pytest.mark.parametrize(
    "features", [["nothing.*"], ["airport_departures"], ["airport_departures.nothing"], ["*"], [""], [7], "route_history.*"]
)
def test_a_selector_that_selects_nothing_is_refused(busy_demo: House, features: Any) -> None:
    asked = len(busy_demo.origin.fetches)
    assert problem(busy_demo.client.post(READ, json=named(features=features)))[:2] == (400, 3)
    assert len(busy_demo.origin.fetches) == asked


def test_an_empty_selection_is_no_features(busy_demo: House) -> None:
    assert read_named(busy_demo.client, features=[])["features"] == {}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"joinkeys": {}}, "The body has an unknown field. Expected one of:"),
        ({"include": ["everything"]}, "include has an unknown entry. Expected some of: [status effectiveTime ageSeconds source dataType]"),
        ({"include": "status"}, "include must be a list of strings."),
        ({"rows": []}, "rows is for the batch path: post it to …/features:batch."),
        ({"maxAgeMs": -1}, "maxAgeMs must be a whole number of milliseconds, from 0 to 2147483647."),
        ({"deadlineMs": 0}, "deadlineMs must be a whole number of milliseconds, from 1 to 2147483647."),
        ({"deadlineMs": 1.5}, "deadlineMs must be a whole number of milliseconds, from 1 to 2147483647."),
        ({"joinKeys": [KEYS]}, "joinKeys must be a JSON object."),
        ({"joinKeys": {"origin": "JFK"}}, "Missing required join key: dest"),
    ],
)
def test_what_is_wrong_is_said_and_the_origin_not_asked(busy_demo: House, more: dict[str, Any], text: str) -> None:
    asked = len(busy_demo.origin.fetches)
    status, code, told = problem(busy_demo.client.post(READ, json=named(**more)))
    assert (status, code) == (400, 3)
    assert told.startswith(text)
    assert len(busy_demo.origin.fetches) == asked


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"joinKeys": KEYS | {"tailnum": f"N{number}"}, "requestContext": CONTEXT} for number in range(count)]


def test_a_batch_of_a_thousand_is_one_fetch_in_order_and_one_bad_row_fails_alone(demo: House) -> None:
    rows = rows_of(1_000)
    rows[400] = {"joinKeys": {"origin": "JFK"}, "requestContext": CONTEXT}
    rows[999] = {"joinKeys": KEYS, "requestContext": CONTEXT}
    reply = demo.client.post(BATCH, json={"rows": rows, "features": ["plane_history.*", "airport_departures.*"]})
    assert reply.status_code == 200
    answered = reply.json()["rows"]
    assert len(answered) == 1_000
    assert answered[400] == {"error": {"message": "Missing required join key: dest", "code": 3}}
    assert all(set(row) == {"features"} for index, row in enumerate(answered) if index != 400)
    assert answered[999]["features"]["plane_history.flight_count_1d_1h"] is not None
    assert answered[0]["features"]["plane_history.flight_count_1d_1h"] is None
    assert len(demo.origin.fetches) == 1


def test_a_batch_over_a_thousand_is_refused(busy_demo: House) -> None:
    asked = len(busy_demo.origin.fetches)
    reply = busy_demo.client.post(BATCH, json={"rows": rows_of(1_001)})
    assert problem(reply) == (400, 3, "Batch size 1001 exceeds maximum of 1000.")
    assert len(busy_demo.origin.fetches) == asked


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"rows": []}, "rows must be a list with at least one item."),
        ({}, "rows must be a list with at least one item."),
        (
            {"rows": [{"joinKeys": KEYS, "requestContext": CONTEXT}], "joinKeys": KEYS},
            "joinKeys and requestContext belong inside each item",
        ),
    ],
)
def test_a_batch_has_its_rows_in_rows(busy_demo: House, body: dict[str, Any], text: str) -> None:
    status, code, told = problem(busy_demo.client.post(BATCH, json=body))
    assert (status, code) == (400, 3)
    assert told.startswith(text)


def test_a_batch_where_a_row_is_no_row_is_told_which(busy_demo: House) -> None:
    assert problem(busy_demo.client.post(BATCH, json={"rows": [{}, 7]})) == (400, 3, "rows[1] must be a JSON object.")


def test_each_row_of_a_batch_says_what_was_included(busy_demo: House) -> None:
    reply = busy_demo.client.post(BATCH, json={"rows": rows_of(2), "include": list(INCLUDES)})
    assert all(set(row) == {"features", *INCLUDES} for row in reply.json()["rows"])


def test_the_rows_of_a_batch_are_hits_of_what_singles_brought(demo: House) -> None:
    read_named(demo.client)
    row = {"joinKeys": KEYS, "requestContext": CONTEXT}
    [answer] = demo.client.post(BATCH, json={"rows": [row], "include": ["source"]}).json()["rows"]
    assert sources_by_view(answer) == {view: {"cache"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"computed"}}
    assert len(demo.origin.fetches) == 1


def test_a_service_without_context_needs_none(busy_demo: House) -> None:
    reply = busy_demo.client.post(f"{BOARD}/features", json={"joinKeys": {"origin": "JFK", "dest": "LAX"}})
    assert reply.status_code == 200
    assert {name.partition(".")[0] for name in reply.json()["features"]} == {"airport_departures", "route_history"}


def test_an_unknown_service_is_not_found_with_the_same_body_as_elsewhere(busy_demo: House) -> None:
    reply = busy_demo.client.post("/v1/workspaces/prod/feature-services/nothing/features", json=named())
    assert problem(reply)[:2] == (404, 5)
