"""Invalidations that the shared cache has not taken yet. Until it has, this replica believes nothing there that is older than they are.

Bounded: where too many are owed, they become one, of everything. Pure.
"""

from collections.abc import Sequence
from math import inf

from gateway.cache.shared.layout import bases_of, scopes_of
from gateway.cache.sharing import Invalidation, Name
from gateway.features import Purge


class Owed:
    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._told: dict[int, Invalidation] = {}
        self._since: dict[bytes | str, tuple[float, int]] = {}
        self._last = 0

    def add(self, told: Sequence[Invalidation], now_s: float) -> int:
        """How many were ever owed: `settle` takes it back."""
        if len(self._told) + len(told) > self._most:
            hard = any(isinstance(one, Purge) and not one.soft for one in (*self._told.values(), *told))
            self._told, self._since = {}, {}
            told = [Purge(soft=not hard)]
        for one in told:
            self._last += 1
            self._told[self._last] = one
            self._since.update(dict.fromkeys(bases_of([one]), (now_s, self._last)))
            self._since.update(dict.fromkeys(scopes_of([one]), (now_s, self._last)))
        return self._last

    def all(self) -> tuple[int, list[Invalidation]]:
        """The number of the last one, and what is owed."""
        return self._last, list(self._told.values())

    def settle(self, last: int) -> None:
        """All up to this one have been taken."""
        self._told = {number: one for number, one in self._told.items() if number > last}
        self._since = {what: since for what, since in self._since.items() if since[1] > last}

    def since(self, name: Name) -> float:
        """What is older than this is not to be believed."""
        if not self._since:
            return -inf
        of_view = [self._since.get(scope, _NEVER)[0] for scope in name.stem.scopes]
        return max(self._since.get(name.base, _NEVER)[0], *of_view)

    def __len__(self) -> int:
        return len(self._told)


_NEVER = (-inf, 0)
