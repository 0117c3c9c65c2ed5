"""Which keys the settings name, and what becomes of those that cannot be had."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.access.sealing import Sealer, new_kek, parse_kek
from gateway.access.store.database import Database
from gateway.administering import open_file
from gateway.errors import Sealed
from gateway.sealing_keys import AGAIN_S, KEK_FILE, Seldom, kek_file, keks_of, open_sealer
from gateway.settings import Settings, SettingsError, checked
from tests.harness.clock import Clock
from tests.harness.vaults import open_vault

FIRST, SECOND = new_kek(), new_kek()


def settings(folder: Path, **auth: Any) -> Settings:
    return checked({"auth": {"mode": "keys", "store": "sqlite", "data_dir": folder, **auth}})


def written(file: Path, *keks: str) -> Path:
    file.write_text("".join(f"{kek}\n" for kek in keks))
    return file


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_file(tmp_path)
    yield opened
    opened.close()


def test_without_a_key_one_is_made_beside_the_store_and_found_there_again(tmp_path: Path, database: Database) -> None:
    made = open_sealer(settings(tmp_path), database)
    assert made.kek_id == open_sealer(settings(tmp_path), database).kek_id
    assert kek_file(settings(tmp_path)) == tmp_path / KEK_FILE


def test_one_that_was_lost_is_not_made_again_where_anything_was_sealed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_vault(tmp_path) as vaulted:
        sealer = open_sealer(settings(tmp_path), vaulted.database)
    assert not (tmp_path / KEK_FILE).exists()
    with pytest.raises(Sealed):
        sealer.seal(b"value", b"here")
    assert str(tmp_path / KEK_FILE) in caplog.text


def test_a_key_of_the_settings_or_of_the_environment_counts(tmp_path: Path, database: Database) -> None:
    of_a_file = open_sealer(settings(tmp_path, kek_file=written(tmp_path / "one", FIRST)), database)
    given = open_sealer(settings(tmp_path, kek=FIRST), database)
    assert of_a_file.kek_id == given.kek_id == Sealer([parse_kek(FIRST)]).kek_id
    assert not (tmp_path / KEK_FILE).exists()
    assert kek_file(settings(tmp_path, kek=FIRST)) is None


def test_earlier_keys_come_after_the_newest(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one", FIRST, SECOND), written(tmp_path / "two", SECOND)
    assert keks_of(settings(tmp_path, kek_file=two, kek_previous_files=[one])) == [parse_kek(kek) for kek in (SECOND, FIRST, SECOND)]


@pytest.mark.parametrize("auth", [{"kek": "secret"}, {"kek_file": "absent"}, {"kek_file": "garbage"}])
def test_a_key_that_cannot_be_had_leaves_secrets_sealed_until_it_can(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture, auth: dict[str, str]
) -> None:
    written(tmp_path / "garbage", "5ecret")
    placed: dict[str, Any] = {name: value if name == "kek" else tmp_path / value for name, value in auth.items()}
    with caplog.at_level(logging.ERROR):
        sealer = open_sealer(settings(tmp_path, **placed), database)
        with pytest.raises(Sealed):
            sealer.seal(b"value", b"here")
    assert f"auth.{next(iter(auth))}" in caplog.text
    assert "5ecret" not in caplog.text
    assert not (tmp_path / KEK_FILE).exists()
    if "kek_file" in auth:
        written(tmp_path / auth["kek_file"], FIRST)
        assert Sealer([parse_kek(FIRST)]).open(sealer.seal(b"value", b"here"), b"here") == b"value"


def test_an_earlier_key_that_cannot_be_had_is_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert keks_of(settings(tmp_path, kek=FIRST, kek_previous_files=[tmp_path / "absent"])) == [parse_kek(FIRST)]
    assert "auth.kek_previous_files" in caplog.text


@pytest.mark.parametrize(
    "auth",
    [{"kek": FIRST, "kek_file": "one"}, {"store": "postgresql", "database": "postgresql://u:p@localhost/d"}],
    ids=["two keys", "none for PostgreSQL"],
)
def test_settings_that_contradict_themselves_are_refused(tmp_path: Path, auth: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"auth\.kek") as refused:
        settings(tmp_path, **auth)
    assert FIRST not in str(refused.value)


def test_while_secrets_are_sealed_the_log_says_so_no_more_than_once_a_minute(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    sealer = open_sealer(settings(tmp_path, kek_file=tmp_path / "absent"), database)
    for _ in range(5):
        with pytest.raises(Sealed):
            sealer.seal(b"value", b"here")
    assert len(caplog.records) == 1


def test_what_is_said_seldom_is_said_again_after_a_minute_and_other_things_at_once() -> None:
    clock, told = Clock(), list[str]()
    tell = Seldom(told.append, clock)
    for what, after_s in (("one", 0), ("one", AGAIN_S - 1), ("two", 0), ("one", 1), ("two", 0), ("one", 1)):
        clock.advance(after_s)
        tell(what)
    assert told == ["one", "two", "one"]
