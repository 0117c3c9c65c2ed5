"""Time that is over: what is there is served where the caller asked for that, and else the read fails; nothing incomplete is kept."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.doors.flights import (
    COMPUTED_VIEW,
    KEYS,
    NAMED,
    OTHER_KEYS,
    V1,
    named,
    problem,
    read_named,
    sources_by_view,
    tecton,
    tecton_batch,
)
from tests.harness.clock import Hold
from tests.harness.houses import READER, House, demo_settings, open_house

READ = f"{V1[0]}/get-features"
MIXED = OTHER_KEYS | {"origin": KEYS["origin"], "dest": KEYS["dest"]}
"""Airport and route as in KEYS, carrier and plane as in OTHER_KEYS."""


@pytest.fixture
def stuck(demo: House) -> Iterator[tuple[House, Hold]]:
    """KEYS are in the cache; every later fetch waits until it is let go."""
    read_named(demo.client)
    hold = demo.origin.hold = Hold()
    yield demo, hold
    hold.release()


def test_what_has_not_come_in_by_the_deadline_is_null_and_labelled_and_the_rest_is_served(stuck: tuple[House, Hold]) -> None:
    house, _ = stuck
    answer = read_named(house.client, joinKeys=MIXED, deadlineMs=50)
    assert sources_by_view(answer) == {
        COMPUTED_VIEW: {"computed"},
        "airport_departures": {"cache"},
        "route_history": {"cache"},
        "carrier_performance": {"timeout"},
        "plane_history": {"timeout"},
    }
    late = [name for name, source in answer["source"].items() if source == "timeout"]
    assert {answer["features"][name] for name in late} == {None}
    assert {answer["status"][name] for name in late} == {"TIME_OUT"}
    assert {answer["status"][name] for name in answer["status"] if name not in late} == {"PRESENT"}


def test_a_computed_view_whose_inputs_are_late_is_late_too(stuck: tuple[House, Hold]) -> None:
    house, _ = stuck
    answer = read_named(house.client, joinKeys=OTHER_KEYS, deadlineMs=50)
    assert set().union(*sources_by_view(answer).values()) == {"timeout"}
    assert set(answer["features"].values()) == {None}


def test_a_latency_budget_does_the_same_on_tectons_doors(stuck: tuple[House, Hold]) -> None:
    house, _ = stuck
    body = tecton(
        joinKeyMap=MIXED, requestOptions={"latencyBudgetMs": "50"}, metadataOptions={"includeNames": True, "includeServingStatus": True}
    )
    answer = house.client.post(READ, json=body).json()
    for value, item in zip(answer["result"]["features"], answer["metadata"]["features"], strict=True):
        late = item["name"].startswith(("carrier_performance.", "plane_history."))
        assert item["status"] == ("TIME_OUT" if late else "PRESENT" if item["name"].startswith(COMPUTED_VIEW) else "CACHED_PRESENT")
        assert (value is None) is late


def test_a_batch_has_one_budget_for_all_of_its_rows(stuck: tuple[House, Hold]) -> None:
    house, _ = stuck
    body = tecton_batch(KEYS, MIXED, metadataOptions={"includeServingStatus": True}, requestOptions={"latencyBudgetMs": 50})
    reply = house.client.post(f"{V1[0]}/get-features-batch", json=body)
    assert reply.status_code == 200
    told = {tuple(item["status"]) for item in reply.json()["metadata"]["features"]}
    assert told == {("PRESENT", "PRESENT"), ("CACHED_PRESENT", "CACHED_PRESENT"), ("CACHED_PRESENT", "TIME_OUT")}


def test_what_comes_in_after_the_deadline_fills_the_cache_and_the_timeout_itself_is_not_kept(stuck: tuple[House, Hold]) -> None:
    house, hold = stuck
    read_named(house.client, joinKeys=OTHER_KEYS, deadlineMs=50)
    hold.release()
    house.settle_spans(2, "origin.fetch")
    answer = read_named(house.client, joinKeys=OTHER_KEYS)
    assert sources_by_view(answer)["plane_history"] == {"cache"}
    assert "TIME_OUT" not in answer["status"].values()
    assert len(house.origin.fetches) == 2


def test_a_late_read_is_told_in_its_span(stuck: tuple[House, Hold]) -> None:
    house, _ = stuck
    answer = read_named(house.client, joinKeys=MIXED, deadlineMs=50)
    attributes = house.spans("POST")[-1].attributes
    assert attributes
    assert attributes["feature_gateway.features.missing"] == list(answer["features"].values()).count(None)
    assert attributes["feature_gateway.cache.outcome"] == "partial"


@pytest.fixture
def impatient(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir, deadlines={"read_s": 0.1})) as house:
        yield house


def test_a_read_without_a_deadline_of_its_own_fails_with_504_when_the_gateways_patience_ends(impatient: House) -> None:
    hold = impatient.origin.hold = Hold()
    try:
        assert problem(impatient.client.post(READ, json=tecton())) == (504, 4, "Timed out")
        assert problem(impatient.client.post(f"{NAMED}/features", json=named())) == (504, 4, "Timed out")
        body = {"rows": [{"joinKeys": KEYS, "requestContext": {"planned_air_time": 1}}]}
        rows = impatient.client.post(f"{NAMED}/features:batch", json=body).json()
        assert rows == {"rows": [{"error": {"message": "Timed out", "code": 4}}]}
    finally:
        hold.release()


def test_hits_never_wait_behind_misses(stuck: tuple[House, Hold]) -> None:
    house, hold = stuck
    with ThreadPoolExecutor(8) as threads:
        waiting = [
            threads.submit(read_named, house.client, joinKeys=OTHER_KEYS | {"tailnum": f"N{number}"}, deadlineMs=20_000)
            for number in range(8)
        ]
        hold.wait_reached(8)
        with house.as_caller(READER) as another:
            assert set().union(*sources_by_view(read_named(another)).values()) == {"cache", "computed"}
        hold.release()
        assert all(sources_by_view(done.result())["plane_history"] == {"origin"} for done in waiting)
