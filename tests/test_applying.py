"""Putting definitions in force: the old version or the new one, whole, whatever happens in between."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from gateway.applying import APPLY, Applied, ServerSilent, apply
from gateway.embedded import PINNED_SERVER, SERVER, open_engine
from gateway.feature_server.data_lock import DataLock, FolderInUse
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.base import StoreMismatch
from gateway.feature_server.reads import ReadRow
from gateway.feature_server.registry import Registry, Status
from gateway.feature_server.timestamps import parse_timestamp
from gateway.feature_server.validation import DefinitionError
from gateway.features import ServiceRef
from gateway.settings import Settings, SettingsError, checked
from tests.feature_server.purchases import at_once
from tests.harness.clock import wait_until
from tests.harness.repositories import AS_OF, write_repository

SERVICE = ServiceRef("shop", name="checkout")
FIRST = {"order_count_1h_10m": 1, "total": 5.0}
SECOND = {"order_count_1d_5m": 2, "order_count_1h_5m": 1, "total": 5.0}


def quietly(_view: str, _done: int) -> None:
    pass


def settings_of(folder: Path) -> Settings:
    return checked({"feature_server": {"data_dir": folder / "data", "as_of": AS_OF}})


def put(folder: Path, *start_empty: str, progress: Callable[[str, int], None] = quietly, **definitions: str) -> Applied:
    return apply(settings_of(folder), write_repository(folder / "definitions", **definitions), start_empty, progress, patience_s=0.5)


def in_force(folder: Path) -> int | None:
    current = Registry(folder / "data").current()
    return None if current is None else current.number


def versions(folder: Path) -> set[str]:
    return {path.name for path in (folder / "data" / "definitions" / "versions").iterdir()}


def order(engine: Engine, user: str, at: str, amount: float) -> None:
    source = engine.catalog.sources["shop", "orders"]
    assert engine.store(source, [[parse_timestamp(at), f"{user}-{at}", user, amount, None]]) == 1


def read(engine: Engine, user: str = "ann") -> dict[str, Any]:
    [row] = at_once(engine.read(SERVICE, [ReadRow({"user_id": user}, frozenset({"by_user"}))]))
    [found] = row.views
    return {name.partition(".")[2]: value for name, value in zip(found.served.layout.names, found.values, strict=True)}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A first version, with two orders of Ann's."""
    assert put(tmp_path) == Applied(1, changed=True)
    engine = open_engine(settings_of(tmp_path))
    order(engine, "ann", "2024-05-01T11:30:00Z", 5.0)
    order(engine, "ann", "2024-05-01T08:00:00Z", 7.0)
    assert read(engine) == FIRST
    engine.close()
    return tmp_path


def test_nothing_is_served_before_anything_was_applied(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no feature definitions are in force .*\n  feature-gateway apply DIR --data-dir"):
        open_engine(settings_of(tmp_path))
    assert not (tmp_path / "data").exists()


def test_the_same_definitions_again_are_nothing_to_do_wherever_they_lie(shop: Path) -> None:
    assert put(shop) == Applied(1, changed=False)
    elsewhere = write_repository(shop / "elsewhere")
    (elsewhere / "data").mkdir()
    (elsewhere / "data" / "orders.csv").write_text("history is no part of the definitions")
    (elsewhere / ".hidden").write_text("nor is this")
    assert apply(settings_of(shop), elsewhere, (), quietly) == Applied(1, changed=False)
    assert versions(shop) == {"1"}


def test_a_changed_view_begins_with_the_history_it_had(shop: Path) -> None:
    told: list[tuple[str, int]] = []
    applied = put(shop, interval="5m", windows="1h, 1d", progress=lambda view, done: told.append((view, done)))
    assert applied == Applied(2, changed=True)
    assert told == [("by_user", 1)]
    engine = open_engine(settings_of(shop))
    assert read(engine) == SECOND
    engine.close()


def test_what_is_refused_leaves_the_version_before_in_force_and_nothing_behind(shop: Path) -> None:
    with pytest.raises(StoreMismatch, match=r"by_user of workspace shop has no history .*amount is float64, not int64"):
        put(shop, amount="int64")
    assert (in_force(shop), versions(shop)) == (1, {"1"})
    engine = open_engine(settings_of(shop))
    assert read(engine) == FIRST
    engine.close()
    assert put(shop, "shop.by_user", amount="int64") == Applied(2, changed=True)
    for _ in range(2):  # it may still start empty when it is opened again
        engine = open_engine(settings_of(shop))
        assert set(read(engine).values()) == {None}
        engine.close()


def test_a_view_that_looks_further_back_than_its_events_reach_is_refused(shop: Path) -> None:
    put(shop, more="    ttl: 1d\n")
    with pytest.raises(StoreMismatch, match="reaches further back than its own stored events: it keeps events for 86400 s, and 604800 s"):
        put(shop, more="    ttl: 7d\n", windows="1h, 7d")
    assert put(shop, more="    ttl: 7d\n") == Applied(3, changed=True)


@pytest.mark.parametrize("start_empty", ["by_user", "shop.by_users"])
def test_a_view_that_may_start_empty_must_be_one(shop: Path, start_empty: str) -> None:
    with pytest.raises(DefinitionError, match=f"--start-empty {start_empty}: there is no such view"):
        put(shop, start_empty, tag="second")


def test_events_that_came_in_while_a_view_was_retired_are_there_when_it_returns(shop: Path) -> None:
    put(shop, interval="5m")
    engine = open_engine(settings_of(shop))
    order(engine, "ann", "2024-05-01T11:40:00Z", 1.0)
    order(engine, "ann", "2024-05-01T11:30:00Z", 6.0)  # corrects the one that the first version had
    engine.close()
    put(shop)
    engine = open_engine(settings_of(shop))
    assert read(engine) == {"order_count_1h_10m": 2, "total": 7.0}
    engine.close()


def test_only_one_applies_at_a_time(shop: Path) -> None:
    lock = DataLock.take(shop / "data" / "definitions", APPLY)
    with pytest.raises(FolderInUse, match=r"feature-gateway apply \(process \d+\)"):
        put(shop, tag="second")
    lock.release()
    assert put(shop, tag="second").version == 2


def test_a_server_whose_definitions_are_pinned_is_not_asked(shop: Path) -> None:
    lock = DataLock.take(shop / "data", PINNED_SERVER, shared=True)
    with pytest.raises(FolderInUse, match="a server whose definitions are set"):
        put(shop, tag="second")
    lock.release()
    assert (in_force(shop), versions(shop)) == (1, {"1"})


def test_a_server_that_does_not_answer_is_told_of_and_may_still_take_it_up(shop: Path) -> None:
    lock = DataLock.take(shop / "data", SERVER)
    with pytest.raises(ServerSilent, match=rf"process {os.getpid()}\) has not begun to take up version 2"):
        put(shop, tag="second")
    lock.release()
    pending = Registry(shop / "data").pending()
    assert pending is not None
    assert (in_force(shop), pending.version, versions(shop)) == (1, 2, {"1", "2"})
    assert put(shop, tag="second").version == 3  # without a server, what is pending is not waited for


def test_what_a_server_left_undone_is_done_here(shop: Path) -> None:
    lock, registry = DataLock.take(shop / "data", SERVER), Registry(shop / "data")
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(put, shop, interval="5m", windows="1h, 1d")
        wait_until(lambda: registry.pending() is not None, "the server to be asked")
        lock.release()
        assert applied.result() == Applied(2, changed=True)
    assert registry.pending() is None
    engine = open_engine(settings_of(shop))
    assert read(engine) == SECOND
    engine.close()


def test_a_servers_refusal_is_the_commands_own(shop: Path) -> None:
    lock, registry = DataLock.take(shop / "data", SERVER), Registry(shop / "data")
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(put, shop, tag="second")
        wait_until(lambda: registry.pending() is not None, "the server to be asked")
        pending = registry.pending()
        assert pending is not None
        registry.report(Status(os.getpid(), 1, "another request", "refused", "this is about something else"))
        registry.report(Status(os.getpid(), 1, pending.request, "refused", "the reason"))
        with pytest.raises(StoreMismatch, match="the reason"):
            applied.result()
    lock.release()
    assert (in_force(shop), versions(shop), registry.pending()) == (1, {"1"}, None)


def killed_at(shop: Path, event: int) -> bool:
    """Apply the second version in a process of its own, which is killed when it is about to make its nth change to the disk. False where
    it had made all before that."""
    write_repository(shop / "definitions", interval="5m", windows="1h, 1d")
    child = os.fork()
    if child == 0:
        seen = 0

        def count(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda statement: count() if statement.startswith("COMMIT") else None)
            return connection

        connect, sqlite3.connect = sqlite3.connect, traced  # type: ignore[assignment]
        sys.addaudithook(lambda name, _: count() if name in {"os.rename", "os.mkdir", "os.remove"} else None)
        try:
            put(shop, interval="5m", windows="1h, 1d")
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_any_moment_it_leaves_the_old_version_or_the_new_one(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found: list[int] = []
    for event in range(1, 100):
        folder = copytree(shop, tmp_path_factory.mktemp("killed") / "shop")
        if not killed_at(folder, event):
            break
        version = in_force(folder)
        engine = open_engine(settings_of(folder))
        assert read(engine) == (FIRST if version == 1 else SECOND)
        order(engine, "ann", "2024-05-01T11:45:00Z", 1.0)  # a half-made copy does not get this one
        engine.close()
        again = put(folder, interval="5m", windows="1h, 1d")
        assert again == Applied(2, changed=version == 1)
        engine = open_engine(settings_of(folder))
        assert read(engine) == {"order_count_1d_5m": 3, "order_count_1h_5m": 2, "total": 6.0}
        engine.close()
        assert versions(folder) == {"1", "2"}
        assert version is not None
        found.append(version)
    assert found == sorted(found)
    assert {1, 2} == set(found)
    assert len(found) > 10
