"""Everything that can go wrong, as types.

    GatewayError
     ├─ CallerError            the caller must change something
     │   ├─ InvalidRequest     the request does not fit the schema or the contract
     │   │   ├─ MalformedBody  the body is not the JSON that is asked for
     │   │   ├─ MalformedHttp  the bytes are no HTTP/1.1 request (RFC 9112), or could be read in two ways
     │   │   ├─ InvalidScim    a SCIM request is refused for one of the reasons of RFC 7644
     │   │   ├─ TooManyResults a query has more results than one answer may carry
     │   │   └─ TokenRefused   the token endpoint cannot give what it is asked for
     │   ├─ BodyTooLarge
     │   ├─ HeadTooLarge       the request line and the headers, together
     │   ├─ TargetTooLong
     │   ├─ ExpectationFailed  it expects something other than 100-continue
     │   ├─ RequestTooSlow     it did not come in within its time
     │   ├─ Unauthenticated
     │   │   └─ ClientUnknown  at the token endpoint
     │   ├─ PermissionDenied
     │   ├─ NotFound
     │   │   ├─ UnknownRoute
     │   │   └─ Unseen         it is there, and not for this caller to know
     │   ├─ AlreadyExists      a name that must be the only one is taken
     │   ├─ FailedPrecondition what is asked for cannot be done to this thing as it is now
     │   └─ MethodNotAllowed
     ├─ OriginError            the feature store could not, or would not, answer
     │   ├─ OriginThrottled    it asks for fewer requests
     │   ├─ OriginUnavailable  it cannot be reached, or says so itself
     │   │   ├─ OriginShed     too many calls to it are under way: this one was not made
     │   │   └─ OriginResting  it failed again and again, and is left alone for a moment
     │   ├─ OriginTimeout      it did not answer in time
     │   ├─ OriginFailed       it answered with an error of its own
     │   └─ OriginMalformed    it answered what cannot be understood
     │       └─ SchemaDisagreement   its reply and its metadata differ
     ├─ OnDemandFailed         an on-demand view's function raised or returned the wrong type
     │   ├─ OnDemandTimeout    it took longer than its time limit
     │   └─ OnDemandBusy       functions that did hold all threads there are for them
     └─ InternalError          the gateway's own fault
         ├─ DeadlineExceeded   the read's own time is over
         ├─ Draining           this process is about to end
         ├─ TooManyConnections there are as many as the settings allow
         └─ AccessUnavailable  the store of who may do what cannot be read or written
             └─ Sealed         secrets cannot be opened: their key is missing, or not the right one
                 └─ Tampered   what is kept of them is not what the gateway wrote

Each leaf says who broke it (`fault`), whether the same request may succeed when tried again (`retryable`) and its gRPC code. HTTP
statuses are the door's business (`web/problems`). Messages name fields, never values.
"""

from enum import IntEnum, StrEnum


class Fault(StrEnum):
    """Who broke it."""

    CALLER = "caller"
    ORIGIN = "origin"
    DEFINITION = "definition"
    GATEWAY = "gateway"


class Code(IntEnum):
    """The gRPC codes that error bodies carry."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class GatewayError(Exception):
    """Base of all errors that reach a caller. `message` is safe to show: it holds no join key, feature value or credential."""

    fault = Fault.GATEWAY
    retryable = False
    code = Code.INTERNAL

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(GatewayError):
    fault = Fault.CALLER
    code = Code.INVALID_ARGUMENT


class InvalidRequest(CallerError):
    """The request does not fit the contract or the feature service's schema."""


class MalformedBody(InvalidRequest):
    """The body is not JSON of the shape that is asked for."""


class MalformedHttp(InvalidRequest):
    """The bytes are no HTTP/1.1 request, or one that another reader could take for a different one. Nothing after it is read."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Malformed HTTP request: {what}.")


class InvalidScim(InvalidRequest):
    """A SCIM request cannot be done as it stands. `scim_type`: why, by RFC 7644's table of keywords (§3.12)."""

    def __init__(self, scim_type: str, message: str) -> None:
        super().__init__(message)
        self.scim_type = scim_type


class TooManyResults(InvalidRequest):
    """A query has more results than one answer may carry, and its caller did not allow for some to be left out."""

    code = Code.FAILED_PRECONDITION


class TokenRefused(InvalidRequest):
    """The token endpoint cannot give what it is asked for. `reason`: as RFC 6749 §5.2 names it."""

    def __init__(self, message: str, reason: str = "invalid_request") -> None:
        super().__init__(message)
        self.reason = reason


class BodyTooLarge(CallerError):
    code = Code.RESOURCE_EXHAUSTED


class HeadTooLarge(CallerError):
    """The request line and the headers are too many bytes, or too many lines."""

    code = Code.RESOURCE_EXHAUSTED


class TargetTooLong(CallerError):
    code = Code.RESOURCE_EXHAUSTED


class ExpectationFailed(CallerError):
    code = Code.FAILED_PRECONDITION

    def __init__(self) -> None:
        super().__init__("Expect: only 100-continue can be met.")


class RequestTooSlow(CallerError):
    """The request did not come in within its time. What it asks for has not been looked at."""

    code = Code.DEADLINE_EXCEEDED


class Unauthenticated(CallerError):
    code = Code.UNAUTHENTICATED

    def __init__(
        self,
        message: str = (
            "invalid 'Tecton-key' authorization header. Note that newly created credentials may take up to 60 seconds to be usable."
        ),
    ) -> None:
        super().__init__(message)


class ClientUnknown(Unauthenticated):
    """Whoever asks for a token did not show an id and a secret that belong together, or showed none."""

    def __init__(self) -> None:
        super().__init__("The client is not known, or its secret is not the right one.")


class PermissionDenied(CallerError):
    code = Code.PERMISSION_DENIED

    def __init__(self, message: str = "Not Authorized. Note that access control changes may take up to 60 seconds to apply.") -> None:
        super().__init__(message)


class NotFound(CallerError):
    code = Code.NOT_FOUND


class UnknownRoute(NotFound):
    def __init__(self) -> None:
        super().__init__("Not Found: no such path. /openapi.json lists the paths that exist.")


class Unseen(NotFound):
    """It is there, and the caller may not know: the same answer as where it is not. Only the audit log tells the two apart."""


class AlreadyExists(CallerError):
    """A name that must be the only one of its kind is taken."""

    code = Code.ALREADY_EXISTS


class FailedPrecondition(CallerError):
    """What is asked for cannot be done to this thing as it is now; the message says what must be done first."""

    code = Code.FAILED_PRECONDITION


class MethodNotAllowed(CallerError):
    code = Code.UNIMPLEMENTED

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Method Not Allowed: this path takes {allowed}.")
        self.allowed = allowed


class OriginError(GatewayError):
    """The feature store could not, or would not, answer. What it says of the caller (401, 403, 404, 400) is a CallerError instead.

    `retry_after`: when to come again, as a Retry-After header spells it; the origin's own text, if it sent one. `attempts`: how often
    it was asked.
    """

    fault = Fault.ORIGIN
    retryable = True
    code = Code.UNAVAILABLE

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.attempts = 1


class OriginThrottled(OriginError):
    """The origin asks for fewer requests."""

    code = Code.RESOURCE_EXHAUSTED


class OriginUnavailable(OriginError):
    """The origin cannot be reached, or answered 503."""


class OriginShed(OriginUnavailable):
    """As many calls to the origin are under way as it bears, and too many wait: this one was not made."""


class OriginResting(OriginUnavailable):
    """Too many calls to the origin failed lately: but for a probe now and then, none is made."""


class OriginTimeout(OriginError):
    code = Code.DEADLINE_EXCEEDED


class OriginFailed(OriginError):
    """The origin answered 5xx."""

    code = Code.INTERNAL


class OriginMalformed(OriginError):
    """The origin's answer cannot be understood, so nothing of it is used."""

    retryable = False
    code = Code.INTERNAL


class SchemaDisagreement(OriginMalformed):
    """The names or types in a reply are not those of the schema; the schema is fetched again once before this reaches a caller."""


class OnDemandFailed(GatewayError):
    """An on-demand view's function raised, or returned what its declaration does not say. What it raised is told by type alone.

    The same request fails again until the request's data or the view's definition is another, and only a person can say which of the two
    is wrong: neither the gateway (it is no 500) nor, for certain, the caller.
    """

    fault = Fault.DEFINITION
    code = Code.FAILED_PRECONDITION


class OnDemandTimeout(OnDemandFailed):
    """The function did not end within the time limit that it is declared with."""

    retryable = True
    code = Code.DEADLINE_EXCEEDED


class OnDemandBusy(OnDemandFailed):
    """Functions that went over their time hold every thread there is for them, so no other can begin."""

    retryable = True
    code = Code.UNAVAILABLE


class InternalError(GatewayError):
    def __init__(self, message: str = "Internal error.") -> None:
        super().__init__(message)


class DeadlineExceeded(InternalError):
    retryable = True
    code = Code.DEADLINE_EXCEEDED

    def __init__(self, message: str = "Timed out") -> None:
        super().__init__(message)


class Draining(InternalError):
    """This process was told to end: another one is to be asked."""

    retryable = True
    code = Code.UNAVAILABLE

    def __init__(self, message: str = "This gateway is draining: it is about to end.") -> None:
        super().__init__(message)


class TooManyConnections(InternalError):
    """There are as many connections as the settings allow, of all clients or of this one."""

    retryable = True
    code = Code.UNAVAILABLE

    def __init__(self, message: str = "Too many connections.") -> None:
        super().__init__(message)


class AccessUnavailable(InternalError):
    """The store of who may do what, or its audit log, cannot be read or written: nothing was changed."""

    retryable = True
    code = Code.UNAVAILABLE

    def __init__(self, message: str = "The store of access control is unavailable; nothing was changed.") -> None:
        super().__init__(message)


class Sealed(AccessUnavailable):
    """Secrets cannot be opened: the key-encryption key is missing, or not the one that they were sealed with."""

    def __init__(self, message: str = "Secrets are sealed: the key-encryption key is missing or not the right one.") -> None:
        super().__init__(message)


class Tampered(Sealed):
    """What is kept of secrets is not what the gateway wrote: something else has changed it. Nothing of it is used."""

    def __init__(
        self,
        message: str = "Secrets are sealed: what is stored is not what this gateway wrote, so none of it is used. See the gateway's log.",
    ) -> None:
        super().__init__(message)
