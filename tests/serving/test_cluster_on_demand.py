"""On-demand views of a cluster that the gateway computes by its settings, as long as its values are the cluster's."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.harness.clock import wait_until
from tests.harness.cluster import ALICE, FRAUD, Act, Service
from tests.harness.houses import House, cluster_settings, open_house
from tests.serving.baskets import OVER, Shop
from tests.serving.payments import FRAUD as PATH
from tests.serving.payments import KEYS, VIEW_KEYS, read

BATCH = f"{PATH}/features:batch"
MORE = {"amount": 300.0}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as shop:
        yield shop


def tree(shop: Shop, check_ratio: float = 1.0, **changed: Any) -> dict[str, Any]:
    on_demand = {"check_ratio": check_ratio, "views": {"basket": {**OVER, **changed}}}
    return cluster_settings(shop.url, views=VIEW_KEYS, on_demand=on_demand)


def function(name: str) -> str:
    return f"tests.serving.baskets:{name}"


def of_basket(answer: dict[str, Any], part: str = "source") -> set[Any]:
    return {value for name, value in answer[part].items() if name.startswith("basket.")}


def others(answer: dict[str, Any]) -> set[str]:
    return {source for name, source in answer["source"].items() if not name.startswith("basket.")}


def truth(shop: Shop, context: dict[str, Any]) -> dict[str, Any]:
    keys = {name: str(value) for name, value in KEYS.items()}
    return {name: shop.value(name, dtype, keys, context) for name, dtype in FRAUD.features if name.startswith("basket.")}


def is_true(shop: Shop, answer: dict[str, Any], context: dict[str, Any]) -> bool:
    return all(answer["features"][name] == value for name, value in truth(shop, context).items())


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_it_is_computed_from_what_is_cached_and_a_fresh_context(shop: Shop) -> None:
    with open_house(tree(shop), ALICE) as house:
        first, second = read(house.client), read(house.client, requestContext=MORE)
    assert (of_basket(first), others(first)) == ({"computed"}, {"origin"})
    assert (of_basket(second), others(second)) == ({"computed"}, {"cache"})
    assert list(second["features"]) == [name for name, _ in FRAUD.features]
    assert is_true(shop, first, {"amount": 250.0})
    assert is_true(shop, second, MORE)
    assert len(shop.asked()) == 1


def test_it_is_computed_where_its_features_are_not_neighbours(shop: Shop) -> None:
    big, over, *rest = FRAUD.features
    shop.services["prod", "fraud"] = replace(FRAUD, features=(over, *rest, big))
    with open_house(tree(shop), ALICE) as house:
        read(house.client)
        answer = read(house.client, requestContext=MORE)
    assert (of_basket(answer), others(answer)) == ({"computed"}, {"cache"})
    assert next(iter(answer["features"])) == "basket.over"
    assert is_true(shop, answer, MORE)


def test_a_feature_service_may_serve_a_part_of_it(shop: Shop) -> None:
    shop.services["prod", "fraud"] = FRAUD.without("basket.is_big")
    with open_house(tree(shop), ALICE) as house:
        answer = read(house.client)
    assert of_basket(answer) == {"computed"}
    assert "basket.is_big" not in answer["features"]


@pytest.mark.parametrize("name", ["wrong", "failing"])
def test_a_function_that_is_not_the_clusters_is_never_served(shop: Shop, caplog: pytest.LogCaptureFixture, name: str) -> None:
    with open_house(tree(shop, function=function(name)), ALICE) as house:
        for context in ({"amount": 250.0}, MORE):
            answer = read(house.client, requestContext=context)
            assert of_basket(answer) == {"origin"}
            assert is_true(shop, answer, context)
        again = read(house.client, requestContext=MORE)
        assert of_basket(again) == {"cache"}
        assert is_true(shop, again, MORE)
        house.clock.advance(301)  # metadata comes anew, and says nothing new
        assert of_basket(read(house.client)) == {"origin"}
    [told] = errors(caplog)
    assert "on-demand view basket of workspace prod is computed no longer" in told
    assert "on_demand.views.basket" in told
    assert not [canary for canary in ("250", "300", "ann", "canary") if canary in told]


def test_of_a_batch_every_row_gets_the_clusters_values(shop: Shop) -> None:
    amounts = (1.0, 20.0, 5_000.0)
    rows = [{"joinKeys": KEYS | {"merchant_id": index}, "requestContext": {"amount": amount}} for index, amount in enumerate(amounts)]
    with open_house(tree(shop, function=function("wrong_for_much")), ALICE) as house:
        answered = house.client.post(BATCH, json={"rows": rows, "include": ["source"]}).json()["rows"]
    for amount, answer in zip(amounts, answered, strict=True):
        assert of_basket(answer) == {"origin"}
        assert is_true(shop, answer, {"amount": amount})


def test_it_stays_trusted_where_it_can_be_compared_no_longer(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def time_out(document: dict[str, Any]) -> None:
        for index, item in enumerate(document["metadata"]["features"]):
            if item["name"] == "basket.over":
                item["status"], document["result"]["features"][index] = "TIME_OUT", None

    shop.always("get-features", Act(edit=time_out))
    with open_house(tree(shop, function=function("wrong")), ALICE) as house:
        assert of_basket(read(house.client)) == {"computed"}
    assert not errors(caplog)


def test_nothing_is_compared_where_the_settings_say_so(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with open_house(tree(shop, 0.0, function=function("wrong")), ALICE) as house:
        answer = read(house.client)
    assert of_basket(answer) == {"computed"}
    assert not is_true(shop, answer, {"amount": 250.0})
    assert not errors(caplog)


def test_a_slow_function_is_compared_beside_the_event_loop(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with open_house(tree(shop, function=function("late"), time_limit_s=20.0), ALICE) as house:
        read(house.client)
        wait_until(lambda: bool(errors(caplog)), "the comparison")
        answer = read(house.client, requestContext=MORE)
        assert of_basket(answer) == {"origin"}
        assert is_true(shop, answer, MORE)


SERVICES: dict[str, tuple[dict[str, Any], Service]] = {
    "inputs: the feature service does not serve user.height": ({"inputs": {"user": ["age", "height"]}}, FRAUD),
    "inputs: the feature service does not serve users.age": ({"inputs": {"users": ["age"]}}, FRAUD),
    "context_keys: the feature service has no country": ({"context_keys": ["amount", "country"]}, FRAUD),
    "outputs: the cluster also serves basket.over": ({"outputs": {"is_big": "boolean"}}, FRAUD),
    "outputs.over: the cluster says float64": ({"outputs": {"is_big": "boolean", "over": "array<float64>"}}, FRAUD),
}


@pytest.mark.parametrize("told", SERVICES)
def test_what_does_not_fit_is_told_once_and_left_to_the_cluster(shop: Shop, caplog: pytest.LogCaptureFixture, told: str) -> None:
    changed, service = SERVICES[told]
    shop.services["prod", "fraud"] = service
    with open_house(tree(shop, **changed), ALICE) as house:
        _twice_from_the_cluster(shop, house)
        house.clock.advance(301)
        read(house.client)
    warnings = [record.getMessage() for record in caplog.records if "on_demand.views" in record.getMessage()]
    assert warnings == [f"on_demand.views.basket.{told}; in such feature services the view is left to the cluster"]


def _twice_from_the_cluster(shop: Shop, house: House) -> None:
    for context in ({"amount": 250.0}, MORE):
        answer = read(house.client, requestContext=context)
        assert of_basket(answer) == {"origin"}
        assert is_true(shop, answer, context)


def test_services_without_it_and_wildcard_ones_are_as_they_were(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with open_house(tree(shop, function=function("wrong")), ALICE) as house:
        read(house.client, "/v1/workspaces/prod/feature-services/lite", requestContext={})
        query = {"joinKeys": {"user_id": "ann"}, "requestContext": MORE, "include": ["source"]}
        reply = house.client.post("/v1/workspaces/prod/feature-services/visits/features:query", json=query)
        assert {source for result in reply.json()["results"] for source in result["source"].values()} == {"origin"}
    assert not caplog.records
