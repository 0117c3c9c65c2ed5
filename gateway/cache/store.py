"""The fragments at hand: least recently used first to go, bounded in bytes.

Expiry is the reader's decision (it knows the policy of the service it reads for), so an entry carries its time and the container does not
expire: cachetools' LRUCache looks up in a third of the time of its TTLCache. Belongs to one event loop; not for threads.
"""

from cachetools import LRUCache

from gateway.cache.fragments import Fragment, size_of
from gateway.cache.keys import Key


class FragmentStore:
    """`max_bytes` counts encoded text and an allowance per entry. A fragment larger than the whole store is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[Key, Fragment] = LRUCache(maxsize=max_bytes, getsizeof=size_of)

    def lookup(self, key: Key) -> Fragment | None:
        """The fragment, whatever its age. (The container's `get` looks twice.)"""
        try:
            return self._entries[key]
        except KeyError:
            return None

    def put(self, key: Key, fragment: Fragment) -> None:
        """Keep a fragment, unless what is kept was asked for later: an older flight may land after a newer one."""
        if fragment.size_bytes > self._entries.maxsize:
            self.drop(key)
            return
        known = self.lookup(key)
        if known is None or known.stored_at <= fragment.stored_at:
            self._entries[key] = fragment

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return int(self._entries.currsize)
