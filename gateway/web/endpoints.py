"""The endpoints: bytes and headers in, the read path asked, bytes out. They hold no `try`: errors are the middleware's to tell."""

import math
from collections.abc import Callable

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.features import ServiceRef
from gateway.serving.desk import DecodePurge, Desk
from gateway.serving.doors import Door, QueryDoor, Staleness
from gateway.serving.explaining import Explainer
from gateway.serving.plan import Plan
from gateway.serving.querying import QueryCall, WildcardReader
from gateway.serving.reader import Call, FeatureReader
from gateway.serving.readiness import Readiness
from gateway.web.exchange import DOOR, READ, STARTED, answer, answer_json, begin, id_headers, read_body, read_headers, read_priority
from gateway.web.problems import JSON, Headers
from gateway.wire.metadata import named_schema, tecton_metadata

TRIED = "feature_gateway.tried"
"""In the scope of a request that the edge has found to be no hit: its `Call`."""
LAUNCHED = "feature_gateway.launched"
"""In the scope of one that has left the lean road: what it has come to there."""


class ReadFeatures:
    """A read door. A hit is answered by a plain function call, which `edge` calls too; only what is not a hit waits, and only of that
    `priority_header` is read. `begin` is for the edge alone: it waits without a coroutine."""

    def __init__(self, reader: FeatureReader, door: Door, route: str, max_body_bytes: int, priority_header: bytes | None = None) -> None:
        self.hit = reader.hit
        self.again = reader.again
        self.first = reader.first
        self.begin = reader.begin
        self.read = reader.read
        self.door = door
        self.route = route
        self.max_body_bytes = max_body_bytes
        self.priority_header = priority_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: Call | None = scope.get(TRIED)
        body = stale = None
        if call is None:
            call = await self._received(scope, receive)
            if call is None:
                return
            body = self.hit(call)
        told: Headers = []
        if body is None:
            begin(scope, call.request_id, door=READ)
            if self.priority_header is not None:
                call.priority = read_priority(scope, self.priority_header)
            body, stale = await self.read(call, scope.pop(LAUNCHED, None))
            told = id_headers(scope, 200)
        headers = [JSON, (b"content-length", b"%d" % len(body)), *told]
        if stale is not None:
            headers += staleness(stale)
        scope[STARTED] = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _received(self, scope: Scope, receive: Receive) -> Call | None:
        """None when the client went away."""
        scope[DOOR] = READ
        authorization, traceparent = read_headers(scope, self.max_body_bytes)
        message = await receive()
        body: bytes | None = message.get("body")
        if body is None or len(body) > self.max_body_bytes or message.get("more_body"):
            body = await read_body(receive, self.max_body_bytes, message)
            if body is None:
                return None
        params = scope["path_params"]
        path = ServiceRef(params["workspace"], params["feature_service"]) if params else None
        return Call(self.door, self.route, body, path, authorization, traceparent)


def staleness(stale: Staleness) -> Headers:
    """Of a reply with something stale in it, and of no other: Cache-Status (RFC 9211) and Age (RFC 9111, section 5.1), both of the worst
    fragment in it, in whole seconds."""
    why = b"stale-if-error" if stale.failing else b"stale-while-revalidate"
    return [
        (b"cache-status", b"feature-gateway; hit; ttl=%d; detail=%b" % (-math.ceil(stale.ended_s), why)),
        (b"age", b"%d" % stale.oldest_s),
    ]


class QueryFeatures:
    """A door to wildcard feature services. No hits here: nothing of a query is cached."""

    def __init__(
        self, reader: WildcardReader, door: QueryDoor, route: str, max_body_bytes: int, priority_header: bytes | None = None
    ) -> None:
        self._reader = reader
        self._door = door
        self._route = route
        self._max_body_bytes = max_body_bytes
        self._priority_header = priority_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door=READ)
        authorization, traceparent = read_headers(scope, self._max_body_bytes)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        params = scope["path_params"]
        path = ServiceRef(params["workspace"], params["feature_service"]) if params else None
        priority = read_priority(scope, self._priority_header)
        call = QueryCall(self._door, self._route, body, path, authorization, traceparent, priority)
        await answer_json(scope, send, await self._reader.read(call))


class ExplainRead:
    """The named door's single read, explained instead of answered."""

    def __init__(self, explainer: Explainer, max_body_bytes: int, priority_header: bytes | None = None) -> None:
        self._explainer = explainer
        self._max_body_bytes = max_body_bytes
        self._priority_header = priority_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="explain")
        authorization, traceparent = read_headers(scope, self._max_body_bytes)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        params = scope["path_params"]
        path, priority = ServiceRef(params["workspace"], params["feature_service"]), read_priority(scope, self._priority_header)
        call = Call(self._explainer.door, scope["path"], body, path, authorization, traceparent, priority)
        await answer_json(scope, send, await self._explainer.explain(call))


class DescribeService:
    """A metadata door: V1 (the body names the feature service), V2 and the named schema (the path does)."""

    def __init__(self, desk: Desk, locate: Callable[[bytes], ServiceRef], encode: Callable[[Plan], bytes], max_body_bytes: int) -> None:
        self._desk = desk
        self._locate = locate
        self._encode = encode
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="metadata")
        authorization, _ = read_headers(scope, self._max_body_bytes)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        params = scope["path_params"]
        service = ServiceRef(params["workspace"], params["feature_service"]) if params else self._locate(body)
        plan = await self._desk.plan(service, authorization)
        await answer_json(scope, send, self._encode(plan))


def as_metadata(plan: Plan) -> bytes:
    told = plan.description
    return tecton_metadata(told.kind, told.join_keys, told.context_keys, told.features, told.output_join_keys)


def as_schema(plan: Plan) -> bytes:
    told = plan.description
    return named_schema(told.service, told.join_keys, told.context_keys, told.features, plan.about_view, told.output_join_keys)


class Ingest:
    """`/ingest`: records in, by the origin's own rules."""

    def __init__(self, desk: Desk, max_body_bytes: int) -> None:
        self._desk = desk
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="ingest")
        authorization, _ = read_headers(scope, self._max_body_bytes)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        reply = await self._desk.ingest(body, authorization)
        headers = [JSON, (b"content-length", b"%d" % len(reply.body))]
        if reply.retry_after is not None:
            headers.append((b"retry-after", reply.retry_after.encode("latin-1", "ignore")))
        await answer(scope, send, reply.status, headers, reply.body)


class PurgeFeatures:
    """The purge doors: of a feature service, of a workspace, or of all, as the path names them."""

    def __init__(self, desk: Desk, decode: DecodePurge, max_body_bytes: int) -> None:
        self._desk = desk
        self._decode = decode
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="purge")
        authorization, _ = read_headers(scope, self._max_body_bytes)
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        workspace, name = (scope["path_params"].get(one) for one in ("workspace", "feature_service"))
        if name is None:
            purged = await self._desk.purge(workspace, body, self._decode, authorization)
        else:
            purged = await self._desk.purge_service(ServiceRef(workspace, name), body, self._decode, authorization)
        await answer_json(scope, send, b'{"purged":%d}' % purged)


class Live:
    """`/livez`: the process answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await answer_json(scope, send, b'{"status":"ok"}')


class Ready:
    """`/readyz`: whether this process is to be sent reads, and what it is without. Raises what speaks against it."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        lost = await self._readiness.lost()
        told = {"status": "degraded" if lost else "ready", **dict.fromkeys(lost, "unavailable")}
        await answer_json(scope, send, msgspec.json.encode(told))


class Document:
    """A JSON document made once."""

    def __init__(self, document: object) -> None:
        self._body = msgspec.json.encode(document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await answer_json(scope, send, self._body)
