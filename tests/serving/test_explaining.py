"""What `…/features:explain` tells is what the read was: every source, and why; and it is a read like any other."""

import logging
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import NotFound, OriginUnavailable, PermissionDenied
from tests.doors.flights import COMPUTED_VIEW, CONTEXT, KEYS, NAMED, OTHER_KEYS, STORED_VIEWS, named, problem, read_named
from tests.doors.replicas import VIEWS, Site, asked_for
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, Cluster, html
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import READER, STRANGER, House, authorization, cluster_settings, demo_settings, open_house
from tests.harness.valkey import Valkey
from tests.serving import slow
from tests.serving.payments import FRAUD, VIEW_KEYS, payment
from tests.web.test_openapi import component, validator

EXPLAIN = f"{NAMED}/features:explain"
SHAPE = validator(component("Explanation"))
"""As `/openapi.json` has it, with all that may be said in one word."""
CACHE = {"ttl_s": 60, "negative_ttl_s": 10, "stale_if_error_s": 300}


def explained(client: httpx.Client, path: str = EXPLAIN, **more: Any) -> dict[str, Any]:
    reply = client.post(path, json=named(**more))
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    assert list(SHAPE.iter_errors(told)) == []
    return told


def asked(client: httpx.Client, **more: Any) -> dict[str, Any]:
    """Before the scripted cluster."""
    return explained(client, f"{FRAUD}/features:explain", **payment(**more))


def views(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {view["name"]: view for view in told["views"]}


def all_of(told: dict[str, Any], what: str) -> set[Any]:
    return {view[what] for view in told["views"]}


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


# --- Every source, and why


def test_what_was_fetched_is_told_as_fetched_and_is_there_for_the_next_read(demo: House) -> None:
    told = explained(demo.client)
    assert (told["workspace"], told["featureService"], told["outcome"], told["error"]) == ("prod", "flight_delay", "miss", None)
    assert set(views(told)) == STORED_VIEWS
    assert (all_of(told, "source"), all_of(told, "atHand"), all_of(told, "cameBy")) == ({"origin"}, {"absent"}, {"own_flight"})
    assert all_of(told, "flight") == {1}
    [flight], [call] = told["flights"], told["origin"]["calls"]
    assert (flight["id"], flight["led"], flight["state"], set(flight["views"])) == (1, True, "landed", STORED_VIEWS)
    assert (set(call["views"]), call["attempts"], call["retries"], call["hedged"], call["error"]) == (STORED_VIEWS, 1, 0, False, None)
    assert {feature["source"] for feature in read_features(told, *STORED_VIEWS)} == {"origin"}
    assert {fragment["kept"] for fragment in all_fragments(told)} == {True}
    assert (
        demo.client.post(f"{NAMED}/features", json=named(include=["source"])).json()["source"]["route_history.air_time_mean_7d_1h"]
        == "cache"
    )
    assert len(demo.origin.fetches) == 1


def read_features(told: dict[str, Any], *of: str) -> list[dict[str, Any]]:
    return [feature for feature in told["features"].values() if feature["view"] in of]


def all_fragments(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [view["fragment"] for view in told["views"]]


def test_a_hit_says_how_old_it_is_and_when_and_why_it_ends(demo: House) -> None:
    read_named(demo.client)
    demo.clock.advance(12.5)
    told = explained(demo.client)
    assert told["outcome"] == "hit"
    assert (all_of(told, "source"), all_of(told, "atHand"), all_of(told, "cameBy")) == ({"cache"}, {"fresh"}, {"at_hand"})
    assert (told["flights"], told["origin"]["calls"], all_of(told, "had")) == ([], [], {None})
    assert {feature["ageSeconds"] for feature in read_features(told, *STORED_VIEWS)} == {12.5}
    for fragment in all_fragments(told):
        assert (fragment["ageSeconds"], fragment["endsInSeconds"], fragment["endsBy"], fragment["lifeShare"]) == (12.5, 47.5, "ttl", 1.0)
        assert fragment["staleIfErrorEndsInSeconds"] == 347.5
        assert fragment["staleWhileRevalidateEndsInSeconds"] is None
        assert fragment["earlyRefreshInSeconds"] is None
        assert fragment["effectiveAgeSeconds"] > 12.5
        assert fragment["sizeBytes"] > 800
    assert len(demo.origin.fetches) == 1


def test_values_are_the_bytes_that_the_named_door_answers(demo: House) -> None:
    class Answer(msgspec.Struct):
        features: dict[str, msgspec.Raw]

    class Feature(msgspec.Struct):
        value: msgspec.Raw

    class Told(msgspec.Struct):
        features: dict[str, Feature]

    plain = demo.client.post(f"{NAMED}/features", json=named())
    told = msgspec.json.decode(demo.client.post(EXPLAIN, json=named()).content, type=Told)
    answer = msgspec.json.decode(plain.content, type=Answer)
    assert [(name, bytes(one.value)) for name, one in told.features.items()] == [
        (name, bytes(raw)) for name, raw in answer.features.items()
    ]
    assert len(answer.features) > 20


def test_of_a_partial_hit_each_view_tells_its_own_story(demo: House) -> None:
    read_named(demo.client)
    told = explained(demo.client, joinKeys=KEYS | {"tailnum": OTHER_KEYS["tailnum"]})
    assert told["outcome"] == "partial"
    assert {name: view["source"] for name, view in views(told).items()} == dict.fromkeys(STORED_VIEWS, "cache") | {
        "plane_history": "origin"
    }
    assert told["flights"][0]["views"] == told["origin"]["calls"][0]["views"] == ["plane_history"]


def test_only_what_was_asked_for_is_told_and_what_it_is_computed_from(demo: House) -> None:
    told = explained(demo.client, features=[f"{COMPUTED_VIEW}.minutes_over_usual"])
    assert list(told["features"]) == [f"{COMPUTED_VIEW}.minutes_over_usual"]
    [view] = told["views"]
    assert (view["name"], view["served"], view["key"]["joinKeys"]) == ("route_history", False, ["origin", "dest"])
    [computed] = told["computed"]
    assert (computed["name"], computed["source"], computed["contextKeys"]) == (COMPUTED_VIEW, "computed", ["planned_air_time"])
    assert computed["inputs"] == [{"feature": "route_history.air_time_mean_7d_1h", "source": "origin"}]
    [feature] = told["features"].values()
    assert (feature["source"], feature["ageSeconds"], feature["effectiveTime"]) == ("computed", None, None)
    assert explained(demo.client, features=[f"{COMPUTED_VIEW}.*"])["computed"][0]["inputs"][0]["source"] == "cache"


def test_what_is_missing_ends_sooner_and_says_so(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache=CACHE)) as house:
        told = views(explained(house.client, joinKeys=KEYS | {"tailnum": "N-NEVER-FLEW"}))
        fragment = told["plane_history"]["fragment"]
        assert (fragment["negative"], fragment["endsBy"], fragment["endsInSeconds"]) == (True, "negative_ttl", 10.0)
        assert told["route_history"]["fragment"]["endsBy"] == "ttl"
        house.clock.advance(11)
        later = views(explained(house.client, joinKeys=KEYS | {"tailnum": "N-NEVER-FLEW"}))
        # it is a last hope by then: the default windows allow it where the origin fails
        assert (later["plane_history"]["atHand"], later["plane_history"]["source"]) == ("last_hope", "origin")
        assert (later["plane_history"]["had"]["endsBy"], later["plane_history"]["had"]["endsInSeconds"]) == ("negative_ttl", -1.0)


def test_jitter_is_told_as_a_spread(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache={"jitter": 0.5})) as house:
        told = [
            views(explained(house.client, joinKeys=KEYS | {"carrier": f"C{number}"}, features=["carrier_performance.*"]))
            for number in range(20)
        ]
        fragments = [one["carrier_performance"]["fragment"] for one in told]
        assert {(one["endsBy"], one["lifeShare"] < 1) for one in fragments} == {("spread", True), ("negative_ttl", False)}


@pytest.mark.parametrize(("max_age_s", "ends_by"), [(130, "max_age"), (10_000, "ttl")])
def test_what_ends_by_its_effective_time_says_so(demo_dir: Path, max_age_s: float, ends_by: str) -> None:
    tree = demo_settings(demo_dir, views={"route_history": {"max_age_s": max_age_s}})
    with open_house(tree) as house:
        view = views(explained(house.client))["route_history"]
        assert view["fragment"]["endsBy"] == ends_by
        assert view["terms"]["maxAge"] == {"seconds": max_age_s, "saidBy": "views.route_history"}
        if ends_by == "max_age":
            assert view["fragment"]["effectiveAgeSeconds"] + view["fragment"]["endsInSeconds"] == pytest.approx(max_age_s)


def test_a_readers_own_bound_is_told_apart_from_an_end(demo: House) -> None:
    read_named(demo.client)
    demo.clock.advance(5)
    told = explained(demo.client, maxAgeMs=4_000)
    assert (all_of(told, "atHand"), all_of(told, "source")) == ({"too_old"}, {"origin"})
    assert {view["had"]["ageSeconds"] for view in told["views"]} == {5.0}
    assert {fragment["ageSeconds"] for fragment in all_fragments(told)} == {0.0}


def test_stale_while_revalidate(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache=CACHE | {"stale_while_revalidate_s": 30})) as house:
        read_named(house.client)
        house.clock.advance(61)
        hold = house.origin.hold = Hold()
        told = explained(house.client)
        hold.release()
        assert told["outcome"] == "stale"
        assert (all_of(told, "source"), all_of(told, "atHand"), all_of(told, "cameBy")) == ({"stale"}, {"stale"}, {"at_hand"})
        for fragment in all_fragments(told):
            assert (fragment["endsInSeconds"], fragment["staleWhileRevalidateEndsInSeconds"]) == (-1.0, 29.0)
        assert told["flights"] == []
        wait_until(lambda: explained(house.client)["outcome"] == "hit", "it is fetched again in the background")
        assert len(house.origin.fetches) == 1 + 1


def test_stale_if_error_with_what_went_wrong(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache=CACHE)) as house:
        read_named(house.client)
        house.clock.advance(61)
        house.origin.fails = [OriginUnavailable("gone")]
        told = explained(house.client)
        assert told["outcome"] == "stale"
        assert (all_of(told, "source"), all_of(told, "atHand"), all_of(told, "cameBy")) == ({"stale"}, {"last_hope"}, {"last_hope"})
        assert {view["error"]["kind"] for view in told["views"]} == {"OriginUnavailable"}
        assert told["flights"][0]["state"] == "failed"
        assert told["origin"]["calls"][0]["error"] == {
            "message": "gone",
            "status": 503,
            "code": 14,
            "kind": "OriginUnavailable",
            "fault": "origin",
        }


def test_defaults(demo_dir: Path) -> None:
    tree = demo_settings(demo_dir, views={"carrier_performance": {"defaults": {"flight_count_1d_1h": 7}}})
    with open_house(tree) as house:
        house.origin.fails = [OriginUnavailable("gone")]
        told = explained(house.client, features=["carrier_performance.*"])
        view = views(told)["carrier_performance"]
        assert (view["source"], view["cameBy"], view["fragment"]) == ("default", "default", None)
        assert view["error"]["kind"] == "OriginUnavailable"
        feature = told["features"]["carrier_performance.flight_count_1d_1h"]
        assert (feature["value"], feature["source"], feature["status"], feature["ageSeconds"]) == (7, "default", "UNKNOWN_STATUS", None)


def test_time_outs(demo: House) -> None:
    hold = demo.origin.hold = Hold()
    told = explained(demo.client, deadlineMs=30)
    hold.release()
    assert (all_of(told, "source"), all_of(told, "cameBy"), all_of(told, "fragment")) == ({"timeout"}, {"timeout"}, {None})
    assert {feature["status"] for feature in told["features"].values()} == {"TIME_OUT"}
    assert told["flights"][0]["state"] == "under_way"
    assert told["origin"]["calls"] == []
    assert (told["deadline"]["givenMs"], told["deadline"]["named"]) == (30.0, True)
    assert told["deadline"]["leftMs"] <= 0
    assert told["computed"][0]["source"] == "timeout"


def test_a_flight_of_another_that_was_joined(demo: House) -> None:
    hold = demo.origin.hold = Hold()
    with Exchange(demo.url, f"{NAMED}/features", named(), authorization(READER)) as leader:
        hold.wait_reached()
        with Exchange(demo.url, EXPLAIN, named(), authorization(READER)) as follower:
            seen_by(demo.url)
            demo.clock.advance(2)
            hold.release()
            assert leader.answer()[0] == 200
            status, told = follower.answer()
    assert status == 200
    assert all_of(told, "cameBy") == {"joined_flight"}
    assert [(flight["led"], flight["state"]) for flight in told["flights"]] == [(False, "landed")]
    assert told["origin"]["calls"] == []
    assert len(demo.origin.fetches) == 1


def test_what_another_replica_shared(cluster: Cluster, valkey: Valkey) -> None:
    site, path = Site(cluster, valkey, token_hex(4)), f"{FRAUD}/features:explain"
    with site.houses() as (one, other):
        assert one.client.post(path, json=asked_for("ann")).json()["outcome"] == "miss"
        site.settle(len(VIEWS))
        told = other.client.post(path, json=asked_for("ann")).json()
        assert (all_of(told, "source"), all_of(told, "cameBy"), all_of(told, "atHand")) == ({"cache"}, {"shared_cache"}, {"absent"})
        assert told["outcome"] == "hit"
        assert told["origin"]["calls"] == []
        assert site.fetches() == 1


def test_what_is_never_kept(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, views={"plane_history": {"ttl_s": 0}})) as house:
        explained(house.client)
        view = views(explained(house.client))["plane_history"]
        assert (view["atHand"], view["cameBy"], view["fragment"]["kept"]) == ("never_kept", "own_flight", False)


def test_a_soft_purge_is_what_ended_it(demo_dir: Path) -> None:
    tree = demo_settings(demo_dir, cache=CACHE)
    tree["auth"] = {"mode": "open"}
    with open_house(tree, None) as house:
        read_named(house.client)
        house.clock.advance(3)
        assert house.client.post(f"{NAMED}/features:purge", json={"soft": True}).status_code == 200
        house.clock.advance(2)
        told = explained(house.client)
        assert {(view["had"]["endsBy"], view["had"]["endsInSeconds"]) for view in told["views"]} == {("purge", -2.0)}


# --- The policy, the caller, the road


def test_each_of_the_terms_names_the_section_that_says_it(demo_dir: Path) -> None:
    tree = demo_settings(
        demo_dir,
        cache=CACHE,
        services={"prod/flight_delay": {"ttl_s": 20, "stale_if_error_s": 50}},
        views={"route_history": {"ttl_s": 30, "stale_if_error_s": 5}, "plane_history": {"ttl_s": 4}},
    )
    with open_house(tree) as house:
        told = {name: view["terms"] for name, view in views(explained(house.client)).items()}
        assert told["route_history"]["ttl"] == {"seconds": 20.0, "saidBy": 'services."prod/flight_delay"'}
        assert told["route_history"]["staleIfError"] == {"seconds": 5.0, "saidBy": "views.route_history"}
        assert told["route_history"]["negativeTtl"] == {"seconds": 10.0, "saidBy": "cache"}
        assert told["plane_history"]["ttl"] == told["plane_history"]["negativeTtl"] == {"seconds": 4.0, "saidBy": "views.plane_history"}
        assert told["carrier_performance"]["maxAge"] == {"seconds": None, "saidBy": "cache"}


def test_before_a_cluster_the_grant_is_told_and_what_lacks_one_is_not_looked_for(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS, cache={"ttl_s": 60}), ALICE) as house:
        told = asked(house.client)
        assert (all_of(told, "atHand"), told["grant"]["gate"], told["grant"]["held"]) == ({"not_granted"}, "passthrough", False)
        assert (told["grant"]["endsInSeconds"], told["grant"]["name"], told["grant"]["rights"]) == (30.0, None, [])
        house.clock.advance(10)
        again = asked(house.client)
        assert (all_of(again, "atHand"), again["grant"]["held"], again["grant"]["endsInSeconds"]) == ({"fresh"}, True, 20.0)
        assert (again["origin"]["kind"], again["origin"]["breaker"]) == ("tecton", "closed")
        house.clock.advance(21)
        late = asked(house.client)
        assert (all_of(late, "atHand"), all_of(late, "source"), late["grant"]["held"]) == ({"not_granted"}, {"origin"}, False)


def test_attempts_and_what_the_origin_says_of_its_service(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url, views=VIEW_KEYS, guard={"retries": 2, "hedging": False})
    with open_house(tree, ALICE) as house:
        cluster.act("get-features", html(503))
        told = asked(house.client)
        [call] = told["origin"]["calls"]
        assert (call["attempts"], call["retries"], call["hedged"], call["error"]) == (2, 1, False, None)
        assert told["origin"]["sloInfo"]["eligible"] is True
        assert len(cluster.asked()) == 2


def test_by_keys_of_the_gateway_the_caller_and_its_rights_are_told(demo: House) -> None:
    grant = explained(demo.client)["grant"]
    assert grant == {"gate": "keys", "held": True, "endsInSeconds": None, "name": "reader", "kind": "settings_key", "rights": ["read"]}


def test_a_read_that_fails_is_explained_as_far_as_it_got(demo: House) -> None:
    read_named(demo.client, features=["plane_history.*"])
    demo.origin.fails = [OriginUnavailable("gone")]
    told = explained(demo.client)
    assert (told["outcome"], told["features"], told["error"]["status"]) == ("error", {}, 503)
    assert {name: (view["source"], view["cameBy"]) for name, view in views(told).items()} == dict.fromkeys(
        STORED_VIEWS, (None, "nothing")
    ) | {"plane_history": ("cache", "at_hand")}
    assert told["computed"][0]["inputs"][0]["source"] is None


@pytest.mark.parametrize(("error", "status"), [(PermissionDenied(), 403), (NotFound("gone"), 404)], ids=lambda one: type(one).__name__)
def test_what_the_origin_says_of_the_caller_is_not_explained(demo: House, error: Exception, status: int) -> None:
    demo.origin.fails = [error]
    assert problem(demo.client.post(EXPLAIN, json=named()))[0] == status


def test_whoever_may_not_read_may_not_have_it_explained_and_a_wrong_request_is_refused(demo: House) -> None:
    with demo.as_caller(STRANGER) as stranger, demo.as_caller(None) as nobody:
        assert stranger.post(EXPLAIN, json=named()).status_code == 403
        assert nobody.post(EXPLAIN, json=named()).status_code == 401
    assert demo.client.post(EXPLAIN, json={"joinKeys": {}}).status_code == 400
    assert demo.client.post(EXPLAIN, json=named(rows=[])).status_code == 400
    assert demo.client.post(EXPLAIN, json=named(features=["nothing.*"])).status_code == 400
    assert demo.client.get(EXPLAIN).status_code == 405
    assert demo.client.post(EXPLAIN.replace("flight_delay", "nothing"), json=named()).status_code == 404


def test_a_schema_that_had_changed_is_fetched_again_and_that_is_told(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        assert house.client.post(f"{FRAUD}/features", json=payment()).status_code == 200
        name = next(name for name, _ in cluster.services["prod", "fraud"].features if name.startswith("user."))
        cluster.services["prod", "fraud"] = cluster.services["prod", "fraud"].without(name)
        told = asked(house.client, maxAgeMs=0)
        assert told["schemaCorrected"] is True
        assert name not in told["features"]
        assert len(told["origin"]["calls"]) == 1


def test_the_parts_of_its_time_are_no_more_than_the_whole(demo: House) -> None:
    timings = explained(demo.client)["timings"]
    total = timings.pop("total")
    assert set(timings) == {"authorise", "decode", "schema", "lookUp", "fetch", "compute", "encode"}
    assert all(part >= 0 for part in timings.values())
    assert 0 < sum(timings.values()) <= total + 0.01


def test_it_is_no_read_of_the_feature_service_in_what_is_counted(demo: House) -> None:
    explained(demo.client)
    demo.origin.fails = [OriginUnavailable("gone")]
    explained(demo.client, joinKeys=OTHER_KEYS)
    assert demo.client.post(EXPLAIN, json={}).status_code == 400
    assert not any(ledger.cells for ledger in demo.app.book.services.values())
    assert {key: histogram.count for key, histogram in demo.app.book.requests.items()} == {("explain", "2xx"): 2, ("explain", "4xx"): 1}


def test_no_key_context_or_credential_is_in_it(demo: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "c4n4ry"
    keys = {name: f"{canary}-{name}" for name in KEYS}
    for context in (CONTEXT, {"planned_air_time": 48151623.42}):
        for headers in ({}, {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}):
            reply = demo.client.post(EXPLAIN, json=named(joinKeys=keys, requestContext=context), headers=headers)
            assert reply.status_code == 200
            for secret in (canary, READER, "48151623"):
                assert secret not in reply.text
                assert secret not in str(reply.headers)
                assert secret not in caplog.text


def test_refusals_do_not_repeat_what_was_sent(demo: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "c4n4ry"
    bodies: list[Any] = [
        named(joinKeys=dict.fromkeys(KEYS, canary), requestContext={"planned_air_time": canary}),
        named(joinKeys=KEYS | {"gate": canary}),
        named(joinKeys=canary),
        named(features=[canary]),
        named(include=[canary]),
        named(maxAgeMs=canary),
        named(**{canary: 1}),
        [canary],
    ]
    for body in bodies:
        reply = demo.client.post(EXPLAIN, json=body)
        assert reply.status_code == 400
        assert canary not in reply.text + caplog.text


def test_one_set_of_keys_has_one_hash_and_another_another(demo: House) -> None:
    def ids(**more: Any) -> dict[str, str]:
        return {name: view["key"]["id"] for name, view in views(explained(demo.client, **more)).items()}

    first, other = ids(), ids(joinKeys=KEYS | {"tailnum": "N1"})
    assert ids() == first
    assert {name for name in first if first[name] != other[name]} == {"plane_history"}
    assert len(set(first.values())) == len(STORED_VIEWS)


def test_what_is_near_its_end_is_due(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, cache=CACHE | {"early_refresh": 5.0})) as house:
        house.origin.while_fetching = lambda: house.clock.advance(1.0)
        told = explained(house.client)
        early = {name: view["fragment"]["earlyRefreshInSeconds"] for name, view in views(told).items()}
        assert all(0 < seconds < 59 for seconds in early.values())
        house.clock.advance(58.99)
        hold = house.origin.hold = Hold()
        due = explained(house.client)
        hold.release()
        assert (all_of(due, "atHand"), all_of(due, "source"), all_of(due, "cameBy")) == ({"due"}, {"cache"}, {"at_hand"})
        wait_until(lambda: len(house.origin.fetches) == 2, "it is fetched again in the background")


def test_a_cluster_that_answers_all_views_renews_those_at_hand_and_that_is_told(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS, cache={"ttl_s": 60}), ALICE) as house:
        assert house.client.post(f"{FRAUD}/features", json=payment()).status_code == 200
        house.clock.advance(5)
        other = {"joinKeys": {"user_id": "ann", "merchant_id": 8}}
        told = views(asked(house.client, **other))
        user = told["user"]
        assert (user["atHand"], user["source"], user["cameBy"], user["flight"]) == ("fresh", "origin", "along", None)
        assert (user["had"]["ageSeconds"], user["fragment"]["ageSeconds"]) == (5.0, 0.0)
        assert (told["merchant"]["atHand"], told["merchant"]["cameBy"]) == ("absent", "own_flight")


def test_where_everybody_may_read_nobody_is_known(demo_dir: Path) -> None:
    tree = demo_settings(demo_dir) | {"auth": {"mode": "open"}}
    with open_house(tree, None) as house:
        grant = explained(house.client)["grant"]
        assert (grant["gate"], grant["held"], grant["name"], grant["rights"]) == ("open", True, None, [])


def test_a_deadline_of_the_settings_that_passes_is_explained(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, deadlines={"read_s": 0.1})) as house:
        assert explained(house.client, joinKeys=OTHER_KEYS)["deadline"]["givenMs"] == 100.0
        hold = house.origin.hold = Hold()
        told = explained(house.client)
        hold.release()
        assert (told["outcome"], told["error"]["status"], told["error"]["kind"]) == ("error", 504, "DeadlineExceeded")
        assert told["flights"][0]["state"] == "under_way"
        assert told["deadline"]["named"] is False


def test_a_slow_function_and_its_failure(tmp_path: Path) -> None:
    path = slow.READ.replace("/features", "/features:explain")
    with slow.shop(tmp_path, slow.Overspend(), 5.0) as house:
        told = explained(house.client, path, **slow.row(10.0))
        [computed] = told["computed"]
        assert (computed["name"], computed["source"], computed["timeLimitSeconds"]) == (slow.VIEW, "computed", 5.0)
        assert told["features"][slow.OVER]["value"] == 10.0 - slow.USUAL
        broken = explained(house.client, path, **slow.row(slow.Overspend.BROKEN))
        assert (broken["outcome"], broken["error"]["fault"], broken["error"]["status"]) == ("error", "definition", 400)
        assert (broken["computed"][0]["source"], all_of(broken, "source")) == (None, {"cache"})


# --- It tells what the read would have answered

TAILS = st.sampled_from(["N338AA", "N27205", "N-NEVER-FLEW"])
ROUTES = st.sampled_from([("JFK", "LAX"), ("EWR", "SFO")])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([1.0, 9.0, 11.0, 61.0, 500.0])),
        st.tuples(st.just("fail"), st.booleans()),
        st.tuples(st.just("purge"), st.booleans()),
        st.tuples(st.just("read"), TAILS, ROUTES, st.sampled_from([None, 0, 5_000, 70_000])),
    ),
    min_size=3,
    max_size=12,
)


@pytest.fixture(scope="module")
def twins(demo_dir: Path) -> Iterator[tuple[House, House]]:
    tree = demo_settings(demo_dir, cache=CACHE, views={"carrier_performance": {"defaults": {"flight_count_1d_1h": 7}}})
    tree |= {"auth": {"mode": "open"}, "telemetry": {"sample_ratio": 0.0}}
    with open_house(tree, None) as one, open_house(tree, None) as other:
        yield one, other


@settings(max_examples=25)
@given(STEPS)
def test_an_explained_read_and_a_plain_one_come_to_the_same(twins: tuple[House, House], steps: list[tuple[Any, ...]]) -> None:
    for house in twins:
        house.origin.fails = []
        assert house.client.request("DELETE", f"{NAMED}/features").status_code == 200
    failing = False
    for what, *how in steps:
        for house in twins:
            if what == "pass":
                house.clock.advance(how[0])
            elif what == "purge":
                assert house.client.post(f"{NAMED}/features:purge", json={"soft": how[0]}).status_code == 200
        failing = how[0] if what == "fail" else failing
        if what == "read":
            compare(twins, failing=failing, tail=how[0], route=how[1], max_age_ms=how[2])


def compare(twins: tuple[House, House], *, failing: bool, tail: str, route: tuple[str, str], max_age_ms: int | None) -> None:
    body = named(joinKeys=KEYS | {"tailnum": tail, "origin": route[0], "dest": route[1]}, include=["status", "source", "ageSeconds"])
    body |= {} if max_age_ms is None else {"maxAgeMs": max_age_ms}
    for house in twins:
        house.origin.fails = [OriginUnavailable("gone")] * (3 if failing else 0)
    plain, told = twins[0].client.post(f"{NAMED}/features", json=body), twins[1].client.post(EXPLAIN, json=body).json()
    if plain.status_code != 200:
        assert (told["outcome"], told["error"]["status"], told["error"]["message"]) == ("error", plain.status_code, plain.json()["message"])
        return
    answer = plain.json()
    assert {name: one["value"] for name, one in told["features"].items()} == answer["features"]
    assert {name: one["status"] for name, one in told["features"].items()} == answer["status"]
    assert {name: one["source"] for name, one in told["features"].items()} == answer["source"]
    assert {name: one["ageSeconds"] or 0.0 for name, one in told["features"].items()} == answer["ageSeconds"]
