"""An origin's guard, put together from the settings: around origins that are waited for.

A part of the composition root. Not around the embedded server on SQLite, which is read inline and answers at once, nor around the fault
lab, whose bad days are meant to be met as they are.
"""

import time

from gateway.breaker import Breaker
from gateway.counters import Counters
from gateway.origins.base import Origin
from gateway.origins.guard.budget import RetryBudget
from gateway.origins.guard.lane import Lane
from gateway.origins.guard.limit import GradientLimit
from gateway.origins.guard.origin import GuardedOrigin, Policies
from gateway.origins.guard.retries import Retries
from gateway.origins.guard.slots import Slots
from gateway.origins.guard.throttle import Pause
from gateway.origins.guard.uncancelled import Uncancelled
from gateway.settings import Settings

_JITTER = 0.2
"""Of the time between probes: replicas must not probe together."""
_FAIR_S = 0.5


def guarded(settings: Settings, origin: Origin, counters: Counters) -> GuardedOrigin | None:
    """The origin with its guard around it; None where it is to have none.

    A guard cancels: the attempt that a hedge has overtaken, the hedge that lost, what does not end at its deadline. Neither the stock httpx
    pool nor a connection to Redis is to be cancelled in the midst of an answer; the hot transport loses a connection to it.
    """
    if not waits(settings):
        return None
    hot = settings.origin.kind == "tecton" and settings.origin.transport == "fast"
    return GuardedOrigin(origin if hot else Uncancelled(origin), policies(settings, counters), counters)


def waits(settings: Settings) -> bool:
    """Whether the origin of these settings is one that is waited for, and is to be guarded."""
    server = settings.feature_server
    return settings.origin.kind == "tecton" or (server.store == "redis" and not server.faults.active)


def policies(settings: Settings, counters: Counters) -> Policies:
    chosen, clock = settings.guard, time.monotonic

    def lane(name: str) -> Lane:
        breaker = (
            Breaker(clock, pause_s=chosen.breaker_pause_s, share=chosen.breaker_share, jitter=_JITTER) if chosen.breaker_share else None
        )
        return Lane(name, counters, breaker, Pause(clock, longest_s=chosen.retry_after_max_s) if chosen.retry_after_max_s else None)

    most = settings.origin.max_connections if chosen.limit_max is None else chosen.limit_max
    limit = GradientLimit(clock, least=chosen.limit_min, most=most) if most else None
    return Policies(
        lane("reads"),
        lane("ingest"),
        RetryBudget(clock, share=chosen.retry_budget),
        Retries(chosen.retries),
        Slots(clock, limit, counters, longest_wait_s=chosen.queue_ms / 1000) if limit is not None else None,
        hedging=chosen.hedging,
        fair_s=min(_FAIR_S, settings.deadlines.read_s / 2),
    )
