from dataclasses import replace

import pytest

from gateway.feature_server.catalog import Catalog, ServedView, ServiceRuntime, ViewRuntime
from gateway.feature_server.definitions import Aggregation, Attribute, FeatureService, FeatureView, Repository, ViewUse, Workspace
from gateway.feature_server.validation import DefinitionError
from gateway.features import ServiceRef
from tests.feature_server.purchases import BY_SHOP, BY_USER, PURCHASES, REPOSITORY

[SHOP] = REPOSITORY.workspaces
CATALOG = Catalog(REPOSITORY)


def fingerprint(workspace: Workspace) -> str:
    """Of all that is stored, as the store knows it."""
    return " ".join(view.stored_as for view in Catalog(Repository((workspace,))).views)


def view(name: str) -> ViewRuntime:
    return next(one for one in CATALOG.views if one.name == name)


def served(name: str) -> ServedView:
    service = CATALOG.service(ServiceRef("shop", "checkout"))
    assert service is not None
    return service.views[name]


def with_user_view(**changes: object) -> Workspace:
    return replace(SHOP, views=(replace(BY_USER, **changes), *SHOP.views[1:]), services=(), on_demand=())  # type: ignore[arg-type]


def test_a_catalog_of_definitions_that_make_no_sense_cannot_be_made() -> None:
    with pytest.raises(DefinitionError):
        Catalog(Repository((SHOP, SHOP)))


def test_what_shapes_stored_tiles_changes_the_fingerprint() -> None:
    ours = fingerprint(SHOP)
    different = {
        fingerprint(with_user_view(interval_s=30)),
        fingerprint(with_user_view(join_keys=("user", "shop"))),
        fingerprint(with_user_view(aggregations=(*BY_USER.aggregations, Aggregation("amount", "last", 60)))),
        fingerprint(replace(SHOP, sources=(replace(PURCHASES, record_key=("order", "user", "shop", "items")), *SHOP.sources[1:]))),
        fingerprint(replace(SHOP, name="shop2")),
    }
    assert ours not in different
    assert len(different) == 5


def test_what_does_not_leaves_it_alone() -> None:
    renamed = replace(SHOP, services=(FeatureService("other", ("by_user",)),), on_demand=(), context=())
    assert fingerprint(renamed) == fingerprint(SHOP)
    assert fingerprint(with_user_view(description="something else", tags={}, ttl_s=10_000)) == fingerprint(SHOP)
    assert fingerprint(with_user_view(aggregations=(*BY_USER.aggregations, Aggregation("amount", "sum", 120)))) == fingerprint(SHOP)


def test_keys_are_typed_and_ordered_as_the_view_says() -> None:
    keys = [
        served("by_shop").key_of_request(keys) for keys in ({"shop": 1, "user": "1"}, {"user": "1", "shop": 1}, {"shop": "1", "user": "1"})
    ]
    assert keys[0] == keys[1] != keys[2]
    assert served("by_shop").key_of_request({"shop": 1, "user": "1", "more": 2}) == keys[0]
    assert len({served("by_user").key_of_request({"user": one}) for one in (1, "1", 1.0, True)}) == 4
    assert served("by_user").key_of_request({"user": None}) is None


def test_a_row_and_a_request_agree_on_the_key() -> None:
    row = [0, "o1", "ann", 7, None, None, None, None, None]
    assert view("by_shop").key_of_row(row) == served("by_shop").key_of_request({"user": "ann", "shop": 7})


def test_sources_know_their_views_and_what_a_record_must_have() -> None:
    purchases, visits = CATALOG.sources["shop", "purchases"], CATALOG.sources["shop", "visits"]
    assert [one.view for one in purchases.views] == [BY_USER, BY_SHOP]
    assert purchases.required == {"at", "order", "user", "shop"}
    assert visits.required == {"at", "user", "shop"}
    [by_user, _] = visits.views
    assert by_user.identity_of_row([0, "ann", 7, 1]) == b""
    assert view("by_user").identity_of_row([0, "o1", "ann", 7]) != view("by_user").identity_of_row([0, "o2", "ann", 7])


def service_of(*uses: str | ViewUse) -> ServiceRuntime:
    catalog = Catalog(Repository((replace(SHOP, services=(FeatureService("one", uses),)),)))
    found = catalog.service(ServiceRef("shop", "one"))
    assert found is not None
    return found


def test_a_use_gives_its_own_names_to_a_view_its_features_and_its_join_keys() -> None:
    mean = "amount_mean_1m_1m"
    use = ViewUse("by_user", features=(mean, "amount_sum_1m_1m"), alias="buyer", renames={mean: "usual"}, join_keys={"user": "buyer_id"})
    service = service_of(use, "user_visits")
    assert [feature.name for feature in service.description.features] == [
        "buyer.amount_sum_1m_1m",
        "buyer.usual",
        "user_visits.seconds_count_10m_1m",
        "user_visits.seconds_sum_10m_1m",
    ]
    assert [key.name for key in service.description.join_keys] == ["buyer_id", "user"]
    view = service.views["buyer"]
    assert view.runtime.view is BY_USER
    assert view.layout.names[:3] == ("buyer.amount_max_3m_1m", "buyer.amount_mean_10m_1m", "buyer.usual")
    assert len(view.layout) == len(BY_USER.aggregations)
    assert view.key_of_request({"buyer_id": "ann", "user": "bob"}) == view.key_of_request({"buyer_id": "ann"})
    assert view.key_of_request({"user": "ann"}) is None
    assert service.description.views["buyer"].join_keys == ("buyer_id",)


def test_join_keys_are_told_in_the_order_in_which_views_need_them_and_those_of_on_demand_views_first() -> None:
    service = service_of("by_shop", "overspend", ViewUse("by_user", alias="a", join_keys={"user": "who"}))
    assert [key.name for key in service.description.join_keys] == ["user", "who", "shop"]
    assert list(service.views) == ["a", "by_shop", "by_user"]
    assert not service.description.views["by_user"].emitted


def test_a_view_of_attributes_serves_them_by_name() -> None:
    attributes = FeatureView(
        "last", "purchases", ("user",), attributes=(Attribute("shop"), Attribute("amount", alias="paid"), Attribute("at"))
    )
    catalog = Catalog(Repository((replace(SHOP, views=(attributes,), services=(FeatureService("one", ("last",)),), on_demand=()),)))
    service = catalog.service(ServiceRef("shop", "one"))
    assert service is not None
    assert [(feature.name, str(feature.dtype)) for feature in service.description.features] == [
        ("last.at", "timestamp"),
        ("last.paid", "float64"),
        ("last.shop", "int64"),
    ]


def test_a_service_with_a_serving_index_is_a_wildcard_service() -> None:
    indexed = replace(BY_SHOP, serving_index=("user",))
    workspace = replace(SHOP, views=(BY_USER, indexed), services=(FeatureService("one", ("by_shop", "by_user")),), on_demand=())
    service = Catalog(Repository((workspace,))).service(ServiceRef("shop", "one"))
    assert service is not None
    description = service.description
    assert description.kind == "WILDCARD"
    assert [key.name for key in description.join_keys] == ["user"]
    assert [key.name for key in description.output_join_keys] == ["shop"]
    assert {facts.join_keys for facts in description.views.values()} == {None}
    assert service.index_of_request({"user": "ann"})[1] == view("by_user").key_of_row([0, "o", "ann"])
    assert service.index_of_request({"shop": 1})[1] is None
