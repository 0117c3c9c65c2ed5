"""Tokens for client credentials: who shows an active secret of a service account is given one (RFC 6749 §4.4).

Asking costs the store a read, whoever asks: an unknown id and a wrong secret take the same query, one hash and as many comparisons, and are
answered alike. That a secret was used is written at most once a minute. Tokens are no administrative acts, and are not audited: the audit
log names the client secret behind whatever a token is then used for.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.access.accounts import is_identifier
from gateway.access.client_secrets import MOST
from gateway.access.sealing import Sealer
from gateway.access.signing import KeyRing, Rotation, StoredKey, read_keys, renew
from gateway.access.store.database import Database
from gateway.access.store.tables import ClientSecret, ServiceAccount
from gateway.access.tokens import Policy, sign
from gateway.errors import AccessUnavailable, ClientUnknown, TokenRefused

_NOTED_EVERY_S = 60
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Client:
    """Whose secret was shown, and when it last was."""

    account_id: str
    secret_id: str
    is_active: bool
    last_used_us: int | None


class TokenIssuer:
    """`wall_s`: the time of day, in seconds since 1970."""

    def __init__(
        self, database: Database, sealer: Sealer, ring: KeyRing, rotation: Rotation, policy: Policy, wall_s: Callable[[], float] = time.time
    ) -> None:
        self.policy = policy
        self._database = database
        self._sealer = sealer
        self._ring = ring
        self._rotation = rotation
        self._wall_s = wall_s

    async def issue(self, client_id: str, client_secret: str) -> str:
        """A token. Raises ClientUnknown, TokenRefused where the account is deactivated, Sealed and AccessUnavailable."""
        client = await self._database.run(lambda session: authenticate(session, client_id, client_secret), writes=False)
        if client is None:
            raise ClientUnknown
        if not client.is_active:
            raise TokenRefused("The service account is deactivated.", "unauthorized_client")
        now_us = self._now_us()
        if self._ring.is_due(now_us):
            await self.rotate()
        if client.last_used_us is None or client.last_used_us + _NOTED_EVERY_S * 1_000_000 <= now_us:
            with suppress(AccessUnavailable):  # a note that cannot be taken is no reason to refuse
                await self._database.run(lambda session: note_use(session, client.secret_id, now_us))
        return sign(self._ring.signer(now_us), self.policy, client.account_id, client.secret_id, now_us // 1_000_000)

    async def rotate(self) -> None:
        """See to it that there is a key, and a young one. Raises Sealed and AccessUnavailable."""
        now_us = self._now_us()

        def work(session: Session) -> Sequence[StoredKey]:
            renew(session, self._sealer, self._rotation, now_us)
            return read_keys(session)

        self._ring.adopt(await self._database.run(work))

    def public_keys(self) -> Sequence[Mapping[str, object]]:
        """What tokens can be verified with, as JSON Web Keys."""
        return self._ring.public(self._now_us())

    def _now_us(self) -> int:
        return int(self._wall_s() * 1e6)


def authenticate(session: Session, client_id: str, client_secret: str) -> Client | None:
    """Whose secret this is; None where it is no active one of this account."""
    shown = hashlib.sha256(client_secret.encode()).digest()
    known = client_id if is_identifier(client_id) else ""
    rows = session.execute(
        select(ClientSecret.id, ClientSecret.digest, ClientSecret.last_used_us, ServiceAccount.is_active)
        .join(ServiceAccount, ServiceAccount.id == ClientSecret.account_id)
        .where(ClientSecret.account_id == known, ClientSecret.is_active)
        .order_by(ClientSecret.id)
    ).all()
    digests = [row.digest for row in rows] + [_NO_DIGEST] * (MOST - len(rows))
    matching = [hmac.compare_digest(digest, shown) for digest in digests]
    found = next((row for row, matches in zip(rows, matching, strict=False) if matches), None)
    return Client(known, found.id, found.is_active, found.last_used_us) if found is not None else None


def note_use(session: Session, secret_id: str, now_us: int) -> None:
    session.execute(update(ClientSecret).where(ClientSecret.id == secret_id).values(last_used_us=now_us))
