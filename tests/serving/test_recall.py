"""Requests that come again, byte for byte: answered as any other, from the same fragments, by the same rights."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from gateway.features import ServiceRef
from gateway.serving.reader import FeatureReader
from gateway.serving.recall import Recall, Recalled
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import House, cluster_settings, open_house
from tests.serving.payments import CONTEXT, FRAUD, KEYS, LITE, VIEW_KEYS, read, sources, status

TECTON = "/api/v1/feature-service/get-features"
V2 = "/api/v2/workspaces/prod/feature-services/fraud/get-features"
ENOUGH = 5
"""Readings after which the next finds the text of the one before."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each request: whether it was a hit that is known."""
    told: list[bool] = []
    again = FeatureReader.again

    def heard(reader: FeatureReader, *arguments: Any) -> bytes | None:
        reply = again(reader, *arguments)
        told.append(reply is not None)
        return reply

    monkeypatch.setattr(FeatureReader, "again", heard)
    return told


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Recall:
    """What the next gateway's reader remembers."""
    recall = Recall()
    monkeypatch.setattr("gateway.serving.reader.Recall", lambda: recall)
    return recall


@pytest.fixture
def views(cluster: Cluster, known: list[bool], kept: Recall) -> Iterator[House]:  # noqa: ARG001 - made before the doors are
    """The cluster's views are keyed on what they depend on."""
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS, cache={"ttl_s": 60}), ALICE) as house:
        yield house


def tecton(**more: Any) -> dict[str, Any]:
    keys = {**KEYS, "merchant_id": str(KEYS["merchant_id"])}
    return {"params": {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": keys, "requestContextMap": CONTEXT, **more}}


def timeless(reply: httpx.Response) -> bytes:
    assert reply.status_code == 200, reply.text
    return re.sub(rb'erverTimeSeconds":[0-9.e-]+', b"", reply.content)


SHOW = {"includeNames": True, "includeDataTypes": True, "includeServingStatus": True, "includeEffectiveTimes": True}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TECTON, tecton()),
        (TECTON, tecton(metadataOptions=SHOW)),
        (TECTON, tecton(metadataOptions={"includeSloInfo": True})),
        (TECTON, tecton(metadataOptions=SHOW | {"includeSloInfo": True})),
        (V2, tecton(metadataOptions=SHOW | {"includeSloInfo": True})),
        (f"{FRAUD}/features", {"joinKeys": KEYS, "requestContext": CONTEXT}),
        (f"{FRAUD}/features", {"joinKeys": KEYS, "requestContext": CONTEXT, "include": ["status", "source", "effectiveTime", "dataType"]}),
        (f"{FRAUD}/features", {"joinKeys": KEYS, "requestContext": CONTEXT, "features": ["user.*"], "include": ["status"]}),
    ],
)
def test_the_answer_is_that_of_the_first_hit(views: House, known: list[bool], path: str, body: dict[str, Any]) -> None:
    views.client.post(path, json=body)
    answers = [timeless(views.client.post(path, json=body)) for _ in range(ENOUGH)]
    assert set(answers) == {answers[0]}
    assert known[-2:] == [True, True]
    assert len(views.origin.fetches) == 1


def test_slo_info_tells_the_time_of_each_read(views: House) -> None:
    body = tecton(metadataOptions={"includeSloInfo": True})
    told = [views.client.post(TECTON, json=body).json()["metadata"]["sloInfo"] for _ in range(ENOUGH)]
    assert told[-1]["sloEligible"] is True
    assert 0 < told[-1]["serverTimeSeconds"] < 10


def test_ages_go_on(views: House, known: list[bool]) -> None:
    for seconds in range(ENOUGH):
        told = read(views.client, include=["ageSeconds"])["ageSeconds"]
        assert set(told.values()) == {float(seconds)}
        views.clock.advance(1)
    assert known[-1]


def test_what_has_ended_is_fetched_again(views: House, cluster: Cluster, known: list[bool]) -> None:
    before = [read(views.client) for _ in range(ENOUGH)][-1]
    cluster.epoch += 1
    views.clock.advance(61)
    fetched = read(views.client)
    assert (sources(before), sources(fetched)) == ({"cache"}, {"origin"})
    assert fetched["features"] != before["features"]
    assert not known[-1]
    again = read(views.client)
    assert (sources(again), again["features"]) == ({"cache"}, fetched["features"])
    assert known[-1]


@pytest.mark.parametrize("soft", [False, True])
def test_what_was_purged_is_fetched_again(views: House, cluster: Cluster, *, soft: bool) -> None:
    for _ in range(ENOUGH):
        read(views.client)
    cluster.epoch += 1
    purged = views.client.post(f"{FRAUD}/features:purge", json={"joinKeys": {"user_id": KEYS["user_id"]}, "soft": soft})
    assert purged.status_code == 200, purged.text
    assert "cache" in sources(read(views.client, features=["merchant.*"]))
    assert "cache" not in sources(read(views.client, features=["user.*"]))


@pytest.mark.parametrize("soft", [False, True])
def test_of_what_was_purged_nothing_is_kept_here(views: House, kept: Recall, *, soft: bool) -> None:
    for _ in range(ENOUGH):
        read(views.client)
    assert len(kept) > 0
    assert views.client.post(f"{FRAUD}/features:purge", json={"soft": soft}).status_code == 200
    assert len(kept) == 0


def test_of_what_has_ended_no_text_is_kept(cluster: Cluster, known: list[bool], kept: Recall) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS, cache={"ttl_s": 10}), ALICE) as house:
        body = json.dumps({"joinKeys": KEYS, "requestContext": CONTEXT}).encode()
        for _ in range(ENOUGH):
            assert house.client.post(f"{FRAUD}/features", content=body).status_code == 200
        found = kept.find(body)
        assert known[-1]
        assert found is not None
        assert found.spelled is not None
        house.clock.advance(11)
        assert house.client.post(f"{FRAUD}/features", content=body).status_code == 200
        assert (found.found, found.vector) == (None, None)


def test_what_is_large_beside_what_is_asked_for_is_not_held(cluster: Cluster, known: list[bool], kept: Recall) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        monstrous = "u" * 20_000
        body = json.dumps({"joinKeys": {**KEYS, "user_id": "ann"}, "requestContext": CONTEXT, "features": ["user.*"]}).encode()
        assert len(monstrous) > len(body)
        for _ in range(ENOUGH):
            assert house.client.post(f"{FRAUD}/features", content=body).status_code == 200
        found = kept.find(body)
        assert found is not None
        assert known[-1]
        vector, spelled = found.vector, found.spelled
        assert vector is not None
        assert spelled is not None
        large = msgspec.structs.replace(found.found[0], named=monstrous.encode()) if found.found else None
        assert large is not None
        found.let_go()
        assert found.keep([large], vector) is not None  # it is said, and not kept
        assert found.spelled is None


def test_the_same_bytes_for_another_service_are_another_request(views: House) -> None:
    body = {"joinKeys": KEYS, "include": ["source"]}
    lite = [views.client.post(f"{LITE}/features", json=body) for _ in range(ENOUGH)][-1]
    assert lite.status_code == 200
    other = views.client.post(f"{FRAUD}/features", json=body)
    assert (other.status_code, "requestContextMap" in other.text) == (400, True)
    assert views.client.post(f"{LITE}/features", json=body).json() == lite.json()


def test_another_caller_has_rights_of_its_own(views: House, known: list[bool]) -> None:
    for _ in range(ENOUGH):
        read(views.client)
    with views.as_caller("nobody-knows-this-one") as stranger:
        assert status(stranger) == 401
    assert not known[-1]
    assert sources(read(views.client)) == {"cache"}
    views.clock.advance(31)  # a grant's life, well within the TTL
    fetches = len(views.origin.fetches)
    read(views.client)
    assert len(views.origin.fetches) > fetches


def test_what_was_read_under_other_definitions_is_forgotten(views: House, cluster: Cluster, known: list[bool], kept: Recall) -> None:
    before = [read(views.client, LITE) for _ in range(ENOUGH)][-1]
    assert (known[-1], len(kept)) == (True, 1)
    name = next(iter(before["features"]))
    cluster.services["prod", "lite"] = cluster.services["prod", "lite"].without(name)
    views.clock.advance(301)  # the schema's time; the values' was over before
    after = [read(views.client, LITE) for _ in range(2)][-1]  # the first is what has the schema fetched again
    assert after["features"].keys() == before["features"].keys() - {name}
    assert known[-2:] == [False, False]
    assert [read(views.client, LITE) for _ in range(ENOUGH)][-1]["features"] == after["features"]
    assert (known[-1], len(kept)) == (True, 1)


def recalled() -> Recalled:
    nothing: Any = None
    return Recalled(nothing, ServiceRef("prod", "fraud"), nothing, nothing, nothing, (), ())


def test_what_comes_once_is_not_remembered_and_what_comes_twice_is() -> None:
    recall = Recall()
    assert [recall.wants(b"one"), recall.wants(b"two"), recall.wants(b"one"), recall.wants(b"two")] == [False, False, True, True]
    long = b"x" * 2_000
    assert [recall.wants(long), recall.wants(long)] == [False, False]


def test_what_is_dropped_is_not_found_wherever_it_was() -> None:
    recall = Recall()
    for body in (b"old", b"kept"):
        recall.remember(body, recalled())
    for number in range(1_024):
        recall.remember(b"%d" % number, recalled())
    recall.remember(b"young", recalled())
    for body in (b"old", b"young", b"never there"):
        recall.drop(body)
        assert recall.find(body) is None
    assert recall.find(b"kept") is not None


def test_the_last_are_remembered_and_no_more_than_that() -> None:
    recall, kept = Recall(), recalled()
    recall.remember(b"kept", kept)
    for number in range(10_000):
        recall.remember(b"%d" % number, recalled())
        if number % 500 == 0:
            assert recall.find(b"kept") is kept  # found, so it stays
    assert len(recall) <= 2_048
    assert recall.find(b"9999") is not None
    assert recall.find(b"1") is None
