"""What a credential opens, as sets of workspaces that the hit path can ask at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.access.principals import Principal
from gateway.access.roles import EVERYTHING, Action, Standing, Workspace, may

ALL = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class Reach:
    """The workspaces in which what may be done; `*` is all of them."""

    read: frozenset[str] = frozenset()
    ingest: frozenset[str] = frozenset()
    dry_run: frozenset[str] = frozenset()
    purge: frozenset[str] = frozenset()
    metrics: bool = False
    console: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A credential. `principal`: whose, where it is the store's; None for a key of the settings. `credential`: its public name. `is_token`:
    it is shown by tokens, which open less than keys."""

    principal: Principal | None
    name: str
    credential: str
    reach: Reach
    is_token: bool = False


@dataclass(frozen=True, slots=True)
class Directory:
    """One copy of what the store says, as of `revision`. `keys`: by SHA-256 of the key. `accounts`: every active service account by id,
    for whom tokens may speak; `client_secrets`: every active secret of one by id, for which a token may have been given."""

    revision: int
    keys: Mapping[bytes, Entry] = field(default_factory=dict)
    accounts: Mapping[str, Entry] = field(default_factory=dict)
    client_secrets: Mapping[str, Entry] = field(default_factory=dict)


def opens(places: frozenset[str], workspace: str) -> bool:
    return workspace in places or "*" in places


def reach_of(standing: Standing) -> Reach:
    """A role in a workspace that is called `*` opens none: here that would be all of them."""

    def where(action: Action) -> frozenset[str]:
        if may(standing, action, EVERYTHING):
            return ALL
        return frozenset(name for name in standing.workspaces if may(standing, action, Workspace(name))) - ALL

    return Reach(
        where(Action.READ_FEATURES),
        where(Action.INGEST),
        where(Action.INGEST_DRY_RUN),
        where(Action.PURGE),
        may(standing, Action.READ_METRICS, EVERYTHING),
        may(standing, Action.VIEW_CONSOLE, EVERYTHING),
    )
