import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.gates import KeyRights, KeyTable
from gateway.access.keys import PREFIX, digest, key_id, new_key


def test_a_new_key_has_256_random_bits_behind_a_prefix_for_scanners() -> None:
    assert re.fullmatch(re.escape(PREFIX) + r"[A-Za-z0-9]{12}_[A-Za-z0-9]{43}[A-Za-z0-9]{6}", new_key())  # 43 of 62: 256 bits


def test_a_key_names_itself_by_a_public_id_that_its_checksum_vouches_for() -> None:
    key = new_key()
    assert key_id(key) == key[4:16]
    for place in range(4, len(key)):
        other = "x" if key[place] != "x" else "y"
        assert key_id(f"{key[:place]}{other}{key[place + 1 :]}") is None
    assert key_id(key[:-1]) is None
    assert key_id(f"{key}0") is None


def test_no_two_keys_are_the_same() -> None:
    assert len({new_key() for _ in range(1_000)}) == 1_000


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_digest_is_the_sha256_of_the_key(key: str) -> None:
    assert digest(key) == hashlib.sha256(key.encode()).hexdigest()


def test_a_new_key_opens_the_door_that_its_digest_was_given_to() -> None:
    key = new_key()
    table = KeyTable({bytes.fromhex(digest(key)): KeyRights(frozenset({"live"}))})
    assert table.identify(f"Tecton-key {key}".encode()).key == bytes.fromhex(digest(key))
