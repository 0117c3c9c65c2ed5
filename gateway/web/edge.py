"""The edge: uvicorn's httptools protocol, answering hits as soon as their body is in, below ASGI.

A request that may be a hit is held until its body is complete. If the read path's plain function has the answer, it is written at once,
in one piece: no scope, no task, no coroutine, one system call. If not, uvicorn is told of the request as if it had just come, and ASGI
handles it untouched. What is held is only what is plain: POST to a read door, HTTP/1.1, a Content-Length within bounds, no Expect, no
Upgrade, no Transfer-Encoding, no Connection header, nothing else running on the connection, a client that reads.

Both ways give the same bytes; the tests feed both the same connections.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.routing import BaseRoute, Route
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.features import ServiceRef
from gateway.lifecycle import Lifecycle
from gateway.serving.reader import Call
from gateway.web.endpoints import TRIED, ReadFeatures
from gateway.web.problems import JSON

_HELD_BACK = (b"expect", b"upgrade", b"transfer-encoding", b"connection")
_TOO_LONG = 2**63
_HEAD = STATUS_LINE[200]
_LAST = b"connection: close\r\n"
_TYPE = JSON[0] + b": " + JSON[1] + b"\r\n"


class Lanes:
    """The read doors, found by a request's target. Targets with escapes or a query are left to Starlette's router."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._exact: dict[bytes, ReadFeatures] = {}
        self._by_tail: dict[bytes, tuple[re.Pattern[str], ReadFeatures]] = {}
        for route in routes:
            if isinstance(route, Route) and isinstance(route.app, ReadFeatures):
                if route.param_convertors:
                    self._by_tail[route.path.rpartition("/")[2].encode()] = (route.path_regex, route.app)
                else:
                    self._exact[route.path.encode()] = route.app

    def find(self, target: bytes) -> tuple[ReadFeatures, ServiceRef | None] | None:
        """The endpoint of a read door, and the feature service where the path names it."""
        endpoint = self._exact.get(target)
        if endpoint is not None:
            return endpoint, None
        pattern = self._by_tail.get(target.rpartition(b"/")[2])
        if pattern is None or not target.isascii() or b"%" in target or b"?" in target or b"#" in target:
            return None
        match = pattern[0].match(target.decode("ascii"))
        return None if match is None else (pattern[1], ServiceRef(match["workspace"], match["feature_service"]))


class Held(NamedTuple):
    """A request that may be a hit, while its body comes in."""

    endpoint: ReadFeatures
    path: ServiceRef | None
    authorization: bytes | None
    traceparent: bytes | None


class Edge(HttpToolsProtocol):
    """One connection. `lanes` and `lifecycle` are set by `edge`, on a class of its own per application. `begun`: a request has come, or
    some of one.

    On the way out each reply is the last on its connection; what a client has sent behind that request is not looked at (RFC 9112,
    section 9.6)."""

    lanes: Lanes
    lifecycle: Lifecycle
    begun = False
    _receiving = False
    _over = False
    _held: Held | None = None
    _parts: list[bytes]

    def on_message_begin(self) -> None:
        """As uvicorn's, but without the ASGI scope, which a hit never needs."""
        self.begun = self._receiving = True
        self._over = self.transport.is_closing()
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        if self._over:
            return
        self._held = self._hold()
        self._parts = []
        if self._held is None:
            self._hand_over()

    def on_body(self, body: bytes) -> None:
        if self._over:
            return
        if self._held is None:
            super().on_body(body)
        else:
            self._parts.append(body)  # at most the announced length: the parser sees to that

    def on_message_complete(self) -> None:
        held, self._held = self._held, None
        self._receiving = False
        if self._over:
            return
        if held is None:
            super().on_message_complete()
            return
        reply = self._hit(held)
        if reply is None:
            self._hand_over()
            self.scope[TRIED] = True  # type: ignore[literal-required]  # ASGI lets servers add keys
            super().on_message_complete()
        else:
            self._answer(reply)

    def retire(self) -> None:
        """The reply to the request under way, if it has not begun, says that it is the last here; later ones see to it themselves."""
        if self._busy() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End, or end with the reply to what is under way; a request that is still coming in is under way."""
        if self._busy():
            self.cycle.keep_alive = False
        elif not self._receiving:
            self.transport.close()

    def _hold(self) -> Held | None:
        """What may answer this request below ASGI; None for whatever is not plain."""
        found = self.lanes.find(self.url)
        if found is None or self.flow.write_paused or self._busy():
            return None
        announced = authorization = traceparent = None
        for name, value in self.headers:
            if name == b"authorization":
                authorization = value if authorization is None else authorization + b", " + value
            elif name == b"content-length":
                announced = int(value) if announced is None and value.isdigit() else _TOO_LONG
            elif name == b"traceparent":
                traceparent = value if traceparent is None else traceparent + b", " + value
            elif name in _HELD_BACK:
                return None
        if announced is None or announced > found[0].max_body_bytes:
            return None
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1" or self.transport.is_closing():
            return None
        return Held(*found, authorization, traceparent)

    def _busy(self) -> bool:
        """Whether an earlier request of this connection is still being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn types it as always there; before the first request it is not
        return cycle is not None and not cycle.response_complete

    def _hit(self, held: Held) -> bytes | None:
        endpoint, body = held.endpoint, b"".join(self._parts)
        try:
            return endpoint.hit(Call(endpoint.door, endpoint.route, body, held.path, held.authorization, held.traceparent))
        except Exception:  # noqa: BLE001 - ASGI meets it again, where the outermost middleware tells of it
            return None

    def _hand_over(self) -> None:
        """Let uvicorn have the request from its beginning."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the list that the scope holds
        super().on_headers_complete()
        if self.lifecycle.draining:
            self.cycle.keep_alive = False
        self._unset_keepalive_if_required()
        if self._parts:
            super().on_body(b"".join(self._parts))

    def _answer(self, reply: bytes) -> None:
        """The same bytes as uvicorn would write for the endpoint's answer, and the same bookkeeping."""
        head = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        leaving = self.lifecycle.draining
        last = _LAST if leaving else b""
        self.transport.write(b"%b%b%bcontent-length: %d\r\n%b\r\n%b" % (_HEAD, head, _TYPE, len(reply), last, reply))
        if leaving:
            self.transport.close()
        self.on_response_complete()


def edge(routes: Iterable[BaseRoute], lifecycle: Lifecycle) -> type[Edge]:
    """uvicorn's `http` class for an application with these routes, in a process with this life."""
    return type("Edge", (Edge,), {"lanes": Lanes(routes), "lifecycle": lifecycle})
