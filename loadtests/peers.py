"""`python -m loadtests.peers feast`: the gateway on its embedded feature server against Feast's Python feature server, in one run.

Both serve the same twelve features of the same 10,000 users out of SQLite over HTTP, by the same interpreter version, each pinned to one
core, the driver to another, driven in turn, so that a machine whose speed drifts drifts for both. Before anything is timed both are asked
for the same users and given the same events, and any difference in their answers ends the run.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from loadtests import contest as contests
from loadtests.drivers import COUNT, Target, driver_name
from loadtests.peer_data import USERS, attributes, users_in_turn
from loadtests.peer_processes import FeastEnvironment, feast_server, fill, find_feast, gateway, install, installed_python
from loadtests.peer_sides import Feast, Ours, Side, Users
from loadtests.servers import CPUS, Measured, measure, span_receiver, spread

CONNECTIONS = (1, 16)
SINGLE = "single read, uncached"
FEAST_SIDES = ("Feast, by names", "Feast, by service")
BATCH_ROWS = 100
INGEST_EVENTS = 10
"""Per request: as many as Tecton takes for one source."""
_SAMPLED_USERS = 200
_UNKNOWN_USER = USERS + 1
_CACHED_TTL_S = 86_400


@dataclass(frozen=True, slots=True)
class Server:
    """A side that is running. `label` tells apart the ways in which one server is asked."""

    label: str
    side: Side
    pid: int


@dataclass(frozen=True, slots=True)
class Question:
    """What is measured: the same work for each of some servers. `work`: what a request counts as."""

    name: str
    connections: int
    targets: Mapping[Server, Target]
    work: int = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against one other, run by run."""

    ours: Sequence[Measured]
    theirs: Sequence[Measured]

    @property
    def rates(self) -> list[float]:
        """How many times as many requests ours answers."""
        return [our.load.requests_per_s / their.load.requests_per_s for our, their in zip(self.ours, self.theirs, strict=True)]

    @property
    def by_cpu_time(self) -> list[float]:
        return [their.cpu_us / our.cpu_us for our, their in zip(self.ours, self.theirs, strict=True)]

    @property
    def tail_to_median(self) -> list[float]:
        """Our 99th percentile as a share of their median."""
        return [our.load.p99_ms / their.load.p50_ms for our, their in zip(self.ours, self.theirs, strict=True)]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The gateway beside its peers on this machine, as ratios within one run."""


@main.command()
@click.option("--seconds", default=2.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each kind.")
@click.option("--quick", is_flag=True, help="A look: two rounds of a second.")
@click.option("--feast-python", type=click.Path(path_type=Path), envvar="FEAST_PYTHON", help="An interpreter that has Feast.")
@click.option("--install", "wanted", is_flag=True, help="Install Feast into a virtual environment of its own, if it is not there yet.")
def feast(seconds: float, rounds: int, quick: bool, feast_python: Path | None, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    """Reads, batches and ingestion, against Feast's Python feature server on SQLite.

    \b
    Examples:
      python -m loadtests.peers feast --install
      FEAST_PYTHON=/path/to/venv/bin/python python -m loadtests.peers feast --quick
    """
    if wanted and feast_python is None and find_feast(installed_python()) is None:
        install()
    python = feast_python or installed_python()
    found = usable(python)
    if found is None:
        click.echo(f"skipped: {python} has no Feast; name another with --feast-python or FEAST_PYTHON, or let --install make it")
        return
    seconds, rounds = (1.0, 2) if quick else (seconds, rounds)
    console = Console(width=None if sys.stdout.isatty() else 220)
    with _servers(found) as servers, httpx.Client(timeout=60, trust_env=False) as client:
        verify(client, servers)
        _warm(client, servers)
        results = _measured(servers, seconds, rounds, console)
    console.print(_conditions(found, seconds, rounds), highlight=False)
    console.print(_table(results))


def usable(python: Path) -> FeastEnvironment | None:
    """Feast by this interpreter, None where it has none. Raises ClickException where its version is not ours."""
    found, ours = find_feast(python), sys.version.split()[0]
    if found is not None and found.version != ours:
        raise click.ClickException(f"Feast runs on Python {found.version} and this on {ours}: a ratio needs one version")
    return found


def single_reads(found: FeastEnvironment, contest: contests.Contest) -> list[contests.Row]:
    """Ours, uncached, beside Feast, asked in either way."""
    contest.tell(f"{SINGLE}: starting")
    with _servers(found) as servers, httpx.Client(timeout=60, trust_env=False) as client:
        verify(client, servers)
        _warm(client, servers)
        ours, _, *theirs = servers
        users = users_in_turn()
        sides = [contests.Side(server.label, server.pid, server.side.single(users)) for server in theirs]
        sides.append(contests.Side(contests.OURS, ours.pid, ours.side.single(users)))
        return [row for connections in CONNECTIONS for row in contest.race(SINGLE, sides, connections)]


@contextmanager
def _servers(found: FeastEnvironment) -> Iterator[list[Server]]:
    """Ours, uncached; ours, cached; Feast asked by feature names and by feature service. All filled with the same data."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True)))
        fill(folder / "ours")
        receiver = stack.enter_context(span_receiver())
        pid, port, key = stack.enter_context(gateway(folder / "ours", receiver, cache_ttl_s=0))
        cached_pid, cached_port, cached_key = stack.enter_context(gateway(folder / "ours", receiver, cache_ttl_s=_CACHED_TTL_S))
        feast_pid, feast_port = stack.enter_context(feast_server(found, folder / "feast"))
        yield [
            Server("ours", Ours(port, key), pid),
            Server("ours, cached", Ours(cached_port, cached_key), cached_pid),
            Server(FEAST_SIDES[0], Feast(feast_port, by_service=False), feast_pid),
            Server(FEAST_SIDES[1], Feast(feast_port, by_service=True), feast_pid),
        ]


def verify(client: httpx.Client, servers: Sequence[Server]) -> None:
    """All answer alike, for single reads, batches, an unknown user, and users with a newer event. Raises ClickException where not."""
    sample = users_in_turn()[:_SAMPLED_USERS]
    renewed = sample[:INGEST_EVENTS]
    for server in (servers[0], servers[2]):
        ask(client, server.side.ingest([renewed], second=0, version=2))
    expected: dict[int, dict[str, Any]] = {user: dict(attributes(user, 2 if user in renewed else 0)) for user in sample}
    expected[_UNKNOWN_USER] = dict.fromkeys(expected[sample[0]])
    for server in servers:
        users = list(expected)
        batch = server.side.values(ask(client, server.side.batch([users])))
        singles = [server.side.values(ask(client, server.side.single([user])))[0] for user in (*users[:20], _UNKNOWN_USER)]
        wrong = disagreements(batch, [expected[user] for user in users])
        wrong += disagreements(singles, [expected[user] for user in (*users[:20], _UNKNOWN_USER)])
        if wrong:
            raise click.ClickException(f"{server.label} answers otherwise than the data: {'; '.join(wrong[:5])}")


def disagreements(answered: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where two lists of rows differ in a value or its type, by place and name."""
    if len(answered) != len(expected):
        return [f"{len(answered)} rows instead of {len(expected)}"]
    return [
        f"row {index}, {name}"
        for index, (row, right) in enumerate(zip(answered, expected, strict=True))
        for name in right.keys() | row.keys()
        if name not in row or name not in right or type(row[name]) is not type(right[name]) or row[name] != right[name]
    ]


def ask(client: httpx.Client, target: Target) -> bytes:
    """The answer to the first of a target's requests. Raises ClickException where it is no good."""
    body = target.body.replace(COUNT.encode(), b"000000")
    reply = client.post(f"http://127.0.0.1:{target.port}{target.path}", content=body, headers=dict(target.headers))
    if not reply.is_success:
        raise click.ClickException(f"port {target.port} answered {target.path} with status {reply.status_code}")
    return reply.content


def in_groups(users: Users, size: int) -> list[Users]:
    return [users[start : start + size] for start in range(0, len(users), size)]


def _questions(servers: Sequence[Server], round_number: int) -> Iterator[Question]:
    uncached, cached, by_names, by_service = servers
    users = users_in_turn()
    rows, events = in_groups(users, BATCH_ROWS), in_groups(users, INGEST_EVENTS)
    reads = (uncached, by_names, by_service, cached)
    for connections in CONNECTIONS:
        yield Question("single vectors", connections, {server: server.side.single(users) for server in reads})
    for connections in CONNECTIONS:
        yield Question(f"batches of {BATCH_ROWS}", connections, {server: server.side.batch(rows) for server in reads[:3]})
    for place, connections in enumerate(CONNECTIONS):
        second = 1 + len(CONNECTIONS) * round_number + place
        pushed = Server("Feast", by_names.side, by_names.pid)
        ingests = {server: server.side.ingest(events, second) for server in (uncached, pushed)}
        yield Question(f"events, {INGEST_EVENTS} a request", connections, ingests, INGEST_EVENTS)


Results = dict[tuple[str, int, int], dict[str, list[Measured]]]
"""Runs by question (name, connections, work) and by the server's label."""


def _measured(servers: Sequence[Server], seconds: float, rounds: int, console: Console) -> Results:
    results: Results = {}
    for round_number in track(range(rounds), description="Feast", console=console, transient=True):
        for question in _questions(servers, round_number):
            by_server = results.setdefault((question.name, question.connections, question.work), {})
            for server, target in question.targets.items():
                by_server.setdefault(server.label, []).append(measure(server.pid, target, question.connections, seconds))
    return results


def _warm(client: httpx.Client, servers: Sequence[Server]) -> None:
    """Every user read once from each: pages in memory, registry read, caches filled where there are any."""
    for server in servers:
        for group in in_groups(users_in_turn(), BATCH_ROWS):
            ask(client, server.side.batch([group]))


_CONDITIONS = """\
Feast {feast}, Python {python} on both sides, driver: {driver}, cores {cores}, {rounds} rounds of {seconds:g} s for each figure.
Both tell values, statuses and times, and have every event on disk before they acknowledge it.
Ours: `feature-gateway serve`, one process, an API key on every request, spans of 1% of reads exported over OTLP, cache TTL 0: no value
comes from the cache, but for the rows that say so. Ingested events are kept, and the newest counts.
Feast: `feast serve`, one gunicorn worker, no authentication, telemetry or access log, registry in memory; asked by feature names and by
feature service. Ingested values are written over the ones before, whichever event is the newer. Its threads share one SQLite connection, so
some of many pushes at once fail; they are counted as errors.
"""


def _conditions(found: FeastEnvironment, seconds: float, rounds: int) -> str:
    return _CONDITIONS.format(feast=found.feast, python=found.version, driver=driver_name(), cores=CPUS, rounds=rounds, seconds=seconds)


def _table(results: Results) -> Table:
    table = Table(
        *("what", "Feast asked by", "connections", "ours/s", "p50 ms", "p99 ms", "Feast/s", "p50 ms", "p99 ms"),
        *("ours/Feast", "by CPU time", "our p99/Feast's p50", "errors ours, Feast's"),
    )
    for (name, connections, work), by_server in results.items():
        for label, other in by_server.items():
            if label in _ASKED_BY:
                table.add_row(name, _ASKED_BY[label], *row(connections, work, Comparison(by_server["ours"], other)))
        if "ours, cached" in by_server:
            against = Comparison(by_server["ours, cached"], by_server["Feast, by names"])
            table.add_row(f"{name}, ours from the cache", "names", *row(connections, work, against))
    return table


_ASKED_BY = {"Feast, by names": "names", "Feast, by service": "service", "Feast": "-"}


def row(connections: int, work: int, compared: Comparison) -> list[str]:
    """A comparison as the table shows it, from the connections on."""
    cells = [str(connections)]
    for side in (compared.ours, compared.theirs):
        cells.append(f"{work * median(one.load.requests_per_s for one in side):,.0f}")
        cells += [f"{median(one.load.p50_ms for one in side):.2f}", f"{median(one.load.p99_ms for one in side):.2f}"]
    errors = (sum(one.load.errors for one in side) for side in (compared.ours, compared.theirs))
    return [*cells, *map(spread, (compared.rates, compared.by_cpu_time, compared.tail_to_median)), ", ".join(map(str, errors))]


if __name__ == "__main__":
    main()
