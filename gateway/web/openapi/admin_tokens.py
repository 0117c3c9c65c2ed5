"""The token endpoint, and the keys that tokens are verified with."""

from gateway.errors import ClientUnknown, Sealed
from gateway.settings import Paths
from gateway.web.openapi.parts import ANYONE, Example, Node, answer, json_content, listing, operation, record, ref, text, whole
from gateway.wire.tokens import FORM, SCOPE

_TAG = "Tokens"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "Access tokens for the client credentials of service accounts (OAuth 2.0, RFC 6749 §4.4). A token is shown as "
            "`Authorization: Bearer <token>`, and is over at its end, or when its account or the secret that it was given for is "
            "deactivated. Ingest and metrics do not take it. Errors are those of the standard (§5.2)."
        ),
    },
)
_REASONS = (
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "temporarily_unavailable",
    "server_error",
)


def paths(_places: Paths) -> Node:
    return {"/oauth2/default/v1/token": {"post": _token()}, "/oauth2/default/v1/keys": {"get": _keys()}}


def schemas() -> Node:
    return {
        "TokenRequest": record(
            "Id and secret here, or both as Basic, each form-encoded first; not both ways at once.",
            ("grant_type",),
            grant_type={"type": "string", "const": "client_credentials"},
            scope=text("All there is.", enum=[SCOPE], default=SCOPE),
            client_id=text("The account's id."),
            client_secret=text("An active secret of it."),
        ),
        "TokenResponse": record(
            "",
            ("token_type", "expires_in", "access_token", "scope"),
            token_type={"type": "string", "const": "Bearer"},
            expires_in=whole("Seconds.", minimum=60),
            access_token=text("A JWT (RFC 9068), signed with ES256."),
            scope={"type": "string", "const": SCOPE},
        ),
        "TokenError": record(
            "", ("error", "error_description"), error=text(enum=list(_REASONS)), error_description=text("What is wrong, for people.")
        ),
        "JsonWebKeys": record("RFC 7517.", ("keys",), keys=listing(ref("JsonWebKey"))),
        "JsonWebKey": record(
            "The public half of a signing key.",
            ("kty", "crv", "x", "y", "kid", "use", "alg"),
            **{name: text() for name in ("kty", "crv", "x", "y", "kid", "use", "alg")},
        ),
    }


def security_schemes() -> Node:
    return {"ClientCredentials": {"type": "http", "scheme": "basic", "description": "Id and secret of a service account, for a token."}}


def _token() -> Node:
    asked = {"grant_type": "client_credentials", "scope": SCOPE, "client_id": "b51f8d0a8c5f4b7ba61c3d0f4c1f6a2e", "client_secret": "fgs_…"}
    given = {"token_type": "Bearer", "expires_in": 3600, "access_token": "eyJhbGciOiJFUzI1NiIs…", "scope": SCOPE}
    content = json_content(ref("TokenRequest"), {"posted": Example("Id and secret in the form", asked)})["application/json"]
    return operation(
        "getToken",
        tag=_TAG,
        summary="Get an access token",
        description="Answers say `Cache-Control: no-store`. Parameters in the URL are refused, and so is one that comes twice.",
        body={"required": True, "content": {FORM: content}},
        security=[{}, {"ClientCredentials": []}],
        responses={
            "200": answer("A token.", "TokenResponse", given=Example("Good for an hour", given)),
            "400": _error("The request cannot be granted.", "unsupported_grant_type", "grant_type must be client_credentials."),
            "401": _error("Id and secret do not belong together.", "invalid_client", ClientUnknown().message),
            "413": _error("The form is too large.", "invalid_request", "The body is larger than 16384 bytes."),
            "500": _error("The gateway's own fault.", "server_error", "Internal error."),
            "503": _error(
                "There are no tokens now: the store cannot be read, or the signing keys cannot be opened.",
                "temporarily_unavailable",
                Sealed().message,
            ),
        },
    )


def _error(description: str, error: str, message: str) -> Node:
    return answer(description, "TokenError", refused=Example(message.rstrip("."), {"error": error, "error_description": message}))


def _keys() -> Node:
    key = {"kty": "EC", "crv": "P-256", "x": "pIkfTSif…", "y": "8meRt0vc…", "kid": "3nVb0QpLr8Xw2KdE", "use": "sig", "alg": "ES256"}
    return operation(
        "getTokenKeys",
        tag=_TAG,
        summary="The keys that tokens are verified with",
        description="A new key is here for a minute before the first token that it signs.",
        security=ANYONE,
        responses={"200": answer("The keys, the newest first.", "JsonWebKeys", one=Example("One", {"keys": [key]}))},
    )
