"""Requests held against a schema: the contract's texts, word for word, and never a value in one of them."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.features import BOOLEAN, FLOAT32, FLOAT64, INT64, STRING, TIMESTAMP, DataType, Feature, Field, array_of, map_of, struct_of
from gateway.schema import Schema, compile_check
from tests.wire.strategies import Typed, named_model, positional_model, typed

TOKEN = "t0ken-7731"
KEYS = (Field("user", STRING), Field("shop", INT64))
PLACE = struct_of(x=FLOAT64, y=INT64)
CONTEXT = (Field("amount", FLOAT64), Field("place", PLACE))
FEATURES = (Feature("a.x", INT64),)
SCHEMA = Schema(KEYS, CONTEXT, FEATURES)


def context(dtype: DataType, value: Any, **options: Any) -> Any:
    return Schema((), (Field("key", dtype),), ()).context_values({"key": value}, **options)["key"]


def refusal(dtype: DataType, value: Any, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        context(dtype, value, **options)
    return refused.value.message


@pytest.mark.parametrize("given_keys", [{"user": "u1", "shop": 7}, {"shop": "7", "user": "u1"}])
def test_join_values_stand_in_schema_order_whatever_the_callers_order(given_keys: dict[str, Any]) -> None:
    assert SCHEMA.join_values(given_keys) == ("u1", 7)


@pytest.mark.parametrize("number", [0, 1, -1, 7731, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_an_int64_is_one_value_as_a_number_and_as_a_string(number: int) -> None:
    values = [SCHEMA.join_values({"user": "u", "shop": shop})[1] for shop in (number, str(number))]
    assert values == [number, number]
    assert [type(value) for value in values] == [int, int]


def test_minus_zero_is_zero() -> None:
    assert repr(SCHEMA.join_values({"user": "u", "shop": "-0"})) == "('u', 0)"


@pytest.mark.parametrize(
    "shop",
    [1.0, 1.5, True, False, " 1", "1 ", "01", "-01", "+1", "1.0", "1e3", "", "-", "--1", "0x1", "1_0", "1\n", "\u0661", "\uff11",
     "one", TOKEN,     2**63, -(2**63) - 1, str(2**63), str(-(2**63) - 1), "9" * 5000, [], [1], {}, {"a": 1}],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_int64_is_refused_in_the_contracts_words(shop: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SCHEMA.join_values({"user": "u", "shop": shop})
    assert refused.value.message == "Unexpected JSON type for shop in joinKeyMap. Expected int64 or null."


@pytest.mark.parametrize("user", [1, 1.0, True, [], ["u"], {}])
def test_a_string_key_takes_strings_alone(user: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SCHEMA.join_values({"user": user, "shop": 1})
    assert refused.value.message == "Unexpected JSON type for user in joinKeyMap. Expected string or null."


@pytest.mark.parametrize("text", ["", "1", " u ", "null", "é", "e\u0301", "\0", "😀", "x" * 10_000])
def test_a_string_key_is_never_changed(text: str) -> None:
    assert SCHEMA.join_values({"user": text, "shop": 1}) == (text, 1)


def test_a_null_join_key_is_a_value() -> None:
    assert SCHEMA.join_values({"user": None, "shop": None}) == (None, None)


@pytest.mark.parametrize(
    ("given_keys", "text"),
    [
        ({}, "Missing required join key: user"),
        ({"user": "u"}, "Missing required join key: shop"),
        ({"User": "u", "shop": 1}, "Missing required join key: user"),
        ({"user": "u", "shop": 1, "other": TOKEN}, "Unknown join key: other, expected one of: [user shop]"),
        ({"o" * 500: TOKEN, "user": "u", "shop": 1}, f"Unknown join key: {'o' * 200}, expected one of: [user shop]"),
    ],
)
def test_keys_that_do_not_fit_are_refused_in_the_contracts_words(given_keys: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SCHEMA.join_values(given_keys)
    assert refused.value.message == text


def test_some_of_the_join_keys_are_typed_by_name() -> None:
    assert SCHEMA.some_join_values({}) == {}
    assert SCHEMA.some_join_values({"shop": "7"}) == SCHEMA.some_join_values({"shop": 7}) == {"shop": 7}
    assert SCHEMA.some_join_values({"user": None, "shop": None}) == {"user": None, "shop": None}


@pytest.mark.parametrize(
    ("given_keys", "text"),
    [
        ({"shop": TOKEN}, "Unexpected JSON type for shop in joinKeys. Expected int64 or null."),
        ({"user": 7}, "Unexpected JSON type for user in joinKeys. Expected string or null."),
        ({"user": "u", "gate": TOKEN}, "Unknown join key: gate, expected one of: [user shop]"),
    ],
)
def test_of_some_of_the_join_keys_each_must_fit(given_keys: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SCHEMA.some_join_values(given_keys)
    assert refused.value.message == text


def test_a_service_without_join_keys_takes_none() -> None:
    schema = Schema((), (), ())
    assert schema.join_values({}) == ()
    with pytest.raises(InvalidRequest, match=r"^Unknown join key: user, expected one of: \[\]$"):
        schema.join_values({"user": "u"})


def test_a_missing_context_key_is_refused_in_the_contracts_words() -> None:
    with pytest.raises(InvalidRequest) as refused:
        SCHEMA.context_values({"amount": 1})
    assert refused.value.message == "Expected key not found: [place] in requestContextMap"


def test_a_null_context_key_is_there() -> None:
    assert SCHEMA.context_values({"amount": None, "place": None}) == {"amount": None, "place": None}


def test_context_that_no_view_uses_is_dropped() -> None:
    assert SCHEMA.context_values({"amount": 1, "place": None, "other": TOKEN}) == {"amount": 1.0, "place": None}


@pytest.mark.parametrize(
    ("dtype", "value", "read"),
    [
        (STRING, "a", "a"),
        (INT64, "7", 7),
        (INT64, 7, 7),
        (FLOAT64, 7, 7.0),
        (FLOAT64, 7.5, 7.5),
        (FLOAT64, -0.0, -0.0),
        (FLOAT64, "NaN", math.nan),
        (FLOAT64, "Infinity", math.inf),
        (FLOAT32, "-Infinity", -math.inf),
        (FLOAT32, 2**63 - 1, float(2**63 - 1)),
        (BOOLEAN, False, False),
        (TIMESTAMP, "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        (TIMESTAMP, "2024-01-01T00:00:00.123456789+05:30", "2024-01-01T00:00:00.123456789+05:30"),
        (array_of(INT64), [], []),
        (array_of(INT64), [1, "2", None], [1, 2, None]),
        (array_of(array_of(FLOAT64)), [[1], None, ["NaN"]], [[1.0], None, [math.nan]]),
        (map_of(INT64), {"b": "1", "a": None}, {"b": 1, "a": None}),
        (PLACE, {"y": "1", "x": 2}, {"x": 2.0, "y": 1}),
        (PLACE, [2, "1"], {"x": 2.0, "y": 1}),
        (PLACE, {}, {"x": None, "y": None}),
        (PLACE, {"x": None}, {"x": None, "y": None}),
        (array_of(PLACE), [[1, 2], {"y": 3}, None], [{"x": 1.0, "y": 2}, {"x": None, "y": 3}, None]),
        (struct_of(inner=map_of(array_of(PLACE))), [{"a": [[1, "2"]]}], {"inner": {"a": [{"x": 1.0, "y": 2}]}}),
    ],
)
def test_context_of_every_type_is_read(dtype: DataType, value: Any, read: Any) -> None:
    assert repr(context(dtype, value)) == repr(read)
    assert repr(context(dtype, value, ignore_extra_fields=True)) == repr(read)


@pytest.mark.parametrize("ignore_extra_fields", [False, True])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (STRING, 1),
        (STRING, [TOKEN]),
        (INT64, 1.0),
        (INT64, TOKEN),
        (FLOAT64, TOKEN),
        (FLOAT64, "1.5"),
        (FLOAT64, "nan"),
        (FLOAT64, True),
        (FLOAT64, []),
        (BOOLEAN, 1),
        (BOOLEAN, "true"),
        (TIMESTAMP, TOKEN),
        (TIMESTAMP, 0),
        (TIMESTAMP, "2024-01-01"),
        (TIMESTAMP, "2024-01-01T00:00:00"),
        (TIMESTAMP, "2024-01-01T00:00:00Z "),
        (TIMESTAMP, "2024-01-01T00:00:00.1234567890Z"),
        (array_of(INT64), TOKEN),
        (array_of(INT64), {"0": 1}),
        (array_of(INT64), [1, TOKEN]),
        (array_of(INT64), [[1]]),
        (map_of(INT64), [1]),
        (map_of(INT64), {"a": TOKEN}),
        (PLACE, TOKEN),
        (PLACE, []),
        (PLACE, [1]),
        (PLACE, [1, 2, 3]),
        (PLACE, [1, TOKEN]),
        (PLACE, {"x": TOKEN}),
        (array_of(PLACE), [{"x": 1}, {"x": TOKEN}]),
    ],
)
def test_context_of_the_wrong_type_is_refused_in_the_contracts_words(dtype: DataType, value: Any, *, ignore_extra_fields: bool) -> None:
    message = refusal(dtype, value, ignore_extra_fields=ignore_extra_fields)
    assert message == f"Unexpected JSON type for key in requestContextMap. Expected {dtype} or null."


@pytest.mark.parametrize("text", ["٢٠٢٤-01-01T00:00:00Z", "2024-01-01T00:00:0\uff10Z"])
def test_a_timestamp_has_ascii_digits(text: str) -> None:
    assert refusal(TIMESTAMP, text).endswith("Expected timestamp or null.")


def test_an_integer_beyond_every_float_is_refused() -> None:
    assert refusal(FLOAT64, 10**400).endswith("Expected float64 or null.")


@pytest.mark.parametrize("dtype", [PLACE, array_of(PLACE), map_of(PLACE), struct_of(deep=PLACE)], ids=str)
def test_extra_fields_of_a_struct_are_refused_or_ignored_as_the_caller_says(dtype: DataType) -> None:
    wrap: dict[DataType, Callable[[Any], Any]] = {
        array_of(PLACE): lambda one: [one],
        map_of(PLACE): lambda one: {"k": one},
        struct_of(deep=PLACE): lambda one: {"deep": one},
    }
    around = wrap.get(dtype, lambda one: one)
    extra = around({"x": 1, "y": 2, TOKEN: 3})
    assert refusal(dtype, extra) == f"Unexpected JSON type for key in requestContextMap. Expected {dtype} or null."
    assert context(dtype, extra, ignore_extra_fields=True) == around({"x": 1.0, "y": 2})


def test_ignoring_extra_fields_does_not_lengthen_a_struct_given_as_a_list() -> None:
    assert refusal(PLACE, [1, 2, 3], ignore_extra_fields=True)


@given(typed())
def test_a_value_is_the_same_in_the_spelling_of_either_door(one: Typed) -> None:
    check = compile_check(one.dtype)
    spellings = [positional_model(one.dtype, one.value), named_model(one.dtype, one.value)]
    assert [repr(check(json.loads(json.dumps(spelling)))) for spelling in spellings] == [repr(one.value)] * 2


@given(
    typed(),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_any_json_is_a_value_of_the_type_or_a_value_error(one: Typed, value: Any) -> None:
    for lenient in (False, True):
        try:
            compile_check(one.dtype, lenient=lenient)(value)
        except ValueError as refused:
            assert str(refused) == ""  # noqa: PT017 - a value is as good


@given(st.text(), st.integers(), st.text(min_size=1))
def test_no_refusal_of_a_key_shows_its_value(user: str, shop: int, other: str) -> None:
    for given_keys in (
        {"user": TOKEN + user},
        {"user": "u", "shop": TOKEN + user},
        {"user": "u", "shop": 1, "other": TOKEN + other + str(shop)},
    ):
        with pytest.raises(InvalidRequest) as refused:
            SCHEMA.join_values(given_keys)
        assert TOKEN not in refused.value.message


def test_schemas_are_equal_by_what_they_say() -> None:
    assert Schema(KEYS, CONTEXT, FEATURES) == SCHEMA
    assert hash(Schema(KEYS, CONTEXT, FEATURES)) == hash(SCHEMA)
    assert Schema(KEYS[::-1], CONTEXT, FEATURES) != SCHEMA
    assert Schema(KEYS, CONTEXT[:1], FEATURES) != SCHEMA
    assert Schema(KEYS, CONTEXT, (Feature("a.x", STRING),)) != SCHEMA
    assert SCHEMA != (KEYS, CONTEXT, FEATURES)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.integers(-2, 2).map(str), st.sampled_from(["", "a", "1.0"]))


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), SCALARS), st.sampled_from([(STRING, STRING), (STRING, INT64), (STRING,), ()]))
def test_what_is_looked_up_finds_just_what_a_checked_request_kept(given_keys: dict[str, Any], dtypes: tuple[DataType, ...]) -> None:
    schema = Schema(tuple(Field(name, dtype) for name, dtype in zip("ab", dtypes, strict=False)), (), FEATURES)
    try:
        checked = schema.join_values(given_keys)
    except InvalidRequest:
        checked = None
    try:
        found = schema.values_to_find(given_keys)
    except InvalidRequest:
        assert checked is None
    else:
        kept = checked is not None or any(type(value) not in {str, type(None)} for value in found)
        assert kept, "what is refused is equal to nothing that a request which was not refused can have kept"
        assert checked is None or repr(found) == repr(checked)
