"""Another key-encryption key for all that is sealed, and a look at all of it: what an operator does beside running gateways.

Only data keys are wrapped again, and the manifests made again; no value is decrypted for it. All in one transaction: whenever it ends, what
is stored is under one key or the other, and whoever has both opens it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.manifests import open_manifests
from gateway.access.roles import EVERYTHING, Action
from gateway.access.sealing import Sealer, context_of, sealed_under
from gateway.access.store.tables import Secret, SecretScope, SigningKey, Vault
from gateway.access.vault import place_of
from gateway.errors import Sealed

_EVERY = 100


@dataclass(frozen=True, slots=True)
class Survey:
    """`under`: how many values are sealed under which key-encryption key. `refused`: the secrets and signing keys that do not open, by
    name; `sealed`: why nothing can be told of all of them together, if so."""

    scopes: int
    secrets: int
    signing_keys: int
    under: Mapping[str, int]
    refused: Sequence[str]
    sealed: str | None


def how_many(session: Session) -> int:
    """Values that are sealed."""
    return sum(session.scalars(select(func.count()).select_from(table)).one() for table in (Secret, SigningKey))


def kek_in_use(session: Session) -> str | None:
    """The id of the key-encryption key that vouches for the vault; None where it was never used."""
    vault = session.scalars(select(Vault)).first()
    return None if vault is None else vault.manifest[:8].hex()


def rewrap_all(act: Act, sealer: Sealer, progress: Callable[[int], None]) -> int:
    """Everything that is sealed, under the sealer's newest key. Tells how much that is. `progress` hears how much is done. Raises Sealed
    where something does not open, and then nothing is changed."""
    act.require(Action.ROTATE_KEK, EVERYTHING)
    manifests, done = open_manifests(act.session, sealer), 0
    manifests.advance()
    for scope in sorted(manifests.scopes):
        versions = manifests.versions(scope)
        for some in _chunks(act.session, scope):
            for secret in some:
                secret.sealed = sealer.rewrap(secret.sealed, place_of(scope, secret.name, secret.version))
            done += len(some)
            progress(done)
        act.session.get_one(SecretScope, scope).manifest = manifests.record(scope, versions)
    for key in act.session.scalars(select(SigningKey)):
        key.sealed = sealer.rewrap(key.sealed, _place_of(key))
        done += 1
    manifests.vouch()
    progress(done)
    act.detail = f"{done} values under {sealer.kek_id}"
    return done


def survey(session: Session, sealer: Sealer) -> Survey:
    """Opens everything once, and keeps nothing of it."""
    under: Counter[str] = Counter()
    refused: list[str] = []

    def look(name: str, sealed: bytes, place: bytes) -> None:
        under[sealed_under(sealed)] += 1
        try:
            sealer.open(sealed, place)
        except Sealed:
            refused.append(name)

    scopes = session.scalars(select(SecretScope.name).order_by(SecretScope.name)).all()
    for scope in scopes:
        for some in _chunks(session, scope):
            for secret in some:
                look(f"{scope}/{secret.name}", secret.sealed, place_of(scope, secret.name, secret.version))
    secrets = sum(under.values())
    keys = session.scalars(select(SigningKey).order_by(SigningKey.id)).all()
    for key in keys:
        look(f"signing key {key.id}", key.sealed, _place_of(key))
    return Survey(len(scopes), secrets, len(keys), under, refused, _why_sealed(session, sealer))


def _why_sealed(session: Session, sealer: Sealer) -> str | None:
    try:
        manifests = open_manifests(session, sealer)
        for scope in manifests.scopes:
            manifests.versions(scope)
    except Sealed as error:
        return error.message
    return None


def _chunks(session: Session, scope: str) -> Iterator[Sequence[Secret]]:
    """A scope's secrets, a few at a time: values may be large. What is changed of them is written before the next come."""
    names = session.scalars(select(Secret.name).where(Secret.scope == scope).order_by(Secret.name)).all()
    for start in range(0, len(names), _EVERY):
        chosen = names[start : start + _EVERY]
        some = session.scalars(select(Secret).where(Secret.scope == scope, Secret.name.in_(chosen)).order_by(Secret.name)).all()
        yield some
        session.flush()
        for secret in some:
            session.expunge(secret)


def _place_of(key: SigningKey) -> bytes:
    return context_of("signing_key", key.id)
