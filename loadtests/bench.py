"""`python -m loadtests.bench hit`, `miss`, `auth`, `metrics`: the gateway's hits against a bare ASGI application, in one run, as a ratio.

Both are served by uvicorn with the same options and the same reply bytes, pinned to one core, the driver to another; they are driven in
turn, A B A B …, so that a machine whose speed drifts drifts for both. The gateway runs with authorisation, validation and telemetry on: one
read in a hundred is sampled, and its span exported over OTLP to a receiver in this process.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from loadtests import admitting, metering, misses
from loadtests.drivers import Target, driver_name
from loadtests.servers import CPUS, demo, measure, running, span_receiver, spread, wait_for

_SHOW_ALL = {
    "includeNames": True,
    "includeDataTypes": True,
    "includeServingStatus": True,
    "includeSloInfo": True,
    "includeEffectiveTimes": True,
}
_JOIN_KEYS = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}
_CONTEXT = {"planned_air_time": 330.5}
_TECTON = "/api/v1/feature-service/get-features"
_NAMED = "/v1/workspaces/prod/feature-services/flight_delay/features"
SCENARIOS = {
    "tecton, 4 views": (
        _TECTON,
        {
            "params": {
                "workspaceName": "prod",
                "featureServiceName": "flight_history",
                "joinKeyMap": _JOIN_KEYS,
                "metadataOptions": _SHOW_ALL,
            }
        },
    ),
    "tecton, 4 views and an on-demand view": (
        _TECTON,
        {
            "params": {
                "workspaceName": "prod",
                "featureServiceName": "flight_delay",
                "joinKeyMap": _JOIN_KEYS,
                "requestContextMap": _CONTEXT,
                "metadataOptions": _SHOW_ALL,
            }
        },
    ),
    "named, 4 views": (
        _NAMED.replace("flight_delay", "flight_history"),
        {"joinKeys": _JOIN_KEYS, "include": ["status", "source"]},
    ),
    "named, 4 views and an on-demand view": (
        _NAMED,
        {"joinKeys": _JOIN_KEYS, "requestContext": _CONTEXT, "include": ["status", "source"]},
    ),
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Benchmarks of the gateway on this machine, as ratios within one run."""


@main.command()
@click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=5, show_default=True, help="Pairs of measurements per scenario.")
@click.option("--connections", default=16, show_default=True, help="Connections of the closed loop.")
@click.option("--asgi", is_flag=True, help="Serve hits behind ASGI, through stock uvicorn, to see what the edge is worth.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="Just these; all by default.")
def hit(seconds: float, rounds: int, connections: int, asgi: bool, names: tuple[str, ...]) -> None:  # noqa: FBT001 - click's signature
    """Cache hits, against a bare ASGI application that returns the same bytes.

    \b
    Example:
      python -m loadtests.bench hit --rounds 3 --seconds 2
    """
    console = Console()
    table = Table("door", "reply bytes", "rate, of bare ASGI", "the same by CPU time", "CPU µs/hit", "hits/s", "p50 ms", "p99 ms", "errors")
    with span_receiver() as receiver, _gateway(receiver, asgi=asgi) as (pid, port, key):
        for name in names or SCENARIOS:
            path, body = SCENARIOS[name]
            headers = {"Authorization": f"Tecton-key {key}", "Content-Type": "application/json"}
            target = Target(port, path, headers, msgspec.json.encode(body))
            reply = _warm(target)
            with _bare(reply) as (bare_pid, bare_port):
                yardstick = Target(bare_port, path, headers, target.body)
                pairs = [
                    (measure(pid, target, connections, seconds), measure(bare_pid, yardstick, connections, seconds))
                    for _ in track(range(rounds), description=name, console=console, transient=True)
                ]
            ratios = [ours.load.requests_per_s / bare.load.requests_per_s for ours, bare in pairs]
            cpu_ratios = [bare.cpu_us / ours.cpu_us for ours, bare in pairs]
            loads = [ours.load for ours, _ in pairs]
            table.add_row(
                name,
                str(len(reply)),
                spread(ratios),
                spread(cpu_ratios),
                f"{median(ours.cpu_us for ours, _ in pairs):.0f}",
                f"{median(one.requests_per_s for one in loads):,.0f}",
                f"{median(one.p50_ms for one in loads):.2f}",
                f"{median(one.p99_ms for one in loads):.2f}",
                str(sum(one.errors for one in loads)),
            )
    console.print(
        f"{connections} connections, {rounds} x {seconds:g} s, driver: {driver_name()}, Python {sys.version.split()[0]}, cores {CPUS}"
    )
    console.print(table)


@main.command()
@click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each side, at each number of connections.")
@click.option(
    "--connections", "connections", multiple=True, default=[1, 16], show_default=True, help="Of the closed loop; may be repeated."
)
def miss(seconds: float, rounds: int, connections: tuple[int, ...]) -> None:
    """Reads that go to the origin, against nginx's proxy_pass to the same origin, and over stock httpx. Needs nginx.

    \b
    Example:
      python -m loadtests.bench miss --rounds 3 --seconds 2
    """
    console = Console()
    told = f"{rounds} x {seconds:g} s, driver: {driver_name()}, Python {sys.version.split()[0]}, cores {CPUS}"
    with console.status("starting") as status:
        for number in connections:
            runs = misses.compare(number, rounds, seconds, status.update)
            console.print(misses.table(runs, f"{number} connections, {told}"))
        fanned = misses.fan_outs()
    told = f"fan-out of 10 calls at once, without a gateway: p50 {fanned['fast']:.2f} ms, over stock httpx {fanned['httpx']:.2f} ms"
    console.print(told, soft_wrap=True)


@main.command()
@click.option("--keys", default=10_000, show_default=True, help="API keys in the directory.")
@click.option("--rounds", default=15, show_default=True, help="Measurements of each way, in turn.")
def auth(keys: int, rounds: int) -> None:
    """What it costs to let a caller have what is cached: identified, and judged by its roles or its grant.

    \b
    Example:
      python -m loadtests.bench auth --keys 100000
    """
    tried = admitting.ways(keys)
    costs: dict[str, list[float]] = {name: [] for name in tried}
    for _ in range(rounds):
        for name, way in tried.items():
            costs[name] += admitting.cost_us(way, 1)
    yardstick = median(next(iter(costs.values())))
    table = Table("way", "CPU µs per hit: median [min-max]", "of a look-up in a bare dict")
    for name, taken in costs.items():
        table.add_row(name, admitting.told(taken), f"{median(taken) / yardstick:.1f}")
    console = Console()
    console.print(f"{keys:,} keys in the directory, {rounds} rounds, Python {sys.version.split()[0]}, cores {CPUS}")
    console.print(table)


@main.command()
@click.option("--rounds", default=40, show_default=True, help="Pairs of 2,000 hits, and scrapes.")
@click.option("--services", default=100, show_default=True, help="Feature services with reads through four doors with five outcomes each.")
def metrics(rounds: int, services: int) -> None:
    """What metrics cost: a hit that is noted beside one that is not, and a scrape of many series.

    \b
    Example:
      python -m loadtests.bench metrics --rounds 10
    """
    pairs = asyncio.run(metering.hits_us(rounds))
    scrapes = asyncio.run(metering.scrapes(services, rounds))
    table = Table("what", "median [min-max]")
    for name, taken in {
        "a hit in process, CPU µs": [noted for noted, _ in pairs],
        "the same, not noted": [unheard for _, unheard in pairs],
        "what noting it costs, of each pair": [noted - unheard for noted, unheard in pairs],
        "a scrape, ms": [one.took_ms for one in scrapes],
        "the longest that it held the event loop, CPU ms": [one.held_ms for one in scrapes],
    }.items():
        table.add_row(name, admitting.told(taken))
    console, last = Console(), scrapes[-1]
    console.print(f"{rounds} rounds, {services} feature services, Python {sys.version.split()[0]}, cores {CPUS}")
    console.print(table)
    console.print(f"a scrape: {last.lines:,} lines, {last.size_bytes:,} bytes, {last.packed_bytes:,} with gzip", soft_wrap=True)


def _warm(target: Target) -> bytes:
    """Ask until the answer comes from cache; its bytes."""
    with httpx.Client(base_url=f"http://127.0.0.1:{target.port}", headers=dict(target.headers), trust_env=False) as client:
        for _ in range(2):
            client.post(target.path, content=target.body).raise_for_status()
        return client.post(target.path, content=target.body).content


@contextmanager
def _bare(reply: bytes) -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reply"
        file.write_bytes(reply)
        with running([sys.executable, "-m", "loadtests.bare", str(file)], dict(os.environ)) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            wait_for(port)
            yield process.pid, port


_BEHIND_ASGI = "from gateway import cli; cli.edge = lambda *_: 'httptools'; cli.main()"


@contextmanager
def _gateway(receiver_port: int, *, asgi: bool) -> Iterator[tuple[int, int, str]]:
    """The demo, with its cache at a TTL that outlives the run. Its process id, its port and its key."""
    exports = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver_port}"}
    with tempfile.TemporaryDirectory() as folder, demo(Path(folder), exports, ["-c", _BEHIND_ASGI] if asgi else ["-m", "gateway"]) as one:
        yield one


if __name__ == "__main__":
    main()
