import pytest

from gateway.feature_server.definitions import Aggregation, object_id, spell_duration
from gateway.features import FLOAT64, INT64, STRING, TIMESTAMP, DataType, array_of
from tests.feature_server.purchases import BY_USER, PURCHASES


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1s"), (90, "90s"), (600, "10m"), (5400, "90m"), (3600, "1h"), (86_400, "1d"), (604_800, "7d")]
)
def test_durations_are_spelled_in_the_largest_unit_that_divides_them(seconds: int, text: str) -> None:
    assert spell_duration(seconds) == text


@pytest.mark.parametrize(
    ("aggregation", "name", "dtype"),
    [
        (Aggregation("amount", "mean", 3600), "amount_mean_1h_1m", FLOAT64),
        (Aggregation("items", "mean", 3600), "items_mean_1h_1m", FLOAT64),
        (Aggregation("items", "sum", 86_400), "items_sum_1d_1m", INT64),
        (Aggregation("gift", "count", 60), "gift_count_1m_1m", INT64),
        (Aggregation("coupon", "last", 60), "coupon_last_1m_1m", STRING),
        (Aggregation("shipped", "max", 60), "shipped_max_1m_1m", TIMESTAMP),
        (Aggregation("coupon", "last_n", 86_400, n=5), "coupon_last_5_1d_1m", array_of(STRING)),
        (Aggregation("shop", "count_distinct", 86_400), "shop_count_distinct_1d_1m", INT64),
    ],
)
def test_features_are_named_and_typed_by_their_aggregation(aggregation: Aggregation, name: str, dtype: DataType) -> None:
    assert aggregation.name(60) == name
    assert aggregation.result(PURCHASES) == dtype


def test_a_view_serves_its_features_by_name() -> None:
    names = [feature.name for feature in BY_USER.features(PURCHASES)]
    assert names == sorted(names)
    assert names[0] == "by_user.amount_max_3m_1m"


def test_labels_are_the_aggregations_own_or_else_the_views() -> None:
    labels = BY_USER.labels()
    assert labels["by_user.items_count_1m_1m"].description == "Purchases whose items are known"
    assert labels["by_user.items_count_10m_1m"].description == "What a user buys"
    assert labels["by_user.items_count_10m_1m"].tags == (("team", "growth"),)


def test_ids_are_32_hex_digits_that_depend_on_names_alone() -> None:
    assert object_id("service", "prod", "a") == object_id("service", "prod", "a")
    assert len({object_id(kind, workspace, "a") for kind in ("service", "view") for workspace in ("prod", "dev")}) == 4
    assert len(object_id("service", "prod", "a")) == 32
    int(object_id("service", "prod", "a"), 16)
