"""Wildcard reads: one result per set of output join keys, judged by the cluster each time, never cached, never mislabelled."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.features import BOOLEAN, FLOAT64, INT64, STRING
from tests.doors.flights import problem
from tests.harness.clock import Hold
from tests.harness.cluster import ALICE, BOB, MATCHES, NEWEST, NOBODY, SLO, VISITS, Act, Cluster, Service, html, refuse
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import KEYS as OWN_KEYS
from tests.harness.houses import READER, STRANGER, House, authorization, cluster_settings, open_house
from tests.serving.payments import FRAUD, read, status
from tests.serving.payments import KEYS as FRAUD_KEYS

QUERY = "/api/v1/feature-service/query-features"
NAMED = "/v1/workspaces/prod/feature-services/visits/features:query"
SCHEMA = "/v1/workspaces/prod/feature-services/visits/schema"
GIVEN, CONTEXT = {"user_id": "ann"}, {"amount": 250.0}
EVERYTHING = {
    f"include{one}": True
    for one in ("Names", "DataTypes", "EffectiveTimes", "ServingStatus", "SloInfo", "FeatureDescriptions", "FeatureTags")
}


def params(**more: Any) -> dict[str, Any]:
    return {"params": {"workspaceName": "prod", "featureServiceName": "visits", "joinKeyMap": GIVEN, "requestContextMap": CONTEXT} | more}


def by_name(**more: Any) -> dict[str, Any]:
    return {"joinKeys": GIVEN, "requestContext": CONTEXT} | more


def query(house: House, **more: Any) -> dict[str, Any]:
    reply = house.client.post(QUERY, json=params(**more))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def named(house: House, **more: Any) -> dict[str, Any]:
    reply = house.client.post(NAMED, json=by_name(**more))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def truth(cluster: Cluster, service: Service = VISITS) -> list[list[Any]]:
    """The values of each result, as the cluster spells them."""
    rows = [{**GIVEN, **match} for match in cluster.matches]
    return [[cluster.value(name, dtype, row, CONTEXT, service) for name, dtype in service.features] for row in rows]


def table(answer: dict[str, Any], given: dict[str, Any]) -> dict[str, list[Any]]:
    """An answer as Tecton's SDK puts it together: by its metadata's names, the given keys and the results' in one table."""
    columns: dict[str, list[Any]] = {name: [value] * len(answer["results"]) for name, value in given.items()}
    for result in answer["results"]:
        for values, told in (("features", "features"), ("joinKeys", "joinKeys")):
            for value, item in zip(result[values], answer["metadata"][told], strict=True):
                integer = item["dataType"] == {"type": "int64"} and value is not None
                columns.setdefault(item["name"], []).append(int(value) if integer else value)
    return columns


# the answer


def test_each_match_is_a_result_with_its_own_keys_and_values(house: House, cluster: Cluster) -> None:
    answer = query(house)
    assert [result["joinKeys"] for result in answer["results"]] == [["7", "mon"], ["-9007199254740993", "tue"], ["7", "thu"]]
    assert [result["features"] for result in answer["results"]] == truth(cluster)
    assert set(answer) == {"results"}


def test_the_sdk_can_make_a_table_of_it(house: House) -> None:
    shown = {"includeNames": True, "includeDataTypes": True, "includeEffectiveTimes": True, "includeSloInfo": True}
    columns = table(query(house, metadataOptions=shown), GIVEN)
    assert list(columns) == ["user_id", *(name for name, _ in VISITS.features), "merchant_id", "day"]
    assert {len(column) for column in columns.values()} == {3}
    assert columns["merchant_id"] == [7, -9007199254740993, 7]


def test_all_there_is_to_say_of_it(house: House, cluster: Cluster) -> None:
    metadata = query(house, metadataOptions=EVERYTHING)["metadata"]
    assert [item["name"] for item in metadata["features"]] == [name for name, _ in VISITS.features]
    first, *_, last = metadata["features"]
    assert first == {
        "name": "basket.is_big",
        "dataType": {"type": "boolean"},
        "status": "PRESENT",
        "description": "What basket.is_big is",
        "tags": {"team": "risk"},
    }
    assert (last["effectiveTime"], last["status"]) == (NEWEST, "PRESENT")
    assert metadata["joinKeys"] == [
        {"name": "merchant_id", "dataType": {"type": "int64"}},
        {"name": "day", "dataType": {"type": "string"}},
    ]
    assert metadata["sloInfo"]["storeResponseSizeBytes"] == SLO["storeResponseSizeBytes"]
    assert query(house, metadataOptions=EVERYTHING)["metadata"]["features"][0]["description"] == "What basket.is_big is"
    # descriptions were asked for once, and are known from then on
    assert ["includeFeatureTags" in one["metadataOptions"] for one in cluster.params("query-features")] == [True, False]


def test_by_name_each_result_has_its_own_maps(house: House, cluster: Cluster) -> None:
    cluster.matches = [MATCHES[0], {"merchant_id": "9", "day": NOBODY}]
    first, second = named(house, include=["status", "source", "effectiveTime", "ageSeconds", "dataType"])["results"]
    assert first["joinKeys"] == {"merchant_id": 7, "day": "mon"}
    assert list(first["features"]) == [name for name, _ in VISITS.features]
    assert type(first["features"]["merchant.count"]) is int
    assert list(first["features"]["visits.place"]) == ["x", "n"]
    assert set(first["source"].values()) == {"origin"}
    assert first["effectiveTime"]["visits.last"] == NEWEST
    # the cluster has one status for both: the worst of them
    assert (first["status"]["visits.last"], second["status"]["visits.last"]) == ("PRESENT", "MISSING_DATA")
    assert second["features"]["visits.last"] is None
    cluster.matches = [MATCHES[0], {"merchant_id": "9", "day": NOBODY}]
    told = query(house, metadataOptions=EVERYTHING)["metadata"]["features"]
    assert {item["name"]: item["status"] for item in told}["visits.last"] == "MISSING_DATA"


def test_a_selection_serves_less_and_asks_for_all(house: House) -> None:
    answer = named(house, features=["visits.last", "user.*"])
    assert [list(result["features"]) for result in answer["results"]] == [["user.age", "user.name", "visits.last"]] * 3
    assert named(house, features=[])["results"] == [
        {"joinKeys": {"merchant_id": int(match["merchant_id"]), "day": match["day"]}, "features": {}} for match in MATCHES
    ]
    assert house.origin.queries[0].rows[0].views == {"basket", "merchant", "user", "visits"}


def test_nothing_found_is_an_empty_answer(house: House, cluster: Cluster) -> None:
    cluster.matches = []
    assert query(house, metadataOptions={"includeNames": True})["results"] == []
    assert named(house) == {"results": []}


def test_an_answer_without_names_teaches_no_descriptions(house: House, cluster: Cluster) -> None:
    cluster.act("query-features", Act(body=b'{"metadata":{}}'))
    assert query(house, metadataOptions=EVERYTHING)["results"] == []
    assert query(house, metadataOptions=EVERYTHING)["metadata"]["features"][0]["description"] == "What basket.is_big is"


def test_the_cluster_is_asked_as_the_contract_has_it(house: House, cluster: Cluster) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = params(
        requestOptions={"latencyBudgetMs": 1500, "aggregationLeadingEdge": "AGGREGATION_MODE_WALL_CLOCK_TIME"}, allowPartialResults=True
    )
    assert house.client.post(QUERY, json=body, headers={"traceparent": traceparent}).status_code == 200
    [asked] = cluster.params("query-features")
    assert (asked["featureServiceName"], asked["joinKeyMap"], asked["requestContextMap"]) == ("visits", GIVEN, CONTEXT)
    assert asked["allowPartialResults"] is True
    assert asked["requestOptions"]["aggregationLeadingEdge"] == "AGGREGATION_MODE_WALL_CLOCK_TIME"
    assert 1000 < asked["requestOptions"]["latencyBudgetMs"] <= 1500
    assert asked["metadataOptions"]["includeServingStatus"] is True
    [request] = cluster.asked("query-features")
    assert request.headers["authorization"] == f"Tecton-key {ALICE}"
    assert request.headers["traceparent"].split("-")[1] == traceparent.split("-")[1]


def test_it_is_taken_in_snake_case_and_without_the_prefix_too(house: House) -> None:
    body = {"params": {"feature_service_name": "visits", "join_key_map": GIVEN, "request_context_map": CONTEXT}}
    for path in (QUERY, QUERY.removeprefix("/api")):
        assert house.client.post(path, content=json.dumps(body)).json() == query(house)


def test_more_results_than_one_slice_come_in_their_order(house: House, cluster: Cluster) -> None:
    cluster.matches = [{"merchant_id": str(number), "day": "mon"} for number in range(230)]
    answer = query(house)
    assert [result["joinKeys"][0] for result in answer["results"]] == [str(number) for number in range(230)]
    assert [result["features"] for result in answer["results"]] == truth(cluster)


# nothing is cached


@pytest.mark.parametrize("at_the_edge", [True, False])
def test_nothing_of_a_query_is_cached(cluster: Cluster, *, at_the_edge: bool) -> None:
    with open_house(cluster_settings(cluster.url), ALICE, at_the_edge=at_the_edge) as house:
        for epoch in range(3):
            cluster.epoch = epoch
            assert [result["features"] for result in query(house)["results"]] == truth(cluster)
        assert len(cluster.asked("query-features")) == 3
        # nor is it served from, though the same view stands in both services
        assert set(read(house.client)["source"].values()) == {"origin"}


# the limit


@pytest.fixture
def narrow(cluster: Cluster) -> Iterator[House]:
    with open_house(cluster_settings(cluster.url, queries={"max_results": 2}), ALICE) as house:
        yield house


def test_more_results_than_the_limit_are_refused(narrow: House, cluster: Cluster) -> None:
    for reply in (narrow.client.post(QUERY, json=params()), narrow.client.post(NAMED, json=by_name())):
        assert problem(reply)[:2] == (400, 9)
        assert "more than 2 results" in reply.text
    cluster.matches = MATCHES[:2]
    assert len(query(narrow)["results"]) == 2


def test_or_left_out_where_the_caller_allows_it(narrow: House, cluster: Cluster) -> None:
    answer = query(narrow, allowPartialResults=True)
    assert [result["features"] for result in answer["results"]] == truth(cluster)[:2]
    assert answer["metadata"] == {"partialResults": True}
    told = named(narrow, allowPartialResults=True)
    assert (len(told["results"]), told["partialResults"]) == (2, True)


def test_what_the_cluster_left_out_itself_is_told(house: House, cluster: Cluster) -> None:
    cluster.always("query-features", Act(edit=lambda document: document["metadata"].update(partialResults=True)))
    assert query(house, allowPartialResults=True)["metadata"] == {"partialResults": True}
    assert named(house, allowPartialResults=True)["partialResults"] is True


# refusals


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"joinKeyMap": {}}, "Missing required join key: user_id"),
        ({"joinKeyMap": GIVEN | {"merchant_id": "7"}}, "Unknown join key: merchant_id, expected one of: [user_id]"),
        ({"joinKeyMap": {"user_id": 7}}, "Unexpected JSON type for user_id in joinKeyMap. Expected string or null."),
        ({"requestContextMap": {}}, "Expected key not found: [amount] in requestContextMap"),
        ({"requestContextMap": {"amount": "much"}}, "Unexpected JSON type for amount in requestContextMap. Expected float64 or null."),
    ],
)
def test_a_wrong_query_is_refused_before_the_cluster_is_asked(house: House, cluster: Cluster, wrong: dict[str, Any], text: str) -> None:
    assert problem(house.client.post(QUERY, json=params(**wrong))) == (400, 3, text)
    body = by_name(joinKeys=wrong.get("joinKeyMap", GIVEN), requestContext=wrong.get("requestContextMap", CONTEXT))
    assert problem(house.client.post(NAMED, json=body)) == (400, 3, text)
    assert not cluster.asked("query-features")


def test_a_selection_of_nothing_is_refused(house: House) -> None:
    assert problem(house.client.post(NAMED, json=by_name(features=["nothing.*"])))[:2] == (400, 3)


def test_a_query_of_a_service_without_output_keys_is_refused_and_says_what_to_do(house: House, cluster: Cluster) -> None:
    wanted = (400, 3, "This is not a wildcard feature service: read it with get-features, or by name with …/features.")
    told = params(featureServiceName="fraud", joinKeyMap=FRAUD_KEYS)
    assert problem(house.client.post(QUERY, json=told)) == wanted
    assert problem(house.client.post(f"{FRAUD}/features:query", json=by_name(joinKeys=FRAUD_KEYS))) == wanted
    assert not cluster.asked("query-features")


BATCH = {"requestData": [{"joinKeyMap": GIVEN, "requestContextMap": CONTEXT}]}
READS: list[Callable[[httpx.Client], httpx.Response]] = [
    lambda client: client.post("/api/v1/feature-service/get-features", json=params()),
    lambda client: client.post("/api/v1/feature-service/get-features-batch", json=params(**BATCH)),
    lambda client: client.post("/api/v2/workspaces/prod/feature-services/visits/get-features", json=params()),
    lambda client: client.post(NAMED.replace(":query", ""), json=by_name()),
    lambda client: client.post(NAMED.replace(":query", ""), json=by_name(features=[])),
    lambda client: client.post(NAMED.replace(":query", ":batch"), json={"rows": [by_name()]}),
]


@pytest.mark.parametrize("at_the_edge", [True, False])
def test_any_other_read_of_a_wildcard_service_names_query_features(cluster: Cluster, *, at_the_edge: bool) -> None:
    with open_house(cluster_settings(cluster.url), ALICE, at_the_edge=at_the_edge) as house:
        query(house)  # a query is no leave for anything else
        for ask in READS * 2:
            told = problem(ask(house.client))
            assert told[:2] == (400, 3)
            assert "query-features" in told[2]
        assert not cluster.asked("get-features")


@pytest.mark.parametrize("path", [QUERY, QUERY.removeprefix("/api"), NAMED])
def test_it_is_posted_to(house: House, path: str) -> None:
    reply = house.client.get(path)
    assert reply.status_code == (405 if path == NAMED else 501)
    assert problem(house.client.post(path, content=b"{"))[:2] == (400, 3)
    assert problem(house.client.post(path, content=b"x" * 1_100_000))[:2] == (413, 8)


# who may


def test_the_cluster_judges_every_query(house: House, bob: httpx.Client, cluster: Cluster) -> None:
    query(house)
    for _ in range(2):
        for reply in (bob.post(QUERY, json=params()), bob.post(NAMED, json=by_name())):
            assert problem(reply)[:2] == (403, 7)
            assert "visits" not in reply.text
    assert [request.headers["authorization"].split()[1] for request in cluster.asked("query-features")] == [ALICE, *[BOB] * 4]
    cluster.rights[ALICE] = set()
    assert problem(house.client.post(QUERY, json=params()))[:2] == (403, 7)


def test_whom_the_cluster_refuses_learns_nothing_from_a_wrong_query(house: House, bob: httpx.Client) -> None:
    query(house)
    read(house.client)
    for reply in (
        bob.post(QUERY, json=params(joinKeyMap={})),
        bob.post(NAMED, json=by_name(features=["nothing.*"])),
        bob.post(QUERY, json=params(featureServiceName="fraud")),
        bob.post("/api/v1/feature-service/get-features", json=params()),
    ):
        assert problem(reply)[:2] == (403, 7)
        assert "user_id" not in reply.text


def test_an_answered_query_is_a_grant_and_a_refused_one_ends_it(house: House, cluster: Cluster) -> None:
    query(house)
    house.clock.advance(29)
    query(house)
    house.clock.advance(29)
    assert house.client.get(SCHEMA).status_code == 200
    assert len(cluster.asked("metadata")) == 1
    cluster.act("query-features", refuse(403, "may see, may not read", 7))
    assert problem(house.client.post(QUERY, json=params())) == (403, 7, "may see, may not read")
    cluster.rights[ALICE] = set()
    assert house.client.get(SCHEMA).status_code == 403


def test_without_a_credential_nobody_is_asked(house: House, cluster: Cluster) -> None:
    with house.as_caller(None) as nobody:
        assert problem(nobody.post(QUERY, json=params()))[:2] == (401, 16)
        assert problem(nobody.post(NAMED, content=b"{"))[:2] == (401, 16)
    assert not cluster.requests


def test_with_keys_of_its_own_the_gateway_judges_by_workspace(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url, auth={"keys": OWN_KEYS})
    tree["origin"]["api_key"] = ALICE
    with open_house(tree, READER) as house:
        assert len(query(house)["results"]) == 3
        assert problem(house.client.post(NAMED.replace(":query", ""), json=by_name(features=[])))[:2] == (400, 3)
        before = len(cluster.requests)
        with house.as_caller(STRANGER) as stranger:
            assert problem(stranger.post(QUERY, json=params()))[:2] == (403, 7)
            assert problem(stranger.post(NAMED, json=by_name()))[:2] == (403, 7)
        assert len(cluster.requests) == before


def test_a_service_that_does_not_exist_is_not_found(house: House) -> None:
    assert problem(house.client.post(QUERY, json=params(featureServiceName="nothing")))[:2] == (404, 5)
    assert problem(house.client.post(NAMED.replace("visits", "nothing"), json=by_name()))[:2] == (404, 5)


# the schema


CHANGES: dict[str, Service] = {
    "a feature inserted at position 0": VISITS.with_first("aaa.amount", FLOAT64),
    "a feature removed": VISITS.without("user.age"),
    "a feature of another type": VISITS.retyped("user.age", STRING),
    "the output keys in another order": replace(VISITS, output_keys={"day": STRING, "merchant_id": INT64}),
    "an output key less": replace(VISITS, output_keys={"merchant_id": INT64}),
    "an output key of another type": replace(VISITS, output_keys={"merchant_id": STRING, "day": STRING}),
    "an on-demand view more": VISITS.with_first("basket.extra", BOOLEAN),
}


@pytest.mark.parametrize("what", CHANGES)
def test_after_a_change_the_next_query_is_right(house: House, cluster: Cluster, what: str) -> None:
    query(house)
    changed = cluster.services["prod", "visits"] = CHANGES[what]
    cluster.epoch += 1
    shown = {"includeNames": True, "includeDataTypes": True}
    columns = table(query(house, metadataOptions=shown), {})
    names = [name for name, _ in changed.features]
    for index, row in enumerate(truth(cluster, changed)):
        for name, dtype, value in zip(names, dict(changed.features).values(), row, strict=True):
            assert columns[name][index] == (int(value) if dtype == INT64 and value is not None else value)
    for name, dtype in changed.output_keys.items():
        assert columns[name] == [int(match[name]) if dtype == INT64 else match[name] for match in MATCHES]
    assert set(columns) == {*names, *changed.output_keys}


def test_output_keys_in_another_order_need_no_other_schema(house: House, cluster: Cluster) -> None:
    query(house)
    cluster.services["prod", "visits"] = CHANGES["the output keys in another order"]
    assert [result["joinKeys"] for result in query(house)["results"]] == [[match["merchant_id"], match["day"]] for match in MATCHES]
    assert len(cluster.asked("metadata")) == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["metadata"]["features"][0].update(name="aaa.other"),
        lambda document: document["metadata"]["joinKeys"][1].update(name="weekday"),
        lambda document: [document["metadata"]["features"].pop(), *[row["features"].pop() for row in document["results"]]],
        lambda document: [document["metadata"]["joinKeys"].pop(), *[row["joinKeys"].pop() for row in document["results"]]],
    ],
    ids=["another feature", "another key", "a feature less", "a key less"],
)
def test_a_reply_that_never_fits_the_metadata_is_502_and_nothing_of_it_is_served(
    house: House, cluster: Cluster, edit: Callable[[Any], object]
) -> None:
    cluster.always("query-features", Act(edit=edit))
    assert problem(house.client.post(QUERY, json=params()))[:2] == (502, 13)
    assert len(cluster.asked("metadata")) == 2


def test_a_service_that_became_a_wildcard_one_says_so_once_a_reply_shows_it(house: House, cluster: Cluster) -> None:
    cluster.services["prod", "visits"] = replace(VISITS, output_keys={})
    told = params(joinKeyMap=GIVEN)
    assert house.client.post("/api/v1/feature-service/get-features", json=told).status_code == 200
    cluster.services["prod", "visits"] = VISITS
    document = {"result": {"features": [1], "joinKeys": ["7", "mon"]}, "metadata": {"features": []}}
    cluster.act("get-features", Act(status=200, body=json.dumps(document).encode()))
    reply = house.client.post("/api/v1/feature-service/get-features", json=params(joinKeyMap={"user_id": "bob"}))
    assert "query-features" in problem(reply)[2]
    assert len(query(house)["results"]) == 3


def test_metadata_and_schema_show_the_output_keys(house: House) -> None:
    told = house.client.post("/api/v1/feature-service/metadata", json=params()).json()
    keys = [{"name": "merchant_id", "dataType": {"type": "int64"}}, {"name": "day", "dataType": {"type": "string"}}]
    assert (told["featureServiceType"], told["outputJoinKeys"]) == ("WILDCARD", keys)
    assert told["inputJoinKeys"] == [{"name": "user_id", "dataType": {"type": "string"}}]
    assert house.client.get(SCHEMA).json()["outputJoinKeys"] == keys
    assert "outputJoinKeys" not in house.client.get(f"{FRAUD}/schema").json()


def test_settings_may_say_that_a_view_depends_on_output_keys(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    views = {"visits": {"join_keys": ["user_id", "merchant_id", "day"]}, "merchant": {"join_keys": ["merchant_id"]}}
    with open_house(cluster_settings(cluster.url, views=views), ALICE) as house:
        assert [result["features"] for result in query(house)["results"]] == truth(cluster)
    assert "names a key" not in caplog.text


# time and faults


def test_a_query_ends_at_its_deadline_and_cancels_nothing(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, deadlines={"read_s": 0.3}), ALICE) as house:
        query(house)
        hold = Hold()
        house.origin.hold = hold
        assert problem(house.client.post(QUERY, json=params())) == (504, 4, "Timed out")
        assert problem(house.client.post(NAMED, json=by_name(deadlineMs=50)))[:2] == (504, 4)
        hold.release()
        ends = [dict(span.attributes or {}).get("error.type") for span in house.settle_spans(3, "origin.fetch")]
        assert set(ends[1:]) <= {None, "OriginTimeout"}  # of its own time, not CancelledError of ours


def test_a_latency_budget_cannot_be_met_with_part_of_an_answer(house: House, cluster: Cluster) -> None:
    query(house)
    hold = Hold()
    cluster.act("query-features", Act(hold=hold))
    assert problem(house.client.post(QUERY, json=params(requestOptions={"latencyBudgetMs": 50})))[:2] == (504, 4)
    hold.release()


FAULTS = [
    (refuse(429, "later", 8, retry_after="3"), (429, 8)),
    (refuse(400, "no such key (says the cluster)", 3), (400, 3)),
    (refuse(404, "gone", 5), (404, 5)),
    (html(503), (503, 14)),
    (html(500), (502, 13)),
    (Act(body=b"{}"), (502, 13)),
    (Act(body=b'{"results":[{"features":[]}],"metadata":{}}'), (502, 13)),
    (Act(body=b"<html>"), (502, 13)),
    (Act(close=True), (503, 14)),
    (Act(cut=40), (503, 14)),
]


def test_what_goes_wrong_at_the_cluster_is_told_and_the_next_query_is_right(house: House, cluster: Cluster) -> None:
    for act, wanted in FAULTS:
        cluster.act("query-features", *[act] * (2 if act.close else 1))  # a connection that closes unheard is tried once more
        reply = house.client.post(QUERY, json=params())
        assert problem(reply)[:2] == wanted
        assert reply.headers.get("retry-after") == ("3" if wanted[0] == 429 else None)
        assert [result["features"] for result in query(house)["results"]] == truth(cluster)


def test_a_fault_of_the_gateways_own_is_an_incident(house: House) -> None:
    house.origin.fails.append(RuntimeError("ann"))
    reply = house.client.post(QUERY, json=params())
    assert problem(reply)[:2] == (500, 13)
    assert "ann" not in reply.text


def test_a_client_that_goes_away_takes_nothing_along(house: House, cluster: Cluster) -> None:
    query(house)
    hold = Hold()
    cluster.act("query-features", Act(hold=hold))
    with Exchange(house.url, QUERY, params(), authorization(ALICE)) as gone:
        hold.wait_reached()
        gone.hang_up()
    seen_by(house.url)
    hold.release()
    assert len(query(house)["results"]) == 3


# telemetry


def test_a_query_is_told_in_a_span_of_its_own_with_one_for_the_cluster(house: House) -> None:
    query(house)
    [server] = house.spans("POST")
    [client] = house.settle_spans(1, "origin.fetch")
    assert server.name == f"POST {QUERY}"
    told, asked = dict(server.attributes or {}), dict(client.attributes or {})
    assert told["http.route"] == QUERY
    assert told["feature_gateway.rows"] == 3
    assert (told["feature_gateway.workspace"], told["feature_gateway.feature_service"]) == ("prod", "visits")
    assert told["feature_gateway.cache.outcome"] == "bypass"
    assert (told["feature_gateway.cache.views_hit"], told["feature_gateway.cache.views_missed"]) == (0, 12)
    assert told["feature_gateway.slo.server_time"] == asked["feature_gateway.slo.server_time"] == SLO["serverTimeSeconds"]
    assert client.parent is not None
    assert server.context is not None
    assert client.parent.span_id == server.context.span_id


def test_a_failed_query_is_told_with_its_error(house: House, cluster: Cluster) -> None:
    cluster.act("query-features", html(503))
    house.client.post(NAMED, json=by_name())
    [server] = house.spans("POST")
    [client] = house.settle_spans(1, "origin.fetch")
    for span in (server, client):
        assert dict(span.attributes or {})["error.type"] == "OriginUnavailable"
    assert dict(server.attributes or {})["http.route"] == "/v1/workspaces/{workspace}/feature-services/{feature_service}/features:query"


def test_no_span_and_no_log_holds_a_key_or_a_value(house: House, caplog: pytest.LogCaptureFixture) -> None:
    named(house, joinKeys={"user_id": "canary-user"})
    house.client.post(NAMED, json=by_name(joinKeys={"user_id": "canary-user", "other": "canary-other"}))
    told = " ".join(str(dict(span.attributes or {})) for span in house.spans()) + caplog.text
    assert "canary" not in told
    assert status(house.client) == 200
