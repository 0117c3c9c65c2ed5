"""Single flight: one fetch under way for a fragment, and everyone else who wants it waits on that one.

The theory, after groupcache and pingora's cache lock:

    nobody flies it       → lead: start one task that fetches all the keys it is given
    somebody flies it     → join, if allowed: with the same credential as the leader's always, with another only under a grant
    the flight lands      → every waiter takes its fragments from the flight itself, stored or not
    the flight crashes    → the leader's error is the leader's; a follower looks again: it joins the next flight, or leads one
    a waiter goes away    → nothing happens: the task belongs to the gateway, not to any request
    a waiter's time is up → it alone gives up; the flight goes on and fills the cache
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Generic, TypeVar

from gateway.cache.keys import Key, Scope
from gateway.tasks import Tasks

Cargo = TypeVar("Cargo")


class Flight(Generic[Cargo]):
    """One fetch. `keys` are the fragments it was started for, `leader` the credential key it flies under, `started_s` when it began,
    `lease` the store's at that time: what it brings is stored under it."""

    def __init__(self, keys: tuple[Key, ...], leader: bytes, started_s: float, lease: int, task: asyncio.Task[Mapping[Key, Cargo]]) -> None:
        self.keys = keys
        self.leader = leader
        self.started_s = started_s
        self.lease = lease
        self.task = task

    def cargo(self) -> Mapping[Key, Cargo]:
        """What a landed flight brought. Raises what crashed it."""
        return self.task.result()


class Flights(Generic[Cargo]):
    """The flights in the air, by key. Belongs to one event loop."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._by_key: dict[Key, Flight[Cargo]] = {}
        self._by_leader: dict[tuple[Key, bytes], Flight[Cargo]] = {}

    def find(self, key: Key, caller: bytes, *, granted: bool) -> Flight[Cargo] | None:
        """The flight that fetches this key, if this caller may join it."""
        return self._by_key.get(key) if granted else self._by_leader.get((key, caller))

    def lead(
        self, keys: Iterable[Key], caller: bytes, started_s: float, lease: int, fetch: Coroutine[Any, Any, Mapping[Key, Cargo]]
    ) -> Flight[Cargo]:
        """Start the fetch of these keys. Where a flight is under way for a key, that one stays the one that others find."""
        flight = Flight(tuple(keys), caller, started_s, lease, self._tasks.start(fetch))
        for key in flight.keys:
            self._by_key.setdefault(key, flight)
            self._by_leader.setdefault((key, caller), flight)
        flight.task.add_done_callback(lambda _: self._land(flight))
        return flight

    def pass_by(self, scope: Scope) -> None:
        """Let nobody join a flight for what is purged now: it may have been asked before the change that the purge tells of. Those who
        wait on it already have it."""
        for key in [key for key in self._by_key if scope.covers(key)]:
            del self._by_key[key]
        for key, leader in [one for one in self._by_leader if scope.covers(one[0])]:
            del self._by_leader[key, leader]

    def _land(self, flight: Flight[Cargo]) -> None:
        for key in flight.keys:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            if self._by_leader.get((key, flight.leader)) is flight:
                del self._by_leader[key, flight.leader]

    def __len__(self) -> int:
        return len(self._by_key)


async def wait_for(flights: Iterable[Flight[Cargo]], timeout_s: float) -> bool:
    """Wait until all have landed or crashed; False when the time is up first. Never cancels a flight."""
    tasks = {flight.task for flight in flights}
    if not tasks:
        return True
    _, pending = await asyncio.wait(tasks, timeout=max(0.0, timeout_s))
    return not pending
