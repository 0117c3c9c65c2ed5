"""Data types as the metadata spells them: `{"type":"array","elementType":{"type":"int64"}}` ⇄ `DataType` (contract §4.1)."""

from typing import Any

from gateway.features import DataType, Kind

_LEGACY = {"string_array": DataType(Kind.ARRAY, element=DataType(Kind.STRING)), "int32": DataType(Kind.INT64)}
MAX_NESTING = 32


def encode_type(dtype: DataType) -> dict[str, Any]:
    if dtype.element is not None:
        return {"type": "array", "elementType": encode_type(dtype.element)}
    if dtype.value is not None:
        return {"type": "map", "keyType": {"type": "string"}, "valueType": encode_type(dtype.value)}
    if dtype.kind is Kind.STRUCT:
        return {"type": "struct", "fields": [{"name": name, "dataType": encode_type(field)} for name, field in dtype.fields]}
    return {"type": dtype.kind.value}


def decode_type(text: Any, depth: int = 0) -> DataType:
    """Both `{"type":…}` objects and the bare names of older servers. Raises ValueError for what is no type."""
    if depth > MAX_NESTING:
        raise ValueError("data type nested too deeply")
    if isinstance(text, str):
        text = {"type": text}
    if not isinstance(text, dict) or not isinstance(text.get("type"), str):
        raise ValueError("data type is neither an object with a type nor a name")
    name = text["type"]
    if name in _LEGACY:
        return _LEGACY[name]
    kind = Kind(name)  # ValueError names the unknown type
    if kind is Kind.ARRAY:
        return DataType(kind, element=decode_type(text.get("elementType", text.get("element_type")), depth + 1))
    if kind is Kind.MAP:
        return DataType(kind, value=decode_type(text.get("valueType", text.get("value_type")), depth + 1))
    if kind is Kind.STRUCT:
        fields = text.get("fields")
        if not isinstance(fields, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in fields):
            raise ValueError("struct type without named fields")
        if len({one["name"] for one in fields}) != len(fields):
            raise ValueError("struct type with two fields of one name")
        return DataType(
            kind, fields=tuple((one["name"], decode_type(one.get("dataType", one.get("data_type")), depth + 1)) for one in fields)
        )
    return DataType(kind)
