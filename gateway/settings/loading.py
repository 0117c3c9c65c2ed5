"""Where settings come from: a file, the environment, the command line, each over the one before, and every mistake told at once.

A mistake is told by the setting's name, and never with its value: that may be a secret in the wrong place.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from gateway.settings.contradictions import contradictions_of
from gateway.settings.tree import Settings

PREFIX = "FEATURE_GATEWAY_"
_YAML = (".yaml", ".yml")


class SettingsError(ValueError):
    """What is wrong with the settings: all mistakes at once, by name, without the values."""


class Layer(NamedTuple):
    """What one place says. `name`: file, environment or option."""

    name: str
    tree: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the places that they come from, the strongest last."""

    settings: Settings
    layers: tuple[Layer, ...]


class _Environment(BaseSettings, Settings):
    """Only a table of names for the environment's reader: it is never built."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


def load(file: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Settings from a file, then `FEATURE_GATEWAY_*` variables, then `overrides` (a nested mapping). Raises SettingsError."""
    return read(file, overrides).settings


def read(file: Path | None = None, overrides: dict[str, Any] | None = None) -> Loaded:
    """The same, with their sources. A mistake in one place does not hide those in another."""
    mistakes: list[str] = []
    layers = [Layer("file", _heard(lambda: _file(file), mistakes)), Layer("environment", _heard(_environment, mistakes))]
    layers.append(Layer("option", overrides or {}))
    tree: dict[str, Any] = {}
    for layer in layers:
        tree = merged(tree, layer.tree)
    try:
        settings = checked(tree)
    except SettingsError as error:
        raise SettingsError("\n".join([*mistakes, str(error)])) from None
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return Loaded(settings, tuple(layers))


def _heard(speak: Callable[[], dict[str, Any]], mistakes: list[str]) -> dict[str, Any]:
    try:
        return speak()
    except SettingsError as error:
        mistakes.append(str(error))
        return {}


def _file(file: Path | None) -> dict[str, Any]:
    """TOML, or YAML by its suffix. Raises SettingsError, with the line where that is known."""
    if file is None:
        return {}
    kind = "YAML" if file.suffix in _YAML else "TOML"
    try:
        text = file.read_bytes().decode()
        told = _yaml(text) if kind == "YAML" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" (at line {error.problem_mark.line + 1})"
        raise SettingsError(f"{file} is not YAML: {error.problem}{line}") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not {kind}: {error}") from None
    if not isinstance(told, dict):
        raise SettingsError(f"{file}: its top is no table of settings")
    return told


class _Loader(yaml.SafeLoader):
    """Of plain data, in which a name that comes twice is a mistake, as in TOML."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"{twice} comes twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    told = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    return {} if told is None else told


def _environment() -> dict[str, Any]:
    """What the FEATURE_GATEWAY_* variables say, as a nested mapping. Raises SettingsError, which names the variable and not its value."""
    unknown = [
        f"{name}: there is no such setting{_perhaps(name[len(PREFIX) :].lower().partition('__')[0], Settings)}"
        for name in os.environ
        if name.upper().startswith(PREFIX) and name[len(PREFIX) :].lower().partition("__")[0] not in Settings.model_fields
    ]
    if unknown:
        raise SettingsError("\n".join(sorted(unknown)))
    try:
        return EnvSettingsSource(_Environment)()
    except PydanticSettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        field = named[1] if named else "?"
        raise SettingsError(f"{field}: its variable ({PREFIX}{field.upper()}…) is not valid JSON") from None


def checked(tree: dict[str, Any]) -> Settings:
    """Settings from a nested mapping. Raises SettingsError with every mistake."""
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        lines = [_mistake(one["loc"], one["type"], one["msg"]) for one in error.errors(include_input=False, include_url=False)]
        raise SettingsError("\n".join(lines)) from None
    contradictions = list(contradictions_of(settings))
    if contradictions:
        raise SettingsError("\n".join(contradictions))
    return settings


def _mistake(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(map(str, place))
    if kind != "extra_forbidden":
        return f"{name}: {message}"
    section = _section(Settings, place[:-1])
    return f"{name}: there is no such setting{_perhaps(str(place[-1]), section)}"


def _perhaps(name: str, section: type[BaseModel] | None) -> str:
    """The setting that was probably meant."""
    known = () if section is None else section.model_fields
    close = get_close_matches(name, known, 1, 0.7)
    return f"; is it {close[0]}?" if close else ""


def _section(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section at this place. The names in a table of sections are the user's own."""
    found: type[BaseModel] | None = model
    named = False
    for part in place:
        if named:
            named = False
            continue
        field = None if found is None else found.model_fields.get(str(part))
        if field is None:
            return None
        found = next(sections_in(field.annotation), None)
        named = is_table(field.annotation)
    return found


def is_table(annotation: Any) -> bool:
    """Whether it is a table whose names are the user's own, such as `views`."""
    return get_origin(annotation) is dict


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a setting of this type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, dict):
        for one in get_args(annotation):
            yield from sections_in(one)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are joined by name; of anything else, what is above counts."""
    told = dict(below)
    for name, value in above.items():
        under = told.get(name)
        told[name] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return told
