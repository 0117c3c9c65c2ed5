"""Who uses a data folder: one process at a time, or several that change nothing of it, known to others by role and process number.

The lock is the operating system's, so it ends with its process, however that ends. Knows nothing of what is in the folder.
"""

import fcntl
import os
from pathlib import Path
from time import sleep
from typing import Self

import msgspec

_FILE = "in-use"
_PAUSES_S = (0.01, 0.02, 0.04, 0.0)


class Holder(msgspec.Struct, frozen=True):
    """`role`: what the process does, in a word or two."""

    role: str
    pid: int


class FolderInUse(Exception):
    """Another process has the folder. `holder` None: it has not said yet who it is."""

    def __init__(self, folder: Path, holder: Holder | None) -> None:
        who = "another process" if holder is None else f"{holder.role} (process {holder.pid})"
        super().__init__(f"The data folder {folder} is in use by {who}.")
        self.holder = holder


class DataLock:
    """Held from `take` to `release`, or to the end of the process. A child that is forked and lives on holds it too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path, role: str, *, shared: bool = False) -> Self:
        """Makes the folder where it is missing. `shared`: with others who share it. Raises FolderInUse, and OSError where the folder cannot
        be used."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _FILE
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor, folder, file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            told = msgspec.json.encode(Holder(role, os.getpid()))
            os.pwrite(descriptor, told, 0)
            os.ftruncate(descriptor, len(told))
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder(folder: Path) -> Holder | None:
    """Who uses the folder now; None where nobody does."""
    file = folder / _FILE
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(file) or Holder("another process", 0)
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int, folder: Path, file: Path, how: int) -> None:
    """More than one try: who only looks (`holder`) has the lock for a moment."""
    for pause_s in _PAUSES_S:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(pause_s)
        else:
            return
    raise FolderInUse(folder, _said(file))


def _said(file: Path) -> Holder | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
