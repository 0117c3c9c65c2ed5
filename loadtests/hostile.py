"""Clients that mean harm: they drip, they do not read, they lie about lengths, they send noise. And one that means well, beside them.

Plain coroutines against an address on this machine, each bounded in time and in bytes. They say what became of them; who calls them judges.
"""

import asyncio
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import repeat

Address = tuple[str, int]
_HEAD = b"POST %b HTTP/1.1\r\nHost: gateway\r\n"
_PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended: the status of its (last) answer, 0 where there was none; whether the server ended it; after how long."""

    status: int
    cut: bool
    after_s: float


@dataclass(slots=True)
class Load:
    """Answers by status, and connections that failed."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: int = 0
    slowest_s: float = 0.0


def status_of(answer: bytes) -> int:
    """Of the last answer in these bytes."""
    said = re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(said[-1]) if said else 0


async def slow_header(address: Address, path: bytes, *, every_s: float, until_s: float) -> Ending:
    """Sends a head that never ends, a byte at a time."""
    return await _drip(address, _HEAD % path + b"X-Slow: ", every_s, until_s)


async def slow_body(address: Address, path: bytes, *, every_s: float, until_s: float, headers: bytes = b"") -> Ending:
    """Announces a body, and sends it a byte at a time."""
    return await _drip(address, _HEAD % path + headers + b"Content-Length: 100000\r\n\r\n", every_s, until_s)


async def _drip(address: Address, beginning: bytes, every_s: float, until_s: float) -> Ending:
    began_s = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)
    answer = asyncio.ensure_future(_read_all(reader))
    try:
        with suppress(ConnectionError):
            writer.write(beginning)
            while not answer.done() and time.monotonic() - began_s < until_s:
                writer.write(b"a")
                await writer.drain()
                await asyncio.wait([answer], timeout=every_s)
        # what is answered is answered by now; a server that only half closed cuts a moment later
        await asyncio.wait([answer], timeout=max(0.0, until_s - (time.monotonic() - began_s)))
        return Ending(status_of(answer.result()) if answer.done() else 0, answer.done(), time.monotonic() - began_s)
    finally:
        answer.cancel()
        writer.transport.abort()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """All there is until the server ends; what had come before a reset counts."""
    got = b""
    with suppress(ConnectionError):
        while part := await reader.read(_PIECE_BYTES):
            got += part
    return got


async def never_read(address: Address, request: bytes, *, until_s: float, at_most_bytes: int = 16_777_216) -> Ending:
    """Sends a request again and again for as long as the server takes them, and reads nothing."""
    began_s, loop, sent_bytes = time.monotonic(), asyncio.get_running_loop(), 0
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.setblocking(False)  # noqa: FBT003 - its own name says what is meant
        await loop.sock_connect(connection, address)
        poll = select.poll()
        poll.register(connection, 0)
        many = request * max(1, _PIECE_BYTES // len(request))
        while time.monotonic() - began_s < until_s:
            if poll.poll(0):  # an error or a hang-up, which come unasked
                return Ending(0, cut=True, after_s=time.monotonic() - began_s)
            try:
                if sent_bytes < at_most_bytes:
                    sent_bytes += connection.send(many[sent_bytes % len(request) :])
            except BlockingIOError:
                pass
            except ConnectionError:
                return Ending(0, cut=True, after_s=time.monotonic() - began_s)
            await asyncio.sleep(0.05)
        return Ending(0, cut=False, after_s=time.monotonic() - began_s)


async def flood(address: Address, head: bytes, piece: bytes, *, size_bytes: int, until_s: float) -> tuple[Ending, int]:
    """Sends a head and then this piece again and again, for as long as the server takes it; how many bytes those were."""
    began_s, sent_bytes = time.monotonic(), 0
    reader, writer = await asyncio.open_connection(*address)
    answer = asyncio.ensure_future(_read_all(reader))
    try:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(until_s):
                writer.write(head)
                while sent_bytes < size_bytes and not writer.is_closing():
                    writer.write(piece)
                    sent_bytes += len(piece)
                    await writer.drain()
        await asyncio.wait([answer], timeout=max(0.1, until_s - (time.monotonic() - began_s)))
        ended = answer.done()
        return Ending(status_of(answer.result()) if ended else 0, ended, time.monotonic() - began_s), sent_bytes
    finally:
        answer.cancel()
        writer.transport.abort()


async def noise(address: Address, strings: Sequence[bytes], *, patience_s: float) -> Counter[int]:
    """Each string on a connection of its own, then its end; the statuses of what came back, 0 for nothing."""
    statuses: Counter[int] = Counter()
    for string in strings:
        reader, writer = await asyncio.open_connection(*address)
        try:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(patience_s):
                    writer.write(string)
                    writer.write_eof()
                    statuses[status_of(await _read_all(reader))] += 1
        finally:
            writer.transport.abort()
    return statuses


async def good_load(address: Address, request: bytes, *, connections: int, every_s: float, until_s: float) -> Load:
    """Well-behaved clients with connections that stay: one request after another, each answer read whole."""
    load, end_s = Load(), time.monotonic() + until_s
    await asyncio.gather(*(_behave(address, request, every_s, end_s, load) for _ in repeat(None, connections)))
    return load


async def _behave(address: Address, request: bytes, every_s: float, end_s: float, load: Load) -> None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        while (began_s := time.monotonic()) < end_s:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields[b"content-length"]))
            load.statuses[status_of(head)] += 1
            load.slowest_s = max(load.slowest_s, time.monotonic() - began_s)
            await asyncio.sleep(every_s)
    except (ConnectionError, asyncio.IncompleteReadError):
        load.failures += 1
    finally:
        writer.transport.abort()
