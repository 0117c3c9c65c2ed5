"""What comes to the token endpoint, and what it answers (RFC 6749 §2.3.1, §4.4, §5): a form with client credentials, or with Basic ones.

Errors: TokenRefused and ClientUnknown, whose texts hold nothing of what was sent.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from gateway.errors import ClientUnknown, TokenRefused

FORM = "application/x-www-form-urlencoded"
SCOPE = "everything"
_BASIC = re.compile(rb"(?i:basic) +([A-Za-z0-9+/]{1,4096}={0,2})")
_MOST_PARAMETERS = 20
_VISIBLE = re.compile(r"[^ !#-\[\]-~]")
"""What an `error_description` may not hold (RFC 6749 §5.2)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    client_id: str
    client_secret: str = field(repr=False)


def token_request(body: bytes, content_type: bytes | None, authorization: bytes | None) -> Credentials:
    """The credentials of a request that asks for what there is: a token for everything, by client credentials."""
    form = _form(body, content_type)
    grant_type, scope = form.get("grant_type"), form.get("scope", SCOPE)
    if grant_type is None:
        raise TokenRefused("grant_type is missing.")
    if grant_type != "client_credentials":
        raise TokenRefused("grant_type must be client_credentials.", "unsupported_grant_type")
    credentials = _posted(form) if authorization is None else _basic(authorization, form)
    if scope != SCOPE:
        raise TokenRefused(f"scope must be {SCOPE}, or left out.", "invalid_scope")
    return credentials


def token_answer(token: str, life_s: int) -> bytes:
    return msgspec.json.encode({"token_type": "Bearer", "expires_in": life_s, "access_token": token, "scope": SCOPE})


def token_error(reason: str, message: str) -> bytes:
    return msgspec.json.encode({"error": reason, "error_description": _VISIBLE.sub("'", message)})


def _form(body: bytes, content_type: bytes | None) -> Mapping[str, str]:
    """Each parameter once; one without a value is as good as none (§3.2)."""
    if content_type is not None and content_type.partition(b";")[0].strip().lower() != FORM.encode():
        raise TokenRefused(f"The body must be a form: {FORM}.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise TokenRefused(f"The body is not a form: {FORM}.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefused("A parameter comes twice.")
    return {name: value for name, value in form.items() if value}


def _posted(form: Mapping[str, str]) -> Credentials:
    client_id, client_secret = form.get("client_id"), form.get("client_secret")
    if client_id is None or client_secret is None:
        raise ClientUnknown
    return Credentials(client_id, client_secret)


def _basic(authorization: bytes, form: Mapping[str, str]) -> Credentials:
    """Id and secret are form-encoded before they are joined. More than one way of authentication is an error (§2.3)."""
    if "client_secret" in form:
        raise TokenRefused("Client credentials come twice: in the form and as Basic.")
    match = _BASIC.fullmatch(authorization.strip())
    if match is None:
        raise ClientUnknown
    try:
        client_id, colon, secret = base64.b64decode(match[1], validate=True).decode("ascii").partition(":")
        credentials = Credentials(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except ValueError:
        raise ClientUnknown from None
    if not (colon and credentials.client_id and credentials.client_secret):
        raise ClientUnknown
    if form.get("client_id", credentials.client_id) != credentials.client_id:
        raise TokenRefused("client_id is another one in the form than in Basic.")
    return credentials
