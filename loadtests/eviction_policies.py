"""The policies that are compared: the gateway's own store, and those that it was chosen over. All count bytes alike."""

from collections import OrderedDict
from typing import Protocol

from cachetools import LRUCache

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.queues import Queue, weigh


class Policy(Protocol):
    def lookup(self, key: Key) -> Fragment | None: ...

    def put(self, key: Key, fragment: Fragment) -> None: ...


class Lru:
    """Least recently used first to go: cachetools' container, as it comes."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[Key, Fragment] = LRUCache(max_bytes, getsizeof=lambda fragment: fragment.size_bytes)

    def lookup(self, key: Key) -> Fragment | None:
        try:
            return self._entries[key]
        except KeyError:
            return None

    def put(self, key: Key, fragment: Fragment) -> None:
        self._entries[key] = fragment


class Clock:
    """First in, first out, with a second chance for what was asked for since: S3-FIFO without its small queue."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._queue = Queue()

    def lookup(self, key: Key) -> Fragment | None:
        fragment = self._queue.held.get(key)
        if fragment is not None:
            fragment.visits = 1
        return fragment

    def put(self, key: Key, fragment: Fragment) -> None:
        size_bytes = weigh(key, fragment)
        while self._queue.size_bytes + size_bytes > self._max_bytes:
            oldest, held, held_bytes = self._queue.pop()
            if held is not None and held.visits:
                held.visits = 0
                self._queue.append(oldest, held, held_bytes)
        self._queue.append(key, fragment, size_bytes)


class TinyLfu:
    """W-TinyLFU (Einziger et al., ACM ToS 2017), as Caffeine has it: a window of a hundredth, then admission by frequency to a segmented
    LRU, four fifths of it protected. The window does not adapt."""

    def __init__(self, max_bytes: int) -> None:
        self._main_bytes = max_bytes - max_bytes // 100
        self._window, self._probation, self._protected = _Segment(), _Segment(), _Segment()
        self._window_bytes, self._protected_bytes = max_bytes // 100, self._main_bytes * 4 // 5
        self._sketch = Sketch(max_bytes // 1_000)

    def lookup(self, key: Key) -> Fragment | None:
        self._sketch.add(key)
        for segment in (self._protected, self._window):
            fragment = segment.held.get(key)
            if fragment is not None:
                segment.held.move_to_end(key)
                return fragment
        fragment = self._probation.held.get(key)
        if fragment is not None:
            self._probation.remove(key)
            self._protected.add(key, fragment)
            while self._protected.size_bytes > self._protected_bytes:
                self._probation.add(*self._protected.pop())
        return fragment

    def put(self, key: Key, fragment: Fragment) -> None:
        self._window.add(key, fragment)
        while self._window.size_bytes > self._window_bytes:
            self._admit(*self._window.pop())

    def _admit(self, key: Key, fragment: Fragment) -> None:
        size_bytes, frequency = weigh(key, fragment), self._sketch.estimate(key)
        while self._probation.size_bytes + self._protected.size_bytes + size_bytes > self._main_bytes:
            segment = self._probation if self._probation.held else self._protected
            if self._sketch.estimate(next(iter(segment.held))) >= frequency:
                return
            segment.pop()
        self._probation.add(key, fragment)


class _Segment:
    def __init__(self) -> None:
        self.held: OrderedDict[Key, Fragment] = OrderedDict()
        self.size_bytes = 0

    def add(self, key: Key, fragment: Fragment) -> None:
        self.held[key] = fragment
        self.size_bytes += weigh(key, fragment)

    def remove(self, key: Key) -> None:
        self.size_bytes -= weigh(key, self.held.pop(key))

    def pop(self) -> tuple[Key, Fragment]:
        key, fragment = self.held.popitem(last=False)
        self.size_bytes -= weigh(key, fragment)
        return key, fragment


class Sketch:
    """How often a key was asked for lately: four rows of counters up to 15 (count-min), all halved when ten times as many look-ups were
    counted as there are entries to be."""

    _HALVES = bytes([number // 2 for number in range(256)])

    def __init__(self, entries: int) -> None:
        self._width = 1 << max(10, (4 * entries).bit_length())
        self._rows = [bytearray(self._width) for _ in range(4)]
        self._left = self._period = 10 * max(100, entries)

    def add(self, key: Key) -> None:
        for row, place in zip(self._rows, self._places(key), strict=True):
            if row[place] < 15:
                row[place] += 1
        self._left -= 1
        if not self._left:
            self._rows = [row.translate(self._HALVES) for row in self._rows]
            self._left = self._period

    def estimate(self, key: Key) -> int:
        return min([row[place] for row, place in zip(self._rows, self._places(key), strict=True)])

    def _places(self, key: Key) -> list[int]:
        number, mask = hash(key), self._width - 1
        return [number & mask, (number >> 16) & mask, (number >> 32) & mask, (number * 0x9E3779B1 >> 13) & mask]
