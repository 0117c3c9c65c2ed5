"""The gateway beside its peers, in one run: the same requests to each, in turn, all pinned to one core, the driver to another.

A round asks every side once, A B C A B C …, so that a machine whose speed drifts drifts for all; a ratio is taken within its round, and
what is told is the median over the rounds. Sides that are not installed are left out, and said to be.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx
import msgspec

from loadtests import misses
from loadtests.drivers import COUNT, Target
from loadtests.open_loop import drive as drive_open
from loadtests.servers import CPUS, Measured, demo, measure, running, settle, span_receiver, wait_for

SHOW_ALL = {
    "includeNames": True,
    "includeDataTypes": True,
    "includeServingStatus": True,
    "includeSloInfo": True,
    "includeEffectiveTimes": True,
}
JOIN_KEYS = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}
TECTON = "/api/v1/feature-service/get-features"
NAMED = "/v1/workspaces/prod/feature-services/flight_history/features"
NAMED_ON_DEMAND = "/v1/workspaces/prod/feature-services/flight_delay/features"
OURS, BARE, NGINX_CACHE = "gateway", "bare ASGI", "nginx proxy_cache"
_OPEN_PER_S = 2_000
_COLD_PATIENCE_S = 60.0


def body_of(service: str, join_keys: Mapping[str, str] = JOIN_KEYS, **more: Any) -> bytes:
    """A read at the Tecton door that shows everything."""
    params = {"workspaceName": "prod", "featureServiceName": service, "joinKeyMap": join_keys, "metadataOptions": SHOW_ALL}
    return msgspec.json.encode({"params": params | more})


FRESH_CONTEXT = body_of("flight_delay", requestContextMap={"planned_air_time": 1.5}).replace(b"1.5", f"1{COUNT}.5".encode())
"""A value that no request had before, computed on."""


@dataclass(frozen=True, slots=True)
class Row:
    """A side in a scenario. `ratio`: of the yardstick's rate, by round; empty for the yardstick. `work`: rows of a request."""

    scenario: str
    side: str
    connections: int
    runs: Sequence[Measured]
    ratios: Sequence[float]
    yardstick: str
    rss_mb: float
    work: int = 1

    @property
    def rate(self) -> float:
        """Requests, or rows, a second."""
        return self.work * median(one.load.requests_per_s for one in self.runs)

    @property
    def errors(self) -> int:
        return sum(one.load.errors for one in self.runs)


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    pid: int
    target: Target


def rss_mb(pid: int) -> float:
    """Resident memory of a process and those it has started."""
    told = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    own = int(told[1]) / 1024 if told else 0.0
    return own + sum(rss_mb(int(child)) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def race(scenario: str, sides: Sequence[Side], connections: int, rounds: int, seconds: float, *, work: int = 1) -> list[Row]:
    """The first side is the yardstick of the others."""
    runs: dict[str, list[Measured]] = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            runs[side.name].append(measure(side.pid, side.target, connections, seconds))
            settle(side.pid)
    first = runs[sides[0].name]
    told = []
    for side in sides:
        own = runs[side.name]
        ratios = [] if own is first else [a.load.requests_per_s / b.load.requests_per_s for a, b in zip(own, first, strict=True)]
        told.append(Row(scenario, side.name, connections, own, ratios, sides[0].name, rss_mb(side.pid), work))
    return told


@contextmanager
def bare(reply: bytes) -> Iterator[tuple[int, int]]:
    """A bare ASGI application on uvicorn that returns these bytes: its process id and port."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reply"
        file.write_bytes(reply)
        with running([sys.executable, "-m", "loadtests.bare", str(file)], dict(os.environ)) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            wait_for(port)
            yield process.pid, port


_ORIGIN = """
server {{
  listen 127.0.0.1:{port} backlog=2048;
  location / {{ return 200 '{reply}'; }}
}}
"""
_CACHE = """
proxy_cache_path {folder} keys_zone=replies:10m max_size=100m inactive=1h use_temp_path=off;
upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 100000000; }}
server {{
  listen 127.0.0.1:{port} backlog=2048;
  location / {{
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_cache replies; proxy_cache_methods POST; proxy_cache_key "$request_uri|$request_body"; proxy_cache_valid 200 1h;
  }}
}}
"""


@contextmanager
def nginx_cache(reply: bytes) -> Iterator[tuple[int, int]]:
    """nginx that keeps this reply under the body that asked for it. Its process id and port."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).chmod(0o777)  # its worker is another user, where root starts it
        origin = misses.free_port()
        stack.enter_context(misses.nginx(_ORIGIN.format(port=origin, reply=reply.decode()), origin, CPUS[1]))
        port = misses.free_port()
        inside = _CACHE.format(folder=folder, origin=origin, port=port)
        yield stack.enter_context(misses.nginx(inside, port, CPUS[0])), port


def warm(target: Target) -> bytes:
    """Ask until the answer comes from cache; its bytes."""
    body = target.body.replace(COUNT.encode(), b"000000")
    with httpx.Client(base_url=f"http://127.0.0.1:{target.port}", headers=dict(target.headers), trust_env=False, timeout=30) as client:
        for _ in range(2):
            client.post(target.path, content=body).raise_for_status()
        return client.post(target.path, content=body).content


def target_of(gateway: tuple[int, int, str], path: str, body: bytes, more: Sequence[bytes] = ()) -> Target:
    """Requests to a gateway, told by its process id, port and key."""
    _, port, key = gateway
    return Target(port, path, {"Authorization": f"Tecton-key {key}", "Content-Type": "application/json"}, body, more=more)


class Contest:
    """The gateway is the demo, with authorisation, validation, metrics, and a trace of one read in a hundred."""

    def __init__(self, rounds: int, seconds: float, connections: Sequence[int], tell: Callable[[str], None]) -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.connections = connections
        self.tell = tell

    def race(self, scenario: str, sides: Sequence[Side], connections: int, *, work: int = 1) -> list[Row]:
        self.tell(f"{scenario}, {connections} connections")
        return race(scenario, sides, connections, self.rounds, self.seconds, work=work)

    def hits(self, gateway: tuple[int, int, str]) -> list[Row]:
        """Of four views at the Tecton door, beside a bare application and nginx's cache."""
        target = target_of(gateway, TECTON, body_of("flight_history"))
        reply, rows = warm(target), []
        with ExitStack() as stack:
            pid, port = stack.enter_context(bare(reply))
            sides = [Side(BARE, pid, target.at(port)), Side(OURS, gateway[0], target)]
            if misses.nginx_binary() is not None:
                pid, port = stack.enter_context(nginx_cache(reply))
                sides.append(Side(NGINX_CACHE, pid, target.at(port)))
                warm(sides[-1].target)
            for number in self.connections:
                rows += self.race("hit", sides, number)
        return rows

    def beside_bare(self, scenario: str, gateway: tuple[int, int, str], path: str, body: bytes, *, fresh: bool = False) -> list[Row]:
        """Any other hit, at 16 connections."""
        target = target_of(gateway, path, body, more=(body,) if fresh else ())
        with bare(warm(target)) as (pid, port):
            return self.race(scenario, [Side(BARE, pid, target.at(port)), Side(OURS, gateway[0], target)], 16)

    def batch(self, gateway: tuple[int, int, str], rows: int) -> list[Row]:
        """Hits in batches, each row another plane; one connection more than the driver needs to keep the gateway busy."""
        asked = [{"joinKeys": JOIN_KEYS | {"tailnum": f"N{number}"}} for number in range(rows)]
        target = target_of(gateway, NAMED + ":batch", msgspec.json.encode({"rows": asked}))
        warm(target)
        return self.race(f"batch of {rows}", [Side(OURS, gateway[0], target)], 4, work=rows)

    async def open_loop(self, gateway: tuple[int, int, str]) -> dict[str, list[float]]:
        """p99 in ms at so many reads a second, of either, by round."""
        target = target_of(gateway, TECTON, body_of("flight_history"))
        told: dict[str, list[float]] = {BARE: [], OURS: []}
        with bare(warm(target)) as (_, port):
            for _ in range(self.rounds):
                for name, one in ((BARE, target.at(port)), (OURS, target)):
                    self.tell(f"open loop, {name}")
                    wire = one.wires()[0]
                    outcome = await drive_open(_OPEN_PER_S, self.seconds, lambda _: wire, "127.0.0.1", one.port)  # noqa: B023 - awaited here
                    told[name].append(outcome.latency_ms(99))
        return told

    def misses(self, connections: int) -> list[Row]:
        """Reads that go to the origin, beside nginx that passes them on."""
        rows = []
        runs = misses.compare(connections, self.rounds, self.seconds, self.tell)
        yardstick = runs[misses.PROXY]
        for name, measured in runs.items():
            ratios = [a.load.requests_per_s / b.load.requests_per_s for a, b in zip(measured, yardstick, strict=True)]
            rows.append(Row("miss", name, connections, measured, [] if name == misses.PROXY else ratios, misses.PROXY, 0.0))
        return rows

    def cold_starts(self) -> list[float]:
        """Seconds from the command to the first `200` of `/readyz`, of a gateway whose data is there."""
        told = []
        with tempfile.TemporaryDirectory() as folder:
            with demo(Path(folder), {}):
                pass
            for _ in range(self.rounds):
                self.tell("cold start")
                told.append(_ready_after_s(Path(folder)))
        return told


def _ready_after_s(folder: Path) -> float:
    port = misses.free_port()
    began_s = time.perf_counter()
    command = [sys.executable, "-m", "gateway", "demo", "--port", str(port), "--data-dir", str(folder)]
    with running(command, dict(os.environ)):
        while True:
            took_s = time.perf_counter() - began_s
            try:
                with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as reply:
                    if reply.status == 200:
                        return took_s
            except (URLError, OSError):
                if took_s > _COLD_PATIENCE_S:
                    raise
            time.sleep(0.005)


@contextmanager
def gateway(start: Sequence[str] = ("-m", "gateway"), **settings: str) -> Iterator[tuple[int, int, str]]:
    """The demo, under these environment variables. Its process id, its port and its key."""
    with span_receiver() as receiver, tempfile.TemporaryDirectory() as folder:
        exports = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver}"}
        with demo(Path(folder), exports | settings, start) as one:
            yield one


def open_loop(contest: Contest, one: tuple[int, int, str]) -> dict[str, list[float]]:
    return asyncio.run(contest.open_loop(one))
