"""Signing keys: one after the other, none before everybody knows it, none after its last token, and none without the key that sealed it."""

import logging

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import select

from gateway.access.manifests import begin_manifests
from gateway.access.sealing import Sealer, parse_kek
from gateway.access.signing import KeyRing, Rotation, StoredKey, read_keys, renew
from gateway.access.store.database import Database
from gateway.access.store.tables import Change, SigningKey
from gateway.errors import Sealed, Tampered

KEK, OTHER_KEK = parse_kek("1a" * 32), parse_kek("2b" * 32)
SEALER = Sealer([KEK])
HOUR, DAY = 3_600, 86_400
ROTATION = Rotation(token_life_s=HOUR, key_life_s=DAY)
START_S = 1_767_225_600


def us(seconds: float) -> int:
    """This long after the start, in microseconds since 1970."""
    return int((START_S + seconds) * 1e6)


class Replica:
    """One process's copy of the keys in a store that it shares."""

    def __init__(self, database: Database, sealer: Sealer = SEALER) -> None:
        self.database = database
        self.sealer = sealer
        self.ring = KeyRing(sealer, ROTATION)

    def renew(self, at_s: float) -> None:
        self.database.transact(lambda session: renew(session, self.sealer, ROTATION, us(at_s)))

    def read(self) -> list[StoredKey]:
        stored = list(self.database.transact(read_keys, writes=False))
        self.ring.adopt(stored)
        return stored


@pytest.fixture
def replica(database: Database) -> Replica:
    return Replica(database)


def revision(database: Database) -> int:
    return database.transact(lambda session: session.scalars(select(Change.revision)).one())


def test_the_first_key_signs_at_once_and_whoever_has_a_copy_is_told_of_it(replica: Replica) -> None:
    assert replica.ring.is_due(us(0))
    with pytest.raises(Sealed):
        replica.ring.signer(us(0))
    before = revision(replica.database)
    replica.renew(0)
    [stored] = replica.read()
    assert revision(replica.database) == before + 1
    assert replica.ring.signer(us(0)).id == stored.id
    assert not replica.ring.is_due(us(DAY - 1))
    assert replica.ring.is_due(us(DAY))


def test_a_young_key_is_not_replaced_whoever_asks(replica: Replica) -> None:
    replica.renew(0)
    before = replica.read()
    replica.renew(DAY - 1)
    Replica(replica.database).renew(DAY - 1)
    assert replica.read() == before


def test_a_new_key_signs_when_everybody_knows_it_and_the_old_one_verifies_until_its_last_token_is_over(replica: Replica) -> None:
    replica.renew(0)
    [first] = replica.read()
    replica.renew(DAY)
    [second] = [one for one in replica.read() if one.id != first.id]
    assert replica.ring.signer(us(DAY)).id == first.id
    assert replica.ring.signer(us(DAY + 59)).id == first.id
    assert replica.ring.signer(us(DAY + 60)).id == second.id
    last_token_s = DAY + 60 + HOUR
    assert replica.ring.verifier(first.id, us(last_token_s)) is not None
    assert replica.ring.verifier(first.id, us(last_token_s + 60)) is None
    assert replica.ring.verifier(second.id, us(last_token_s)) is not None
    assert replica.ring.verifier("another", us(0)) is None


def test_a_key_is_gone_once_it_is_over_and_the_next_one_is_made(replica: Replica) -> None:
    for day in range(4):
        replica.renew(day * DAY)
    assert len(replica.read()) == 2


def test_a_replica_that_has_not_read_the_new_key_does_not_sign_what_outlives_the_old_one(replica: Replica) -> None:
    late = Replica(replica.database)
    replica.renew(0)
    replica.renew(DAY)
    [first] = [one for one in replica.read() if one.retires_us is not None]
    late.ring.adopt([first])
    assert late.ring.signer(us(DAY + 100)).id == first.id
    with pytest.raises(Sealed):
        late.ring.signer(us(DAY + 121))


def test_published_are_the_public_halves_of_what_verifies(replica: Replica) -> None:
    replica.renew(0)
    replica.renew(DAY)
    replica.read()
    first, second = replica.ring.signer(us(DAY)), replica.ring.signer(us(DAY + 60))
    published = replica.ring.public(us(DAY + 60))
    assert [one["kid"] for one in published] == [second.id, first.id]
    for one in published:
        assert set(one) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (one["kty"], one["crv"], one["use"], one["alg"]) == ("EC", "P-256", "sig", "ES256")
    assert [one["kid"] for one in replica.ring.public(us(2 * DAY))] == [second.id]


def test_what_is_stored_is_sealed_and_names_its_key(replica: Replica) -> None:
    replica.renew(0)
    [stored] = replica.read()
    pem = replica.ring.signer(us(0)).key.as_pem(private=True)
    secret = str(ECKey.import_key(pem).as_dict(private=True)["d"]).encode()
    assert b"PRIVATE" not in stored.sealed
    assert secret not in stored.sealed
    moved = StoredKey("another", stored.sealed, stored.created_us, None)
    replica.ring.adopt([moved])
    assert replica.ring.verifier("another", us(0)) is None


@pytest.mark.parametrize("sealer", [Sealer(), Sealer([OTHER_KEK])], ids=["without a key", "with another key"])
def test_without_the_key_that_sealed_them_nothing_is_signed_made_or_verified(
    replica: Replica, sealer: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    replica.renew(0)
    before = replica.read()
    shut = Replica(replica.database, sealer)
    with caplog.at_level(logging.ERROR):
        shut.read()
        shut.read()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert shut.ring.verifier(before[0].id, us(0)) is None
    assert not shut.ring.is_due(us(0))
    with pytest.raises(Sealed):
        shut.ring.signer(us(0))
    with pytest.raises(Sealed):
        shut.renew(DAY)
    assert replica.read() == before


def test_a_new_key_encryption_key_opens_what_the_one_before_sealed(replica: Replica) -> None:
    replica.renew(0)
    [stored] = replica.read()
    newer = Replica(replica.database, Sealer([OTHER_KEK, KEK]))
    newer.renew(DAY)
    newer.read()
    assert newer.ring.signer(us(DAY)).id == stored.id
    replica.read()
    assert replica.ring.signer(us(DAY + 60)).id == stored.id  # what it cannot open it does not sign with


def test_a_key_that_was_changed_in_the_store_is_refused(replica: Replica) -> None:
    replica.renew(0)
    [stored] = replica.read()
    bent = bytearray(stored.sealed)
    bent[-1] ^= 1
    fresh = Replica(replica.database)
    fresh.ring.adopt([StoredKey(stored.id, bytes(bent), stored.created_us, None)])
    assert fresh.ring.verifier(stored.id, us(0)) is None
    replica.database.transact(lambda session: setattr(session.get_one(SigningKey, stored.id), "sealed", bytes(bent)))
    with pytest.raises(Tampered):
        fresh.renew(DAY)


def test_no_key_is_sealed_under_one_that_does_not_open_the_vault(replica: Replica) -> None:
    replica.database.transact(lambda session: begin_manifests(session, SEALER))
    with pytest.raises(Sealed):
        Replica(replica.database, Sealer([OTHER_KEK])).renew(0)
    assert replica.read() == []
    replica.renew(0)
    assert len(replica.read()) == 1
