"""What a principal is given, as rows of the store: an API key, a role. Whether it may have it is asked before."""

from sqlalchemy.orm import Session

from gateway.access.keys import digest, key_id, new_key
from gateway.access.principals import Principal
from gateway.access.store.tables import ApiKey, RoleAssignment


def add_key(session: Session, account_id: str, now_us: int, key: str | None = None) -> str:
    """The key, active from now on: this one, which must be well formed, or a new one. To be shown this once."""
    key = key or new_key()
    row = ApiKey(
        id=key_id(key),
        account_id=account_id,
        digest=bytes.fromhex(digest(key)),
        is_active=True,
        created_us=now_us,
        last_used_us=None,
    )
    session.add(row)
    session.flush()
    return key


def role_row(principal: Principal, resource_kind: str, resource_id: str, role: str) -> RoleAssignment:
    return RoleAssignment(
        principal_kind=principal.kind.value, principal_id=principal.id, resource_kind=resource_kind, resource_id=resource_id, role=role
    )
