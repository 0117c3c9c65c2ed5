"""The keys that access tokens are signed with: ES256, sealed in the store, shared by all replicas, and replaced again and again.

    made ──(_SETTLING_S: every replica reads it)── signs ──(the next one has settled)── verifies ──(its last token is over)── gone

A key is not used before every replica had the time to read it, so that no token comes to one that does not know its key; the very first is
used at once, for want of another. Rotation needs no clockwork: whoever is asked for a token when the newest key is old makes the next.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from joserfc.jwk import ECKey
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from gateway.access.keys import random_name
from gateway.access.manifests import begin_manifests
from gateway.access.sealing import Sealer, context_of
from gateway.access.store.tables import Change, SigningKey
from gateway.errors import Sealed

ALGORITHM = "ES256"
_CURVE = "P-256"
_SETTLING_S = 60
_SLACK_S = 60
"""For the clocks of replicas, which are not quite the same."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """As the store has it."""

    id: str
    sealed: bytes
    created_us: int
    retires_us: int | None


@dataclass(frozen=True, slots=True)
class OpenKey:
    """`retires_us` None: nothing has taken its place yet."""

    id: str
    key: ECKey
    created_us: int
    retires_us: int | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """How long tokens are good for, and how old a key gets before the next one is made."""

    token_life_s: int
    key_life_s: float


class KeyRing:
    """The store's keys, opened: one process's copy, replaced whole. Those that cannot be opened are left out, and said once."""

    def __init__(self, sealer: Sealer, rotation: Rotation) -> None:
        self._sealer = sealer
        self._rotation = rotation
        self._open: Mapping[str, OpenKey] = {}
        self._newest_us: int | None = None
        self._shut: frozenset[str] = frozenset()

    def reading(self, session: Session) -> Callable[[], None]:
        """Reads the keys, and says how they are adopted."""
        stored = read_keys(session)
        return lambda: self.adopt(stored)

    def adopt(self, stored: Sequence[StoredKey]) -> None:
        opened = [one for one in (self._opened(key) for key in stored) if one is not None]
        self._open = {one.id: one for one in opened}
        self._newest_us = max((one.created_us for one in stored), default=None)
        shut = frozenset(one.id for one in stored) - self._open.keys()
        if shut - self._shut:
            logger.error("Signing keys cannot be opened, so tokens that they signed are refused: %s", ", ".join(sorted(shut)))
        self._shut = shut

    def is_due(self, now_us: int) -> bool:
        """Whether it is time for a next key."""
        return self._newest_us is None or _is_old(self._newest_us, now_us, self._rotation)

    def signer(self, now_us: int) -> OpenKey:
        """The newest that every replica knows, or at least the oldest. Raises Sealed where none can be opened."""
        outlives_us = now_us + self._rotation.token_life_s * 1_000_000
        usable = [one for one in self._open.values() if one.retires_us is None or outlives_us <= one.retires_us]
        if not usable:
            raise Sealed
        settled = [one for one in usable if one.created_us + _SETTLING_S * 1_000_000 <= now_us]
        return max(settled, key=_age) if settled else min(usable, key=_age)

    def verifier(self, key_id: str, now_us: int) -> ECKey | None:
        """The key of this id, where tokens that it signed may still be good."""
        one = self._open.get(key_id)
        return one.key if one is not None and _is_good(one, now_us) else None

    def public(self, now_us: int) -> Sequence[Mapping[str, object]]:
        """The public halves (RFC 7517), the newest first."""
        good = sorted((one for one in self._open.values() if _is_good(one, now_us)), key=_age, reverse=True)
        return [one.key.as_dict(private=False, kid=one.id, use="sig", alg=ALGORITHM) for one in good]

    def _opened(self, stored: StoredKey) -> OpenKey | None:
        known = self._open.get(stored.id)
        try:
            key = known.key if known is not None else _key_from(self._sealer.open(stored.sealed, context_of("signing_key", stored.id)))
        except Sealed:
            return None
        return OpenKey(stored.id, key, stored.created_us, stored.retires_us)


def read_keys(session: Session) -> Sequence[StoredKey]:
    return [StoredKey(one.id, one.sealed, one.created_us, one.retires_us) for one in session.scalars(select(SigningKey))]


def renew(session: Session, sealer: Sealer, rotation: Rotation, now_us: int) -> None:
    """Make the next key where the newest is old, or there is none, and drop what is over. Another replica may have been first.

    Raises Sealed where the newest cannot be opened, or the vault cannot: a key that was sealed under another key-encryption key would be no
    use to anybody else.
    """
    rows = session.scalars(select(SigningKey).order_by(SigningKey.created_us.desc())).all()
    if rows and not _is_old(rows[0].created_us, now_us, rotation):
        return
    if not rows:
        begin_manifests(session, sealer)
    else:
        sealer.open(rows[0].sealed, context_of("signing_key", rows[0].id))
        rows[0].retires_us = now_us + int((_SETTLING_S + rotation.token_life_s + _SLACK_S) * 1_000_000)
    session.execute(delete(SigningKey).where(SigningKey.retires_us <= now_us))
    key_id = random_name(16)
    pem = ECKey.generate_key(_CURVE).as_pem(private=True)
    sealed = sealer.seal(pem, context_of("signing_key", key_id))
    session.add(SigningKey(id=key_id, sealed=sealed, created_us=now_us, retires_us=None))
    session.execute(update(Change).values(revision=Change.revision + 1))
    session.flush()


def _key_from(pem: bytes) -> ECKey:
    return ECKey.import_key(pem)


def _is_old(created_us: int, now_us: int, rotation: Rotation) -> bool:
    return created_us + rotation.key_life_s * 1_000_000 <= now_us


def _is_good(one: OpenKey, now_us: int) -> bool:
    return one.retires_us is None or now_us < one.retires_us


def _age(one: OpenKey) -> tuple[int, str]:
    return one.created_us, one.id
