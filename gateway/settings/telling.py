"""What holds, and since where: the effective settings with their sources, and an example file of all that can be set.

Secrets are told as asterisks.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.settings.loading import PREFIX, Layer, Loaded, is_table, sections_in
from gateway.settings.tree import Settings

DEFAULT = "default"
_WIDTH = 100


class Told(NamedTuple):
    """One setting. `value` as TOML would have it, or `unset`; `source`: default, file, the environment variable, or option."""

    name: str
    value: str
    source: str


def effective(loaded: Loaded) -> list[Told]:
    """Every setting, in the tree's order."""
    return [
        Told(".".join(place), _spelled(value), _source(place, loaded.layers)) for place, value in _leaves(Settings, loaded.settings, ())
    ]


def _leaves(kind: type[BaseModel], section: BaseModel, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in kind.model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _leaves(type(value), value, (*place, name))
        elif is_table(field.annotation) and value and all(isinstance(one, BaseModel) for one in value.values()):
            for key, one in value.items():
                yield from _leaves(type(one), one, (*place, name, key))
        else:
            yield (*place, name), value


def _source(place: tuple[str, ...], layers: Sequence[Layer]) -> str:
    """The strongest layer that says anything of it."""
    for layer in reversed(layers):
        if _says(layer.tree, place):
            return _variable(place) if layer.name == "environment" else layer.name
    return DEFAULT


def _says(tree: Any, place: tuple[str, ...]) -> bool:
    for part in place:
        if not isinstance(tree, Mapping):
            return True  # the whole section was given as one value
        if part not in tree:
            return False
        tree = tree[part]
    return True


def _variable(place: tuple[str, ...]) -> str:
    """The variable that says it: its own, or one of a section around it, as JSON."""
    given = {name.upper(): name for name in os.environ}
    for length in range(len(place), 0, -1):
        name = (PREFIX + "__".join(place[:length])).upper()
        if name in given:
            return given[name]
    return "environment"


def _spelled(value: Any) -> str:
    """As it would stand in TOML."""
    if value is None:
        return "unset"
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, frozenset):
        value = sorted(value)
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, SecretStr):
        return "********"
    return str(value) if isinstance(value, Path | Enum) else value


def example() -> str:
    """A TOML file with every setting at its default, each with what it means. What is unset by default is left out by a comment."""
    lines = ["# All settings of the feature gateway, with their defaults. Leave out what you do not change.", ""]
    lines += _example(Settings, (), [])
    return "\n".join(lines).rstrip() + "\n"


def _example(kind: type[BaseModel], place: tuple[str, ...], lines: list[str]) -> list[str]:
    """Plain settings of a section first, as TOML wants them, then its sections."""
    inner: list[tuple[str, type[BaseModel], bool]] = []
    for name, field in kind.model_fields.items():
        section = next(sections_in(field.annotation), None)
        if section is not None:
            inner.append((name, section, is_table(field.annotation)))
            continue
        lines += [*_comment(field.description or ""), f"{'# ' if _left_out(field) else ''}{name} = {_default(field)}"]
    for name, section, table in inner:
        below = (*place, name)
        lines.append("")
        if table:
            lines += [*_comment(kind.model_fields[name].description or section.__doc__ or ""), f"# [{'.'.join(below)}.NAME]"]
            shown = _example(section, (*below, "NAME"), [])
            lines += [line if line.startswith("#") or not line else f"# {line}" for line in shown]
        else:
            lines += [*_comment(section.__doc__ or ""), f"[{'.'.join(below)}]"]
            _example(section, below, lines)
    return lines


def _left_out(field: FieldInfo) -> bool:
    return field.default in (None, PydanticUndefined) or (field.default_factory is not None)


def _default(field: FieldInfo) -> str:
    if field.default is None or field.default is PydanticUndefined or field.default_factory is not None:
        return "…"
    return _spelled(field.default)


def _comment(text: str) -> list[str]:
    lines, line = [], "#"
    for word in text.split():
        if len(line) + len(word) >= _WIDTH:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line] if line != "#" else lines
