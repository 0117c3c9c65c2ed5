"""A gateway that forwards, what is asked of it byte for byte, and what comes back."""

import http.client
import json
import re
import socket
from contextlib import closing
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.harness.clock import PATIENCE_S
from tests.harness.cluster import ALICE
from tests.harness.houses import House

SECRET = "/api/v1/secrets-service/scopes/etl/keys/db"
TOKEN = "/oauth2/default/v1/token"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MADE = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")
CREDENTIAL = ("Authorization", f"Tecton-key {ALICE}")


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for told, value in self.headers if told.lower() == name]
        assert len(values) < 2, values
        return values[0] if values else None

    @property
    def message(self) -> str:
        told = json.loads(self.body)
        assert told["error"] == told["message"]
        return str(told["message"])


def ask(
    house: House,
    method: str,
    target: str,
    body: bytes | None = None,
    *headers: tuple[str, str],
    credential: bool = True,
    chunked: bool = False,
) -> Reply:
    """One request whose target is sent as it is spelled."""
    with closing(http.client.HTTPConnection(urlsplit(house.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in [*([CREDENTIAL] if credential else []), *headers]:
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=chunked)
        with connection.getresponse() as answer:
            return Reply(answer.status, answer.getheaders(), answer.read())


def talk(house: House, sent: bytes) -> bytes:
    """Raw bytes there, and back until the gateway closes."""
    address = urlsplit(house.url)
    with closing(socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE_S)) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65_536):
            received += part
    return received


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    told = [f"{method} {target} HTTP/1.1", "Host: gateway", f"Authorization: Tecton-key {ALICE}", "Connection: close", *headers]
    return "\r\n".join([*told, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body
