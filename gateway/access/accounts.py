"""Service accounts: made with one kind of credential, looked for, changed, and deleted once they are inactive.

An account is administered by whoever made it, and by admins; it sees itself. To everybody else it does not exist. Every function is work
of an act (`access.administration`). Names and descriptions are the caller's own words: they are in no error and in no audit entry.
"""

import re
import secrets
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Row, and_, delete, select
from sqlalchemy.orm import aliased

from gateway.access.administration import Act
from gateway.access.giving import add_key
from gateway.access.keys import digest, new_client_secret, random_name
from gateway.access.lockout import refuse_lockout
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import EVERYTHING, Account, Action
from gateway.access.standings import standing_of
from gateway.access.store.tables import ApiKey, ClientSecret, Membership, RoleAssignment, ServiceAccount, User
from gateway.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Unseen

API_KEY, OAUTH = "api_key", "oauth"
"""`ServiceAccount.credentials`."""
MOST_NAME, MOST_DESCRIPTION = 256, 4_096
"""Characters."""
_IDENTIFIER = re.compile(r"[!-~]{1,64}")
_UNSEEN = "There is no such service account."


@dataclass(frozen=True, slots=True)
class Issued:
    """A new account with its first credential, which is shown this once."""

    account: ServiceAccount
    credential: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """An account, and who made it where that one is still there."""

    account: ServiceAccount
    creator: User | ServiceAccount | None


def new_account_id() -> str:
    return secrets.token_hex(16)


def create(act: Act, account_id: str, name: str, description: str, credentials: str) -> Issued:
    """Active, without any role. Raises AlreadyExists for a name that is taken."""
    act.require(Action.CREATE_ACCOUNT, EVERYTHING)
    creator = act.actor.principal
    account = ServiceAccount(
        id=account_id,
        name=_free(act, _fitting_name(name)),
        description=_fitting_description(description),
        is_active=True,
        credentials=credentials,
        creator_kind=creator.kind.value if creator is not None else None,
        creator_id=creator.id if creator is not None else None,
        created_us=act.now_us,
        updated_us=act.now_us,
    )
    act.session.add(account)
    act.session.flush()
    act.detail = f"credentials: {credentials}"
    if credentials == API_KEY:
        return Issued(account, add_key(act.session, account_id, act.now_us))
    return Issued(account, add_secret(act, account_id, random_name(20))[1])


def search(act: Act, text: str, ids: Collection[str] | None) -> Sequence[Found]:
    """The accounts that the actor may see, the oldest first, whose name, description or id contains the text in whatever case. `ids`: only
    of these; None: of all."""
    act.only_judged_by_what_is_shown()
    sought = folded(text)
    fitting = [
        row.id
        for row in act.session.execute(_LISTED)
        if (ids is None or row.id in ids)
        and act.may(Action.VIEW_ACCOUNT, resource_of(row))
        and (not sought or any(sought in folded(part) for part in (row.name, row.description, row.id)))
    ]
    return [one for start in range(0, len(fitting), _AT_ONCE) for one in _found(act, fitting[start : start + _AT_ONCE])]


def update(
    act: Act, account_id: str, name: str | None = None, description: str | None = None, *, is_active: bool | None = None
) -> ServiceAccount:
    """None leaves a field as it is. An account that is not active keeps its roles, memberships and credentials, and may do nothing.

    Raises AlreadyExists for a name that is taken, FailedPrecondition where nobody would be left who can let others in.
    """
    account = managed(act, account_id)
    changed: list[str] = []
    if name is not None and name != account.name:
        account.name = _free(act, _fitting_name(name))
        changed.append("name")
    if description is not None and description != account.description:
        account.description = _fitting_description(description)
        changed.append("description")
    if is_active is not None and is_active != account.is_active:
        account.is_active = is_active
        changed.append("activated" if is_active else "deactivated")
    if changed:
        account.updated_us = act.now_us
        act.session.flush()
    if "deactivated" in changed and standing_of(act.session, resource_of(account).principal).admin:
        refuse_lockout(act)
    act.detail = f"changed: {', '.join(changed) or 'nothing'}"
    return account


def remove(act: Act, account_id: str) -> None:
    """With its credentials, memberships and roles. Raises FailedPrecondition where it is active."""
    account = managed(act, account_id)
    if account.is_active:
        raise FailedPrecondition("The service account must be deactivated before it can be deleted.")
    kind = PrincipalKind.SERVICE_ACCOUNT
    act.session.execute(delete(Membership).where(Membership.member_kind == kind, Membership.member_id == account_id))
    act.session.execute(delete(RoleAssignment).where(RoleAssignment.principal_kind == kind, RoleAssignment.principal_id == account_id))
    for credentials in (ApiKey, ClientSecret):
        act.session.execute(delete(credentials).where(credentials.account_id == account_id))
    act.session.delete(account)
    act.session.flush()
    act.detail = "deleted"


def managed(act: Act, account_id: str) -> ServiceAccount:
    """An account that the actor may administer. Raises NotFound, also where it may not even be seen, and PermissionDenied."""
    account = act.session.get(ServiceAccount, account_id) if is_identifier(account_id) else None
    if account is None:
        raise NotFound(_UNSEEN)
    if not act.may(Action.VIEW_ACCOUNT, resource_of(account)):
        raise Unseen(_UNSEEN)
    act.require(Action.MANAGE_ACCOUNT, resource_of(account))
    return account


def add_secret(act: Act, account_id: str, secret_id: str) -> tuple[ClientSecret, str]:
    """A new client secret, active, and what it is: to be shown this once."""
    secret = new_client_secret()
    row = ClientSecret(
        id=secret_id,
        account_id=account_id,
        digest=bytes.fromhex(digest(secret)),
        tail=secret[-4:],
        is_active=True,
        created_us=act.now_us,
        updated_us=act.now_us,
        last_used_us=None,
    )
    act.session.add(row)
    act.session.flush()
    return row, secret


def resource_of(account: "ServiceAccount | Row[str, str, str, str | None, str | None]") -> Account:
    creator = None
    if account.creator_kind is not None and account.creator_id is not None:
        creator = Principal(PrincipalKind(account.creator_kind), account.creator_id)
    return Account(account.id, Principal(PrincipalKind.SERVICE_ACCOUNT, account.id), creator)


def is_name(text: str) -> bool:
    """Whether an account may be called so, whoever makes it."""
    return bool(text.strip()) and len(text) <= MOST_NAME and not any(unicodedata.category(one) == "Cc" for one in text)


def is_identifier(text: str) -> bool:
    """Whether this could be an id at all: what could not is asked of no database, and stands in no audit entry."""
    return _IDENTIFIER.fullmatch(text) is not None


def folded(text: str) -> str:
    """As texts are compared when case does not matter (Unicode, D145: canonical caseless matching)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


_LISTED = select(
    ServiceAccount.id, ServiceAccount.name, ServiceAccount.description, ServiceAccount.creator_kind, ServiceAccount.creator_id
).order_by(ServiceAccount.created_us, ServiceAccount.id)
_AT_ONCE = 500


def _found(act: Act, ids: Sequence[str]) -> Sequence[Found]:
    maker = aliased(ServiceAccount)
    rows = act.session.execute(
        select(ServiceAccount, User, maker)
        .outerjoin(User, and_(ServiceAccount.creator_kind == PrincipalKind.USER, User.id == ServiceAccount.creator_id))
        .outerjoin(maker, and_(ServiceAccount.creator_kind == PrincipalKind.SERVICE_ACCOUNT, maker.id == ServiceAccount.creator_id))
        .where(ServiceAccount.id.in_(ids))
        .order_by(ServiceAccount.created_us, ServiceAccount.id)
    )
    return [Found(account, user or creator) for account, user, creator in rows]


def _free(act: Act, name: str) -> str:
    if act.session.scalars(select(ServiceAccount.id).where(ServiceAccount.name == name)).first() is not None:
        raise AlreadyExists("There is a service account of this name.")
    return name


def _fitting_name(name: str) -> str:
    if not is_name(name):
        raise InvalidRequest(f"name must have 1 to {MOST_NAME} characters, not all of them blank, and no control characters.")
    return name


def _fitting_description(description: str) -> str:
    if len(description) > MOST_DESCRIPTION or "\0" in description:
        raise InvalidRequest(f"description must have at most {MOST_DESCRIPTION} characters, and no NUL.")
    return description
