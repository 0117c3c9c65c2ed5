"""A server of bytes for tests of a client: each connection is handed to a script, in the test's own event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
PATIENCE_S = 20.0


@dataclass
class Peer:
    """What has come so far. `port`: where it listens, on 127.0.0.1."""

    port: int = 0
    connections: int = 0
    open: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Script = Callable[[Peer, Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def served(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    peer = Peer()
    running: set[asyncio.Task[None]] = set()

    async def converse(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        peer.connections += 1
        peer.open += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await script(peer, reader, writer)
        finally:
            peer.open -= 1
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def take(peer: Peer, reader: Reader) -> bytes:
    """One request with a Content-Length; its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    peer.heads.append(head)
    length = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    body = await reader.readexactly(length)
    peer.bodies.append(body)
    return body


def reply(body: bytes = b"hello", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", b""]) + body


def always(answer: bytes) -> Script:
    """Every request the same, on connections that stay."""

    async def script(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await take(peer, reader)
            writer.write(answer)
            await writer.drain()

    return script


def once(answer: bytes) -> Script:
    """One request each, and the connection's end."""

    async def script(peer: Peer, reader: Reader, writer: Writer) -> None:
        await take(peer, reader)
        writer.write(answer)
        await writer.drain()

    return script


def in_turn(*answers: bytes) -> Script:
    """One answer after the other, over all connections; an empty one ends its connection without a word."""
    left = list(answers)

    async def script(peer: Peer, reader: Reader, writer: Writer) -> None:
        while left:
            await take(peer, reader)
            answer = left.pop(0)
            if not answer:
                return
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return script


async def settle(condition: Callable[[], bool]) -> None:
    """Until it holds: what the other side of a socket does is told by nothing else."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
