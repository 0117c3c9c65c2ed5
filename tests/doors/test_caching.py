"""What is a hit: keys in any order, parts asked for separately, views shared between services; and what callers may say about it."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doors.flights import (
    BOARD,
    COMPUTED_VIEW,
    EVERYTHING,
    KEYS,
    NAMED,
    OTHER_KEYS,
    STORED_VIEWS,
    V1,
    named,
    read_named,
    sources_by_view,
    tecton,
)
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import House, cluster_settings, demo_settings, open_house

READ = f"{V1[0]}/get-features"
ALL_CACHED = {view: {"cache"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"computed"}}
ALL_FRESH = {view: {"origin"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"computed"}}


def statuses(house: House, **params: Any) -> list[str]:
    reply = house.client.post(READ, json=tecton(metadataOptions={"includeServingStatus": True}, **params))
    assert reply.status_code == 200, reply.text
    return [item["status"] for item in reply.json()["metadata"]["features"]]


def test_join_keys_in_another_order_are_a_hit(demo: House) -> None:
    first = read_named(demo.client)
    assert sources_by_view(first) == ALL_FRESH
    for order in itertools.permutations(KEYS):
        again = read_named(demo.client, joinKeys={name: KEYS[name] for name in order})
        assert again["features"] == first["features"]
        assert sources_by_view(again) == ALL_CACHED
    assert len(demo.origin.fetches) == 1


def test_a_hit_on_one_door_is_a_hit_on_every_other(demo: House) -> None:
    read_named(demo.client)
    demo.client.post(READ, json=tecton())
    demo.client.post("/api/v2/workspaces/prod/feature-services/flight_delay/get-features", json=tecton())
    assert len(demo.origin.fetches) == 1
    assert [span.attributes["feature_gateway.cache.outcome"] for span in demo.spans("POST") if span.attributes] == ["miss", "hit", "hit"]


def test_a_combination_never_asked_before_whose_parts_were_asked_is_a_hit_on_every_view(demo: House) -> None:
    read_named(demo.client, joinKeys={"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"})
    read_named(demo.client, joinKeys={"origin": "EWR", "dest": "SFO", "carrier": "UA", "tailnum": "N27205"})
    read_named(demo.client, joinKeys={"origin": "JFK", "dest": "SFO", "carrier": "B6", "tailnum": "N625JB"})
    asked = len(demo.origin.fetches)
    unheard_of = {"origin": "JFK", "dest": "SFO", "carrier": "UA", "tailnum": "N338AA"}
    answer = read_named(demo.client, joinKeys=unheard_of, requestContext={"planned_air_time": 400.5})
    assert sources_by_view(answer) == ALL_CACHED
    assert len(demo.origin.fetches) == asked
    usual = answer["features"]["route_history.air_time_mean_7d_1h"]
    assert answer["features"][f"{COMPUTED_VIEW}.usual_air_time"] == usual
    assert answer["features"][f"{COMPUTED_VIEW}.minutes_over_usual"] == pytest.approx(400.5 - usual)
    assert answer["features"][f"{COMPUTED_VIEW}.longer_than_usual"] is (usual < 400.5)


def test_what_is_served_from_parts_is_what_the_origin_would_have_answered(demo: House) -> None:
    read_named(demo.client, joinKeys=KEYS)
    read_named(demo.client, joinKeys=OTHER_KEYS)
    mixed = {"origin": KEYS["origin"], "dest": KEYS["dest"], "carrier": OTHER_KEYS["carrier"], "tailnum": OTHER_KEYS["tailnum"]}
    from_parts = read_named(demo.client, joinKeys=mixed)
    assert sources_by_view(from_parts) == ALL_CACHED
    assert read_named(demo.client, joinKeys=mixed, maxAgeMs=0)["features"] == from_parts["features"]


def test_only_what_is_missing_is_fetched(demo: House) -> None:
    read_named(demo.client)
    answer = read_named(demo.client, joinKeys=KEYS | {"tailnum": "N27205"})
    assert sources_by_view(answer) == ALL_CACHED | {"plane_history": {"origin"}}
    assert demo.origin.views_fetched[1] == frozenset({"plane_history"})
    [_, partial] = demo.spans("POST")
    assert partial.attributes
    assert partial.attributes["feature_gateway.cache.outcome"] == "partial"
    assert partial.attributes["feature_gateway.cache.views_hit"] == 3
    assert partial.attributes["feature_gateway.cache.views_missed"] == 1


def test_a_second_service_that_shares_a_view_hits_its_fragments(demo: House) -> None:
    read_named(demo.client)
    board = {"joinKeys": {"dest": "LAX", "origin": "JFK"}, "include": ["source"]}
    answer = demo.client.post(f"{BOARD}/features", json=board).json()
    assert sources_by_view(answer) == {"airport_departures": {"cache"}, "route_history": {"cache"}}
    assert len(demo.origin.fetches) == 1


def test_another_request_context_is_a_hit_too(demo: House) -> None:
    read_named(demo.client)
    answer = read_named(demo.client, requestContext={"planned_air_time": None})
    assert sources_by_view(answer) == ALL_CACHED
    assert answer["features"][f"{COMPUTED_VIEW}.minutes_over_usual"] is None


def test_cached_statuses_and_dropped_effective_times(demo: House) -> None:
    never = KEYS | {"tailnum": "N-NEVER-FLEW"}
    fresh, cached = (
        demo.client.post(READ, json=tecton(joinKeyMap=never, metadataOptions=EVERYTHING)).json()["metadata"]["features"] for _ in range(2)
    )
    for before, after in zip(fresh, cached, strict=True):
        if before["name"].startswith(COMPUTED_VIEW):
            assert after == before
        else:
            assert after["status"] == f"CACHED_{before['status']}"
            assert "effectiveTime" in before
            assert "effectiveTime" not in after
    assert {item["status"] for item in cached} == {"PRESENT", "CACHED_PRESENT", "CACHED_MISSING_DATA"}


def test_all_features_of_a_view_are_cached_together(demo: House) -> None:
    read_named(demo.client, features=["airport_departures.flight_count_1d_10m"])
    answer = read_named(demo.client, features=["airport_departures.*"])
    assert sources_by_view(answer) == {"airport_departures": {"cache"}}
    assert len(answer["features"]) > 1


def test_read_from_cache_false_asks_the_origin_and_still_writes(demo: House) -> None:
    statuses(demo)
    assert not any(status.startswith("CACHED") for status in statuses(demo, requestOptions={"readFromCache": False}))
    assert len(demo.origin.fetches) == 2
    demo.clock.advance(59)
    statuses(demo, requestOptions={"readFromCache": False})
    demo.clock.advance(59)  # the second and third wrote, else this would be too old
    assert "CACHED_PRESENT" in statuses(demo)
    assert len(demo.origin.fetches) == 3
    outcomes = [span.attributes["feature_gateway.cache.outcome"] for span in demo.spans("POST") if span.attributes]
    assert outcomes == ["miss", "bypass", "bypass", "hit"]


def test_write_to_cache_false_leaves_nothing_behind_and_still_reads(demo: House) -> None:
    statuses(demo, requestOptions={"writeToCache": False})
    assert not any(status.startswith("CACHED") for status in statuses(demo))
    assert "CACHED_PRESENT" in statuses(demo, requestOptions={"write_to_cache": False})
    assert len(demo.origin.fetches) == 2


def test_options_that_change_values_never_share_an_entry(demo: House) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"coerceNullCountsToZero": True},
        {"coerceNullCountsToZero": False},
        {"aggregationLeadingEdge": "AGGREGATION_MODE_LATEST_EVENT_TIME"},
        {"ignoreExtraRequestContextFields": True},
    ]
    for options in variants:
        assert "CACHED_PRESENT" not in statuses(demo, requestOptions=options), options
    for options in variants:
        assert "CACHED_PRESENT" in statuses(demo, requestOptions=options), options


def test_a_high_watermark_bypasses_the_cache_both_ways(demo: House) -> None:
    statuses(demo)
    past = {"highWatermarkOverride": "2013-01-08T12:00:00Z"}
    for _ in range(2):
        assert not any(status.startswith("CACHED") for status in statuses(demo, requestOptions=past))
    assert len(demo.origin.fetches) == 3
    assert "CACHED_PRESENT" in statuses(demo)


def test_max_age_says_how_old_a_value_may_be(demo: House) -> None:
    read_named(demo.client)
    demo.clock.advance(10)
    assert sources_by_view(read_named(demo.client, maxAgeMs=10_001)) == ALL_CACHED
    assert sources_by_view(read_named(demo.client, maxAgeMs=10_000)) == ALL_FRESH
    assert sources_by_view(read_named(demo.client, maxAgeMs=5_000)) == ALL_CACHED
    assert sources_by_view(read_named(demo.client, maxAgeMs=0)) == ALL_FRESH
    # it makes no entry live longer
    demo.clock.advance(60)
    assert sources_by_view(read_named(demo.client, maxAgeMs=1_000_000)) == ALL_FRESH


def test_a_fragment_is_served_until_its_ttl_and_not_at_it(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache={"jitter": 0})) as demo:
        read_named(demo.client)
        demo.clock.advance(59.999)
        assert sources_by_view(read_named(demo.client)) == ALL_CACHED
        demo.clock.advance(0.001)
        assert sources_by_view(read_named(demo.client)) == ALL_FRESH


@pytest.fixture
def policed(demo_dir: Path) -> Iterator[House]:
    """TTLs by default, by feature service and by view."""
    policies = {
        "cache": {"ttl_s": 100},
        "services": {"prod/airport_board": {"ttl_s": 20}},
        "views": {"route_history": {"ttl_s": 10}, "carrier_performance": {"ttl_s": 0}, "plane_history": {"ttl_s": 1_000}},
    }
    with open_house(demo_settings(demo_dir, **policies)) as house:
        yield house


def test_ttls_come_from_the_view_and_the_service_and_else_the_default(policed: House) -> None:
    read_named(policed.client)
    policed.clock.advance(9)
    assert sources_by_view(read_named(policed.client)) == ALL_CACHED | {"carrier_performance": {"origin"}}
    policed.clock.advance(2)
    assert sources_by_view(read_named(policed.client))["route_history"] == {"origin"}
    policed.clock.advance(10)
    board = {"joinKeys": {"dest": "LAX", "origin": "JFK"}, "include": ["source"]}
    # 21 s old: too old for this service, though not for the one that brought it
    answer = policed.client.post(f"{BOARD}/features", json=board).json()
    assert sources_by_view(answer)["airport_departures"] == {"origin"}
    policed.clock.advance(80)
    assert sources_by_view(read_named(policed.client))["plane_history"] == {"cache"}
    schema = policed.client.get(f"{NAMED}/schema").json()
    assert {view["name"]: view["ttlSeconds"] for view in schema["views"] if not view["onDemand"]} == {
        "airport_departures": 100,
        "carrier_performance": 0,
        "plane_history": 1_000,
        "route_history": 10,
    }


def test_a_cache_of_no_bytes_keeps_nothing_and_all_else_works(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache={"max_bytes": 0})) as house:
        first, second = read_named(house.client), read_named(house.client)
        assert first == second
        assert sources_by_view(second) == ALL_FRESH


def test_a_full_cache_forgets_what_was_used_longest_ago(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache={"max_bytes": 12_000})) as house:
        for number in range(30):
            read_named(house.client)
            read_named(house.client, joinKeys=KEYS | {"tailnum": f"N{number}"})
        assert sources_by_view(read_named(house.client)) == ALL_CACHED
        assert sources_by_view(read_named(house.client, joinKeys=KEYS | {"tailnum": "N0"}))["plane_history"] == {"origin"}


def test_keys_are_typed_by_the_schema(cluster: Cluster) -> None:
    def ask(user: Any, merchant: Any) -> int:
        body = named(joinKeys={"user_id": user, "merchant_id": merchant}, requestContext={"amount": 1}, include=["source"])
        reply = house.client.post("/v1/workspaces/prod/feature-services/fraud/features", json=body)
        assert reply.status_code == 200, reply.text
        return len(cluster.asked())

    with open_house(cluster_settings(cluster.url), ALICE) as house:
        assert ask("ann", 7) == 1
        assert ask("ann", "7") == 1  # the same int64, as a number and as text
        assert ask("7", 7) == 2
        assert ask("7", None) == 3
        assert ask("None", 7) == 4
        assert ask(None, 7) == 5
        assert ask("\u00e9", 7) == 6
        assert ask("e\u0301", 7) == 7  # the same to the eye: no Unicode folding
        assert ask("ANN", 7) == 8
        assert ask("ann ", 7) == 9
        assert ask("ann", 2**63 - 1) == 10
        assert ask("ann", str(2**63 - 1)) == 10
        assert ask("ann", -0) == ask("ann", "0")
    for value in (7.0, True, "07", "7.0", "+7", " 7", "\u0667", str(2**63)):
        with open_house(cluster_settings(cluster.url), ALICE) as house:
            body = named(joinKeys={"user_id": "ann", "merchant_id": value}, requestContext={"amount": 1})
            reply = house.client.post("/v1/workspaces/prod/feature-services/fraud/features", json=body)
            assert reply.json()["message"] == "Unexpected JSON type for merchant_id in joinKeyMap. Expected int64 or null."


def test_context_that_an_unknown_view_may_depend_on_is_in_its_key(cluster: Cluster) -> None:
    def ask(amount: Any) -> int:
        body = named(joinKeys={"user_id": "ann", "merchant_id": 7}, requestContext={"amount": amount})
        assert house.client.post("/v1/workspaces/prod/feature-services/fraud/features", json=body).status_code == 200
        return len(cluster.asked())

    with open_house(cluster_settings(cluster.url), ALICE) as house:
        assert [ask(amount) for amount in (1, 1.0, 1.5, None, "NaN", "NaN", "Infinity", "-Infinity", 1)] == [1, 1, 2, 3, 4, 4, 5, 6, 6]
