"""An ingest API that answers as a test tells it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.harness.serving import serve


@dataclass(slots=True)
class Far:
    """An ingest API that answers as it is told, then with 200. `taken`: the records of each request that it took."""

    url: str = ""
    answers: list[Response] = field(default_factory=list)
    taken: list[list[dict[str, Any]]] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)
    asked: int = 0

    async def ingest(self, request: Request) -> Response:
        self.asked += 1
        body = json.loads(await request.body())
        self.credentials.add(request.headers["authorization"])
        if self.answers:
            return self.answers.pop(0)
        [records] = body["records"].values()
        self.taken.append([one["record"] for one in records])
        return JSONResponse({})


@contextmanager
def open_far() -> Iterator[Far]:
    far = Far()
    with serve(Starlette(routes=[Route("/ingest", far.ingest, methods=["POST"])])) as running:
        far.url = running.url
        yield far
