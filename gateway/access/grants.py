"""Grants: proof, with a short life, that a caller may read a feature service.

With caller credentials passed through, only the origin knows who may read what. So a cached value is served, and another caller's flight
joined, only under a grant: the origin itself answered this credential, for this workspace and feature service, less than `life_s` ago.
A grant to read comes from an answered read alone; a grant to see the schema from answered metadata (or a read).
"""

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from math import inf
from typing import TypeVar

from gateway.features import Caller, ServiceRef

K = TypeVar("K", bound=Hashable)
_KEPT = 100_000


class May(Enum):
    """What a grant is for."""

    READ = "read"
    DESCRIBE = "describe"


class Grants:
    """Bounded, the oldest first to go, which is the first to end; times in seconds on the caller's clock. Never stored anywhere, never
    shared. Asking is a look into a dictionary, for every hit does."""

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s
        self._until: OrderedDict[tuple[bytes, ServiceRef, May], float] = OrderedDict()
        self._refused_s: OrderedDict[tuple[bytes, ServiceRef], float] = OrderedDict()

    def holds(self, caller: Caller, service: ServiceRef, now_s: float, may: May = May.READ) -> bool:
        until = self._until.get((caller.key, service, may))
        return until is not None and now_s < until

    def until_s(self, caller: Caller, service: ServiceRef, may: May = May.READ) -> float | None:
        """When its grant ends, or ended; None where it has none that is remembered."""
        return self._until.get((caller.key, service, may))

    def give(self, caller: Caller, service: ServiceRef, answered_s: float, may: May = May.READ) -> None:
        """The origin answered this caller, as of `answered_s`. Whoever may read may see the schema. What it was asked before it refused the
        caller, and answered after that, gives nothing: the refusal may be what it thinks now."""
        if answered_s < self._refused_s.get((caller.key, service), -inf):
            return
        for given in May if may is May.READ else (may,):
            _put(self._until, (caller.key, service, given), answered_s + self._life_s)

    def revoke(self, caller: Caller, service: ServiceRef, now_s: float) -> None:
        """The origin refused this caller: nothing cached is shown to it from now on."""
        _put(self._refused_s, (caller.key, service), now_s)
        for may in May:
            self._until.pop((caller.key, service, may), None)


def _put(kept: OrderedDict[K, float], key: K, value: float) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
