"""A server that is forwarded to: it keeps each request as the bytes say it, and answers by script, part by part if a test wants it so."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.harness.clock import wait_until
from tests.harness.sockets import HttpServer, Request

Header = tuple[str, str]


@dataclass(slots=True)
class Heard:
    """One request: target and headers as they came, in order; the body as far as it was read. `cut`: it ended before its end."""

    method: str
    target: str
    headers: Sequence[Header]
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    body: bytearray = field(default_factory=bytearray, repr=False)
    cut: bool = False

    def header(self, name: str) -> str | None:
        """None where it did not come; a header that came twice fails here."""
        values = [value for told, value in self.headers if told.lower() == name]
        assert len(values) < 2, values
        return values[0] if values else None

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.headers}

    async def read_part(self) -> bytes:
        """The next part of the body: a chunk, or what has come of an announced length; empty at its end."""
        if (self.header("transfer-encoding") or "") == "chunked":
            size = int((await self.reader.readuntil(b"\r\n")).strip() or b"0", 16)
            part = (await self.reader.readexactly(size + 2))[:size]
        else:
            missing = int(self.header("content-length") or 0) - len(self.body)
            part = await self.reader.read(min(missing, 65_536)) if missing else b""
            if missing and not part:
                raise asyncio.IncompleteReadError(b"", missing)
        self.body += part
        return part

    async def read(self) -> bytes:
        while await self.read_part():
            pass
        return bytes(self.body)

    async def write(self, part: bytes) -> None:
        self.writer.write(part)
        await self.writer.drain()


Script = Callable[[Heard], Awaitable[bool]]


def reply(status: str = "200 OK", body: bytes = b'{"ok":true}', *headers: str) -> Script:
    """The whole request is read, and this answered."""
    told = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return raw("\r\n".join([*told, "", ""]).encode("latin-1") + body)


def raw(answer: bytes, *, keep: bool = True) -> Script:
    async def script(heard: Heard) -> bool:
        await heard.read()
        await heard.write(answer)
        return keep

    return script


class Upstream(HttpServer):
    """Answers with `script`, until it is given another. `open`: connections of the moment; `connections`: all that there were."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__()
        self.script = script or reply()
        self.heard: list[Heard] = []
        self.connections = 0
        self.open = 0

    @property
    def last(self) -> Heard:
        return self.heard[-1]

    def wait_heard(self, count: int) -> None:
        wait_until(lambda: len(self.heard) >= count, f"{count} requests")

    def wait_left(self) -> None:
        wait_until(lambda: self.open == 0, "every connection to be closed")

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        raise NotImplementedError("it converses by script")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        heard = None
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
                method, target, _ = first.split(" ")
                headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
                heard = Heard(method, target, headers, reader, writer)
                self.heard.append(heard)
                if not await self.script(heard):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            if heard is not None:
                heard.cut = True
        finally:
            self.open -= 1
            writer.close()


async def silent(heard: Heard) -> bool:
    """Reads the whole request and answers nothing, until whoever asks has gone."""
    await heard.read()
    assert await heard.reader.read(1) == b""
    heard.cut = True
    return False
