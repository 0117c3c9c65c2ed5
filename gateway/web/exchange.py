"""One request's body in, one answer out, over bare ASGI: no request or response objects, because hits pay for each."""

from starlette.types import Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge
from gateway.features import Priority
from gateway.web.problems import JSON, Headers

STARTED = "feature_gateway.started"
"""Set in the scope once an answer has begun: after that no other may be sent."""
_PRIORITIES = {one.name.lower().encode(): one for one in Priority}


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
    scope[STARTED] = True
    await send({"type": "http.response.start", "status": status, "headers": headers})
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
                return _PRIORITIES.get(value.strip().lower(), Priority.NORMAL)
    return Priority.NORMAL
