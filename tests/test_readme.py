"""The README says what the code does: every attribute, every setting, the two commands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from gateway.settings import Settings
from gateway.telemetry import ATTRIBUTES
from gateway.web.metrics.families import FAMILIES, SOURCES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
RUN = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/feature-gateway demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m tests"
NOTHING = {"", "-", "\u2013", "\u2014"}


def tables() -> Iterator[dict[str, list[str]]]:
    """Each table whose first column is in backticks: that name → the other cells, bare."""
    for block in re.findall(r"(?:^[ \t]*\|.*\n?)+", README, re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in block.splitlines()]
        named = {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in rows if cells[0].strip().startswith("`")}
        if named:
            yield named


def test_the_table_of_attributes_is_the_one_in_the_code() -> None:
    [table] = [table for table in tables() if set(table) & set(ATTRIBUTES)]
    assert set(table) == set(ATTRIBUTES)
    for name, (unit, _) in ATTRIBUTES.items():
        told = table[name][0].strip("`")
        assert told == unit or (told in NOTHING and not unit), name


def test_the_table_of_metrics_is_the_one_in_the_code() -> None:
    [table] = [table for table in tables() if set(table) & set(FAMILIES)]
    assert {name: tuple(cell.replace("`", "") for cell in cells) for name, cells in table.items()} == {
        name: (about.kind, ", ".join(about.labels), about.meaning) for name, about in FAMILIES.items()
    }


def test_the_table_of_sources_of_views_is_the_one_in_the_code() -> None:
    [table] = [table for table in tables() if set(table) == set(SOURCES)]
    assert {name: cells[0] for name, cells in table.items()} == dict(SOURCES)


def settings(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every setting's path; a name that users choose is `*`."""
    for name, field in model.model_fields.items():
        below: Any = field.annotation
        values = [one for one in get_args(below) if isinstance(one, type) and issubclass(one, BaseModel)]
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from settings(below, f"{path}{name}.")
        elif get_origin(below) is dict and values:
            yield from settings(values[0], f"{path}{name}.*.")
        else:
            yield f"{path}{name}"


def test_every_setting_is_in_the_table_of_settings_and_no_other() -> None:
    expected = set(settings(Settings))
    assert {"server.port", "auth.keys.*.digest", "views.*.join_keys", "include_names_by_default"} <= expected
    told = {name for table in tables() for name in table}

    def is_told(path: str) -> bool:
        pattern = re.escape(path).replace(r"\*", r'(?:[^.\s]+|"[^"]+"|<[^>]+>)')
        return any(re.fullmatch(pattern, name) for name in told)

    assert not [path for path in expected if not is_told(path)]
    sections = {path.partition(".")[0] for path in expected if "." in path}
    patterns = [re.escape(path).replace(r"\*", r'(?:[^.\s]+|"[^"]+"|<[^>]+>)') for path in expected]
    strangers = [name for name in told if name.partition(".")[0] in sections and "." in name]
    assert not [name for name in strangers if not any(re.fullmatch(pattern, name) for pattern in patterns)]


def test_the_two_commands_are_there_as_typed_and_ci_runs_the_second() -> None:
    assert RUN in README
    assert TEST in README
    assert TEST in (ROOT / ".ci/run").read_text().splitlines()


def test_the_files_it_names_exist() -> None:
    named = set(re.findall(r"`((?:gateway|tests|loadtests|helm|\.ci)/[\w./-]+)`", README))
    assert not [name for name in named if not (ROOT / name).exists()]
