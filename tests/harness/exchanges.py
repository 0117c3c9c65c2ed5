"""Requests whose sending and whose answer are two steps, so that a test can act in between."""

import http.client
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from tests.harness.clock import PATIENCE_S


class Exchange:
    """One request on a connection of its own, sent at once."""

    def __init__(self, url: str, path: str, body: Any, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        self._connection.request("POST", path, json.dumps(body), dict(headers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.hang_up()

    def answer(self) -> tuple[int, Any]:
        """Status and document, once they come."""
        with self._connection.getresponse() as reply:
            return reply.status, json.loads(reply.read())

    def hang_up(self) -> None:
        self._connection.close()


def seen_by(url: str) -> None:
    """Return once the server has looked at everything that was sent to it before: it takes what comes in the order in which it came."""
    assert httpx.get(f"{url}/livez").status_code == 200
