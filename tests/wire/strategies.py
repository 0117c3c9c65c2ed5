"""Domains for hypothesis: data types with values that fit them, and what each door is expected to spell, said the slow way."""

import math
from datetime import UTC
from typing import Any, NamedTuple

from hypothesis import strategies as st

from gateway.features import BOOLEAN, FLOAT32, FLOAT64, INT64, STRING, TIMESTAMP, DataType, Kind, array_of, map_of

SCALARS = (INT64, FLOAT64, FLOAT32, BOOLEAN, STRING, TIMESTAMP)
NAMES = st.text(min_size=1, max_size=6)


def _struct(fields: dict[str, DataType]) -> DataType:
    return DataType(Kind.STRUCT, fields=tuple(fields.items()))


def _deeper(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    return st.one_of(inner.map(array_of), inner.map(map_of), st.dictionaries(NAMES, inner, max_size=3).map(_struct))


def _nested(depth: int) -> st.SearchStrategy[DataType]:
    scalars = st.sampled_from(SCALARS)
    return scalars if depth == 0 else st.one_of(scalars, _deeper(_nested(depth - 1)))


DATA_TYPES = _nested(4)

_TIMESTAMPS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(tzinfo=None).isoformat() + "Z")
_SCALAR_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INT64: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT64: st.floats(),
    Kind.FLOAT32: st.floats(width=32),
    Kind.BOOLEAN: st.booleans(),
    Kind.STRING: st.text(),
    Kind.TIMESTAMP: _TIMESTAMPS,
}


def values_of(dtype: DataType) -> st.SearchStrategy[Any]:
    """Plain Python values of a type, None among them at every level."""
    return st.none() | _present(dtype)


def _present(dtype: DataType) -> st.SearchStrategy[Any]:
    if dtype.element is not None:
        return st.lists(values_of(dtype.element), max_size=3)
    if dtype.value is not None:
        return st.dictionaries(st.text(max_size=6), values_of(dtype.value), max_size=3)
    if dtype.kind is Kind.STRUCT:
        members = st.fixed_dictionaries({name: values_of(field) for name, field in dtype.fields})
        return members.map(lambda drawn: {name: drawn[name] for name, _ in dtype.fields})  # hypothesis does not keep the order
    return _SCALAR_VALUES[dtype.kind]


class Typed(NamedTuple):
    dtype: DataType
    value: Any


@st.composite
def typed(draw: st.DrawFn, dtypes: st.SearchStrategy[DataType] = DATA_TYPES) -> Typed:
    dtype = draw(dtypes)
    return Typed(dtype, draw(values_of(dtype)))


def has_float(dtype: DataType) -> bool:
    inner = [field for _, field in dtype.fields] + [one for one in (dtype.element, dtype.value) if one is not None]
    return dtype.kind in {Kind.FLOAT32, Kind.FLOAT64} or any(has_float(one) for one in inner)


def positional_model(dtype: DataType, value: Any) -> Any:
    """The JSON value of the Tecton doors."""
    if value is None:
        return None
    if dtype.element is not None:
        return [positional_model(dtype.element, one) for one in value]
    if dtype.value is not None:
        return {name: positional_model(dtype.value, one) for name, one in value.items()}
    if dtype.kind is Kind.STRUCT:
        return [positional_model(field, value[name]) for name, field in dtype.fields]
    return str(value) if dtype.kind is Kind.INT64 else _spelt(value)


def named_model(dtype: DataType, value: Any) -> Any:
    """The JSON value of the named door."""
    if value is None:
        return None
    if dtype.element is not None:
        return [named_model(dtype.element, one) for one in value]
    if dtype.value is not None:
        return {name: named_model(dtype.value, one) for name, one in value.items()}
    if dtype.kind is Kind.STRUCT:
        return {name: named_model(field, value[name]) for name, field in dtype.fields}
    return _spelt(value)


def _spelt(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
