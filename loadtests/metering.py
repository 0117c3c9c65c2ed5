"""What metrics cost: a hit that is noted beside one that is not, in one process and in turn; and a scrape of a large house, which others
on the event loop should not notice."""

import asyncio
import gc
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from starlette.routing import Route

import gateway.furnishing
from gateway.app import Seams, create_app
from gateway.features import ServiceRef
from gateway.hosting.server import spare_collections
from gateway.measures.book import Book
from gateway.measures.ledgers import Outcome
from gateway.serving.reader import Call
from gateway.serving.recording import Recorder
from gateway.settings import checked
from gateway.web.endpoints import ReadFeatures
from gateway.web.metrics.exposition import Format
from gateway.web.metrics.process import look
from gateway.web.metrics.reads import reads_of
from gateway.web.metrics.teller import Metrics

_PATH = "/v1/workspaces/{workspace}/feature-services/{feature_service}/features"
_READ = {"joinKeys": {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}}
_ONCE = 2_000
DOORS = ("tecton_single", "tecton_batch", "named_single", "named_batch")
OUTCOMES = (Outcome.HIT, Outcome.PARTIAL, Outcome.MISS, Outcome.STALE, Outcome.BYPASS)


class Deaf(Recorder):
    """Notes no hit."""

    def hit(self, *_: Any) -> None:
        pass


async def hits_us(rounds: int) -> Sequence[tuple[float, float]]:
    """Microseconds of CPU time per hit, noted and not noted, of each round. Both take the same road through a gateway of their own."""
    async with AsyncExitStack() as open_:
        noted, unheard = [await _hit(open_, kind) for kind in (Recorder, Deaf)]
        await _cost_us(noted), await _cost_us(unheard)  # the first is for the interpreter, which learns its way
        return [(await _cost_us(noted), await _cost_us(unheard)) for _ in range(rounds)]


async def _hit(open_: AsyncExitStack, recorder: type[Recorder]) -> Callable[[], object]:
    """A read that is a hit, of the demo's four views."""
    folder = open_.enter_context(tempfile.TemporaryDirectory())
    served = {"definitions": "gateway.demo.definitions:REPOSITORY", "data_dir": Path(folder)}
    tree = {"auth": {"mode": "open"}, "feature_server": served, "cache": {"ttl_s": 86_400}}
    with patch.object(gateway.furnishing, "Recorder", recorder):
        app = create_app(checked(tree), Seams(environment={}))
    await open_.enter_async_context(app.router.lifespan_context(app))
    [endpoint] = [
        route.endpoint for route in app.routes if isinstance(route, Route) and route.path == _PATH and "POST" in (route.methods or ())
    ]
    assert isinstance(endpoint, ReadFeatures)
    body, service = msgspec.json.encode(_READ), ServiceRef("prod", "flight_history")

    def ask() -> bytes | None:
        return endpoint.hit(Call(endpoint.door, _PATH, body, service))

    await endpoint.read(Call(endpoint.door, _PATH, body, service))
    assert ask() is not None
    return ask


async def _cost_us(ask: Callable[[], object]) -> float:
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    began = time.thread_time_ns()
    for _ in range(_ONCE):
        ask()
    took = time.thread_time_ns() - began
    gc.enable()
    return took / _ONCE / 1_000


@dataclass(frozen=True, slots=True)
class Scrape:
    """`held_ms`: the longest that nobody else had a turn on the event loop, in CPU time: on a busy machine all take longer."""

    took_ms: float
    held_ms: float
    size_bytes: int
    packed_bytes: int
    lines: int


def large_book(services: int) -> Book:
    """With reads through four doors with five outcomes each, in every bucket, and errors."""
    book = Book(batch_doors=frozenset({"tecton_batch", "named_batch"}))
    for number in range(services):
        ledger = book.service("prod", f"feature_service_{number}")
        for door in DOORS:
            for outcome in OUTCOMES:
                for bucket in range(15):
                    ledger.read(door, outcome, 10, 2.0**-bucket, eligible=True)
            ledger.failed(door, "origin", 503, 0.1, server_error=True)
        book.view("prod", f"feature_view_{number}").aged(10.0, 20.0)
    return book


async def scrapes(services: int, rounds: int) -> Sequence[Scrape]:
    metrics = Metrics(book := large_book(services), [reads_of(book, "tecton")], look)
    spare_collections()
    return [await _scrape(metrics) for _ in range(rounds)]


async def _scrape(metrics: Metrics) -> Scrape:
    gaps: list[float] = []
    done = False

    async def others() -> None:
        last_s = time.thread_time()
        while not done:
            await asyncio.sleep(0)
            now_s = time.thread_time()
            gaps.append(now_s - last_s)
            last_s = now_s

    async with asyncio.TaskGroup() as group:
        group.create_task(others())
        await asyncio.sleep(0)
        began_s = time.perf_counter()
        parts = await metrics.text(Format.OPENMETRICS)
        took_s = time.perf_counter() - began_s
        done = True
    text = b"".join(parts)
    return Scrape(took_s * 1e3, max(gaps) * 1e3, len(text), len(zlib.compress(text, 1)), text.count(b"\n"))
