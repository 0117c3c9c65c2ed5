"""Names that mean the same in every process: equal where the keys are, and nowhere else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.keys import Key, Namespace, context_part
from gateway.cache.sharing import EVERYTHING, Stem, base_name, scope_name
from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, DataType, Feature, Field, ReadOptions, ViewLayout, array_of, struct_of
from tests.cache.replicas import LAYOUT, NAMESPACE, USER

SCALARS: dict[DataType, st.SearchStrategy[Any]] = {
    INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2),
    FLOAT64: st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0]),
    STRING: st.text("a1é\0", max_size=3) | st.sampled_from(["1", "1.0", "", "None"]),
    BOOLEAN: st.booleans(),
}
WORDS = st.sampled_from(["a", "b", "a.b", 'a","b', "", "null"])
TYPES = st.sampled_from([INT64, STRING, array_of(INT64), struct_of(a=INT64), struct_of(a=STRING), struct_of(**{"a: int64, b": INT64})])
FIELDS = st.lists(st.builds(Field, WORDS, TYPES), max_size=2).map(tuple)
LAYOUTS = st.builds(ViewLayout, WORDS, st.lists(st.builds(Feature, WORDS, TYPES), max_size=2).map(tuple))
NAMESPACES = st.builds(Namespace, WORDS, LAYOUTS, FIELDS, FIELDS, st.none() | WORDS)
OPTIONS = st.builds(
    ReadOptions,
    coerce_null_counts_to_zero=st.none() | st.booleans(),
    aggregation_leading_edge=st.none() | WORDS,
    ignore_extra_request_context_fields=st.booleans(),
)


@st.composite
def keys(draw: st.DrawFn, types: tuple[DataType, ...]) -> Key:
    """A key as the read path makes it: of values of these types, or null."""
    values = tuple(draw(st.none() | SCALARS[one]) for one in types)
    rest: Key = ()
    if draw(st.booleans()):
        rest = (context_part({"x": draw(st.none() | st.integers(0, 2) | WORDS)}, ["x"]), draw(OPTIONS).variant)
    return (1, values[0] if len(values) == 1 else values, *rest)


@given(st.data(), st.lists(st.sampled_from(list(SCALARS)), max_size=3))
def test_within_a_namespace_names_are_equal_where_keys_are(data: st.DataObject, types: list[DataType]) -> None:
    left, right = data.draw(keys(tuple(types))), data.draw(keys(tuple(types)))
    one, two = Stem(NAMESPACE).name(left), Stem(NAMESPACE).name(right)
    assert (one[1:] == two[1:]) == (left == right)
    assert (one.base == two.base) == (left[:2] == right[:2])


@given(NAMESPACES, NAMESPACES)
def test_two_namespaces_share_entries_only_if_they_are_one(left: Namespace, right: Namespace) -> None:
    one, two = Stem(left).name((1, "ann")), Stem(right).name((2, "ann"))
    assert (one[1:] == two[1:]) == (left == right)


@given(st.lists(st.sampled_from(list(SCALARS)), min_size=1, max_size=3), st.data())
def test_values_of_other_types_never_share_a_name(types: list[DataType], data: st.DataObject) -> None:
    values = tuple(data.draw(SCALARS[one]) for one in types)
    others = tuple(data.draw(SCALARS[data.draw(st.sampled_from(list(SCALARS)))]) for _ in types)
    same = [(type(value), value) for value in values] == [(type(value), value) for value in others]
    assert (base_name("prod", "user", values) == base_name("prod", "user", others)) == same


def test_a_name_is_the_same_in_every_process_and_says_nothing_of_the_join_keys() -> None:
    name = Stem(NAMESPACE).name((7, "ann"))
    assert name.base.hex() == base_name("prod", "users@1", ("ann",)).hex() == "57d5be85589f420fa1dafc382635e91d"
    assert name.entry.hex() == "6e49f231ef47e4af5ea082f6f393ad72"


def test_the_base_is_what_an_ingest_tells_whatever_services_make_of_the_view() -> None:
    renamed = Namespace("prod", ViewLayout("customer", LAYOUT.features[:1]), (Field("customer", STRING),), (USER,), "users@1")
    name, other = Stem(NAMESPACE).name((1, "ann")), Stem(renamed).name((2, "ann", "['x']", None))
    assert name.base == other.base == base_name("prod", "users@1", ("ann",))
    assert name.entry != other.entry
    unnamed = Namespace("prod", LAYOUT, (USER,))
    assert Stem(unnamed).name((1, "ann")).base == base_name("prod", "user", ("ann",))


def test_a_stem_knows_all_purges_that_mean_its_view() -> None:
    assert Stem(NAMESPACE).scopes == (
        EVERYTHING,
        scope_name("prod", None),
        scope_name(None, "user"),
        scope_name(None, "users@1"),
        scope_name("prod", "user"),
        scope_name("prod", "users@1"),
    )


@pytest.mark.parametrize("workspace", [None, "a", 'a","b'])
def test_scopes_do_not_slide_into_one_another(workspace: str | None) -> None:
    names = {scope_name(workspace, view) for view in (None, "b", 'b"]', "null")}
    assert len(names) == 4
