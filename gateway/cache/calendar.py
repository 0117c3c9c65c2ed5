"""When entries end: spread out, so that what was filled together is not fetched again together.

For each TTL, and for each namespace with that TTL, a ring of slots over the coming TTL counts the ends that are set. An entry gets its
whole TTL, unless that slot is crowded in either ring; then the nearest earlier slot with room, no earlier than `1 - jitter` of the TTL.
No chance is involved: a steady trickle finds room where it is, and keeps whole TTLs. Knows times and counts, nothing of entries: one that
goes before its end stays counted until then.
"""

from math import log

_SLOTS = 100
_PLACES = _SLOTS + 1
_CROWDED = 1.2
"""Times the fair share of all that is set."""
_HARDLY = 0.1
"""Of what makes a slot crowded: so many are set in one before the slots are looked through again, which takes longer than all else."""
_FEW = 2
"""Ends in one slot that are never too many: small caches keep their whole TTLs."""
_RINGS = 1_024
_ALL = -1


class Calendar:
    """`jitter`, from 0 to below 1: by how much of its TTL an entry may end earlier. Not for threads."""

    def __init__(self, jitter: float) -> None:
        self._jitter = jitter
        self._rings: dict[tuple[int, float], _Ring] = {}

    def life(self, namespace: int, now_s: float, ttl_s: float) -> float:
        """The share of its TTL that an entry filled now is given: in (1 - jitter, 1]."""
        if not self._jitter or ttl_s <= 0:
            return 1.0
        rings = self._rings
        own = rings.get((namespace, ttl_s)) or self._ring(namespace, ttl_s)
        whole = rings.get((_ALL, ttl_s)) or self._ring(_ALL, ttl_s)
        now, shortest = now_s / ttl_s, 1 - self._jitter  # time is counted in TTLs
        begun = int(now * _SLOTS)
        if own.slot < begun:
            own.go_on(begun)
        if whole.slot < begun:
            whole.go_on(begun)
        end = (now + 1) * _SLOTS
        last = int(end)
        slot = own.chosen(last)
        if slot is None:
            slot = _choose(own, whole, end, min(last, int((now + shortest) * _SLOTS) + 1))
            own.choose(slot, last, int(own.enough * _HARDLY) - 1)
        own.take(slot)
        taken = whole.take(slot)
        if slot == last and taken < _FEW:
            return 1.0
        until = min(slot + 1, end)
        spread = _SPREAD[taken] if taken < _SPREAD_KNOWN else _spread(taken)
        life = (until - spread * (until - slot)) / _SLOTS - now
        return life if shortest < life <= 1 else 1.0  # a number may have been rounded over an edge

    def _ring(self, namespace: int, ttl_s: float) -> "_Ring":
        ring = self._rings.get((namespace, ttl_s))
        if ring is None:
            if len(self._rings) >= _RINGS:
                del self._rings[next(iter(self._rings))]
            ring = self._rings[namespace, ttl_s] = _Ring()
        return ring


class _Ring:
    """The ends set for the coming TTL, by slot; a slot's place in `counts` is its number modulo `_PLACES`."""

    __slots__ = ("_chosen", "_last", "_left", "_total", "counts", "slot")

    def __init__(self) -> None:
        self.counts = [0] * _PLACES
        self._total = 0
        self.slot = 0
        self._chosen = self._last = self._left = 0

    @property
    def enough(self) -> float:
        """With so many, a slot is crowded."""
        return max(_FEW, _CROWDED * self._total / _SLOTS)

    def go_on(self, slot: int) -> None:
        """It is this slot's time now: what was set for earlier ones is over."""
        for passed in range(max(self.slot, slot - _PLACES), slot):
            self._total -= self.counts[passed % _PLACES]
            self.counts[passed % _PLACES] = 0
        self.slot = max(self.slot, slot)

    def chosen(self, last: int) -> int | None:
        """The slot that was chosen just now, and will do for some more."""
        if self._left <= 0 or last != self._last:
            return None
        self._left -= 1
        return self._chosen

    def choose(self, slot: int, last: int, more: int) -> None:
        """For the entry at hand, and for so many more."""
        self._chosen, self._last, self._left = slot, last, more

    def take(self, slot: int) -> int:
        """Set an end; how many there were."""
        taken = self.counts[slot % _PLACES]
        self.counts[slot % _PLACES] += 1
        self._total += 1
        return taken


def _choose(own: _Ring, whole: _Ring, end: float, earliest: int) -> int:
    """The last slot until `end` that is crowded in neither ring; where there is none, the last of the least crowded."""
    own_counts, counts = own.counts, whole.counts
    own_enough, enough = own.enough, whole.enough
    last = int(end)
    place, part = last % _PLACES, end - last  # of the last slot there is only this much
    least = max(own_counts[place] / max(_FEW, part * own_enough), counts[place] / max(_FEW, part * enough))
    if least < 1 or earliest >= last:
        return last
    lightest, own_weight, weight = last, 1 / own_enough, 1 / enough
    for slot in range(last - 1, earliest - 1, -1):
        place = slot % _PLACES
        load, own_load = counts[place] * weight, own_counts[place] * own_weight
        if own_load > load:  # noqa: PLR1730 - seventy times in a crowd, and `max` takes as long as all the rest
            load = own_load
        if load < least:
            if load < 1:
                return slot
            lightest, least = slot, load
    return lightest


def _spread(number: int) -> float:
    """The van der Corput sequence, in base 2: 0, 1/2, 1/4, 3/4, 1/8, …: however many are taken, they lie evenly in [0, 1)."""
    spread, part = 0.0, 0.5
    while number:
        if number & 1:
            spread += part
        number >>= 1
        part /= 2
    return spread


_SPREAD_KNOWN = 1024
_SPREAD = tuple([_spread(number) for number in range(_SPREAD_KNOWN)])


def early_s(fetch_s: float, beta: float, luck: float) -> float:
    """How long before its end an entry is to be fetched again, if it is read then: XFetch (Vattani et al., VLDB 2015). `luck` is drawn
    evenly from (0, 1], once per entry and not per read: one process fetches an entry once anyway."""
    return -fetch_s * beta * log(luck)
