"""The cookie: whose, for how long, and that nobody makes one but who has the secret."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.console.sessions import LONGEST, Sessions, read
from tests.harness.clock import Clock

SECRET, KEY = b"s" * 32, b"digest of a key"


def sessions(clock: Clock, secret: bytes = SECRET) -> Sessions:
    return Sessions(secret, life_s=1_000, idle_s=100, wall_s=clock)


def holds(of: Sessions, cookie: str, key: bytes = KEY) -> bool:
    signed = read(cookie)
    return signed is not None and of.holds(signed, key)


def test_a_session_holds_for_its_key_and_no_other() -> None:
    mine = sessions(Clock())
    cookie = mine.begin("fgk-id", KEY)
    signed = read(cookie)
    assert signed is not None
    assert signed.claim.credential == "fgk-id"
    assert holds(mine, cookie)
    assert not holds(mine, cookie, b"digest of the key that took its place")
    assert not holds(mine, cookie, b"")


def test_whoever_has_the_secret_can_tell_and_nobody_else() -> None:
    clock = Clock()
    cookie = sessions(clock).begin("a", KEY)
    assert holds(sessions(clock), cookie)
    assert not holds(sessions(clock, b"t" * 32), cookie)


def test_neither_the_key_nor_its_digest_is_in_it() -> None:
    cookie = sessions(Clock()).begin("a", KEY)
    assert KEY not in b"".join(base64.urlsafe_b64decode(part) for part in cookie.split("."))


def test_it_ends_when_it_is_idle_and_when_it_is_old() -> None:
    clock = Clock()
    mine = sessions(clock)
    cookie = mine.begin("a", KEY)
    clock.advance(99)
    assert holds(mine, cookie)
    clock.advance(1)
    assert not holds(mine, cookie)


def test_use_renews_it_until_its_life_is_over() -> None:
    clock = Clock()
    mine = sessions(clock)
    cookie = mine.begin("a", KEY)
    for _ in range(19):
        clock.advance(50)
        signed = read(cookie)
        assert signed is not None
        assert mine.holds(signed, KEY)
        cookie = mine.renewed(signed, KEY) or cookie
    assert holds(mine, cookie)
    clock.advance(50)
    assert not holds(mine, cookie)


def test_it_is_not_renewed_at_every_request() -> None:
    clock = Clock()
    mine = sessions(clock)
    signed = read(mine.begin("a", KEY))
    assert signed is not None
    clock.advance(9)
    assert mine.renewed(signed, KEY) is None
    clock.advance(1)
    assert mine.renewed(signed, KEY) is not None


@given(st.data())
def test_a_changed_cookie_does_not_hold(data: st.DataObject) -> None:
    mine = sessions(Clock())
    cookie = mine.begin("somebody", KEY)
    place = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != cookie[place]))
    changed = read(cookie[:place] + other + cookie[place + 1 :])
    genuine = read(cookie)
    assert genuine is not None
    # the last letters of base64 have bits that mean nothing
    assert changed is None or (changed.payload, changed.signature) == (genuine.payload, genuine.signature) or not mine.holds(changed, KEY)


@given(st.text(max_size=60))
def test_what_is_no_cookie_is_read_as_none(text: str) -> None:
    assert read(text) is None or "." in text


def test_another_shape_of_payload_is_none() -> None:
    def spelled(payload: object) -> str:
        return f"{base64.urlsafe_b64encode(json.dumps(payload).encode()).decode()}.{base64.urlsafe_b64encode(b'x' * 32).decode()}"

    assert read(spelled(["a", 1, 2])) is not None
    others: tuple[object, ...] = ({}, ["a", 1], ["a", "1", 2], [1, 1, 1], "a")
    for payload in others:
        assert read(spelled(payload)) is None
    assert read("a" * (LONGEST + 1)) is None


@pytest.mark.parametrize("begun", [2**63, -(2**63)])
def test_times_that_are_none_do_not_hold(begun: int) -> None:
    mine = sessions(Clock())
    payload = json.dumps(["a", begun, begun]).encode()
    cookie = f"{base64.urlsafe_b64encode(payload).decode()}.{base64.urlsafe_b64encode(b'x' * 32).decode()}"
    assert not holds(mine, cookie)
