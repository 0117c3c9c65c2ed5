"""Access control, put together from the settings: its store, the gate's copy of what it says, and the administrative doors.

A part of the composition root, imported only where there is a store: what it stands on takes a third of a second to import.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from gateway.access.administration import Administration
from gateway.access.bearers import Bearers
from gateway.access.copying import DirectoryCopy
from gateway.access.denials import Denials
from gateway.access.first_start import ensure_admin
from gateway.access.gates import KeyTable
from gateway.access.issuing import TokenIssuer
from gateway.access.signing import KeyRing, Rotation
from gateway.access.store.database import Database, open_database
from gateway.access.tokens import Policy, Verifier
from gateway.access.vault import SecretVault
from gateway.errors import CallerError, Sealed
from gateway.sealing_keys import access_folder, open_sealer
from gateway.settings import OAuth, Settings, SettingsError
from gateway.web.admin.audit import ReadAudit
from gateway.web.admin.routes import Offices, admin_routes

FILE = "access.db"
_SESSIONS = b"sessions of the console"
logger = logging.getLogger(__name__)


class Access:
    """The store and the gate that copies it. `begin` before the first request, `follow` for as long as requests are served, `aclose` when
    nothing runs any more."""

    def __init__(self, settings: Settings, gate: KeyTable) -> None:
        self.database = open_store(settings)
        self.sealer = open_sealer(settings, self.database)
        self.vault = SecretVault(self.sealer)
        self._ring, self.tokens = self._open_tokens(settings.auth.oauth, gate)
        self.copy = DirectoryCopy(self.database, gate, max_age_s=settings.auth.max_copy_age_s, beside=[self._ring.reading])
        self.administration = Administration(self.database, changed=self.copy.refresh, denials=Denials())
        self._gate = gate
        self._paths = settings.auth.paths
        self._refresh_s = settings.auth.refresh_s
        self._max_body_bytes = settings.server.max_body_bytes
        self._scim_roles = settings.auth.scim_roles

    async def begin(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.database.migrate)
        try:
            await self.database.run(self.vault.begin)
            await self.tokens.rotate()
        except Sealed as error:
            logger.error("%s Everything but secrets and access tokens is served.", error.message)  # noqa: TRY400 - the message says it
        await self.copy.refresh()

    async def follow(self) -> None:
        """Runs for ever: what other processes change is known here within `auth.refresh_s`."""
        await self.copy.follow(self._refresh_s)

    def console_secret(self) -> bytes | None:
        """What the sessions of the console are signed with: of this KEK's holders alone. None where it is not at hand."""
        try:
            return self.sealer.authenticate(_SESSIONS)
        except Sealed:
            return None

    def read_audit(self) -> ReadAudit:
        return ReadAudit(self.administration)

    def routes(self) -> Sequence[BaseRoute]:
        return admin_routes(
            Offices(self._gate, self.administration, self.vault, self._max_body_bytes, self.tokens, self._paths, self._scim_roles)
        )

    def _open_tokens(self, oauth: OAuth, gate: KeyTable) -> tuple[KeyRing, TokenIssuer]:
        rotation, policy = Rotation(oauth.token_life_s, oauth.key_life_s), Policy(oauth.issuer, oauth.audience, oauth.token_life_s)
        ring = KeyRing(self.sealer, rotation)
        gate.believe(Bearers(Verifier(ring, policy)))
        return ring, TokenIssuer(self.database, self.sealer, ring, rotation, policy)

    async def aclose(self) -> None:
        await self.copy.flush()
        self.database.close()


def first_key(settings: Settings) -> str | None:
    """Before the first process serves: an admin that can be somebody, where the store has none. The key that was made for it, to be shown
    this once; None: none was. Raises SettingsError, and AccessUnavailable."""
    database, given = open_store(settings), settings.auth.admin_key
    try:
        database.migrate()
        return ensure_admin(Administration(database), None if given is None else given.get_secret_value())
    except CallerError as error:
        raise SettingsError(f"auth.admin_key: {error.message}") from None
    finally:
        database.close()


def open_store(settings: Settings) -> Database:
    """The store that the settings name, not yet migrated. Raises SettingsError."""
    url = settings.auth.database
    if settings.access_store == "sqlite":
        return open_file(access_folder(settings))
    assert url is not None  # settings.checked refuses it
    return open_at(url.get_secret_value(), "auth.database")


def open_at(url: str, setting: str) -> Database:
    """The PostgreSQL database at a URL, which this setting names. Raises SettingsError."""
    try:
        return open_database(url)
    except ValueError as error:
        raise SettingsError(f"{setting}: {error}") from None
    except ModuleNotFoundError:
        raise SettingsError(f"{setting}: needs a driver: pip install 'feature-gateway[postgresql]'") from None


def open_file(data_dir: Path) -> Database:
    """The store in a data folder. Raises SettingsError."""
    try:
        return open_database(data_dir / FILE)
    except OSError as error:
        raise SettingsError(f"auth.data_dir: {data_dir} cannot be used ({error.strerror})") from error
