"""From an origin's answer to a fragment in the store: how long it lives, when it is fetched again, whether it may be kept at all."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf

from gateway.cache.calendar import Calendar, early_s
from gateway.cache.fragments import Fragment, patterns
from gateway.cache.keys import Key
from gateway.cache.queues import PLAIN_KEY, key_bytes_of
from gateway.cache.store import FragmentStore
from gateway.features import ViewValues
from gateway.luck import luck
from gateway.serving.plan import StoredView
from gateway.wire.values import instant


class Keeper:
    """`clock` is the cache's monotonic clock, `wall_s` says what time it is for the origin, in seconds since 1970: effective times are held
    against it. `beta`: see `calendar.early_s`; `by_age`: whether any terms bound the age of values."""

    def __init__(
        self,
        store: FragmentStore,
        calendar: Calendar,
        *,
        beta: float,
        by_age: bool,
        clock: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        self.store = store
        self._calendar = calendar
        self._beta = beta
        self._by_age = by_age
        self._clock = clock
        self._wall_s = wall_s

    def fragment(self, view: StoredView, values: ViewValues, asked_s: float, together: dict[float, Fragment] | None = None) -> Fragment:
        """These values, asked for at `asked_s`, as a fragment of this view. `together`, by TTL, is filled by the first of several that only
        come together: they end together too, since fetching one again brings them all, and one draw says when that is."""
        terms = view.terms
        ttl_s = terms.negative_ttl_s if patterns(values.statuses)[2] else terms.ttl_s
        if ttl_s <= 0:
            return self.shared(view, values, asked_s)
        first = None if together is None else together.get(ttl_s)
        if first is not None and first.terms is terms and not self._by_age and (beside := first.beside(values)) is not None:
            return beside
        fragment = Fragment.of(
            values,
            asked_s,
            terms,
            effective_at=self.effective_at(values.effective_times) if self._by_age else inf,
            life=self._calendar.life(view.namespace, asked_s, ttl_s) if first is None else first.life,
            early_s=early_s(self._clock() - asked_s, self._beta, 1.0 - luck.random()) if self._beta else 0.0,
        )
        if together is not None:
            together.setdefault(ttl_s, fragment)
        return fragment

    def row(self, views: Sequence[StoredView], answered: Sequence[ViewValues], asked_s: float) -> list[Fragment]:
        """`fragment` for the views of a row that came together."""
        together: dict[float, Fragment] = {}
        return [self.fragment(view, values, asked_s, together) for view, values in zip(views, answered, strict=True)]

    def keep_row(self, views: Sequence[StoredView], keys: Sequence[Key], fragments: Sequence[Fragment], lease: int) -> None:
        """`keep` for each of them."""
        put, key_bytes = self.store.put, 0
        weighed: object = keys  # no part of any
        for view, key, fragment in zip(views, keys, fragments, strict=True):
            if (view.terms.negative_ttl_s if fragment.negative else view.terms.ttl_s) > 0:
                if len(key) > PLAIN_KEY or key[1] is not weighed:  # views of the same join keys share their values (`Plan.keys`)
                    weighed, key_bytes = key[1], key_bytes_of(key)
                put(key, fragment, lease, fragment.size_bytes + key_bytes)

    def shared(self, view: StoredView, values: ViewValues, stored_at: float) -> Fragment:
        """The same with its whole life, of what another replica fetched at `stored_at`: it is not known what that took."""
        effective_at = self.effective_at(values.effective_times) if self._by_age else inf
        return Fragment.of(values, stored_at, view.terms, effective_at=effective_at)

    def keep(self, view: StoredView, key: Key, fragment: Fragment, lease: int) -> None:
        """Store what is complete, unless it was purged since the lease was taken, or its view is never served from the cache."""
        if view.terms.life_s(negative=fragment.negative) > 0:
            self.store.put(key, fragment, lease)

    def bound_age(self, by_age: bool) -> None:  # noqa: FBT001 - what is said is all there is to say
        """Whether values may be too old from now on. What was kept while they could not be does not know its age, so it goes."""
        if by_age and not self._by_age:
            self.store.clear()
        self._by_age = by_age

    def effective_at(self, times: tuple[str | None, ...]) -> float:
        """The oldest of these effective times, on the monotonic clock; infinite where there is none."""
        oldest_s = _oldest_s(times)
        return self._clock() - (self._wall_s() - oldest_s) if oldest_s < inf else inf


@lru_cache(maxsize=4096)
def _oldest_s(moments: tuple[str | None, ...]) -> float:
    """Of RFC 3339 timestamps that were checked when they came in, since 1970. One that lies in the future counts as it is."""
    return min([instant(moment)[0].timestamp() for moment in set(moments) if moment is not None], default=inf)
