"""A small HTTP/1.1 server over bare sockets, in a thread with an event loop of its own. It answers what it is told to, right or wrong."""

import asyncio
import contextlib
import gzip
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

from tests.harness.clock import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Request:
    """What came in: header names in lower case, the body unpacked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def http_reply(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class ThreadedServer(ABC):
    """Serves on 127.0.0.1 from `with` on, in a thread. `stop` closes the listener and every connection at once; `start` takes the same port
    again."""

    def __init__(self) -> None:
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @abstractmethod
    async def serve(self, listener: socket.socket, stopping: asyncio.Event) -> None:
        """Accept and answer until `stopping` is set, then close everything. The listener is listening already."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        assert self._thread is None, "it is running already"
        listener = socket.create_server(("127.0.0.1", self._port), backlog=2048)
        self._port = listener.getsockname()[1]
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(listener, up)), name=type(self).__name__)
        self._thread.start()
        assert up.wait(PATIENCE_S), "the server did not start"

    def stop(self) -> None:
        if self._thread is None:
            return
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server did not stop"
        self._thread = None

    async def _run(self, listener: socket.socket, up: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        up.set()
        await self.serve(listener, self._stopping)


class HttpServer(ThreadedServer):
    """A request at a time on each connection, in streams."""

    @abstractmethod
    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Write the answer; False to close the connection after it."""

    async def serve(self, listener: socket.socket, stopping: asyncio.Event) -> None:
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, sock=listener)
        await stopping.wait()
        server.close()
        ending = list(connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                keep = await self.answer(request, writer)
                await writer.drain()
                if not keep:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever called has gone
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, headers = read_head(head)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, unpacked(body, headers))


def read_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path and headers; the names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines if line)
    return method, path, {name.lower(): value.strip() for name, value in pairs}


def unpacked(body: bytes, headers: Mapping[str, str]) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
