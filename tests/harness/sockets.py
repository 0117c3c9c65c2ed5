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


class HttpServer(ABC):
    """Answers on 127.0.0.1 from `with` on. `stop` closes the listener and every connection at once; `start` takes the same port again."""

    def __init__(self) -> None:
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @abstractmethod
    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Write the answer; False to close the connection after it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        assert self._thread is None, "it is running already"
        listener = socket.create_server(("127.0.0.1", self._port))
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
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(connected, sock=listener)
        up.set()
        await self._stopping.wait()
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
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines if line)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return Request(method, path, headers, body)
