"""`python -m loadtests.bench miss`: reads that go to the origin, against nginx's `proxy_pass` to the same origin, in one run, as ratios.

The origin is nginx too, on the driver's core: it answers every read with the same twelve features of four views. Every read asks for
another join key, so each is a miss: decoded, validated, fetched, checked, kept in the cache and answered, with authorisation on and one
span in a hundred exported. The peers see the same requests in turn, A B C A B C …, so that a machine whose speed drifts drifts for all.
"""

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import uvloop
from rich.table import Table

from gateway.access.keys import digest, new_key
from gateway.origins.http.channel import Channel
from gateway.origins.http.connector import Connector
from loadtests.drivers import COUNT, Target
from loadtests.servers import CPUS, Measured, measure, running, serving, span_receiver, spread, wait_for

DIRECTLY, PROXY = "origin, directly", "nginx proxy_pass"
READ = "/api/v1/feature-service/get-features"
_VIEWS = ("account", "device", "merchant", "user")
_TYPES = ("int64", "float64", "string")
_FIRST_PORT, _LAST_PORT = 20_000, 32_000


def reply() -> bytes:
    """What the origin answers: 12 features, 2.3 KB."""
    names = [(f"{view}.{name}", dtype) for view in _VIEWS for name, dtype in zip(("count_1d", "mean_7d", "last"), _TYPES, strict=True)]
    values: list[Any] = ["1234567", 3.25, "2026-11-01"] * len(_VIEWS)
    features = [
        {"name": name, "effectiveTime": "2026-11-01T10:00:00Z", "dataType": {"type": dtype}, "status": "PRESENT"} for name, dtype in names
    ]
    slo = {"sloEligible": True, "sloServerTimeSeconds": 0.021, "serverTimeSeconds": 0.025, "storeMaxLatency": 0.004}
    return json.dumps({"result": {"features": values}, "metadata": {"features": features, "sloInfo": slo}}).encode()


def metadata() -> bytes:
    keys = [{"name": "user_id", "dataType": {"type": "string"}}, {"name": "merchant_id", "dataType": {"type": "int64"}}]
    told = json.loads(reply())["metadata"]["features"]
    values = [{"name": one["name"], "dataType": one["dataType"]} for one in told]
    return json.dumps({"featureServiceType": "DEFAULT", "inputJoinKeys": keys, "featureValues": values}).encode()


def request(run: str = "0") -> bytes:
    """`run` makes its keys new: what one run brought in would be hits in the next."""
    shown = ("includeNames", "includeDataTypes", "includeEffectiveTimes", "includeServingStatus", "includeSloInfo")
    params = {
        "workspaceName": "prod",
        "featureServiceName": "fraud",
        "joinKeyMap": {"user_id": f"user-{run}-{COUNT}", "merchant_id": "4711"},
        "metadataOptions": dict.fromkeys(shown, True),
    }
    return json.dumps({"params": params}).encode()


_NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_body_buffer_size 64k;
  default_type application/json;
  {inside}
}}
"""  # noqa: E501 - as nginx wants it
_ORIGIN = """
server {{
  listen 127.0.0.1:{port} backlog=2048;
  location = /api/v1/feature-service/get-features {{ return 200 '{reply}'; }}
  location = /api/v1/feature-service/metadata {{ return 200 '{metadata}'; }}
}}
"""
_PROXY = """
upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 100000000; }}
server {{
  listen 127.0.0.1:{port} backlog=2048;
  location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
}}
"""


def free_port() -> int:
    """One below the range that the system hands out to clients, so that no connection takes it meanwhile; any, so that two who look at the
    same time hardly find the same."""
    for port in random.sample(range(_FIRST_PORT, _LAST_PORT), 1_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise click.ClickException(f"of a thousand ports from {_FIRST_PORT} to {_LAST_PORT} none is free")


def nginx_binary() -> str | None:
    """Debian puts it where only root looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def nginx(inside: str, port: int, cpu: int) -> Iterator[int]:
    """Its process id."""
    found = nginx_binary()
    if found is None:
        raise click.ClickException("nginx is not installed (Debian: apt-get install nginx-light)")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nginx.conf"
        file.write_text(_NGINX.format(folder=folder, inside=inside))
        process = subprocess.Popen([found, "-p", folder, "-c", str(file)], stderr=subprocess.DEVNULL)
        os.sched_setaffinity(process.pid, {cpu})
        try:
            wait_for(port)
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.sched_setaffinity(int(child), {cpu})
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def origin(port: int) -> Iterator[int]:
    """Its process id."""
    with nginx(_ORIGIN.format(port=port, reply=reply().decode(), metadata=metadata().decode()), port, CPUS[1]) as pid:
        yield pid


@contextmanager
def gateway(
    origin_port: int,
    receiver_port: int,
    transport: str,
    *options: str,
    cpus: Collection[int] = (CPUS[0],),
    ttl_s: int = 60,
    more: str = "",
) -> Iterator[tuple[int, int, str]]:
    """Its process id, its port, and a key for it. `options`: of its command, as they stand there; `more`: of its settings."""
    key = new_key()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.toml"
        config.write_text(
            f'[origin]\nkind = "tecton"\nurl = "http://127.0.0.1:{origin_port}"\napi_key = "of-the-cluster"\ntransport = "{transport}"\n'
            f'[auth.keys.bench]\ndigest = "{digest(key)}"\nworkspaces = ["*"]\n[deadlines]\nread_s = 10\n{more}'
        )
        environment = dict(os.environ) | {
            "FEATURE_GATEWAY_CACHE__TTL_S": str(ttl_s),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver_port}",
        }
        with serving(environment, "--config", str(config), *options, cpus=cpus) as (pid, port):
            yield pid, port, key


@contextmanager
def relay(origin_port: int, transport: str) -> Iterator[tuple[int, int]]:
    """Its process id and its port."""
    command = [sys.executable, "-m", "loadtests.relay", f"http://127.0.0.1:{origin_port}", transport]
    with running(command, dict(os.environ)) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that are compared. `pid` None: the origin itself, whose time nobody counts."""

    name: str
    pid: int
    port: int
    key: str | None

    def target(self, run: str) -> Target:
        headers = {"Content-Type": "application/json", "Authorization": f"Tecton-key {self.key or 'of-the-cluster'}"}
        return Target(self.port, READ, headers, request(run), more=(request(run),))


@contextmanager
def sides() -> Iterator[list[Side]]:
    """The origin; before it nginx, a bare relay over either transport, and the gateway with either."""
    with ExitStack() as stack:
        origin_port = free_port()
        origin_pid = stack.enter_context(origin(origin_port))
        proxy_port = free_port()
        proxy_pid = stack.enter_context(nginx(_PROXY.format(origin=origin_port, port=proxy_port), proxy_port, CPUS[0]))
        receiver = stack.enter_context(span_receiver())
        found = [
            Side(DIRECTLY, origin_pid, origin_port, None),
            Side(PROXY, proxy_pid, proxy_port, None),
        ]
        for transport in ("fast", "httpx"):
            pid, port = stack.enter_context(relay(origin_port, transport))
            found.append(Side(f"relay, {transport}", pid, port, None))
        for transport in ("fast", "httpx"):
            pid, port, key = stack.enter_context(gateway(origin_port, receiver, transport))
            found.append(Side(f"gateway, {transport}", pid, port, key))
        yield found


def compare(connections: int, rounds: int, seconds: float, tell: Callable[[str], None]) -> dict[str, list[Measured]]:
    """Each side's runs, in turn."""
    runs: dict[str, list[Measured]] = {}
    with sides() as found:
        for number in range(rounds):
            for side in found:
                tell(f"round {number + 1} of {rounds}: {side.name}, {connections} connections")
                runs.setdefault(side.name, []).append(measure(side.pid, side.target(f"{connections}.{number}"), connections, seconds))
    return runs


def table(runs: Mapping[str, Sequence[Measured]], title: str) -> Table:
    """What the runs gave. `added`: the median of each round's p50, less that of the origin itself in the same round."""
    columns = ("rate, of proxy_pass", "of the same over httpx", "requests/s", "CPU µs", "p50 ms", "added p50 ms", "p99 ms", "errors")
    shown = Table("", *columns, title=title)
    for name, measured in runs.items():
        loads = [one.load for one in measured]
        added = [one.load.p50_ms - directly.load.p50_ms for one, directly in zip(measured, runs[DIRECTLY], strict=True)]
        shown.add_row(
            name,
            ratios(runs, name, PROXY),
            ratios(runs, name, stock) if (stock := name.replace("fast", "httpx")) != name else "",
            f"{median(one.requests_per_s for one in loads):,.0f}",
            f"{median(one.cpu_us for one in measured):.0f}",
            f"{median(one.p50_ms for one in loads):.2f}",
            f"{median(added):.2f}",
            f"{median(one.p99_ms for one in loads):.2f}",
            str(sum(one.errors for one in loads)),
        )
    return shown


def ratios(runs: Mapping[str, Sequence[Measured]], name: str, yardstick: str) -> str:
    pairs = zip(runs[name], runs[yardstick], strict=True)
    return spread([ours.load.requests_per_s / theirs.load.requests_per_s for ours, theirs in pairs])


async def fan_out(channel: Channel, calls: int, times: int) -> float:
    """Median milliseconds of so many calls at once, over one channel."""
    loop = asyncio.get_running_loop()
    headers = {"content-type": "application/json", "authorization": "Tecton-key of-the-cluster"}
    body = request()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await asyncio.gather(*[channel.post(READ, body, headers, loop.time() + 10) for _ in range(calls)])
        taken.append((time.perf_counter() - began) * 1e3)
    await channel.aclose()
    return median(taken)


def fan_outs(calls: int = 10, times: int = 300) -> dict[str, float]:
    """Of both transports, without a gateway around them."""
    port = free_port()
    with origin(port):
        url = f"http://127.0.0.1:{port}"
        return {
            "fast": uvloop.run(fan_out(Connector("fast").channel(url), calls, times)),
            "httpx": uvloop.run(fan_out(Connector("httpx").channel(url), calls, times)),
        }
