"""`feature-gateway keys`, beside a gateway that runs on the same store."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access.keys import digest, key_id
from gateway.cli import main
from tests.commands.terminals import said_on_a_terminal
from tests.doors.flights import NAMED, named
from tests.harness.clock import wait_until
from tests.harness.houses import House, authorization
from tests.harness.offices import open_offices
from tests.web.metrics.samples import samples, total


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments, "--data-dir", str(folder)])


def ran(folder: Path, *arguments: str) -> str:
    """What it prints, without the line's end."""
    done = run(folder, *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.removesuffix("\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access")


@pytest.fixture(scope="module")
def house(demo_dir: Path, folder: Path) -> Iterator[House]:
    with open_offices(demo_dir, folder, ("root", "admin"), auth={"refresh_s": 0.05}) as (opened, _):
        yield opened


def becomes(house: House, key: str, status: int) -> None:
    """A read with this key is answered so, once the gateway knows."""

    def answered() -> bool:
        return house.client.post(f"{NAMED}/features", json=named(), headers=authorization(key)).status_code == status

    wait_until(answered, f"{status} for a key")


def test_a_key_that_is_made_reads_from_the_running_gateway_and_stops_when_it_is_deactivated(house: House, folder: Path) -> None:
    made = run(folder, "create", "reader", "--role", "prod=consumer")
    key = made.stdout.removesuffix("\n")
    public = key_id(key)
    assert public is not None
    assert public in made.stderr
    assert key not in made.stderr
    becomes(house, key, 200)

    ran(folder, "deactivate", public)
    becomes(house, key, 401)
    ran(folder, "activate", public)
    becomes(house, key, 200)
    ran(folder, "deactivate", "reader")
    becomes(house, key, 401)
    refused = run(folder, "activate", public)
    assert (refused.exit_code, "Activate it first" in refused.stderr) == (2, True)
    ran(folder, "activate", "reader")
    becomes(house, key, 200)


def test_roles_are_given_and_taken(house: House, folder: Path) -> None:
    key = ran(folder, "create", "climber")
    becomes(house, key, 403)
    granted = run(folder, "grant", "climber", "--role", "prod=consumer", "--role", "dev=editor", "--all-workspaces", "viewer")
    assert granted.stderr == "climber holds: *=viewer, dev=editor, prod=consumer\n"
    becomes(house, key, 200)
    revoked = run(folder, "revoke", "climber", "--role", "prod=consumer", "--all-workspaces", "viewer")
    assert revoked.stderr == "climber holds: dev=editor\n"
    becomes(house, key, 403)
    assert run(folder, "revoke", "climber", "--role", "prod=consumer").exit_code == 2
    assert run(folder, "grant", "climber").exit_code == 2


def test_a_key_is_changed_for_another_without_a_gap(house: House, folder: Path) -> None:
    first = ran(folder, "create", "service", "--all-workspaces", "consumer")
    second = ran(folder, "rotate", "service")
    for key in (first, second):
        becomes(house, key, 200)
    third = ran(folder, "rotate", "service", "--now")
    becomes(house, third, 200)
    for key in (first, second):
        becomes(house, key, 401)


def test_an_admin_that_is_made_administers_and_reads_metrics(house: House, folder: Path) -> None:
    key = ran(folder, "create", "second admin", "--account-type", "admin")
    becomes(house, key, 200)
    with house.as_caller(key) as admin:
        assert admin.get("/v1/audit").status_code == 200
        told = samples(admin.get("/metrics").text)
        assert total(told, "access_store_up") == 1
        assert 0 <= total(told, "access_copy_age_seconds") < 60


def test_keys_are_listed_with_what_they_open_and_without_what_they_are(tmp_path: Path) -> None:
    key = ran(tmp_path, "create", "one", "--role", "prod=owner")
    other = ran(tmp_path, "create", "[red]two", "--account-type", "admin")
    ran(tmp_path, "deactivate", other)  # pasted whole: its public part counts
    told, as_json = ran(tmp_path, "list"), ran(tmp_path, "list", "--json")
    assert [line.split("\t")[:4] for line in told.splitlines()] == [
        [key_id(other), "[red]two", "deactivated", "admin"],
        [key_id(key), "one", "active", "prod=owner"],
    ]
    second, first = json.loads(as_json)
    assert (first["key"], first["account"], first["active"], first["roles"]) == (key_id(key), "one", True, ["prod=owner"])
    assert (first["lastUsed"], second["active"]) == (None, False)
    for shown in (told, as_json):
        assert key not in shown
        assert digest(key) not in shown


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["create", "twice"], "There is a service account of this name."),
        (["create", "  "], "The name must have"),
        (["create", "new\nline"], "The name must have"),
        (["create", "x" * 257], "The name must have"),
        (["create", "x", "--role", "prod"], "WORKSPACE=ROLE, where ROLE is one of owner"),
        (["create", "x", "--role", "=owner"], "WORKSPACE=ROLE"),
        (["create", "x", "--role", "prod=king"], "WORKSPACE=ROLE"),
        (["create", "x", "--role", "*=owner"], "--all-workspaces"),
        (["create", "x", "--role", " =owner"], "needs the name of its workspace"),
        (["rotate", "c4n4ry"], "There is no such key or service account"),
        (["deactivate", "c4n4ry"], "There is no such key or service account"),
        (["grant", "c4n4ry", "--role", "prod=owner"], "There is no such key or service account"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_everything_as_it_was(tmp_path: Path, arguments: list[str], text: str) -> None:
    ran(tmp_path, "create", "twice")
    before = ran(tmp_path, "list")
    refused = run(tmp_path, *arguments)
    assert refused.exit_code == 2
    assert text in refused.stderr
    assert refused.stdout == ""
    assert ran(tmp_path, "list") == before
    told = CliRunner().invoke(main, ["audit", "--json", "--data-dir", str(tmp_path)]).stdout
    assert "c4n4ry" not in told


def test_a_store_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    for command in ("list", "rotate x", "deactivate x"):
        refused = run(tmp_path, *command.split())
        assert (refused.exit_code, "there is no access.db in" in refused.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        (["--database", "mysql://me:c4n4ry@host/db"], 2, "--database: only postgresql:// is taken"),
        (["--database", "c4n4ry"], 2, "--database: not a database URL"),
        (["--database", "postgresql://me:c4n4ry@127.0.0.1:1/db"], 1, "The store of access control is unavailable"),
        (["--config", "/nowhere/gateway.toml"], 2, "/nowhere/gateway.toml: No such file"),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_without_its_password(more: list[str], status: int, text: str) -> None:
    refused = CliRunner().invoke(main, ["keys", "list", *more])
    assert (refused.exit_code, text in refused.stderr) == (status, True)
    assert "c4n4ry" not in refused.stderr


def test_settings_name_the_store_too(tmp_path: Path) -> None:
    config, database = tmp_path / "gateway.toml", tmp_path / "there" / "access.db"
    config.write_text(f'[auth]\nstore = "sqlite"\ndata_dir = "{database.parent}"\n')
    made = CliRunner().invoke(main, ["keys", "create", "one", "--config", str(config)])
    assert made.exit_code == 0
    assert database.exists()
    config.write_text('[auth]\nstore = "none"\n')
    refused = CliRunner().invoke(main, ["keys", "list", "--config", str(config)])
    assert (refused.exit_code, "auth.store: these settings have no store" in refused.stderr) == (2, True)


def test_a_terminal_gets_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(tmp_path, "create", "[red]one", "--role", "prod=owner")
    for command in (["keys", "list"], ["audit"]):
        arguments = [*command, "--data-dir", str(tmp_path)]
        said = said_on_a_terminal("stdout", monkeypatch, lambda given=arguments: main(given, standalone_mode=False))  # type: ignore[misc]
        assert "┃" in said
        assert "prod=owner" in said
