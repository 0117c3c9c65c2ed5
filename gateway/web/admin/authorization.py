"""The Authorization service: roles on scopes of secrets, and on workspaces, given, taken back and told (contract §8). The rules are
`access.assigning`'s."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from gateway.access.administration import Act, Administration
from gateway.access.assigning import Assignment, Place, assign, assigned_principals, assigned_roles, unassign
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import ScopeRole, WorkspaceRole
from gateway.access.standings import SECRET_SCOPE, WORKSPACE, Held
from gateway.access.store.tables import Group
from gateway.access.vault import checked_name
from gateway.errors import InvalidRequest
from gateway.web.admin.door import Asked, Told
from gateway.web.admin.principals import SPELLED, Shown, shown
from gateway.wire.authorization import SaidAssignment, said_assignments, said_place, said_principal

T = TypeVar("T")
RESOURCES = {"RESOURCE_TYPE_SECRET_SCOPE": SECRET_SCOPE, "RESOURCE_TYPE_WORKSPACE": WORKSPACE}
PRINCIPALS = {spelled: kind for kind, spelled in SPELLED.items()}
ROLES: Mapping[str, Mapping[str, str]] = {
    SECRET_SCOPE: {
        "read_scope_role": ScopeRole.READER,
        "write_scope_role": ScopeRole.WRITER,
        "manage_scope_role": ScopeRole.MANAGER,
    },
    WORKSPACE: {role.value: role for role in WorkspaceRole},
}
_SPELLED_RESOURCES = {kind: spelled for spelled, kind in RESOURCES.items()}
_SPELLED_ROLES = {kind: {role: spelled for spelled, role in roles.items()} for kind, roles in ROLES.items()}


class AuthorizationService:
    """Changes are audited, for each scope or workspace by itself. Questions are not."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    async def assign(self, asked: Asked) -> Told:
        return await self._change(asked, assign)

    async def unassign(self, asked: Asked) -> Told:
        return await self._change(asked, unassign)

    async def list_principals(self, asked: Asked) -> Told:
        said = said_place(asked.body)
        place = _place(said.resource_type, said.resource_id)
        roles = {_known(ROLES[place.kind], role, "roles") for role in said.roles}
        kinds = {_known(PRINCIPALS, kind, "principal_types") for kind in said.principal_types}

        def work(act: Act) -> list[Shown]:
            told: list[Shown] = []
            for principal, held in assigned_principals(act, place).items():
                chosen = [one for one in held if not roles or one.role in roles]
                principal_shown = shown(act, principal) if chosen and (not kinds or principal.kind in kinds) else None
                if principal_shown is not None:
                    told.append({"principal": principal_shown, "role_assignments": [_granted(act, place, chosen)]})
            return told

        return _told({"assignments": await self._administration.look(asked.actor, work)})

    async def list_roles(self, asked: Asked) -> Told:
        said = said_principal(asked.body)
        principal = Principal(_known(PRINCIPALS, said.principal_type, "principal_type"), said.principal_id)
        kind = _known(RESOURCES, said.resource_type, "resource_type")
        roles = {_known(ROLES[kind], role, "roles") for role in said.roles}

        def work(act: Act) -> list[Shown]:
            told: list[Shown] = []
            for place, held in assigned_roles(act, principal, kind, frozenset(said.resource_ids)).items():
                chosen = [one for one in held if not roles or one.role in roles]
                if chosen:
                    told.append(_granted(act, place, chosen))
            return told

        return _told({"assignments": await self._administration.look(asked.actor, work)})

    async def _change(self, asked: Asked, change: Callable[[Act, Sequence[Assignment]], None]) -> Told:
        assignments = [_assignment(one) for one in said_assignments(asked.body)]
        places = {one.place for one in assignments}
        kinds = {place.kind for place in places}
        if len(kinds) > 1:
            raise InvalidRequest("resource_type: one kind of resource in a request.")
        [kind] = kinds
        first = assignments[0].place
        target = f"{kind}/{first.name}" if len(places) == 1 else f"{kind}/*"
        await self._administration.act(asked.actor, first.action, target, lambda act: change(act, assignments))
        return Told()


def _assignment(said: SaidAssignment) -> Assignment:
    place = _place(said.resource_type, said.resource_id)
    role = _known(ROLES[place.kind], said.role, "role")
    kind = _known(PRINCIPALS, said.principal_type, "principal_type")
    if kind is PrincipalKind.WORKSPACE and place.kind == WORKSPACE:
        raise InvalidRequest("principal_type: a workspace holds no role in a workspace.")
    return Assignment(Principal(kind, checked_name(said.principal_id, "principal_id")), place, role)


def _place(resource_type: str, resource_id: str) -> Place:
    return Place(_known(RESOURCES, resource_type, "resource_type"), checked_name(resource_id, "resource_id"))


def _known(words: Mapping[str, T], word: str, field: str) -> T:
    if word not in words:
        raise InvalidRequest(f"{field}: one of {', '.join(words)}")
    return words[word]


def _granted(act: Act, place: Place, held: Sequence[Held]) -> Shown:
    """A place with the roles held there, each once, with every way in which it was given."""
    sources: dict[str, list[Shown]] = {}
    for one in held:
        sources.setdefault(_SPELLED_ROLES[place.kind].get(one.role, one.role), []).append(_source(act, one))
    granted = [{"role": role, "role_assignment_sources": ways} for role, ways in sources.items()]
    return {"resource_type": _SPELLED_RESOURCES[place.kind], "resource_id": place.name, "roles_granted": granted}


def _source(act: Act, held: Held) -> Shown:
    if held.group_id is None:
        return {"assignment_type": "ROLE_ASSIGNMENT_TYPE_DIRECT"}
    group = act.session.get_one(Group, held.group_id)
    return {
        "assignment_type": "ROLE_ASSIGNMENT_TYPE_FROM_PRINCIPAL_GROUP",
        "principal_group_name": group.display_name,
        "principal_group_id": group.id,
    }


def _told(answer: Shown) -> Told:
    return Told(msgspec.json.encode(answer))
