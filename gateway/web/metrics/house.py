"""What is told of the house beside its reads: counters, cache, flights, guard, event loop, connections, the copy of access control."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.cache.flights import Flights
from gateway.cache.store import FragmentStore
from gateway.counters import MEANINGS, RESULTS, Counters
from gateway.hosting.lag import LoopLag
from gateway.origins.guard.origin import GuardedOrigin
from gateway.serving.readiness import Copied
from gateway.web.edge.admission import Admission
from gateway.web.metrics.told import Tell, Told


@dataclass(frozen=True, slots=True)
class Rooms:
    """What is looked into. `guard` None: its gauges are 0; `copy` None: there is no store. `origin`: of which kind it is."""

    counters: Counters
    store: FragmentStore
    flights: Flights[Any]
    lag: LoopLag
    admission: Admission
    version: str
    origin: str
    guard: GuardedOrigin | None = None
    copy: Copied | None = None


def rooms_of(rooms: Rooms) -> Tell:
    def tell(told: Told) -> Iterable[None]:
        _tell_counters(told, rooms.counters)
        told.number("cache_bytes", rooms.store.size_bytes)
        told.number("cache_fragments", len(rooms.store))
        told.number("cache_max_bytes", rooms.store.max_bytes)
        told.number("cache_evictions_total", rooms.store.evictions)
        told.number("flights", len(rooms.flights))
        told.buckets("event_loop_lag_seconds", rooms.lag.counts, rooms.lag.sum_s)
        told.number("event_loop_lag_seconds_max", rooms.lag.longest_s)
        told.number("event_loop_lag_seconds_recent", rooms.lag.recent_s)
        _tell_guard(told, rooms.guard)
        told.number("connections", rooms.admission.connections)
        if rooms.copy is not None:
            told.number("access_store_up", int(rooms.copy.up))
            told.number("access_copy_age_seconds", rooms.copy.age_s)
        told.number("build_info", 1, rooms.version, platform.python_version(), rooms.origin)
        return ()

    return tell


def _tell_counters(told: Told, counters: Counters) -> None:
    for name in MEANINGS:
        told.number(f"{name}_total", getattr(counters, name))
    for name, (_, results) in RESULTS.items():
        for result in results:
            told.number(f"{name}_total", getattr(counters, f"{name}_{result}"), result)


def _tell_guard(told: Told, guard: GuardedOrigin | None) -> None:
    slots = None if guard is None else guard.slots
    told.number("guard_open", 0 if guard is None else int(guard.open))
    told.number("guard_limit", 0 if slots is None else slots.limit)
    told.number("guard_under_way", 0 if slots is None else slots.under_way)
    told.number("guard_queued", 0 if slots is None else slots.queued)
