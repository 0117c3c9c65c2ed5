"""Who a caller is and what it may have from the cache: one Protocol, three ways (`auth.mode`).

passthrough   the origin judges every credential; the cache is open to a caller only under a grant
keys          the gateway judges, by its own table of API keys; the origin sees the gateway's own key, if any
open          everybody may read everything; for a laptop
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.access.grants import Grants, May
from gateway.access.reach import Directory, Entry, Reach, opens
from gateway.errors import PermissionDenied, Unauthenticated
from gateway.features import Caller, ServiceRef

_CREDENTIAL = re.compile(rb"\s*(tecton-key|bearer)[ \t]+([\x21-\x7e]{1,8192})\s*", re.IGNORECASE)
_MOST_SEEN = 4096
_ONE_SERVICE_AT_A_TIME = (
    "Not Authorized. The feature store judges callers by feature service here, so only a feature service can be purged: post to "
    "/v1/workspaces/{workspace}/feature-services/{feature_service}/features:purge. To purge more, give the gateway keys of its own "
    '(auth.mode = "keys").'
)


class Gate(Protocol):
    """Every method is a plain function: the hit path asks."""

    def identify(self, authorization: bytes | None) -> Caller:
        """Who sends this header. Raises Unauthenticated where it is missing, malformed or unknown."""
        ...

    def admit(self, caller: Caller, workspace: str) -> None:
        """Refuse, with PermissionDenied, whom the gateway itself knows to have no right to read this workspace."""
        ...

    def admit_ingest(self, caller: Caller, workspace: str | None) -> None:
        """Refuse, with PermissionDenied, whom the gateway itself knows to have no right to write here. None: no workspace is named."""
        ...

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:
        """Refuse, with PermissionDenied, whom the gateway itself knows to have no right to purge this: a feature service of the workspace;
        None: the whole workspace, and without one all of them."""
        ...

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:
        """Whether cached answers may be shown to this caller without asking the origin."""
        ...

    def answered(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> None:
        """The origin answered this caller."""
        ...

    def refused(self, caller: Caller, service: ServiceRef, now_s: float) -> None:
        """The origin refused this caller."""
        ...


class Passthrough:
    """The origin judges. Credentials stand in memory only as keyed hashes, whose key dies with the process."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._secret = secrets.token_bytes(32)
        self.holds = grants.holds
        self.answered = grants.give
        self.refused = grants.revoke

    def identify(self, authorization: bytes | None) -> Caller:
        match = _CREDENTIAL.fullmatch(authorization or b"")
        if match is None:
            raise Unauthenticated
        scheme = b"Tecton-key" if match[1].lower() == b"tecton-key" else b"Bearer"
        shown = scheme + b" " + match[2]
        return Caller(hashlib.blake2b(shown, key=self._secret, digest_size=16).digest(), shown.decode("ascii"))

    def admit(self, caller: Caller, workspace: str) -> None:
        """The origin will say."""

    def admit_ingest(self, caller: Caller, workspace: str | None) -> None:
        """The origin will say."""

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:  # noqa: ARG002 - whoever it is
        """Of a feature service the origin will say. What is wider the origin does not know of, so nobody has a right to it."""
        if service is None:
            raise PermissionDenied(_ONE_SERVICE_AT_A_TIME)


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What an API key of the settings opens. `workspaces` holds names, or `*` for all."""

    workspaces: frozenset[str]
    ingest: bool = False
    purge: bool = False

    def reach(self) -> Reach:
        writes = self.workspaces if self.ingest else frozenset()
        return Reach(
            self.workspaces,
            writes,
            writes,
            self.workspaces if self.purge else frozenset(),
            metrics="*" in self.workspaces,
        )


class KeyTable:
    """The gateway judges, by SHA-256 digests of API keys: those of the settings, and those of the store's directory (`adopt`). `upstream`
    is the Authorization value that origins are shown instead.

    Good headers are remembered as they came, in memory alone: hashing each again is a twentieth of a hit. A guess cannot learn from the
    time it takes: what it would have to approach byte by byte is a hash table's slot, or a digest.
    """

    def __init__(self, keys: Mapping[bytes, KeyRights], upstream: str | None = None, names: Mapping[bytes, str] | None = None) -> None:
        """`names`: of the settings' keys, by digest."""
        self._upstream = upstream
        self._settled: dict[bytes, Entry] = {}
        for digest, rights in keys.items():
            name = (names or {}).get(digest, "")
            self._settled[digest] = Entry(None, name, f"settings:{name}", rights.reach())
        self._entries: Mapping[bytes, Entry] = self._settled
        self._callers: dict[bytes, Caller] = {}
        self._seen: dict[bytes, Caller] = {}
        self.adopt(Directory(-1))

    def adopt(self, directory: Directory) -> None:
        """From here on, the store's keys are these. A key of the settings is the settings' to take back."""
        self._entries = {**directory.keys, **self._settled}
        self._callers = {digest: Caller(digest, self._upstream) for digest in self._entries}
        self._seen = {}

    def identify(self, authorization: bytes | None) -> Caller:
        caller = self._seen.get(authorization or b"")
        if caller is None:
            match = _CREDENTIAL.fullmatch(authorization or b"")
            if match is None or match[1].lower() != b"tecton-key":
                raise Unauthenticated
            caller = self._callers.get(hashlib.sha256(match[2]).digest())
            if caller is None:
                raise Unauthenticated
            if len(self._seen) < _MOST_SEEN:
                self._seen[match[0]] = caller
        return caller

    def entry(self, caller: Caller) -> Entry:
        """Whose credential it is. Raises Unauthenticated where it opens nothing any more."""
        entry = self._entries.get(caller.key)
        if entry is None:
            raise Unauthenticated
        return entry

    def admit(self, caller: Caller, workspace: str) -> None:
        if not opens(self.entry(caller).reach.read, workspace):
            raise PermissionDenied

    def admit_ingest(self, caller: Caller, workspace: str | None) -> None:
        places = self.entry(caller).reach.ingest
        if not places or (workspace is not None and not opens(places, workspace)):
            raise PermissionDenied

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:  # noqa: ARG002 - by workspace
        if not opens(self.entry(caller).reach.purge, "*" if workspace is None else workspace):
            raise PermissionDenied

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:  # noqa: ARG002 - the key itself is the proof
        entry = self._entries.get(caller.key)
        return entry is not None and opens(entry.reach.read, service.workspace)

    def answered(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> None:
        """Nothing to remember: the key itself is the proof."""

    def refused(self, caller: Caller, service: ServiceRef, now_s: float) -> None:
        """The origin refused the gateway's own credential; that says nothing of the caller."""


class Open:
    """Everybody may read and write everything."""

    def __init__(self, upstream: str | None = None) -> None:
        self._everybody = Caller(b"everybody", upstream)

    def identify(self, authorization: bytes | None) -> Caller:  # noqa: ARG002 - whoever it is
        return self._everybody

    def admit(self, caller: Caller, workspace: str) -> None:
        """Come in."""

    def admit_ingest(self, caller: Caller, workspace: str | None) -> None:
        """Come in."""

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:
        """Come in."""

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:  # noqa: ARG002 - always
        return True

    def answered(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> None:
        """Nothing to remember."""

    def refused(self, caller: Caller, service: ServiceRef, now_s: float) -> None:
        """Nothing to forget."""
