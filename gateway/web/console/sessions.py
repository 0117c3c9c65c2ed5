"""Sessions of the console: a signed cookie that says whose key was shown, and when. Nothing is kept on the server.

    payload · signature      payload: the key's public name, when it was shown, when the session was last used; both in URL-safe base64

The key is in neither. The signature is made with its digest, too, so it ends with the key: of another key by the same name, as of no key
any more, it is not the signature. Any worker, and any replica with the same secret, can tell.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

LONGEST = 1_024
_RENEWED_AFTER = 0.1
"""Of the time that a session may be idle: until then its cookie is left as it is."""


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a cookie says. `credential`: the key's public name. Times in seconds since 1970."""

    credential: str
    begun_s: int
    used_s: int


@dataclass(frozen=True, slots=True)
class Signed:
    """A cookie as it came. Nothing of it is to be believed before `Sessions.holds`."""

    claim: Claim
    payload: bytes
    signature: bytes


class Sessions:
    """`secret`: shared by all who must know one another's sessions. `life_s`: from the sign-in; `idle_s`: from the last use."""

    def __init__(self, secret: bytes, *, life_s: float, idle_s: float, wall_s: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self.life_s = life_s
        self.idle_s = idle_s
        self._wall_s = wall_s

    def begin(self, credential: str, key: bytes) -> str:
        """A new session of whoever has just shown the key of this name. `key`: its digest."""
        now_s = int(self._wall_s())
        return self._spell(Claim(credential, now_s, now_s), key)

    def holds(self, signed: Signed, key: bytes) -> bool:
        """Whether this was signed here, for this key, and is not over."""
        claim, now_s = signed.claim, self._wall_s()
        genuine = hmac.compare_digest(signed.signature, self._signature(signed.payload, key))
        return genuine and now_s < claim.begun_s + self.life_s and now_s < claim.used_s + self.idle_s

    def renewed(self, signed: Signed, key: bytes) -> str | None:
        """The cookie of a session that holds, used now. None: it need not change yet."""
        claim, now_s = signed.claim, int(self._wall_s())
        if now_s - claim.used_s < self.idle_s * _RENEWED_AFTER:
            return None
        return self._spell(Claim(claim.credential, claim.begun_s, now_s), key)

    def _spell(self, claim: Claim, key: bytes) -> str:
        payload = msgspec.json.encode(claim)
        return f"{_told(payload)}.{_told(self._signature(payload, key))}"

    def _signature(self, payload: bytes, key: bytes) -> bytes:
        return hmac.digest(self._secret, len(payload).to_bytes(4, "big") + payload + key, "sha256")


def read(cookie: str) -> Signed | None:
    """None for what no session's cookie looks like."""
    if len(cookie) > LONGEST:
        return None
    try:
        payload, signature = (base64.b64decode(part, altchars=b"-_", validate=True) for part in cookie.split("."))
        return Signed(msgspec.json.decode(payload, type=Claim), payload, signature)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return None


def _told(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode()
