"""Which files of a folder are definitions: every `*.yaml` and `*.yml` in any layout, hidden ones left out, each once.

Links are followed as long as they stay inside, as a mounted Kubernetes ConfigMap needs; those that lead out are refused.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.feature_server.folder.documents import Slip

_SUFFIXES = (".yaml", ".yml")


def read_files(root: Path, slips: list[Slip]) -> list[tuple[str, bytes]]:
    """Name, relative to the folder, and content. `root` is a resolved path."""
    found = []
    for path in _walk(root, root, {str(root)}, slips):
        name = told(path.relative_to(root))
        try:
            found.append((name, path.read_bytes()))
        except OSError as error:
            slips.append(Slip(name, 1, "", f"the file cannot be read: {error.strerror}."))
    return found


def told(path: Path) -> str:
    """Fit to be printed, whatever bytes the file system has."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _walk(folder: Path, root: Path, seen: set[str], slips: list[Slip]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda path: (path.is_symlink(), path.name))  # files by their own names rather than by links
    except OSError as error:
        slips.append(Slip(told(folder.relative_to(root)), 0, "", f"the folder cannot be read: {error.strerror}."))
        return
    for path in entries:
        wanted = path.name.endswith(_SUFFIXES)
        if path.name.startswith(".") or not (wanted or path.is_dir()):
            continue
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as error:
            slips.append(Slip(told(path.relative_to(root)), 0, "", f"the link cannot be followed: {error.strerror}."))
            continue
        if not Path(real).is_relative_to(root):
            slips.append(Slip(told(path.relative_to(root)), 0, "", "the link leads out of the folder."))
        elif real not in seen:
            seen.add(real)
            if path.is_dir():
                yield from _walk(path, root, seen, slips)
            elif path.is_file():
                yield path
