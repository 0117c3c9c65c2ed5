"""`feature-gateway secrets`: keys made, rotated beside a running gateway, and whatever happens meanwhile, nothing that does not open."""

import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access.administration import Act
from gateway.access.rekeying import survey
from gateway.access.roles import Action
from gateway.access.sealing import Sealer, create_keks, new_kek, parse_kek, read_keks, replace_keks
from gateway.administering import FILE, open_file
from gateway.cli import main
from gateway.sealing_keys import KEK_FILE
from tests.harness.callers import calling
from tests.harness.clock import wait_until
from tests.harness.offices import open_offices
from tests.harness.processes import COMMAND, plain_environment
from tests.harness.vaults import open_vault

OTHER = bytes(range(1, 33))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["secrets", *map(str, arguments)])


def filled(folder: Path, secrets: int = 3) -> Sealer:
    """A store in a folder, with a key beside it and secrets in one scope."""
    create_keks(folder / KEK_FILE)
    sealer = Sealer(read_keks(folder / KEK_FILE))
    with open_vault(folder, sealer) as vaulted:
        vaulted.create("etl")

        def fill(act: Act) -> None:
            for number in range(secrets):
                vaulted.vault.put(act, "etl", f"s{number}", f"value {number}")

        vaulted.administration.act_at_once(vaulted.actor, Action.WRITE_SECRET, "secret/etl/*", fill, changes_access=False)
    return sealer


def opens(folder: Path) -> dict[str, int]:
    """How much is sealed under which key, all of which opens with the keys in the folder."""
    database = open_file(folder)
    try:
        told = database.transact(lambda session: survey(session, Sealer(read_keks(folder / KEK_FILE))), writes=False)
    finally:
        database.close()
    assert (told.refused, told.sealed) == ([], None)
    return dict(told.under)


def test_a_new_key_is_one_that_settings_take() -> None:
    made = run("new-kek")
    assert made.exit_code == 0
    assert len(parse_kek(made.stdout)) == 32
    assert made.stdout != run("new-kek").stdout


def test_a_rotation_puts_everything_under_a_new_key(tmp_path: Path) -> None:
    before = filled(tmp_path)
    ended = run("rotate-kek", "--data-dir", tmp_path)
    assert ended.exit_code == 0, ended.output
    after = Sealer(read_keks(tmp_path / KEK_FILE))
    assert after.kek_ids == [after.kek_id, before.kek_id]
    assert opens(tmp_path) == {after.kek_id: 3}
    assert f"3 values are sealed under {after.kek_id}" in ended.stdout
    assert "stays in" in ended.stdout
    told = run("status", "--data-dir", tmp_path)
    assert told.exit_code == 0
    assert "3 secrets in 1 scopes, 0 signing keys." in told.stdout
    assert f"3 of them are sealed under {after.kek_id}." in told.stdout
    assert f"0 of them are sealed under {before.kek_id}." in told.stdout
    assert run("rotate-kek", "--data-dir", tmp_path, "--drop-old").exit_code == 0
    [last] = read_keks(tmp_path / KEK_FILE)
    assert opens(tmp_path) == {Sealer([last]).kek_id: 3}
    assert Sealer([last]).kek_id not in after.kek_ids


def test_a_rotation_that_was_interrupted_goes_on_with_the_key_that_it_had_made(tmp_path: Path) -> None:
    before = filled(tmp_path)
    [old] = read_keks(tmp_path / KEK_FILE)
    replace_keks(tmp_path / KEK_FILE, [OTHER, old])
    assert opens(tmp_path) == {before.kek_id: 3}
    assert run("rotate-kek", "--data-dir", tmp_path).exit_code == 0
    assert read_keks(tmp_path / KEK_FILE) == [OTHER, old]
    assert opens(tmp_path) == {Sealer([OTHER]).kek_id: 3}


def test_a_running_gateway_takes_up_the_new_key(demo_dir: Path, tmp_path: Path) -> None:
    secret = "/api/v1/secrets-service/scopes/etl/keys/a"
    with open_offices(demo_dir, tmp_path, ("root", "admin")) as (house, keys), calling(house, keys) as callers:
        assert callers.ask("root", "POST", "/api/v1/secrets-service/scopes/etl").status_code == 200
        for value, options in (("1", ()), ("2", ("--drop-old",)), ("3", ("--drop-old",))):
            assert callers.ask("root", "PUT", secret, {"value": value}).status_code == 200
            assert run("rotate-kek", "--data-dir", tmp_path, *options).exit_code == 0
            assert callers.ask("root", "GET", secret).json() == {"value": value}
    [kek] = read_keks(tmp_path / KEK_FILE)
    assert opens(tmp_path) == {Sealer([kek]).kek_id: 2}  # the secret, and the key that tokens are signed with


def test_a_key_of_the_settings_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    before = filled(tmp_path)
    (tmp_path / KEK_FILE).rename(tmp_path / "old.kek")
    (tmp_path / "new.kek").write_text(new_kek())
    config = tmp_path / "gateway.toml"
    common = f'[auth]\nstore = "sqlite"\ndata_dir = "{tmp_path}"\nkek_file = "{tmp_path}/new.kek"\n'
    config.write_text(common)
    sealed = run("rotate-kek", "--config", config)
    assert sealed.exit_code == 1
    assert "sealed" in sealed.stderr
    config.write_text(f'{common}kek_previous_files = ["{tmp_path}/old.kek"]\n')
    assert "3 of them are sealed under " + before.kek_id in run("status", "--config", config).stdout
    ended = run("rotate-kek", "--config", config)
    assert ended.exit_code == 0, ended.output
    assert "auth.kek_previous_files" in ended.stdout
    config.write_text(common)
    assert run("status", "--config", config).exit_code == 0
    assert not (tmp_path / KEK_FILE).exists()


def test_status_tells_of_a_key_that_is_not_there_and_of_what_does_not_open(tmp_path: Path) -> None:
    before = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as store:
        store.execute("UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 's0') WHERE name = 's1'")
    told = run("status", "--data-dir", tmp_path)
    assert told.exit_code == 1
    assert "Does not open: etl/s1" in told.stderr
    (tmp_path / KEK_FILE).rename(tmp_path / "lost")
    told = run("status", "--data-dir", tmp_path)
    assert told.exit_code == 1
    assert f"3 of them are sealed under {before.kek_id}, which is not at hand." in told.stdout
    lost = run("rotate-kek", "--data-dir", tmp_path)
    assert lost.exit_code == 2
    assert "cannot be read" in lost.stderr
    assert not (tmp_path / KEK_FILE).exists()


def test_status_of_a_store_in_which_nothing_was_ever_sealed_finds_nothing_wrong(tmp_path: Path) -> None:
    with closing(open_file(tmp_path)) as database:
        database.migrate()
    told = run("status", "--data-dir", tmp_path)
    assert (told.exit_code, told.stdout, told.stderr) == (0, "Nothing was ever sealed here.\n", "")


@pytest.mark.parametrize("command", ["status", "rotate-kek"])
def test_without_a_store_it_says_what_is_missing(tmp_path: Path, command: str) -> None:
    absent = run(command, "--data-dir", tmp_path)
    assert absent.exit_code == 2
    assert "there is no access.db" in absent.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "gateway.toml").write_text('[auth]\nstore = "none"\n')
    none = run(command, "--config", tmp_path / "gateway.toml")
    assert none.exit_code == 2
    assert "auth.store" in none.stderr


@pytest.mark.slow
def test_killed_at_any_moment_everything_opens_under_the_keys_that_are_there(tmp_path: Path) -> None:
    total, chance, killed = 500, random.Random(11), 0
    filled(tmp_path, total)
    started = time.monotonic()
    run("rotate-kek", "--data-dir", tmp_path)
    takes_s = time.monotonic() - started
    for _ in range(3):
        before = (tmp_path / KEK_FILE).read_bytes()
        with subprocess.Popen(rotation(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=plain_environment()) as process:
            wait_until(partial(differs, tmp_path / KEK_FILE, before), "the new key")
            with suppress(subprocess.TimeoutExpired):
                process.wait(takes_s * chance.uniform(0.0, 1.0))
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        assert sum(opens(tmp_path).values()) == total
        run("rotate-kek", "--data-dir", tmp_path)
    assert killed
    assert run("rotate-kek", "--data-dir", tmp_path).exit_code == 0
    assert opens(tmp_path) == {Sealer(read_keks(tmp_path / KEK_FILE)).kek_id: total}
    assert list(tmp_path.glob(f"{KEK_FILE}*")) == [tmp_path / KEK_FILE]


def differs(file: Path, before: bytes) -> bool:
    return file.read_bytes() != before


def rotation(folder: Path) -> list[str]:
    return [str(COMMAND), "secrets", "rotate-kek", "--data-dir", str(folder)]
