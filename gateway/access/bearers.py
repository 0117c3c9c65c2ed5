"""Bearer tokens as the gate sees them: verified once, and remembered until they expire or who may do what has changed.

What a token is, and how it is verified, is not known here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

_MOST_REMEMBERED, _LONGEST = 16_384, 2_048
"""Headers, and how many bytes long."""
_NOTHING = (b"", 0.0)


@dataclass(frozen=True, slots=True)
class Token:
    """What a genuine token says: for which service account it speaks, and until when, in seconds since 1970. `client_secret_id`: the secret
    that it was given for; once that is not active any more, neither is the token."""

    account_id: str
    expires_s: float
    client_secret_id: str | None = None


Verify = Callable[[bytes], Token | None]
"""A plain function, from a token to what it says; None for one that is not genuine, or over. The hit path waits for it, once a token."""


def account_key(account_id: str) -> bytes:
    """What a caller is known by whose token names no client secret."""
    return b"account/" + account_id.encode()


def secret_key(client_secret_id: str) -> bytes:
    """What a caller is known by whose token names this one."""
    return b"client_secret/" + client_secret_id.encode()


class Bearers:
    """Which credential of the directory a token stands for. Bounded; the one remembered longest goes first."""

    def __init__(self, verify: Verify, wall_s: Callable[[], float] = time.time) -> None:
        self._verify = verify
        self._wall_s = wall_s
        self._remembered: dict[bytes, tuple[bytes, float]] = {}

    def recalled(self, header: bytes) -> bytes:
        """The directory's key for a header that was verified before, and is good still; else empty."""
        key, expires_s = self._remembered.get(header, _NOTHING)
        return key if self._wall_s() < expires_s else b""

    def verified(self, header: bytes, token: bytes) -> bytes | None:
        """The directory's key for the token that this header brings. None: it is not genuine, or not any more."""
        self._remembered.pop(header, None)
        said = self._verify(token)
        if said is None or self._wall_s() >= said.expires_s:
            return None
        key = account_key(said.account_id) if said.client_secret_id is None else secret_key(said.client_secret_id)
        if len(header) <= _LONGEST:
            if len(self._remembered) >= _MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[header] = (key, said.expires_s)
        return key

    def forget(self) -> None:
        """Every token is verified anew: the key that one was signed with may be good no longer."""
        self._remembered.clear()
