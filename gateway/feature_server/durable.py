"""Files that are there whole or not at all, whenever the machine stops: written under another name, brought to the disk, renamed.

Knows nothing of what is in them.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def write_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put this in the place of what the file held. `durable`: once this has returned it survives a power cut; else only this process."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """A new folder with these files, by their names relative to it; the path must not be there yet."""
    path.mkdir()
    made = {path}
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        made.update(parent for parent in file.parents if parent.is_relative_to(path))
        with file.open("xb") as fresh:
            fresh.write(content)
            fresh.flush()
            os.fsync(fresh.fileno())
    for folder in made:
        sync_folder(folder)


def sync_folder(path: Path) -> None:
    """Renames and new names in a folder reach the disk with the folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
