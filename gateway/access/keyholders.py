"""Service accounts and their API keys, as the operator at the shell manages them: by name, and several keys to an account where one is to
take another's place.

Every function is work of an act (`access.administration`), and asks for the right that it needs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.giving import add_key, role_row
from gateway.access.keys import key_id
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import ADMIN, EVERYTHING, Account, Action
from gateway.access.standings import ACCOUNT_TYPE, ALL_WORKSPACES, SECRET_SCOPE, WORKSPACE, held_by
from gateway.access.store.tables import ApiKey, RoleAssignment, ServiceAccount
from gateway.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound

_MOST_NAME = 256


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on something, as `RoleAssignment` has it."""

    resource_kind: str
    resource_id: str
    role: str

    def __str__(self) -> str:
        """As the options of the command say it."""
        if self.resource_kind == ACCOUNT_TYPE:
            return ADMIN
        place = {ALL_WORKSPACES: "*", SECRET_SCOPE: f"secrets/{self.resource_id}"}.get(self.resource_kind, self.resource_id)
        return f"{place}={self.role}"


@dataclass(frozen=True, slots=True)
class Made:
    """A new key, to be shown this once."""

    account_id: str
    key_id: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A key and its account. Times in microseconds since 1970. `roles`: through groups, too. `is_active`: both of them are."""

    key_id: str
    account_id: str
    account: str
    is_active: bool
    created_us: int
    last_used_us: int | None
    roles: Sequence[str]


def create(act: Act, account_id: str, name: str, grants: Iterable[Grant]) -> Made:
    """An account, what it may do, and its first key. Raises AlreadyExists and InvalidRequest."""
    act.require(Action.CREATE_ACCOUNT, EVERYTHING)
    if not 0 < len(name) <= _MOST_NAME or not name.isprintable() or not name.strip():
        raise InvalidRequest(f"The name must have 1 to {_MOST_NAME} printable characters.")
    if act.session.scalars(select(ServiceAccount.id).where(ServiceAccount.name == name)).first() is not None:
        raise AlreadyExists("There is a service account of this name. Another key for it: feature-gateway keys rotate NAME")
    act.session.add(
        ServiceAccount(
            id=account_id,
            name=name,
            description="",
            is_active=True,
            credentials="api_key",
            creator_kind=None,
            creator_id=None,
            created_us=act.now_us,
            updated_us=act.now_us,
        )
    )
    act.session.flush()
    made = _add_key(act, account_id)
    given = _assign(act, account_id, grants)
    act.detail = _detail(f"api_key/{made.key_id}", *given)
    return made


def rotate(act: Act, account: str, *, at_once: bool) -> Made:
    """Another key for an account. Those it has stay good until they are deactivated, or `at_once` no longer."""
    found = managed(act, account)
    if found.credentials != "api_key":
        raise FailedPrecondition("This account shows client secrets, not API keys.")
    ended: Sequence[str] = ()
    if at_once:
        mine = ApiKey.account_id == found.id
        ended = act.session.scalars(select(ApiKey.id).where(mine, ApiKey.is_active).order_by(ApiKey.id)).all()
        act.session.execute(update(ApiKey).where(mine).values(is_active=False))
    made = _add_key(act, found.id)
    act.detail = _detail(f"api_key/{made.key_id}", *[f"deactivated api_key/{one}" for one in ended])
    return made


def switch(act: Act, key_or_account: str, *, active: bool) -> str:
    """A key by its id, or else a whole account by id or name: from now on good, or not. What it was, as the audit log has it."""
    key = act.session.get(ApiKey, key_or_account)
    account = managed(act, key_or_account if key is None else key.account_id)
    if key is not None and active and not account.is_active:
        raise FailedPrecondition(f"The key's account is deactivated, too. Activate it first: feature-gateway keys activate {account.id}")
    if key is None:
        account.is_active, account.updated_us = active, act.now_us
        target = f"service_account/{account.id}"
    else:
        key.is_active = active
        target = f"api_key/{key.id}"
    act.session.flush()
    act.detail = f"{target}: {'activated' if active else 'deactivated'}"
    return target


def grant(act: Act, account: str, grants: Iterable[Grant]) -> str:
    """The account's id."""
    found = managed(act, account)
    act.detail = _detail(*_assign(act, found.id, grants)) or "nothing new"
    return found.id


def revoke(act: Act, account: str, grants: Iterable[Grant]) -> str:
    """The account's id. Raises NotFound for a role that it was not given directly."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    found, taken = managed(act, account), []
    for one in grants:
        row = act.session.get(RoleAssignment, (PrincipalKind.SERVICE_ACCOUNT.value, found.id, one.resource_kind, one.resource_id, one.role))
        if row is None:
            raise NotFound("The account was not given this role itself; feature-gateway keys list shows all that it has, also by groups.")
        act.session.delete(row)
        taken.append(f"-{one}")
    act.session.flush()
    act.detail = _detail(*taken)
    return found.id


def listed(act: Act) -> Sequence[Listed]:
    """All keys of all accounts, by the account's name, the oldest first."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    rows = act.session.execute(
        select(ApiKey, ServiceAccount)
        .join(ServiceAccount, ServiceAccount.id == ApiKey.account_id)
        .order_by(ServiceAccount.name, ApiKey.created_us, ApiKey.id)
    )
    return [
        Listed(
            key.id,
            account.id,
            account.name,
            key.is_active and account.is_active,
            key.created_us,
            key.last_used_us,
            roles_of(act.session, account.id),
        )
        for key, account in rows
    ]


def roles_of(session: Session, account_id: str) -> Sequence[str]:
    held = held_by(session, Principal(PrincipalKind.SERVICE_ACCOUNT, account_id))
    return list(dict.fromkeys(str(Grant(one.resource_kind, one.resource_id, one.role)) for one in held))


def managed(act: Act, account: str) -> ServiceAccount:
    """An account by id or name. Raises NotFound."""
    found = _sought(act.session, account)
    if found is None:
        act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
        raise NotFound("There is no such key or service account; feature-gateway keys list shows all there are.")
    act.require(Action.MANAGE_ACCOUNT, Account(found.id, Principal(PrincipalKind.SERVICE_ACCOUNT, found.id)))
    return found


def id_of(session: Session, key_or_account: str) -> str | None:
    """The account's, of whichever of the two this is."""
    key = session.get(ApiKey, key_or_account)
    if key is not None:
        return key.account_id
    found = _sought(session, key_or_account)
    return None if found is None else found.id


def _sought(session: Session, account: str) -> ServiceAccount | None:
    """By id before by name: whoever names an account can name it like another's id."""
    by_id = session.get(ServiceAccount, account)
    return by_id or session.scalars(select(ServiceAccount).where(ServiceAccount.name == account)).first()


def _add_key(act: Act, account_id: str) -> Made:
    key = add_key(act.session, account_id, act.now_us)
    identity = key_id(key)
    assert identity is not None  # it is new
    return Made(account_id, identity, key)


def _assign(act: Act, account_id: str, grants: Iterable[Grant]) -> Sequence[str]:
    """Those that it did not have, as the audit log has them."""
    given, holder = [], Principal(PrincipalKind.SERVICE_ACCOUNT, account_id)
    for one in dict.fromkeys(grants):
        act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
        if one.resource_kind == WORKSPACE and not one.resource_id.strip():
            raise InvalidRequest("A role needs the name of its workspace.")
        if act.session.get(RoleAssignment, (holder.kind.value, holder.id, one.resource_kind, one.resource_id, one.role)) is None:
            act.session.add(role_row(holder, one.resource_kind, one.resource_id, one.role))
            given.append(f"+{one}")
    act.session.flush()
    return given


def _detail(*parts: str) -> str:
    return "; ".join(parts)
