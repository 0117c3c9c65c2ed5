"""One HTTP/1.1 connection: one exchange at a time, the reply read by httptools (llhttp, in its strict mode) and held to more than that.

    idle      nobody has asked: whatever comes now was not asked for, and closes it
    busy      a receiver waits for the reply
    closed    by either side; a receiver that still waits is told

Refused beside what llhttp refuses: versions other than 1.0 and 1.1, a Transfer-Encoding other than `chunked`, 101, a head larger than
64 KiB, more than 16 interim replies, and anything after a reply's end, which costs the connection: the next reply on it could be another's.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools
import httpx

from gateway.origins.http.heads import Heads, Sight
from gateway.origins.http.receivers import Headers, Receiver, TooLarge

_MAX_HEAD_BYTES = 65_536
_MAX_INTERIMS = 16
_PLAIN = 200
_LENGTH_LENGTH, _ENCODING_LENGTH = len(b"content-length"), len(b"transfer-encoding")
_BROKEN = "the origin's reply is not HTTP/1.1"
_CUT = "the origin broke off its reply"


class ClosedIdle(httpx.RemoteProtocolError):
    """A connection that had been idle was closed before a byte of the reply came: as likely as not the origin never saw the request."""


class Connection(asyncio.Protocol):
    """`idle` is called whenever the connection can take another request, `gone` once when it cannot any longer. `heads`: what is known by
    sight, of all connections to the same address."""

    def __init__(
        self,
        idle: Callable[["Connection"], None],
        gone: Callable[["Connection"], None],
        now: Callable[[], float],
        heads: Heads | None = None,
    ) -> None:
        self._heads = Heads() if heads is None else heads
        self._tell_idle = idle
        self._tell_gone = gone
        self._now = now
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._receiver: Receiver | None = None
        self._status = 0
        self._headers: Headers = []
        self._head_bytes = self._interims = 0
        self._in_head = True
        self._interim = self._by_close = self._complete = self._more = False
        self._heard = False
        self._bodiless = self._keep = False
        self._sent = True
        self._drained: asyncio.Event | None = None
        self.closed = False
        self.used = False
        """Whether it has carried a reply before."""
        self.since_s = self.heard_s = now()
        """Since when it is idle; when a byte last came."""
        self.ends_s = 0.0
        """When it is too old to be used again; whoever opens it says so."""

    # what its owner asks of it

    def send(self, request: bytes, receiver: Receiver, *, whole: bool = True, bodiless: bool = False) -> None:
        """Begin an exchange: with all of the request, or with its beginning. `bodiless`: the reply has none, whatever its head says."""
        assert self._receiver is None
        assert self._transport is not None
        self._receiver = receiver
        self._headers = []
        self._head_bytes = self._interims = 0
        self._in_head = True
        self._heard = self._complete = self._by_close = False
        self._bodiless = bodiless
        self._sent = whole
        self._transport.write(request)

    async def send_more(self, data: bytes, *, last: bool = False) -> None:
        """The next piece of a request's body; waits until it has gone out far enough for another. Nothing, once the exchange is over: a
        reply may come before the request is whole, and ends the connection."""
        if self._receiver is None:
            return
        assert self._transport is not None
        self._sent = last
        self._transport.write(data)
        if self._drained is not None:
            await self._drained.wait()

    def hold(self, held: bool) -> None:  # noqa: FBT001 - a callback's only word
        """Read no more for now, or go on."""
        if self._transport is not None and not self.closed:
            if held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def fail(self, error: Exception) -> None:
        """End the exchange with this, and the connection with it."""
        receiver, self._receiver = self._receiver, None
        self.close()
        if receiver is not None:
            receiver.on_error(error)

    def expire(self) -> None:
        """The exchange's time is over."""
        self.fail(httpx.ReadTimeout("no whole reply in time"))

    def close(self) -> None:
        """At once: nothing that is under way is of use to anybody."""
        if not self.closed:
            self.closed = True
            if self._transport is not None:
                self._transport.abort()
            if self._drained is not None:
                self._drained.set()
            self._tell_gone(self)

    @property
    def heard(self) -> bool:
        """Whether a byte of the reply has come."""
        return self._heard

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry
        if self.closed:  # whoever opened it has given up meanwhile
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._now()
        if self._receiver is None:
            self.close()
            return
        first, self._heard = not self._heard, True
        sight = self._heads.find(data) if first and self._sent and not self._bodiless else None
        if sight is None:
            self._read(data, first=first)
        else:
            self._take(data, sight)

    def eof_received(self) -> None:
        """The transport closes, and `connection_lost` tells whoever waits; an idle one is of no use from now on."""
        if self._receiver is None:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            if self._by_close and exc is None:
                receiver.on_end()
            elif self.used and not self._heard:
                receiver.on_error(ClosedIdle(_CUT))
            else:
                receiver.on_error(httpx.RemoteProtocolError(_CUT))
        self.close()

    def pause_writing(self) -> None:
        self._drained = asyncio.Event()

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than one reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are let go
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = self._status = parser.get_status_code()
        if parser.get_http_version() not in {"1.1", "1.0"} or status == 101:
            raise ValueError(_BROKEN)
        self._interim = status < 200
        if self._interim:
            self._headers = []
            self._interims += 1
            if self._interims > _MAX_INTERIMS:
                raise ValueError(_BROKEN)
            return
        self._in_head = False
        framed = status in {204, 304}
        for name, value in self._headers:
            if len(name) == _LENGTH_LENGTH and name.lower() == b"content-length":
                framed = True
            elif len(name) == _ENCODING_LENGTH and name.lower() == b"transfer-encoding":
                if value.lower() != b"chunked" or framed or parser.get_http_version() != "1.1":
                    raise ValueError(_BROKEN)
                framed = True
        self._by_close = not framed
        assert self._receiver is not None
        self._receiver.on_head(status, self._headers)
        if self._bodiless:
            self._complete = self._more = True  # llhttp would take what comes next for the body

    def on_body(self, data: bytes) -> None:
        if self._receiver is not None and not self._complete:
            self._receiver.on_data(data)

    def on_message_complete(self) -> None:
        if not self._interim:
            self._complete = True
            self._keep = self._parser.should_keep_alive()  # asked later, the parser speaks of the next message

    # its own

    def _read(self, data: bytes, *, first: bool) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self._head_is_over(data):
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(httpx.RemoteProtocolError(_BROKEN))
            return
        except httptools.HttpParserError as error:
            if not self._complete:
                cause = error.__context__
                self.fail(cause if isinstance(cause, TooLarge) else httpx.RemoteProtocolError(_BROKEN))
                return
            self._more = True
        if self._complete:
            if first and self._keep and not self._more and self._status == _PLAIN and not self._bodiless:
                self._heads.remember(data, self._headers)
            self._end()

    def _take(self, piece: bytes, sight: Sight) -> None:
        """A reply whose head is known. The parser, which stands between two messages, is told nothing of it."""
        receiver = self._receiver
        assert receiver is not None
        self._in_head = False
        receiver.on_head(_PLAIN, sight.headers)
        try:
            receiver.on_data(piece[sight.end :])
        except TooLarge as error:
            self.fail(error)
            return
        self._complete = self._keep = True
        self._end()

    def _head_is_over(self, data: bytes) -> bool:
        """Of a piece that takes what came so far beyond the bound: most of a large first piece may be body."""
        if b"\r\n\r\n" in data[:_MAX_HEAD_BYTES]:
            return True
        self.fail(httpx.RemoteProtocolError(_BROKEN))
        return False

    def _end(self) -> None:
        """The reply is whole. The connection lives on where the origin wants it to, and nothing came after the reply."""
        receiver, self._receiver = self._receiver, None
        keep = self._sent and not self._more and self._drained is None and self._keep
        if keep:
            self.used = True
            self.since_s = self.heard_s
            self._tell_idle(self)
        else:
            self.close()
        assert receiver is not None
        receiver.on_end()
