"""Run in a process of its own by `test_memory`: what a flood does to the store's resident memory. Prints JSON."""

import asyncio
import json
import random
from itertools import accumulate

from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from loadtests.fragment_cost import BUDGET, fill, fragment, resident_bytes


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


if __name__ == "__main__":
    print(json.dumps(flood()))
