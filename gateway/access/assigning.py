"""Roles on scopes of secrets and on workspaces: given, taken back, and told. Each function is the work of one act; all of a request's
assignments are made, or none.

Roles on scopes are no secrets: they are given and taken back while the vault is sealed, too. A workspace may be given a role on a scope,
for what runs in its name; nothing here does, so the role is kept and told, and opens nothing to anybody who is in the workspace.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.access import audit
from gateway.access.administration import Act
from gateway.access.giving import role_row
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import Action, Resource, Scope, Workspace
from gateway.access.standings import SECRET_SCOPE, Held, held_by
from gateway.access.store.tables import Group, Membership, RoleAssignment, SecretScope, ServiceAccount, User
from gateway.errors import NotFound

_TABLES: Mapping[PrincipalKind, type[User | ServiceAccount | Group]] = {
    PrincipalKind.USER: User,
    PrincipalKind.SERVICE_ACCOUNT: ServiceAccount,
    PrincipalKind.GROUP: Group,
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a role is on: `kind` is SECRET_SCOPE or WORKSPACE of `standings`."""

    kind: str
    name: str

    @property
    def action(self) -> Action:
        """What gives, takes back and shows roles on it."""
        return Action.ASSIGN_SCOPE_ROLES if self.kind == SECRET_SCOPE else Action.ASSIGN_WORKSPACE_ROLES

    @property
    def resource(self) -> Resource:
        return Scope(self.name) if self.kind == SECRET_SCOPE else Workspace(self.name)


@dataclass(frozen=True, slots=True)
class Assignment:
    principal: Principal
    place: Place
    role: str


def assign(act: Act, assignments: Sequence[Assignment]) -> None:
    """What is given already stays. Raises PermissionDenied, and NotFound for a scope or a principal that is not there."""
    _judge(act, assignments)
    for principal in dict.fromkeys(one.principal for one in assignments):
        if not exists(act.session, principal):
            raise NotFound("principal_id: there is no such principal.")
    for one in dict.fromkeys(assignments):
        row = role_row(one.principal, one.place.kind, one.place.name, one.role)
        key = (row.principal_kind, row.principal_id, row.resource_kind, row.resource_id, row.role)
        if act.session.get(RoleAssignment, key) is None:
            act.session.add(row)
    _tell(act, assignments, "to")


def unassign(act: Act, assignments: Sequence[Assignment]) -> None:
    """What is not given stays so: of a principal that is gone, too. Raises PermissionDenied, and NotFound for a scope that is not there."""
    _judge(act, assignments)
    for one in dict.fromkeys(assignments):
        act.session.execute(
            delete(RoleAssignment).where(
                RoleAssignment.principal_kind == one.principal.kind,
                RoleAssignment.principal_id == one.principal.id,
                RoleAssignment.resource_kind == one.place.kind,
                RoleAssignment.resource_id == one.place.name,
                RoleAssignment.role == one.role,
            )
        )
    _tell(act, assignments, "from")


def assigned_principals(act: Act, place: Place) -> Mapping[Principal, Sequence[Held]]:
    """Who holds a role there, directly or through a group, each as often as it was given. Admins and roles in all workspaces are not on one
    place, and not told. Raises PermissionDenied, NotFound."""
    _enter(act, place)
    chosen = select(RoleAssignment).where(RoleAssignment.resource_kind == place.kind, RoleAssignment.resource_id == place.name)
    held: defaultdict[Principal, list[Held]] = defaultdict(list)
    for row in act.session.scalars(chosen.order_by(RoleAssignment.role)).all():
        principal = Principal(PrincipalKind(row.principal_kind), row.principal_id)
        held[principal].append(Held(place.kind, place.name, row.role))
        if principal.kind is PrincipalKind.GROUP:
            for member in act.session.scalars(select(Membership).where(Membership.group_id == principal.id)):
                through = Held(place.kind, place.name, row.role, principal.id)
                held[Principal(PrincipalKind(member.member_kind), member.member_id)].append(through)
    return dict(sorted(held.items(), key=lambda one: (one[0].kind, one[0].id)))


def assigned_roles(act: Act, principal: Principal, kind: str, names: Collection[str]) -> Mapping[Place, Sequence[Held]]:
    """What a principal holds on these places; no names: on all. Everybody may ask this of itself; of others it is told on the places where
    the actor may give roles, and nothing else: not whether there is such a principal."""
    act.only_judged_by_what_is_shown()
    told: defaultdict[Place, list[Held]] = defaultdict(list)
    for held in held_by(act.session, principal):
        place = Place(held.resource_kind, held.resource_id)
        if place.kind == kind and (not names or place.name in names) and _shown(act, principal, place):
            told[place].append(held)
    return dict(sorted(told.items(), key=lambda one: one[0].name))


def exists(session: Session, principal: Principal) -> bool:
    """Of workspaces there is no list here: any may be named."""
    table = _TABLES.get(principal.kind)
    return table is None or session.get(table, principal.id) is not None


def _shown(act: Act, principal: Principal, place: Place) -> bool:
    return act.actor.principal == principal or act.may(place.action, place.resource)


def _judge(act: Act, assignments: Sequence[Assignment]) -> None:
    for place in dict.fromkeys(one.place for one in assignments):
        _enter(act, place)


def _enter(act: Act, place: Place) -> None:
    if place.kind == SECRET_SCOPE:
        act.require(Action.VIEW_SCOPE, place.resource)
        if act.session.get(SecretScope, place.name) is None:
            raise NotFound("resource_id: there is no secret scope of this name.")
    act.require(place.action, place.resource)


def _tell(act: Act, assignments: Sequence[Assignment], way: str) -> None:
    """An entry of the audit log for each place; where there is one place, the act's own."""
    by_place: defaultdict[Place, list[str]] = defaultdict(list)
    for one in assignments:
        by_place[one.place].append(f"{one.role} {way} {one.principal.kind}/{one.principal.id}")
    if len(by_place) == 1:
        [[act.detail]] = [[", ".join(told)] for told in by_place.values()]
        return
    act.detail = f"{len(by_place)} of them, each with an entry of its own"
    for place, told in by_place.items():
        target = f"{place.kind}/{place.name}"
        audit.write(act.session, act.now_us, act.actor, place.action, target, audit.DONE, ", ".join(told))
