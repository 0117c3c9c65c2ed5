from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.features import (
    CACHED,
    FLOAT64,
    INT64,
    PLAIN,
    STRING,
    UNCACHED,
    Caller,
    DataType,
    Feature,
    Kind,
    ReadOptions,
    ServiceRef,
    Status,
    ViewLayout,
    Written,
    array_of,
    map_of,
    pattern_of,
    split_views,
    statuses_of,
    struct_of,
)

FEATURES = st.lists(
    st.builds(lambda view, index: Feature(f"{view}.f{index}", INT64), st.sampled_from("abc"), st.integers(0, 9)), max_size=12
)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (INT64, "int64"),
        (array_of(array_of(STRING)), "array<array<string>>"),
        (map_of(FLOAT64), "map<string, float64>"),
        (struct_of(x=INT64, y=array_of(STRING)), "struct<x: int64, y: array<string>>"),
        (DataType(Kind.STRUCT), "struct<>"),
    ],
)
def test_a_type_prints_as_people_write_it(dtype: DataType, text: str) -> None:
    assert str(dtype) == text


@pytest.mark.parametrize(("name", "view"), [("user.count", "user"), ("a.b.c", "a"), ("bare", "bare"), (".x", "")])
def test_a_features_view_is_what_stands_before_the_first_dot(name: str, view: str) -> None:
    assert Feature(name, INT64).view == view


@given(FEATURES)
def test_splitting_keeps_every_feature_in_its_place(features: list[Feature]) -> None:
    layouts = split_views(features)
    assert [feature for layout in layouts for feature in layout.features] == features
    assert all({feature.view for feature in layout.features} == {layout.view} for layout in layouts)
    assert all(left.view != right.view for left, right in pairwise(layouts))


def test_a_view_whose_features_are_apart_gives_a_layout_for_each_run() -> None:
    features = [Feature("a.x", INT64), Feature("b.y", INT64), Feature("a.z", STRING)]
    layouts = split_views(features)
    assert [layout.names for layout in layouts] == [("a.x",), ("b.y",), ("a.z",)]
    assert [len(layout) for layout in layouts] == [1, 1, 1]


def test_layouts_are_equal_by_names_types_and_order() -> None:
    x, y = Feature("a.x", INT64), Feature("a.y", INT64)
    assert ViewLayout("a", (x, y)) == ViewLayout("a", (x, y))
    assert len({ViewLayout("a", (x, y)), ViewLayout("a", (y, x)), ViewLayout("a", (x, Feature("a.y", STRING)))}) == 3


@pytest.mark.parametrize("status", list(Status))
def test_cached_and_plain_statuses_are_each_others_opposites(status: Status) -> None:
    assert UNCACHED.get(CACHED.get(status, status), status) == UNCACHED.get(status, status)
    assert CACHED.get(status, status) is Status.TIME_OUT or CACHED.get(status, status).startswith("CACHED_")


@given(st.lists(st.sampled_from(list(Status)), max_size=20).map(tuple))
def test_a_pattern_is_its_statuses(statuses: tuple[Status, ...]) -> None:
    assert statuses_of(pattern_of(statuses)) == statuses
    assert len(pattern_of(statuses)) == len(statuses)


@given(st.lists(st.sampled_from(list(Status)), max_size=4), st.lists(st.sampled_from(list(Status)), max_size=4))
def test_different_statuses_have_different_patterns(left: list[Status], right: list[Status]) -> None:
    assert (pattern_of(left) == pattern_of(right)) == (left == right)


@pytest.mark.parametrize("status", list(Status))
def test_a_status_is_found_by_its_text(status: Status) -> None:
    assert {status: 1}[Status(str(status))] == 1
    assert hash(status) == hash(status.value)


@pytest.mark.parametrize(("service", "text"), [(ServiceRef("w", "fs"), "w/fs"), (ServiceRef("w", id="0" * 32), "w/" + "0" * 32)])
def test_a_service_prints_as_it_was_named(service: ServiceRef, text: str) -> None:
    assert str(service) == text


def test_a_caller_prints_no_credential() -> None:
    assert "t0ken" not in repr(Caller(b"key", "Tecton-key t0ken-7731"))
    assert "t0ken" not in str(Caller(b"key", "Tecton-key t0ken-7731").__rich_repr__())


def test_a_plain_read_has_no_variant() -> None:
    assert PLAIN.variant is None
    same = ReadOptions(read_from_cache=False, write_to_cache=False, latency_budget_ms=5, allow_partial_results=True)
    assert same.variant is None


def test_options_that_change_values_have_variants_of_their_own() -> None:
    variants = [
        ReadOptions(coerce_null_counts_to_zero=False).variant,
        ReadOptions(coerce_null_counts_to_zero=True).variant,
        ReadOptions(aggregation_leading_edge="AGGREGATION_MODE_WALL_CLOCK_TIME").variant,
        ReadOptions(aggregation_leading_edge="AGGREGATION_MODE_LATEST_EVENT_TIME").variant,
        ReadOptions(ignore_extra_request_context_fields=True).variant,
        ReadOptions(ignore_extra_request_context_fields=True, coerce_null_counts_to_zero=True).variant,
    ]
    assert None not in variants
    assert len(set(variants)) == len(variants)


def test_what_was_written_does_not_show_its_join_keys() -> None:
    assert "ann" not in repr(Written("prod", "by_user", ("ann",)))
