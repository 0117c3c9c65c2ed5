"""What all kinds can be filtered by, and the attributes with several values that more than one of them has."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, literal, select

from gateway.access.principals import PrincipalKind
from gateway.access.scim.filters import Several
from gateway.access.scim.places import NAMES
from gateway.access.store.tables import Group, Membership, RoleAssignment, ServiceAccount, User


def columns_of(table: type[User | Group | ServiceAccount], kind: PrincipalKind) -> Mapping[str, ColumnElement[Any]]:
    return {
        "id": _column(table.id),
        "external_id": _column(table.external_id),
        "meta.created": _column(table.created_us),
        "meta.last_modified": _column(table.updated_us),
        "meta.resource_type": literal(NAMES[kind]),
    }


def emails() -> Several:
    """The one that is kept."""
    columns = {"value": _column(User.email), "type": _column(User.email_type), "primary": _column(User.email_primary)}
    return Several(columns, lambda condition: and_(User.email.is_not(None), condition))


def members() -> Several:
    columns = {"value": _column(Membership.member_id)}
    return Several(columns, lambda condition: exists().where(Membership.group_id == Group.id, condition))


def groups(table: type[User | ServiceAccount], kind: PrincipalKind) -> Several:
    """Of a member."""
    name = select(Group.display_name).where(Group.id == Membership.group_id).scalar_subquery()
    columns = {"value": _column(Membership.group_id), "display": name}
    return Several(
        columns,
        lambda condition: exists().where(Membership.member_kind == kind.value, Membership.member_id == table.id, condition),
    )


def roles(table: type[User | Group | ServiceAccount], kind: PrincipalKind) -> Several:
    """Only whether there are any, and by value: where a role holds is spelled from two columns."""
    return Several(
        {"value": _column(RoleAssignment.role)},
        lambda condition: exists().where(RoleAssignment.principal_kind == kind.value, RoleAssignment.principal_id == table.id, condition),
    )


def _column(attribute: Any) -> ColumnElement[Any]:
    """A mapped attribute, as the expression it is."""
    column: ColumnElement[Any] = attribute.expression
    return column
