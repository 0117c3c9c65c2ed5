"""A feature service's schema, compiled once into a validator of requests.

Cached metadata validates; it never labels values (names travel with each reply). Errors carry the contract's texts (§2.1), which name the
key that is wrong and never its value.
"""

import math
import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from gateway.errors import InvalidRequest
from gateway.features import DataType, Feature, Field, Kind

Check = Callable[[Any], Any]
"""JSON value → typed Python value; raises ValueError. null passes every check as None."""

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Schema:
    """The compiled validator of one feature service. `join_values` and `context_values` are on the hit path."""

    def __init__(
        self,
        join_keys: tuple[Field, ...],
        context_keys: tuple[Field, ...],
        features: tuple[Feature, ...],
        output_join_keys: tuple[Field, ...] = (),
    ) -> None:
        """`join_keys` are what a request gives; `output_join_keys`, of a wildcard service, what its results tell."""
        self.join_keys = join_keys
        self.context_keys = context_keys
        self.features = features
        self.output_join_keys = output_join_keys
        self._content = (join_keys, context_keys, features, output_join_keys)
        texts = len(join_keys) > 1 and all(field.dtype.kind is Kind.STRING for field in join_keys)
        self._pick_texts = itemgetter(*[field.name for field in join_keys]) if texts else None
        self._join_checks = tuple((field.name, compile_check(field.dtype), str(field.dtype)) for field in join_keys)
        self._context_checks = {
            lenient: tuple((field.name, compile_check(field.dtype, lenient=lenient), str(field.dtype)) for field in context_keys)
            for lenient in (False, True)
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def join_values(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """The typed join-key values in schema order: int64 as int, whether it came as a number or as a string."""
        values: list[Any] = []
        for name, check, expected in self._join_checks:
            try:
                values.append(check(given[name]))
            except KeyError:
                raise InvalidRequest(f"Missing required join key: {name}") from None
            except ValueError:
                raise InvalidRequest(f"Unexpected JSON type for {name} in joinKeyMap. Expected {expected} or null.") from None
        if len(given) != len(values):
            raise self._unknown_join_key(given)
        return tuple(values)

    def values_to_find(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """`join_values` of scalars, for looking up what was kept under values that were checked: where all join keys are texts, a value
        that is none is not equal to any, so it need not be looked at."""
        if self._pick_texts is not None and len(given) == len(self.join_keys):
            try:
                return self._pick_texts(given)  # type: ignore[no-any-return]  # of several names, a tuple
            except KeyError:
                pass
        return self.join_values(given)

    def some_join_values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The typed values of some of the join keys, by name."""
        checks = {name: (check, expected) for name, check, expected in self._join_checks}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in checks:
                raise self._unknown_join_key(given)
            check, expected = checks[name]
            try:
                values[name] = check(value)
            except ValueError:
                raise InvalidRequest(f"Unexpected JSON type for {name} in joinKeys. Expected {expected} or null.") from None
        return values

    def context_values(self, given: Mapping[str, Any], *, ignore_extra_fields: bool = False) -> dict[str, Any]:
        """The typed request context by name. Context keys that no view uses are dropped, as the reference server does.

        `ignore_extra_fields`: let struct values carry fields that their type does not have.
        """
        values: dict[str, Any] = {}
        if not self.context_keys:
            return values
        for name, check, expected in self._context_checks[ignore_extra_fields]:
            try:
                values[name] = check(given[name])
            except KeyError:
                raise InvalidRequest(f"Expected key not found: [{name}] in requestContextMap") from None
            except ValueError:
                raise InvalidRequest(f"Unexpected JSON type for {name} in requestContextMap. Expected {expected} or null.") from None
        return values

    def _unknown_join_key(self, given: Mapping[str, Any]) -> InvalidRequest:
        known = [field.name for field in self.join_keys]
        unknown = next(name for name in given if name not in known)
        return InvalidRequest(f"Unknown join key: {unknown[:200]}, expected one of: [{' '.join(known)}]")


def compile_check(dtype: DataType, *, lenient: bool = False) -> Check:
    """The validator of one type. `lenient` lets structs carry unknown fields."""
    if dtype.element is not None:
        return _array_check(compile_check(dtype.element, lenient=lenient))
    if dtype.value is not None:
        return _map_check(compile_check(dtype.value, lenient=lenient))
    if dtype.kind is Kind.STRUCT:
        return _struct_check({name: compile_check(field, lenient=lenient) for name, field in dtype.fields}, lenient=lenient)
    return _SCALARS[dtype.kind]


def _check_string(value: Any) -> Any:
    if value is not None and type(value) is not str:
        raise ValueError
    return value


def _check_int64(value: Any) -> Any:
    if type(value) is str and _DECIMAL.fullmatch(value):
        value = int(value)
    if value is not None and (type(value) is not int or not _INT64_MIN <= value <= _INT64_MAX):
        raise ValueError
    return value


def _check_float(value: Any) -> Any:
    if type(value) is str and value in _NON_FINITE:
        return _NON_FINITE[value]
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ValueError from None
    if value is not None and type(value) is not float:
        raise ValueError
    return value


def _check_boolean(value: Any) -> Any:
    if value is not None and type(value) is not bool:
        raise ValueError
    return value


def _check_timestamp(value: Any) -> Any:
    if value is not None and (type(value) is not str or _TIMESTAMP.fullmatch(value) is None):
        raise ValueError
    return value


_SCALARS: dict[Kind, Check] = {
    Kind.STRING: _check_string,
    Kind.INT64: _check_int64,
    Kind.FLOAT64: _check_float,
    Kind.FLOAT32: _check_float,
    Kind.BOOLEAN: _check_boolean,
    Kind.TIMESTAMP: _check_timestamp,
}


def _array_check(element: Check) -> Check:
    def check(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not list:
            raise ValueError
        return [element(one) for one in value]

    return check


def _map_check(inner: Check) -> Check:
    def check(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not dict:
            raise ValueError
        return {name: inner(one) for name, one in value.items()}

    return check


def _struct_check(fields: Mapping[str, Check], *, lenient: bool) -> Check:
    """Structs come as an object, or as a list in field order (contract §2.1)."""

    def check(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is list:
            if len(value) != len(fields):
                raise ValueError
            value = dict(zip(fields, value, strict=True))
        if type(value) is not dict or not (lenient or value.keys() <= fields.keys()):
            raise ValueError
        return {name: inner(value.get(name)) for name, inner in fields.items()}

    return check
