"""`python -m loadtests.fragment_cost`: what a full store costs in resident memory, in this process, which does nothing else. Prints JSON.

`cost` puts unrelated fragments, `rows` those of rows of four views that came together, as a cluster's do. Each part of a fragment is its
own, as in one that came from an origin.
"""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.cache.fragments import Fragment
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
    values = ViewValues(
        LAYOUT, bytes(size_bytes // 3), bytes(size_bytes - size_bytes // 3), (Status.PRESENT,), (f"2024-01-01T00:00:00.{number:09}Z",)
    )
    return Fragment.of(values, number * 1e-3, TERMS, effective_at=number * 1.1, life=1 - number * 1e-9, early_s=number * 1e-6)


def fill(store: FragmentStore, prefix: str, entries: int, size_bytes: int) -> None:
    for number in range(entries):
        store.put((3, f"{prefix}-{number:08}"), fragment(number, size_bytes))


def fill_rows(store: FragmentStore, prefix: str, entries: int, size_bytes: int) -> None:
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


FILLS = {"cost": fill, "rows": fill_rows}

if __name__ == "__main__":
    print(json.dumps(cost(int(sys.argv[2]), int(sys.argv[3]), FILLS[sys.argv[1]])))
