"""One fetch per fragment, and what becomes of those who wait for it (design §4.7)."""

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.errors import OriginUnavailable
from tests.doors.flights import CONTEXT as FLIGHT_CONTEXT
from tests.doors.flights import KEYS as FLIGHT_KEYS
from tests.doors.flights import NAMED, OTHER_KEYS, sources_by_view
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, Act, Cluster, html
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import READER, House, authorization, cluster_settings, open_house
from tests.serving.payments import CONTEXT, FRAUD, KEYS, VIEW_KEYS, payment, read, sources, status

READ = f"{FRAUD}/features"


@pytest.fixture(params=[1.0, 0.0], ids=["traced", "lean"])
def house(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[House]:
    """Both roads: what is traced does not take the lean one."""
    with open_house(cluster_settings(cluster.url, telemetry={"sample_ratio": request.param}, deadlines={"read_s": 15.0}), ALICE) as house:
        yield house


def ask(house: House, **more: object) -> Exchange:
    return Exchange(house.url, READ, payment(**more), authorization(ALICE))


@contextmanager
def led_and_followed(house: House, hold: Hold, **more: object) -> Iterator[tuple[Exchange, Exchange]]:
    """Two readers of one fragment: the flight of the first waits at `hold`, and the second has joined it."""
    with ask(house, **more) as leader:
        hold.wait_reached()
        with ask(house, **more) as follower:
            seen_by(house.url)
            yield leader, follower


@contextmanager
def many_sockets(count: int) -> Iterator[None]:
    """Both ends of so many connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 500
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"raise the limit of open files to {wanted}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_cold_readers_of_one_credential_and_key_make_one_call(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with many_sockets(1_000), ExitStack() as open_:
        readers = [open_.enter_context(ask(house)) for _ in range(1_000)]
        hold.wait_reached()
        seen_by(house.url)
        hold.release()
        answers = [reader.answer() for reader in readers]
    assert {code for code, _ in answers} == {200}
    assert all(answer == answers[0] for answer in answers)
    assert len(cluster.asked()) == 1
    assert len(cluster.asked("metadata")) == 1
    assert sources(read(house.client)) == {"cache"}


def test_when_the_leader_of_many_hangs_up_nobody_else_notices(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house) as leader, ExitStack() as open_:
        hold.wait_reached()
        followers = [open_.enter_context(ask(house)) for _ in range(200)]
        seen_by(house.url)
        leader.hang_up()
        seen_by(house.url)
        hold.release()
        assert {follower.answer()[0] for follower in followers} == {200}
    assert len(cluster.asked()) <= 2


def test_cold_readers_of_different_keys_wait_for_nobody(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house) as waiting:
        hold.wait_reached()
        assert sources(read(house.client, joinKeys=KEYS | {"user_id": "somebody else"})) == {"origin"}
        hold.release()
        assert waiting.answer()[0] == 200


def test_a_leader_that_hangs_up_does_not_fail_its_followers(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with led_and_followed(house, hold) as (leader, follower):
        leader.hang_up()
        seen_by(house.url)
        hold.release()
        assert follower.answer()[0] == 200
    assert len(cluster.asked()) == 1


def test_a_flight_whose_every_reader_hung_up_still_fills_the_cache(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house):
        hold.wait_reached()
    seen_by(house.url)
    hold.release()
    wait_until(lambda: b"feature_gateway_flights 0" in house.client.get("/metrics").content, "the flight lands")
    assert sources(read(house.client)) == {"cache"}
    assert len(cluster.asked()) == 1


def test_a_leaders_failure_is_its_own_and_its_follower_leads_once(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold, status=503, body=b"{}"))
    with led_and_followed(house, hold) as (leader, follower):
        hold.release()
        assert leader.answer()[0] == 503
        assert follower.answer()[0] == 200
    assert len(cluster.asked()) == 2


def test_followers_of_a_failure_share_the_next_flight_and_its_end(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold, cut=10))
    cluster.always("get-features", html(503))
    with ExitStack() as open_:
        readers = [open_.enter_context(ask(house)) for _ in range(10)]
        hold.wait_reached()
        seen_by(house.url)
        hold.release()
        assert {reader.answer()[0] for reader in readers} == {503}
    assert len(cluster.asked()) == 2
    cluster.always("get-features", None)
    assert sources(read(house.client)) == {"origin"}


def test_an_unforeseen_failure_of_the_leader_does_not_fail_its_follower_either(demo: House) -> None:
    hold = demo.origin.hold = Hold()
    demo.origin.fails = [RuntimeError("a bug of ours")]
    body = {"joinKeys": FLIGHT_KEYS, "requestContext": FLIGHT_CONTEXT}
    leader = Exchange(demo.url, f"{NAMED}/features", body, authorization(READER))
    hold.wait_reached()
    follower = Exchange(demo.url, f"{NAMED}/features", body, authorization(READER))
    with leader, follower:
        seen_by(demo.url)
        hold.release()
        assert leader.answer()[0] == 500
        assert follower.answer()[0] == 200


def test_each_follower_keeps_its_own_deadline(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house) as leader:
        hold.wait_reached()
        late = read(house.client, deadlineMs=50)
        assert sources(late) == {"timeout"}
        assert set(late["features"].values()) == {None}
        hold.release()
        assert leader.answer()[0] == 200
    assert len(cluster.asked()) == 1


def test_an_impatient_leader_leaves_its_flight_to_its_followers(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house, deadlineMs=200) as leader:
        hold.wait_reached()
        with ask(house) as follower:
            code, answer = leader.answer()
            assert (code, sources(answer)) == (200, {"timeout"})
            hold.release()
            code, answer = follower.answer()
            assert (code, sources(answer)) == (200, {"origin"})
    assert len(cluster.asked()) == 1


def time_out(view: str) -> Act:
    """The cluster ran out of its budget over one view."""

    def edit(document: dict[str, dict[str, list[dict[str, str]]]]) -> None:
        for index, item in enumerate(document["metadata"]["features"]):
            if item["name"].startswith(f"{view}."):
                item["status"] = "TIME_OUT"
                document["result"]["features"][index] = None  # type: ignore[call-overload]

    return Act(edit=edit)


def test_a_view_that_timed_out_at_the_cluster_is_served_once_and_never_stored(house: House, cluster: Cluster) -> None:
    cluster.act("get-features", time_out("user"))
    first = read(house.client, include=["status", "source"])
    assert {code for name, code in first["status"].items() if name.startswith("user.")} == {"TIME_OUT"}
    assert first["features"]["merchant.count"] is not None
    second = read(house.client, include=["status", "source"])
    assert "TIME_OUT" not in second["status"].values()
    assert len(cluster.asked()) == 2
    # the rest was whole, and the reply that brought the late view is newer
    assert sources(second) == {"origin"}


def test_partial_results_are_served_once_and_never_stored(house: House, cluster: Cluster) -> None:
    cluster.act("get-features", Act(edit=lambda document: document["metadata"].update(partialResults=True)))
    params = {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": KEYS, "requestContextMap": CONTEXT}
    body = {"params": params | {"allowPartialResults": True, "metadataOptions": {"includeServingStatus": True}}}
    first = house.client.post("/api/v1/feature-service/get-features", json=body).json()
    assert first["metadata"]["partialResults"] is True
    second = house.client.post("/api/v1/feature-service/get-features", json=body).json()
    assert "partialResults" not in second["metadata"]
    assert "CACHED_PRESENT" not in {item["status"] for item in second["metadata"]["features"]}
    assert [params["allowPartialResults"] for params in cluster.params()] == [True, True]


def test_a_follower_does_not_take_what_is_incomplete(house: House, cluster: Cluster) -> None:
    hold = Hold()
    act = time_out("user")
    cluster.act("get-features", Act(hold=hold, edit=act.edit))
    with led_and_followed(house, hold, include=["status"]) as (leader, follower):
        hold.release()
        assert "TIME_OUT" in leader.answer()[1]["status"].values()
        assert "TIME_OUT" not in follower.answer()[1]["status"].values()
    assert len(cluster.asked()) == 2


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (html(503), 503),
        (html(504), 504),
        (html(429), 429),
        (Act(status=500, body=b"{}"), 502),
        (Act(status=302, body=b"", headers={"location": "/elsewhere"}), 502),
        (Act(status=204), 502),
        (Act(body=b"<html>"), 502),
        (Act(body=b"{}"), 502),
        (Act(body=b"[" * 100_000), 502),
        (Act(body=b'{"error":"x","message":"x","code":13}'), 502),
        (Act(edit=lambda document: document["result"]["features"].pop()), 502),
        (Act(edit=lambda document: document["result"]["features"].append(1)), 502),
        (Act(edit=lambda document: document["metadata"]["features"].pop()), 502),
        (Act(edit=lambda document: document.pop("metadata")), 502),
        (Act(edit=lambda document: document["metadata"]["features"][5].pop("name")), 502),
        (Act(edit=lambda document: document["metadata"]["features"][5].pop("dataType")), 502),
        (Act(edit=lambda document: document["result"]["features"].__setitem__(2, "not an int64")), 502),
        (Act(edit=lambda document: document["result"]["features"].__setitem__(0, "not a boolean")), 502),
        (Act(cut=10), 503),
        (Act(close=True), 503),
        (Act(raw=b"\x00\x01\x02garbage"), 503),
        (Act(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}"), 503),
    ],
)
def test_what_cannot_be_understood_is_an_error_and_nothing_of_it_is_kept(house: House, cluster: Cluster, act: Act, code: int) -> None:
    calls = 2 if act.close else 1  # a connection that closes unheard is tried once more
    cluster.act("get-features", *[act] * calls)
    assert status(house.client) == code
    assert sources(read(house.client)) == {"origin"}
    assert sources(read(house.client)) == {"cache"}
    assert len(cluster.asked()) == calls + 1


def test_a_reply_larger_than_the_limit_is_refused(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url)
    tree["origin"]["max_reply_bytes"] = 2_048
    with open_house(tree, ALICE) as house:
        cluster.act("get-features", Act(body=b" " * 3_000))
        assert status(house.client) == 502


def test_retry_after_is_passed_on(house: House, cluster: Cluster) -> None:
    cluster.act("get-features", Act(status=429, body=b'{"message":"retry later","code":8}', headers={"Retry-After": "17"}))
    reply = house.client.post(READ, json=payment())
    assert (reply.status_code, reply.headers["retry-after"], reply.json()["message"]) == (429, "17", "retry later")


def test_a_failed_view_fails_the_read_and_what_was_cached_stays(demo: House) -> None:
    body = {"joinKeys": FLIGHT_KEYS, "requestContext": FLIGHT_CONTEXT, "include": ["source"]}
    demo.client.post(f"{NAMED}/features", json=body)
    demo.origin.fails = [OriginUnavailable("The online store cannot be used now (SQLITE_BUSY).")]
    reply = demo.client.post(f"{NAMED}/features", json=body | {"joinKeys": FLIGHT_KEYS | {"tailnum": OTHER_KEYS["tailnum"]}})
    assert reply.status_code == 503
    again = demo.client.post(f"{NAMED}/features", json=body).json()
    assert sources_by_view(again)["plane_history"] == {"cache"}


PAST = {"highWatermarkOverride": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(("first", "second"), [({}, PAST), (PAST, {}), (PAST, {"highWatermarkOverride": "2025-01-01T00:00:00Z"})])
def test_readers_as_of_different_times_never_share_a_flight(
    house: House, cluster: Cluster, first: dict[str, str], second: dict[str, str]
) -> None:
    params = {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": KEYS, "requestContextMap": CONTEXT}
    path = "/api/v1/feature-service/get-features"
    hold = Hold()
    cluster.act("get-features", Act(hold=hold, edit=lambda document: document["result"]["features"].__setitem__(-1, "as of the first")))
    cluster.act("get-features", Act(edit=lambda document: document["result"]["features"].__setitem__(-1, "as of the second")))
    with Exchange(house.url, path, {"params": params | {"requestOptions": first}}, authorization(ALICE)) as one:
        hold.wait_reached()
        with Exchange(house.url, path, {"params": params | {"requestOptions": second}}, authorization(ALICE)) as other:
            seen_by(house.url)
            hold.release()
            assert one.answer()[1]["result"]["features"][-1] == "as of the first"
            assert other.answer()[1]["result"]["features"][-1] == "as of the second"


def test_a_reader_that_writes_is_not_held_back_by_a_leader_that_does_not(house: House, cluster: Cluster) -> None:
    params = {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": KEYS, "requestContextMap": CONTEXT}
    path = "/api/v1/feature-service/get-features"
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    silent = {"params": params | {"requestOptions": {"writeToCache": False}}}
    with Exchange(house.url, path, silent, authorization(ALICE)) as leader:
        hold.wait_reached()
        with Exchange(house.url, path, {"params": params}, authorization(ALICE)) as follower:
            seen_by(house.url)
            hold.release()
            assert (leader.answer()[0], follower.answer()[0]) == (200, 200)
    assert sources(read(house.client)) == {"cache"}


@pytest.mark.parametrize(("max_age_ms", "calls"), [(0, 2), (4_000, 2), (6_000, 1)])
def test_a_reader_that_bounds_ages_does_not_wait_for_a_flight_that_is_older(
    house: House, cluster: Cluster, max_age_ms: int, calls: int
) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with ask(house) as leader:
        hold.wait_reached()
        house.clock.advance(5)
        with ask(house, maxAgeMs=max_age_ms, include=["ageSeconds"]) as other:
            seen_by(house.url)
            hold.release()
            assert leader.answer()[0] == 200
            ages = other.answer()[1]["ageSeconds"].values()
    assert len(cluster.asked()) == calls
    assert max(ages) * 1000 <= max_age_ms


def test_what_is_at_hand_is_not_given_up_for_what_did_not_come_in_time(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        before = read(house.client)["features"]
        cluster.act("get-features", time_out("user"))
        answer = read(house.client, joinKeys=KEYS | {"merchant_id": 8}, include=["status", "source"])
        of_user = {name for name in before if name.startswith("user.")}
        assert {name: answer["features"][name] for name in of_user} == {name: before[name] for name in of_user}
        assert {answer["source"][name] for name in of_user} == {"cache"}
        assert "TIME_OUT" not in answer["status"].values()


def test_a_flight_that_is_overtaken_by_a_purge_does_not_bring_back_what_was_fetched_since(cluster: Cluster) -> None:
    """A cluster's reply has all views of a row. A reader that joins a flight for one of them has another one at hand that is newer."""
    views = {**VIEW_KEYS, "merchant": VIEW_KEYS["merchant"] | {"ttl_s": 5}}
    with open_house(cluster_settings(cluster.url, views=views), ALICE) as house:
        read(house.client)
        house.clock.advance(6)
        hold = Hold()
        cluster.act(
            "get-features", Act(hold=hold, edit=lambda document: document["result"]["features"].__setitem__(-1, "before the purge"))
        )
        with ask(house) as leader:  # for the merchant
            hold.wait_reached()
            assert house.client.post(f"{READ}:purge", json={"views": ["user"]}).json() == {"purged": 1}
            now = read(house.client, joinKeys=KEYS | {"merchant_id": 8})["features"]["user.name"]
            with ask(house) as follower:
                seen_by(house.url)
                hold.release()
                assert leader.answer()[0] == 200
                assert follower.answer()[1]["features"]["user.name"] == now
        assert len(cluster.asked()) == 3
