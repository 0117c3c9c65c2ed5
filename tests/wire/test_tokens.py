"""What the token endpoint takes for a request, and what it takes for none."""

import base64
import re
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClientUnknown, TokenRefused
from gateway.wire.tokens import FORM, Credentials, token_answer, token_error, token_request

GRANT = {"grant_type": "client_credentials"}
POSTED = {**GRANT, "client_id": "one", "client_secret": "s3cret"}
ONE = Credentials("one", "s3cret")
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def basic(client_id: str, secret: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode())


def read(body: bytes | dict[str, str], authorization: bytes | None = None, content_type: bytes | None = FORM.encode()) -> Credentials:
    return token_request(body if isinstance(body, bytes) else urlencode(body).encode(), content_type, authorization)


@pytest.mark.parametrize("content_type", [FORM.encode(), b"Application/X-WWW-Form-urlencoded ; charset=UTF-8", None])
@pytest.mark.parametrize("more", [{}, {"scope": "everything"}, {"scope": ""}, {"resource": "x"}])
def test_credentials_come_in_the_form(content_type: bytes | None, more: dict[str, str]) -> None:
    assert read({**POSTED, **more}, None, content_type) == ONE


@pytest.mark.parametrize("more", [{}, {"client_id": "one"}, {"client_id": ""}, {"client_secret": ""}])
def test_or_as_basic(more: dict[str, str]) -> None:
    assert read({**GRANT, **more}, basic("one", "s3cret")) == ONE
    assert read({**GRANT, **more}, b"bAsIc  " + basic("one", "s3cret").partition(b" ")[2]) == ONE


@given(client_id=TEXT, secret=TEXT)
def test_both_ways_are_decoded_alike(client_id: str, secret: str) -> None:
    wanted = Credentials(client_id, secret)
    assert read({**GRANT, "client_id": client_id, "client_secret": secret}) == wanted
    assert read(GRANT, basic(client_id, secret)) == wanted


@pytest.mark.parametrize(
    ("body", "authorization", "content_type", "reason"),
    [
        (b"", None, FORM, "invalid_request"),
        (b'{"grant_type":"client_credentials"}', None, FORM, "invalid_request"),
        (b"grant_type=client_credentials&client_id=one&client_secret=s3cret", None, "application/json", "invalid_request"),
        (b"grant_type=client_credentials&client_id=one&client_secret=s3cret", None, "multipart/form-data", "invalid_request"),
        (b"grant_type=client_credentials&client_id=one&client_id=one&client_secret=s3cret", None, FORM, "invalid_request"),
        (b"grant_type=client_credentials&grant_type=client_credentials", basic("one", "s3cret"), FORM, "invalid_request"),
        (b"grant_type=client_credentials&a=1&a=1&client_id=one&client_secret=s3cret", None, FORM, "invalid_request"),
        (b"grant_type=client_credentials&client_id=%ff&client_secret=s3cret", None, FORM, "invalid_request"),
        (b"grant_type=client_credentials&client_id=\xc3\xa4&client_secret=s3cret", None, FORM, "invalid_request"),
        (b"&".join(b"a%d=1" % number for number in range(21)), None, FORM, "invalid_request"),
        (b"client_id=one&client_secret=s3cret", None, FORM, "invalid_request"),
        (b"grant_type=&client_id=one&client_secret=s3cret", None, FORM, "invalid_request"),
        (b"grant_type=client_credentials&client_id=one&client_secret=s3cret", basic("one", "s3cret"), FORM, "invalid_request"),
        (b"grant_type=client_credentials&client_id=two", basic("one", "s3cret"), FORM, "invalid_request"),
        (b"grant_type=password&username=a&password=b", basic("one", "s3cret"), FORM, "unsupported_grant_type"),
        (b"grant_type=CLIENT_CREDENTIALS", basic("one", "s3cret"), FORM, "unsupported_grant_type"),
        (b"grant_type=client_credentials&scope=openid", basic("one", "s3cret"), FORM, "invalid_scope"),
        (b"grant_type=client_credentials&scope=everything+else", basic("one", "s3cret"), FORM, "invalid_scope"),
    ],
)
def test_what_cannot_be_granted_says_why(body: bytes, authorization: bytes | None, content_type: str, reason: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        read(body, authorization, content_type.encode())
    assert refused.value.reason == reason
    assert "s3cret" not in refused.value.message


@pytest.mark.parametrize(
    ("body", "authorization"),
    [
        (GRANT, None),
        ({**GRANT, "client_id": "one"}, None),
        ({**GRANT, "client_id": "one", "client_secret": ""}, None),
        ({**GRANT, "client_secret": "s3cret"}, None),
        (GRANT, b"Bearer abc"),
        (GRANT, b"Tecton-key abc"),
        (GRANT, b"Basic"),
        (GRANT, b"Basic ???"),
        (GRANT, b"Basic abc"),
        (GRANT, b"Basic " + base64.b64encode(b"one")),
        (GRANT, b"Basic " + base64.b64encode(b":s3cret")),
        (GRANT, b"Basic " + base64.b64encode(b"one:")),
        (GRANT, b"Basic " + base64.b64encode(b"one:%ff")),
        (GRANT, b"Basic " + base64.b64encode(b"\xff:\xfe")),
        (GRANT, basic("one", "s3cret") + b", " + basic("one", "s3cret")),
    ],
)
def test_who_shows_no_credentials_is_not_known(body: dict[str, str], authorization: bytes | None) -> None:
    with pytest.raises(ClientUnknown):
        read(body, authorization)


@given(st.binary(max_size=60), st.none() | st.binary(max_size=40))
def test_whatever_comes_is_read_or_refused(body: bytes, authorization: bytes | None) -> None:
    try:
        read(body, authorization)
    except (TokenRefused, ClientUnknown) as error:
        assert error.message  # noqa: PT017 - either is an answer


@given(st.text(max_size=60))
def test_descriptions_hold_what_the_standard_lets_them(message: str) -> None:
    spelled = token_error("invalid_request", message)
    assert re.fullmatch(rb'\{"error":"invalid_request","error_description":"[ !#-\[\]-~]*"\}', spelled)


def test_credentials_do_not_show_their_secret() -> None:
    assert "s3cret" not in repr(ONE)


def test_an_answer_is_what_the_documentation_shows() -> None:
    assert token_answer("abc", 3600) == b'{"token_type":"Bearer","expires_in":3600,"access_token":"abc","scope":"everything"}'
