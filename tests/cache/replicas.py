"""Replicas that share a cache, each with a clock, counters and ears of its own; and the views that they share fragments of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key, Namespace
from gateway.cache.policy import Terms
from gateway.cache.shared.cache import RedisSharedCache
from gateway.cache.sharing import Invalidation, Name, Seen, Shared, Stem
from gateway.counters import Counters
from gateway.features import INT64, STRING, Feature, Field, Status, ViewLayout, ViewValues
from gateway.redis_servers import Address
from gateway.tasks import Tasks
from tests.harness.clock import PATIENCE_S, Clock, wait_until
from tests.harness.valkey import ValkeyCluster

LAYOUT = ViewLayout("user", (Feature("user.count", INT64), Feature("user.city", STRING)))
USER = Field("user_id", STRING)
NAMESPACE = Namespace("prod", LAYOUT, (USER,), (), "users@1")
STEM = Stem(NAMESPACE)
ANN = STEM.name((7, "ann"))
TERMS = Terms(60.0, 60.0, error_s=40.0)
VALUES = ViewValues(
    LAYOUT, b'"3","Ghent"', b'"user.count":3,"user.city":"Ghent"', (Status.PRESENT, Status.MISSING_DATA), ("2026-01-01T00:00:00Z", None)
)


def named(user: str, rest: Key = (), stem: Stem = STEM) -> Name:
    return stem.name((7, user, *rest))


def stem_of(view: str, workspace: str = "prod", identity: str | None = None) -> Stem:
    return Stem(Namespace(workspace, ViewLayout(view, LAYOUT.features), (USER,), (), identity))


class Reachable(Protocol):
    @property
    def url(self) -> str: ...


@dataclass(slots=True)
class Replica:
    """`following`: the tasks that listen, apart from those that end by themselves."""

    shared: RedisSharedCache
    clock: Clock
    pauses: Clock
    counters: Counters
    tasks: Tasks
    following: Tasks
    heard: list[Invalidation] = field(default_factory=list)

    async def look(self, name: Name = ANN) -> Seen:
        (seen,) = await self.shared.lookup([name])
        assert seen is not None
        return seen

    async def find(self, name: Name = ANN) -> Shared | None:
        return (await self.look(name)).found

    async def share(self, name: Name = ANN, *, seen: Seen | None = None, age_s: float = 0.0, values: ViewValues = VALUES) -> None:
        """Store what was fetched so long ago, and wait until that is done."""
        seen = await self.look(name) if seen is None else seen
        self.shared.store(seen, Fragment.of(values, seen.at_s - age_s, TERMS))
        await self.idle()

    async def idle(self) -> None:
        while running := list(self.tasks._running):
            await asyncio.wait(running)

    async def hear(self, purged: Callable[[Sequence[Invalidation]], Any] | None = None) -> None:
        """Follow, and be past the word that something may have been missed."""

        async def note(told: Sequence[Invalidation]) -> None:
            self.heard += told
            if purged is not None:
                purged(told)

        self.following.start(self.shared.follow(note))
        assert await self.shared.listening(PATIENCE_S)


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.get_running_loop().run_in_executor(None, wait_until, condition, what)


@asynccontextmanager
async def replica(
    server: Reachable,
    prefix: str,
    *,
    now_s: float = 1_000.0,
    deadline_s: float = 10.0,
    timeout_s: float = 10.0,
    longest_fetch_s: float = 10.0,
    pulse_s: float = 0.05,
) -> AsyncIterator[Replica]:
    clock, pauses, counters, tasks, following = Clock(now_s), Clock(), Counters(), Tasks(), Tasks()
    shared = RedisSharedCache(
        Address(server.url, isinstance(server, ValkeyCluster), timeout_s, timeout_s),
        tasks,
        counters,
        prefix=prefix,
        deadline_s=deadline_s,
        longest_fetch_s=longest_fetch_s,
        clock=clock,
        real_clock=pauses,
        pulse_s=pulse_s,
    )
    try:
        yield Replica(shared, clock, pauses, counters, tasks, following)
    finally:
        await following.aclose()
        await tasks.aclose()
        await shared.aclose()
