"""One request's body in, one answer out, over bare ASGI: no request or response objects, because hits pay for each."""

from starlette.types import Message, Receive, Scope, Send

from gateway import request_ids
from gateway.errors import BodyTooLarge
from gateway.features import Priority
from gateway.web.problems import JSON, Headers

STARTED = "feature_gateway.started"
"""Set in the scope once an answer has begun: after that no other may be sent."""
STATUS = "feature_gateway.status"
"""In the scope of a request: the status of its answer, once that has begun."""
DOOR = "feature_gateway.door"
"""In the scope of a request: by which door it came, once that is known."""
TELL = "feature_gateway.tell"
"""In the scope of a request whose door tells errors in a way of its own: what spells them, as `problems.answer` does."""
READ = "read"
"""Such a door: reads are noted where they are made."""
PASSED_ON = "forwarded"
"""Such a door: these requests have their spans where they are passed on."""
_ID = "feature_gateway.request_id"
_SENT = "feature_gateway.request_id_sent"
_ASKED_ABOUT = frozenset({429, 500, 502, 503, 504})
_PRIORITIES = {one.name.lower().encode(): one for one in Priority}


def begin(scope: Scope, request_id: str | None = None, *, door: str | None = None) -> None:
    """Give a request its id, once, where it is known to be no hit: from here on calls to the origin, log and spans say it. `request_id`:
    one that it was given before. `door`: what it is counted as."""
    if door is not None:
        scope[DOOR] = door
    if _ID not in scope:
        sent = [value for name, value in scope["headers"] if name == request_ids.HEADER]
        own = request_ids.taken(sent[0]) if len(sent) == 1 else None
        scope[_ID], scope[_SENT] = own or request_id or request_ids.made(), own is not None
        request_ids.assume(scope[_ID])


def id_of(scope: Scope) -> str | None:
    """The request's id, once it has one."""
    given: str | None = scope.get(_ID)
    return given


def id_headers(scope: Scope, status: int) -> Headers:
    """X-Request-Id, as a reply of this status tells it: one that its caller has sent always, one of the gateway's own where somebody
    may want to ask what happened."""
    told = scope.get(_SENT) or (status in _ASKED_ABOUT and _ID in scope)
    return [(request_ids.HEADER, scope[_ID].encode("ascii"))] if told else []


async def read_body(receive: Receive, max_bytes: int, message: Message) -> bytes | None:
    """The whole body, of which `message` is the first part; None when the client went away. Raises BodyTooLarge as soon as it is known."""
    chunks: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()
    return None


async def answer_json(scope: Scope, send: Send, body: bytes, status: int = 200) -> None:
    await answer(scope, send, status, [JSON, (b"content-length", b"%d" % len(body))], body)


async def answer(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    scope[STARTED], scope[STATUS] = True, status
    await send({"type": "http.response.start", "status": status, "headers": headers + id_headers(scope, status)})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def read_headers(scope: Scope, max_body_bytes: int) -> tuple[bytes | None, bytes | None]:
    """Authorization and traceparent. A header that comes twice is believed neither time: its values are joined, which nothing accepts.

    Raises BodyTooLarge for a body that is announced so, before any of it is asked for.
    """
    authorization = traceparent = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value if authorization is None else authorization + b", " + value
        elif name == b"traceparent":
            traceparent = value if traceparent is None else traceparent + b", " + value
        elif name == b"content-length" and value.isdigit() and int(value) > max_body_bytes:
            raise BodyTooLarge(f"The body is larger than {max_body_bytes} bytes.")
    return authorization, traceparent


def read_priority(scope: Scope, header: bytes | None) -> Priority:
    """What a request says of its priority in this header (lower case; None: there is no such header). What is not understood is normal."""
    if header is not None:
        for name, value in scope["headers"]:
            if name == header:
                return priority_of(value)
    return Priority.NORMAL


def priority_of(value: bytes | None) -> Priority:
    """What such a header says."""
    return Priority.NORMAL if value is None else _PRIORITIES.get(value.strip().lower(), Priority.NORMAL)
