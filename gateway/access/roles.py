"""Who may do what: one decision function, and the table it reads. No I/O, no clock.

    owner ⊃ editor ⊃ (consumer, operator) ⊃ viewer      in one workspace, or in all of them (contract §1.4)
    secret_scope_manager ⊃ writer ⊃ reader              on one scope of secrets
    admin                                               an account type: owner of every workspace, administers principals, manages scopes

Whatever no line here allows is refused. An admin manages scopes and their roles, but opens no secret without a role: it can give itself
one, and the audit log then says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gateway.access.principals import Principal


class WorkspaceRole(StrEnum):
    OWNER = "owner"
    EDITOR = "editor"
    CONSUMER = "consumer"
    OPERATOR = "operator"
    VIEWER = "viewer"


class ScopeRole(StrEnum):
    MANAGER = "secret_scope_manager"
    WRITER = "secret_scope_writer"
    READER = "secret_scope_reader"


ADMIN = "admin"
"""The one account type that has a name."""
_W, _S = WorkspaceRole, ScopeRole
INCLUDES: Mapping[WorkspaceRole, frozenset[WorkspaceRole]] = MappingProxyType(
    {
        _W.OWNER: frozenset(_W),
        _W.EDITOR: frozenset({_W.EDITOR, _W.CONSUMER, _W.OPERATOR, _W.VIEWER}),
        _W.CONSUMER: frozenset({_W.CONSUMER, _W.VIEWER}),
        _W.OPERATOR: frozenset({_W.OPERATOR, _W.VIEWER}),
        _W.VIEWER: frozenset({_W.VIEWER}),
    }
)
"""Each role with all that it includes."""
SCOPE_INCLUDES: Mapping[ScopeRole, frozenset[ScopeRole]] = MappingProxyType(
    {_S.MANAGER: frozenset(_S), _S.WRITER: frozenset({_S.WRITER, _S.READER}), _S.READER: frozenset({_S.READER})}
)


class Action(StrEnum):
    """What can be asked for. The audit log names these."""

    READ_FEATURES = "features.read"
    DESCRIBE_SERVICE = "features.describe"
    INGEST = "features.ingest"
    INGEST_DRY_RUN = "features.ingest_dry_run"
    PURGE = "cache.purge"
    READ_METRICS = "metrics.read"
    VIEW_CONSOLE = "console.view"
    ASSIGN_WORKSPACE_ROLES = "workspace.assign_roles"
    READ_AUDIT = "audit.read"
    MANAGE_DIRECTORY = "directory.manage"
    CREATE_ACCOUNT = "service_account.create"
    VIEW_ACCOUNT = "service_account.view"
    MANAGE_ACCOUNT = "service_account.manage"
    CREATE_SCOPE = "secret_scope.create"
    VIEW_SCOPE = "secret_scope.view"
    DELETE_SCOPE = "secret_scope.delete"
    ASSIGN_SCOPE_ROLES = "secret_scope.assign_roles"
    LIST_SECRETS = "secret.list"
    READ_SECRET = "secret.read"  # noqa: S105 - an action, not a password
    WRITE_SECRET = "secret.write"  # noqa: S105
    DELETE_SECRET = "secret.delete"  # noqa: S105
    ROTATE_KEK = "vault.rotate_kek"


@dataclass(frozen=True, slots=True)
class Everything:
    """The gateway as a whole, all its workspaces included."""


@dataclass(frozen=True, slots=True)
class Workspace:
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """A service account. `creator`: who made it; None where nobody did, or somebody at the shell."""

    id: str
    principal: Principal
    creator: Principal | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope of secrets."""

    name: str


Resource = Everything | Workspace | Account | Scope
EVERYTHING = Everything()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a principal holds, directly and through its groups, with all that its roles include."""

    principal: Principal | None
    admin: bool = False
    everywhere: frozenset[WorkspaceRole] = frozenset()
    workspaces: Mapping[str, frozenset[WorkspaceRole]] = field(default_factory=dict)
    scopes: Mapping[str, frozenset[ScopeRole]] = field(default_factory=dict)

    def in_workspace(self, name: str) -> frozenset[WorkspaceRole]:
        return self.everywhere | self.workspaces.get(name, frozenset())


NOBODY = Standing(None)
SHELL = Standing(None, admin=True, everywhere=frozenset(_W))
"""The operator at the shell: whoever can write the store's files needs no role."""


def including(roles: Iterable[WorkspaceRole]) -> frozenset[WorkspaceRole]:
    return frozenset(one for role in roles for one in INCLUDES[role])


def including_scopes(roles: Iterable[ScopeRole]) -> frozenset[ScopeRole]:
    return frozenset(one for role in roles for one in SCOPE_INCLUDES[role])


_IN_WORKSPACES: Mapping[Action, WorkspaceRole] = MappingProxyType(
    {
        Action.READ_FEATURES: _W.CONSUMER,
        Action.DESCRIBE_SERVICE: _W.CONSUMER,
        Action.INGEST: _W.EDITOR,
        Action.INGEST_DRY_RUN: _W.VIEWER,
        Action.PURGE: _W.OPERATOR,
        Action.ASSIGN_WORKSPACE_ROLES: _W.OWNER,
    }
)
"""Needed in the workspace; over everything, in all workspaces."""
_OVERALL: Mapping[Action, WorkspaceRole] = MappingProxyType({Action.READ_METRICS: _W.VIEWER, Action.VIEW_CONSOLE: _W.VIEWER})
"""Needed in all workspaces at once."""
_ANYWHERE: Mapping[Action, WorkspaceRole] = MappingProxyType({Action.CREATE_ACCOUNT: _W.OWNER, Action.CREATE_SCOPE: _W.EDITOR})
"""Needed in some workspace. What is made so belongs to no workspace, and gives nobody anything by itself."""
_ON_SCOPES: Mapping[Action, ScopeRole] = MappingProxyType(
    {
        Action.VIEW_SCOPE: _S.READER,
        Action.LIST_SECRETS: _S.READER,
        Action.READ_SECRET: _S.READER,
        Action.WRITE_SECRET: _S.WRITER,
        Action.DELETE_SECRET: _S.WRITER,
        Action.DELETE_SCOPE: _S.MANAGER,
        Action.ASSIGN_SCOPE_ROLES: _S.MANAGER,
    }
)
_ADMINS_ON_SCOPES = frozenset({Action.VIEW_SCOPE, Action.DELETE_SCOPE, Action.ASSIGN_SCOPE_ROLES})
_ADMINS_ALONE = frozenset({Action.READ_AUDIT, Action.MANAGE_DIRECTORY, Action.ROTATE_KEK})


def may(standing: Standing, action: Action, resource: Resource) -> bool:
    """Whether who stands so may do this to that."""
    match resource:
        case Everything():
            return _may_overall(standing, action)
        case Workspace(name):
            return action in _IN_WORKSPACES and (standing.admin or _IN_WORKSPACES[action] in standing.in_workspace(name))
        case Account(_, principal, creator):
            own = standing.principal is not None and standing.principal == creator
            itself = standing.principal is not None and standing.principal == principal
            return (action is Action.MANAGE_ACCOUNT and (standing.admin or own)) or (
                action is Action.VIEW_ACCOUNT and (standing.admin or own or itself)
            )
        case Scope(name):
            if standing.admin and action in _ADMINS_ON_SCOPES:
                return True
            return action in _ON_SCOPES and _ON_SCOPES[action] in standing.scopes.get(name, frozenset())


def _may_overall(standing: Standing, action: Action) -> bool:
    if action in _ADMINS_ALONE:
        return standing.admin
    if action in _ANYWHERE:
        held = standing.everywhere.union(*standing.workspaces.values())
        return standing.admin or _ANYWHERE[action] in held
    needed = _IN_WORKSPACES.get(action) or _OVERALL.get(action)
    return needed is not None and (standing.admin or needed in standing.everywhere)
