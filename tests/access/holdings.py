"""Rows of access control, as short as a test wants them."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from gateway.access.keys import digest, key_id, new_key
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.standings import ACCOUNT_TYPE, ALL_WORKSPACES, SECRET_SCOPE, WORKSPACE
from gateway.access.store.tables import ApiKey, Group, Membership, RoleAssignment, ServiceAccount, User

ADMIN = (ACCOUNT_TYPE, "", "admin")


def in_all(role: str) -> tuple[str, str, str]:
    return ALL_WORKSPACES, "", role


def in_workspace(name: str, role: str) -> tuple[str, str, str]:
    return WORKSPACE, name, role


def on_scope(name: str, role: str) -> tuple[str, str, str]:
    return SECRET_SCOPE, name, f"secret_scope_{role}"


def account(name: str) -> Principal:
    return Principal(PrincipalKind.SERVICE_ACCOUNT, name)


def add_account(session: Session, name: str, *, active: bool = True) -> Principal:
    row = ServiceAccount(id=name, name=name, description="", is_active=active, credentials="api_key", created_us=0, updated_us=0)
    session.add(row)
    session.flush()
    return account(name)


def add_key(session: Session, name: str, *, active: bool = True) -> str:
    """A key of the account `name`."""
    key = new_key()
    session.add(ApiKey(id=key_id(key), account_id=name, digest=bytes.fromhex(digest(key)), is_active=active, created_us=0))
    return key


def add_user(session: Session, name: str) -> Principal:
    session.add(User(id=name, user_name=name, created_us=0, updated_us=0))
    return Principal(PrincipalKind.USER, name)


def add_group(session: Session, name: str, *members: Principal) -> Principal:
    session.add(Group(id=name, display_name=name, idp_mapping_names="[]", created_us=0, updated_us=0))
    session.flush()
    session.add_all(Membership(group_id=name, member_kind=one.kind, member_id=one.id) for one in members)
    return Principal(PrincipalKind.GROUP, name)


def give(session: Session, principal: Principal, *roles: tuple[str, str, str]) -> None:
    for kind, resource, role in roles:
        session.add(
            RoleAssignment(principal_kind=principal.kind, principal_id=principal.id, resource_kind=kind, resource_id=resource, role=role)
        )


def clear(session: Session) -> None:
    for table in (RoleAssignment, Membership, Group, ApiKey, ServiceAccount, User):
        session.execute(delete(table))
