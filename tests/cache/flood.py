"""Run in a process of its own by `test_memory`: what the store costs in resident memory, and what a flood does to it. Prints JSON."""

import asyncio
import gc
import json
import random
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.policy import Terms
from gateway.cache.store import FragmentStore
from gateway.features import INT64, Feature, Status, ViewLayout, ViewValues

LAYOUT = ViewLayout("a", (Feature("a.x", INT64),))
TERMS = Terms(60.0, 10.0, 3600.0, 5.0, 300.0)
BUDGET = 64 * 1024 * 1024
VIEWS = 4
_MOMENT_BYTES = 30
"""Of an effective time's text."""
Filled = Callable[[FragmentStore, str, int, int], None]


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def fragment(number: int, size_bytes: int) -> Fragment:
    """One whose every part is its own, as in a fragment that came from an origin."""
    values = ViewValues(
        LAYOUT, bytes(size_bytes // 3), bytes(size_bytes - size_bytes // 3), (Status.PRESENT,), (f"2024-01-01T00:00:00.{number:09}Z",)
    )
    return Fragment.of(values, number * 1e-3, TERMS, effective_at=number * 1.1, life=1 - number * 1e-9, early_s=number * 1e-6)


def fill(store: FragmentStore, prefix: str, entries: int, size_bytes: int) -> None:
    for number in range(entries):
        store.put((3, f"{prefix}-{number:08}"), fragment(number, size_bytes))


def fill_rows(store: FragmentStore, prefix: str, entries: int, size_bytes: int) -> None:
    """The same of rows of four views that came together, as a cluster's do."""
    for number in range(entries // VIEWS):
        first = fragment(number, size_bytes)
        text = f"{prefix}-{number:08}"
        store.put((3, text), first)
        for view in range(1, VIEWS):
            positional, named = bytes(len(first.positional)), bytes(len(first.named))
            beside = first.beside(ViewValues(LAYOUT, positional, named, (Status.PRESENT,), first.effective_times))
            assert beside is not None
            store.put((3 + view, text), beside)


def cost(entries: int, size_bytes: int, filled: Filled = fill) -> dict[str, float]:
    """Resident and counted bytes, first when the store is full, then after twice as many others came and went. `beside`: resident bytes
    of an entry, then, beside its encoded values and effective times."""
    probe = FragmentStore(BUDGET)
    fill(probe, "user", 1, size_bytes)
    store = FragmentStore(probe.size_bytes * entries)
    before = resident_bytes()
    filled(store, "user", entries, size_bytes)
    full = resident_bytes() - before
    counted = store.size_bytes
    filled(store, "other", 2 * entries, size_bytes)
    churned = resident_bytes() - before
    beside = churned / len(store) - size_bytes - _MOMENT_BYTES
    return {"full": full / counted, "churned": churned / store.size_bytes, "beside": beside}


def flood() -> dict[str, float]:
    """A hot set that is asked for by a Zipf law, before, while and after 10,000 answers of 20 KB come by that nobody asks for again; then
    the end of it all."""
    draw = random.Random(5)
    keys: list[Key] = [(3, f"hot-{number}") for number in range(20_000)]
    weights = list(accumulate([1 / (rank + 10) for rank in range(len(keys))]))
    before = resident_bytes()
    store = FragmentStore(BUDGET)

    def hit_ratio(rounds: int, strangers_each: int, name: str) -> float:
        hits = 0
        for round_ in range(rounds):
            for key in draw.choices(keys, cum_weights=weights, k=100):
                if store.lookup(key) is not None:
                    hits += 1
                else:
                    store.put(key, fragment(round_, 1_500))
            fill(store, f"{name}-{round_}", strangers_each, 20_000)
        return hits / (100 * rounds)

    hit_ratio(800, 0, "warm")
    told = {"before": hit_ratio(200, 0, "before"), "during": hit_ratio(200, 50, "flood"), "after": hit_ratio(200, 0, "after")}
    told["resident"] = (resident_bytes() - before) / BUDGET
    swept = asyncio.run(store.sweep(1e6))
    assert swept > 1_000
    told["swept"] = (resident_bytes() - before) / BUDGET
    fill(store, "again", 10_000, 20_000)
    store.clear()
    told["cleared"] = (resident_bytes() - before) / BUDGET
    return told


FILLS = {"cost": fill, "rows": fill_rows}

if __name__ == "__main__":
    print(json.dumps(flood() if sys.argv[1] == "flood" else cost(int(sys.argv[2]), int(sys.argv[3]), FILLS[sys.argv[1]])))
