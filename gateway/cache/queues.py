"""The parts of S3-FIFO (Yang et al., SOSP 2023): queues of entries that a hit never reorders, and the ghosts of those that left early.

Knows nothing of time, purges or leases.
"""

import sys
from collections import deque
from collections.abc import Callable
from time import perf_counter

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key

HOLE_BYTES = 320
"""What a place costs that nothing is kept in: its key, and its part of the tables."""
VARIANT_BYTES = 500
"""What a key with a request context or options costs beside its text: the longer tuple, and its part in the store's index of them."""
PLAIN_KEY = 2
"""Parts of a key without a request context and options."""
_GHOST_BITS = 0x3FFFFFFF
"""Of a hash: as many as a small integer has. Two in a thousand million are taken for one another."""
_SHORT_BYTES = 64
_STRIDE = 64


def weigh(key: Key, fragment: Fragment) -> int:
    """The bytes that an entry is counted with."""
    return fragment.size_bytes + key_bytes_of(key)


def key_bytes_of(key: Key) -> int:
    """What a key takes beyond what the allowance for an entry covers."""
    return _text_bytes(key[-1]) if len(key) <= PLAIN_KEY else VARIANT_BYTES + sum([_text_bytes(part) for part in key])


def _text_bytes(part: object) -> int:
    size_bytes = sys.getsizeof(part)
    if type(part) is tuple:
        for one in part:
            size_bytes += sys.getsizeof(one)
    return size_bytes - _SHORT_BYTES if size_bytes > _SHORT_BYTES else 0


Rule = Callable[[Key, Fragment], Fragment | None]
"""What of an entry is kept: the fragment, another one of the same size, or nothing."""


class Queue:
    """Entries in the order they came. What is dropped leaves a hole: its key keeps its place, for when it is filled again, until that place
    comes to the front. So nothing ever has to be looked for in the middle of a queue."""

    def __init__(self) -> None:
        self.held: dict[Key, Fragment | None] = {}
        self.charged_bytes = 0
        self._holes = self._hole_bytes = 0
        self._order: deque[Key] = deque()
        self._walked: deque[Key] = deque()

    @property
    def size_bytes(self) -> int:
        """`charged_bytes`, less what the holes are charged with."""
        return self.charged_bytes - self._hole_bytes

    def __len__(self) -> int:
        return len(self.held) - self._holes

    def append(self, key: Key, fragment: Fragment, size_bytes: int) -> None:
        """For a key that has no place here."""
        self.held[key] = fragment
        self._order.append(key)
        self.charged_bytes += size_bytes

    def replace(self, key: Key, fragment: Fragment, size_bytes: int) -> None:
        """For a key that has a place here."""
        known = self.held[key]
        if known is None:
            self._dig(key, -1)
        else:
            self.charged_bytes -= weigh(key, known)
            fragment.visits = known.visits
        self.held[key] = fragment
        self.charged_bytes += size_bytes

    def drop(self, key: Key) -> Fragment | None:
        """What was kept, if anything was."""
        known = self.held.get(key)
        if known is not None:
            self.held[key] = None
            self._dig(key, 1)
            self.charged_bytes -= weigh(key, known)
        return known

    def pop(self) -> tuple[Key, Fragment | None, int]:
        """The place in front, what is kept in it, and the bytes it was counted with."""
        key = (self._walked or self._order).popleft()
        fragment = self.held.pop(key)
        if fragment is None:
            return key, None, self._dig(key, -1)
        size_bytes = weigh(key, fragment)
        self.charged_bytes -= size_bytes
        return key, fragment, size_bytes

    def _dig(self, key: Key, holes: int) -> int:
        """Note a hole, or (-1) that there is one less; the bytes of one."""
        size_bytes = HOLE_BYTES + key_bytes_of(key)
        self._holes += holes
        self._hole_bytes += holes * size_bytes
        self.charged_bytes += holes * size_bytes
        return size_bytes

    def walk(self, rule: Rule, slice_s: float) -> bool:
        """Go along the queue for a while, under a rule, and take out the holes; False when all has been seen. Between two slices the queue
        may be used as ever: what was seen is in front of what was not, and what comes meanwhile is seen last."""
        until_s = perf_counter() + slice_s
        order, walked, held = self._order, self._walked, self.held
        while order:
            for _ in range(min(_STRIDE, len(order))):
                key = order.popleft()
                fragment = held[key]
                kept = None if fragment is None else rule(key, fragment)
                if kept is not None:
                    held[key] = kept
                    walked.append(key)
                    continue
                del held[key]
                if fragment is None:
                    self._dig(key, -1)
                else:
                    self.charged_bytes -= weigh(key, fragment)
            if perf_counter() >= until_s:
                return bool(order)
        return False

    def end_walk(self) -> None:
        self._walked.extend(self._order)  # nothing, unless the walk was broken off
        self._order, self._walked = self._walked, deque()
        if not self.held:
            self.held.clear()  # an emptied dict keeps its table

    def clear(self) -> None:
        self.held.clear()
        self._order.clear()
        self._walked.clear()
        self.charged_bytes = self._holes = self._hole_bytes = 0


class Ghosts:
    """The hashes of keys that left before they were asked for often enough, in two generations: at least the last `limit`, at most twice
    as many."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: Key, limit: int) -> None:
        if len(self._young) >= limit:
            self._old, self._young = self._young, set()
        self._young.add(hash(key) & _GHOST_BITS)

    def __contains__(self, key: Key) -> bool:
        number = hash(key) & _GHOST_BITS
        return number in self._young or number in self._old

    def clear(self) -> None:
        self._young, self._old = set(), set()
