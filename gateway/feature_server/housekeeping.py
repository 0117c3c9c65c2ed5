"""What a store needs done from time to time, in small steps between writes: events and tiles that no read can want any longer are removed,
and so is, some days later, the data of views that are no longer defined.

Knows nothing of threads; `step` does a little and says when it wants to be called again.
"""

from collections.abc import Iterator, Mapping

from gateway.feature_server.catalog import Catalog
from gateway.feature_server.materialize import Ids, retention
from gateway.feature_server.migration import read_descriptors
from gateway.feature_server.online.base import Cell, OnlineStore
from gateway.feature_server.timestamps import NS_PER_S

_CELLS = 64
_PAUSE_S = 0.01
"""Between steps: housekeeping shares the writer's thread, and the disk."""


class Housekeeping:
    """A round every `every_s` seconds. `keep_retired_s`: for how long the data of views that are no longer defined is kept."""

    def __init__(self, store: OnlineStore, *, every_s: float, keep_retired_s: float) -> None:
        self._store = store
        self._every_s = every_s
        self._keep_retired_ns = int(keep_retired_s * NS_PER_S)
        self._round: Iterator[None] | None = None
        self._catalog: Catalog | None = None

    def step(self, catalog: Catalog, ids: Ids, now_ns: int) -> float:
        """Do a little of the round under way. Seconds until there is more to do."""
        if self._catalog is not catalog:
            self._round, self._catalog = None, catalog  # what was to be done may be wanted now
        if self._round is None:
            self._round = self._make_round(catalog, ids, now_ns)
        try:
            next(self._round)
        except StopIteration:
            self._round = None
            return self._every_s
        except BaseException:
            self._round = None
            raise
        return _PAUSE_S

    def sweep(self, catalog: Catalog, ids: Ids, now_ns: int) -> None:
        """A whole round at once."""
        for _ in self._make_round(catalog, ids, now_ns):
            pass

    def _make_round(self, catalog: Catalog, ids: Mapping[str, int], now_ns: int) -> Iterator[None]:
        if not self._store.forgets:
            for view in catalog.views:
                kept = retention(view, now_ns)
                if kept is None:
                    continue
                for keys in self._store.scan(ids[view.stored_as], _CELLS):
                    self._store.trim([Cell(ids[view.stored_as], key) for key in keys], kept)
                    yield
        for name, one in read_descriptors(self._store).items():
            if (
                one.workspace in catalog.workspaces
                and one.retired_at_ns is not None
                and one.retired_at_ns + self._keep_retired_ns <= now_ns
            ):
                while self._retired(name) and not self._store.forget(name, _CELLS):
                    yield
                yield

    def _retired(self, name: str) -> bool:
        """Still: it may have been asked for again between two steps."""
        one = read_descriptors(self._store).get(name)
        return one is not None and one.retired_at_ns is not None
