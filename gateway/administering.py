"""Access control, put together from the settings: its store, the gate's copy of what it says, and the administrative doors.

A part of the composition root, imported only where there is a store: what it stands on takes a third of a second to import.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from starlette.routing import BaseRoute

from gateway.access.administration import Administration
from gateway.access.bearers import Bearers
from gateway.access.directory import read_directory, revision_of
from gateway.access.gates import KeyTable
from gateway.access.issuing import TokenIssuer
from gateway.access.signing import KeyRing, Rotation, read_keys
from gateway.access.store.database import Database, open_database
from gateway.access.tokens import Policy, Verifier
from gateway.access.vault import SecretVault
from gateway.errors import AccessUnavailable, Sealed
from gateway.sealing_keys import open_sealer
from gateway.settings import OAuth, Settings, SettingsError
from gateway.web.admin.routes import Offices, admin_routes

FILE = "access.db"
logger = logging.getLogger(__name__)


class Access:
    """The store and the gate that copies it. `begin` before the first request, `follow` for as long as requests are served."""

    def __init__(self, settings: Settings, gate: KeyTable) -> None:
        self.database = open_store(settings)
        self.sealer = open_sealer(settings, self.database)
        self.vault = SecretVault(self.sealer)
        self.administration = Administration(self.database, changed=self.refresh)
        self._ring, self.tokens = self._open_tokens(settings.auth.oauth, gate)
        self._paths = settings.auth.paths
        self._gate = gate
        self._refresh_s = settings.auth.refresh_s
        self._max_body_bytes = settings.server.max_body_bytes
        self._scim_roles = settings.auth.scim_roles
        self._revision = -1

    async def begin(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.database.migrate)
        try:
            await self.database.run(self.vault.begin)
        except Sealed as error:
            logger.error("%s Everything but secrets and access tokens is served.", error.message)  # noqa: TRY400 - the message says it
        with suppress(Sealed):  # said where it was opened; until then there are no tokens
            await self.tokens.rotate()
        await self.refresh()

    async def refresh(self) -> None:
        """Have the gate say what the store says now. An older answer never replaces a newer one."""
        directory, keys = await self.database.run(lambda session: (read_directory(session), read_keys(session)), writes=False)
        if directory.revision > self._revision:
            self._ring.adopt(keys)
            self._revision = directory.revision
            self._gate.adopt(directory)

    async def follow(self) -> None:
        """Runs for ever: what other processes change is known here within `auth.refresh_s`, and however long a reading takes. While the
        store cannot be read, what was read last counts."""
        told = False
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                if await self.database.run(revision_of, writes=False) != self._revision:
                    await self.refresh()
            except AccessUnavailable:
                if not told:
                    logger.warning("The store of access control cannot be read: keys and roles are as they were last known")
                told = True
            else:
                told = False

    def routes(self) -> Sequence[BaseRoute]:
        return admin_routes(
            Offices(self._gate, self.administration, self.vault, self._max_body_bytes, self.tokens, self._paths, self._scim_roles)
        )

    def _open_tokens(self, oauth: OAuth, gate: KeyTable) -> tuple[KeyRing, TokenIssuer]:
        rotation, policy = Rotation(oauth.token_life_s, oauth.key_life_s), Policy(oauth.issuer, oauth.audience, oauth.token_life_s)
        ring = KeyRing(self.sealer, rotation)
        gate.believe(Bearers(Verifier(ring, policy)))
        return ring, TokenIssuer(self.database, self.sealer, ring, rotation, policy)

    def close(self) -> None:
        self.database.close()


def open_store(settings: Settings) -> Database:
    """The store that the settings name, not yet migrated. Raises SettingsError."""
    url = settings.auth.database
    if settings.auth.store == "sqlite":
        return open_file(settings.auth.data_dir or settings.feature_server.data_dir)
    assert url is not None  # settings.checked refuses it
    try:
        return open_database(url.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"auth.database: {error}") from None


def open_file(data_dir: Path) -> Database:
    """The store in a data folder. Raises SettingsError."""
    try:
        return open_database(data_dir / FILE)
    except OSError as error:
        raise SettingsError(f"auth.data_dir: {data_dir} cannot be used ({error.strerror})") from error
