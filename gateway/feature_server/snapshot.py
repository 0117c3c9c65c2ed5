"""What of a feature repository's folder makes a version of it: every file but hidden ones, compiled Python, and the history that sources
name.

Links are followed inside the folder, as a mounted Kubernetes ConfigMap needs, and refused where they lead out. Owns the content's digest.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.feature_server.definitions import Repository
from gateway.feature_server.validation import DefinitionError

MAX_BYTES = 64 * 1024 * 1024
_ADVICE = ". Name its data under the source's `files`, which are not part of the definitions, or keep them elsewhere."
_COMPILED = (".pyc", ".pyo")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files by their names in the folder, which they were read from."""

    folder: Path
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """Of names and contents; the same for the same definitions, wherever they lie."""
        known = sha256()
        for name, content in sorted(self.files.items()):
            known.update(b"%d %b %d " % (len(name.encode()), name.encode(), len(content)))
            known.update(content)
        return known.hexdigest()


def take(folder: Path, repository: Repository) -> Snapshot:
    """The folder as it is now. `repository` says which of its files are history. Raises DefinitionError."""
    root = folder.resolve()
    patterns = [pattern for workspace in repository.workspaces for source in workspace.sources for pattern in source.files]
    history = {file.resolve() for file in matching(root, patterns)}
    files: dict[str, bytes] = {}
    size = 0
    try:
        for path in _walk(root, root, {root}):
            if path.resolve() in history:
                continue
            size += path.stat().st_size
            if size > MAX_BYTES:
                raise DefinitionError([f"{folder}: the folder holds more than {MAX_BYTES >> 20} MiB{_ADVICE}"])
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    except OSError as error:
        raise DefinitionError([f"{error.filename}: the file cannot be read: {error.strerror}."]) from error
    return Snapshot(root, files)


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files that patterns name, relative to the folder: pattern by pattern, in the order of their names, each once."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        names: Sequence[str] = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        found |= dict.fromkeys(path for name in names if (path := folder / name).is_file())
    return list(found)


def _walk(folder: Path, root: Path, seen: set[Path]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__" or path.suffix in _COMPILED:
            continue
        real = Path(os.path.realpath(path, strict=True))
        if not real.is_relative_to(root):
            raise DefinitionError([f"{path.relative_to(root)}: the link leads out of the folder."])
        if path.is_dir():
            if real not in seen:
                seen.add(real)
                yield from _walk(path, root, seen)
        elif path.is_file():
            yield path
