"""Single flight: one fetch under way for a fragment, and everyone else who wants it waits on that one.

The theory, after groupcache and pingora's cache lock:

    nobody flies it       → lead: start one task that fetches all the keys it is given; or launch it, where its fetch needs no task
    somebody flies it     → join, if allowed: with the same credential as the leader's always, with another only under a grant
    the flight lands      → every waiter takes its fragments from the flight itself, stored or not
    the flight crashes    → the leader's error is the leader's; a follower looks again: it joins the next flight, or leads one
    a waiter goes away    → nothing happens: the task belongs to the gateway, not to any request
    a waiter's time is up → it alone gives up; the flight goes on and fills the cache
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from gateway.cache.keys import Key, Scope
from gateway.tasks import Tasks

Cargo = TypeVar("Cargo")


class Flight(Generic[Cargo]):
    """One fetch. `keys` are the fragments it was started for, `leader` the credential key it flies under, `started_s` when it began,
    `lease` the store's at that time: what it brings is stored under it. `landing`: done when it has landed or crashed."""

    __slots__ = ("keys", "landing", "leader", "lease", "sought", "started_s")

    def __init__(
        self, keys: tuple[Key, ...], leader: bytes, started_s: float, lease: int, landing: "asyncio.Future[Mapping[Key, Cargo]]"
    ) -> None:
        self.keys = keys
        self.leader = leader
        self.started_s = started_s
        self.lease = lease
        self.landing = landing
        self.sought = False
        """Whether anybody has found it, who may be waiting for it."""

    def cargo(self) -> Mapping[Key, Cargo]:
        """What a landed flight brought. Raises what crashed it."""
        return self.landing.result()


class Flights(Generic[Cargo]):
    """The flights in the air, by key. Belongs to one event loop."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._by_key: dict[Key, Flight[Cargo]] = {}
        self._beside: dict[tuple[Key, bytes], Flight[Cargo]] = {}
        """Those that began while another was in the air for the key, by their leaders, who find them all the same."""

    def find(self, key: Key, caller: bytes, *, granted: bool) -> Flight[Cargo] | None:
        """The flight that fetches this key, if this caller may join it."""
        flight = self._by_key.get(key)
        if not granted and (flight is None or flight.leader != caller):
            flight = self._beside.get((key, caller)) if self._beside else None
        if flight is not None:
            flight.sought = True
        return flight

    def free(self, keys: Iterable[Key]) -> bool:
        """Whether no flight is in the air for any of these, whoever leads it."""
        return self._by_key.keys().isdisjoint(keys) and not self._beside

    def lead(
        self, keys: Iterable[Key], caller: bytes, started_s: float, lease: int, fetch: Coroutine[Any, Any, Mapping[Key, Cargo]]
    ) -> Flight[Cargo]:
        """Start the fetch of these keys. Where a flight is under way for a key, that one stays the one that others find."""
        flight = Flight(tuple(keys), caller, started_s, lease, self._tasks.start(fetch))
        self._enter(flight)
        flight.landing.add_done_callback(lambda _: self._leave(flight))
        return flight

    def launch(self, keys: tuple[Key, ...], caller: bytes, started_s: float, lease: int) -> Flight[Cargo]:
        """A flight without a task, of a fetch that has begun: how it ends is told by `land`, `crash` or `follow`."""
        flight: Flight[Cargo] = Flight(keys, caller, started_s, lease, asyncio.get_running_loop().create_future())
        self._enter(flight)
        return flight

    def land(self, flight: Flight[Cargo], cargo: Mapping[Key, Cargo]) -> None:
        """A launched flight is over."""
        self._leave(flight)
        flight.landing.set_result(cargo)

    def crash(self, flight: Flight[Cargo], error: Exception) -> None:
        """The same, in vain."""
        self._leave(flight)
        flight.landing.set_exception(error)
        flight.landing.exception()  # those who wait have it too; seen here, it is never reported as lost

    def follow(self, flight: Flight[Cargo], fetch: Coroutine[Any, Any, Mapping[Key, Cargo]]) -> None:
        """A launched flight goes on as the fetch of a task, and ends as that does."""
        self._tasks.start(fetch).add_done_callback(partial(self._followed, flight))

    def _followed(self, flight: Flight[Cargo], task: asyncio.Task[Mapping[Key, Cargo]]) -> None:
        if task.cancelled():
            self._leave(flight)
            flight.landing.cancel()
        elif (error := task.exception()) is not None:
            assert isinstance(error, Exception)
            self.crash(flight, error)
        else:
            self.land(flight, task.result())

    def pass_by(self, scope: Scope) -> None:
        """Let nobody join a flight for what is purged now: it may have been asked before the change that the purge tells of. Those who
        wait on it already have it."""
        for key in [key for key in self._by_key if scope.covers(key)]:
            del self._by_key[key]
        for key, leader in [one for one in self._beside if scope.covers(one[0])]:
            del self._beside[key, leader]

    def _enter(self, flight: Flight[Cargo]) -> None:
        for key in flight.keys:
            if self._by_key.setdefault(key, flight) is not flight:
                self._beside.setdefault((key, flight.leader), flight)

    def _leave(self, flight: Flight[Cargo]) -> None:
        for key in flight.keys:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            elif self._beside and self._beside.get((key, flight.leader)) is flight:
                del self._beside[key, flight.leader]

    def __len__(self) -> int:
        return len(self._by_key)


async def wait_for(flights: Iterable[Flight[Cargo]], timeout_s: float) -> bool:
    """Wait until all have landed or crashed; False when the time is up first. Never cancels a flight."""
    landings = {flight.landing for flight in flights}
    if not landings:
        return True
    _, pending = await asyncio.wait(landings, timeout=max(0.0, timeout_s))
    return not pending
