"""Roles as SCIM spells them, `{"type", "value"}`, over the table that keeps them.

account_type          admin
all_workspaces        owner, editor, consumer, operator, viewer
workspace_<name>      the same
secret_scope_<name>   secret_scope_manager, secret_scope_writer, secret_scope_reader
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.access.giving import role_row
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import ADMIN, ScopeRole, WorkspaceRole
from gateway.access.scim.resources import Role
from gateway.access.scim.texts import fitting
from gateway.access.standings import ACCOUNT_TYPE, ALL_WORKSPACES, SECRET_SCOPE, WORKSPACE
from gateway.access.store.tables import RoleAssignment, SecretScope
from gateway.errors import InvalidScim

Assigned = tuple[str, str, str]
"""`RoleAssignment`'s resource_kind, resource_id and role."""
_WORKSPACE, _SCOPE = f"{WORKSPACE}_", f"{SECRET_SCOPE}_"


def assigned(roles: Iterable[Role]) -> frozenset[Assigned]:
    """What these roles give; one whose value is null gives nothing. Raises InvalidScim."""
    return frozenset(_one(kind, resource, role.value) for role in roles for kind, resource in [_place(role.type)] if role.value is not None)


def spelled(one: Assigned) -> dict[str, str]:
    kind, resource, role = one
    return {"type": f"{kind}_{resource}" if kind in {WORKSPACE, SECRET_SCOPE} else kind, "value": role}


def roles_of(session: Session, kind: PrincipalKind, ids: Sequence[str]) -> Mapping[str, Sequence[Assigned]]:
    """What each of these holds directly, in a settled order."""
    found: defaultdict[str, list[Assigned]] = defaultdict(list)
    chosen = (
        select(RoleAssignment)
        .where(RoleAssignment.principal_kind == kind, RoleAssignment.principal_id.in_(ids))
        .order_by(RoleAssignment.resource_kind, RoleAssignment.resource_id, RoleAssignment.role)
    )
    for one in session.scalars(chosen):
        found[one.principal_id].append((one.resource_kind, one.resource_id, one.role))
    return found


def assign(session: Session, principal: Principal, wanted: frozenset[Assigned]) -> Sequence[str]:
    """Have a principal hold these directly, and no others. What was given and taken, for the audit log. Raises InvalidScim for a secret
    scope that is not there: whoever makes it later would not know who can already read it."""
    held = frozenset(roles_of(session, principal.kind, [principal.id]).get(principal.id, ()))
    given, taken = sorted(wanted - held), sorted(held - wanted)
    for kind, resource, role in given:
        if kind == SECRET_SCOPE and session.get(SecretScope, resource) is None:
            raise InvalidScim("invalidValue", "roles.type: there is no secret scope of this name")
        session.add(role_row(principal, kind, resource, role))
    for kind, resource, role in taken:
        session.delete(session.get_one(RoleAssignment, (principal.kind.value, principal.id, kind, resource, role)))
    signed = [("+", one) for one in given] + [("-", one) for one in taken]
    return [f"{sign}{told['type']}={told['value']}" for sign, one in signed for told in [spelled(one)]]


def forget(session: Session, principal: Principal) -> None:
    session.execute(
        delete(RoleAssignment).where(RoleAssignment.principal_kind == principal.kind, RoleAssignment.principal_id == principal.id)
    )


def _place(said: str | None) -> tuple[str, str]:
    place = fitting(said, "roles.type") or ""
    if place in {ACCOUNT_TYPE, ALL_WORKSPACES}:
        return place, ""
    for kind, prefix in ((WORKSPACE, _WORKSPACE), (SECRET_SCOPE, _SCOPE)):
        if place.startswith(prefix) and place != prefix:
            return kind, place.removeprefix(prefix)
    raise InvalidScim("invalidValue", f"roles.type: not one of {ACCOUNT_TYPE}, {ALL_WORKSPACES}, {_WORKSPACE}<name>, {_SCOPE}<name>")


def _one(kind: str, resource: str, value: str) -> Assigned:
    known: Iterable[str] = [ADMIN] if kind == ACCOUNT_TYPE else ScopeRole if kind == SECRET_SCOPE else WorkspaceRole
    names = [str(one) for one in known]
    if value not in names:
        raise InvalidScim("invalidValue", f"roles.value: for {kind} it is one of {', '.join(names)} or null")
    return kind, resource, value
