"""`python -m loadtests.tracing`: what tracing costs hits, and what it costs them when the receiver of spans is away, hangs or refuses.

A gateway without tracing is the yardstick; beside it stand gateways that export to a receiver which takes, one that accepts connections and
never answers, one that answers 503, and none at all. All run at once, pinned to one core, and are driven in turn, A B C A B C …; who is not
driven is idle. Then each tells what became of its spans, and how much memory it holds.
"""

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from loadtests.drivers import Load, Target, driver_name
from loadtests.servers import CPUS, demo, measure, span_receiver, spread

_PATH = "/v1/workspaces/prod/feature-services/flight_history/features"
_BODY = {"joinKeys": {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}}
OFF = "no tracing"
RECEIVERS = ("takes", "hangs", "answers 503", "is not there")


@dataclass(slots=True)
class Way:
    """One gateway, its runs, and its memory before them."""

    pid: int
    target: Target
    rss_mb: float
    loads: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def drive(self, connections: int, seconds: float) -> None:
        measured = measure(self.pid, self.target, connections, seconds)
        self.loads.append(measured.load)
        self.cpu_us.append(measured.cpu_us)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each way, in turn.")
@click.option("--connections", default=16, show_default=True, help="Connections of the closed loop.")
@click.option("--ratio", default=0.01, show_default=True, help="Share of reads that are traced.")
@click.option("--protocol", type=click.Choice(["http/protobuf", "grpc"]), default="http/protobuf", show_default=True)
def main(seconds: float, rounds: int, connections: int, ratio: float, protocol: str) -> None:
    """Hits with tracing, by what the receiver of spans does, against hits without.

    The receivers speak HTTP: over gRPC only those that hang or are not there mean something, and only they are tried.

    \b
    Example:
      python -m loadtests.tracing --ratio 1 --rounds 3 --seconds 2
    """
    console = Console()
    tried = RECEIVERS if protocol == "http/protobuf" else ("hangs", "is not there")
    with ExitStack() as stack:
        with console.status("starting"):
            ways = _start(stack, tried, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": str(ratio)}, protocol)
        for _ in track(range(rounds), description="driving", console=console, transient=True):
            for way in ways.values():
                way.drive(connections, seconds)
        table = _table(ways)
    told = f"{connections} connections, {rounds} x {seconds:g} s, {ratio:.0%} of reads traced over {protocol}, driver: {driver_name()}"
    console.print(f"{told}, Python {sys.version.split()[0]}, cores {CPUS}", soft_wrap=True)
    console.print(table)


def _start(stack: ExitStack, receivers: Sequence[str], sampling: Mapping[str, str], protocol: str) -> dict[str, Way]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with demo(folder / "loaded", {}):
        pass  # loaded once, for all of them
    ways = {OFF: _gateway(stack, folder, "off", {})}
    for name in receivers:
        url = f"http://127.0.0.1:{stack.enter_context(_receiver(name))}"
        exports = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **sampling}
        ways[f"a receiver that {name}"] = _gateway(stack, folder, name, exports)
    return ways


def _gateway(stack: ExitStack, folder: Path, name: str, exports: Mapping[str, str]) -> Way:
    own = folder / name
    shutil.copytree(folder / "loaded", own)
    pid, port, key = stack.enter_context(demo(own, {"FEATURE_GATEWAY_AUTH__METRICS": "open", **exports}))
    target = Target(port, _PATH, {"Authorization": f"Tecton-key {key}", "Content-Type": "application/json"}, msgspec.json.encode(_BODY))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=dict(target.headers), trust_env=False) as client:
        for _ in range(3):
            client.post(_PATH, content=target.body).raise_for_status()
    return Way(pid, target, _rss_mb(pid))


@contextmanager
def _receiver(name: str) -> Iterator[int]:
    """The port of one that does so."""
    if name in ("takes", "answers 503"):
        with span_receiver(busy=name != "takes") as port:
            yield port
        return
    with closing(socket.create_server(("127.0.0.1", 0), backlog=128)) as listener:
        port = listener.getsockname()[1]
        if name == "is not there":
            listener.close()
        yield port  # else the system accepts connections, and nobody reads them


def _table(ways: Mapping[str, Way]) -> Table:
    head = ("", "rate, of no tracing", "p50, of no tracing", "p99, of no tracing", "CPU µs/hit", "errors")
    table = Table(*head, "exported", "dropped", "failed", "MB more")
    base = ways[OFF].loads
    for name, way in ways.items():
        pairs = list(zip(way.loads, base, strict=True))
        table.add_row(
            name,
            spread([one.requests_per_s / bare.requests_per_s for one, bare in pairs]),
            spread([one.p50_ms / bare.p50_ms for one, bare in pairs]),
            spread([one.p99_ms / bare.p99_ms for one, bare in pairs]),
            f"{median(way.cpu_us):.0f}",
            str(sum(one.errors for one in way.loads)),
            *(f"{count:,}" for count in _spans(way)),
            f"{_rss_mb(way.pid) - way.rss_mb:.0f}",
        )
    return table


def _spans(way: Way) -> list[int]:
    text = httpx.get(f"http://127.0.0.1:{way.target.port}/metrics", trust_env=False).raise_for_status().text
    counts = dict(re.findall(r'^feature_gateway_spans_total\{result="(\w+)"\} (\S+)$', text, re.MULTILINE))
    return [int(float(counts[name])) for name in ("exported", "dropped", "failed")]


def _rss_mb(pid: int) -> float:
    """proc(5), /proc/pid/statm, field 2."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
