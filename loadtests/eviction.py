"""`python -m loadtests.eviction`: which entries a bounded cache should keep. Hit ratios of the gateway's own store and of those that it was
chosen over, on two traces, at sizes from a fiftieth to half of all that is asked for; and what a look-up and a put cost.

A ratio counts every look-up from an empty cache on; nothing expires.
"""

import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from loadtests.eviction_policies import Clock, Lru, Policy, TinyLfu
from loadtests.eviction_traces import Trace, flights, zipf_and_scans

OWN = "S3-FIFO (the store)"
POLICIES: Mapping[str, Callable[[int], Policy]] = {"LRU (cachetools)": Lru, "CLOCK": Clock, OWN: FragmentStore, "W-TinyLFU": TinyLfu}
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5)
_REPEATS = 9
_STRANGERS: list[Key] = [(1, f"nobody-{number}") for _ in range(20) for number in range(1_000)]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`share`: the cache's bytes, of all bytes that are asked for."""

    trace: str
    share: float
    ratios: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians, in nanoseconds: a look-up that finds, one that does not, and a put that has to make room."""

    policy: str
    hit_ns: float
    miss_ns: float
    put_ns: float


def replay(policy: Policy, trace: Trace) -> float:
    """The hit ratio."""
    hits = 0
    for key in trace.keys:
        if policy.lookup(key) is not None:
            hits += 1
        else:
            fragment = trace.fragments[key]
            fragment.visits = 0
            policy.put(key, fragment)
    return hits / len(trace.keys)


def ratios(traces: Sequence[Trace], shares: Sequence[float]) -> Iterator[Ratio]:
    for trace in traces:
        for share in shares:
            max_bytes = int(trace.distinct_bytes * share)
            yield Ratio(trace.name, share, {name: replay(make(max_bytes), trace) for name, make in POLICIES.items()})


def cost(name: str, make: Callable[[int], Policy], trace: Trace) -> Cost:
    """Of a cache with room for a tenth of the trace, full and warm."""
    policy = make(trace.distinct_bytes // 10)
    replay(policy, trace)
    held = [key for key in trace.fragments if policy.lookup(key) is not None]
    asked = _asked(held)
    hits, misses, puts = [], [], []
    one = next(iter(trace.fragments.values()))
    for round_ in range(_REPEATS):
        new: list[Key] = [(2, f"new-{round_}-{number}") for number in range(5_000)]
        fragments = [type(one)(one.positional, one.named, "", "", 0.0) for _ in new]
        hits.append(_per_call_ns(policy.lookup, asked))
        misses.append(_per_call_ns(policy.lookup, _STRANGERS))
        puts.append(_per_call_ns(policy.put, new, fragments))
    return Cost(name, median(hits), median(misses), median(puts))


def bare_cost(trace: Trace) -> Cost:
    """The yardstick: a dict's own `get`."""
    plain = dict(trace.fragments)
    asked = _asked(plain)
    hits, misses = ([_per_call_ns(plain.get, keys) for _ in range(_REPEATS)] for keys in (asked, _STRANGERS))
    return Cost("a dict's get", median(hits), median(misses), 0.0)


def _asked(keys: Iterable[Key]) -> list[Key]:
    """A hot set, small enough for the processor's own caches, asked for again and again; each request makes its own keys."""
    return [(*key,) for _ in range(20) for key in islice(keys, 1_000)]


def _per_call_ns(call: Callable[..., object], *arguments: Sequence[object]) -> float:
    gc.collect()
    started_ns = time.perf_counter_ns()
    deque(map(call, *arguments), maxlen=0)
    return (time.perf_counter_ns() - started_ns) / len(arguments[0])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Ten days of flights, fewer requests, two sizes: some seconds instead of minutes.")
@click.option("--json", "as_json", is_flag=True, help="The same figures as one JSON object.")
def main(*, quick: bool, as_json: bool) -> None:
    """Hit ratios and costs of cache policies, on the flights of a year and on a Zipf law crossed by scans."""
    zipf = zipf_and_scans(40_000, keys=10_000, scans=2, scan_keys=5_000) if quick else zipf_and_scans(1_000_000)
    traces = [flights(10 if quick else None), zipf]
    told = list(ratios(traces, SHARES[::3] if quick else SHARES))
    costs = [bare_cost(zipf), *(cost(name, make, zipf) for name, make in POLICIES.items())]
    if as_json:
        click.echo(json.dumps({"ratios": [asdict(one) for one in told], "costs": [asdict(one) for one in costs]}))
        return
    console = Console()
    for trace in traces:
        console.print(f"{trace.name}: {len(trace.keys):,} look-ups, {len(trace.fragments):,} keys, {trace.distinct_bytes / 1e6:.1f} MB")
    table = Table("trace", "cache, of all bytes", *POLICIES)
    for row in told:
        table.add_row(row.trace, f"{row.share:.0%}", *(f"{row.ratios[name]:.1%}" for name in POLICIES))
    console.print(table)
    table = Table("ns, Python " + sys.version.split()[0], "hit", "miss", "put with eviction")
    for each in costs:
        table.add_row(each.policy, f"{each.hit_ns:.0f}", f"{each.miss_ns:.0f}", f"{each.put_ns:.0f}" if each.put_ns else "")
    console.print(table)


if __name__ == "__main__":
    main()
