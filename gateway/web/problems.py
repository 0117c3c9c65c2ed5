"""Errors as answers: one table from error type to status, one body for every door but ingest, which has a shape of its own, and SCIM,
whose body has RFC 7644's members as well.

Looked up along the class's ancestry, so a new leaf inherits its parent's status until it is given one.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from gateway import errors
from gateway.wire.replies import error_body

STATUS: Mapping[type, int] = MappingProxyType(
    {
        errors.InvalidRequest: 400,
        errors.Unauthenticated: 401,
        errors.PermissionDenied: 403,
        errors.NotFound: 404,
        errors.MethodNotAllowed: 405,
        errors.AlreadyExists: 409,
        errors.FailedPrecondition: 400,
        errors.RequestTooSlow: 408,
        errors.BodyTooLarge: 413,
        errors.TargetTooLong: 414,
        errors.ExpectationFailed: 417,
        errors.OriginThrottled: 429,
        errors.HeadTooLarge: 431,
        errors.InternalError: 500,
        errors.OnDemandFailed: 400,
        errors.OnDemandTimeout: 504,
        errors.OnDemandBusy: 503,
        errors.OriginFailed: 502,
        errors.OriginMalformed: 502,
        errors.OriginUnavailable: 503,
        errors.OriginTimeout: 504,
        errors.DeadlineExceeded: 504,
        errors.Draining: 503,
        errors.TooManyConnections: 503,
        errors.AccessUnavailable: 503,
    }
)
_TECTON_PATHS = ("/api/", "/v1/feature-service/", "/ingest", "/v2/ingest")
_INGEST_PATHS = ("/ingest", "/v2/ingest")
_INGEST_TYPES: Mapping[type, str] = MappingProxyType(
    {errors.InvalidRequest: "RequestValidationError", errors.NotFound: "TectonObjectValidationError"}
)

SCIM_PATHS = "/api/scim/"
_SCIM_TYPES: Mapping[type, str] = MappingProxyType(
    {errors.AlreadyExists: "uniqueness", errors.FailedPrecondition: "mutability", errors.MalformedBody: "invalidSyntax"}
)

Headers = list[tuple[bytes, bytes]]
JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
SCIM: tuple[bytes, bytes] = (b"content-type", b"application/scim+json")


def status_of(error: errors.GatewayError) -> int:
    for ancestor in type(error).__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    return 500


def answer(error: errors.GatewayError, path: str, accept: bytes = b"") -> tuple[int, Headers, bytes]:
    """Status, headers and body. A wrong method is 501 on Tecton's own paths, as its gateway answers (contract §1.2), and 405 elsewhere,
    also for SCIM, which has a standard of its own. `accept`: the request's header, by which SCIM's body goes."""
    status = status_of(error)
    scim = path.startswith(SCIM_PATHS)
    headers: Headers = [SCIM if scim else JSON]
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode("latin-1")))
        if path.startswith(_TECTON_PATHS) and not scim:
            status = 501
    if isinstance(error, errors.Unauthenticated):
        headers.append((b"www-authenticate", b"Tecton-key"))
    if isinstance(error, errors.OriginError) and error.retry_after is not None:
        headers.append((b"retry-after", error.retry_after.encode("latin-1", "ignore")))
    body = _body(error, status, path, accept)
    headers.append((b"content-length", b"%d" % len(body)))
    return status, headers, body


def _body(error: errors.GatewayError, status: int, path: str, accept: bytes) -> bytes:
    if path in _INGEST_PATHS:
        return ingest_body(error)
    if path.startswith(SCIM_PATHS):
        return scim_body(error, status, alone=SCIM[1] in accept)
    return error_body(error.message, int(error.code))


def ingest_body(error: errors.GatewayError) -> bytes:
    """The ingest API's own error shape (contract §6)."""
    kind = next((_INGEST_TYPES[ancestor] for ancestor in type(error).__mro__ if ancestor in _INGEST_TYPES), type(error).__name__)
    return msgspec.json.encode({"requestError": {"errorMessage": error.message, "errorType": kind}})


def scim_body(error: errors.GatewayError, status: int, *, alone: bool) -> bytes:
    """SCIM's error (RFC 7644 §3.12) and every other door's in one: whoever reads either finds it. `alone`: SCIM's own members only, for
    clients that ask for `application/scim+json` by name: among them are some that refuse what the RFC does not list."""
    known = next((_SCIM_TYPES[ancestor] for ancestor in type(error).__mro__ if ancestor in _SCIM_TYPES), None)
    scim_type = error.scim_type if isinstance(error, errors.InvalidScim) else known
    body: dict[str, object] = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status), "detail": error.message}
    if scim_type is not None:
        body["scimType"] = scim_type
    if not alone:
        body |= {"error": error.message, "message": error.message, "code": int(error.code)}
    return msgspec.json.encode(body)
