"""What principals hold, read from the store: direct roles, and those of their groups."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import ADMIN, INCLUDES, ScopeRole, Standing, WorkspaceRole, including, including_scopes
from gateway.access.store.tables import Membership, RoleAssignment

ACCOUNT_TYPE, ALL_WORKSPACES, WORKSPACE, SECRET_SCOPE = "account_type", "all_workspaces", "workspace", "secret_scope"
"""`RoleAssignment.resource_kind`."""


@dataclass(frozen=True, slots=True)
class Held:
    """A role as it was given. `group_id`: through which group; None: directly."""

    resource_kind: str
    resource_id: str
    role: str
    group_id: str | None = None


def standing_of(session: Session, principal: Principal) -> Standing:
    """Whether the principal exists, or is active, is not asked here."""
    return standing_from(principal, held_by(session, principal))


def held_by(session: Session, principal: Principal) -> Sequence[Held]:
    """All that a principal holds, each as often as it was given, in a settled order."""
    groups = session.scalars(
        select(Membership.group_id).where(Membership.member_kind == principal.kind, Membership.member_id == principal.id)
    ).all()
    given = [*_assigned(session, principal, None)]
    for group_id in sorted(groups):
        given += _assigned(session, Principal(PrincipalKind.GROUP, group_id), group_id)
    return given


def all_standings(session: Session) -> Mapping[Principal, Standing]:
    """Of everybody who holds anything, or belongs to a group."""
    return {principal: standing_from(principal, held) for principal, held in all_held(session).items()}


def all_held(session: Session) -> Mapping[Principal, frozenset[Held]]:
    """The roles of everybody who holds anything, or belongs to a group, however they came by them; in two queries, which make no objects of
    their rows. Kinds of principals that this release does not know are passed over."""
    kinds = {kind.value: kind for kind in PrincipalKind}
    one = RoleAssignment
    assigned = session.execute(select(one.principal_kind, one.principal_id, one.resource_kind, one.resource_id, one.role))
    roles: dict[tuple[str, str, str], Held] = {}
    direct: defaultdict[Principal, set[Held]] = defaultdict(set)
    for kind, identity, resource_kind, resource_id, role in assigned:
        if kind in kinds:
            what = (resource_kind, resource_id, role)
            direct[Principal(kinds[kind], identity)].add(roles.setdefault(what, Held(*what)))
    held = {principal: set(own) for principal, own in direct.items()}
    for group_id, kind, identity in session.execute(select(Membership.group_id, Membership.member_kind, Membership.member_id)):
        if kind in kinds:
            through = direct.get(Principal(PrincipalKind.GROUP, group_id), set())
            held.setdefault(Principal(kinds[kind], identity), set()).update(through)
    return {principal: frozenset(own) for principal, own in held.items()}


def standing_from(principal: Principal, held: Iterable[Held]) -> Standing:
    """A role that this release does not know gives nothing."""
    everywhere: set[WorkspaceRole] = set()
    workspaces: defaultdict[str, set[WorkspaceRole]] = defaultdict(set)
    scopes: defaultdict[str, set[ScopeRole]] = defaultdict(set)
    admin = False
    for one in held:
        if one.resource_kind == ACCOUNT_TYPE:
            admin = admin or one.role == ADMIN
        elif one.resource_kind == ALL_WORKSPACES and one.role in INCLUDES:
            everywhere.add(WorkspaceRole(one.role))
        elif one.resource_kind == WORKSPACE and one.role in INCLUDES:
            workspaces[one.resource_id].add(WorkspaceRole(one.role))
        elif one.resource_kind == SECRET_SCOPE and one.role in set(ScopeRole):
            scopes[one.resource_id].add(ScopeRole(one.role))
    return Standing(
        principal,
        admin,
        including(everywhere),
        {name: including(roles) for name, roles in workspaces.items()},
        {name: including_scopes(roles) for name, roles in scopes.items()},
    )


def _assigned(session: Session, principal: Principal, group_id: str | None) -> Iterable[Held]:
    chosen = (
        select(RoleAssignment)
        .where(RoleAssignment.principal_kind == principal.kind, RoleAssignment.principal_id == principal.id)
        .order_by(RoleAssignment.resource_kind, RoleAssignment.resource_id, RoleAssignment.role)
    )
    return [Held(one.resource_kind, one.resource_id, one.role, group_id) for one in session.scalars(chosen)]
