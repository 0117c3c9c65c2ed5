"""The door to the cluster's other endpoints: what is behind it is the cluster's own, asked with the caller's own credential, or not at all.

The gateway never lends its own credential here: with keys of its own (`auth.mode` other than passthrough) these calls are refused, or
anybody who may read a feature could do what `origin.api_key` may. Bodies stream both ways. A caller that goes away ends its call; a call
that breaks after its answer has begun ends the caller's connection, so that no part is ever taken for the whole.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from opentelemetry.trace import Span
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import request_ids
from gateway.access.gates import Gate
from gateway.counters import Counters
from gateway.errors import BodyTooLarge, InvalidRequest, MethodNotAllowed, OriginError, OriginTimeout, PermissionDenied
from gateway.origins.forward import Answer, Call, Forwarder
from gateway.origins.hygiene import Header, content_length, passed_on
from gateway.origins.targets import FORWARDED, OAUTH, Group, Targets, whole
from gateway.tasks import Tasks
from gateway.telemetry import Telemetry
from gateway.web.exchange import PASSED_ON, STARTED, STATUS, begin, read_headers

_BASIC = re.compile(rb"(?i:basic) +[A-Za-z0-9+/._~\-]{1,8192}=*")
_NOT_LENT = (
    "Not Authorized. This gateway has keys of its own, and does not lend its own credential to calls of the cluster's administration: ask "
    'the cluster itself, or a gateway that passes callers\' own credentials through (auth.mode = "passthrough").'
)
_CLIENT_CREDENTIALS = "This endpoint takes client credentials, in the form or as Basic; no other Authorization."


class ForwardedPaths(Route):
    """One route for all that is forwarded, behind every door of the gateway's own; which group a path is of, the endpoint says."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__("/{path:path}", app, name="forwarded")
        self.path_regex = FORWARDED


@dataclass(slots=True)
class _Told:
    """What a call's span is told of it."""

    span: Span | None
    status: int | None = None


class Forwarding:
    """`gate` None: callers' credentials are not the cluster's, so nothing is forwarded."""

    def __init__(
        self,
        forwarder: Forwarder,
        targets: Targets,
        gate: Gate | None,
        telemetry: Telemetry,
        counters: Counters,
        tasks: Tasks,
        *,
        timeout_s: float,
        max_body_bytes: int,
    ) -> None:
        self._forwarder = forwarder
        self._targets = targets
        self.groups = targets.groups if gate is not None else ()
        self._gate = gate
        self._telemetry = telemetry
        self._counters = counters
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door=PASSED_ON)
        path = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
        group, route = self._targets.find(path)
        if scope["method"] not in group.methods:
            raise MethodNotAllowed(", ".join(group.methods))
        authorization, traceparent = read_headers(scope, self._max_body_bytes)
        with self._call(scope["method"], route, traceparent) as told:
            headers = passed_on(scope["headers"])
            headers += self._credential(group, authorization)
            headers += self._ids(scope["headers"], told.span, traceparent)
            line = Line(receive, self._max_body_bytes, self._tasks)
            target = whole(path, scope["query_string"])
            call = Call(scope["method"], target, headers, *_body(scope, line))
            self._counters.forwarded_calls += 1
            deadline = asyncio.get_running_loop().time() + self._timeout_s
            async with line.held(deadline), self._forwarder.exchange(call, deadline) as answer:
                told.status = answer.status
                await _pass_back(answer, scope, send)
            if not line.gone:
                await send({"type": "http.response.body", "body": b""})

    def _credential(self, group: Group, authorization: bytes | None) -> list[Header]:
        """The caller's own, as the cluster gets it. Raises PermissionDenied, Unauthenticated, InvalidRequest."""
        if self._gate is None:
            raise PermissionDenied(_NOT_LENT)
        if group is OAUTH:
            if authorization is None:
                return []
            if _BASIC.fullmatch(authorization) is None:
                raise InvalidRequest(_CLIENT_CREDENTIALS)
            return [(b"authorization", authorization)]
        shown = self._gate.identify(authorization).authorization
        assert shown is not None  # a gate before which credentials pass through shows each
        return [(b"authorization", shown.encode("ascii"))]

    def _ids(self, headers: list[Header], span: Span | None, traceparent: bytes | None) -> list[Header]:
        """Request id and trace context, as the policy has them go out."""
        states = [value for name, value in headers if name == b"tracestate"]
        ids = {
            "x-request-id": request_ids.current(),
            "traceparent": self._telemetry.traceparent_of(span, traceparent),
            "tracestate": self._telemetry.tracestate_of(traceparent, b",".join(states)) if states else None,
        }
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in ids.items() if value is not None]

    @contextmanager
    def _call(self, method: str, route: str, traceparent: bytes | None) -> Iterator[_Told]:
        """Span and counters of one call. The span has the route's template, never the path."""
        sampled = self._telemetry.samples(traceparent)
        told = _Told(self._telemetry.read_span(method, route, traceparent, time.time_ns()) if sampled else None)
        error: BaseException | None = None
        try:
            yield told
        except BaseException as one:
            error = one
            self._counters.forwarded_failures += isinstance(one, OriginError)
            raise
        finally:
            if told.span is not None:
                self._telemetry.end_forwarded(told.span, told.status, error)


def _body(scope: Scope, line: "Line") -> tuple[AsyncIterator[bytes] | None, int | None]:
    """A request's body and its size, as they are announced (RFC 9112, section 6.3)."""
    size_bytes = content_length(scope["headers"])
    if size_bytes is None and not any(name == b"transfer-encoding" for name, _ in scope["headers"]):
        return None, 0 if scope["method"] in {"POST", "PUT", "PATCH"} else None
    return line.parts(), size_bytes


async def _pass_back(answer: Answer, scope: Scope, send: Send) -> None:
    """Each part as it comes, when the one before it has gone. The last message is for when all is over: without it the server ends the
    connection, and with it it would say that the caller had left while the exchange is still to be closed."""
    headers = [*answer.headers, (request_ids.HEADER, (request_ids.current() or "").encode("ascii"))]
    scope[STARTED], scope[STATUS] = True, answer.status
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for part in answer.body:
        await send({"type": "http.response.body", "body": part, "more_body": True})


class Line:
    """The caller's end of a call: its body, part by part as they are asked for, and whether it is still there.

    Listens all the time, because only who listens hears that a caller has gone, and two parts ahead at most: a small body never keeps it
    from listening. While the cluster takes nothing of a large one, nothing is heard; the deadline bounds that.
    """

    def __init__(self, receive: Receive, max_body_bytes: int, tasks: Tasks) -> None:
        self._receive = receive
        self._max_body_bytes = max_body_bytes
        self._tasks = tasks
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(2)
        self.gone = False
        self._refusal: BodyTooLarge | None = None

    @asynccontextmanager
    async def held(self, deadline: float) -> AsyncIterator[None]:
        """What is done inside ends when the caller goes away, silently; with BodyTooLarge, and at the deadline with OriginTimeout."""
        try:
            async with asyncio.timeout_at(deadline) as limit:
                listening = self._tasks.start(self._listen(limit))
                try:
                    yield
                finally:
                    listening.cancel()
        except TimeoutError:
            if self._refusal is not None:
                raise self._refusal from None
            if not self.gone:
                raise OriginTimeout("The feature store did not answer in time.") from None

    async def parts(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            yield part

    async def _listen(self, limit: asyncio.Timeout) -> None:
        size = 0
        while (message := await self._receive())["type"] == "http.request":
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body_bytes:
                self._refusal = BodyTooLarge(f"The body is larger than {self._max_body_bytes} bytes.")
                break
            if part:
                await self._parts.put(part)
            if not message.get("more_body", False):
                await self._parts.put(None)
        self.gone = self._refusal is None
        limit.reschedule(0)
