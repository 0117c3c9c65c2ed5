"""Hits that are spread over many rows, as those of many callers are: 10,000 sets of join keys, asked for by Zipf's law.

`hit` asks for one row over and over, whose every byte the processor has at hand. Here airports, carriers, routes and planes of the demo's
flights are mixed, so that every view has something to say, and each row has been asked for once before anything is timed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate
from random import Random

import click

from gateway.demo.flights import read_flights
from loadtests import misses
from loadtests.contest import BARE, NGINX_CACHE, OURS, TECTON, Contest, Row, Side, bare, body_of, nginx_cache, target_of, warm
from loadtests.drivers import Target
from loadtests.open_loop import drive

ROWS = 10_000
SCENARIO = f"hit, {ROWS:,} rows"
_REQUESTS = 3 * ROWS
_WARMED_PER_S = 4_000
_WARMING_S = 60.0


def join_key_sets(count: int) -> list[dict[str, str]]:
    """So many that differ, the same on every run. At most as many as the demo's routes, carriers and planes allow, millions."""
    flights = [{name: str(value) for name, value in one.items()} for one in read_flights()]
    routes = sorted({(one["origin"], one["dest"]) for one in flights})
    carriers, planes = (sorted({one[name] for one in flights}) for name in ("carrier", "tailnum"))
    random, chosen = Random(20260101), dict[tuple[str, ...], None]()
    while len(chosen) < count:
        chosen[(*random.choice(routes), random.choice(carriers), random.choice(planes))] = None
    return [dict(zip(("origin", "dest", "carrier", "tailnum"), one, strict=True)) for one in chosen]


def by_zipf(bodies: Sequence[bytes], count: int) -> list[bytes]:
    """So many requests, of which the n-th body is asked for 1/n times as often as the first."""
    weights = list(accumulate(1 / rank for rank in range(1, len(bodies) + 1)))
    return Random(5).choices(bodies, cum_weights=weights, k=count)


def hits(contest: Contest, gateway: tuple[int, int, str], rows: int = ROWS) -> list[Row]:
    """Beside a bare application and nginx's cache, at 16 connections."""
    bodies = [body_of("flight_history", keys) for keys in join_key_sets(rows)]
    first, *more = by_zipf(bodies, _REQUESTS)
    target = target_of(gateway, TECTON, first, more)
    with ExitStack() as stack:
        reply = warm(target)
        pid, port = stack.enter_context(bare(reply))
        sides = [Side(BARE, pid, target.at(port)), Side(OURS, gateway[0], target)]
        if misses.nginx_binary() is not None:
            pid, port = stack.enter_context(nginx_cache(reply))
            sides.append(Side(NGINX_CACHE, pid, target.at(port)))
        for side in sides[1:]:
            contest.tell(f"{SCENARIO}: warming {side.name}")
            ask_each(side.target, bodies)
        return contest.race(SCENARIO, sides, 16)


def ask_each(target: Target, bodies: Sequence[bytes]) -> None:
    """Each of these bodies once. Raises ClickException where one is not answered with 200."""
    first, *more = bodies
    wires = Target(target.port, target.path, target.headers, first, more).wires()
    asked = drive(_WARMED_PER_S, len(wires) / _WARMED_PER_S, wires.__getitem__, "127.0.0.1", target.port, patience_s=_WARMING_S)
    if bad := asyncio.run(asked).bad():
        raise click.ClickException(f"{len(bad)} of {len(wires)} reads were not answered while warming: {bad[0].kind}")
