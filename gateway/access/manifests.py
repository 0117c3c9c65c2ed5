"""What all secrets together must be, so that what was removed, put back or moved behind the gateway's back is seen before it is used.

    scope manifest    authenticates a scope's name, and the name and version of every secret in it       (`secret_scope.manifest`)
    root manifest     authenticates the vault's generation, and every scope with its manifest            (`vault.manifest`)

Both are tags that only a holder of the key-encryption key can make. A version is the generation of the vault that wrote it, so no two
values ever had the same; the sealed value itself is bound to its scope, name and version. A look at one secret reads the names of all
scopes and of what is in its own. The whole database as it once was, put back at once, is what it once was: that is not seen.
"""

import logging
import secrets
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.access.audit import DONE
from gateway.access.roles import Action
from gateway.access.sealing import Sealer, context_of
from gateway.access.store.tables import AuditEntry, Secret, SecretScope, Vault
from gateway.errors import Tampered

_ROW = 1
_TRACES = [action.value for action in (Action.CREATE_SCOPE, Action.WRITE_SECRET)]
logger = logging.getLogger(__name__)


class Manifests:
    """The manifests in one transaction: read and held to before anything else (`open_manifests`), and written anew with each change.

    `scopes`: every scope, with its manifest."""

    def __init__(self, session: Session, sealer: Sealer, vault: Vault, scopes: Mapping[str, bytes]) -> None:
        self.scopes = scopes
        self._session = session
        self._sealer = sealer
        self._vault = vault

    def versions(self, scope: str) -> Mapping[str, int]:
        """Every secret of a scope that is there, with its version. Raises Sealed."""
        rows = self._session.execute(select(Secret.name, Secret.version).where(Secret.scope == scope)).all()
        versions = {row.name: row.version for row in rows}
        if not self._sealer.authentic(_scope_told(scope, versions), self.scopes[scope]):
            raise tampered("a scope's secrets are not those of its manifest")
        return versions

    def advance(self) -> int:
        """Begin a generation of the vault: what is written from here on is of this version."""
        self._vault.generation += 1
        return self._vault.generation

    def record(self, scope: str, versions: Mapping[str, int] | None) -> bytes:
        """From here on the scope's secrets must be these; None: there must be no such scope. Tells its manifest, for its row."""
        others = {name: manifest for name, manifest in self.scopes.items() if name != scope}
        manifest = b"" if versions is None else self._sealer.authenticate(_scope_told(scope, versions))
        self.scopes = others if versions is None else {**others, scope: manifest}
        self.vouch()
        return manifest

    def vouch(self) -> None:
        """Make the root manifest again, of what there is."""
        self._vault.manifest = self._sealer.authenticate(_root_told(self._vault.generation, self.scopes))
        self._session.add(self._vault)


def open_manifests(session: Session, sealer: Sealer) -> Manifests:
    """Raises Sealed; Tampered, where the key is there and the rows are not what it vouched for."""
    scopes = {row.name: row.manifest for row in session.execute(select(SecretScope.name, SecretScope.manifest)).all()}
    vault = session.get(Vault, _ROW)
    if vault is not None:
        if not sealer.authentic(_root_told(vault.generation, scopes), vault.manifest):
            raise tampered("the scopes are not those of the root manifest")
        return Manifests(session, sealer, vault, scopes)
    manifest = sealer.authenticate(_root_told(0, {}))
    if scopes or _has_traces(session):
        raise tampered("the root manifest is gone")
    return Manifests(session, sealer, Vault(id=_ROW, generation=0, manifest=manifest), {})


def begin_manifests(session: Session, sealer: Sealer) -> None:
    """Hold the vault to its root manifest; where nothing was ever kept in it, make one. Raises as `open_manifests`."""
    open_manifests(session, sealer)
    if session.get(Vault, _ROW) is None:
        session.add(Vault(id=_ROW, generation=0, manifest=sealer.authenticate(_root_told(0, {}))))


def tampered(what: str) -> Tampered:
    """The error to raise, once the log has it, under a number. Which secret was asked for stands in the audit log."""
    number = secrets.token_hex(8)
    logger.error("incident %s: the store of secrets was changed by something other than the gateway: %s", number, what)
    return Tampered(
        f"Secrets are sealed: what is stored is not what the gateway wrote. It stands in the gateway's log as incident {number}."
    )


def _has_traces(session: Session) -> bool:
    """Whether there ever was a secret or a scope, as far as the rest of the database tells."""
    if session.scalars(select(func.count()).select_from(Secret)).one():
        return True
    done = select(AuditEntry.id).where(AuditEntry.action.in_(_TRACES), AuditEntry.outcome == DONE).limit(1)
    return session.scalars(done).first() is not None


def _scope_told(scope: str, versions: Mapping[str, int]) -> bytes:
    listed = [f"{len(name)}:{name}{versions[name]};" for name in sorted(versions)]
    return context_of("scope", scope, "".join(listed))


def _root_told(generation: int, scopes: Mapping[str, bytes]) -> bytes:
    listed = [f"{len(name)}:{name}{scopes[name].hex()};" for name in sorted(scopes)]
    return context_of("vault", generation, "".join(listed))
