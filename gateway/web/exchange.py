"""One request's body in, one answer out, over bare ASGI: no request or response objects, because hits pay for each."""

from starlette.types import Receive, Scope, Send

from gateway.errors import BodyTooLarge
from gateway.web.problems import JSON, Headers

STARTED = "feature_gateway.started"
"""Set in the scope once an answer has begun: after that no other may be sent."""


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """The whole body; None when the client went away first. Raises BodyTooLarge as soon as that is known."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= max_bytes:
        return body
    _check_announced(scope, max_bytes)
    chunks = [body]
    size = len(body)
    while message.get("more_body", False) and size <= max_bytes:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > max_bytes:
        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    return b"".join(chunks)


def _check_announced(scope: Scope, max_bytes: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")


async def answer_json(scope: Scope, send: Send, body: bytes, status: int = 200) -> None:
    await answer(scope, send, status, [JSON, (b"content-length", b"%d" % len(body))], body)


async def answer(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    scope[STARTED] = True
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def header(scope: Scope, wanted: bytes) -> bytes | None:
    """A header's value; several of the same name are joined, so that no one of them is believed alone."""
    values: list[bytes] = [value for name, value in scope["headers"] if name == wanted]
    return b", ".join(values) if values else None
