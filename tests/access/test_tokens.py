"""Tokens: what one says, and everything that is none."""

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.access.bearers import Token
from gateway.access.sealing import Sealer, context_of
from gateway.access.signing import KeyRing, Rotation, StoredKey
from gateway.access.tokens import Policy, Verifier, sign
from tests.harness.clock import Clock

START_S = 1_767_225_600
SEALER = Sealer([bytes(range(32))])
POLICY = Policy("the-gateway", "its-callers", 3_600)
KEY = ECKey.generate_key("P-256")
KEY_ID = "key-1"


def ring_of(key: ECKey, key_id: str = KEY_ID) -> KeyRing:
    ring = KeyRing(SEALER, Rotation(3_600, 86_400))
    sealed = SEALER.seal(key.as_pem(private=True), context_of("signing_key", key_id))
    ring.adopt([StoredKey(key_id, sealed, START_S * 1_000_000, None)])
    return ring


RING = ring_of(KEY)
GOOD = sign(RING.signer(START_S * 1_000_000), POLICY, "account-1", "secret-1", START_S)
HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": KEY_ID}
CLAIMS: dict[str, Any] = json.loads(base64.urlsafe_b64decode(GOOD.split(".")[1] + "=="))


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def verified(token: str | bytes, at_s: float = START_S, policy: Policy = POLICY, ring: KeyRing = RING) -> Token | None:
    return Verifier(ring, policy, Clock(at_s))(token.encode() if isinstance(token, str) else token)


def made(header: dict[str, Any] | None = None, key: Any = KEY, **claims: Any) -> str:
    """A token as ours, but for what is said here; what is None is left out."""
    head = {name: value for name, value in {**HEADER, **(header or {})}.items() if value is not None}
    body = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    signing_input = f"{part(head)}.{part(body)}"
    signature = JWSRegistry.algorithms[str(head["alg"])].sign(signing_input.encode(), key)
    return f"{signing_input}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_token_says_for_whom_it_speaks_for_how_long_and_by_which_secret() -> None:
    assert verified(GOOD) == Token("account-1", START_S + 3_600, "secret-1")
    assert verified(made()) == verified(GOOD)


def test_its_claims_are_those_of_the_profile_for_access_tokens() -> None:  # RFC 9068, section 2.2
    claims = dict(CLAIMS)
    assert len(claims.pop("jti")) == 22
    assert claims == {
        "iss": "the-gateway",
        "sub": "account-1",
        "aud": "its-callers",
        "client_id": "account-1",
        "client_secret_id": "secret-1",
        "scope": "everything",
        "iat": START_S,
        "exp": START_S + 3_600,
    }
    assert json.loads(base64.urlsafe_b64decode(GOOD.split(".")[0] + "==")) == HEADER


def test_no_two_tokens_are_the_same() -> None:
    signer = RING.signer(START_S * 1_000_000)
    assert len({sign(signer, POLICY, "account-1", "secret-1", START_S) for _ in range(20)}) == 20


@pytest.mark.parametrize(("at_s", "good"), [(-61, False), (-60, True), (3_599, True), (3_599.9, True), (3_600, False), (1e6, False)])
def test_a_token_is_good_until_its_end_to_the_second(at_s: float, *, good: bool) -> None:
    assert (verified(GOOD, START_S + at_s) is not None) is good


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "another-gateway"},
        {"iss": None},
        {"aud": "others"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": START_S},
        {"iat": None},
        {"iat": START_S + 61},
        {"nbf": START_S + 61},
        {"scope": "something"},
        {"scope": None},
        {"client_secret_id": None},
        {"client_secret_id": ""},
    ],
)
def test_a_genuine_signature_under_other_claims_is_not_enough(claims: dict[str, Any]) -> None:
    assert verified(made(**claims)) is None


@pytest.mark.parametrize(
    "header", [{"typ": "JWT"}, {"typ": None}, {"kid": "key-2"}, {"kid": None}, {"kid": ["key-1"]}, {"crit": ["exp"]}, {"alg": "ES384"}]
)
def test_nor_under_another_header(header: dict[str, Any]) -> None:
    key = ECKey.generate_key("P-384") if header.get("alg") == "ES384" else KEY
    assert verified(made(header, key)) is None


def without_signature() -> str:
    return f"{part({**HEADER, 'alg': 'none'})}.{GOOD.split('.')[1]}."


def signed_with_the_public_key_as_a_secret() -> str:
    signing_input = f"{part({**HEADER, 'alg': 'HS256'})}.{GOOD.split('.')[1]}"
    mac = hmac.digest(KEY.as_pem(private=False), signing_input.encode(), "sha256")
    return f"{signing_input}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def signed_by_a_key_it_brings_along() -> str:
    other = ECKey.generate_key("P-256")
    return made({"jwk": other.as_dict(private=False)}, other)


def with_the_signature_of_another() -> str:
    return ".".join([*made(sub="account-2").split(".")[:2], GOOD.split(".")[2]])


def with_an_empty_signature() -> str:
    return GOOD.rpartition(".")[0] + "."


def signed_by_another_of_its_name() -> str:
    return made(key=ECKey.generate_key("P-256"))


def signed_in_another_way() -> str:
    return made({"alg": "RS256"}, RSAKey.generate_key(2048))


@pytest.mark.parametrize(
    "forged",
    [
        without_signature,
        signed_with_the_public_key_as_a_secret,
        signed_by_a_key_it_brings_along,
        with_the_signature_of_another,
        with_an_empty_signature,
        signed_by_another_of_its_name,
        signed_in_another_way,
    ],
)
def test_what_is_forged_is_refused(forged: Callable[[], str]) -> None:
    assert verified(forged()) is None


def test_a_token_of_another_store_is_refused() -> None:
    assert verified(GOOD, ring=ring_of(ECKey.generate_key("P-256"))) is None
    assert verified(GOOD, policy=Policy("another-gateway", POLICY.audience, 3_600)) is None


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_byte_of_a_token_can_be_another(place: int, change: int) -> None:
    bent = bytearray(GOOD.encode())
    bent[place] ^= change
    # the last character of a part of 64 bytes carries four bits that no decoder looks at
    assert verified(bytes(bent)) is None or base64.urlsafe_b64decode(bent.split(b".")[2] + b"==") == base64.urlsafe_b64decode(
        GOOD.split(".")[2] + "=="
    )


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b".",
        b"..",
        b"...",
        b"a.b.c",
        b"\xff.\xff.\xff",
        b"e30.e30.e30",
        b"x" * 8192,
        f"{part(HEADER)}.{GOOD.split('.')[1]}.=".encode(),
        f"{part([])}.{part({})}.AAAA".encode(),
        f"{part(None)}.{part({})}.AAAA".encode(),
        f"{part({**HEADER, 'alg': 7})}.{part({})}.AAAA".encode(),
        f"{part({**HEADER, 'alg': []})}.{part({})}.AAAA".encode(),
        f"{part({**HEADER, 'b64': False})}.{part({})}.AAAA".encode(),
        f"{part({**HEADER, 'crit': ['b64'], 'b64': False})}.{part({})}.AAAA".encode(),
        f"{part({**HEADER, 'crit': 7})}.{part({})}.AAAA".encode(),
        f"{base64.urlsafe_b64encode(b'[' * 300).decode()}.{part({})}.AAAA".encode(),
        f"{part({**HEADER, 'kid': {}})}.{part({})}.AAAA".encode(),
    ],
)
def test_what_is_no_token_is_none(token: bytes) -> None:
    assert verified(token) is None


@given(st.binary(max_size=80) | st.lists(st.text(max_size=20), min_size=3, max_size=3).map(lambda parts: ".".join(parts).encode()))
def test_whatever_comes_is_no_token(token: bytes) -> None:
    assert verified(token) is None


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c", "zip", "enc"]), JSON_VALUES))
def test_whatever_a_header_holds_is_no_reason_to_fail(header: dict[str, Any]) -> None:
    assert verified(f"{part({**HEADER, **header})}.{GOOD.split('.')[1]}.{'A' * 86}") is None
