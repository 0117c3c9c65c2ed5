"""What decoders of requests are made of: the fields of a JSON object, known by name and held to a type.

camelCase and snake_case are both taken for every field, also mixed; an explicit null means unset. Errors: InvalidRequest, which names the
field and never shows its value.
"""

from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidRequest

NOTHING: dict[str, Any] = {}


def spellings(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A table of snake_case names, with their camelCase spellings added."""

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    return {spelling: target for name, target in fields.items() for spelling in (name, camel(name))}


def read_fields(given: Any, table: Mapping[str, str], where: str, *, strict: bool = False) -> dict[str, Any]:
    """The known, set fields of a JSON object, by their snake_case names."""
    if type(given) is not dict:
        raise InvalidRequest(f"{where} must be a JSON object.")
    known: dict[str, Any] = {}
    for name, value in given.items():
        target = table.get(name)
        if target is None:
            if strict:
                raise InvalidRequest(f"{where} has an unknown field. Expected one of: [{' '.join(_camel_only(table))}]")
        elif value is not None:
            if target in known:
                raise InvalidRequest(f"{where} has {target} twice, in camelCase and in snake_case.")
            known[target] = value
    return known


def _camel_only(table: Mapping[str, str]) -> list[str]:
    return [name for name in table if "_" not in name]


def mapping(fields: Mapping[str, Any], name: str, spoken: str) -> Mapping[str, Any]:
    value = fields.get(name, NOTHING)
    if type(value) is not dict and value is not NOTHING:
        raise InvalidRequest(f"{spoken} must be a JSON object.")
    return value


def text(fields: Mapping[str, Any], name: str, spoken: str) -> str:
    return string(fields.get(name, ""), spoken)


def string(value: Any, spoken: str) -> str:
    if type(value) is not str:
        raise InvalidRequest(f"{spoken} must be a string.")
    return value


def boolean(value: Any, spoken: str) -> bool:
    if type(value) is not bool:
        raise InvalidRequest(f"{spoken} must be true or false.")
    return value


def texts(fields: Mapping[str, Any], name: str) -> list[str]:
    given = fields.get(name, [])
    if type(given) is not list or not all(type(one) is str for one in given):
        raise InvalidRequest(f"{name} must be a list of strings.")
    return given
