"""Who may come into the console, and what they may see there. By the gate's own word, which is asked again for every request.

keys          the gateway's API keys, of those who hold a role in all workspaces (`console.view`); tokens are not taken
passthrough   one key, for the console alone (`console.key_digest`): it reads nothing, whoever tries a read brings a credential for it
open          everybody
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Protocol

from gateway import request_ids
from gateway.access.gates import KeyTable, Open, Passthrough
from gateway.access.principals import Actor
from gateway.access.reach import ALL, opens
from gateway.errors import PermissionDenied, Unauthenticated
from gateway.features import Caller

_SHOWN = re.compile(rb"\s*(?i:tecton-key)[ \t]+([\x21-\x7e]{1,8192})\s*")
_NO_CREDENTIAL = "Give the credential that this read is to be made with: the feature store judges it."


@dataclass(frozen=True, slots=True)
class Visitor:
    """`credential`: the public name of the key that was shown, `key` its digest. `reads`: the workspaces whose features and schemas they
    may see, `*` for all. `actor`: as whom they ask for the audit log; None: they may not."""

    name: str
    credential: str
    key: bytes = field(repr=False)
    reads: frozenset[str]
    caller: Caller | None
    actor: Actor | None = None

    def may_read(self, workspace: str) -> bool:
        return opens(self.reads, workspace)


class Doorkeeper(Protocol):
    """`signs_in`: whether visitors show a key. `asks_for_credentials`: whether each read is made with a credential of its own."""

    signs_in: bool
    asks_for_credentials: bool

    def by_header(self, authorization: bytes | None) -> Visitor:
        """Who sends this header. Raises Unauthenticated, and PermissionDenied for whom the console is not for."""
        ...

    def by_name(self, credential: str) -> Visitor:
        """Who has shown the key of this public name before. Raises the same."""
        ...

    def caller(self, visitor: Visitor, credential: bytes) -> Caller:
        """As whom a visitor's read is made. `credential`: what was given for it, where that is asked for. Raises Unauthenticated."""
        ...


class KeyHolders:
    """The gateway's own keys open it."""

    signs_in, asks_for_credentials = True, False

    def __init__(self, gate: KeyTable) -> None:
        self._gate = gate

    def by_header(self, authorization: bytes | None) -> Visitor:
        return self._visitor(self._gate.identify(authorization))

    def by_name(self, credential: str) -> Visitor:
        return self._visitor(self._gate.named(credential))

    def caller(self, visitor: Visitor, credential: bytes) -> Caller:  # noqa: ARG002 - none is asked for
        assert visitor.caller is not None
        return visitor.caller

    def _visitor(self, caller: Caller) -> Visitor:
        entry = self._gate.entry(caller)
        if entry.is_token:
            raise Unauthenticated
        if not entry.reach.console:
            raise PermissionDenied
        principal = entry.principal
        actor = None if principal is None else Actor(principal, entry.name, entry.credential, request_ids.current())
        return Visitor(entry.name, entry.credential, caller.key, entry.reach.read, caller, actor)


class OneKey:
    """A key for the console alone opens it; `digest` is its SHA-256. Reads are made with the credential that is given for them."""

    signs_in, asks_for_credentials = True, True
    _NAME = "console"

    def __init__(self, digest: bytes, gate: Passthrough) -> None:
        self._gate = gate
        self._visitor = Visitor(self._NAME, self._NAME, digest, frozenset(), None)

    def by_header(self, authorization: bytes | None) -> Visitor:
        match = _SHOWN.fullmatch(authorization or b"")
        if match is None or not hmac.compare_digest(hashlib.sha256(match[1]).digest(), self._visitor.key):
            raise Unauthenticated
        return self._visitor

    def by_name(self, credential: str) -> Visitor:
        if credential != self._NAME:
            raise Unauthenticated
        return self._visitor

    def caller(self, visitor: Visitor, credential: bytes) -> Caller:  # noqa: ARG002 - whoever it is
        if not credential:
            raise Unauthenticated(_NO_CREDENTIAL)
        return self._gate.identify(credential if b" " in credential.strip() else b"Tecton-key " + credential)


class Everybody:
    """Whoever comes."""

    signs_in, asks_for_credentials = False, False

    def __init__(self, gate: Open) -> None:
        caller = gate.identify(None)
        self._visitor = Visitor("everybody", "", b"", ALL, caller)

    def by_header(self, authorization: bytes | None) -> Visitor:  # noqa: ARG002 - whoever it is
        return self._visitor

    def by_name(self, credential: str) -> Visitor:  # noqa: ARG002 - whoever it is
        return self._visitor

    def caller(self, visitor: Visitor, credential: bytes) -> Caller:  # noqa: ARG002 - none is asked for
        assert visitor.caller is not None
        return visitor.caller
