"""That there is always somebody who can let others in: an active service account that is an admin, and has a credential."""

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from gateway.access.administration import Act
from gateway.access.principals import PrincipalKind
from gateway.access.roles import ADMIN
from gateway.access.standings import ACCOUNT_TYPE
from gateway.access.store.tables import ApiKey, ClientSecret, Membership, RoleAssignment, ServiceAccount
from gateway.errors import FailedPrecondition


def refuse_lockout(act: Act) -> None:
    """Called when all is written, before it is committed. Whoever is at the shell may: they can let themselves in again. Raises
    FailedPrecondition."""
    if act.actor.principal is None:
        return
    act.session.flush()
    credential = or_(
        exists().where(ApiKey.account_id == ServiceAccount.id, ApiKey.is_active),
        exists().where(ClientSecret.account_id == ServiceAccount.id, ClientSecret.is_active),
    )
    through = exists().where(
        Membership.member_kind == PrincipalKind.SERVICE_ACCOUNT.value,
        Membership.member_id == ServiceAccount.id,
        _admin(PrincipalKind.GROUP, Membership.group_id),
    )
    standing = or_(_admin(PrincipalKind.SERVICE_ACCOUNT, ServiceAccount.id), through)
    if act.session.scalars(select(ServiceAccount.id).where(ServiceAccount.is_active, credential, standing).limit(1)).first() is None:
        raise FailedPrecondition(
            "This would leave no active service account that is an admin and has a credential: give another one account_type admin first."
        )


def _admin(kind: PrincipalKind, identity: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return exists().where(
        RoleAssignment.principal_kind == kind.value,
        RoleAssignment.principal_id == identity,
        RoleAssignment.resource_kind == ACCOUNT_TYPE,
        RoleAssignment.role == ADMIN,
    )
