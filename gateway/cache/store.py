"""The fragments at hand: least recently used, bounded in bytes.

Expiry is the reader's decision (it knows the policy of the service it reads for), so an entry carries its time and the container does not:
cachetools' LRUCache looks up in a quarter of the time of its TTLCache. Belongs to one event loop; not for threads.
"""

from cachetools import LRUCache

from gateway.cache.fragments import Fragment, size_of
from gateway.cache.keys import Key


class FragmentStore:
    """`max_bytes` counts encoded text and an allowance per entry. A fragment larger than the whole store is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[Key, Fragment] = LRUCache(maxsize=max_bytes, getsizeof=size_of)
        self.lookup = self._entries.get
        """`lookup(key) -> Fragment | None`, the bare container's: the hit path calls it once per view."""

    def put(self, key: Key, fragment: Fragment) -> None:
        if fragment.size_bytes <= self._entries.maxsize:
            self._entries[key] = fragment

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return int(self._entries.currsize)
