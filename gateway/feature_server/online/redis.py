"""The online store in Redis or Valkey, one server or a cluster: shared by many processes.

Reads run on the event loop that asks: one round trip, whatever is read (in a cluster one to each node concerned, at once), and every
cell is one command, so it is seen at one instant. Writes run for a thread that blocks: look-ups, a trip for each kind; then one script per
cell, all in one trip. A script does nothing where the cell is no longer as it was looked up, and then the whole write is done again. So
writers on any number of machines never undo one another, and nobody holds a lock.

Across cells nothing is atomic: a write that fails half-way has changed some cells, each of them wholly, and is to be repeated.
`redis_layout` says how a cell lies in Redis, `redis_trips` and `redis_servers` how commands get there.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from time import sleep
from typing import Any, TypeVar

from gateway.errors import OriginError, OriginUnavailable
from gateway.feature_server.online import redis_layout as layout
from gateway.feature_server.online.base import Batch, Cell, CellRead, Found, Retention, StoreMismatch
from gateway.feature_server.online.loop_thread import LoopThread
from gateway.feature_server.online.redis_batch import Overtaken, RedisBatch
from gateway.feature_server.online.redis_layout import Command, Keys
from gateway.feature_server.online.redis_trips import Trips
from gateway.luck import luck
from gateway.redis_servers import Address, Node

T = TypeVar("T")
logger = logging.getLogger(__name__)
_ATTEMPTS = 24
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.1
_SCHEMA_MISMATCH = (
    "The online store was written by another version of the gateway. Give this one another key prefix or an empty server and ingest the"
    " events again, or start with what wrote this one."
)


_SCAN_COUNT = 1_000
"""Keys that a SCAN looks at: other views' keys lie among them."""


class RedisStore:
    """Opens nothing until it is used. `pause` waits, in seconds, before a write that others overtook is done again."""

    immediate = False
    forgets = True

    def __init__(self, address: Address, *, prefix: str = "fg", pause: Callable[[float], None] = sleep) -> None:
        self._address = address
        self._keys = Keys(prefix)
        self._pause = pause
        self._thread = LoopThread("online-store")
        self._writer: Trips | None = None
        self._readers: dict[asyncio.AbstractEventLoop, Trips] = {}
        self._closed = False
        self._prepared: Mapping[str, str] = {}
        self._advanced: dict[int, int] = {}
        self._forgetting: dict[str, Iterator[bytes]] = {}

    def prepare(self, views: Mapping[str, str]) -> Mapping[str, int]:
        self._prepared = {**self._prepared, **views}
        self._register(self._told([self._preparation(views)])[0])
        self._warn_of_eviction()
        return {name: layout.view_id(name) for name in views}

    def ids(self, names: Iterable[str]) -> Mapping[str, int]:
        known = self.views()
        return {name: layout.view_id(name) for name in names if name in known}

    def _preparation(self, views: Mapping[str, str]) -> Command:
        words: list[bytes | str] = [layout.SCHEMA_VERSION]
        for name, description in views.items():
            words += (str(layout.view_id(name)), name, description)
        return Command(layout.PREPARE, (self._keys.schema, self._keys.ids, self._keys.views), tuple(words))

    def _register(self, outcome: bytes) -> None:
        if outcome == b"schema":
            raise StoreMismatch(_SCHEMA_MISMATCH)
        if outcome == b"id":
            raise StoreMismatch("Two feature views have the same id in the online store. Change any part of one that shapes its data.")

    def _warn_of_eviction(self) -> None:
        """Asked once, where it may be asked: many hosted servers allow no CONFIG."""
        with suppress(OriginError):
            for node in self._nodes():
                told = self._asked(node, "CONFIG GET", "maxmemory-policy")
                policy = told.get("maxmemory-policy", "noeviction")
                if policy != "noeviction":
                    logger.warning("the online store's server may drop feature data: its maxmemory-policy is %s, not noeviction", policy)
                    return

    def views(self) -> Mapping[str, str]:
        (told,) = self._told([Command("HGETALL", (self._keys.views,))])
        return {name.decode(): description.decode() for name, description in told.items()}

    async def read(self, wanted: Sequence[CellRead]) -> Found:
        commands = [layout.read_cell(self._keys.cell(one.cell), one.parts) for one in wanted if one.parts]
        views = list(dict.fromkeys(one.cell.view for one in wanted))
        if not views:
            return Found([], {})
        *cells, stored = await self._trips().run([*commands, Command("HMGET", (self._keys.newest,), tuple(views))])
        answers = iter(cells)
        found = []
        for one in wanted:
            members = () if not one.parts else (next(answers),) if len(one.parts) == 1 else next(answers)
            found.append([layout.rows_of(part.kind, rows) for part, rows in zip(one.parts, members, strict=True)])
        return Found(found, {view: layout.newest_of(at) for view, at in zip(views, stored, strict=True) if at is not None})

    async def newest(self) -> Mapping[int, int]:
        (told,) = await self._trips().run([Command("HGETALL", (self._keys.newest,))])
        return {int(view): layout.newest_of(at) for view, at in told.items()}

    async def keys(self, view: int, indexed_under: bytes, limit: int) -> list[bytes]:
        if limit < 1:
            return []
        (found,) = await self._trips().run([Command(layout.KEYS, self._keys.index(view, indexed_under), (limit,))])
        return list(found)

    def write(self, work: Callable[[Batch], T]) -> T:
        for attempt in range(_ATTEMPTS):
            batch = RedisBatch(self._told, self._keys)
            with suppress(Overtaken):
                done = work(batch)
                self._advance(batch.apply())
                return done
            # random, so that two writers do not overtake one another for ever
            self._pause(luck.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)))
        raise OriginUnavailable("The online store's cells are being written by others all the time.")

    def _advance(self, newest: Mapping[int, int]) -> None:
        """After the cells, so that it never tells of an event that is not there; and only where it says something new."""
        later = {view: at_ns for view, at_ns in newest.items() if at_ns > self._advanced.get(view, at_ns - 1)}
        if later:
            words = tuple(word for view, at_ns in later.items() for word in (view, layout.spell_newest(at_ns)))
            try:
                self._told([Command(layout.ADVANCE, (self._keys.newest,), words)])
            except OriginUnavailable:
                self._advanced.clear()  # what it knew may be gone
                raise
            self._advanced |= later

    def scan(self, view: int, limit: int) -> Iterator[list[bytes]]:
        for keys in self._scan(self._keys.of_view(view), limit):
            for start in range(0, len(keys), limit):
                yield [self._keys.join_key(key) for key in keys[start : start + limit]]

    def _scan(self, pattern: bytes, limit: int) -> Iterator[list[bytes]]:
        for node in self._nodes():
            cursor = 0
            while True:
                cursor, keys = self._asked(node, "SCAN", cursor, "MATCH", pattern, "COUNT", max(limit, _SCAN_COUNT))
                if keys:
                    yield keys
                if not cursor:
                    break

    def trim(self, cells: Sequence[Cell], retention: Retention) -> None:
        ranges = tuple(word for limits in layout.outdated(retention) for word in limits)
        self._told([Command(layout.TRIM, (self._keys.cell(cell),), ranges) for cell in cells])

    def forget(self, name: str, limit: int) -> bool:
        """Goes on where the last call for this view stopped: the server's keys are looked through once, not once per call."""
        if name not in self.views():
            return True
        view = layout.view_id(name)
        rest = self._forgetting.pop(name, None) or self._every_key(view, limit)
        some = list(islice(rest, limit))
        self._told([Command("UNLINK", (key,)) for key in some])
        if len(some) == limit:
            self._forgetting[name] = rest
            return False
        self._told([Command("HDEL", (self._keys.newest,), (view,)), Command("HDEL", (self._keys.ids,), (view,))])
        self._told([Command("HDEL", (self._keys.views,), (name,))])
        self._advanced.pop(view, None)
        return True

    def _every_key(self, view: int, limit: int) -> Iterator[bytes]:
        for pattern in (self._keys.indexes_of_view(view), self._keys.of_view(view)):
            for keys in self._scan(pattern, limit):
                yield from keys

    async def ready(self) -> None:
        """A server that lost everything (it was emptied, or restarted without a copy on disk) is told of the views again."""
        trips = self._trips()
        (schema,) = await trips.run([Command("GET", (self._keys.schema,))])
        if schema is None and self._prepared:
            self._advanced.clear()
            logger.warning("the online store was emptied: features have no data until events are ingested again")
            (outcome,) = await trips.run([self._preparation(self._prepared)])
            self._register(outcome)

    async def aclose(self) -> None:
        """For callers on the loop that reads: `close` from a thread, waited for."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """From a thread, before the loops that read are closed; on such a loop itself its connections close when it goes on."""
        self._closed = True
        for loop, trips in self._readers.items():
            self._close_reader(loop, trips)
        self._readers = {}
        if self._writer is not None:
            with suppress(OriginUnavailable):
                self._thread.run(self._writer.aclose())
        self._thread.close()

    def _close_reader(self, loop: asyncio.AbstractEventLoop, trips: Trips) -> None:
        if loop.is_closed():
            return
        if not loop.is_running():
            loop.run_until_complete(trips.aclose())
            return
        closing = asyncio.run_coroutine_threadsafe(trips.aclose(), loop)
        if _running() is not loop:
            with suppress(TimeoutError):
                closing.result(self._address.patience_s)

    def _trips(self) -> Trips:
        """Connections belong to an event loop."""
        loop = asyncio.get_running_loop()
        trips = self._readers.get(loop)
        if self._closed:
            raise OriginUnavailable("The online store is closed.")
        if trips is None:
            self._readers = {one: its for one, its in self._readers.items() if not one.is_closed()}
            trips = self._readers[loop] = Trips(self._address)
        return trips

    async def _on_thread(self, ask: Callable[[Trips], Coroutine[Any, Any, T]]) -> T:
        if self._writer is None:
            self._writer = Trips(self._address)
        return await ask(self._writer)

    def _nodes(self) -> Sequence[Node]:
        return self._thread.run(self._on_thread(lambda trips: trips.nodes()))

    def _asked(self, node: Node, *words: bytes | str | int) -> Any:
        return self._thread.run(self._on_thread(lambda trips: trips.ask(node, *words)))

    def _told(self, commands: Sequence[Command]) -> list[Any]:
        return self._thread.run(self._on_thread(lambda trips: trips.run(commands))) if commands else []


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
