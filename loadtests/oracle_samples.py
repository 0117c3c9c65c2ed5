"""Which reads the oracle compares: keys that are busy, rare and absent, at instants anywhere and on every boundary there is."""

import random
from collections.abc import Iterator

from gateway.feature_server.definitions import DAY_S, HOUR_S, MINUTE_S, FeatureView, Source, Workspace
from gateway.features import Kind
from loadtests.oracle_sql import NS_PER_S, Key, Oracle, Read

_FIRST_S, _LAST_S = 1_355_961_600, 1_389_744_000
"""2012-12-20 to 2014-01-15: beyond the ends of the data by more than a week."""
_FAR_NS = (-1, 0, 1, -(10**18), 4 * 10**18, 1_357_034_400 * NS_PER_S)
"""Around 1970, 1938, 2096, and the first flight."""


def draw_reads(oracle: Oracle, workspace: Workspace, count: int, seed: int) -> Iterator[Read]:
    """The same for the same raw rows and seed; each view in turn."""
    draw = random.Random(seed)
    sources = {source.name: source for source in workspace.sources}
    drawn = [_View(oracle, view, sources[view.source], count // len(workspace.views) + 1, draw.getrandbits(31)) for view in workspace.views]
    for number in range(count):
        yield drawn[number % len(drawn)].read(draw)


class _View:
    def __init__(self, oracle: Oracle, view: FeatureView, source: Source, count: int, seed: int) -> None:
        self._view = view
        self._kinds = [source.dtype(key).kind for key in view.join_keys]
        self._busy = oracle.events(view, count, seed)
        self._rare = oracle.rare(view, 50)

    def read(self, draw: random.Random) -> Read:
        key, near_ns = draw.choice(self._rare if draw.random() < 0.15 else self._busy)
        if draw.random() < 0.08:
            key = self._absent(key, draw)
        return Read(self._view, key, self._instant(near_ns, draw), draw.random() < 0.2)

    def _absent(self, key: Key, draw: random.Random) -> Key:
        """One part of the key replaced by what no event has, or left out."""
        place = draw.randrange(len(key))
        strange = None if draw.random() < 0.3 else -7 if self._kinds[place] is Kind.INT64 else "NOWHERE"
        return (*key[:place], strange, *key[place + 1 :])

    def _instant(self, near_ns: int, draw: random.Random) -> int | None:
        """A third anywhere; the others to the nanosecond around an event, a window's end or start, a tile's, a TTL's."""
        lot = draw.random()
        if lot < 0.03:
            return None
        if lot < 0.06:
            return draw.choice(_FAR_NS)
        if lot < 0.36:
            return draw.randint(_FIRST_S * NS_PER_S, _LAST_S * NS_PER_S)
        off_ns = draw.choice((-1, 0, 1))
        reaches_s = [one.window_s for one in self._view.aggregations if one.window_s is not None] + [self._view.ttl_s or 0]
        if lot < 0.5:
            return near_ns + off_ns
        if lot < 0.7:
            return near_ns + draw.choice(reaches_s) * NS_PER_S + off_ns
        grid_ns = (self._view.interval_s or draw.choice((MINUTE_S, 10 * MINUTE_S, HOUR_S, 3 * HOUR_S, DAY_S))) * NS_PER_S
        return (near_ns // grid_ns + draw.choice((0, 1))) * grid_ns + draw.choice((0, *reaches_s)) * NS_PER_S + off_ns
