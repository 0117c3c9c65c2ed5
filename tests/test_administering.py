"""Access control as the settings say it: which store, and who is the first in it."""

from pathlib import Path
from typing import Any

import pytest

from gateway.access.keys import digest, new_key
from gateway.administering import first_key, open_at, open_store
from gateway.errors import AccessUnavailable
from gateway.settings import Settings, SettingsError, checked

CLUSTER = {"kind": "tecton", "url": "https://acme.tecton.ai"}
KEYED = CLUSTER | {"api_key": "of-the-gateway"}
ONE_KEY = {"keys": {"one": {"digest": "0" * 64}}}
POSTGRESQL = {"database": "postgresql://me:c4n4ry@127.0.0.1:1/db", "kek": "0" * 64}


@pytest.mark.parametrize(
    ("tree", "store"),
    [
        ({}, "sqlite"),
        ({"auth": ONE_KEY}, "none"),
        ({"auth": ONE_KEY | {"store": "sqlite"}}, "sqlite"),
        ({"auth": {"store": "none"}}, "none"),
        ({"auth": {"mode": "open"}}, "none"),
        ({"origin": CLUSTER}, "none"),
        ({"origin": KEYED}, "sqlite"),
        ({"auth": POSTGRESQL}, "postgresql"),
        ({"auth": POSTGRESQL | ONE_KEY}, "postgresql"),
    ],
)
def test_a_store_is_there_where_keys_are_the_gateways_own_and_the_settings_have_none(tree: dict[str, Any], store: str) -> None:
    assert checked(tree).access_store == store


@pytest.mark.parametrize(
    "tree",
    [
        {"origin": CLUSTER, "auth": POSTGRESQL},
        {"auth": POSTGRESQL | {"store": "sqlite"}},
        {"auth": {"store": "none", "admin_key": "c4n4ry"}},
    ],
)
def test_what_does_not_fit_together_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        checked(tree)
    assert "c4n4ry" not in str(refused.value)


def in_folder(folder: Path, **auth: Any) -> Settings:
    return checked({"feature_server": {"data_dir": folder / "data"}, "auth": auth})


def test_the_first_start_makes_a_key_and_no_later_one_does(tmp_path: Path) -> None:
    settings = in_folder(tmp_path)
    assert first_key(settings) is not None
    assert first_key(settings) is None
    assert (tmp_path / "data" / "access.db").stat().st_mode & 0o777 == 0o600


def test_a_key_of_the_settings_is_the_admins_and_stands_nowhere(tmp_path: Path) -> None:
    key = new_key()
    settings = in_folder(tmp_path, admin_key=key)
    assert first_key(settings) is None
    assert key not in repr(settings)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
    assert bytes.fromhex(digest(key)) in kept
    assert key.encode() not in kept


def test_what_is_no_key_is_told_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^auth\.admin_key: not an API key") as refused:
        first_key(in_folder(tmp_path, admin_key="c4n4ry"))
    assert "c4n4ry" not in str(refused.value)


def test_a_folder_that_cannot_be_used_is_told_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SettingsError, match=r"auth\.data_dir: .* cannot be used"):
        open_store(in_folder(tmp_path))


def test_a_database_that_cannot_be_reached_is_not_told_with_its_password() -> None:
    with pytest.raises(AccessUnavailable) as refused:
        first_key(checked({"auth": POSTGRESQL}))
    assert "c4n4ry" not in str(refused.value)


def test_a_missing_driver_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr("gateway.administering.open_database", missing)
    with pytest.raises(SettingsError, match=r"pip install 'feature-gateway\[postgresql\]'"):
        open_at("postgresql://host/db", "auth.database")
