"""The lean road and the other one: the same replies, byte for byte, whoever waits, fails, goes away or purges meanwhile."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.doors.flights import V1, V2
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, BOB, NOBODY, Act, Cluster, html, refuse
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import House, authorization, cluster_settings, open_house
from tests.hosting.lines import line, post, status_of
from tests.serving.payments import FRAUD, LITE, VIEW_KEYS, payment, read, sources

READ = f"{LITE}/features"
KEYS = {"user_id": "ann", "merchant_id": "7"}
SHOWN = {
    "includeNames": True,
    "includeDataTypes": True,
    "includeServingStatus": True,
    "includeEffectiveTimes": True,
    "includeSloInfo": True,
}
CHANGING = re.compile(
    rb'(?:date|content-length): [^\r]*\r\n|"(?:serverTimeSeconds|sloServerTimeSeconds)":[^,}]*|x-request-id: [0-9a-f]+-[0-9a-f]+\r\n'
)
HEADERS = authorization(ALICE)
DOWN = refuse(503, "down", 14)


@contextmanager
def gateway(cluster: Cluster, **more: Any) -> Iterator[House]:
    """One that traces nothing: what may take the lean road does."""
    settings = cluster_settings(cluster.url, **{"telemetry": {"sample_ratio": 0.0}, "views": VIEW_KEYS, **more})
    with open_house(settings, ALICE) as house:
        yield house


@pytest.fixture
def house(cluster: Cluster) -> Iterator[House]:
    with gateway(cluster) as house:
        read(house.client, LITE, joinKeys={"user_id": "whose schema and labels these are", "merchant_id": 1})
        yield house


def ask(house: House, user: str, **more: Any) -> Exchange:
    return Exchange(house.url, READ, asked(user, **more), HEADERS)


def asked(user: str, **more: Any) -> dict[str, Any]:
    return {"joinKeys": {"user_id": user, "merchant_id": 7}, "include": ["source"], **more}


def tecton(service: str, **params: Any) -> dict[str, Any]:
    return {"params": {"workspaceName": "prod", "featureServiceName": service, "joinKeyMap": KEYS, "metadataOptions": SHOWN, **params}}


def lean(house: House) -> tuple[int, int]:
    """Reads that took the lean road, and those of them that left it."""
    return house.app.counters.lean_reads, house.app.counters.lean_reads_left


Request = tuple[str, dict[str, Any], Mapping[str, str]]
REQUESTS: Mapping[str, Request] = {
    "tecton": (f"{V1[0]}/get-features", tecton("lite"), {}),
    "tecton, nothing shown": (f"{V1[0]}/get-features", tecton("lite", metadataOptions={}), {}),
    "tecton, with a context": (f"{V1[0]}/get-features", tecton("fraud", requestContextMap={"amount": 250.0}), {}),
    "tecton v2": (f"{V2.replace('flight_delay', 'lite')}/get-features", tecton("lite"), {}),
    "a batch of one": (
        f"{V1[0]}/get-features-batch",
        {"params": {**tecton("lite", requestData=[{"joinKeyMap": KEYS}])["params"], "joinKeyMap": {}}},
        {},
    ),
    "a named batch of one": (f"{LITE}/features:batch", {"rows": [{"joinKeys": KEYS}], "include": ["source"]}, {}),
    "a named batch with a bad row": (f"{LITE}/features:batch", {"rows": [{"joinKeys": {"user_id": 5}}]}, {}),
    "named": (f"{FRAUD}/features", payment(include=["status", "effectiveTime", "source", "dataType"]), {}),
    "named, a part": (f"{FRAUD}/features", payment(features=["user.*", "types.a_struct"]), {}),
    "with a deadline": (READ, asked("ann", deadlineMs=20_000), {}),
    "with a bound of age": (READ, asked("ann", maxAgeMs=1_000), {}),
    "of nobody": (READ, asked(NOBODY), {}),
    "with an id": (READ, asked("ann"), {"X-Request-Id": "mine-1"}),
    "with an id that is none": (READ, asked("ann"), {"X-Request-Id": "not one!"}),
    "of a caller who may not": (READ, asked("ann"), authorization(BOB)),
    "with a wrong key": (READ, {"joinKeys": {"user_id": 5, "merchant_id": 7}}, {}),
}


@pytest.mark.parametrize("partly", [False, True], ids=["cold", "partly cached"])
@pytest.mark.parametrize("name", REQUESTS)
def test_both_roads_answer_alike(cluster: Cluster, name: str, *, partly: bool) -> None:
    path, body, headers = REQUESTS[name]
    wire = post(path, body, {**HEADERS, **headers})
    replies, seen = [], []
    for ratio in (0.0, 1.0):
        with gateway(cluster, telemetry={"sample_ratio": ratio}) as house, line(house.url) as connection:
            for service in (LITE, FRAUD):
                read(house.client, service, joinKeys={"user_id": "another", "merchant_id": 7 if partly else 8})
            before = len(cluster.asked())
            replies.append([CHANGING.sub(b"", connection.ask(wire)) for _ in range(2)])
            seen.append([request.body for request in cluster.asked()[before:]])
            assert (lean(house)[0] > 0) == (ratio == 0 and name not in {"with a wrong key", "a named batch with a bad row"})
    assert replies[0] == replies[1]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "act",
    [Act(close=True), html(500), DOWN, refuse(429, "slowly", 8, retry_after="7"), refuse(400, "no", 3), Act(cut=40), Act(raw=b"no HTTP")],
    ids=["closed", "500", "503", "429", "400", "cut", "garbage"],
)
def test_what_fails_is_told_alike_and_joined_alike(cluster: Cluster, act: Act) -> None:
    """And what it is told with: the next read is right, and nothing is left in the air."""
    replies = []
    for ratio in (0.0, 1.0):
        with gateway(cluster, telemetry={"sample_ratio": ratio}) as house, line(house.url) as connection:
            read(house.client, LITE, joinKeys={"user_id": "another", "merchant_id": 8})
            cluster.act("get-features", act, act)
            batch = post(f"{LITE}/features:batch", {"rows": [{"joinKeys": KEYS}]}, HEADERS)
            wires = (post(READ, asked("ann"), HEADERS), batch, post(READ, asked("ann"), HEADERS))
            replies.append([CHANGING.sub(b"", connection.ask(wire)) for wire in wires])
            assert status_of(replies[-1][2]) == 200
            assert (lean(house)[1] > 0) == (ratio == 0)
            assert b"feature_gateway_flights 0" in house.client.get("/metrics").content
    assert replies[0] == replies[1]


def test_requests_that_came_together_are_asked_and_answered_in_order(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    before = len(cluster.asked())
    with line(house.url) as connection:
        connection.send(b"".join([post(READ, asked(user), HEADERS) for user in ("first", "second", "first")]))
        hold.wait_reached()
        seen_by(house.url)
        assert len(cluster.asked()) == before + 1  # the second waits until its connection is free
        hold.release()
        replies = [connection.reply() for _ in range(3)]
    assert [status_of(reply) for reply in replies] == [200, 200, 200]
    assert [request.body for request in cluster.asked()[before:]] == [
        cluster.asked()[before].body,
        cluster.asked()[before].body.replace(b"first", b"second"),
    ]
    assert b'"source":{"merchant.count":"cache"' in replies[2]
    assert lean(house) == (2, 0)


def test_a_flight_on_the_lean_road_is_joined(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    before = len(cluster.asked())
    with ask(house, "ann") as leader, ExitStack() as open_:
        hold.wait_reached()
        followers = [open_.enter_context(ask(house, "ann")) for _ in range(20)]
        seen_by(house.url)
        hold.release()
        answers = [one.answer() for one in (leader, *followers)]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 200
    assert len(cluster.asked()) == before + 1
    assert lean(house) == (1, 0)


def test_a_leader_that_goes_away_leaves_its_flight_to_its_followers_and_to_the_cache(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, "ann") as leader:
        hold.wait_reached()
        with ask(house, "ann") as follower:
            seen_by(house.url)
            leader.hang_up()
            seen_by(house.url)
            hold.release()
            assert follower.answer()[0] == 200
    assert lean(house) == (1, 0)
    assert sources(read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 7})) == {"cache"}


def test_a_flight_that_nobody_waits_for_any_longer_fills_the_cache(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, "ann") as leader:
        hold.wait_reached()
    seen_by(house.url)
    hold.release()
    wait_until(lambda: b"feature_gateway_flights 0" in house.client.get("/metrics").content, "the flight lands")
    assert sources(read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 7})) == {"cache"}
    leader.hang_up()


def test_what_is_purged_meanwhile_is_answered_and_not_kept(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, "ann") as leader:
        hold.wait_reached()
        assert house.client.post(f"{LITE}/features:purge", json={"joinKeys": {"user_id": "ann"}}).status_code == 200
        hold.release()
        assert leader.answer()[0] == 200
    again = read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 7})
    assert again["source"]["user.age"] == "origin"


def test_nobody_joins_a_flight_without_a_grant(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, "ann") as alice, house.as_caller(BOB) as bob:
        hold.wait_reached()
        assert bob.post(READ, json=asked("ann")).status_code == 403
        hold.release()
        assert alice.answer()[0] == 200


def test_a_read_whose_time_is_over_gets_what_it_may_and_its_flight_goes_on(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, "ann", deadlineMs=50) as reader:
        status, answer = reader.answer()
    assert status == 200
    assert set(answer["source"].values()) == {"timeout"}
    hold.release()
    wait_until(lambda: sources(read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 7})) == {"cache"}, "it fills the cache")
    assert lean(house) == (1, 1)


def test_a_retry_has_its_pause_and_its_budget(cluster: Cluster) -> None:
    with gateway(cluster, guard={"hedging": False}) as house:
        read(house.client, LITE)
        cluster.act("get-features", DOWN)
        answer = read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 9})
        assert sources(answer) == {"origin"}
        counters = house.app.counters
        assert (counters.guard_calls, counters.guard_retries) == (3, 1)  # metadata, and two reads
        cluster.always("get-features", DOWN)
        for number in range(60):
            house.client.post(READ, json=asked(f"down {number}"))
        cluster.always("get-features", None)
        assert counters.guard_opened == 1
        assert counters.guard_retries <= 0.2 * counters.guard_calls + 10  # a share, and a floor in each second


def test_an_answer_that_is_late_is_hedged_and_the_first_to_come_is_taken(cluster: Cluster) -> None:
    with gateway(cluster, guard={"retries": 0}) as house:
        for number in range(96):  # so many that it is known what is late
            read(house.client, LITE, joinKeys={"user_id": f"quick {number}", "merchant_id": 7})
        hold = Hold()
        cluster.act("get-features", Act(hold=hold))
        with ask(house, "ann") as reader:
            hold.wait_reached()
            assert reader.answer()[0] == 200  # while the first attempt hangs
        hold.release()
        counters = house.app.counters
        assert counters.guard_hedges_won >= 1
        assert counters.lean_reads_left == 0  # the flight alone went on as a task
        assert sources(read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 7})) == {"cache"}


def test_what_is_not_whole_is_served_once_and_never_stored(house: House, cluster: Cluster) -> None:
    def time_out(document: Any) -> None:
        for place, item in enumerate(document["metadata"]["features"]):
            if item["name"].startswith("user."):
                item["status"], document["result"]["features"][place] = "TIME_OUT", None

    cluster.act("get-features", Act(edit=time_out))
    keys = {"user_id": "ann", "merchant_id": 7}
    once = read(house.client, LITE, joinKeys=keys, include=["source", "status"])
    assert once["status"]["user.age"] == "TIME_OUT"
    assert once["status"]["merchant.count"] == "PRESENT"
    assert set(once["source"].values()) == {"origin"}
    again = read(house.client, LITE, joinKeys=keys)["source"]
    assert (again["user.age"], again["merchant.count"]) == ("origin", "origin")
    assert lean(house) == (2, 1)


def test_a_reply_that_disagrees_with_the_schema_is_held_against_a_new_one(house: House, cluster: Cluster) -> None:
    cluster.services["prod", "lite"] = cluster.services["prod", "lite"].without("user.name")
    answer = read(house.client, LITE, joinKeys={"user_id": "ann", "merchant_id": 7})
    assert "user.name" not in answer["features"]
    assert lean(house)[1] == 1


def test_a_read_of_the_lean_road_is_told_by_its_id(house: House, cluster: Cluster) -> None:
    with line(house.url) as connection:
        told = connection.ask(post(READ, asked("ann"), {**HEADERS, "X-Request-Id": "mine-1"}))
        quiet = connection.ask(post(READ, asked("ben"), HEADERS))
        cluster.act("get-features", DOWN)
        failed = connection.ask(post(READ, asked("eve"), HEADERS))
    assert b"\r\nx-request-id: mine-1\r\n" in told
    assert b"x-request-id" not in quiet
    ids = [request.headers["x-request-id"] for request in cluster.asked()[-3:]]
    assert ids[0] == "mine-1"
    assert len(set(ids)) == 3
    assert b"\r\nx-request-id: %b\r\n" % ids[2].encode() in failed
