"""A request that is cancelled is told so only where the server is ending and nothing was said yet."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.access_log import AccessLog
from gateway.lifecycle import Lifecycle
from gateway.measures.book import Book
from gateway.settings import Log
from gateway.telemetry import Sampling, Telemetry
from gateway.web.exchange import answer_json
from gateway.web.middleware import Problems
from gateway.web.problems import status_of

UNTRACED = Telemetry(None, Sampling(0.0), lambda _workspace, _service: 1.0, status_of)


async def cancelled(scope: Scope, _: Receive, send: Send) -> None:
    if scope["path"] == "/begun":
        await answer_json(scope, send, b"{}")
    raise asyncio.CancelledError


async def told(path: str, *, draining: bool) -> list[Message]:
    lifecycle, sent = Lifecycle(), list[Message]()
    lifecycle.draining = draining

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    problems = Problems(cancelled, lifecycle, Book(), AccessLog(Log()), UNTRACED)
    await problems({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return sent


async def test_a_request_that_the_end_cuts_is_told_to_go_elsewhere() -> None:
    start, body = await told("/slow", draining=True)
    assert start["status"] == 503
    assert b"draining" in body["body"]


@pytest.mark.parametrize(("path", "draining"), [("/slow", False), ("/begun", True)])
async def test_any_other_cancellation_is_passed_on(path: str, *, draining: bool) -> None:
    with pytest.raises(asyncio.CancelledError):
        await told(path, draining=draining)
