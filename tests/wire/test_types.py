from typing import Any

import pytest
from hypothesis import given

from gateway.features import BOOLEAN, FLOAT32, FLOAT64, INT64, STRING, TIMESTAMP, DataType, array_of, map_of, struct_of
from gateway.wire.types import MAX_NESTING, decode_type, encode_type
from tests.wire.strategies import DATA_TYPES

SPELLINGS = [
    (INT64, {"type": "int64"}),
    (FLOAT64, {"type": "float64"}),
    (FLOAT32, {"type": "float32"}),
    (BOOLEAN, {"type": "boolean"}),
    (STRING, {"type": "string"}),
    (TIMESTAMP, {"type": "timestamp"}),
    (array_of(STRING), {"type": "array", "elementType": {"type": "string"}}),
    (map_of(INT64), {"type": "map", "keyType": {"type": "string"}, "valueType": {"type": "int64"}}),
    (
        struct_of(x=FLOAT64, y=array_of(STRING)),
        {
            "type": "struct",
            "fields": [
                {"name": "x", "dataType": {"type": "float64"}},
                {"name": "y", "dataType": {"type": "array", "elementType": {"type": "string"}}},
            ],
        },
    ),
    (struct_of(), {"type": "struct", "fields": []}),
]


def nested(levels: int) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "int64"}
    for _ in range(levels):
        told = {"type": "array", "elementType": told}
    return told


@pytest.mark.parametrize(("dtype", "told"), SPELLINGS, ids=lambda one: str(one) if isinstance(one, DataType) else "")
def test_a_type_is_spelt_as_the_contract_spells_it(dtype: DataType, told: dict[str, Any]) -> None:
    assert encode_type(dtype) == told
    assert decode_type(told) == dtype


@given(DATA_TYPES)
def test_every_type_comes_back_from_its_spelling(dtype: DataType) -> None:
    assert decode_type(encode_type(dtype)) == dtype


@pytest.mark.parametrize(
    ("told", "dtype"),
    [
        ("int64", INT64),
        ("string", STRING),
        ("string_array", array_of(STRING)),
        ({"type": "string_array"}, array_of(STRING)),
        ("int32", INT64),
        ({"type": "array", "element_type": {"type": "int64"}}, array_of(INT64)),
        ({"type": "array", "elementType": "int64"}, array_of(INT64)),
        ({"type": "map", "key_type": {"type": "string"}, "value_type": {"type": "int64"}}, map_of(INT64)),
        ({"type": "map", "valueType": "int64"}, map_of(INT64)),
        ({"type": "struct", "fields": [{"name": "x", "data_type": {"type": "int64"}}]}, struct_of(x=INT64)),
        ({"type": "int64", "unknown": "field"}, INT64),
    ],
)
def test_older_and_snake_case_spellings_are_read(told: Any, dtype: DataType) -> None:
    assert decode_type(told) == dtype


@pytest.mark.parametrize(
    "told",
    [
        None,
        5,
        True,
        [],
        {},
        "",
        "decimal",
        "INT64",
        {"type": None},
        {"type": 5},
        {"type": {"type": "int64"}},
        {"type": "missing_type"},
        {"type": "array"},
        {"type": "array", "elementType": None},
        {"type": "array", "elementType": ["int64"]},
        {"type": "map"},
        {"type": "map", "keyType": {"type": "string"}},
        {"type": "struct"},
        {"type": "struct", "fields": {"x": "int64"}},
        {"type": "struct", "fields": ["x"]},
        {"type": "struct", "fields": [{"name": 1, "dataType": "int64"}]},
        {"type": "struct", "fields": [{"dataType": "int64"}]},
        {"type": "struct", "fields": [{"name": "x"}]},
    ],
)
def test_what_is_no_type_is_a_value_error(told: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_type(told)


def test_a_struct_with_the_same_field_twice_is_a_value_error() -> None:
    field = {"name": "x", "dataType": {"type": "int64"}}
    with pytest.raises(ValueError, match=r"\S"):
        decode_type({"type": "struct", "fields": [field, field]})


def test_types_nest_as_deep_as_requests_and_no_deeper() -> None:
    assert encode_type(decode_type(nested(MAX_NESTING))) == nested(MAX_NESTING)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_type(nested(MAX_NESTING + 1))
