"""What a read costs whose fragments another replica has fetched: found in a Valkey that they share, beside one that goes to the origin."""

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import httpx

from loadtests import misses
from loadtests.contest import Contest, Row, rss_mb
from loadtests.drivers import drive
from loadtests.servers import CPUS, Measured, measure, settle, span_receiver
from tests.harness.valkey import Valkey

SCENARIO = "miss, second level"
FROM_ORIGIN, FOUND = "gateway, from the origin", "gateway, found in Valkey"
CONNECTIONS = 16
_AHEAD = 2.5
"""Times as long the other replica reads the same keys before: it has to fetch them, and to store them in Valkey."""
_NEARLY_ALL = 0.99
_TRIES = 5


def found(contest: Contest) -> list[Row]:
    """Two gateways before one origin, nginx, which has the driver's core, as Valkey has; what the second reads the first has stored."""
    runs: dict[str, list[Measured]] = {FROM_ORIGIN: [], FOUND: []}
    with ExitStack() as stack:
        contest.tell(f"{SCENARIO}: starting")
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        valkey = stack.enter_context(Valkey(Path(folder), "--server-cpulist", str(CPUS[1])))
        origin_port = misses.free_port()
        stack.enter_context(misses.origin(origin_port))
        receiver = stack.enter_context(span_receiver())
        shared = f'[cache.shared]\nurl = "{valkey.url}"\n'
        alone, first, second = [
            misses.Side(name, *stack.enter_context(misses.gateway(origin_port, receiver, "fast", more=more, ttl_s=86_400)))
            for name, more in ((FROM_ORIGIN, ""), ("first", shared), (FOUND, shared))
        ]
        for number in range(contest.rounds):
            contest.tell(f"{SCENARIO}: round {number + 1} of {contest.rounds}")
            runs[FROM_ORIGIN].append(measure(alone.pid, alone.target(f"alone.{number}"), CONNECTIONS, contest.seconds))
            runs[FOUND].append(_of_what_the_first_stored(first, second, f"shared.{number}", contest.seconds))
        ratios = [a.load.requests_per_s / b.load.requests_per_s for a, b in zip(runs[FOUND], runs[FROM_ORIGIN], strict=True)]
        return [
            Row(SCENARIO, FROM_ORIGIN, CONNECTIONS, runs[FROM_ORIGIN], [], FROM_ORIGIN, rss_mb(alone.pid)),
            Row(SCENARIO, FOUND, CONNECTIONS, runs[FOUND], ratios, FROM_ORIGIN, rss_mb(second.pid)),
        ]


def _of_what_the_first_stored(first: misses.Side, second: misses.Side, run: str, seconds: float) -> Measured:
    """A run that hardly asked the origin. On a busy machine the first may not have stored enough, or Valkey be late: then another."""
    for attempt in range(1, _TRIES + 1):
        drive(first.target(f"{run}.{attempt}"), connections=CONNECTIONS, seconds=attempt * _AHEAD * seconds, cpu=CPUS[1])
        settle(first.pid)
        before = _looked_for(second)
        measured = measure(second.pid, second.target(f"{run}.{attempt}"), CONNECTIONS, seconds)
        hits, others = (now - then for now, then in zip(_looked_for(second), before, strict=True))
        if hits >= _NEARLY_ALL * (hits + others):
            return measured
    raise click.ClickException("the second level had too little of what was read: this machine is too busy to measure it")


def _looked_for(side: misses.Side) -> tuple[float, float]:
    """Fragments that were found in the second level, and those that were not."""
    url, rights = f"http://127.0.0.1:{side.port}/metrics", {"Authorization": f"Tecton-key {side.key}"}
    text = httpx.get(url, headers=rights, timeout=30, trust_env=False).raise_for_status().text
    counts = dict(re.findall(r"^feature_gateway_shared_(hits|misses)_total (\S+)$", text, re.MULTILINE))
    return float(counts["hits"]), float(counts["misses"])
