"""The vault: secrets in scopes, sealed. Each method is the work of one act (`access.administration`): judged first, then held to the
manifests, then done.

Whoever may not view a scope is told the same whether it is there or not.
"""

import re
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, inspect, select
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.giving import role_row
from gateway.access.manifests import Manifests, begin_manifests, open_manifests, tampered
from gateway.access.roles import EVERYTHING, Action, Scope, ScopeRole
from gateway.access.sealing import Sealer, context_of
from gateway.access.standings import SECRET_SCOPE
from gateway.access.store.database import Database
from gateway.access.store.tables import RoleAssignment, Secret, SecretScope, SigningKey, Vault
from gateway.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Tampered

MAX_VALUE_BYTES = 65_536
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}"
_NAME = re.compile(NAME)


class SecretVault:
    """What the sealer's keys open. Every method raises Sealed where they do not, and Tampered where what is stored is not what was written;
    besides, what the method says."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def begin(self, session: Session) -> None:
        """At the start: see whether the vault opens. A new one is made only where nothing was ever kept in one."""
        begin_manifests(session, self._sealer)

    def scopes(self, act: Act) -> Sequence[str]:
        """Those that the actor may view."""
        act.only_judged_by_what_is_shown()
        return sorted(name for name in open_manifests(act.session, self._sealer).scopes if act.may(Action.VIEW_SCOPE, Scope(name)))

    def create_scope(self, act: Act, scope: str) -> None:
        """Whoever makes it manages it. Raises PermissionDenied, AlreadyExists."""
        act.require(Action.CREATE_SCOPE, EVERYTHING)
        manifests = open_manifests(act.session, self._sealer)
        if scope in manifests.scopes:
            raise AlreadyExists("scope: there is a secret scope of this name.")
        _forget_roles(act.session, scope)
        manifests.advance()
        act.session.add(SecretScope(name=scope, manifest=manifests.record(scope, {}), created_us=act.now_us))
        maker = act.actor.principal
        if maker is not None:
            act.detail = f"{ScopeRole.MANAGER} to {maker.kind}/{maker.id}"
            act.session.add(role_row(maker, SECRET_SCOPE, scope, ScopeRole.MANAGER))

    def delete_scope(self, act: Act, scope: str) -> None:
        """With all roles on it. Raises PermissionDenied, NotFound, FailedPrecondition."""
        manifests = self._entered(act, scope, Action.DELETE_SCOPE)
        if manifests.versions(scope):
            raise FailedPrecondition("scope: it still holds secrets; delete them first.")
        manifests.advance()
        manifests.record(scope, None)
        _forget_roles(act.session, scope)
        act.session.execute(delete(SecretScope).where(SecretScope.name == scope))

    def names(self, act: Act, scope: str) -> Sequence[str]:
        """Of a scope's secrets. Raises PermissionDenied, NotFound."""
        return sorted(self._entered(act, scope, Action.LIST_SECRETS).versions(scope))

    def read(self, act: Act, scope: str, name: str) -> str:
        """A secret's value. Raises PermissionDenied, NotFound."""
        manifests = self._entered(act, scope, Action.READ_SECRET)
        version = _version(manifests.versions(scope), name)
        sealed = act.session.scalars(select(Secret.sealed).where(Secret.scope == scope, Secret.name == name)).one()
        act.detail = f"version {version}"
        try:
            return self._sealer.open(sealed, place_of(scope, name, version)).decode()
        except Tampered:
            raise tampered("a value is not the one that was sealed here") from None

    def put(self, act: Act, scope: str, name: str, value: str) -> None:
        """Make a secret, or give it another value. Raises PermissionDenied, NotFound."""
        manifests = self._entered(act, scope, Action.WRITE_SECRET)
        versions = manifests.versions(scope)
        version = manifests.advance()
        sealed = self._sealer.seal(value.encode(), place_of(scope, name, version))
        self._record(act.session, manifests, scope, {**versions, name: version})
        row = act.session.get(Secret, (scope, name))
        if row is None:
            row = Secret(scope=scope, name=name, created_us=act.now_us)
            act.session.add(row)
        row.version, row.sealed, row.updated_us = version, sealed, act.now_us
        act.detail = f"version {version}"

    def delete(self, act: Act, scope: str, name: str) -> None:
        """At once: the value is gone from the database with the transaction. Raises PermissionDenied, NotFound."""
        manifests = self._entered(act, scope, Action.DELETE_SECRET)
        versions = manifests.versions(scope)
        act.detail = f"version {_version(versions, name)}"
        manifests.advance()
        self._record(act.session, manifests, scope, {other: version for other, version in versions.items() if other != name})
        act.session.execute(delete(Secret).where(Secret.scope == scope, Secret.name == name))

    def _entered(self, act: Act, scope: str, action: Action) -> Manifests:
        act.require(Action.VIEW_SCOPE, Scope(scope))
        manifests = open_manifests(act.session, self._sealer)
        if scope not in manifests.scopes:
            raise NotFound("scope: there is no secret scope of this name.")
        act.require(action, Scope(scope))
        return manifests

    def _record(self, session: Session, manifests: Manifests, scope: str, versions: Mapping[str, int]) -> None:
        session.get_one(SecretScope, scope).manifest = manifests.record(scope, versions)


def checked_name(name: str, what: str) -> str:
    """A name that a scope or a secret may have. Raises InvalidRequest, which does not quote it."""
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(f"{what}: 1 to 256 characters of A-Z a-z 0-9 _ . @ -, and of those the first no . @ -")
    return name


def place_of(scope: str, name: str, version: int) -> bytes:
    """What a secret's sealed value is bound to."""
    return context_of("secret", scope, name, version)


def has_begun(database: Database) -> bool:
    """Whether anything was ever sealed here: then there is a key, and another must not be made. Raises AccessUnavailable."""

    def work(session: Session) -> bool:
        if not inspect(session.connection()).has_table(Vault.__tablename__):
            return False
        return any(session.scalars(select(table).limit(1)).first() is not None for table in (Vault, Secret, SigningKey))

    return database.transact(work, writes=False)


def _version(versions: Mapping[str, int], name: str) -> int:
    version = versions.get(name)
    if version is None:
        raise NotFound("key: the scope holds no secret of this name.")
    return version


def _forget_roles(session: Session, scope: str) -> None:
    """Whoever makes a scope of the same name again begins with nobody in it."""
    session.execute(delete(RoleAssignment).where(RoleAssignment.resource_kind == SECRET_SCOPE, RoleAssignment.resource_id == scope))
