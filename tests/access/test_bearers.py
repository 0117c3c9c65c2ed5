"""Tokens: verified once, good until they expire, and for as long as the directory has whom they speak for."""

import hashlib

import pytest

from gateway.access import bearers
from gateway.access.bearers import Bearers, Token
from gateway.access.gates import KeyTable
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.reach import ALL, Directory, Entry, Reach
from gateway.errors import Unauthenticated
from gateway.features import ServiceRef
from tests.harness.clock import Clock

LIVE = ServiceRef("live", "fraud")
PRINCIPAL = Principal(PrincipalKind.SERVICE_ACCOUNT, "sa-1")
REACH = Reach(frozenset({"live"}), ALL, ALL, ALL, metrics=True)
ACCOUNT = Entry(PRINCIPAL, "etl", "sa-1", REACH, is_token=True)
SECRET = Entry(PRINCIPAL, "etl", "cs-1", REACH, is_token=True)
KEY = Entry(PRINCIPAL, "etl", "key-1", REACH)
ALL_ACTIVE = Directory(1, {hashlib.sha256(b"a-key").digest(): KEY}, {"sa-1": ACCOUNT}, {"cs-1": SECRET})


class Issuer:
    """Verifies tokens that it has written down, and counts how often it is asked."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.said = {
            b"of-account": Token("sa-1", self.clock() + 60),
            b"of-secret": Token("sa-1", self.clock() + 60, "cs-1"),
            b"of-nobody": Token("sa-2", self.clock() + 60),
            b"of-lost-secret": Token("sa-1", self.clock() + 60, "cs-2"),
        }
        self.asked = 0

    def verify(self, token: bytes) -> Token | None:
        self.asked += 1
        return self.said.get(token)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def gate(issuer: Issuer) -> KeyTable:
    table = KeyTable({})
    table.believe(Bearers(issuer.verify, issuer.clock))
    table.adopt(ALL_ACTIVE)
    return table


@pytest.mark.parametrize(("header", "credential"), [(b"Bearer of-account", "sa-1"), (b"bearer  of-secret", "cs-1")])
def test_a_token_opens_what_its_account_may_and_is_verified_once(gate: KeyTable, issuer: Issuer, header: bytes, credential: str) -> None:
    caller = gate.identify(header)
    assert gate.identify(header) == caller
    assert issuer.asked == 1
    assert (gate.entry(caller).principal, gate.entry(caller).credential) == (PRINCIPAL, credential)
    assert gate.holds(caller, LIVE, 0.0)
    assert not gate.holds(caller, ServiceRef("dev", "fraud"), 0.0)


@pytest.mark.parametrize(
    "header", [b"Bearer of-nobody", b"Bearer of-lost-secret", b"Bearer forged", b"Tecton-key of-account", b"Bearer a-key"]
)
def test_a_token_of_nobody_is_nobody(gate: KeyTable, header: bytes) -> None:
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            gate.identify(header)


def test_a_token_is_good_until_it_expires(gate: KeyTable, issuer: Issuer) -> None:
    gate.identify(b"Bearer of-account")
    issuer.clock.advance(59.9)
    gate.identify(b"Bearer of-account")
    issuer.clock.advance(0.1)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            gate.identify(b"Bearer of-account")


def test_whoever_is_deactivated_is_refused_though_its_token_is_remembered(gate: KeyTable) -> None:
    by_account, by_secret = gate.identify(b"Bearer of-account"), gate.identify(b"Bearer of-secret")
    gate.adopt(Directory(2, {}, {"sa-1": ACCOUNT}, {}))
    assert gate.identify(b"Bearer of-account") == by_account
    with pytest.raises(Unauthenticated):
        gate.identify(b"Bearer of-secret")
    assert not gate.holds(by_secret, LIVE, 0.0)
    gate.adopt(Directory(3))
    with pytest.raises(Unauthenticated):
        gate.identify(b"Bearer of-account")
    with pytest.raises(Unauthenticated):
        gate.admit(by_account, "live")


def test_after_a_change_tokens_are_verified_again(gate: KeyTable, issuer: Issuer) -> None:
    gate.identify(b"Bearer of-account")
    issuer.said.clear()
    gate.identify(b"Bearer of-account")
    gate.adopt(ALL_ACTIVE)
    with pytest.raises(Unauthenticated):
        gate.identify(b"Bearer of-account")


def test_without_a_verifier_every_token_is_refused() -> None:
    gate = KeyTable({})
    gate.adopt(ALL_ACTIVE)
    with pytest.raises(Unauthenticated):
        gate.identify(b"Bearer of-account")


def test_tokens_are_not_for_ingest_and_metrics(gate: KeyTable) -> None:
    caller = gate.identify(b"Bearer of-account")
    for dry in (False, True):
        with pytest.raises(Unauthenticated):
            gate.admit_ingest(caller, "live", dry=dry)
        gate.admit_ingest(gate.identify(b"Tecton-key a-key"), "live", dry=dry)
    with pytest.raises(Unauthenticated):
        gate.admit_metrics(b"Bearer of-account")
    gate.admit_metrics(b"Tecton-key a-key")


def test_where_either_scheme_is_taken_a_key_is_one_under_both(gate: KeyTable) -> None:
    by_key = gate.identify(b"Tecton-key a-key")
    assert gate.identify_either(b"Tecton-key a-key") == gate.identify_either(b"BEARER a-key") == by_key
    assert gate.identify_either(b"Bearer of-account") == gate.identify(b"Bearer of-account")
    for header in (None, b"Bearer forged", b"Tecton-key forged", b"Tecton-key of-account", b"Basic a-key"):
        with pytest.raises(Unauthenticated):
            gate.identify_either(header)


def test_a_header_that_is_long_is_not_remembered_and_still_good(gate: KeyTable, issuer: Issuer) -> None:
    header = b"Bearer " + b" " * 2_048 + b"of-account"
    assert gate.identify(header) == gate.identify(header)
    assert issuer.asked == 2


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "_MOST_REMEMBERED", 2)
    tokens = Bearers(issuer.verify, issuer.clock)
    for token in (b"of-account", b"of-secret", b"of-nobody"):
        tokens.verified(b"Bearer " + token, token)
    assert [bool(tokens.recalled(b"Bearer " + token)) for token in (b"of-account", b"of-secret", b"of-nobody")] == [False, True, True]
