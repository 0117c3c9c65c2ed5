"""The key-encryption keys, from where the settings say: a part of the composition root, shared by the gateway and its commands."""

import logging
import time
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

from gateway.access.sealing import Sealer, create_keks, parse_kek, read_keks
from gateway.access.store.database import Database
from gateway.access.vault import has_begun
from gateway.settings import Settings

KEK_FILE = "access.kek"
AGAIN_S = 60.0
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
    tell = Seldom(logger.error)
    return Sealer(keks_of(settings, tell), lambda: keks_of(settings, tell))


class Seldom:
    """Says something, but the same thing no more than once a minute: without the key, every request that needs it looks for it again."""

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._told_s: dict[str, float] = {}

    def __call__(self, what: str) -> None:
        now_s = self._clock()
        if now_s - self._told_s.get(what, -inf) >= AGAIN_S:
            self._told_s = {other: told_s for other, told_s in self._told_s.items() if now_s - told_s < AGAIN_S} | {what: now_s}
            self._tell(what)


def kek_file(settings: Settings) -> Path | None:
    """The file of the gateway's own making, where the settings name no key."""
    if settings.auth.kek is not None or settings.auth.kek_file is not None:
        return None
    return access_folder(settings) / KEK_FILE


def access_folder(settings: Settings) -> Path:
    """Where `access.db` is, and the key beside it."""
    return settings.auth.data_dir or settings.feature_server.data_dir


def keks_of(settings: Settings, tell: Callable[[str], None] = logger.error) -> Sequence[bytes]:
    """The keys, the newest first. None without the newest: then nothing could be sealed. `tell` is told what is wrong."""
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
        tell(f"Secrets are sealed: {named}: {error}")
        return []
    for earlier in settings.auth.kek_previous_files:
        try:
            keks += read_keks(earlier)
        except ValueError as error:
            tell(f"auth.kek_previous_files: {earlier}: {error}")
    return keks
