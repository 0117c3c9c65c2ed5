"""One connection: uvicorn's protocol class, with a strict reader in the place of its parser, deadlines, and hits answered below ASGI.

Requests are read one at a time: the next is looked at when the one before has been answered and its client reads. A request that may be a
hit is held until its body is complete. If the read path's plain function has the answer, it is written at once, in one piece: no scope, no
task, no coroutine, one system call. If not, uvicorn is told of the request as if it had just come, and ASGI handles it untouched.

What is refused here (framing, sizes, time) is answered once, in order, with `connection: close`; nothing behind it is read. Such a
connection ends gently: what still comes is dropped for a moment, so that the client gets to read why, and then it is cut.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextvars import Context
from math import inf
from typing import Any

from starlette.routing import BaseRoute
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway import request_ids
from gateway.counters import Counters
from gateway.errors import Draining, GatewayError, MalformedHttp, RequestTooSlow
from gateway.lifecycle import Lifecycle
from gateway.serving.lean import Launched, LeanRead
from gateway.serving.reader import Call
from gateway.settings import Server
from gateway.web.edge.admission import Admission
from gateway.web.edge.bodies import Announced, Chunked
from gateway.web.edge.framing import MAX_TARGET_BYTES, Framing, Head
from gateway.web.edge.lanes import REMEMBERED_BYTES, KnownHeads, Lane, Lanes
from gateway.web.edge.limited import Limited
from gateway.web.edge.spelling import Preamble
from gateway.web.edge.watch import Watch, every_s
from gateway.web.endpoints import LAUNCHED, TRIED, ReadFeatures

_AHEAD_BYTES = 65_536
_REQUESTS_A_TURN = 8
"""So many requests that came ahead are answered before the other connections have their turn."""
_MAX_EMPTY_LINES = 4


class Edge(Limited):
    """What stands on the class is its server's; `edge` makes a class of its own for each."""

    heads: KnownHeads
    lifecycle: Lifecycle
    framing: Framing
    preamble: Preamble

    __slots__ = (
        "_awaited",
        "_body",
        "_empty_lines",
        "_has_turn",
        "_held",
        "_last",
        "_looked_over",
        "_parts",
        "_rest",
        "begun",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rest = bytearray()  # what has come and is not read yet: a head that is not whole, or requests that came ahead
        self._looked_over = 0  # so much of a head that is not whole
        self._body: Announced | Chunked | None = None  # of the request that is coming in
        self._held: tuple[Head, Lane] | None = None  # that request, while it may be a hit
        self._parts = bytearray()
        self._awaited: tuple[LeanRead, Head, Lane, Call] | None = None  # the request that is on the lean road
        self._last: tuple[Head, Lane] | None = None  # the hit before: clients send the same head again and again
        self._empty_lines = 0
        self._has_turn = True
        self.begun = False
        """Whether a request has come, or some of one."""

    # What the transport tells

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._held = self._last = self._awaited = None
        self._rest.clear()
        self._parts.clear()

    def data_received(self, data: bytes) -> None:
        self.begun = True
        rest, last = self._rest, self._last
        if last is not None and len(data) == last[0].whole and data.startswith(last[0].raw) and self._rests():
            self._finish(*last, data[len(last[0].raw) :])
        elif self._deaf:
            self._drop(len(data))
        elif not rest:
            self._read(data)
        elif self._must_wait():
            rest += data
            self._wait_if_far_ahead()
        else:
            rest += data
            if rest.find(b"\r\n\r\n", max(self._looked_over - 3, 0)) >= 0 or rest.startswith(b"\r\n"):
                self._read_rest()
            else:
                self._look_over_rest()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._body is None and not self._busy() and self._has_turn:
            self.due_s = self._idle_until()
            if self._rest:
                self._go_on()

    # What uvicorn tells

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.due_s = inf if self._busy() else self._idle_until()

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer for every request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.due_s = self.loop.time() + self.limits.write_timeout_s
            return
        if self._body is None:
            self.due_s = self.loop.time() + self.timeout_keep_alive
        if self._rest:
            self._go_on()
        elif self.flow.read_paused:
            self.flow.resume_reading()

    def retire(self) -> None:
        """The reply to the request under way, if it has not begun, says that it is the last here; later ones see to it themselves."""
        if self._awaited is None and self._busy() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Leave as soon as nothing is under way: a request whose head or body is still coming is."""
        self._leaving = True
        if self._awaited is not None:
            return
        if self._busy():
            self.cycle.keep_alive = False
        elif self._body is None and not self._rest and not self._deaf:
            self._close()

    # What the watch tells

    def overdue(self, now_s: float) -> None:
        if self._body is None and self._must_wait():
            self.due_s = inf  # until what it was sent has been read; that has a limit of its own
        elif self._body is not None and self.flow.read_paused:
            self.due_s = now_s + self.limits.body_timeout_s  # it is the application that does not take it
        elif self._body is not None or self._rest:
            self.counters.late_requests += 1
            what = "headers" if self._body is None else "body"
            self._end(RequestTooSlow(f"The request's {what} did not come in within the time there is for it."), bytes(self._rest))
        else:
            self._close()

    # Reading

    def _read(self, data: bytes) -> None:
        at, begun = 0, 0
        try:
            while at < len(data):
                if self._body is not None:
                    at = self._read_body(self._body, data, at)
                    continue
                if begun == _REQUESTS_A_TURN:
                    self._go_on()
                if self._must_wait() or (end := self._begin(data, at)) == at:
                    self._rest += data[at:]
                    self._wait_if_far_ahead()
                    return
                at = end
                begun += 1
        except GatewayError as error:
            self._refuse(error, data[at : at + MAX_TARGET_BYTES])

    def _read_rest(self) -> None:
        self._has_turn = True
        if self._rest and not self._deaf:
            self.flow.resume_reading()
            data = bytes(self._rest)
            self._rest.clear()
            self._read(data)

    def _look_over_rest(self) -> None:
        try:
            self.framing.look_over(self._rest, self._looked_over)
        except GatewayError as error:
            self._refuse(error, bytes(self._rest))
        self._looked_over = len(self._rest)

    def _go_on(self) -> None:
        """Read what came ahead: when the others have had their turn, and not in the context of what has just been answered."""
        self._has_turn = False
        self.loop.call_soon(self._read_rest, context=Context())

    def _must_wait(self) -> bool:
        return not self._has_turn or self.flow.write_paused or self._busy() or self.transport.is_closing()

    def _rests(self) -> bool:
        """Whether nothing is under way here: what comes now is the beginning of a request, and it may be answered at once. `_must_wait` and
        `_busy` in one piece: it is asked of every hit."""
        cycle: RequestResponseCycle | None = self.cycle
        return (
            self._body is None
            and self._awaited is None
            and (cycle is None or cycle.response_complete)
            and self._has_turn
            and not (self._rest or self._deaf or self.flow.write_paused or self.transport.is_closing())
        )

    def _wait_if_far_ahead(self) -> None:
        if len(self._rest) > _AHEAD_BYTES and self._must_wait() and not self.transport.is_closing():
            self.flow.pause_reading()

    def _begin(self, data: bytes, at: int) -> int:
        """A request's head, and what of its body came along. Returns where that ends: at `at`, where the head is not whole."""
        if data.startswith(b"\r\n", at):  # RFC 9112 section 2.2: some clients send one too many
            self._empty_lines += 1
            if self._empty_lines > _MAX_EMPTY_LINES:
                raise MalformedHttp("it begins with empty lines")
            return at + 2
        last = self._last
        if last is not None and data.startswith(last[0].raw, at):
            head, lane = last
            return self._begin_body(head, lane, data, at + len(head.raw))
        end = data.find(b"\r\n\r\n", at) + 4
        if end < 4:
            self.framing.look_over(data[at:], 0)
            self._looked_over = len(data) - at
            self.due_s = self.loop.time() + self.limits.header_timeout_s
            return at
        head, found = self.heads.read(data[at:end])
        self._last = (head, found) if found is not None and len(head.raw) <= REMEMBERED_BYTES else None
        self._empty_lines = 0
        return self._begin_body(head, found, data, end)

    def _begin_body(self, head: Head, lane: Lane | None, data: bytes, at: int) -> int:
        length = head.length
        if lane is not None and length is not None:
            body = data[at : at + length]
            if len(body) == length:
                self._finish(head, lane, body)
                return at + length
            self._held = head, lane
            self._parts.clear()
        else:
            self._hand_over(head)
            if length == 0:
                self.on_message_complete()
                return at
        self._body = Announced(length) if length is not None else Chunked(self.limits.max_body_bytes)
        self.due_s = self.loop.time() + self.limits.body_timeout_s
        return at

    def _read_body(self, body: Announced | Chunked, data: bytes, at: int) -> int:
        pieces, at = body.read(data, at)
        for piece in pieces:
            if self._held is None:
                self.on_body(piece)
            else:
                self._parts += piece
        if body.whole:
            held, self._held, self._body = self._held, None, None
            if held is None:
                self.on_message_complete()
            else:
                self._finish(*held, bytes(self._parts))
        return at

    # Answering

    def _lasts(self, head: Head) -> bool:
        """Whether the connection goes on after this request's answer; `_answer` asks the same without a call."""
        return head.keep_alive and not (self._leaving or self.lifecycle.draining)

    def _finish(self, head: Head, lane: Lane, body: bytes) -> None:
        """A held request is whole: answer it, or let ASGI."""
        endpoint = lane.endpoint
        try:
            reply = endpoint.again(body, endpoint.door, endpoint.route, lane.path, lane.authorization, lane.traceparent)
        except Exception:  # noqa: BLE001 - as below
            reply = None
        if reply is not None:
            self._answer(reply, head)
            return
        call = Call(endpoint.door, endpoint.route, body, lane.path, lane.authorization, lane.traceparent, lane.priority)
        try:
            reply = endpoint.first(call)
        except Exception:  # noqa: BLE001 - ASGI meets it again, where the outermost middleware tells of it
            reply = None
        if reply is not None:
            self._answer(reply, head)
            return
        call.request_id = lane.request_id
        read = self._begun(endpoint, call)
        if read is None:
            self._pass_on(head, call, {})
        else:
            self._awaited = read, head, lane, call
            self.due_s = inf

    def _begun(self, endpoint: ReadFeatures, call: Call) -> LeanRead | None:
        try:
            return endpoint.begin(call, self)
        except Exception:  # noqa: BLE001 - as of a hit; what was begun all the same finds nobody waiting
            return None

    def _pass_on(self, head: Head, call: Call, more: Mapping[str, object]) -> None:
        """A request that was tried here, to ASGI."""
        self._hand_over(head)
        self.scope |= {TRIED: call, **more}  # type: ignore[misc]  # ASGI lets servers add keys
        if call.body:
            self.on_body(call.body)
        self.on_message_complete()

    def _hand_over(self, head: Head) -> None:
        """Tell uvicorn of a request, in the place of its parser, which `head` answers for."""
        self.parser = head  # type: ignore[assignment]
        self.on_message_begin()
        self.url, self.expect_100_continue = head.target, head.expects_continue
        self.headers += head.headers  # the list that the scope holds
        self.on_headers_complete()
        self.cycle.keep_alive = self._lasts(head)

    def answer(self, read: LeanRead, reply: bytes) -> None:
        """Of the lean road. Whoever is not waited for any longer had a client that has gone."""
        awaited = self._awaited
        if awaited is not None and awaited[0] is read and not self.transport.is_closing():
            self._awaited = None
            _, head, lane, _ = awaited
            told = b"" if lane.request_id is None else b"%b: %b\r\n" % (request_ids.HEADER, lane.request_id.encode("ascii"))
            self._answer(reply, head, told)

    def hand_over(self, read: LeanRead, launched: Launched) -> None:
        """Of the lean road as well: ASGI goes on, in a context that is nobody's yet."""
        awaited = self._awaited
        if awaited is not None and awaited[0] is read and not self.transport.is_closing():
            self._awaited = None
            _, head, _, call = awaited
            Context().run(self._pass_on, head, call, {LAUNCHED: launched})

    def give_up(self) -> bool:
        """The process ends: whoever waits on the lean road is told so. Whether anybody did."""
        awaited, self._awaited = self._awaited, None
        if awaited is None:
            return False
        _, head, _, call = awaited
        told = [(request_ids.HEADER, (call.request_id or "").encode("ascii"))]
        self._say_last(self._last_words(Draining(), head.raw, told))
        return True

    def _busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return self._awaited is not None or (cycle is not None and not cycle.response_complete)

    def _answer(self, reply: bytes, head: Head, told: bytes = b"") -> None:
        """The same bytes as uvicorn would write for the endpoint's answer, and the same bookkeeping. `told`: more header lines."""
        before = self.preamble.before(self.server_state.default_headers)
        if head.keep_alive and not (self._leaving or self.lifecycle.draining):  # `_lasts`, which is a call
            self.transport.write(b"%bcontent-length: %d\r\n%b\r\n%b" % (before, len(reply), told, reply))
        else:
            self.transport.write(b"%bcontent-length: %d\r\n%bconnection: close\r\n\r\n%b" % (before, len(reply), told, reply))
            self.transport.close()
        self.on_response_complete()

    # Ending

    def _refuse(self, error: GatewayError, begun: bytes) -> None:
        self.counters.refused_requests += 1
        self._end(error, begun)

    def _end(self, error: GatewayError, begun: bytes) -> None:
        """The last answer of this connection, unless the request at hand has one already; nothing that comes after it is read.

        `begun`: how a request begins that is not whole; one whose body is coming in is known.
        """
        cycle: RequestResponseCycle | None = None
        if self._held is not None:
            begun = self._held[0].raw
        elif self._body is not None:
            cycle, begun = self.cycle, b"%b %b" % (self.parser.get_method(), self.url)
        self._deaf, self._body, self._held, self._last = True, None, None, None
        self._rest.clear()
        if cycle is not None and cycle.response_complete:
            self._say_last(b"")
            return
        if cycle is not None and cycle.response_started:
            self._cut()
            return
        if cycle is not None:  # to the application its client is gone
            cycle.disconnected, cycle.waiting_for_100_continue = True, False
            cycle.message_event.set()
        self._say_last(self._last_words(error, begun))


def edge(
    routes: Iterable[BaseRoute],
    limits: Server,
    lifecycle: Lifecycle,
    admission: Admission,
    counters: Counters,
    problems: Counter[tuple[int, str]],
) -> type[Edge]:
    """uvicorn's `http` class for an application with these routes, within these limits, in a process with this life. `problems`: error
    replies, by HTTP status and fault."""
    framing = Framing(max_header_bytes=limits.max_header_bytes, max_headers=limits.max_headers, max_body_bytes=limits.max_body_bytes)
    own = {
        "__slots__": (),
        "heads": KnownHeads(framing, Lanes(routes)),
        "lifecycle": lifecycle,
        "limits": limits,
        "counters": counters,
        "problems": problems,
        "framing": framing,
        "admission": admission,
        "watch": Watch(every_s(limits.header_timeout_s, limits.body_timeout_s, limits.write_timeout_s)),
        "preamble": Preamble(),
    }
    return type("Edge", (Edge,), own)
