"""Gateways that share a cache: what one fetched the others serve, as old as it is, to whom they may, on their own terms."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from gateway.cache.shared.cache import RedisSharedCache
from tests.doors.flights import NAMED, STORED_VIEWS, read_named, sources_by_view
from tests.doors.replicas import VIEWS, Site, asked_for, counted, flown, keys_of, rows_of, settings, shared_settings, views_of
from tests.harness.clock import PATIENCE_S, Hold, wait_until
from tests.harness.cluster import ALICE, BOB, LITE, NOBODY, Act, Cluster, html
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import OPERATOR, House, authorization, demo_settings, open_house
from tests.harness.valkey import Valkey, valkey_cluster
from tests.serving.payments import CONTEXT, FRAUD, read, scalars, sources, status, truth
from tests.serving.test_flights import time_out

READ = f"{FRAUD}/features"
TECTON_READ = "/api/v1/feature-service/get-features"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def site(cluster: Cluster, valkey: Valkey) -> Site:
    return Site(cluster, valkey, token_hex(4))


def tecton(user: str = "ann", **params: Any) -> dict[str, Any]:
    asked = asked_for(user)
    keys = {name: str(value) for name, value in asked["joinKeys"].items()}
    told = {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": keys, "requestContextMap": asked["requestContext"]}
    return {"params": told | params}


def items(house: House, user: str = "ann", **params: Any) -> list[dict[str, Any]]:
    """What the Tecton door says of each feature."""
    reply = house.client.post(TECTON_READ, json=tecton(user, **params))
    assert reply.status_code == 200, reply.text
    told: list[dict[str, Any]] = reply.json()["metadata"]["features"]
    return told


# --- What is shared


def test_what_one_fetched_another_serves_as_cached_and_as_old_as_it_is(site: Site) -> None:
    aged = asked_for("ann") | {"include": ["source", "ageSeconds"]}
    with site.houses() as (one, other):
        fetched = read(one.client, **aged)
        assert sources(fetched) == {"origin"}
        site.settle(len(VIEWS))
        site.age(40)
        served = read(other.client, **aged)
        assert served["features"] == fetched["features"]
        assert sources(served) == {"cache"}
        assert all(40 <= age_s < 60 for age_s in served["ageSeconds"].values())
        assert site.fetches() == 1
        assert counted(other, "shared_hits") == len(VIEWS)
        # and has it for itself from then on
        assert sources(read(other.client, **aged)) == {"cache"}
        assert counted(other, "shared_hits") == len(VIEWS)
        assert all(item["status"].startswith("CACHED") for item in items(other, metadataOptions={"includeServingStatus": True}))
        assert counted(one, "shared_misses") == len(VIEWS)
        attributes = other.spans("POST")[0].attributes
        assert attributes
        assert attributes["feature_gateway.cache.outcome"] == "hit"
        assert attributes["feature_gateway.cache.views_hit"] == len(VIEWS)


def test_nothing_is_shared_with_a_caller_that_the_cluster_has_not_answered_here(site: Site) -> None:
    with site.houses(passthrough=True) as (one, other), other.as_caller(BOB) as bob:
        read(one.client)  # without a grant: the cluster's answer gives it, and is shared like any other
        site.settle(len(VIEWS))
        assert bob.post(READ, json=asked_for("ann")).status_code == 403
        assert sources(read(other.client)) == {"origin"}
        assert site.fetches() == 2
        read(one.client, **asked_for("bob"))
        site.settle(2 * len(VIEWS))
        # under the grant that the first read has left
        assert sources(read(other.client, **asked_for("bob"))) == {"cache"}
        other.clock.advance(31)
        site.age(1)
        read(one.client, **asked_for("cat"))
        site.settle(3 * len(VIEWS))
        assert sources(read(other.client, **asked_for("cat"))) == {"origin"}
        assert bob.post(READ, json=asked_for("bob")).status_code == 403
        told = b" ".join([*site.bases(), *[field + value for _, field, value in site.entries()]])
        for secret in (ALICE, BOB, "Tecton-key", "alice"):
            assert secret.encode() not in told
    assert "ann" not in {text.decode(errors="replace") for key, field, _ in site.entries() for text in (key, field)}


def test_a_reply_from_there_is_labelled_like_any_other(site: Site) -> None:
    shown = {"includeNames": True, "includeFeatureDescriptions": True, "includeFeatureTags": True}
    with site.houses() as (one, other):
        expected = items(one, metadataOptions=shown)
        assert all(item["description"] for item in expected)
        site.settle(len(VIEWS))
        assert items(other, metadataOptions=shown) == expected
        assert items(other, "bob", metadataOptions=shown) == expected


def test_a_cluster_is_asked_for_the_rows_that_nobody_fetched(site: Site) -> None:
    with site.houses() as (one, other):
        read(one.client, **asked_for("ann"))
        site.settle(len(VIEWS))
        answered = rows_of(other, "ann", "bob", "ann", "cat")
        assert [sources(row) for row in answered] == [{"cache"}, {"origin"}, {"cache"}, {"origin"}]
        [params] = site.cluster.params("get-features-batch")
        assert [row["joinKeyMap"]["user_id"] for row in params["requestData"]] == ["bob", "cat"]
        site.settle(3 * len(VIEWS))
        assert [sources(row) for row in rows_of(one, "bob", "cat")] == [{"cache"}] * 2


@pytest.mark.parametrize(("act", "code"), [(html(503), 14), (Act(status=400, body=b'{"error":"no","message":"no","code":3}'), 3)])
def test_a_row_that_fails_takes_none_along_that_was_found(site: Site, act: Act, code: int) -> None:
    with site.houses() as (one, other):
        read(one.client, **asked_for("ann"))
        site.settle(len(VIEWS))
        site.cluster.always("get-features", act)
        found, failed = rows_of(other, "ann", "bob")
        assert sources(found) == {"cache"}
        assert failed["error"]["code"] == code
        assert status(other.client, **asked_for("bob")) == (503 if code == 14 else 400)


def test_what_was_found_is_not_given_up_for_an_incomplete_answer(site: Site) -> None:
    with site.houses() as (one, other):
        read(one.client, **asked_for("ann"))
        site.settle(len(VIEWS))
        site.cluster.act("get-features", time_out("user"))
        keys = keys_of("ann") | {"merchant_id": 8}
        answer = read(other.client, joinKeys=keys, include=["source", "status"])
        assert "TIME_OUT" not in answer["status"].values()
        assert views_of(answer, "cache") == {"user"}


def test_two_services_find_what_they_share(site: Site) -> None:
    site.cluster.services["prod", "lite"] = LITE
    with site.houses() as (one, other):
        read(one.client)
        site.settle(len(VIEWS))
        answer = read(other.client, "/v1/workspaces/prod/feature-services/lite", requestContext={})
        assert sources(answer) == {"cache"}
        assert scalars(answer["features"]) == scalars(truth(site.cluster, LITE))
        assert site.fetches() == 1


def test_gateways_with_another_prefix_share_nothing(site: Site) -> None:
    with site.house() as one, site.house(shared={"prefix": "elsewhere"}) as other:
        read(one.client)
        site.settle(len(VIEWS))
        assert sources(read(other.client)) == {"origin"}


# --- On whose terms


def test_a_ttl_counts_from_when_the_cluster_was_asked(site: Site) -> None:
    with site.houses(3) as (one, other, third):
        read(one.client)
        site.settle(len(VIEWS))
        site.age(50)
        assert sources(read(other.client)) == {"cache"}
        site.age(5, other)
        assert sources(read(other.client)) == {"cache"}
        site.age(5, other)
        assert sources(read(other.client)) == {"origin"}
        site.age(60)
        assert sources(read(third.client)) == {"origin"}
        assert site.fetches() == 3


def test_what_was_asked_for_in_the_future_is_nothing_and_gives_way(site: Site) -> None:
    with site.houses(3) as (one, other, third):
        read(one.client)
        site.settle(len(VIEWS))
        site.age(-3_600)  # the shared cache's clock was wrong, and is put right
        future = site.entries()
        assert sources(read(other.client)) == {"origin"}
        wait_until(lambda: not set(future) & set(site.entries()), "all being stored anew")
        assert sources(read(third.client)) == {"cache"}


def test_each_serves_what_it_finds_under_its_own_ttl(site: Site) -> None:
    with site.house() as one, site.house(cache={"ttl_s": 20, "negative_ttl_s": 20}) as strict, site.house(cache={"ttl_s": 0}) as never:
        read(one.client)
        site.settle(len(VIEWS))
        site.age(25)
        assert sources(read(strict.client)) == {"origin"}
        entries = site.entries()
        assert sources(read(never.client)) == {"origin"}
        assert site.entries() == entries
        assert counted(never, "shared_misses") == 0


def test_what_is_missing_everywhere_has_the_ttl_of_what_is_missing(site: Site) -> None:
    with site.houses(cache={"negative_ttl_s": 5}) as (one, other):
        read(one.client, **asked_for(NOBODY))
        site.settle(len(VIEWS))
        site.age(4)
        assert sources(read(other.client, **asked_for(NOBODY))) == {"cache"}
        site.age(2, other)
        assert sources(read(other.client, **asked_for(NOBODY))) == {"origin"}


@pytest.mark.parametrize(("max_age_s", "source"), [(1_800.0, "origin"), (7_200.0, "cache")])
def test_values_are_as_old_as_they_are_effective(site: Site, max_age_s: float, source: str) -> None:
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")

    def edit(document: Any) -> None:
        for item in document["metadata"]["features"]:
            item["effectiveTime"] = an_hour_ago

    with site.house() as one, site.house(cache={"max_age_s": max_age_s}) as other:
        site.cluster.always("get-features", Act(edit=edit))
        read(one.client)
        site.settle(len(VIEWS))
        assert sources(read(other.client)) == {source}


def test_the_callers_own_bound_is_kept(site: Site) -> None:
    with site.houses() as (one, other):
        read(one.client)
        site.settle(len(VIEWS))
        site.age(10)
        assert sources(read(other.client, maxAgeMs=9_000)) == {"origin"}
        site.settle(len(VIEWS))
        site.age(10, one)
        assert sources(read(one.client, maxAgeMs=15_000)) == {"cache"}, "what the other one fetched is young enough"
        assert sources(read(other.client, maxAgeMs=0)) == {"origin"}
        assert site.fetches() == 3


def test_a_read_past_the_cache_is_one_past_the_shared_cache(site: Site) -> None:
    past: dict[str, Any] = {"requestOptions": {"readFromCache": False}, "metadataOptions": {"includeServingStatus": True}}
    with site.houses() as (one, other):
        read(one.client)
        site.settle(len(VIEWS))
        assert not any(item["status"].startswith("CACHED") for item in items(other, **past))
        assert site.fetches() == 2


def test_what_is_not_to_be_written_is_not_shared_and_not_kept(site: Site) -> None:
    unwritten: dict[str, Any] = {"requestOptions": {"writeToCache": False}, "metadataOptions": {"includeServingStatus": True}}
    with site.houses() as (one, other):
        items(one, **unwritten)
        assert sources(read(other.client, **asked_for("bob"))) == {"origin"}
        site.settle(len(VIEWS))
        assert len(site.entries()) == len(VIEWS)
        for found in (len(VIEWS), 2 * len(VIEWS)):
            assert all(item["status"].startswith("CACHED") for item in items(one, "bob", **unwritten))
            assert counted(one, "shared_hits") == found


def test_options_that_change_values_find_their_own_alone(site: Site) -> None:
    zeros: dict[str, Any] = {"requestOptions": {"coerceNullCountsToZero": True}, "metadataOptions": {"includeServingStatus": True}}
    with site.houses() as (one, other):
        items(one, **zeros)
        site.settle(len(VIEWS))
        assert sources(read(other.client)) == {"origin"}
        assert all(item["status"].startswith("CACHED") for item in items(other, **zeros))
        assert site.fetches() == 2
        site.settle(2 * len(VIEWS))
        marked = zeros | {"requestOptions": {"highWatermarkOverride": "2026-01-01T00:00:00Z"}}
        looked_for = counted(one, "shared_misses") + counted(one, "shared_hits")
        items(one, **marked)
        assert counted(one, "shared_misses") + counted(one, "shared_hits") == looked_for
        assert site.fetches() == 3
        assert len(site.entries()) == 2 * len(VIEWS)


def test_what_is_incomplete_is_not_shared(site: Site) -> None:
    with site.houses() as (one, other):
        site.cluster.act("get-features", time_out("user"))
        read(one.client)
        site.settle(len(VIEWS) - 1)
        site.cluster.act("get-features", Act(edit=lambda document: document["metadata"].update(partialResults=True)))
        items(one, "bob", allowPartialResults=True, metadataOptions={"includeServingStatus": True})
        read(one.client, **asked_for("cat"))
        site.settle(2 * len(VIEWS) - 1)
        answer = read(other.client, include=["source", "status"])
        assert "TIME_OUT" not in answer["status"].values()
        assert sources(read(other.client, **asked_for("bob"))) == {"origin"}
        assert sources(read(other.client, **asked_for("cat"))) == {"cache"}


# --- Whose flight


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups in the shared cache have longer than any setting gives them: for a test that holds them while requests arrive, which on a
    busy machine may take a second."""
    begin = RedisSharedCache.__init__

    def at_leisure(cache: RedisSharedCache, *arguments: Any, **options: Any) -> None:
        begin(cache, *arguments, **options | {"deadline_s": PATIENCE_S})

    monkeypatch.setattr(RedisSharedCache, "__init__", at_leisure)


@pytest.mark.usefixtures("unhurried")
def test_whoever_joins_a_flight_takes_of_what_it_found_what_will_do(cluster: Cluster, tmp_path: Path) -> None:
    strict: dict[str, Any] = {"services": {"prod/lite": {"ttl_s": 20}}}
    lite = "/v1/workspaces/prod/feature-services/lite/features"
    with (
        Valkey(tmp_path) as server,
        Site(cluster, server, "t").houses(**strict, shared={"timeout_s": PATIENCE_S}, deadlines={"read_s": PATIENCE_S}) as (one, other),
    ):
        site = Site(cluster, server, "t")
        read(one.client, **asked_for("ann"))
        read(other.client, "/v1/workspaces/prod/feature-services/lite", joinKeys={"user_id": "dan", "merchant_id": 1}, requestContext={})
        site.settle(len(VIEWS) + 2)
        site.age(30)
        asked = site.fetches()
        server.pause()
        bounded = asked_for("ann", maxAgeMs=20_000)
        shorter = asked_for("ann") | {"requestContext": {}}
        shown = tecton("ann", metadataOptions={"includeNames": True, "includeFeatureDescriptions": True})
        caller = authorization(OPERATOR)
        with (
            Exchange(other.url, READ, asked_for("ann"), caller) as leader,
            Exchange(other.url, READ, asked_for("ann"), caller) as follower,
        ):
            seen_by(other.url)
            with (
                Exchange(other.url, READ, bounded, caller) as young,
                Exchange(other.url, lite, shorter, caller) as short,
                Exchange(other.url, TECTON_READ, shown, caller) as labelled,
            ):
                seen_by(other.url)
                server.resume()
                assert [sources(one.answer()[1]) for one in (leader, follower)] == [{"cache"}] * 2
                assert sources(young.answer()[1]) == {"origin"}
                assert sources(short.answer()[1]) == {"origin"}
                assert all(item["description"] for item in labelled.answer()[1]["metadata"]["features"])
        assert site.fetches() > asked


def test_a_callers_refusal_is_not_told_to_those_who_joined(site: Site) -> None:
    with site.houses(passthrough=True) as (one, other), other.as_caller(BOB) as bob:
        site.cluster.rights[BOB] = {"fraud"}
        read(one.client, **asked_for("ann"))
        site.settle(len(VIEWS))
        read(other.client, **asked_for("dan"))
        assert bob.post(READ, json=asked_for("dan")).status_code == 200
        hold = Hold()
        site.cluster.act("get-features", Act(hold=hold, status=403, body=b'{"error":"no","message":"no","code":7}'))
        rows = {"rows": [{"joinKeys": keys_of(user), "requestContext": CONTEXT} for user in ("ann", "bob")], "include": ["source"]}
        with Exchange(other.url, f"{FRAUD}/features:batch", rows, authorization(BOB)) as refused:
            hold.wait_reached()
            with Exchange(other.url, f"{FRAUD}/features:batch", rows, authorization(ALICE)) as follower:
                seen_by(other.url)
                hold.release()
                told = follower.answer()[1]["rows"]
                assert [sources(row) for row in told] == [{"cache"}, {"origin"}]
                assert [row["error"]["code"] for row in refused.answer()[1]["rows"]] == [7, 7]


# --- In the background


def test_what_is_fetched_again_in_the_background_is_what_nobody_has_fetched_since(site: Site) -> None:
    with site.houses(cache={"stale_while_revalidate_s": 300}) as (one, other):
        read(one.client)
        site.settle(len(VIEWS))
        read(other.client)
        site.age(61, one, other)
        # what is there is no newer than what is at hand
        assert sources(read(other.client)) == {"stale"}
        wait_until(lambda: counted(other, "refreshes") == 1 and flown(other), "the refresh")
        assert site.fetches() == 2
        site.settle(len(VIEWS))
        site.age(30, one, other)
        # what the other one has fetched since is
        assert sources(read(one.client)) == {"stale"}
        wait_until(lambda: counted(one, "refreshes") == 1 and flown(one), "the refresh")
        assert site.fetches() == 2
        answer = read(one.client, include=["source", "ageSeconds"])
        assert sources(answer) == {"cache"}
        assert all(30 <= age_s < 50 for age_s in answer["ageSeconds"].values())


def test_an_early_refresh_asks_the_cluster_and_does_not_find_its_own_again(site: Site) -> None:
    users = ("ann", "bob", "cat")
    with site.house(cache={"early_refresh": 100}) as house:
        for number, user in enumerate(users, 1):
            site.cluster.act("get-features", Act(first=lambda: house.clock.advance(50)))
            read(house.client, **asked_for(user))
            site.settle(number * len(VIEWS))
            site.age(49.96)  # a fetch may look a little younger than it is
            assert sources(read(house.client, **asked_for(user))) == {"cache"}
        wait_until(lambda: counted(house, "refreshes") > 0 and flown(house), "a refresh")
        assert site.fetches() == len(users) + counted(house, "refreshes")


# --- Other arrangements


def test_the_embedded_server_on_sqlite_is_read_as_ever(valkey: Valkey, demo_dir: Path) -> None:
    tree = demo_settings(demo_dir, cache={"shared": shared_settings(valkey.url, token_hex(4))})
    with open_house(tree, OPERATOR) as house:
        first, second = read_named(house.client), read_named(house.client)
        assert first["features"] == second["features"]
        assert set().union(*sources_by_view(second).values()) == {"cache", "computed"}
        assert house.client.delete(f"{NAMED}/features").json() == {"purged": len(STORED_VIEWS)}
        assert read_named(house.client)["source"] == first["source"]
        # the very first read, which knows of no schema, is none of those that are answered at once
        assert (counted(house, "shared_misses"), counted(house, "shared_hits")) == (len(STORED_VIEWS), 0)


def test_replicas_share_a_valkey_cluster(cluster: Cluster, tmp_path: Path) -> None:
    users = [f"user {number}" for number in range(20)]
    with valkey_cluster(tmp_path) as servers:
        tree = settings(cluster, shared_settings(servers.url, "t", cluster=True))
        with open_house(tree, OPERATOR) as one, open_house(tree, OPERATOR) as other:
            expected = rows_of(one, *users)
            shared = len(users) * len(VIEWS) + 1
            wait_until(lambda: sum(server.ask("DBSIZE") for server in servers.masters) == shared, "all being shared")
            asked = len(cluster.asked("get-features-batch"))
            answered = rows_of(other, *users)
            assert [row["features"] for row in answered] == [row["features"] for row in expected]
            assert all(sources(row) == {"cache"} for row in answered)
            assert len(cluster.asked("get-features-batch")) == asked
            assert one.client.post(f"{READ}:purge", json={"joinKeys": keys_of("user 3")}).status_code == 200
            wait_until(lambda: counted(other, "purged_fragments") == len(VIEWS), "the other one being told")
            assert sources(read(other.client, **asked_for("user 3"))) == {"origin"}
            assert sources(read(other.client, **asked_for("user 4"))) == {"cache"}
