"""Who acts: users, service accounts, groups and workspaces, and the one who is at it right now."""

from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    USER = "user"
    SERVICE_ACCOUNT = "service_account"
    GROUP = "group"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a role can be given to. `id`: of a workspace, its name; of the others, the store's."""

    kind: PrincipalKind
    id: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for an administrative act, as the audit log names them. `principal` None: the operator at the shell, whose right is the
    file system's. `credential`: the public id of the key or token that was shown. `request_id`: of the request it came with."""

    principal: Principal | None
    name: str
    credential: str
    request_id: str | None = None


def shell(name: str) -> Actor:
    """The operator `name` of a command on the machine that holds the store."""
    return Actor(None, name, "shell")
