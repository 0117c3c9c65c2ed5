"""When the origin is not there: stale values, bounded and labelled; defaults; and fetches in the background before and after the end."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import (
    InternalError,
    InvalidRequest,
    NotFound,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    PermissionDenied,
    Unauthenticated,
)
from tests.doors.flights import (
    COMPUTED_VIEW,
    CONTEXT,
    KEYS,
    NAMED,
    OTHER_KEYS,
    STORED_VIEWS,
    V1,
    named,
    read_named,
    sources_by_view,
    tecton,
    tecton_batch,
)
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, Cluster, refuse
from tests.harness.houses import House, cluster_settings, demo_settings, open_house

READ = f"{V1[0]}/get-features"
CACHE = {"ttl_s": 60, "negative_ttl_s": 60, "stale_while_revalidate_s": 0, "stale_if_error_s": 300, "early_refresh": 0, "jitter": 0}
ALL_STALE = {view: {"stale"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"computed"}}
ALL_CACHED = {view: {"cache"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"computed"}}
ALL_FRESH = {view: {"origin"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"computed"}}


def demo_with(demo_dir: Path, views: dict[str, Any] | None = None, **cache: Any) -> AbstractContextManager[House]:
    return open_house(demo_settings(demo_dir, cache={**CACHE, **cache}, views=views or {}))


@pytest.fixture
def house(demo_dir: Path) -> Iterator[House]:
    with demo_with(demo_dir) as house:
        yield house


@pytest.mark.parametrize(
    "error",
    [
        OriginUnavailable("gone"),
        OriginTimeout("late"),
        OriginFailed("500"),
        OriginThrottled("slower", "1"),
        OriginMalformed("garbage"),
        InternalError("a crash on the way"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_stale_is_served_where_the_origin_fails_and_says_so(house: House, error: Exception) -> None:
    fresh = read_named(house.client)
    house.clock.advance(61)
    house.origin.fails = [error]
    reply = house.client.post(f"{NAMED}/features", json=named(include=["source", "ageSeconds", "status"]))
    answer = reply.json()
    assert answer["features"] == fresh["features"]
    assert sources_by_view(answer) == ALL_STALE
    assert {age for name, age in answer["ageSeconds"].items() if not name.startswith(COMPUTED_VIEW)} == {61.0}
    assert answer["status"] == fresh["status"]
    assert reply.headers["cache-status"] == "feature-gateway; hit; ttl=-1; detail=stale-if-error"
    assert reply.headers["age"] == "61"
    attributes = house.spans("POST")[-1].attributes
    assert attributes
    assert attributes["feature_gateway.cache.outcome"] == "stale"
    assert attributes["feature_gateway.cache.views_stale"] == 4
    assert attributes["feature_gateway.cache.views_hit"] == 0
    assert attributes["feature_gateway.cache.oldest_age"] == 61.0


@pytest.mark.parametrize(
    ("error", "status"),
    [(PermissionDenied(), 403), (Unauthenticated(), 401), (NotFound("gone"), 404), (InvalidRequest("no"), 400)],
    ids=lambda one: type(one).__name__,
)
def test_what_the_origin_says_of_the_caller_or_the_request_is_told_and_nothing_stale(house: House, error: Exception, status: int) -> None:
    read_named(house.client)
    house.clock.advance(61)
    house.origin.fails = [error]
    assert house.client.post(f"{NAMED}/features", json=named()).status_code == status


def test_fresh_replies_say_nothing_of_staleness(house: House) -> None:
    for _ in range(2):
        reply = house.client.post(f"{NAMED}/features", json=named())
        assert not {"cache-status", "age"} & set(reply.headers)


def test_staleness_is_bounded(house: House) -> None:
    read_named(house.client)
    house.clock.advance(359.9)
    house.origin.fails = [OriginUnavailable("gone"), OriginUnavailable("gone")]
    assert sources_by_view(read_named(house.client)) == ALL_STALE
    house.clock.advance(0.2)
    assert house.client.post(f"{NAMED}/features", json=named()).status_code == 503


def test_what_was_served_stale_is_fetched_as_soon_as_the_origin_is_back(house: House) -> None:
    read_named(house.client)
    house.clock.advance(61)
    house.origin.fails = [OriginUnavailable("gone")]
    read_named(house.client)
    assert sources_by_view(read_named(house.client)) == ALL_FRESH


def test_the_callers_own_bound_is_kept_by_stale_values_too(house: House) -> None:
    read_named(house.client)
    house.clock.advance(61)
    house.origin.fails = [OriginUnavailable("gone"), OriginUnavailable("gone")]
    assert house.client.post(f"{NAMED}/features", json=named(maxAgeMs=61_000)).status_code == 503
    assert sources_by_view(read_named(house.client, maxAgeMs=61_001)) == ALL_STALE


def test_a_read_past_the_cache_gets_nothing_stale(house: House) -> None:
    read_named(house.client)
    house.clock.advance(61)
    house.origin.fails = [OriginUnavailable("gone")]
    assert house.client.post(READ, json=tecton(requestOptions={"readFromCache": False})).status_code == 503


def test_stale_and_fresh_stand_side_by_side(house: House) -> None:
    read_named(house.client)
    house.clock.advance(40)
    read_named(house.client, joinKeys=KEYS | {"tailnum": "N27205"})  # the plane's fragment is younger than the others
    house.clock.advance(21)
    house.origin.fails = [OriginUnavailable("gone")]
    mixed = read_named(house.client, joinKeys=KEYS | {"tailnum": "N27205"})
    assert sources_by_view(mixed) == ALL_STALE | {"plane_history": {"cache"}}


def test_tectons_door_tells_stale_values_as_cached(house: House) -> None:
    house.client.post(READ, json=tecton())
    house.clock.advance(61)
    house.origin.fails = [OriginUnavailable("gone")]
    flags = {"includeNames": True, "includeServingStatus": True, "includeEffectiveTimes": True}
    reply = house.client.post(READ, json=tecton(metadataOptions=flags))
    items = [one for one in reply.json()["metadata"]["features"] if not one["name"].startswith(COMPUTED_VIEW)]
    assert {one["status"] for one in items} == {"CACHED_PRESENT"}
    assert not [one for one in items if "effectiveTime" in one]
    assert "stale-if-error" in reply.headers["cache-status"]


def test_in_a_batch_a_row_without_anything_stale_fails_alone_on_the_named_door(house: House) -> None:
    read_named(house.client)
    house.clock.advance(61)
    house.origin.fails = [OriginUnavailable("gone")] * 2
    rows = [{"joinKeys": keys, "requestContext": CONTEXT} for keys in (KEYS, OTHER_KEYS)]
    body = {"rows": rows, "include": ["source"]}
    reply = house.client.post(f"{NAMED}/features:batch", json=body)
    first, second = reply.json()["rows"]
    assert sources_by_view(first) == ALL_STALE
    assert second["error"]["code"] == 14
    assert "stale-if-error" in reply.headers["cache-status"]
    assert house.client.post(f"{V1[0]}/get-features-batch", json=tecton_batch(KEYS, OTHER_KEYS)).status_code == 503


def test_a_late_origin_is_a_failing_one(demo_dir: Path) -> None:
    with demo_with(demo_dir) as house:
        read_named(house.client)
        house.clock.advance(61)
        hold = house.origin.hold = Hold()
        try:
            assert sources_by_view(read_named(house.client, deadlineMs=50)) == ALL_STALE
            budget = tecton(requestOptions={"latencyBudgetMs": 50}, metadataOptions={"includeServingStatus": True})
            statuses = {one["status"] for one in house.client.post(READ, json=budget).json()["metadata"]["features"]}
            assert statuses == {"CACHED_PRESENT", "PRESENT"}
        finally:
            hold.release()


def test_a_stale_value_is_served_at_once_while_it_is_fetched_again(demo_dir: Path) -> None:
    with demo_with(demo_dir, stale_while_revalidate_s=30) as house:
        read_named(house.client)
        house.clock.advance(61)
        hold = house.origin.hold = Hold()
        reply = house.client.post(f"{NAMED}/features", json=named(include=["source"]))
        assert sources_by_view(reply.json()) == ALL_STALE
        assert reply.headers["cache-status"] == "feature-gateway; hit; ttl=-1; detail=stale-while-revalidate"
        read_named(house.client)
        hold.wait_reached()
        assert len(house.origin.fetches) == 2, "one refresh is under way for all who read"
        hold.release()
        wait_until(lambda: sources_by_view(read_named(house.client)) == ALL_CACHED, "the refresh")
        assert len(house.origin.fetches) == 2


@pytest.mark.parametrize(("error", "status"), [(PermissionDenied(), 403), (NotFound("gone"), 404)], ids=lambda one: type(one).__name__)
def test_a_refresh_that_is_refused_ends_what_was_served_meanwhile(demo_dir: Path, error: Exception, status: int) -> None:
    with demo_with(demo_dir, stale_while_revalidate_s=30) as house:
        read_named(house.client)
        house.clock.advance(61)
        house.origin.fails = [error, error]
        assert sources_by_view(read_named(house.client)) == ALL_STALE
        wait_until(lambda: len(house.origin.fails) < 2, "the refresh")
        assert house.client.post(f"{NAMED}/features", json=named()).status_code == status


def test_past_the_window_it_is_waited_for(demo_dir: Path) -> None:
    with demo_with(demo_dir, stale_while_revalidate_s=30) as house:
        read_named(house.client)
        house.clock.advance(90)
        assert sources_by_view(read_named(house.client)) == ALL_FRESH


def test_a_refresh_that_fails_is_not_tried_again_at_once(demo_dir: Path) -> None:
    with demo_with(demo_dir, stale_while_revalidate_s=30) as house:
        read_named(house.client)
        house.clock.advance(61)
        hold = house.origin.hold = Hold()
        house.origin.fails = [OriginUnavailable("gone")]
        read_named(house.client)
        hold.wait_reached()
        hold.release()
        wait_until(lambda: not house.origin.fails, "the refresh to fail")
        read_named(house.client)
        assert len(house.origin.fetches) == 2
        house.clock.advance(1)
        read_named(house.client)
        wait_until(lambda: len(house.origin.fetches) == 3, "another refresh")


def test_what_is_read_shortly_before_its_end_is_fetched_again_in_the_background(demo_dir: Path) -> None:
    with demo_with(demo_dir, early_refresh=1e-6) as house:

        def slowly() -> None:
            house.clock.advance(10)  # a fetch takes ten seconds of the cache's time

        house.origin.while_fetching = slowly
        read_named(house.client)
        house.origin.while_fetching = None
        house.clock.advance(49.9)
        assert sources_by_view(read_named(house.client)) == ALL_CACHED
        assert len(house.origin.fetches) == 1, "with next to no eagerness the end is where it was"
    with demo_with(demo_dir, early_refresh=100) as house:
        house.origin.while_fetching = slowly = lambda: house.clock.advance(10)
        read_named(house.client)
        house.origin.while_fetching = None
        house.clock.advance(49.9)
        assert sources_by_view(read_named(house.client)) == ALL_CACHED, "who meets it does not wait"
        wait_until(lambda: len(house.origin.fetches) >= 2, "a refresh before the end")


def test_values_too_old_by_their_effective_time_are_not_served_from_the_cache(demo_dir: Path) -> None:
    with demo_with(demo_dir, {"route_history": {"max_age_s": 1}}) as house:
        read_named(house.client)
        again = read_named(house.client)
        assert sources_by_view(again) == ALL_CACHED | {"route_history": {"origin"}}


def test_values_young_enough_are_served_until_they_are_not(demo_dir: Path) -> None:
    with demo_with(demo_dir, {"route_history": {"max_age_s": 86_400 * 30, "ttl_s": 86_400}}, max_age_s=86_400 * 60) as house:
        read_named(house.client)
        assert sources_by_view(read_named(house.client)) == ALL_CACHED


def test_what_is_missing_is_asked_for_again_sooner(demo_dir: Path) -> None:
    with demo_with(demo_dir, negative_ttl_s=5) as house:
        never = KEYS | {"tailnum": "N-NEVER-FLEW"}
        read_named(house.client, joinKeys=never)
        house.clock.advance(4.9)
        assert sources_by_view(read_named(house.client, joinKeys=never)) == ALL_CACHED
        house.clock.advance(0.1)
        assert sources_by_view(read_named(house.client, joinKeys=never)) == ALL_CACHED | {"plane_history": {"origin"}}


def plane_features(house: House) -> list[str]:
    return sorted(name for name in read_named(house.client)["features"] if name.startswith("plane_history."))


def test_defaults_are_served_where_nothing_else_is_to_be_had(demo_dir: Path) -> None:
    with demo_with(demo_dir) as house:
        first = next(name for name in plane_features(house) if type(read_named(house.client)["features"][name]) is int)
    views = {"plane_history": {"defaults": {first.partition(".")[2]: 3}}}
    with demo_with(demo_dir, views) as house:
        read_named(house.client)
        house.origin.fails = [OriginUnavailable("gone")]
        answer = read_named(house.client, joinKeys=KEYS | {"tailnum": "N27205"})
        assert sources_by_view(answer) == ALL_CACHED | {"plane_history": {"default"}}
        planes = {name: value for name, value in answer["features"].items() if name.startswith("plane_history.")}
        assert planes.pop(first) == 3
        assert set(planes.values()) == {None}
        assert {answer["status"][name] for name in (first, *planes)} == {"UNKNOWN_STATUS"}
        attributes = house.spans("POST")[-1].attributes
        assert attributes
        assert attributes["feature_gateway.cache.views_defaulted"] == 1
        assert sources_by_view(read_named(house.client, joinKeys=KEYS | {"tailnum": "N27205"}))["plane_history"] == {"origin"}


def test_defaults_that_do_not_fit_are_not_used_and_the_log_says_which(demo_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    views = {"plane_history": {"defaults": {"no_such_feature": 1}}, "carrier_performance": {"defaults": None}}
    with demo_with(demo_dir, views) as house:
        [name, *_] = [name for name in plane_features(house) if not name.endswith("s")] or plane_features(house)
    assert "views.plane_history.defaults names features that prod/flight_delay does not have" in caplog.text
    caplog.clear()
    views = {"plane_history": {"defaults": {name.partition(".")[2]: {"not": "this"}}}}
    with demo_with(demo_dir, views) as house:
        house.origin.fails = [OriginUnavailable("gone")]
        assert house.client.post(f"{NAMED}/features", json=named()).status_code == 503
    assert f"views.plane_history.defaults is not used for prod/flight_delay: {name.partition('.')[2]} is not of the type" in caplog.text
    assert "'not'" not in caplog.text


def test_a_computed_view_has_a_default_of_its_own(demo_dir: Path) -> None:
    views = {COMPUTED_VIEW: {"defaults": {"longer_than_usual": True}}}
    with demo_with(demo_dir, views) as house:
        read_named(house.client)
        hold = house.origin.hold = Hold()
        try:
            answer = read_named(house.client, joinKeys=OTHER_KEYS, deadlineMs=50)
        finally:
            hold.release()
        assert sources_by_view(answer) == {view: {"timeout"} for view in STORED_VIEWS} | {COMPUTED_VIEW: {"default"}}
        assert answer["features"][f"{COMPUTED_VIEW}.longer_than_usual"] is True


def test_stale_serving_never_outlives_a_callers_grant() -> None:
    with Cluster() as cluster:
        tree = cluster_settings(
            cluster.url, cache=CACHE, auth={"grant_life_s": 100.0}, views={name: {"join_keys": ["user_id"]} for name in ("user",)}
        )
        with open_house(tree, ALICE) as house:
            body = {"joinKeys": {"user_id": "u1", "merchant_id": 7}, "include": ["source"]}
            lite = "/v1/workspaces/prod/feature-services/lite/features"
            assert house.client.post(lite, json=body).status_code == 200
            house.clock.advance(99)
            cluster.always("get-features", refuse(503, "down", 14))
            reply = house.client.post(lite, json=body)
            assert set(reply.json()["source"].values()) == {"stale"}
            house.clock.advance(2)
            assert house.client.post(lite, json=body).status_code == 503, "the origin has not answered this caller since"


def test_whole_seconds_never_make_a_stale_reply_look_fresh(house: House) -> None:
    read_named(house.client)
    house.clock.advance(60.25)
    house.origin.fails = [OriginUnavailable("gone")]
    reply = house.client.post(f"{NAMED}/features", json=named())
    ttl = re.search(r"ttl=(-?\d+)", reply.headers["cache-status"])
    assert ttl
    assert int(ttl[1]) == -1
