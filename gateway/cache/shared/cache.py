"""The shared cache in Redis or Valkey, one server or a cluster. Its loss costs its small deadline, and seldom that.

    lookup      generations and entries in one round trip (per 256), with those begun at the same time (`joint`); late or failed is a miss.
                After five such trips in a row a second's pause
    store       in the background, many in a trip; dropped where too many wait
    invalidate  entries and generations first, then the word to other replicas; kept, and tried again until Redis has taken it
    follow      what others invalidate, and after every gap the word that something may have been missed

`layout` says how things lie in Redis, and why a fetch that began before a purge is never found after it.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import aclosing, suppress
from typing import Any

from gateway.breaker import Breaker
from gateway.cache.fragments import Fragment
from gateway.cache.shared.bus import Bus
from gateway.cache.shared.joint import Answer, JointLookups
from gateway.cache.shared.layout import (
    AHEAD_MS,
    LOOKUP,
    PURGE,
    SLACK_MS,
    STORE,
    Call,
    Kept,
    Keys,
    Message,
    announce,
    ask_generations,
    bases_of,
    decode_entry,
    decode_message,
    encode_entry,
    encode_message,
    generation_of,
    scopes_of,
)
from gateway.cache.shared.owed import Owed
from gateway.cache.shared.trips import Trips
from gateway.cache.sharing import EVERYTHING_STALE, Invalidation, Name, Seen, Shared, Stem
from gateway.counters import Counters
from gateway.incidents import incident
from gateway.redis_servers import Address
from gateway.tasks import Tasks

logger = logging.getLogger(__name__)
_KEYS_PER_CALL = 256
"""So that no script holds the server for long, nor its answer the event loop: that took 1.4 ms."""
_MOST_WAITING = 1_024
_STORED_AT_ONCE = 128


class RedisSharedCache:
    """Opens nothing until it is used. `deadline_s`: what a look-up (of up to 256) may take; the address has the time for all else.
    `longest_fetch_s`: what is stored later than this after its look-up is not. `clock`: the cache's, `real_clock`: for pauses; both
    monotonic, in seconds."""

    def __init__(
        self,
        address: Address,
        tasks: Tasks,
        counters: Counters,
        *,
        prefix: str,
        deadline_s: float,
        longest_fetch_s: float,
        clock: Callable[[], float],
        real_clock: Callable[[], float] = time.monotonic,
        pulse_s: float = 1.0,
    ) -> None:
        self._cluster = address.cluster
        self._tasks = tasks
        self._counters = counters
        self._keys = Keys(prefix)
        self._longest_ms = round(longest_fetch_s * 1_000)
        self._clock = clock
        self._trips = Trips(address)
        self._bus = Bus(address, self._trips, self._keys.channel, pulse_s)
        self._me = secrets.token_hex(8)
        self._breaker = Breaker(real_clock)
        self._lookups = JointLookups(self._ask, self._tell, tasks, most=_KEYS_PER_CALL, deadline_s=deadline_s)
        self._waiting: deque[tuple[Seen, Fragment]] = deque()
        self._storing = False
        self._owed = Owed()
        self._delivering = asyncio.Lock()
        self._delivery = Breaker(real_clock, failures=1)
        self._tried = self._taken = 0
        self._heard = asyncio.Event()

    async def lookup(self, names: Sequence[Name]) -> list[Seen | None]:
        seen: list[Seen | None] = []
        for start in range(0, len(names), _KEYS_PER_CALL):
            some = names[start : start + _KEYS_PER_CALL]
            answer = await self._lookups.look_up(some, self._servers(some)) if self._breaker.allows() else None
            if answer is None:  # what is late once is late: the deadline is not paid twice
                break
            seen += answer
        seen += [None] * (len(names) - len(seen))
        hits = sum(one is not None and one.found is not None for one in seen)
        self._counters.shared_unanswered += seen.count(None)
        self._counters.shared_hits += hits
        self._counters.shared_misses += len(names) - hits
        return seen

    def _tell(self, *, well: bool) -> None:
        was_closed = self._breaker.closed
        self._breaker.tell(well=well)
        if not well:
            self._counters.shared_failures += 1
        if was_closed != self._breaker.closed:
            logger.warning("the shared cache answers again" if well else "the shared cache does not answer in time: doing without it")

    async def _ask(self, names: Sequence[Name]) -> Answer:
        sent_s = self._clock()
        first, scopes = ask_generations(self._keys, secrets.token_hex(8), names)
        groups = self._groups([name.base for name in names])
        calls = [
            Call(LOOKUP, tuple([self._keys.base(names[place].base) for place in group]), tuple([names[place].entry for place in group]))
            for group in groups
        ]
        known, *replies = await self._trips.run([first, *calls])
        if isinstance(known, Exception) or all(isinstance(reply, Exception) for reply in replies):
            return None
        at_s, words = self._clock(), dict(zip(scopes, known, strict=True))
        generations: dict[Stem, bytes] = {}
        seen: list[Seen | None] = [None] * len(names)
        for group, reply in zip(groups, replies, strict=True):
            for place, (token, value) in zip(group, _pairs(reply), strict=False):
                name = names[place]
                if name.stem not in generations:
                    generations[name.stem] = generation_of([words[scope] for scope in name.stem.scopes])
                tokens = (token or b"", generations[name.stem])
                found = None if value is None else self._found(name, tokens[1], value, reply[0], sent_s)
                seen[place] = Seen(name, tokens, reply[0], at_s, found)
        return seen

    def _found(self, name: Name, generation: bytes, value: bytes, clock_ms: int, sent_s: float) -> Shared | None:
        """Its age counts from when Redis was asked, not from when it answered: rather older than younger."""
        entry = decode_entry(value)
        if entry is None or entry[1].generation != generation or entry[0] > clock_ms + AHEAD_MS:
            return None
        stored_at = sent_s - max(0, clock_ms - entry[0]) / 1_000
        if stored_at < self._owed.since(name):
            return None
        values = entry[1].values(name.stem.layout)
        return None if values is None else Shared(values, stored_at)

    def store(self, seen: Seen, fragment: Fragment) -> None:
        if len(self._waiting) >= _MOST_WAITING or not self._breaker.closed:
            self._counters.shared_drops += 1
            return
        self._waiting.append((seen, fragment))
        if not self._storing:
            self._storing = True
            self._tasks.start(self._store_waiting())

    async def _store_waiting(self) -> None:
        try:
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _STORED_AT_ONCE))]
                groups = self._groups([seen.name.base for seen, _ in some])
                replies = await self._trips.run([self._store_call([some[place] for place in group]) for group in groups])
                if any(isinstance(reply, Exception) for reply in replies):
                    self._tell(well=False)
        finally:
            self._storing = False

    def _store_call(self, some: Sequence[tuple[Seen, Fragment]]) -> Call:
        words: list[bytes | str | int] = []
        for seen, fragment in some:
            token, generation = seen.tokens
            kept = Kept(generation, fragment.positional, fragment.named, fragment.pattern, fragment.effective_times)
            asked_ms = seen.clock_ms + round((fragment.stored_at - seen.at_s) * 1_000)
            ends_ms = seen.clock_ms + round((fragment.gone_at - seen.at_s) * 1_000)
            words += (token, seen.name.entry, encode_entry(asked_ms, kept), ends_ms, seen.clock_ms + self._longest_ms)
        return Call(STORE, tuple([self._keys.base(seen.name.base) for seen, _ in some]), tuple(words))

    def invalidate(self, told: Sequence[Invalidation]) -> asyncio.Task[bool]:
        return self._tasks.start(self._deliver(self._owed.add(told, self._clock())))

    async def _deliver(self, number: int) -> bool:
        async with self._delivering:
            if self._tried < number:  # else it went with those before it
                await self._try()
            return self._taken >= number

    async def _try(self) -> None:
        """All that is owed, in one go."""
        self._tried, told = self._owed.all()
        if not self._delivery.allows():
            return
        sent = await self._sent(told)
        self._delivery.tell(well=sent)
        if sent:
            self._owed.settle(self._tried)
            self._taken = self._tried
        else:
            self._counters.shared_failures += 1

    async def _sent(self, told: Sequence[Invalidation]) -> bool:
        """First what is looked up, then the word: whoever hears it finds nothing of before."""
        bases, token = list(bases_of(told)), secrets.token_hex(8)
        calls = [
            Call(PURGE, tuple([self._keys.base(bases[place]) for place in group]), (token, self._longest_ms + SLACK_MS))
            for group in self._groups(bases)
        ]
        if any(isinstance(reply, Exception) for reply in await self._trips.run(calls)):
            return False
        message = encode_message(Message.of(self._me, told))
        (heard,) = await self._trips.run([announce(self._keys, secrets.token_hex(8), message, scopes_of(told))])
        return not isinstance(heard, Exception)

    async def follow(self, purged: Callable[[Sequence[Invalidation]], Awaitable[None]]) -> None:
        async with aclosing(self._bus.heard()) as texts:
            async for text in texts:
                told = self._told_by(text)
                try:
                    if told:
                        await purged(told)
                except Exception as error:  # noqa: BLE001 - whatever one message did, the next must be heard
                    incident(error, logger)
                if text is None:
                    self._heard.set()
                if self._owed and not self._delivering.locked():
                    self._tasks.start(self._deliver(self._tried + 1))

    def _told_by(self, text: bytes | None) -> Sequence[Invalidation]:
        if text == b"":
            return ()
        message = None if text is None else decode_message(text)
        if message is None:
            return (EVERYTHING_STALE,)
        return () if message.sender == self._me else (*message.purges, *message.writes)

    async def listening(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        return self._heard.is_set()

    async def aclose(self) -> None:
        """After the tasks that it was given have ended."""
        await self._trips.aclose()

    def _servers(self, names: Sequence[Name]) -> Hashable:
        if not self._cluster:
            return None
        return self._trips.servers([self._keys.base(base) for base in {name.base[0]: name.base for name in names}.values()])

    def _groups(self, bases: Sequence[bytes]) -> list[list[int]]:
        """The places of those whose keys may stand in one command."""
        groups: dict[int, list[int]] = {}
        for place, base in enumerate(bases):
            groups.setdefault(base[0] if self._cluster else 0, []).append(place)
        return [group[start : start + _KEYS_PER_CALL] for group in groups.values() for start in range(0, len(group), _KEYS_PER_CALL)]


def _pairs(reply: Any) -> list[tuple[bytes | None, bytes | None]]:
    """What a look-up found, name by name; nothing, where it failed."""
    return [] if isinstance(reply, Exception) else list(zip(reply[1::2], reply[2::2], strict=True))
