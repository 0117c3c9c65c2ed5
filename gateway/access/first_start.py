"""The first start: a store that holds no admin could be administered by nobody, so it gets one.

Whoever starts the gateway may write its store, so this gives nobody anything that they could not take. Processes that start at once meet
in the store: one of them makes the admin, the others find it there.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.administration import Act, Administration
from gateway.access.giving import add_key, role_row
from gateway.access.keys import key_id, new_key, random_name
from gateway.access.principals import Actor, Principal, PrincipalKind
from gateway.access.roles import ADMIN, EVERYTHING, Action
from gateway.access.standings import ACCOUNT_TYPE
from gateway.access.store.tables import ApiKey, RoleAssignment, ServiceAccount
from gateway.errors import InvalidRequest

ADMIN_ID = "0" * 31 + "1"
"""The account's, in every store: two that make it at once make one."""
NAME = "admin"
_WHO = Actor(None, "serve", "start")


class _NothingToDo(Exception):
    """Somebody was faster. No act: nothing is written down of it."""


def ensure_admin(administration: Administration, given: str | None) -> str | None:
    """`given`: a key that is to be the admin's. One that the store knows already stays as it is, also where it was deactivated since.

    The key that was made, where none was given and nobody is admin; else None. Raises InvalidRequest for a key that is none.
    """
    key = new_key() if given is None else given
    identity = key_id(key)
    if identity is None:
        raise InvalidRequest("not an API key of the gateway's own; feature-gateway new-key makes one")
    target = f"service_account/{ADMIN_ID}"

    def settled(session: Session) -> bool:
        return _has_admin(session) if given is None else session.get(ApiKey, identity) is not None

    def work(act: Act) -> None:
        act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
        if settled(act.session):
            raise _NothingToDo
        _make_admin(act, key, identity)

    if administration.database.transact(settled, writes=False):
        return None
    try:
        administration.act_at_once(_WHO, Action.MANAGE_DIRECTORY, target, work)
    except _NothingToDo:
        return None
    return None if given is not None else key


def _has_admin(session: Session) -> bool:
    admins = select(RoleAssignment).where(RoleAssignment.resource_kind == ACCOUNT_TYPE, RoleAssignment.role == ADMIN)
    return session.scalars(admins.limit(1)).first() is not None


def _make_admin(act: Act, key: str, identity: str) -> None:
    principal = Principal(PrincipalKind.SERVICE_ACCOUNT, ADMIN_ID)
    account = act.session.get(ServiceAccount, ADMIN_ID)
    if account is None:
        account = ServiceAccount(
            id=ADMIN_ID,
            name=_free_name(act.session),
            description="Made when the gateway was started and nobody could administer it.",
            is_active=True,
            credentials="api_key",
            creator_kind=None,
            creator_id=None,
            created_us=act.now_us,
            updated_us=act.now_us,
        )
        act.session.add(account)
    account.is_active = True
    if act.session.get(RoleAssignment, (principal.kind.value, principal.id, ACCOUNT_TYPE, "", ADMIN)) is None:
        act.session.add(role_row(principal, ACCOUNT_TYPE, "", ADMIN))
    act.session.flush()
    add_key(act.session, ADMIN_ID, act.now_us, key)
    act.detail = f"api_key/{identity}; account_type: {ADMIN}"


def _free_name(session: Session) -> str:
    """An account that somebody else has called so is not made admin by that."""
    taken = session.scalars(select(ServiceAccount.id).where(ServiceAccount.name == NAME)).first() is not None
    return f"{NAME}-{random_name(6)}" if taken else NAME
