import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.gates import KeyRights, KeyTable
from gateway.access.keys import PREFIX, digest, new_key


def test_a_new_key_has_256_random_bits_behind_a_prefix_for_scanners() -> None:
    assert re.fullmatch(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}", new_key())


def test_no_two_keys_are_the_same() -> None:
    assert len({new_key() for _ in range(1_000)}) == 1_000


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_digest_is_the_sha256_of_the_key(key: str) -> None:
    assert digest(key) == hashlib.sha256(key.encode()).hexdigest()


def test_a_new_key_opens_the_door_that_its_digest_was_given_to() -> None:
    key = new_key()
    table = KeyTable({bytes.fromhex(digest(key)): KeyRights(frozenset({"live"}))})
    assert table.identify(f"Tecton-key {key}".encode()).key == bytes.fromhex(digest(key))
