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

from gateway.access.bearers import Bearers, account_key, secret_key
from gateway.access.grants import Grants, May
from gateway.access.reach import Directory, Entry, Reach, opens
from gateway.errors import AccessUnavailable, CallerError, PermissionDenied, Unauthenticated
from gateway.features import Caller, ServiceRef

_CREDENTIAL = re.compile(rb"\s*((?i:tecton-key|bearer))[ \t]+([\x21-\x7e]{1,8192})\s*")
_MOST_SEEN, _LONGEST_SEEN = 16_384, 256
"""Headers that are remembered, and how many bytes long: keys of the gateway's own have 66."""
_NOT_KNOWN = "Who may do what could not be read for too long; try again later."
_AS_CLIENTS_SPELL_IT = re.compile(rb"(?:Tecton-key|Bearer) [\x21-\x7e]{1,8192}")
_ONE_SERVICE_AT_A_TIME = (
    "Not Authorized. The feature store judges callers by feature service here, so only a feature service can be purged: post to "
    "/v1/workspaces/{workspace}/feature-services/{feature_service}/features:purge. To purge more, give the gateway keys of its own "
    '(auth.mode = "keys").'
)


@dataclass(frozen=True, slots=True)
class Admission:
    """By what right a caller reads, for it to be told. `until_s`: when that ends, on the gate's clock; None: not of itself. `name`: of
    whoever it is, and `rights` what that one may do in the workspace; empty where the gate does not know."""

    gate: str
    until_s: float | None = None
    name: str = ""
    kind: str = ""
    rights: tuple[str, ...] = ()


class Gate(Protocol):
    """Every method is a plain function: the hit path asks."""

    def identify(self, authorization: bytes | None) -> Caller:
        """Who sends this header. Raises Unauthenticated where it is missing, malformed or unknown."""
        ...

    def admit(self, caller: Caller, workspace: str) -> None:
        """Refuse, with PermissionDenied, whom the gateway itself knows to have no right to read this workspace."""
        ...

    def admit_ingest(self, caller: Caller, workspace: str | None, *, dry: bool = False) -> None:
        """Refuse, with PermissionDenied, whom the gateway itself knows to have no right to write here. None: no workspace is named. `dry`:
        nothing is to be stored. Raises Unauthenticated for a credential that is not for ingest at all."""
        ...

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:
        """Refuse, with PermissionDenied, whom the gateway itself knows to have no right to purge this: a feature service of the workspace;
        None: the whole workspace, and without one all of them."""
        ...

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:
        """Whether cached answers may be shown to this caller without asking the origin."""
        ...

    def admission(self, caller: Caller, service: ServiceRef) -> Admission:
        """By what right this caller reads it, whom it was shown to."""
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
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
        self.holds = grants.holds
        self.answered = grants.give
        self.refused = grants.revoke

    def identify(self, authorization: bytes | None) -> Caller:
        shown = authorization or b""
        if _AS_CLIENTS_SPELL_IT.fullmatch(shown) is None:
            match = _CREDENTIAL.fullmatch(shown)
            if match is None:
                raise Unauthenticated
            shown = (b"Tecton-key " if match[1].lower() == b"tecton-key" else b"Bearer ") + match[2]
        keyed = self._keyed.copy()  # already past its key: a third less than from the start
        keyed.update(shown)
        return Caller(keyed.digest(), shown.decode("ascii"))

    def admission(self, caller: Caller, service: ServiceRef) -> Admission:
        return Admission("passthrough", self._grants.until_s(caller, service))

    def admit(self, caller: Caller, workspace: str) -> None:
        """The origin will say."""

    def admit_ingest(self, caller: Caller, workspace: str | None, *, dry: bool = False) -> None:
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
    """The gateway judges, by SHA-256 digests of API keys: those of the settings, and those of the store's directory (`adopt`); and by
    tokens that speak for the directory's accounts (`believe`). `upstream` is the Authorization value that origins are shown instead.

    Good headers are remembered as they came, in memory alone: hashing each again is a twentieth of a hit. A guess cannot learn from the
    time it takes: a key is looked for by its digest, a header by a hash with a secret of the process's, and bytes are compared only where
    the whole hash is equal. So neither can be approached byte by byte.
    """

    def __init__(self, keys: Mapping[bytes, KeyRights], upstream: str | None = None, names: Mapping[bytes, str] | None = None) -> None:
        """`names`: of the settings' keys, by digest."""
        self._upstream = upstream
        self._settled: Mapping[bytes, Entry] = _settled(keys, names or {})
        self._entries: Mapping[bytes, Entry] = {}
        self._callers: dict[bytes, Caller] = {}
        self._seen: dict[bytes, Caller] = {}
        self._used: set[bytes] = set()
        self._bearers: Bearers | None = None
        self._lapsed = False
        self._replace({})

    def settle(self, keys: Mapping[bytes, KeyRights], names: Mapping[bytes, str]) -> None:
        """From here on, the settings' keys are these."""
        kept = {digest: entry for digest, entry in self._entries.items() if self._settled.get(digest) is not entry}
        self._settled = _settled(keys, names)
        self._replace(kept)

    def adopt(self, directory: Directory) -> None:
        """From here on, the store's keys are these. A key of the settings is the settings' to take back."""
        self._lapsed = False
        tokens = {account_key(name): entry for name, entry in directory.accounts.items()}
        tokens |= {secret_key(name): entry for name, entry in directory.client_secrets.items()}
        self._replace(tokens | dict(directory.keys))

    def believe(self, bearers: Bearers) -> None:
        """From here on, these tokens speak for the directory's accounts."""
        self._bearers = bearers

    def lapse(self) -> None:
        """The copy is too old to be believed: until the next one, nobody is let in by it, and nobody is told that it lacks them."""
        self._lapsed = True
        self._replace({})

    def take_used(self) -> frozenset[str]:
        """The ids of the store's keys that were shown since this was last asked. Whoever shows one from now on counts anew."""
        entries = [self._entries[digest] for digest in self._used if digest in self._entries]
        self._used, self._seen = set(), {}
        return frozenset(entry.credential for entry in entries if entry.principal is not None)

    def identify(self, authorization: bytes | None) -> Caller:
        header = authorization or b""
        caller = self._seen.get(header)
        if caller is None and self._bearers is not None:
            caller = self._caller(self._bearers.recalled(header))
        if caller is None:
            scheme, credential = _read(header)
            if scheme == b"tecton-key":
                caller = self._known(hashlib.sha256(credential).digest())
                if len(self._seen) < _MOST_SEEN and len(header) <= _LONGEST_SEEN:
                    self._seen[header] = caller
            else:
                caller = self._speaking(header, credential)
        return caller

    def identify_either(self, authorization: bytes | None) -> Caller:
        """`identify`, for callers who call every credential Bearer, as identity providers do: an API key is one under either name."""
        scheme, credential = _read(authorization or b"")
        if scheme == b"bearer" and hashlib.sha256(credential).digest() in self._entries:
            return self.identify(b"tecton-key " + credential)
        return self.identify(authorization)

    def entry(self, caller: Caller) -> Entry:
        """Whose credential it is. Raises Unauthenticated where it opens nothing any more."""
        entry = self._entries.get(caller.key)
        if entry is None:
            raise self._unknown()
        return entry

    def admit(self, caller: Caller, workspace: str) -> None:
        if not opens(self.entry(caller).reach.read, workspace):
            raise PermissionDenied

    def admit_ingest(self, caller: Caller, workspace: str | None, *, dry: bool = False) -> None:
        entry = self.entry(caller)
        if entry.is_token:
            raise Unauthenticated
        places = entry.reach.dry_run if dry else entry.reach.ingest
        if not places or (workspace is not None and not opens(places, workspace)):
            raise PermissionDenied

    def admit_metrics(self, authorization: bytes | None) -> None:
        """Refuse, with Unauthenticated and PermissionDenied, who may not see what the gateway counts. Tokens are not for this either."""
        entry = self.entry(self.identify(authorization))
        if entry.is_token:
            raise Unauthenticated
        if not entry.reach.metrics:
            raise PermissionDenied

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:  # noqa: ARG002 - by workspace
        if not opens(self.entry(caller).reach.purge, "*" if workspace is None else workspace):
            raise PermissionDenied

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:  # noqa: ARG002 - the key itself is the proof
        entry = self._entries.get(caller.key)
        return entry is not None and opens(entry.reach.read, service.workspace)

    def admission(self, caller: Caller, service: ServiceRef) -> Admission:
        entry = self.entry(caller)
        kind = "settings_key" if entry.principal is None else str(entry.principal.kind)
        places = {
            "read": entry.reach.read,
            "ingest": entry.reach.ingest if not entry.is_token else frozenset[str](),
            "purge": entry.reach.purge,
        }
        rights = tuple(right for right, where in places.items() if opens(where, service.workspace))
        return Admission("keys", None, entry.name, kind, rights)

    def answered(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> None:
        """Nothing to remember: the key itself is the proof."""

    def refused(self, caller: Caller, service: ServiceRef, now_s: float) -> None:
        """The origin refused the gateway's own credential; that says nothing of the caller."""

    def _replace(self, entries: Mapping[bytes, Entry]) -> None:
        self._entries = {**entries, **self._settled}
        self._callers, self._seen = {}, {}
        if self._bearers is not None:
            self._bearers.forget()

    def _caller(self, key: bytes) -> Caller | None:
        """Made when it comes, and kept: a new directory takes the event loop's time for as many as come, not for all there are."""
        caller = self._callers.get(key)
        if caller is None and key in self._entries:
            caller = self._callers[key] = Caller(key, self._upstream)
        return caller

    def _known(self, digest: bytes) -> Caller:
        caller = self._caller(digest)
        if caller is None:
            raise self._unknown()
        self._used.add(digest)
        return caller

    def _speaking(self, header: bytes, token: bytes) -> Caller:
        key = None if self._bearers is None else self._bearers.verified(header, token)
        caller = None if key is None else self._caller(key)
        if caller is None:
            raise self._unknown()
        return caller

    def _unknown(self) -> CallerError | AccessUnavailable:
        return AccessUnavailable(_NOT_KNOWN) if self._lapsed else Unauthenticated()


def _settled(keys: Mapping[bytes, KeyRights], names: Mapping[bytes, str]) -> dict[bytes, Entry]:
    return {digest: Entry(None, names.get(digest, ""), f"settings:{names.get(digest, '')}", keys[digest].reach()) for digest in keys}


def _read(header: bytes) -> tuple[bytes, bytes]:
    """A header's scheme, in lower case, and its credential."""
    match = _CREDENTIAL.fullmatch(header)
    if match is None:
        raise Unauthenticated
    return match[1].lower(), match[2]


class Open:
    """Everybody may read and write everything."""

    def __init__(self, upstream: str | None = None) -> None:
        self._everybody = Caller(b"everybody", upstream)

    def identify(self, authorization: bytes | None) -> Caller:  # noqa: ARG002 - whoever it is
        return self._everybody

    def admission(self, caller: Caller, service: ServiceRef) -> Admission:  # noqa: ARG002 - always
        return Admission("open")

    def admit(self, caller: Caller, workspace: str) -> None:
        """Come in."""

    def admit_ingest(self, caller: Caller, workspace: str | None, *, dry: bool = False) -> None:
        """Come in."""

    def admit_purge(self, caller: Caller, workspace: str | None, service: ServiceRef | None) -> None:
        """Come in."""

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:  # noqa: ARG002 - always
        return True

    def answered(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> None:
        """Nothing to remember."""

    def refused(self, caller: Caller, service: ServiceRef, now_s: float) -> None:
        """Nothing to forget."""
