"""One administrative endpoint: who asks, what comes in, what goes out.

A door is a plain function from what was asked to an answer; what it may be asked, and by whom, is judged inside the act (`access`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import request_ids
from gateway.access.gates import KeyTable
from gateway.access.principals import Actor
from gateway.errors import InvalidRequest, PermissionDenied
from gateway.web.exchange import answer, begin, read_body, read_headers
from gateway.web.problems import JSON, SCIM_PATHS, Headers


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `params`: from the path; `query`: each name once, decoded. `base_url`: scheme and host as the caller knows the gateway,
    or nothing."""

    actor: Actor
    body: bytes
    params: Mapping[str, str]
    query: Mapping[str, str]
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer. `content_type` None: there is no body."""

    body: bytes = b"{}"
    status: int = 200
    content_type: bytes | None = JSON[1]
    headers: Headers = field(default_factory=list)


Operation = Callable[[Asked], Awaitable[Told]]
_HOST = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")
_NOT_OURS = "Not Authorized. This key stands in the settings, which give it no administrative right: use one of a service account."


class AdminDoor:
    """Answers that hold credentials or secrets must be stored by nobody on the way, so none of them may be. `bearer_keys`: an API key is
    taken as a Bearer token too."""

    def __init__(self, gate: KeyTable, operation: Operation, max_body_bytes: int, *, bearer_keys: bool = False) -> None:
        self._gate = gate
        self._operation = operation
        self._max_body_bytes = max_body_bytes
        self._bearer_keys = bearer_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="scim" if scope["path"].startswith(SCIM_PATHS) else "admin")
        authorization, _ = read_headers(scope, self._max_body_bytes)
        actor = acting(self._gate, authorization, bearer_keys=self._bearer_keys)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        told = await self._operation(Asked(actor, body, scope["path_params"], queried(scope["query_string"]), base_url(scope)))
        headers = [(b"cache-control", b"no-store"), *told.headers]
        if told.content_type is not None:
            headers = [(b"content-type", told.content_type), (b"content-length", b"%d" % len(told.body)), *headers]
        await answer(scope, send, told.status, headers, told.body if told.content_type is not None else b"")


class ByMethod:
    """Several doors on one path, each with a method of its own."""

    def __init__(self, doors: Mapping[str, ASGIApp]) -> None:
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._doors["GET" if scope["method"] == "HEAD" else scope["method"]](scope, receive, send)


def base_url(scope: Scope) -> str:
    """Scheme and host, as the request has them; nothing where its Host header is none."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return f"{scope['scheme']}://{host.decode('ascii')}" if _HOST.fullmatch(host) else ""


def acting(gate: KeyTable, authorization: bytes | None, *, bearer_keys: bool = False) -> Actor:
    """Who asks. Raises Unauthenticated, and PermissionDenied for a credential that stands for no principal."""
    entry = gate.entry(gate.identify_either(authorization) if bearer_keys else gate.identify(authorization))
    if entry.principal is None:
        raise PermissionDenied(_NOT_OURS)
    return Actor(entry.principal, entry.name, entry.credential, request_ids.current())


def queried(query: bytes) -> Mapping[str, str]:
    """Raises InvalidRequest for a name that comes twice, and for what is no UTF-8."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise InvalidRequest("The query string cannot be understood.") from None
    named = dict(pairs)
    if len(named) != len(pairs):
        raise InvalidRequest("The query string has a parameter twice.")
    return named
