"""`feature-gateway audit`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--data-dir", str(folder)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert run(tmp_path, "keys", "create", "one", "--role", "prod=viewer").exit_code == 0
    assert run(tmp_path, "keys", "deactivate", "one").exit_code == 0
    assert run(tmp_path, "keys", "rotate", "nobody").exit_code == 2
    return tmp_path


def told(folder: Path, *arguments: str) -> list[tuple[str, str]]:
    done = run(folder, "audit", "--json", *arguments)
    assert done.exit_code == 0
    return [(entry["action"], entry["outcome"]) for entry in map(json.loads, done.stdout.splitlines())]


MADE, SWITCHED, REFUSED = ("service_account.create", "done"), ("service_account.manage", "done"), ("service_account.manage", "refused")


def test_every_act_at_the_shell_is_told_the_newest_first(folder: Path) -> None:
    assert told(folder) == [REFUSED, SWITCHED, MADE]
    assert told(folder, "--limit", "1") == [REFUSED]
    assert told(folder, "--action", "service_account.create") == [MADE]
    assert told(folder, "--outcome", "refused") == [REFUSED]
    assert told(folder, "--target", "service_account/") == [REFUSED, SWITCHED, MADE]
    assert told(folder, "--target", "group/") == []
    assert told(folder, "--actor", "nobody at all") == []
    assert told(folder, "--since", "2999-01-01T00:00:00Z") == told(folder, "--until", "2000-01-01T00:00:00Z") == []


def test_without_json_a_line_tells_an_entry(folder: Path) -> None:
    lines = [line.split("\t") for line in run(folder, "audit").stdout.splitlines()]
    assert [cells[2] for cells in lines] == ["service_account.manage", "service_account.manage", "service_account.create"]
    assert lines[2][1].endswith(" (shell)")
    assert "+prod=viewer" in lines[2][5]


def test_a_time_that_is_none_is_refused(folder: Path) -> None:
    refused = run(folder, "audit", "--since", "yesterday")
    assert (refused.exit_code, "since: not an RFC 3339 instant" in refused.stderr) == (2, True)
