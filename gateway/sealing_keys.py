"""The key-encryption keys, from where the settings say: a part of the composition root, shared by the gateway and its commands."""

import logging
from collections.abc import Sequence
from pathlib import Path

from gateway.access.sealing import Sealer, create_keks, parse_kek, read_keks
from gateway.access.store.database import Database
from gateway.access.vault import has_begun
from gateway.settings import Settings

KEK_FILE = "access.kek"
logger = logging.getLogger(__name__)


def open_sealer(settings: Settings, database: Database) -> Sealer:
    """What seals, under the keys that the settings name. A key that cannot be had leaves secrets sealed, and everything else as it is: the
    features that are served are not the worse for it."""
    file = kek_file(settings)
    if file is not None and not file.exists() and not has_begun(database):
        try:
            create_keks(file)
        except OSError as error:
            logger.error("%s: cannot be written (%s)", file, error.strerror)  # noqa: TRY400 - where it came from is no help
    return Sealer(keks_of(settings), lambda: keks_of(settings))


def kek_file(settings: Settings) -> Path | None:
    """The file of the gateway's own making, where the settings name no key."""
    if settings.auth.kek is not None or settings.auth.kek_file is not None:
        return None
    return access_folder(settings) / KEK_FILE


def access_folder(settings: Settings) -> Path:
    """Where `access.db` is, and the key beside it."""
    return settings.auth.data_dir or settings.feature_server.data_dir


def keks_of(settings: Settings) -> Sequence[bytes]:
    """The keys, the newest first. None without the newest: then nothing could be sealed. The log has what is wrong."""
    keks: list[bytes] = []
    file = settings.auth.kek_file or kek_file(settings)
    try:
        keks += [parse_kek(settings.auth.kek.get_secret_value())] if settings.auth.kek is not None else []
        keks += read_keks(file) if file is not None else []
    except ValueError as error:
        named = (
            "auth.kek"
            if file is None
            else f"{'auth.kek_file' if settings.auth.kek_file is not None else 'the key beside the store'}: {file}"
        )
        logger.error("Secrets are sealed: %s: %s", named, error)  # noqa: TRY400
        return []
    for earlier in settings.auth.kek_previous_files:
        try:
            keks += read_keks(earlier)
        except ValueError as error:
            logger.error("auth.kek_previous_files: %s: %s", earlier, error)  # noqa: TRY400
    return keks
