"""The schema: cached, refreshed behind readers' backs, kept while metadata is down; and never, ever, a value under another's name."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.features import FLOAT64, INT64, STRING
from tests.doors.flights import problem
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, FRAUD, Act, Cluster, Service, html, refuse
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import House, authorization, cluster_settings, open_house
from tests.serving.payments import FRAUD as PATH
from tests.serving.payments import KEYS, payment, read, scalars, sources, status, truth

A_VIEW_MOVED = "a view moved"
"""Every view is what it was, so a reply fits the schema at hand; the order in which they are served follows when that is refreshed."""
INSERTED = FRAUD.with_first("aaa.amount", FLOAT64)
CHANGES: dict[str, Service] = {
    "a feature inserted at position 0": INSERTED,
    "a feature inserted into a view": FRAUD.with_first("user.aaa", STRING),
    "a feature removed": FRAUD.without("user.age"),
    "a view removed": FRAUD.without("user.age").without("user.name"),
    "a type changed": FRAUD.retyped("user.age", STRING),
    "a type changed to one whose values look alike": FRAUD.retyped("merchant.count", STRING),
    "two features swapped": Service(FRAUD.join_keys, FRAUD.context, (*FRAUD.features[:-2], *reversed(FRAUD.features[-2:])), FRAUD.views),
    A_VIEW_MOVED: Service(FRAUD.join_keys, FRAUD.context, (*FRAUD.features[2:], *FRAUD.features[:2]), FRAUD.views),
}


@pytest.fixture
def lasting(cluster: Cluster) -> Iterator[House]:
    """A gateway whose fragments outlive its schemas, and whose grants outlive both."""
    with open_house(cluster_settings(cluster.url, cache={"ttl_s": 10_000}, auth={"grant_life_s": 100_000}), ALICE) as house:
        yield house


def fits(features: dict[str, Any], service: Service) -> bool:
    """Whether these are the service's features, in its order."""
    names = [name for name, _ in service.features]
    return list(features) == names or (service is CHANGES[A_VIEW_MOVED] and set(features) == set(names))


def change(cluster: Cluster, service: Service) -> None:
    cluster.services["prod", "fraud"] = service


def refreshed(house: House, cluster: Cluster, times: int) -> None:
    """Once metadata has been asked so many times and its last answer has been taken in."""
    wait_until(lambda: len(cluster.asked("metadata")) >= times, f"{times} metadata calls")
    schema = [one["name"] for one in house.client.get(f"{PATH}/schema").json()["features"]]
    wanted = [name for name, _ in cluster.services["prod", "fraud"].features]
    wait_until(
        lambda: schema == wanted or [one["name"] for one in house.client.get(f"{PATH}/schema").json()["features"]] == wanted, "refresh"
    )


def test_one_metadata_call_serves_many_reads(house: House, cluster: Cluster) -> None:
    for number in range(5):
        read(house.client, joinKeys=KEYS | {"merchant_id": number})
        house.clock.advance(59)
    assert len(cluster.asked("metadata")) == 1


def test_cold_readers_share_one_metadata_call(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("metadata", Act(hold=hold))
    readers = [
        Exchange(house.url, f"{PATH}/features", payment(joinKeys=KEYS | {"merchant_id": number}), authorization(ALICE))
        for number in range(5)
    ]
    hold.wait_reached()
    seen_by(house.url)
    hold.release()
    for reader in readers:
        with reader:
            assert reader.answer()[0] == 200
    assert len(cluster.asked("metadata")) == 1


def test_a_schema_past_its_time_is_refreshed_without_anyone_waiting(lasting: House, cluster: Cluster) -> None:
    before = read(lasting.client)["features"]
    change(cluster, INSERTED)
    hold = Hold()
    cluster.act("metadata", Act(hold=hold))
    lasting.clock.advance(301)
    for _ in range(3):
        cached = read(lasting.client)
        assert sources(cached) == {"cache"}
        assert cached["features"] == before  # as it was: the names came with the values
    hold.wait_reached()
    assert len(cluster.asked("metadata")) == 2
    hold.release()
    refreshed(lasting, cluster, 2)
    assert "aaa.amount" in read(lasting.client)["features"]


def test_the_last_good_schema_is_kept_while_metadata_is_down(lasting: House, cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    read(lasting.client)
    cluster.always("metadata", html(503))
    lasting.clock.advance(301)
    for number in range(4):
        assert sources(read(lasting.client)) == {"cache"}
        assert sources(read(lasting.client, joinKeys=KEYS | {"merchant_id": number + 100})) == {"origin"}
    wait_until(lambda: "metadata not refreshed" in caplog.text, "the log line")
    assert len(cluster.asked("metadata")) == 2  # asked again at intervals, not by every read
    lasting.clock.advance(5)
    assert sources(read(lasting.client)) == {"cache"}
    wait_until(lambda: len(cluster.asked("metadata")) == 3, "the next attempt")
    wait_until(lambda: caplog.text.count("metadata not refreshed") == 2, "its end: until then the next would join it")
    cluster.always("metadata", None)
    change(cluster, INSERTED)
    lasting.clock.advance(5)
    read(lasting.client)
    refreshed(lasting, cluster, 4)
    assert "aaa.amount" in read(lasting.client)["features"]


@pytest.mark.parametrize("what", CHANGES)
def test_after_a_change_the_next_read_is_right(house: House, cluster: Cluster, what: str) -> None:
    assert scalars(read(house.client)["features"]) == scalars(truth(cluster, FRAUD))
    change(cluster, CHANGES[what])
    cluster.epoch += 1
    other = KEYS | {"merchant_id": 8}
    answer = read(house.client, joinKeys=other)
    assert fits(answer["features"], CHANGES[what])
    for name, value in scalars(answer["features"]).items():
        dtype = dict(CHANGES[what].features)[name]
        expected = cluster.value(name, dtype, other, {"amount": 250.0}, CHANGES[what])
        assert value == (int(expected) if dtype == INT64 and expected is not None else expected)


@pytest.mark.parametrize("what", CHANGES)
def test_after_a_change_the_batch_doors_are_right_too(house: House, cluster: Cluster, what: str) -> None:
    read(house.client)
    change(cluster, CHANGES[what])
    rows = [{"joinKeys": KEYS | {"merchant_id": number}, "requestContext": {"amount": 250.0}} for number in (7, 8, 9)]
    answer = house.client.post(f"{PATH}/features:batch", json={"rows": rows}).json()
    assert all(fits(row["features"], CHANGES[what]) for row in answer["rows"])


@pytest.mark.parametrize("what", CHANGES)
def test_a_cached_value_keeps_its_own_name_after_a_change(lasting: House, cluster: Cluster, what: str) -> None:
    before = read(lasting.client)["features"]
    change(cluster, CHANGES[what])
    cluster.epoch += 1
    cached = read(lasting.client)
    assert sources(cached) == {"cache"}
    assert cached["features"] == before
    lasting.clock.advance(301)
    read(lasting.client)
    refreshed(lasting, cluster, 2)
    after = read(lasting.client)
    assert list(after["features"]) == [name for name, _ in CHANGES[what].features]
    # a view whose features are what they were is still served from cache; each value is one that its own name has had
    for name, value in scalars(after["features"]).items():
        dtype = dict(CHANGES[what].features)[name]
        known = [truth_of(cluster, name, dtype, CHANGES[what], epoch) for epoch in (0, 1)]
        assert value in known, name


def truth_of(cluster: Cluster, name: str, dtype: Any, service: Service, epoch: int) -> Any:
    now, cluster.epoch = cluster.epoch, epoch
    value = cluster.value(name, dtype, KEYS, {"amount": 250.0}, service)
    cluster.epoch = now
    return int(value) if dtype == INT64 and value is not None else value


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_between_metadata_and_reply_is_noticed(house: House, cluster: Cluster, what: str) -> None:
    cluster.act("get-features", Act(first=lambda: change(cluster, CHANGES[what])))
    assert fits(read(house.client)["features"], CHANGES[what])
    assert len(cluster.asked("metadata")) == (1 if what == A_VIEW_MOVED else 2)


def insert(document: dict[str, Any]) -> None:
    document["result"]["features"].insert(0, 1.5)
    document["metadata"]["features"].insert(0, {"name": "aaa.amount", "dataType": {"type": "float64"}, "status": "PRESENT"})


def rename(document: dict[str, Any]) -> None:
    document["metadata"]["features"][2]["name"] = "merchant.cuont"


def retype(document: dict[str, Any]) -> None:
    document["metadata"]["features"][2]["dataType"] = {"type": "string"}


def repeat(document: dict[str, Any]) -> None:
    document["metadata"]["features"][2]["name"] = document["metadata"]["features"][3]["name"]


@pytest.mark.parametrize("edit", [insert, rename, retype, repeat])
def test_a_cluster_whose_replies_and_metadata_disagree_for_good_is_answered_with_502(
    house: House, cluster: Cluster, edit: Callable[[dict[str, Any]], None]
) -> None:
    cluster.always("get-features", Act(edit=edit))
    reply = house.client.post(f"{PATH}/features", json=payment())
    assert problem(reply)[:2] == (502, 13)
    cluster.always("get-features", None)
    assert sources(read(house.client)) == {"origin"}  # and nothing of it was kept


@pytest.mark.parametrize(
    "act",
    [
        Act(body=b"{}"),
        Act(body=b"<html>"),
        Act(edit=lambda told: told["featureValues"][0].__setitem__("dataType", {"type": "tensor"})),
        Act(edit=lambda told: told["featureValues"].append(told["featureValues"][0])),
        Act(edit=lambda told: told["inputJoinKeys"][0].pop("name")),
    ],
)
def test_metadata_that_cannot_be_understood_is_a_502(house: House, cluster: Cluster, act: Act) -> None:
    cluster.act("metadata", act)
    assert status(house.client) == 502
    assert sources(read(house.client)) == {"origin"}


def test_older_spellings_of_types_in_metadata_are_understood(house: House, cluster: Cluster) -> None:
    def older(told: dict[str, Any]) -> None:
        for key in told["inputJoinKeys"]:
            key["type"] = key.pop("dataType")["type"]

    cluster.act("metadata", Act(edit=older))
    assert sources(read(house.client)) == {"origin"}


def test_metadata_may_leave_out_what_is_empty(house: House, cluster: Cluster) -> None:
    cluster.act("metadata", Act(edit=lambda told: told.pop("inputRequestContextKeys")))
    assert house.client.post("/v1/workspaces/prod/feature-services/lite/features", json={"joinKeys": KEYS}).status_code == 200


def test_a_service_that_is_gone_is_forgotten(lasting: House, cluster: Cluster) -> None:
    read(lasting.client)
    del cluster.services["prod", "fraud"]
    lasting.clock.advance(301)
    read(lasting.client)
    wait_until(lambda: status(lasting.client) == 404, "the schema is forgotten")


def test_descriptions_and_tags_come_from_the_cluster_and_are_remembered(house: House, cluster: Cluster) -> None:
    params = {
        "workspaceName": "prod",
        "featureServiceName": "fraud",
        "joinKeyMap": KEYS,
        "requestContextMap": {"amount": 1},
        "metadataOptions": {"includeNames": True, "includeFeatureDescriptions": True, "includeFeatureTags": True},
    }
    for _ in range(2):
        items = house.client.post("/api/v1/feature-service/get-features", json={"params": params}).json()["metadata"]["features"]
        assert all(item["description"] == f"What {item['name']} is" and item["tags"] == {"team": "risk"} for item in items)
    assert len(cluster.asked()) == 1


def test_an_error_of_metadata_reaches_the_reader(house: House, cluster: Cluster) -> None:
    cluster.act("metadata", refuse(429, "Metadata exceeded the concurrent request limit, please retry later", 8, Retry_After="2"))
    reply = house.client.post(f"{PATH}/features", json=payment())
    assert problem(reply) == (429, 8, "Metadata exceeded the concurrent request limit, please retry later")
    assert reply.headers["retry-after"] == "2"
