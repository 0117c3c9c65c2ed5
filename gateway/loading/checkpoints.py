"""How far the loading of each file has come, so that it can be broken off anywhere and goes on where it stopped.

Knows nothing of records. A checkpoint may lag behind what is stored: records are loaded again then, which changes nothing.
"""

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from gateway.feature_server.durable import write_file


class FileChanged(Exception):
    """A file is not what it was when a part of it was loaded."""


class _Progress(msgspec.Struct):
    size: int
    mtime_ns: int
    rows: int
    whole: bool = False


class Checkpoints:
    """Of one target, workspace and source, in one file below `folder`."""

    def __init__(self, folder: Path, target: str, workspace: str, source: str) -> None:
        name = sha256(f"{target}\0{workspace}\0{source}".encode()).hexdigest()[:16]
        self._file = folder / f"{source}-{name}.json"
        self._files: dict[str, _Progress] = {}
        self._seen: dict[str, os.stat_result] = {}
        try:
            self._files = msgspec.json.decode(self._file.read_bytes(), type=dict[str, _Progress])
        except (FileNotFoundError, msgspec.DecodeError):  # at worst, records are loaded again
            folder.mkdir(parents=True, exist_ok=True)

    def restart(self, path: Path) -> None:
        self._files.pop(_name(path), None)

    def rows(self, path: Path) -> int:
        """How many rows are done. Raises FileChanged. To be asked before the file is read: what is added to it later was
        not read."""
        known = self._files.get(_name(path))
        stat = self._seen[_name(path)] = path.stat()
        if known is None:
            return 0
        if (known.size, known.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            advice = "Begin anew with --restart: what is stored already stays as it is."
            raise FileChanged(f"{path} has changed since {known.rows:,} rows of it were loaded. {advice}")
        return known.rows

    def whole(self, path: Path) -> bool:
        known = self._files.get(_name(path))
        return known is not None and known.whole

    def advance(self, path: Path, rows: int, *, whole: bool = False) -> None:
        """Not brought to the disk at once: what is lost in a power cut is loaded again."""
        stat = self._seen.get(_name(path)) or path.stat()
        self._files[_name(path)] = _Progress(stat.st_size, stat.st_mtime_ns, rows, whole)
        write_file(self._file, msgspec.json.encode(self._files), durable=False)


def _name(path: Path) -> str:
    return str(path.resolve())
