"""Fragments that other replicas fetched: looked for before the origin is asked, shared after it has answered.

A flight asks here, so that one look-up serves all who wait. What is found is as old as it was there, and served under this replica's own
terms, to a caller that may have cached values at all.
"""

from collections.abc import Callable, Mapping, Sequence

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.sharing import Seen, SharedCache
from gateway.features import Source
from gateway.serving.keeping import Keeper
from gateway.serving.plan import StoredView
from gateway.serving.work import Errand, Lack, Landed

_SAME_FETCH_S = 0.05
"""By so much one fetch may look newer than itself: its age was told twice, by a clock of milliseconds, over a network."""


class SecondLevel:
    """`clock` is the cache's monotonic clock, in seconds."""

    def __init__(self, shared: SharedCache, keeper: Keeper, *, clock: Callable[[], float]) -> None:
        self._shared = shared
        self._keeper = keeper
        self._clock = clock

    async def look_up(self, errand: Errand, chunk: Sequence[Lack], *, single_views: bool) -> dict[Key, Seen]:
        """What is there of all that a fetch would bring."""
        if not errand.options.read_from_cache or errand.options.high_watermark_override is not None:
            return {}
        stored = errand.plan.stored
        everything = range(len(stored))
        views = {
            row.keys[index]: stored[index]
            for row, missing in chunk
            for index in (missing if single_views else everything)
            if stored[index].terms.ttl_s > 0
        }
        seen = await self._shared.lookup([view.stem.name(key) for key, view in views.items()])
        return {key: one for key, one in zip(views, seen, strict=True) if one is not None}

    def land(self, errand: Errand, chunk: Sequence[Lack], seen: Mapping[Key, Seen], lease: int) -> dict[Key, Landed]:
        """What of it will do for these rows, kept. It must be newer than what is at hand, which is due or did not do; but not where that
        was ended by a purge, or by the word that one may have been missed: the shared cache knows what was."""
        landed: dict[Key, Landed] = {}
        now_s = self._clock()
        for row, missing in chunk:
            for index in missing:
                key, view = row.keys[index], errand.plan.stored[index]
                one = seen.get(key)
                if one is None or one.found is None or key in landed:
                    continue
                fragment = self._keeper.shared(view, one.found.values, one.found.stored_at)
                known = self._keeper.store.lookup(key)
                retired = known is not None and known.retired_at <= now_s
                if not errand.takes(view, fragment, now_s) or not (known is None or retired or _newer(fragment, known)):
                    continue
                landed[key] = Landed(fragment, source=Source.CACHE)
                if errand.options.stored:
                    if retired:
                        self._keeper.store.drop(key)  # which would stay, were it of the same fetch
                    self._keeper.keep(view, key, fragment, lease)
        return landed

    def share(self, view: StoredView, seen: Seen | None, fragment: Fragment) -> None:
        """Let others have what was fetched."""
        if seen is not None and view.terms.ttl_s > 0:
            self._shared.store(seen, fragment)


def _newer(one: Fragment, other: Fragment) -> bool:
    return one.stored_at > other.stored_at + _SAME_FETCH_S
