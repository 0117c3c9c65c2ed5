"""Access tokens: JWTs (RFC 9068), signed with a key of the ring, and what a genuine one says. One algorithm, whatever a token claims.

A token speaks for a service account, and names the client secret that it was given for by its public id: it is over when either is no
longer active, as well as at its end.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError

from gateway.access.bearers import Token
from gateway.access.signing import ALGORITHM, KeyRing, OpenKey

SCOPE = "everything"
_TYPE = "at+jwt"
_LEEWAY_S = 60
"""By how much the clock of the replica that signed may be ahead. Ends are kept to the second."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What tokens say of where they come from and whom they are for."""

    issuer: str
    audience: str
    life_s: int


def sign(signer: OpenKey, policy: Policy, account_id: str, client_secret_id: str, now_s: int) -> str:
    header = {"alg": ALGORITHM, "typ": _TYPE, "kid": signer.id}
    claims: jwt.Claims = {
        "iss": policy.issuer,
        "sub": account_id,
        "aud": policy.audience,
        "client_id": account_id,
        "client_secret_id": client_secret_id,
        "scope": SCOPE,
        "iat": now_s,
        "exp": now_s + policy.life_s,
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode(header, claims, signer.key, algorithms=[ALGORITHM])


class Verifier:
    """Called with a token, says what it says; None of one that is not genuine, or over. Costs a signature's check."""

    def __init__(self, ring: KeyRing, policy: Policy, wall_s: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._policy = policy
        self._wall_s = wall_s

    def __call__(self, token: bytes) -> Token | None:
        now_s = self._wall_s()
        key_id = _key_id(token)
        key = self._ring.verifier(key_id, int(now_s * 1e6)) if key_id is not None else None
        if key is None:
            return None
        try:
            claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
            self._registry(now_s).validate(claims)
        except (JoseError, ValueError):  # what is not in base64 is a ValueError of the library's
            return None
        return Token(str(claims["sub"]), float(claims["exp"]), str(claims["client_secret_id"])) if now_s < claims["exp"] else None

    def _registry(self, now_s: float) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            int(now_s),
            _LEEWAY_S,
            iss={"essential": True, "value": self._policy.issuer},
            aud={"essential": True, "value": self._policy.audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            scope={"essential": True, "value": SCOPE},
            client_secret_id={"essential": True},
        )


def _key_id(token: bytes) -> str | None:
    """The key that a token's header names, where it is a header as ours are. Nothing else is let near the library, which takes more kinds
    of headers than this gateway makes, and not all of their values well."""
    try:
        header = json.loads(base64.urlsafe_b64decode(token.partition(b".")[0] + b"=="))
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    key_id = header.pop("kid", None)
    return key_id if isinstance(key_id, str) and header == {"alg": ALGORITHM, "typ": _TYPE} else None
