"""`POST /oauth2/default/v1/token` and `GET /oauth2/default/v1/keys`: tokens for client credentials, and what they are verified with.

This endpoint has errors of its own (RFC 6749 §5.2), for whatever goes wrong at it.
"""

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.access.issuing import TokenIssuer
from gateway.errors import CallerError, GatewayError, TokenRefused, Unauthenticated
from gateway.web.exchange import answer, begin, read_body, read_headers
from gateway.web.problems import JSON, Headers, status_of
from gateway.wire.tokens import token_answer, token_error, token_request

PATH, KEYS_PATH = "/oauth2/default/v1/token", "/oauth2/default/v1/keys"
_MOST_BYTES = 16_384
_UNSTORED: Headers = [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
_CHALLENGE = (b"www-authenticate", b'Basic realm="feature-gateway", charset="UTF-8"')


class GiveToken:
    def __init__(self, issuer: TokenIssuer, max_body_bytes: int) -> None:
        self._issuer = issuer
        self._max_body_bytes = min(max_body_bytes, _MOST_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="oauth")
        try:
            body = await self._token(scope, receive)
        except GatewayError as error:
            status, headers, body = refusal(error)
            error.with_traceback(None)  # as the middleware does, and for its reason
        else:
            status, headers = 200, []
        if body is not None:
            await answer(scope, send, status, [JSON, (b"content-length", b"%d" % len(body)), *_UNSTORED, *headers], body)

    async def _token(self, scope: Scope, receive: Receive) -> bytes | None:
        """None: the caller went away."""
        authorization, _ = read_headers(scope, self._max_body_bytes)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return None
        if scope["query_string"]:
            raise TokenRefused("Parameters go into the body, not into the URL: URLs are logged.")
        asked = token_request(body, _content_type(scope), authorization)
        return token_answer(await self._issuer.issue(asked.client_id, asked.client_secret), self._issuer.policy.life_s)


class ShowKeys:
    """Public keys: anybody may see them."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - there is no body to read
        body = msgspec.json.encode({"keys": self._issuer.public_keys()})
        await answer(scope, send, 200, [JSON, (b"content-length", b"%d" % len(body)), (b"cache-control", b"max-age=30")], body)


def refusal(error: GatewayError) -> tuple[int, Headers, bytes]:
    """Status, further headers and body."""
    status = status_of(error)
    headers: Headers = []
    if isinstance(error, TokenRefused):
        reason = error.reason
    elif isinstance(error, Unauthenticated):
        reason, headers = "invalid_client", [_CHALLENGE]
    elif isinstance(error, CallerError):
        reason = "invalid_request"
    else:
        reason = "temporarily_unavailable" if status == 503 else "server_error"
    return status, headers, token_error(reason, error.message)


def _content_type(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"content-type"), None)
