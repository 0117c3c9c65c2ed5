"""What was purged lately, so that no fetch which began before brings it back (after Facebook's memcache leases).

A lease is the number of purges there had been when a fetch began. The log of purges is bounded: a lease from before what it remembers is
void, whatever it is for.
"""

from collections import deque

from gateway.cache.keys import Base, Key, Scope

_BASES = 10_000
_WIDE = 100


class Leases:
    """Single keys are remembered by key, in two generations, each at most `_BASES`; wider scopes one by one, at most `_WIDE`."""

    def __init__(self) -> None:
        self.newest = 0
        self._oldest = 0
        self._bases: dict[Base, int] = {}
        self._older_bases: dict[Base, int] = {}
        self._turned = 0
        self._wide: deque[tuple[int, Scope]] = deque()

    def purge(self, scope: Scope) -> None:
        """From now on, older leases are void for what this covers."""
        self.newest += 1
        if scope.everything or len(scope.bases) > _BASES:
            self._forget()
            return
        if len(self._bases) + len(scope.bases) > _BASES:
            self._oldest = max(self._oldest, self._turned)
            self._older_bases, self._bases, self._turned = self._bases, {}, self.newest - 1
        for base in scope.bases:
            self._bases[base] = self.newest
        if scope.parts:
            self._wide.append((self.newest, scope))
            if len(self._wide) > _WIDE:
                self._oldest = max(self._oldest, self._wide.popleft()[0])

    def void(self, key: Key, lease: int) -> bool:
        """Whether the key was purged since, or may have been."""
        if lease == self.newest:
            return False
        base = key[:2]
        return (
            lease < self._oldest
            or self._bases.get(base, 0) > lease  # type: ignore[arg-type]  # a key begins with a base
            or self._older_bases.get(base, 0) > lease  # type: ignore[arg-type]
            or any(number > lease and scope.covers(key) for number, scope in self._wide)
        )

    def _forget(self) -> None:
        self._oldest = self._turned = self.newest
        self._bases, self._older_bases = {}, {}
        self._wide.clear()
