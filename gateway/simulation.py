"""What a cache of another size or TTL would have done: a request log, replayed against the gateway's own store on the log's own clock.

A sampled log has a share of the keys and all reads of these, so a cache of that share of the size does to it what the whole cache does to
all (SHARDS). Chance alone decides whether the few keys that most reads are of are among them; by how many reads there are too few or too
many the log says, and so many more or less count as hits (SHARDS-adj). Fetches take no time here, every fragment of a view has its view's
typical size, and nothing ends early but by TTL and size.

Pure: lines in, figures out. Knows no files, no clock, no terminal.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf
from typing import NamedTuple

import msgspec

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.policy import Terms
from gateway.cache.store import FragmentStore
from gateway.features import ViewLayout, ViewValues
from gateway.request_log import VERSION

UNKNOWN_BYTES = 1_024
"""Taken for the size of a view's fragments where the log does not say."""
_REPORT_EVERY = 10_000
Progress = Callable[[int], None]


class LogUnusable(ValueError):
    """The log cannot be simulated, and why."""


class _ViewLine(msgspec.Struct):
    number: int
    view: str = ""
    join_keys: list[str] = []
    bytes: int | None = None


class _Line(msgspec.Struct):
    """Any line of a log; which it is, its fields say."""

    request_log: int | None = None
    sample: float = 1.0
    service: str | None = None
    views: list[_ViewLine] | None = None
    at: float | None = None
    keys: dict[int, str] | None = None
    seen: int | None = None
    dropped: int | None = None


@dataclass(slots=True)
class LoggedView:
    """A view as the log tells of it. `size_bytes`: of one fragment, with what keeping it costs."""

    name: str
    join_keys: tuple[str, ...]
    size_bytes: int = UNKNOWN_BYTES
    reads: int = 0


@dataclass(slots=True)
class Log:
    """A request log, read. Row `i` was read at `times_s[i]` and wanted the fragments `wanted[ends[i-1]:ends[i]]`; fragment `f` is one of
    `views[views_of[f]]`.

    `seen`: views that were read until the last line that tells so, sampled or not; `wanted_of_seen`: of `wanted`, how many until then.
    `damaged`: lines that are not a log's; `strangers`: rows of views that no line before has introduced; both are left out. `dropped`:
    lines that the gateway could not write.
    """

    sample: float = 1.0
    times_s: "array[float]" = field(default_factory=lambda: array("d"))
    ends: "array[int]" = field(default_factory=lambda: array("Q"))
    wanted: "array[int]" = field(default_factory=lambda: array("L"))
    views_of: "array[int]" = field(default_factory=lambda: array("L"))
    views: list[LoggedView] = field(default_factory=list)
    seen: int = 0
    wanted_of_seen: int = 0
    damaged: int = 0
    strangers: int = 0
    dropped: int = 0

    @property
    def rows(self) -> int:
        return len(self.times_s)

    @property
    def unlucky(self) -> float:
        """How many view reads more a sample with its due share of the keys that are read most would have; below zero: so many less."""
        if not self.wanted_of_seen or self.dropped:
            return 0.0
        return len(self.wanted) * (self.seen * self.sample / self.wanted_of_seen - 1)

    @property
    def working_set_bytes(self) -> int:
        """What all fragments of the log take together, scaled to all keys."""
        return ceil(sum(self.views[view].size_bytes for view in self.views_of) / self.sample)


class Cell(NamedTuple):
    """One cache to try. `size_bytes` is the whole cache's, whatever the log's sample."""

    ttl_s: float
    size_bytes: int
    stale_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one cache would have done, counted in views over all rows. `unlucky`: as the log says. `calls`: fetches, each for all that its
    row lacked, and one more where something stale was fetched again behind it; it means something only where all keys are logged."""

    cell: Cell
    rows: int
    fresh: int
    stale: int
    missed: int
    calls: int
    unlucky: float = 0.0

    @property
    def view_reads(self) -> float:
        return self.fresh + self.stale + self.missed + self.unlucky

    @property
    def hit_ratio(self) -> float:
        """Views served from the cache, fresh: the share of view reads that the origin is spared, for what is stale is fetched after all."""
        return max(0.0, self.fresh + self.unlucky) / (self.view_reads or 1)

    @property
    def stale_share(self) -> float:
        """Views served from the cache, stale."""
        return min(1.0, self.stale / (self.view_reads or 1))

    @property
    def saved_calls(self) -> float:
        """Share of calls to the origin that are spared, against one for each row."""
        return 1 - self.calls / (self.rows or 1)


def read_log(lines: Iterable[bytes]) -> Log:
    """Raises LogUnusable where there is nothing to simulate."""
    reader = _Reader()
    for line in lines:
        reader.take(line)
    log = reader.log
    if not reader.begun:
        raise LogUnusable("This is not a request log: no line of it says with which settings it was made.")
    if not log.rows:
        raise LogUnusable("There is no read in this log.")
    return log


class _Reader:
    """Fills a `Log`. Numbers of views hold from one beginning of a part to the next; hashes never come again in another part."""

    def __init__(self) -> None:
        self.log = Log()
        self.begun = False
        self._decode = msgspec.json.Decoder(_Line).decode
        self._places: dict[int, int] = {}
        self._fragments: dict[str, int] = {}

    def take(self, text: bytes) -> None:
        if not text.strip():
            return
        try:
            line = self._decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.log.damaged += 1
            return
        if line.at is not None and line.keys is not None:
            self._row(line.at, line.keys)
        elif line.views is not None:
            self._introduce(line.views)
        elif line.request_log is not None:
            self._begin(line.request_log, line.sample)
        elif line.seen is not None:
            self.log.seen += line.seen
            self.log.wanted_of_seen = len(self.log.wanted)
        elif line.dropped is not None:
            self.log.dropped += line.dropped
        else:
            self.log.damaged += 1

    def _begin(self, version: int, sample: float) -> None:
        if version != VERSION:
            raise LogUnusable(f"This log has format {version}; here format {VERSION} is understood.")
        if not 0 < sample <= 1:
            raise LogUnusable(f"This log says that its sample is {sample}; it must be above 0 and at most 1.")
        if self.begun and sample != self.log.sample:
            raise LogUnusable(f"Parts of this log have different samples ({self.log.sample} and {sample}): simulate them apart.")
        self.begun, self.log.sample = True, sample
        self._places.clear()

    def _introduce(self, views: Sequence[_ViewLine]) -> None:
        for told in views:
            place = self._places.get(told.number)
            if place is None:
                place = self._places[told.number] = len(self.log.views)
                self.log.views.append(LoggedView(told.view, tuple(told.join_keys)))
            if told.bytes is not None:
                self.log.views[place].size_bytes = max(told.bytes, Fragment.of(_NOTHING, 0.0).size_bytes)

    def _row(self, at_s: float, keys: dict[int, str]) -> None:
        log, places, fragments = self.log, self._places, self._fragments
        if not places.keys() >= keys.keys():
            log.strangers += 1
            return
        for number, key in keys.items():
            fragment = fragments.get(key)
            if fragment is None:
                fragment = fragments[key] = len(log.views_of)
                log.views_of.append(places[number])
            log.wanted.append(fragment)
            log.views[places[number]].reads += 1
        log.times_s.append(at_s)
        log.ends.append(len(log.wanted))


def simulate(log: Log, cells: Sequence[Cell], progress: Progress) -> list[Outcome]:
    """One outcome per cell. `progress` is called with the rows replayed, over all cells. Caches that nothing is ever evicted from do the
    same under the same TTLs, so that is replayed once."""
    enough_bytes = log.working_set_bytes
    known: dict[Cell, Outcome] = {}
    outcomes = []
    for number, cell in enumerate(cells):
        same = cell._replace(size_bytes=min(cell.size_bytes, enough_bytes))
        if same not in known:
            before = number * log.rows
            known[same] = replay(log, same, lambda rows, before=before: progress(before + rows))  # type: ignore[misc]
        found = known[same]
        outcomes.append(replace(found, cell=cell))
        progress((number + 1) * log.rows)
    return outcomes


def replay(log: Log, cell: Cell, progress: Progress = lambda _: None) -> Outcome:
    """The whole log against an empty store."""
    terms = Terms(cell.ttl_s, cell.ttl_s, inf, cell.stale_s, 0.0)
    store = FragmentStore(round(cell.size_bytes * log.sample))
    values = [_values(view.size_bytes) for view in log.views]
    contents = [values[view] for view in log.views_of]
    keys: list[Key] = [(number,) for number in range(len(log.views_of))]
    lookup, put, wanted, stale_s = store.lookup, store.put, log.wanted, cell.stale_s
    fresh = stale = calls = start = 0
    for row, (at_s, end) in enumerate(zip(log.times_s, log.ends, strict=True)):
        fetched = refreshed = False
        for number in wanted[start:end]:
            key = keys[number]
            fragment = lookup(key)
            if fragment is not None and at_s < fragment.expires_at:
                fresh += 1
                continue
            if fragment is not None and at_s < fragment.expires_at + stale_s:
                stale += 1
                refreshed = True
            else:
                fetched = True
            put(key, Fragment.of(contents[number], at_s, terms))
        calls += fetched + refreshed
        start = end
        if row % _REPORT_EVERY == 0:
            progress(row)
    return Outcome(cell, log.rows, fresh, stale, len(wanted) - fresh - stale, calls, log.unlucky)


_NOTHING = ViewValues(ViewLayout("", ()), b"", b"", (), ())


def _values(size_bytes: int) -> ViewValues:
    """Something that takes so much room as a fragment."""
    return ViewValues(ViewLayout("", ()), bytes(size_bytes - Fragment.of(_NOTHING, 0.0).size_bytes), b"", (), ())
