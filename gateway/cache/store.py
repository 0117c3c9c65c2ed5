"""The fragments at hand: least recently used first to go, bounded in bytes.

Expiry is the reader's decision (it knows the policy of the service it reads for), so an entry carries its time and the container does not.
Look-ups are the hit path: they read a plain dict and note the key; cachetools' order is brought up to date with the notes when something
is stored, which is the only time it matters. That is a quarter of the price of touching it on every look-up. For one event loop only.
"""

from cachetools import LRUCache

from gateway.cache.fragments import Fragment, size_of
from gateway.cache.keys import Key

_MOST_NOTES = 1024


class _Ordered(LRUCache[Key, Fragment]):
    """cachetools' LRU order and byte count, telling what it evicts."""

    def __init__(self, max_bytes: int, index: dict[Key, Fragment]) -> None:
        super().__init__(maxsize=max_bytes, getsizeof=size_of)
        self._index = index

    def popitem(self) -> tuple[Key, Fragment]:
        key, fragment = super().popitem()
        del self._index[key]
        return key, fragment


class FragmentStore:
    """`max_bytes` counts encoded text and an allowance per entry. A fragment larger than the whole store is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._index: dict[Key, Fragment] = {}
        self._ordered = _Ordered(max_bytes, self._index)
        self._used: list[Key] = []

    def lookup(self, key: Key) -> Fragment | None:
        """The fragment, whatever its age."""
        fragment = self._index.get(key)
        if fragment is not None:
            self._used.append(key)
            if len(self._used) >= _MOST_NOTES:
                self._settle()
        return fragment

    def put(self, key: Key, fragment: Fragment) -> None:
        if fragment.size_bytes > self._ordered.maxsize:
            self.drop(key)
            return
        known = self._index.get(key)
        if known is not None and known.stored_at > fragment.stored_at:
            return
        self._settle()
        self._ordered[key] = fragment
        self._index[key] = fragment

    def drop(self, key: Key) -> None:
        if self._index.pop(key, None) is not None:
            del self._ordered[key]

    def _settle(self) -> None:
        """Bring the order up to date with the look-ups since the last time: for each key its last one counts."""
        for key in reversed(dict.fromkeys(reversed(self._used))):
            self._ordered.get(key)
        self._used.clear()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def size_bytes(self) -> int:
        return int(self._ordered.currsize)
