"""Connections to a gateway as bytes: what is sent when, and how they end."""

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from tests.harness.clock import PATIENCE_S, wait_until

_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)


class Line:
    """One connection. Its end is seen only where the server closed it: a reset raises ConnectionResetError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def send(self, sent: bytes) -> None:
        self._connection.sendall(sent)

    def reply(self) -> bytes:
        """The next whole reply; b"" where the server has closed instead."""
        while (whole := self._whole()) is None:
            more = self._connection.recv(65_536)
            if not more:
                return b""
            self._received += more
        reply, self._received = self._received[:whole], self._received[whole:]
        return reply

    def _whole(self) -> int | None:
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return None
        announced = _LENGTH.search(head + b"\r\n")
        assert announced is not None
        length = int(announced[1])
        return None if len(rest) < length else len(head) + len(found) + length

    def ask(self, sent: bytes) -> bytes:
        self.send(sent)
        return self.reply()

    def ended(self) -> bool:
        """Whether the server closes it, in good order, with nothing more to say."""
        return not self._received and self._connection.recv(65_536) == b""

    def is_open(self) -> bool:
        """Whether it is, as far as this side knows by now."""
        self._connection.settimeout(0.05)
        try:
            return self._connection.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            return True
        finally:
            self._connection.settimeout(PATIENCE_S)


@contextmanager
def line(url: str) -> Iterator[Line]:
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Line(connection)


@contextmanager
def crowd(url: str, sent: bytes, clients: int = 8) -> Iterator[list[int]]:
    """Clients that connect as fast as they can, each until it is refused: some hundred replies before the block, and what there is to tell
    of all of them after it. None may be reset, or closed on without an answer."""
    statuses: list[int] = []
    failures: list[OSError | IndexError] = []

    def insist() -> None:
        while True:
            try:
                with line(url) as one:
                    statuses.append(status_of(one.ask(sent)))
            except ConnectionRefusedError:
                return
            except (OSError, IndexError) as error:
                failures.append(error)

    threads = [threading.Thread(target=insist, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(statuses) > 200, "some load")
    yield statuses
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert failures == []


def refuses(url: str) -> bool:
    place = urlsplit(url)
    try:
        socket.create_connection((str(place.hostname), place.port or 0), timeout=0.1).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:  # it is shut, and about to close
        pass
    return False


def get(path: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: gateway\r\n{told}\r\n".encode()


def post(path: str, body: Any, headers: Mapping[str, str]) -> bytes:
    content = json.dumps(body).encode()
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: gateway\r\n{told}Content-Length: {len(content)}\r\n\r\n".encode() + content


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def says_last(reply: bytes) -> bool:
    """Whether the reply says that it is the last one on its connection."""
    return b"\r\nconnection: close\r\n" in reply.partition(b"\r\n\r\n")[0].lower() + b"\r\n"
