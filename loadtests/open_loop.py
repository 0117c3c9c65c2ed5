"""Open-loop load: requests leave by a fixed schedule, whatever becomes of those before them, over a bounded set of keep-alive connections.

Latency is counted from the moment a request was due, so a server that stalls is charged for all that it held up (coordinated omission).
Nothing is retried: a connection that ends under a request is an error of that request, by kind. The driver says how late it was itself.
Replies must say where they end (Content-Length or chunked), as the gateway's and proxies' do.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import cast

import httptools

PATIENCE_S = 10.0
Hear = Callable[["Record", bytes], None]


@dataclass(slots=True)
class Record:
    """One request. Times in seconds since the run began; `sent_s` None: it never found a connection. Either `status` or `error` is set:
    refused, unreachable, reset, closed (before its reply was whole), malformed, timeout."""

    number: int
    scheduled_s: float
    sent_s: float | None = None
    done_s: float | None = None
    status: int | None = None
    error: str | None = None

    @property
    def latency_s(self) -> float:
        """From when it was due; endless where no reply came."""
        return float("inf") if self.done_s is None or self.status is None else self.done_s - self.scheduled_s

    @property
    def kind(self) -> str:
        return self.error or str(self.status)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All requests of a run, in order. `late_s`: how much later than due the driver handed out each of them."""

    records: Sequence[Record]
    late_s: Sequence[float]

    @property
    def kinds(self) -> Counter[str]:
        """How many ended how: statuses and errors by name."""
        return Counter(record.kind for record in self.records)

    def bad(self, good: Collection[int] = (200,)) -> list[Record]:
        """Those that were not answered, or not as hoped."""
        return [record for record in self.records if record.status not in good]

    def latency_ms(self, percent: float, good: Collection[int] | None = None) -> float:
        """Of all replies, or of those with these statuses."""
        told = [one.latency_s for one in self.records if one.status is not None and (good is None or one.status in good)]
        return percentile(told, percent) * 1e3

    @property
    def lateness_ms(self) -> float:
        """The driver's own, at the 99th percentile. Much of it, and the figures are the driver's and not the server's."""
        return percentile(self.late_s, 99) * 1e3

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(self.kinds.items()))
        p50, p99 = self.latency_ms(50), self.latency_ms(99)
        return f"{len(self.records):,} requests ({kinds}), p50 {p50:.2f} ms, p99 {p99:.2f} ms, driver late by {self.lateness_ms:.2f} ms"


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank; nan of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


async def drive(
    rate_per_s: float,
    seconds: float,
    make_request: Callable[[int], bytes],
    host: str,
    port: int,
    *,
    connections: int = 64,
    patience_s: float = PATIENCE_S,
    hear: Hear | None = None,
    over: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Send `make_request(0)`, `make_request(1)`, …, one every `1 / rate_per_s`, for so many seconds; then wait for those under way.

    `patience_s`: a request that has no whole reply so long after it was due is given up, and its connection with it. `hear` gets each whole
    reply's record and body. `over`: asked before each request whether the run shall end earlier. Ends after `seconds + patience_s` at the
    latest.
    """
    loop = asyncio.get_running_loop()
    pool = _Pool(host, port, connections, hear)
    records = [Record(number, number / rate_per_s) for number in range(round(rate_per_s * seconds))]
    late_s: list[float] = []
    try:
        for record in records:
            ahead_s = record.scheduled_s - pool.now_s()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            elif record.number % 64 == 0:
                await asyncio.sleep(0)  # behind: replies are heard all the same
            if over():
                break
            now_s = pool.now_s()
            late_s.append(now_s - record.scheduled_s)
            pool.send(
                _Errand(record, make_request(record.number), loop.call_later(record.scheduled_s + patience_s - now_s, pool.late, record))
            )
        await pool.idle()
    finally:
        await pool.aclose()
    return Outcome(records[: len(late_s)], late_s)


@dataclass(slots=True, eq=False)
class _Errand:
    """A request on its way. `timer` gives it up."""

    record: Record
    wire: bytes
    timer: asyncio.TimerHandle


class _Pool:
    """At most `limit` connections, each with one request at a time; more requests than that wait their turn."""

    def __init__(self, host: str, port: int, limit: int, hear: Hear | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._host, self._port, self._limit, self._hear = host, port, limit, hear
        self._began_s = self._loop.time()
        self._waiting: deque[_Errand] = deque()
        self._under_way: dict[int, _Errand] = {}
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()

    def now_s(self) -> float:
        return self._loop.time() - self._began_s

    def send(self, errand: _Errand) -> None:
        self._under_way[errand.record.number] = errand
        self._settled.clear()
        self._waiting.append(errand)
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            if self._idle:
                connection = self._idle.popleft()
                if not connection.ending:
                    connection.carry(self._waiting.popleft())
            elif len(self._opening) < len(self._waiting) and len(self._open) + len(self._opening) < self._limit:
                task = self._loop.create_task(self._connect())
                self._opening.add(task)
                task.add_done_callback(self._connected)
            else:
                return

    async def _connect(self) -> None:
        await self._loop.create_connection(lambda: _Connection(self), self._host, self._port)

    def _connected(self, task: "asyncio.Task[None]") -> None:
        """A connection that could not be had is the error of the request that has waited longest."""
        self._opening.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._waiting:
            self.done(self._waiting.popleft(), error="refused" if isinstance(error, ConnectionRefusedError) else "unreachable")
        self._serve()

    def opened(self, connection: "_Connection") -> None:
        self._open.add(connection)
        self.free(connection)

    def free(self, connection: "_Connection") -> None:
        self._idle.append(connection)
        self._serve()

    def closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._serve()

    def done(self, errand: _Errand, *, status: int | None = None, error: str | None = None, body: bytes = b"") -> None:
        record = errand.record
        if self._under_way.pop(record.number, None) is None:
            return
        errand.timer.cancel()
        record.done_s, record.status, record.error = self.now_s(), status, error
        if status is not None and self._hear is not None:
            self._hear(record, body)
        if not self._under_way:
            self._settled.set()

    def late(self, record: Record) -> None:
        errand = self._under_way[record.number]
        self.done(errand, error="timeout")
        if errand in self._waiting:
            self._waiting.remove(errand)
        for connection in list(self._open):
            if connection.errand is errand:
                connection.abort()

    async def idle(self) -> None:
        if self._under_way:
            await self._settled.wait()  # each has a timer

    async def aclose(self) -> None:
        for errand in list(self._under_way.values()):  # of a run that was broken off
            errand.timer.cancel()
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One keep-alive connection. It is given up when the server says so, and when it ends."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self.errand: _Errand | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry
        self._pool.opened(self)

    @property
    def ending(self) -> bool:
        """Whether the server's end has been seen; `connection_lost` comes a moment later."""
        return self._transport.is_closing()

    def carry(self, errand: _Errand) -> None:
        self.errand = errand
        self._body.clear()
        errand.record.sent_s = self._pool.now_s()
        self._transport.write(errand.wire)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("malformed")
            self.abort()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status, errand = self._parser.get_status_code(), self.errand
        if status < 200:
            return
        self.errand = None
        if errand is not None:
            self._pool.done(errand, status=status, body=bytes(self._body))
        if self._parser.should_keep_alive() and errand is not None:
            self._pool.free(self)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("closed" if exc is None else "reset")
        self._pool.closed(self)

    def _fail(self, error: str) -> None:
        errand, self.errand = self.errand, None
        if errand is not None:
            self._pool.done(errand, error=error)

    def abort(self) -> None:
        self._transport.abort()
