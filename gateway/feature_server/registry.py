"""Versions of a feature repository, kept below the data folder, and which of them is in force.

    definitions/versions/<n>/   a copy of the repository's folder, whole or not there
    definitions/current         the number of the version in force: what a server opens when it starts
    definitions/pending         the version that a running server is asked to serve, and by which request
    definitions/status          what that server says: what it serves, how far it has come, or why it refused

Every file is replaced whole, so whoever is killed in between leaves what was before or what comes after. `current` is written by whoever
migrates the store, at the moment when all is copied (`migration`); a server's word in `status` only tells of it.
Knows nothing of engines and of how definitions are read.
"""

import secrets
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from gateway.feature_server.durable import sync_folder, write_file, write_folder
from gateway.feature_server.online.base import StoreMismatch
from gateway.feature_server.snapshot import Snapshot

_ABOUT = ".version.json"
_KEPT = 20
T = TypeVar("T")


class Version(msgspec.Struct, frozen=True):
    """`folder`: where it was applied from. `start_empty`: views that need no history, whenever this version is opened."""

    number: int
    digest: str
    folder: str
    start_empty: tuple[str, ...] = ()


class Pending(msgspec.Struct, frozen=True):
    version: int
    request: str


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """`serving`: the version. `request`: the one that the rest is about; `text`: the view that is copied, or why it was refused."""

    pid: int
    serving: int
    request: str = ""
    state: Literal["serving", "copying", "refused"] = "serving"
    text: str = ""
    done: int = 0


class Registry:
    """Of one data folder. Who adds versions or puts one in force holds the lock of `applying` or of the data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "definitions"
        self._versions = self.root / "versions"
        self._current = self.root / "current"
        self._pending = self.root / "pending"
        self._status = self.root / "status"

    def current(self) -> Version | None:
        """The version in force; None where none ever was."""
        try:
            number = int(self._current.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._damaged(self._current) from error
        return self.version(number)

    def version(self, number: int) -> Version:
        about = self.folder(number) / _ABOUT
        try:
            return msgspec.json.decode(about.read_bytes(), type=Version)
        except msgspec.DecodeError as error:
            raise self._damaged(about) from error

    def _damaged(self, path: Path) -> StoreMismatch:
        return StoreMismatch(
            f"{path} is damaged. Restore it, or remove {self.root} and put the definitions in force again: feature-gateway apply DIR."
        )

    def folder(self, number: int) -> Path:
        return self._versions / str(number)

    def add(self, snapshot: Snapshot, start_empty: Collection[str] = ()) -> Version:
        """Keep these definitions as a version, in force or not. What broken-off attempts left is cleared away."""
        self._versions.mkdir(parents=True, exist_ok=True)
        self._clear()
        version = Version(max(self._numbers(), default=0) + 1, snapshot.digest, str(snapshot.folder), tuple(start_empty))
        fresh = self._versions / f".{version.number}.{secrets.token_hex(4)}"
        write_folder(fresh, {**snapshot.files, _ABOUT: msgspec.json.encode(version)})
        fresh.rename(self.folder(version.number))
        sync_folder(self._versions)
        return version

    def put_in_force(self, number: int) -> None:
        """Raises FileNotFoundError for a version that is not kept."""
        self.version(number)
        write_file(self._current, str(number).encode())

    def discard(self, number: int) -> None:
        """A version that did not come into force."""
        shutil.rmtree(self.folder(number), ignore_errors=True)

    def ask(self, number: int) -> Pending:
        """Ask the running server to serve this version."""
        pending = Pending(number, secrets.token_hex(8))
        write_file(self._pending, msgspec.json.encode(pending))
        return pending

    def pending(self) -> Pending | None:
        return self._read(self._pending, Pending)

    def pending_stamp(self) -> tuple[int, int] | None:
        """Changes with what is pending, and costs one look at the folder."""
        try:
            stat = self._pending.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def withdraw(self, pending: Pending) -> None:
        """It is no longer asked for, unless something else is asked for by now."""
        if self.pending() == pending:
            self._pending.unlink(missing_ok=True)

    def report(self, status: Status) -> None:
        write_file(self._status, msgspec.json.encode(status), durable=False)

    def status(self) -> Status | None:
        return self._read(self._status, Status)

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self._versions.iterdir() if path.name.isdecimal()]

    def _clear(self) -> None:
        for path in self._versions.iterdir():
            if path.name.startswith("."):
                shutil.rmtree(path, ignore_errors=True)
        current, pending = self.current(), self.pending()
        serving, asked = 0 if current is None else current.number, 0 if pending is None else pending.version
        for number in self._numbers():
            if number not in {serving, asked} and (number > serving or number <= serving - _KEPT):
                self.discard(number)

    @staticmethod
    def _read(path: Path, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.DecodeError):  # what cannot be read asks for nothing, and tells nothing
            return None
