"""Putting a feature repository in force: keep it as a version, then migrate the store here, or have the running server do so.

    nobody uses the data folder → its lock is ours: copy what is new, put the version in force, settle the store
    a server does               → ask it, follow its status until it serves the version or says why not
    it ends meanwhile           → go on here

Whatever happens in between, `current` names a version whose data is whole. Blocks; not for the event loop's thread.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded import SERVER, lock_data, start_engine
from gateway.feature_server import snapshot
from gateway.feature_server.data_lock import DataLock, FolderInUse, holder
from gateway.feature_server.definitions import Repository
from gateway.feature_server.folder import load
from gateway.feature_server.online.base import StoreMismatch
from gateway.feature_server.registry import Pending, Registry, Status, Version
from gateway.feature_server.validation import DefinitionError
from gateway.settings import Settings, SettingsError

APPLY = "feature-gateway apply"
_POLL_S = 0.1
_PATIENCE_S = 60.0
Progress = Callable[[str, int], None]


class ServerSilent(Exception):
    """The running server does not take the version up."""


@dataclass(frozen=True, slots=True)
class Applied:
    """`changed`: whether it was not in force already. `by_server`: it was the running server that made the change."""

    version: int
    changed: bool
    by_server: bool = False


def apply(
    settings: Settings, folder: Path, start_empty: Collection[str], progress: Progress, *, patience_s: float = _PATIENCE_S
) -> Applied:
    """`progress` hears of copies: view and number of join keys. `patience_s`: how long a server may show no sign. Raises DefinitionError,
    StoreMismatch, FolderInUse, ServerSilent, SettingsError."""
    repository = load(folder)
    _known(repository, start_empty)
    taken = snapshot.take(folder, repository)
    registry = Registry(settings.feature_server.data_dir)
    try:
        lock = DataLock.take(registry.root, APPLY)
    except OSError as error:
        raise SettingsError(f"feature_server.data_dir: {registry.root.parent} cannot be used ({error.strerror})") from error
    try:
        current = registry.current()
        if current is not None and current.digest == taken.digest:
            _call_off(registry)
            return Applied(current.number, changed=False)
        version = registry.add(taken, start_empty)
        try:
            by_server = _put_in_force(settings, registry, version, current, progress, patience_s)
        finally:
            _tidy(registry, version)
        return Applied(version.number, changed=True, by_server=by_server)
    finally:
        lock.release()


def _known(repository: Repository, start_empty: Collection[str]) -> None:
    views = {f"{workspace.name}.{view.name}" for workspace in repository.workspaces for view in workspace.views}
    unknown = [f"--start-empty {name}: there is no such view; it is written WORKSPACE.VIEW." for name in start_empty if name not in views]
    if unknown:
        raise DefinitionError(unknown)


def _put_in_force(
    settings: Settings, registry: Registry, version: Version, current: Version | None, progress: Progress, patience_s: float
) -> bool:
    """Whether the running server did it."""
    while True:
        try:
            lock = lock_data(settings, APPLY)
        except FolderInUse as error:
            if error.holder is None or error.holder.role != SERVER:
                raise
        else:
            try:
                _migrate(settings, registry, version, current, progress)
            finally:
                lock.release()
            return False
        if _by_server(settings, registry, version, progress, patience_s):
            return True


def _migrate(settings: Settings, registry: Registry, version: Version, current: Version | None, progress: Progress) -> None:
    """As the only one who uses the data folder."""
    if _in_force(registry, version):  # a server did it, and ended before it told
        return
    _call_off(registry)
    start_engine(
        settings,
        load(registry.folder(version.number)),
        version.start_empty,
        _workspaces(registry, current),
        progress,
        lambda: registry.put_in_force(version.number),
    ).close()


def _call_off(registry: Registry) -> None:
    """What was asked for before, and no server took up, is not wanted any longer."""
    pending = registry.pending()
    if pending is not None:
        registry.withdraw(pending)


def _workspaces(registry: Registry, version: Version | None) -> Collection[str]:
    if version is None:
        return ()
    try:
        return [workspace.name for workspace in load(registry.folder(version.number)).workspaces]
    except DefinitionError:  # what its modules need is not here any more
        return ()


def _by_server(settings: Settings, registry: Registry, version: Version, progress: Progress, patience_s: float) -> bool:
    """Ask the running server, and follow what it says. False where it ended before it was done. Raises StoreMismatch where it refuses, and
    ServerSilent. Whoever breaks off here leaves the version pending: the server may be about to put it in force."""
    pending = registry.ask(version.number)
    last, quiet_since = None, time.monotonic()
    while (server := holder(settings.feature_server.data_dir)) is not None:
        status = registry.status()
        if status is not None and status != last:
            last, quiet_since = status, time.monotonic()
            if status.request == pending.request and _done(registry, pending, status, progress):
                return True
        if time.monotonic() - quiet_since > patience_s:
            raise ServerSilent(_silence(registry, pending, server.pid, patience_s))
        time.sleep(_POLL_S)
    registry.withdraw(pending)
    return False


def _done(registry: Registry, pending: Pending, status: Status, progress: Progress) -> bool:
    if status.state == "refused":
        registry.withdraw(pending)
        raise StoreMismatch(status.text)
    if status.text:
        progress(status.text, status.done)
    return status.state == "serving"


def _silence(registry: Registry, pending: Pending, pid: int, patience_s: float) -> str:
    return (
        f"The server (process {pid}) has not begun to take up version {pending.version} for {patience_s:.0f} s. The version stays"
        f" pending: it comes into force when the server takes it up. Look at the server's log and at {registry.root / 'status'}; or stop"
        " the server, and give this command again: it does the work itself then."
    )


def _in_force(registry: Registry, version: Version) -> bool:
    current = registry.current()
    return current is not None and current.number == version.number


def _tidy(registry: Registry, version: Version) -> None:
    """What cannot come into force any more is not kept."""
    pending = registry.pending()
    if not _in_force(registry, version) and (pending is None or pending.version != version.number):
        registry.discard(version.number)
