"""Reads leave nothing behind but what is cached: neither those that are answered, nor those that fail, however many a second."""

import asyncio
import gc
from collections.abc import Mapping
from contextlib import suppress

import pytest
from starlette.routing import Route

from gateway.app import Seams, create_app
from gateway.errors import GatewayError
from gateway.measures.book import MOST_ERRORS
from gateway.origins.http.channel import Reply
from gateway.origins.tecton import TectonOrigin
from gateway.serving.reader import Call
from gateway.settings import checked
from gateway.web.endpoints import ReadFeatures
from loadtests import misses

NO_GUARD = {"retries": 0, "breaker_share": 0, "hedging": False, "limit_max": 0}


class Answering:
    """A channel to a cluster that answers each read alike."""

    def __init__(self, status: int, body: bytes) -> None:
        self._read = Reply(status, {}, body)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], deadline_s: float, *, again: bool = True) -> Reply:  # noqa: ARG002
        await asyncio.sleep(0)
        return Reply(200, {}, misses.metadata()) if path.endswith("metadata") else self._read

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body"),
    [(200, misses.reply()), (503, b'{"message":"down"}'), (400, b'{"message":"no"}'), (200, b"{}")],
    ids=["answered", "down", "refused", "garbage"],
)
async def test_what_a_read_was_made_of_is_gone_when_it_is_over(status: int, body: bytes) -> None:
    tree = {"origin": {"kind": "tecton", "url": "http://127.0.0.1:1", "api_key": "k"}, "auth": {"mode": "open"}, "guard": NO_GUARD}
    app = create_app(checked({**tree, "cache": {"ttl_s": 0}}), Seams(origin=TectonOrigin(Answering(status, body)), environment={}))
    [door] = [route.app for route in app.routes if isinstance(route, Route) and route.path == misses.READ]
    assert isinstance(door, ReadFeatures)

    async def read(number: int) -> None:
        asked = misses.request().replace(b"@count", b"%06d" % number)
        with suppress(GatewayError):
            await door.read(Call(door.door, door.route, asked))

    async with app.router.lifespan_context(app):
        for number in range(MOST_ERRORS + 20):  # errors are noted, up to that many, and are not leftovers
            await read(number)
        gc.collect()
        before = len(gc.get_objects())
        for number in range(1_000, 1_500):
            await read(number)
        await asyncio.sleep(0)
        gc.collect()
        assert len(gc.get_objects()) - before < 500  # less than one for each read, whatever timers asyncio has not yet thrown away
