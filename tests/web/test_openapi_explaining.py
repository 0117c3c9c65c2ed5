"""The description of `…/features:explain` and what is sent have the same members."""

from typing import Any

import msgspec
import pytest

from gateway.wire import explanations
from tests.web.test_openapi import DOCUMENT

SHAPES: dict[str, type[msgspec.Struct]] = {
    name: shape
    for name, shape in vars(explanations).items()
    if name.startswith("Explain") and isinstance(shape, type) and issubclass(shape, msgspec.Struct)
}


def described(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "Explanation"])
def test_each_part_is_described_whole(name: str) -> None:
    sent = [field.encode_name for field in msgspec.structs.fields(SHAPES[name])]
    assert sorted(described(name)["properties"]) == sorted(described(name)["required"]) == sorted(sent)


def test_the_whole_is_described_with_its_timings() -> None:
    sent = [field.encode_name for field in msgspec.structs.fields(explanations.ToldExplanation)]
    assert sorted(described("Explanation")["properties"]) == sorted(described("Explanation")["required"]) == sorted(sent)


def test_what_may_be_null_is_described_so() -> None:
    for name, shape in SHAPES.items():
        for field in msgspec.structs.fields(shape):
            told = described(name)["properties"][field.encode_name]
            nullable = "null" in str(told.get("type")) or {"type": "null"} in told.get("oneOf", ())
            assert nullable == (type(None) in getattr(field.type, "__args__", ())), f"{name}.{field.encode_name}"
