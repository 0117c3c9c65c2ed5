"""What a hostile reading of the cache found: purges beside flights, refreshes in batches, what zero means, whether counters add up."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.cache.calendar import Calendar
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Namespace, Namespaces, Scope
from gateway.cache.policy import Policies, Said, Terms
from gateway.cache.sharing import Name, Seen, Shared, Stem
from gateway.cache.store import FragmentStore
from gateway.features import FLOAT64, INT64, STRING, Feature, Field, Purge, ServiceRef, Source, Status, ViewLayout, ViewValues, Written
from gateway.origins.base import Description
from gateway.schema import compile_check
from gateway.serving.keeping import Keeper
from gateway.serving.plan import Plan, StoredView
from gateway.serving.work import Landed, RowWork
from tests.doors.flights import KEYS as FLIGHT_KEYS
from tests.doors.flights import STORED_VIEWS, read_named, sources_by_view
from tests.harness.clock import Clock, Hold, wait_until
from tests.harness.cluster import ALICE, BOB, LITE, NOBODY, REFUSED, Act, Cluster, refuse
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import ONE_TRY, House, authorization, cluster_settings, demo_settings, open_house
from tests.serving.baskets import OVER, Shop
from tests.serving.payments import LITE as LITE_PATH
from tests.serving.payments import VIEW_KEYS, payment, read, sources, status, truth
from tests.serving.test_batches import SINGLE, TECTON_BATCH, asked, batches, error, forget, keys_of, post
from tests.serving.test_flights import time_out
from tests.web.metrics.samples import of, samples

TTL_S = 60
EVEN = {"ttl_s": TTL_S, "negative_ttl_s": TTL_S, "early_refresh": 0, "jitter": 0}
SOON_S = 5
OLD = 111
MERCHANT_SOON = VIEW_KEYS | {"merchant": {"join_keys": ["merchant_id"], "ttl_s": SOON_S}}


def opened(cluster: Cluster, views: Mapping[str, Any] = VIEW_KEYS, services: Mapping[str, Any] | None = None, **cache: Any) -> Any:
    """A house before the cluster, whose entries live for their whole TTL; its client is ALICE."""
    return open_house(
        cluster_settings(cluster.url, cache=EVEN | cache, views=views, services=services or {}, auth={"grant_life_s": 1e6}), ALICE
    )


def lite(user: str, merchant: int) -> dict[str, Any]:
    return {"joinKeys": {"user_id": user, "merchant_id": merchant}, "include": ["source"]}


def counted(house: House, name: str) -> dict[str, int]:
    """A metric, by its label `source`, over all feature services; without one under the empty text."""
    found: Counter[str] = Counter()
    for labels, value in of(samples(house.client.get("/metrics").text), name).items():
        found[dict(labels).get("source", "")] += int(value)
    return dict(found)


def settled(house: House, fetches: int) -> None:
    """Once so many fetches have begun since the start, and all have landed."""
    wait_until(lambda: len(house.origin.fetches) >= fetches, f"{fetches} fetches")
    wait_until(lambda: counted(house, "flights") == {"": 0.0}, "the flights to land")


@pytest.fixture
def shared_views(cluster: Cluster) -> Iterator[House]:
    with opened(cluster) as house:
        yield house


@pytest.mark.parametrize("soft", [False, True])
def test_what_a_flight_from_before_a_purge_brings_beside_is_not_served_after_it(cluster: Cluster, soft: bool) -> None:  # noqa: FBT001
    """The flight is joined for the user, of whom nothing was purged; it also brings the merchant as it was before."""
    with opened(cluster, stale_while_revalidate_s=30) as house:
        house.client.post(f"{LITE_PATH}/features", json=lite("carl", 7))
        house.clock.advance(1)
        hold = Hold()
        cluster.act(SINGLE, Act(hold=hold, edit=lambda reply: reply["result"]["features"].__setitem__(0, str(OLD))))
        with Exchange(house.url, f"{LITE_PATH}/features", lite("ann", 7), authorization(ALICE)) as before:
            hold.wait_reached()
            purge = house.client.post(f"{LITE_PATH}/features:purge", json={"joinKeys": {"merchant_id": 7}, "soft": soft})
            assert purge.json() == {"purged": 1}
            house.clock.advance(1)
            if not soft:
                house.client.post(f"{LITE_PATH}/features", json=lite("bob", 7))
            with Exchange(house.url, f"{LITE_PATH}/features", lite("ann", 7), authorization(ALICE)) as after:
                seen_by(house.url)
                hold.release()
                assert before.answer()[0] == 200
                code, answer = after.answer()
        assert code == 200
        assert answer["features"]["merchant.count"] == truth(cluster, LITE, keys_of(("ann", 7)))["merchant.count"]


@pytest.mark.parametrize("refused", [1, 2, 3, 7])
def test_a_refused_row_never_takes_along_those_that_only_share_a_view_with_it(cluster: Cluster, refused: int) -> None:
    rows = [(f"mallory{number}", 7) for number in range(refused)] + [("ann", 7), ("bob", 7)]
    with opened(cluster, MERCHANT_SOON) as house:
        post(house, rows)
        house.clock.advance(SOON_S + 1)  # the merchant's fragment is all that they lack
        cluster.refused = frozenset(user for user, _ in rows[:refused])
        forget(cluster)
        answered = post(house, rows)
        assert error(answered[0]) == (3, REFUSED)
        assert {error(one) for one in answered[1:refused] if "error" in one} <= {(3, REFUSED)}
        assert all(sources(one) <= {"cache", "origin"} for one in answered[refused:])
        assert max(asked(cluster).values()) <= 2


@pytest.mark.parametrize("failing", [False, True])
def test_a_ttl_of_zero_serves_nothing_stale_of_what_another_service_stored(cluster: Cluster, failing: bool) -> None:  # noqa: FBT001
    with opened(cluster, services={"prod/lite": {"ttl_s": 0}}, stale_while_revalidate_s=30) as house:
        read(house.client, LITE_PATH)  # a grant, and nothing stored
        assert sources(read(house.client)) == {"origin"}
        if failing:
            cluster.always(SINGLE, refuse(503, "down", 14))
            assert status(house.client, LITE_PATH) == 503
        else:
            assert sources(read(house.client, LITE_PATH)) == {"origin"}


def test_a_negative_ttl_of_zero_keeps_nothing_missing(cluster: Cluster) -> None:
    with opened(cluster, negative_ttl_s=0, stale_while_revalidate_s=30) as house:
        for _ in range(2):
            answer = house.client.post(f"{LITE_PATH}/features", json=lite(NOBODY, 7)).json()
            assert answer["source"]["user.age"] == "origin"
        cluster.always(SINGLE, refuse(503, "down", 14))
        assert house.client.post(f"{LITE_PATH}/features", json=lite(NOBODY, 7)).status_code == 503


def test_a_reader_that_forbids_storing_is_not_served_what_nobody_fetches_again(cluster: Cluster) -> None:
    with opened(cluster, stale_while_revalidate_s=30) as house:
        read(house.client, LITE_PATH)
        house.clock.advance(TTL_S + 1)
        params = {"workspaceName": "prod", "featureServiceName": "lite", "joinKeyMap": {"user_id": "ann", "merchant_id": 7}}
        more = {"requestOptions": {"writeToCache": False}, "metadataOptions": {"includeServingStatus": True}}
        reply = house.client.post("/api/v1/feature-service/get-features", json={"params": params | more})
        assert {item["status"] for item in reply.json()["metadata"]["features"]} == {"PRESENT"}
        assert "cache-status" not in reply.headers


def test_the_counters_of_views_are_what_was_served(cluster: Cluster) -> None:
    """Also where a reply that was fetched for one view brings another anew, where a read begins again, and where it fails in the end."""
    served: dict[str, int] = {}

    def serve(house: House, user: str, merchant: int) -> None:
        reply = house.client.post(f"{LITE_PATH}/features", json=lite(user, merchant))
        if reply.status_code == 200:
            for view in ("merchant", "user"):
                came_from = reply.json()["source"][next(name for name in reply.json()["source"] if name.startswith(view))]
                served[came_from] = served.get(came_from, 0) + 1

    with opened(cluster, MERCHANT_SOON, stale_while_revalidate_s=30, stale_if_error_s=100) as house:
        serve(house, "ann", 7)
        house.clock.advance(SOON_S + 1)
        serve(house, "ann", 7)  # the merchant's is stale
        settled(house, 2)
        house.clock.advance(SOON_S + 1)
        serve(house, "bob", 7)  # and this time comes anew with the user that is missing
        settled(house, 3)
        house.clock.advance(SOON_S + 1)
        cluster.always(SINGLE, refuse(503, "down", 14))
        serve(house, "carl", 7)  # stale here, and nothing there: the read fails
        house.clock.advance(TTL_S)
        serve(house, "ann", 7)  # both are stale because the cluster fails
        cluster.always(SINGLE, None)
        house.clock.advance(200)
        serve(house, "ann", 7)
        house.clock.advance(SOON_S + 1)
        cluster.services["prod", "lite"] = LITE.without("user.name")
        serve(house, "dora", 7)  # begins again with another schema
        views = {source: int(value) for source, value in counted(house, "views_total").items() if value}
        assert views.pop("stale_on_error") == 1
        views["stale"] = views.pop("stale_revalidating") + 1
        assert views == served


def test_a_failed_batch_counts_nothing_as_served(shared_views: House, cluster: Cluster) -> None:
    post(shared_views, [("ann", 7)])
    before = counted(shared_views, "views_total")
    cluster.always(SINGLE, refuse(503, "down", 14))
    data = [{"joinKeyMap": keys_of(row)} for row in (("ann", 7), ("bob", 7))]
    params = {"workspaceName": "prod", "featureServiceName": "lite", "requestData": data}
    assert shared_views.client.post(TECTON_BATCH, json={"params": params}).status_code == 503
    assert counted(shared_views, "views_total") == before


def test_a_view_that_many_rows_share_is_refreshed_once(cluster: Cluster) -> None:
    with opened(cluster, MERCHANT_SOON, stale_while_revalidate_s=30) as house:
        rows = [(f"user{number}", 7) for number in range(30)]
        post(house, rows)
        house.clock.advance(SOON_S + 1)
        forget(cluster)
        house.origin.fetches.clear()
        assert {source for one in post(house, rows) for source in sources(one)} == {"stale", "cache"}
        settled(house, 1)
        assert asked(cluster).total() == 1


def test_rows_that_are_due_together_are_refreshed_together(cluster: Cluster) -> None:
    rows = [(f"user{number}", number) for number in range(10)]
    with opened(cluster, early_refresh=100) as house:
        house.origin.while_fetching = lambda: house.clock.advance(
            TTL_S - 1
        )  # so slow a fetch that its entries are due as long as they live
        post(house, rows)
        house.origin.while_fetching = None
        assert [sources(one) for one in post(house, rows)] == [{"cache"}] * 10
        settled(house, 2)
        assert batches(cluster) == [10, 10]
        assert not cluster.asked(SINGLE)


def test_what_is_due_is_refreshed_also_where_another_view_is_read_at_once(demo_dir: Any) -> None:
    """An origin that answers at once is asked inline for what is missing, and in the background for what will be."""
    with open_house(demo_settings(demo_dir, cache=EVEN | {"early_refresh": 100})) as house:
        house.origin.while_fetching = lambda: house.clock.advance(TTL_S - 1)
        read_named(house.client)
        house.origin.while_fetching = None
        other = read_named(house.client, joinKeys=FLIGHT_KEYS | {"tailnum": "N27205"})
        assert sources_by_view(other)["route_history"] == {"cache"}
        settled(house, 3)
        assert sorted(map(len, house.origin.views_fetched)) == [1, len(STORED_VIEWS) - 1, len(STORED_VIEWS)]


def test_a_row_that_is_refused_in_the_background_leaves_the_others_refreshed_and_is_not_asked_again_at_once(cluster: Cluster) -> None:
    rows = [("mallory" if number == 3 else f"user{number}", number) for number in range(6)]
    with opened(cluster, {}, stale_while_revalidate_s=30) as house:
        post(house, rows)
        house.clock.advance(TTL_S + 1)
        cluster.refused = frozenset({"mallory"})
        assert [sources(one) for one in post(house, rows)] == [{"stale"}] * 6
        settled(house, 2)
        forget(cluster)
        assert [sources(one) for one in post(house, rows)] == [{"stale"} if user == "mallory" else {"cache"} for user, _ in rows]
        seen_by(house.url)
        assert not asked(cluster)
        assert counted(house, "refreshes_failed_total") == {"": 1.0}


def test_a_refresh_that_brings_nothing_whole_is_not_tried_again_at_once(cluster: Cluster) -> None:
    with opened(cluster, stale_while_revalidate_s=30) as house:
        read(house.client, LITE_PATH)
        house.clock.advance(TTL_S + 1)
        cluster.always(SINGLE, time_out("user"))
        for _ in range(3):
            assert "stale" in sources(read(house.client, LITE_PATH))
            settled(house, 2)
        assert len(cluster.asked()) == 2
        house.clock.advance(1)
        read(house.client, LITE_PATH)
        settled(house, 3)


def test_a_refresh_that_disagrees_with_the_schema_has_it_fetched_again(cluster: Cluster) -> None:
    with opened(cluster, stale_while_revalidate_s=3_000) as house:
        read(house.client, LITE_PATH)
        house.clock.advance(TTL_S + 1)
        cluster.services["prod", "lite"] = LITE.with_first("merchant.rank", INT64)
        assert sources(read(house.client, LITE_PATH)) == {"stale"}
        settled(house, 2)
        wait_until(lambda: "merchant.rank" in read(house.client, LITE_PATH)["features"], "the new schema")
        assert len(cluster.asked("metadata")) == 2


def test_schemas_are_not_doubted_again_and_again(cluster: Cluster) -> None:
    with opened(cluster, stale_while_revalidate_s=3_000) as house:
        read(house.client, LITE_PATH)
        house.clock.advance(TTL_S + 1)
        cluster.always(SINGLE, Act(edit=lambda reply: reply["metadata"]["features"][0].update(name="merchant.odd")))
        for number in range(3):
            assert sources(read(house.client, LITE_PATH)) == {"stale"}
            settled(house, 2 + number)
            house.clock.advance(1.5)
        seen_by(house.url)
        assert len(cluster.asked("metadata")) == 2


def test_refreshes_in_the_air_are_bounded_and_leave_room_for_those_who_wait(cluster: Cluster) -> None:
    rows = [(f"user{number}", number) for number in range(300)]
    tree = cluster_settings(cluster.url, cache=EVEN | {"stale_while_revalidate_s": 30}, auth={"grant_life_s": 1e6})
    tree["origin"]["batch"] = False
    tree["guard"] = {**ONE_TRY, "limit_max": 0}  # nothing but what is tested bounds the calls under way
    tree["deadlines"] = {"read_s": 20}  # 300 calls, one by one
    with open_house(tree, ALICE) as house:
        post(house, rows)
        house.clock.advance(TTL_S + 1)
        house.origin.fetches.clear()
        hold = house.origin.hold = Hold()
        try:
            for _ in range(2):
                assert {source for one in post(house, rows) for source in sources(one)} == {"stale"}
            seen_by(house.url)
            assert 1 <= len(house.origin.fetches) <= 100
        finally:
            hold.release()
        house.origin.hold = None
        settled(house, 1)
        for _ in range(4):
            post(house, rows)
            settled(house, 1)
        assert {source for one in post(house, rows) for source in sources(one)} == {"cache"}


def test_what_another_cache_says_is_missing_is_missing() -> None:
    layout = ViewLayout("v", (Feature("v.x", INT64),))
    for missing in (Status.MISSING_DATA, Status.CACHED_MISSING_DATA):
        assert Fragment.of(ViewValues(layout, b"null", b'"v.x":null', (missing,), (None,)), 0.0).negative


def test_a_view_that_one_service_does_not_keep_is_not_older_than_it_may_be_in_another() -> None:
    """The flight of a service that keeps nothing brings a fragment that another, which joined, does keep."""
    clock = Clock()
    namespaces = Namespaces()
    policies = Policies(Terms(60.0, 60.0, max_age_s=100.0), {"prod/unkept": Said(ttl_s=0.0)})
    unkept = Plan(description_of("unkept"), policies, namespaces).stored[0]
    kept = Plan(description_of("kept"), policies, namespaces).stored[0]
    assert unkept.namespace == kept.namespace
    keeper = keeper_of(clock, wall_s=1_700_000_090.0)
    fragment = keeper.fragment(unkept, values_of(unkept, "2023-11-14T22:13:20Z"), clock())  # 90 s before
    assert fragment.expiry(unkept.terms) == clock()
    assert fragment.expiry(kept.terms) == clock() + 10


def description_of(service: str) -> Description:
    return Description(ServiceRef("prod", service), (Field("user_id", STRING),), (), (Feature("user.age", INT64),))


def values_of(view: StoredView, effective: str, status: Status = Status.PRESENT) -> ViewValues:
    return ViewValues(view.layout, b'"1"', b'"user.age":1', (status,), (effective,))


def keeper_of(clock: Clock, wall_s: float) -> Keeper:
    return Keeper(FragmentStore(100_000), Calendar(0.0), beta=0.0, by_age=True, clock=clock, wall_s=lambda: wall_s)


def test_nothing_that_is_kept_or_carried_shows_keys_or_values_when_it_is_printed() -> None:
    canary = "c4n4ry"
    layout = ViewLayout("v", (Feature("v.x", STRING),))
    text = canary.encode()
    values = ViewValues(layout, text, text, (Status.PRESENT,), (None,))
    fragment = Fragment.of(values, 0.0)
    stem = Stem(Namespace("prod", layout, (Field("k", STRING),)))
    name: Name = stem.name((0, canary))
    row = RowWork((canary,), {"c": canary}, [(0, canary)], [fragment], [Source.CACHE], hopes={0: fragment})
    purge, written = Purge("prod", frozenset({"v"}), {"k": canary}), Written("prod", "v", (canary,))
    scope = Scope(frozenset({(0, canary)}), {1: ((0, canary),)})
    seen = Seen(name, (b"", b""), 0, 0.0, Shared(values, 0.0))
    for one in (values, fragment, row, purge, written, scope, seen, Shared(values, 0.0), Landed(fragment), {"cargo": Landed(fragment)}):
        assert canary not in repr(one), type(one).__name__


@pytest.mark.parametrize("code", [200, 201, 202])
def test_any_accepted_ingest_is_one_that_drops_what_was_cached(shared_views: House, cluster: Cluster, code: int) -> None:
    cluster.streams = {"merchants": ("merchant",)}
    post(shared_views, [("ann", 7)])
    body = {"workspaceName": "prod", "records": {"merchants": [{"record": {"merchant_id": 7}}]}}
    metrics = b'{"workspaceName":"prod","ingestMetrics":{"featureViewIngestMetrics":[{"featureViewName":"merchant"}]}}'
    cluster.act("ingest", Act(status=code, body=metrics))
    assert shared_views.client.post("/ingest", json=body).status_code == code
    assert sources(post(shared_views, [("ann", 7)])[0]) == {"origin"}


def test_an_origin_whose_answer_breaks_the_gateway_breaks_no_follower(cluster: Cluster) -> None:
    """Whatever goes wrong between the reply and the cache is the leader's."""
    with opened(cluster) as house:
        hold = Hold()
        cluster.act(SINGLE, Act(hold=hold))
        inner = house.origin.fetch

        async def short(fetch: Any) -> Any:
            fetched = await inner(fetch)
            house.origin.fetch = inner
            return type(fetched)(())

        house.origin.fetch = short
        with Exchange(house.url, f"{LITE_PATH}/features", payment(), authorization(ALICE)) as leader:
            hold.wait_reached()
            with Exchange(house.url, f"{LITE_PATH}/features", payment(), authorization(ALICE)) as follower:
                seen_by(house.url)
                hold.release()
                assert leader.answer()[0] == 500
                assert follower.answer()[0] == 200


ROW = {"joinKeyMap": keys_of(("ann", 7))}
PLACE = {"workspaceName": "prod", "featureServiceName": "lite"}
V2 = "/api/v2/workspaces/prod/feature-services/lite"
ON_DOORS: dict[str, dict[str, Any]] = {
    f"{LITE_PATH}/features": {"joinKeys": keys_of(("ann", 7))},
    f"{LITE_PATH}/features:batch": {"rows": [{"joinKeys": keys_of(("ann", 7))}] * 3},
    "/api/v1/feature-service/get-features": {"params": PLACE | ROW},
    "/v1/feature-service/get-features": {"params": PLACE | ROW},
    TECTON_BATCH: {"params": PLACE | {"requestData": [ROW] * 3}},
    f"{V2}/get-features": {"params": ROW},
    f"{V2}/get-features-batch": {"params": {"requestData": [ROW]}},
}


@pytest.mark.parametrize("at_the_edge", [True, False])
def test_on_every_door_a_hit_that_is_due_begins_one_fetch_with_the_credential_of_who_reads(cluster: Cluster, at_the_edge: bool) -> None:  # noqa: FBT001
    tree = cluster_settings(cluster.url, cache=EVEN | {"early_refresh": 100}, auth={"grant_life_s": 1e6})
    cluster.rights[BOB] = {"lite"}
    with open_house(tree, ALICE, at_the_edge=at_the_edge) as house, house.as_caller(BOB) as bob:
        for path, body in ON_DOORS.items():
            house.clock.advance(10 * TTL_S)
            bob.post(f"{LITE_PATH}/features", json=lite("bob", 8))  # a grant
            house.origin.while_fetching = lambda: house.clock.advance(TTL_S - 1)
            house.client.post(f"{LITE_PATH}/features", json=lite("ann", 7))
            house.origin.while_fetching = None
            begun = len(house.origin.fetches)
            past = {"params": PLACE | ROW | {"requestOptions": {"writeToCache": False}}}
            assert house.client.post("/api/v1/feature-service/get-features", json=past).status_code == 200
            seen_by(house.url)
            assert len(house.origin.fetches) == begun, "who forbids storing begins none"
            reply = bob.post(path, json=body)
            assert reply.status_code == 200
            assert "cache-status" not in reply.headers
            settled(house, begun + 1)
            assert [fetch.caller.authorization for fetch in house.origin.fetches[begun:]] == [f"Tecton-key {BOB}"]
            assert len(house.origin.fetches[-1].rows) == 1


@pytest.mark.parametrize("at_the_edge", [True, False])
def test_a_stale_reply_says_so_and_the_connection_goes_on(cluster: Cluster, at_the_edge: bool) -> None:  # noqa: FBT001
    tree = cluster_settings(cluster.url, cache=EVEN | {"stale_while_revalidate_s": 30}, auth={"grant_life_s": 1e6})
    with open_house(tree, ALICE, at_the_edge=at_the_edge) as house:
        for path, body in ON_DOORS.items():
            house.client.post(path, json=body)
            house.clock.advance(TTL_S + 1)
            house.origin.hold = Hold()
            try:
                stale = house.client.post(path, json=body)
                assert stale.headers["cache-status"] == "feature-gateway; hit; ttl=-1; detail=stale-while-revalidate"
                assert stale.headers["age"] == str(TTL_S + 1)
                assert stale.headers.get("connection") != "close"
            finally:
                house.origin.hold.release()
                house.origin.hold = None
            settled(house, 2)
            fresh = house.client.post(path, json=body)
            assert not {"cache-status", "age"} & set(fresh.headers)
            assert fresh.headers["content-length"] == str(len(fresh.content))


def test_what_is_computed_from_stale_inputs_is_told_as_computed_and_its_reply_as_stale() -> None:
    with Shop() as shop:
        tree = cluster_settings(
            shop.url,
            cache=EVEN | {"stale_while_revalidate_s": 30},
            views=VIEW_KEYS,
            auth={"grant_life_s": 1e6},
            on_demand={"views": {"basket": OVER}},
        )
        with open_house(tree, ALICE) as house:
            read(house.client)
            house.clock.advance(TTL_S + 1)
            before = counted(house, "views_total")
            reply = house.client.post("/v1/workspaces/prod/feature-services/fraud/features", json=payment(features=["basket.*"]))
            assert sources(reply.json()) == {"computed"}
            assert "stale-while-revalidate" in reply.headers["cache-status"]
            attributes = house.spans("POST")[-1].attributes
            assert attributes
            assert attributes["feature_gateway.cache.outcome"] == "stale"
            after = counted(house, "views_total")
            assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {"computed": 1.0}


def test_a_purge_by_a_part_of_the_keys_finds_not_a_number() -> None:
    nan = compile_check(FLOAT64)("NaN")
    assert Scope(parts={1: ((0, nan),)}).covers((1, (nan, "u")))


def test_defaults_of_a_view_that_is_served_in_pieces_name_no_stranger(caplog: pytest.LogCaptureFixture) -> None:
    features = (Feature("user.age", INT64), Feature("shop.x", INT64), Feature("user.name", STRING))
    description = Description(ServiceRef("prod", "torn"), (Field("user_id", STRING),), (), features)
    Plan(description, Policies(), Namespaces(), {"user": {"age": 1, "name": "n"}})
    assert not caplog.text
    Plan(description, Policies(), Namespaces(), {"user": {"aeg": 1}})
    assert "features that prod/torn does not have" in caplog.text
