"""Equal typed requests have equal keys; whatever differs, in type or value, never shares one."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.keys import Namespace, Namespaces, context_part, picker
from gateway.features import FLOAT64, INT64, STRING, DataType, Feature, Field, ViewLayout, array_of, map_of, struct_of
from gateway.schema import Schema
from tests.wire.strategies import DATA_TYPES, values_of

LAYOUT = ViewLayout("user", (Feature("user.count", INT64), Feature("user.city", STRING)))
USER, SHOP = Field("user", STRING), Field("shop", INT64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def exact(value: Any) -> Any:
    """A value with its types and without the order of members: equal exactly where two typed values are the same."""
    if isinstance(value, dict):
        return ("map", frozenset((name, exact(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("list", tuple(exact(inner) for inner in value))
    return (type(value).__name__, repr(value))


def shuffled(value: Any, data: st.DataObject) -> Any:
    """The same value, the members of its maps in another order."""
    if isinstance(value, dict):
        names = data.draw(st.permutations(list(value)))
        return {name: shuffled(value[name], data) for name in names}
    return [shuffled(inner, data) for inner in value] if isinstance(value, list) else value


def part(value: Any) -> str:
    return context_part({"key": value}, ["key"])


@given(JSON, st.data())
def test_the_order_of_a_maps_members_does_not_matter(value: Any, data: st.DataObject) -> None:
    assert part(shuffled(value, data)) == part(value)


@given(DATA_TYPES, st.data())
def test_contexts_of_one_type_share_a_part_exactly_where_they_are_the_same(dtype: DataType, data: st.DataObject) -> None:
    left, right = data.draw(values_of(dtype)), data.draw(values_of(dtype))
    assert (part(left) == part(right)) == (exact(left) == exact(right))


LOOKALIKES: list[Any] = [
    None, "None", "", "null", 0, -1, 1, True, False, 1.0, "1", "1.0", "True", -0.0, 0.0, float("nan"), "nan", "NaN", float("inf"), "inf",
    float("-inf"), [], [[]], [None], [1], ["1"], "[1]", {"a": 1}, {"a": "1"}, [["a", 1]], "é", "e\u0301", "\u212b",
    "\u00c5", "A\u030a", "ﬁ", "fi", "a'", 'a"', "a\\", "a\n", "a\\n", "\ufeff", " ", "\u00a0", "\u200b", 2**53, float(2**53), 2**53 + 1,
]  # fmt: skip


def test_values_that_only_look_alike_never_share_a_part() -> None:
    assert not [(left, right) for left, right in combinations(LOOKALIKES, 2) if part(left) == part(right)]


@pytest.mark.parametrize("value", LOOKALIKES)
def test_a_value_shares_its_part_with_itself(value: Any) -> None:
    assert part(value) == part(value)
    assert hash(part(value)) == hash(part(value))


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.lists(st.sampled_from("abc"), unique=True))
def test_only_the_keys_that_the_view_uses_count(context: Mapping[str, Any], names: list[str]) -> None:
    used = {name: value for name, value in context.items() if name in names}
    assert context_part(context, names) == context_part(used, names)


def test_a_missing_key_and_a_null_are_one() -> None:
    assert context_part({}, ["a"]) == context_part({"a": None}, ["a"])


def test_values_do_not_slide_from_one_name_to_the_next() -> None:
    assert context_part({"a": "x", "b": None}, ["a", "b"]) != context_part({"a": None, "b": "x"}, ["a", "b"])
    assert context_part({"a": "x', 'y"}, ["a", "b"]) != context_part({"a": "x", "b": "y"}, ["a", "b"])


@pytest.mark.parametrize(
    ("positions", "picked"),
    [([], ()), ([1], 7), ([0], "u"), ([0, 2], ("u", None)), ([2, 0], (None, "u")), ([0, 1, 2], ("u", 7, None))],
)
def test_a_picker_takes_the_values_at_its_positions(positions: list[int], picked: object) -> None:
    assert picker(positions)(("u", 7, None)) == picked


def test_a_null_join_key_is_its_own_key() -> None:
    schema = Schema((USER, SHOP), (), ())
    pick = picker([0, 1])
    keys = {pick(schema.join_values({"user": user, "shop": shop})) for user in (None, "", "None") for shop in (None, 0)}
    assert len(keys) == 6


@given(st.text(max_size=5), st.text(max_size=5), st.integers(-3, 3), st.integers(-3, 3), st.booleans())
def test_equal_typed_join_keys_have_equal_keys_and_no_others_do(a: str, b: str, m: int, n: int, spelt: bool) -> None:  # noqa: FBT001 - drawn
    schema = Schema((USER, SHOP), (), ())
    pick = picker([0, 1])
    left = pick(schema.join_values({"user": a, "shop": m}))
    right = pick(schema.join_values({"shop": str(n) if spelt else n, "user": b}))
    assert (left == right) == ((a, m) == (b, n))
    assert left != right or hash(left) == hash(right)


def test_the_same_fragment_has_the_same_namespace() -> None:
    namespaces = Namespaces()
    again = ViewLayout("user", (Feature("user.count", INT64), Feature("user.city", STRING)))
    assert namespaces.number(Namespace("live", LAYOUT, (USER,))) == namespaces.number(Namespace("live", again, (Field("user", STRING),)))


def test_whatever_makes_a_fragment_what_it_is_makes_its_namespace() -> None:
    count, city = LAYOUT.features
    identities = [
        Namespace("live", LAYOUT, (USER,), ()),
        Namespace("dev", LAYOUT, (USER,), ()),
        Namespace("live", ViewLayout("shop", LAYOUT.features), (USER,), ()),
        Namespace("live", ViewLayout("user", (count,)), (USER,), ()),
        Namespace("live", ViewLayout("user", (city, count)), (USER,), ()),
        Namespace("live", ViewLayout("user", (count, Feature("user.city", INT64))), (USER,), ()),
        Namespace("live", LAYOUT, (SHOP,), ()),
        Namespace("live", LAYOUT, (Field("user", INT64),), ()),
        Namespace("live", LAYOUT, (USER, SHOP), ()),
        Namespace("live", LAYOUT, (SHOP, USER), ()),
        Namespace("live", LAYOUT, (), ()),
        Namespace("live", LAYOUT, (), (USER,)),
        Namespace("live", LAYOUT, (USER,), (USER,)),
        Namespace("live", LAYOUT, (USER,), (Field("place", struct_of(x=INT64)),)),
        Namespace("live", LAYOUT, (USER,), (Field("place", struct_of(x=FLOAT64)),)),
        Namespace("live", LAYOUT, (USER,), (Field("place", array_of(INT64)),)),
        Namespace("live", LAYOUT, (USER,), (Field("place", map_of(INT64)),)),
        Namespace("live", LAYOUT, (USER,), (), "live/user@1"),
    ]
    namespaces = Namespaces()
    assert [namespaces.number(identity) for identity in identities] == list(range(len(identities)))
    assert [namespaces.number(identity) for identity in identities] == list(range(len(identities)))


def test_namespaces_are_never_given_again_once_they_were_renewed() -> None:
    namespaces = Namespaces()
    layouts = [ViewLayout(name, (Feature(f"{name}.x", INT64),)) for name in ("a", "b")]
    before = [namespaces.number(Namespace("w", layout, ())) for layout in layouts]
    assert before == [namespaces.number(Namespace("w", layout, ())) for layout in layouts]
    namespaces.renew()
    after = [namespaces.number(Namespace("w", layout, ())) for layout in reversed(layouts)]
    assert len({*before, *after}) == 4
