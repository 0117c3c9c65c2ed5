"""The embedded feature server, put together from the settings: whose definitions, which store, who may use the data folder.

The composition root's part for whoever needs an engine without a gateway around it: `app`, and the commands.
"""

import importlib
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from gateway.feature_server.adoption import Adoption
from gateway.feature_server.data_lock import DataLock
from gateway.feature_server.definitions import Repository
from gateway.feature_server.engine import Engine
from gateway.feature_server.folder import load
from gateway.feature_server.housekeeping import Housekeeping
from gateway.feature_server.online.base import OnlineStore
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.registry import Registry, Version
from gateway.feature_server.timestamps import parse_timestamp
from gateway.settings import Settings, SettingsError

ONLINE_STORE = "online.db"
SERVER = "a server"
PINNED_SERVER = "a server whose definitions are set by feature_server.definitions"
_PYTHON = re.compile(r"[A-Za-z_][\w.]*:\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """The definitions to serve. `folder`: what their sources' `files` are relative to; `version`: of the registry."""

    repository: Repository
    folder: Path | None = None
    version: Version | None = None


def open_feature_server(settings: Settings) -> tuple[Engine, Adoption | None]:
    """The engine of a server, and what takes up new definitions where they come from the registry."""
    server = settings.feature_server
    role = SERVER if server.definitions is None else PINNED_SERVER
    given, engine = open_given(settings, role)
    if given.version is None:
        return engine, None
    return engine, Adoption(engine, Registry(server.data_dir), load, given.version.number)


def open_engine(settings: Settings, role: str = PINNED_SERVER) -> Engine:
    return open_given(settings, role)[1]


def open_given(settings: Settings, role: str) -> tuple[Given, Engine]:
    """The embedded feature server on its data folder, which is its alone until it is closed; servers whose definitions stay what they are
    may share one, given the same definitions: SQLite keeps their writes apart. Raises SettingsError, FolderInUse, and what
    definitions and stores raise that do not fit."""
    if settings.feature_server.definitions is None:
        in_force(settings)  # before a folder is made where there is none
    lock = lock_data(settings, role)
    try:
        given = definitions(settings)
        start_empty = () if given.version is None else given.version.start_empty
        engine = start_engine(settings, given.repository, start_empty)
    except BaseException:
        lock.release()
        raise
    engine.on_close(lock.release)
    return given, engine


def start_engine(
    settings: Settings,
    repository: Repository,
    start_empty: Collection[str] = (),
    formerly: Collection[str] = (),
    progress: Callable[[str, int], None] = lambda _view, _done: None,
    commit: Callable[[], None] = lambda: None,
) -> Engine:
    """For whoever holds the data folder's lock."""
    server = settings.feature_server
    as_of_ns = instant(settings)
    store = open_store(settings)
    try:
        return Engine.open(
            repository,
            store,
            time.time_ns,
            as_of_ns,
            housekeeping=Housekeeping(store, every_s=server.retention_every_s, keep_retired_s=server.keep_retired_s),
            start_empty=start_empty,
            formerly=formerly,
            progress=progress,
            commit=commit,
        )
    except BaseException:
        store.close()
        raise


def open_store(settings: Settings) -> OnlineStore:
    """Raises SettingsError, and OriginUnavailable where SQLite's file cannot be opened; Redis is asked when it is used."""
    server = settings.feature_server
    if server.store == "sqlite":
        return SqliteStore(server.data_dir / ONLINE_STORE)
    from gateway.feature_server.online.redis import RedisStore  # noqa: PLC0415 - a seventh of a second, where it is chosen
    from gateway.redis_servers import Address  # noqa: PLC0415

    chosen = server.redis
    assert chosen.url is not None  # settings.checked refuses it
    try:
        address = Address(
            chosen.url.get_secret_value(), chosen.cluster, chosen.connect_timeout_s, chosen.command_timeout_s, chosen.connections
        )
    except ValueError as error:
        raise SettingsError(f"feature_server.redis.url: {error}") from None
    return RedisStore(address, prefix=chosen.prefix)


def lock_data(settings: Settings, role: str) -> DataLock:
    """Raises FolderInUse, and SettingsError for what cannot be a data folder."""
    folder = settings.feature_server.data_dir
    try:
        return DataLock.take(folder, role, shared=role == PINNED_SERVER)
    except OSError as error:
        raise SettingsError(f"feature_server.data_dir: {folder} cannot be used ({error.strerror})") from error


def instant(settings: Settings) -> int | None:
    """`as_of` in nanoseconds. Raises SettingsError."""
    as_of = settings.feature_server.as_of
    try:
        return parse_timestamp(as_of) if as_of is not None else None
    except ValueError as error:
        raise SettingsError("feature_server.as_of: not an RFC 3339 instant, e.g. 2013-01-14T23:00:00Z") from error


def definitions(settings: Settings) -> Given:
    """What `feature_server.definitions` says. Raises SettingsError and DefinitionError."""
    where = settings.feature_server.definitions
    if where is None:
        version = in_force(settings)
        return Given(load(Registry(settings.feature_server.data_dir).folder(version.number)), Path(version.folder), version)
    if _PYTHON.fullmatch(where):
        return Given(_imported(where))
    if not Path(where).is_dir():
        raise SettingsError(f"feature_server.definitions: {where} is neither a folder nor module:attribute")
    return Given(load(Path(where)), Path(where))


def in_force(settings: Settings) -> Version:
    """The version that the registry has in force. Raises SettingsError where there is none."""
    folder = settings.feature_server.data_dir
    try:
        version = Registry(folder).current()
    except OSError as error:
        raise SettingsError(f"feature_server.data_dir: {folder} cannot be used ({error.strerror})") from error
    if version is None:
        raise SettingsError(
            f"feature_server.definitions: no feature definitions are in force in {folder}. Put a feature repository in force with:\n"
            f"  feature-gateway apply DIR --data-dir {folder}\n"
            "or name a folder or module:attribute in feature_server.definitions. To see it work first: feature-gateway demo"
        )
    return version


def _imported(where: str) -> Repository:
    module, _, attribute = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute or "REPOSITORY")
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"feature_server.definitions: {where} cannot be imported ({error})") from error
    if not isinstance(found, Repository):
        raise SettingsError(f"feature_server.definitions: {where} is no Repository")
    return found
