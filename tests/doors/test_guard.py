"""A cluster's bad days, met by a gateway with its guard: what callers are told, and what of it all reaches the cluster."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.features import Priority
from tests.doors.flights import NAMED, named
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, Act, Cluster, html, refuse
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import House, authorization, cluster_settings, demo_settings, open_house
from tests.serving.payments import LITE, VIEW_KEYS, sources

READ = f"{LITE}/features"
DOWN = refuse(503, "down", 14)


def guarded(cluster: Cluster, guard: Mapping[str, Any] | None = None, **more: Any) -> AbstractContextManager[House]:
    """With a whole guard, and time enough for reads on a busy machine."""
    return open_house(cluster_settings(cluster.url, guard=guard or {}, deadlines={"read_s": 15.0}, views=VIEW_KEYS, **more), ALICE)


@pytest.fixture
def house(cluster: Cluster) -> Iterator[House]:
    with guarded(cluster) as house:
        yield house


def payment(user: object, **more: Any) -> dict[str, Any]:
    return {"joinKeys": {"user_id": str(user), "merchant_id": 7}, "include": ["source"], **more}


def read(client: httpx.Client, user: object, **more: Any) -> httpx.Response:
    return client.post(READ, json=payment(user, **more))


def metric(house: House, name: str) -> float:
    lines = house.client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"feature_gateway_guard_{name} "))


def asking(house: House, user: object, priority: str | None = None, merchant: int = 7) -> Exchange:
    body = payment(user, joinKeys={"user_id": str(user), "merchant_id": merchant})
    return Exchange(house.url, READ, body, authorization(ALICE) | ({} if priority is None else {"X-Priority": priority}))


@pytest.mark.parametrize("act", [DOWN, html(500), html(502), refuse(504, "late", 4), Act(cut=20)])
def test_a_failure_now_and_then_is_not_seen_by_callers(house: House, cluster: Cluster, act: Act) -> None:
    cluster.act("get-features", act)
    reply = read(house.client, "ann")
    assert (reply.status_code, sources(reply.json())) == (200, {"origin"})
    assert len(cluster.asked()) == 2
    [fetch] = house.spans("origin.fetch")
    assert dict(fetch.attributes or {})["feature_gateway.origin.attempts"] == 2
    assert metric(house, "retries_total") == 1


def test_metadata_and_queries_are_tried_again_too(house: House, cluster: Cluster) -> None:
    cluster.act("metadata", DOWN)
    cluster.act("query-features", DOWN)
    query = "/v1/workspaces/prod/feature-services/visits/features:query"
    reply = house.client.post(query, json={"joinKeys": {"user_id": "ann"}, "requestContext": {"amount": 1.0}})
    assert reply.status_code == 200
    assert (len(cluster.asked("metadata")), len(cluster.asked("query-features"))) == (2, 2)


def test_a_cluster_that_fails_all_is_soon_left_alone_and_soon_found_again(house: House, cluster: Cluster) -> None:
    assert read(house.client, "ann").status_code == 200
    cluster.always("get-features", DOWN)
    cluster.requests.clear()
    replies = [read(house.client, f"down {number}") for number in range(60)]
    assert {reply.status_code for reply in replies} == {503}
    assert len(cluster.asked()) <= 1.2 * 60
    wait_until(lambda: metric(house, "open") == 1, "the breaker opens")
    resting = next(reply for reply in iter(lambda: read(house.client, "resting"), None) if "left alone" in reply.text)
    assert resting.headers["retry-after"] == "1"
    assert resting.json()["code"] == 14
    assert house.client.get("/readyz").status_code == 200, "readiness is the cluster's own"
    cluster.always("get-features", None)
    repaired_s = time.monotonic()
    wait_until(lambda: read(house.client, "back").status_code == 200, "the cluster is found again")
    assert time.monotonic() - repaired_s < 15.0
    assert (metric(house, "open"), metric(house, "opened_total")) == (0, 1)


@pytest.fixture
def trusting(cluster: Cluster) -> Iterator[House]:
    """Its grants outlive its fragments."""
    with guarded(cluster, auth={"grant_life_s": 1e6}) as house:
        yield house


def test_while_nothing_may_go_out_hits_are_hits_and_what_is_stale_is_served(trusting: House, cluster: Cluster) -> None:
    house = trusting
    assert read(house.client, "ann").status_code == 200
    cluster.always("get-features", DOWN)
    for number in range(10):
        read(house.client, f"down {number}")
    wait_until(lambda: metric(house, "open") == 1, "the breaker opens")
    assert sources(read(house.client, "ann").json()) == {"cache"}
    house.clock.advance(61)
    cluster.requests.clear()
    stale = [read(house.client, "ann") for _ in range(20)]
    assert {source for reply in stale for source in sources(reply.json())} == {"stale"}
    assert len(cluster.asked()) <= 10


@pytest.mark.parametrize("spelled", ["seconds", "date"])
def test_after_429_no_call_goes_out_until_the_cluster_wants_one(house: House, cluster: Cluster, spelled: str) -> None:
    assert read(house.client, "ann").status_code == 200
    when = "2" if spelled == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    cluster.act("get-features", refuse(429, "slower", 8, retry_after=when))
    cluster.requests.clear()
    first = read(house.client, "first")
    throttled_s = time.monotonic()
    assert (first.status_code, first.headers["retry-after"], first.json()["message"]) == (429, when, "slower")
    for number in range(30):
        if time.monotonic() - throttled_s > 1.0:
            break
        reply = read(house.client, f"then {number}")
        assert (reply.status_code, reply.json()["code"]) == (429, 8)
        assert reply.headers["retry-after"] in {"1", "2", "3"}
    else:
        assert metric(house, "paused_total") == 30
    assert len(cluster.asked()) == 1
    wait_until(lambda: read(house.client, "after").status_code == 200, "the pause ends")
    assert time.monotonic() - throttled_s > 1.0


def test_a_503_with_retry_after_is_a_pause_as_well(house: House, cluster: Cluster) -> None:
    assert read(house.client, "ann").status_code == 200
    cluster.act("get-features", refuse(503, "deploying", 14, retry_after="20"))
    cluster.requests.clear()
    replies = [read(house.client, f"user {number}") for number in range(5)]
    assert {reply.status_code for reply in replies} == {503}
    assert {reply.headers["retry-after"] for reply in replies} <= {"20", "19", "18", "17", "16", "15"}
    assert len(cluster.asked()) == 1


def test_a_throttled_ingest_is_told_in_the_shape_of_ingest_and_stops_no_read(house: House, cluster: Cluster) -> None:
    body = {"workspaceName": "prod", "records": {}}
    cluster.act("ingest", refuse(429, "slower", 8, retry_after="20"))
    assert house.client.post("/ingest", json=body).status_code == 429
    paused = house.client.post("/ingest", json=body)
    assert paused.status_code == 429
    assert int(paused.headers["retry-after"]) <= 20
    assert paused.json()["requestError"]["errorType"] == "OriginThrottled"
    assert len(cluster.asked("ingest")) == 1
    assert read(house.client, "ann").status_code == 200


def test_a_call_that_is_late_is_asked_again_beside(house: House, cluster: Cluster) -> None:
    for number in range(70):
        assert read(house.client, f"user {number}").status_code == 200
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    reply = read(house.client, "late")
    assert (reply.status_code, sources(reply.json())) == (200, {"origin"})
    assert metric(house, "hedges_won_total") >= 1
    told = dict(house.settle_spans(71, "origin.fetch")[-1].attributes or {})
    assert told["feature_gateway.origin.hedged"] is True
    hold.release()


@pytest.fixture
def narrow(cluster: Cluster) -> Iterator[tuple[House, Hold]]:
    """One call under way at most, and it is; nobody may wait."""
    hold = Hold()
    with guarded(cluster, {"limit_max": 1, "queue_ms": 0}) as house:
        assert read(house.client, "ann").status_code == 200
        cluster.act("get-features", Act(hold=hold))
        with asking(house, "held") as first:
            hold.wait_reached()
            yield house, hold
            hold.release()
            assert first.answer()[0] == 200


def test_what_is_too_much_is_refused_with_a_time_to_come_again_on_every_door(narrow: tuple[House, Hold], cluster: Cluster) -> None:
    house, _ = narrow
    shed = read(house.client, "bob")
    assert (shed.status_code, shed.headers["retry-after"], shed.json()["code"]) == (503, "1", 14)
    tecton = {"params": {"workspaceName": "prod", "featureServiceName": "lite", "joinKeyMap": {"user_id": "bob", "merchant_id": "7"}}}
    shed = house.client.post("/api/v1/feature-service/get-features", json=tecton)
    assert (shed.status_code, shed.headers["retry-after"]) == (503, "1")
    ingest = house.client.post("/ingest", json={"workspaceName": "prod", "records": {}})
    assert (ingest.status_code, ingest.headers["retry-after"]) == (503, "1")
    assert ingest.json()["requestError"]["errorType"] == "OriginShed"
    rows = [{"joinKeys": {"user_id": user, "merchant_id": 7}} for user in ("ann", "bob")]
    batch = house.client.post(f"{READ}:batch", json={"rows": rows}).json()["rows"]
    assert "features" in batch[0]
    assert batch[1]["error"] == {"message": shed.json()["message"], "code": 14, "retryAfterSeconds": 1}
    assert metric(house, "shed_normal_total") == 4
    assert (metric(house, "under_way"), metric(house, "limit"), metric(house, "queued")) == (1, 1, 0)
    assert cluster.asked("ingest") == []


def test_hits_do_not_wait_behind_misses(narrow: tuple[House, Hold]) -> None:
    house, _ = narrow
    assert sources(read(house.client, "ann").json()) == {"cache"}


def test_instead_of_what_was_refused_something_stale_is_served() -> None:
    with Cluster() as cluster:
        hold = Hold()
        auth = {"grant_life_s": 1e6}
        with guarded(cluster, {"limit_max": 1, "queue_ms": 0}, auth=auth, cache={"stale_if_error_s": 300}) as house:
            assert read(house.client, "ann").status_code == 200
            cluster.act("get-features", Act(hold=hold))
            with asking(house, "held", merchant=8):
                hold.wait_reached()
                house.clock.advance(61)
                assert sources(read(house.client, "ann").json()) == {"stale"}
                hold.release()


def test_the_highest_go_first_and_what_is_not_understood_is_normal(cluster: Cluster) -> None:
    hold = Hold()
    waiting = [("low", "low"), ("odd", "urgent!"), ("none", None), ("high", "HIGH"), ("normal", "normal")]
    with guarded(cluster, {"limit_max": 1, "queue_ms": 60_000, "priority_header": "X-Priority"}) as house:
        assert read(house.client, "ann").status_code == 200
        cluster.act("get-features", Act(hold=hold))
        with asking(house, "held") as first:
            hold.wait_reached()
            exchanges = []
            for queued, (user, priority) in enumerate(waiting, 1):
                exchanges.append(asking(house, user, priority))
                seen_by(house.url)
                wait_until(lambda queued=queued: metric(house, "queued") == queued, "it waits")  # type: ignore[misc]
            cluster.requests.clear()
            hold.release()
            for exchange in (first, *exchanges):
                assert exchange.answer()[0] == 200
                exchange.hang_up()
    order = [params["joinKeyMap"]["user_id"] for params in cluster.params()]
    assert order == ["high", "odd", "none", "normal", "low"]


def test_priority_is_carried_on_every_way_and_refreshes_are_the_lowest(cluster: Cluster) -> None:
    cache = {"stale_while_revalidate_s": 60}
    with guarded(cluster, {"priority_header": "X-Priority"}, cache=cache, auth={"grant_life_s": 1e6}) as house:
        house.client.headers["x-priority"] = "high"
        assert read(house.client, "ann").status_code == 200
        query = "/v1/workspaces/prod/feature-services/visits/features:query"
        body = {"joinKeys": {"user_id": "ann"}, "requestContext": {"amount": 1.0}}
        assert house.client.post(query, json=body).status_code == 200
        assert [house.origin.fetches[-1].priority, house.origin.queries[-1].priority] == [Priority.HIGH, Priority.HIGH]
        house.clock.advance(61)
        assert sources(read(house.client, "ann").json()) == {"stale"}
        wait_until(lambda: len(house.origin.fetches) == 2, "it is refreshed")
        assert house.origin.fetches[-1].priority is Priority.LOW


def test_without_the_setting_no_header_says_anything(house: House) -> None:
    house.client.headers["x-priority"] = "high"
    read(house.client, "ann")
    assert house.origin.fetches[-1].priority is Priority.NORMAL


def test_a_batch_of_a_thousand_rows_passes(house: House, cluster: Cluster) -> None:
    rows = [{"joinKeys": {"user_id": f"user {number}", "merchant_id": number}} for number in range(1_000)]
    answers = house.client.post(f"{READ}:batch", json={"rows": rows}).json()["rows"]
    assert [answer for answer in answers if "error" in answer] == []
    assert len(cluster.asked("get-features-batch")) == 100


def test_the_embedded_server_on_sqlite_has_no_guard(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir)) as house:
        assert house.client.post(f"{NAMED}/features", json=named()).status_code == 200
        assert (metric(house, "calls_total"), metric(house, "limit"), metric(house, "open")) == (0, 0, 0)
