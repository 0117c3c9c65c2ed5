"""Access control put together: which store, who is the first in it, and that what it says is what the gate does, here at once, elsewhere
within `auth.refresh_s`."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.gates import KeyTable
from gateway.access.keys import digest, new_key
from gateway.access.principals import shell
from gateway.access.roles import EVERYTHING, Action
from gateway.access.store.tables import Change, ServiceAccount
from gateway.administering import Access, first_key, open_at, open_file, open_store
from gateway.errors import AccessUnavailable, Unauthenticated
from gateway.settings import Settings, SettingsError, checked
from tests.access.holdings import add_account, add_key, give, in_all
from tests.doors.flights import NAMED
from tests.harness.clock import wait_until
from tests.harness.houses import House
from tests.harness.offices import open_offices
from tests.harness.postgresql import PostgreSQL

CLUSTER = {"kind": "tecton", "url": "https://acme.tecton.ai"}
KEYED = CLUSTER | {"api_key": "of-the-gateway"}
ONE_KEY = {"keys": {"one": {"digest": "0" * 64}}}
POSTGRESQL = {"database": "postgresql://me:c4n4ry@127.0.0.1:1/db", "kek": "0" * 64}
KEK = base64.b64encode(bytes(range(32))).decode()


def settings(**auth: Any) -> Any:
    return checked({"auth": {"mode": "keys", "store": "sqlite", "refresh_s": 0.01, "kek": KEK, **auth}})


def reader(session: Session) -> str:
    give(session, add_account(session, "reader"), in_all("consumer"))
    session.get_one(Change, 1).revision += 1
    return add_key(session, "reader")


def deactivate(session: Session) -> None:
    session.get_one(ServiceAccount, "reader").is_active = False
    session.get_one(Change, 1).revision += 1


@pytest.fixture(params=["sqlite", "postgresql"])
def auth(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings of a store that nobody has made yet."""
    if request.param == "sqlite":
        yield {"data_dir": tmp_path}
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    with server.lend(empty=True) as url:
        yield {"store": "postgresql", "database": url}


@asynccontextmanager
async def closed(access: Access) -> AsyncIterator[Access]:
    try:
        yield access
    finally:
        await access.aclose()


def opens(gate: KeyTable, key: str) -> bool:
    try:
        return gate.identify(f"Tecton-key {key}".encode()) is not None
    except Unauthenticated:
        return False


async def passes(condition: Callable[[], bool], what: str) -> None:
    """As `wait_until`, while the event loop goes on."""
    await asyncio.to_thread(wait_until, condition, what)


async def test_what_another_process_changes_is_followed(auth: dict[str, Any]) -> None:
    gate = KeyTable({})
    async with closed(Access(settings(**auth), gate)) as here:
        await here.begin()
        following = asyncio.create_task(here.follow())
        with closing(open_store(settings(**auth))) as elsewhere:
            key = elsewhere.transact(reader)
            await passes(lambda: opens(gate, key), "the key being known")
            elsewhere.transact(deactivate)
            await passes(lambda: not opens(gate, key), "the key being refused")
        following.cancel()


async def test_what_is_changed_here_counts_before_it_is_answered(auth: dict[str, Any]) -> None:
    gate = KeyTable({})
    async with closed(Access(settings(**auth), gate)) as here:
        here.database.migrate()
        key = here.database.transact(reader)
        await here.begin()
        assert opens(gate, key)

        def work(act: Act) -> None:
            act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
            act.session.get_one(ServiceAccount, "reader").is_active = False

        await here.administration.act(shell("ada"), Action.MANAGE_ACCOUNT, "service_account/reader", work)
        assert not opens(gate, key)


async def test_while_the_store_cannot_be_read_what_was_read_last_counts(postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture) -> None:
    with postgresql.lend() as url:
        await unreadable(postgresql, url, caplog)


async def unreadable(postgresql: PostgreSQL, url: str, caplog: pytest.LogCaptureFixture) -> None:
    gate = KeyTable({})
    async with closed(Access(settings(store="postgresql", database=url), gate)) as here:
        key = here.database.transact(reader)
        await here.begin()
        caplog.set_level(logging.WARNING)
        following = asyncio.create_task(here.follow())
        postgresql.stop()
        try:
            await passes(lambda: "cannot be read" in caplog.text, "the warning")
            assert opens(gate, key)
            assert url not in caplog.text
        finally:
            postgresql.start()
        here.database.transact(deactivate)
        await passes(lambda: not opens(gate, key), "the key being refused")
        following.cancel()
        assert caplog.text.count("cannot be read") == 1


async def test_a_store_that_cannot_be_read_at_the_start_is_no_start() -> None:
    async with closed(Access(settings(store="postgresql", database="postgresql://ada:c4n4ry@127.0.0.1:1/db"), KeyTable({}))) as here:
        with pytest.raises(AccessUnavailable):
            await here.begin()


def test_settings_that_name_no_store_are_refused_without_being_quoted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"auth\.database") as refusal:
        open_store(settings(store="postgresql", database="c4n4ry"))
    assert "c4n4ry" not in str(refusal.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"auth\.data_dir"):
        open_store(settings(data_dir=tmp_path / "file"))


@pytest.fixture(scope="module")
def offices(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, dict[str, str], Path]]:
    folder = tmp_path_factory.mktemp("access")
    with open_offices(demo_dir, folder, ("root", "admin"), ("reader", "consumer"), auth={"refresh_s": 0.01}) as (house, keys):
        yield house, keys, folder


def test_a_key_that_is_revoked_elsewhere_opens_nothing_any_more(offices: tuple[House, dict[str, str], Path]) -> None:
    house, keys, folder = offices
    with house.as_caller(keys["reader"]) as caller, closing(open_file(folder)) as elsewhere:
        assert caller.get(f"{NAMED}/schema").status_code == 200

        def revoke(session: Session) -> None:
            session.get_one(ServiceAccount, "sa-reader").is_active = False
            session.get_one(Change, 1).revision += 1

        elsewhere.transact(revoke)
        wait_until(lambda: caller.get(f"{NAMED}/schema").status_code == 401, "the key being refused")


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
