"""The fragments at hand, bounded in bytes, overhead included; S3-FIFO says which go (Yang et al., SOSP 2023).

    a hit        is counted in the fragment, up to three; nothing is moved
    new          goes to the back of `main` while there is room, or if its key left `small` lately; else to the back of `small`
    too much     while `small` has more than its tenth, its front leaves: to `main` if it was asked for, else for good, as a ghost;
                 otherwise the front of `main` leaves, unless it was asked for: then it goes to the back, and is owed one visit less

So what is asked for once, however much of it, passes through a tenth of the store. Expiry is the reader's decision (it knows the policy of
the service it reads for); `sweep` takes out what is of no use to any. Belongs to one event loop; not for threads.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Base, Key, Scope
from gateway.cache.leases import Leases
from gateway.cache.memory import release
from gateway.cache.policy import Terms
from gateway.cache.queues import PLAIN_KEY, Ghosts, Queue, Rule, weigh

_SMALL_SHARE = 0.1
_VISITS = 3
_CHANCES = 1_000
"""How many in a row may go to the back of `main`, which takes half a millisecond: else one put might go around all of it, thrice."""
_SLICE_S = 0.001
_WORTH_RELEASING = 8 * 1024 * 1024
"""Bytes freed, and at least an eighth of the store: giving 200 MB back takes some 8 ms, in which nothing else runs."""

Look = tuple[int, Callable[[tuple[Any, ...]], Hashable], Terms]
"""A key's namespace, what makes the rest of it of a row's join-key values, and the terms under which the fragment is wanted."""


class FragmentStore:
    """A fragment larger than the whole store is not kept. `evictions` counts what left to make room. `echoes` are called when
    much is purged and at each sweep: what others keep of fragments goes then, too. Single keys, which each ingest purges, wait for that."""

    def __init__(self, max_bytes: int) -> None:
        self.evictions = 0
        self.echoes: list[Callable[[], None]] = []
        self.max_bytes = max_bytes
        self._small_bytes = int(max_bytes * _SMALL_SHARE)
        self._small, self._main, self._ghosts = Queue(), Queue(), Ghosts()
        self._in_small, self._in_main = self._small.held, self._main.held
        self._variants: dict[Base, set[Key]] = {}
        self._leases = Leases()
        self._under_way: list[_Purge] = []
        self._walking = asyncio.Lock()
        self._freed_bytes = 0

    def lookup(self, key: Key) -> Fragment | None:
        """The fragment, whatever its age."""
        fragment = self._in_main.get(key) or self._in_small.get(key)
        if fragment is not None and fragment.visits < _VISITS:
            fragment.visits += 1
        return fragment

    def peek(self, key: Key) -> Fragment | None:
        """`lookup`, for a read that may look again: not counted as asking for it, until `asked` says so."""
        return self._in_main.get(key) or self._in_small.get(key)

    @staticmethod
    def asked(fragments: Iterable[Fragment]) -> None:
        for fragment in fragments:
            if fragment.visits < _VISITS:
                fragment.visits += 1

    def fresh(self, looks: Sequence[Look], values: tuple[Any, ...], now_s: float) -> list[Fragment] | None:
        """What all of these looks find for a row's join-key values, if all of it is fresh under the very terms it was fetched with; else
        None, which says nothing, and nothing was asked for. What `lookup` would find, without a call for each."""
        in_main, in_small = self._in_main.get, self._in_small.get
        found: list[Fragment] = []
        for namespace, pick, terms in looks:
            key = (namespace, pick(values))
            fragment = in_main(key) or in_small(key)
            if fragment is None or now_s >= fragment.fresh_until or fragment.terms is not terms:
                return None
            found.append(fragment)
        for fragment in found:
            if fragment.visits < _VISITS:
                fragment.visits += 1
        return found

    def fresh_at(self, keys: Sequence[Key], terms: Sequence[Terms], now_s: float) -> list[Fragment] | None:
        """`fresh`, of keys that are known."""
        found: list[Fragment] = []
        for key, wanted in zip(keys, terms, strict=True):
            fragment = self.peek(key)
            if fragment is None or now_s >= fragment.fresh_until or fragment.terms is not wanted:
                return None
            found.append(fragment)
        self.asked(found)
        return found

    def still(self, keys: Sequence[Key], found: list[Fragment]) -> bool:
        """Whether these keys find these fragments, or equal ones; then they were asked for. False says nothing: `small` is passed over."""
        if [*map(self._in_main.get, keys)] != found:
            return False
        for fragment in found:  # `asked`, without a call
            if fragment.visits < _VISITS:
                fragment.visits += 1
        return True

    def __contains__(self, key: Key) -> bool:
        """Whether it is kept; not counted as asking for it."""
        return self.peek(key) is not None

    def lease(self) -> int:
        """Taken when a fetch begins, shown when what it brought is put: a purge in between, of that key, makes it void."""
        return self._leases.newest

    def put(self, key: Key, fragment: Fragment, lease: int | None = None, size_bytes: int | None = None) -> None:
        """Keep a fragment, unless what is kept was asked for later (an older flight may land after a newer one), or the key was purged
        since the lease was taken. `size_bytes`: what `queues.weigh` says, where that is known."""
        if lease is not None and lease != self._leases.newest and self._leases.void(key, lease):
            return
        queue = self._main if key in self._in_main else self._small if key in self._in_small else None
        known = None if queue is None else queue.held[key]
        if known is not None and not _supersedes(fragment, known):
            return
        if size_bytes is None:
            size_bytes = weigh(key, fragment)
        if size_bytes > self.max_bytes:
            self.drop(key)
            return
        for purge in self._under_way:
            purge.refilled.add(key)
        if known is None and len(key) > PLAIN_KEY:
            self._variants.setdefault(key[:2], set()).add(key)  # type: ignore[arg-type]  # a key begins with a base
        if queue is not None:
            queue.replace(key, fragment, size_bytes)
            self._make_room(0)
        else:
            has_room = self._small.charged_bytes + self._main.charged_bytes + size_bytes <= self.max_bytes
            trusted = has_room or self._make_room(size_bytes) or key in self._ghosts
            (self._main if trusted else self._small).append(key, fragment, size_bytes)

    def drop(self, key: Key) -> None:
        queue = self._queue_of(key)
        fragment = None if queue is None else queue.drop(key)
        if fragment is not None:
            self._forget(key, fragment)

    async def purge(self, scope: Scope, now_s: float, *, soft: bool = False) -> int:
        """Drop what the scope covers, or make it stale; how many entries that were. Fills that began before are not stored. Single keys are
        purged without waiting; wider scopes in slices, and what is filled anew meanwhile is let be."""
        self._leases.purge(scope)
        purge = _Purge(scope, now_s, soft)
        for key in list(self._keys_of(scope)):
            self._apply(purge.rule, key)
        if scope.parts or scope.everything:
            self._echo()
            self._under_way.append(purge)
            try:
                await self._walk(purge.rule)
            except asyncio.CancelledError:  # who asked has gone away; what was purged must not stay
                for key in [*self._in_small, *self._in_main]:
                    self._apply(purge.rule, key)
                raise
            finally:
                self._under_way.remove(purge)
            self._release()
        return purge.purged

    async def sweep(self, now_s: float) -> int:
        """Take out what is of no use any more, and give memory back to the system; how many entries that were."""
        self._echo()
        swept = await self._walk(lambda _, fragment: None if fragment.gone_at <= now_s else fragment)
        self._release()
        return swept

    def clear(self) -> None:
        """Forget everything; no fill that began before is stored."""
        self._leases.purge(Scope(everything=True))
        self._echo()
        self._freed_bytes += self.size_bytes
        self._small.clear()
        self._main.clear()
        self._ghosts.clear()
        self._variants.clear()
        self._release()

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    @property
    def size_bytes(self) -> int:
        return self._small.size_bytes + self._main.size_bytes

    def _echo(self) -> None:
        for echo in self.echoes:
            echo()

    def _queue_of(self, key: Key) -> Queue | None:
        return self._main if key in self._in_main else self._small if key in self._in_small else None

    def _make_room(self, size_bytes: int) -> bool:
        """For so many bytes more; whether there was already."""
        small, main, had = self._small, self._main, True
        while small.charged_bytes + main.charged_bytes + size_bytes > self.max_bytes:
            self._evict(small, main)
            had = False
        return had

    def _evict(self, small: Queue, main: Queue) -> None:
        """Take the front of a queue, until there is a little more room."""
        for chance in range(_CHANCES):
            from_small = small.charged_bytes > self._small_bytes or not main.held
            key, fragment, size_bytes = (small if from_small else main).pop()
            if fragment is None:
                return
            wanted = fragment.visits > 1 if from_small else fragment.visits > 0
            if not wanted or chance == _CHANCES - 1:
                if from_small:
                    self._ghosts.add(key, len(main.held) // 2)
                self._unlist(key)
                self.evictions += 1
                return
            fragment.visits = 0 if from_small else fragment.visits - 1
            main.append(key, fragment, size_bytes)

    def _keys_of(self, scope: Scope) -> Iterator[Key]:
        """What is kept of the scope's single keys."""
        for base in scope.bases:
            if base in self:
                yield base
            yield from self._variants.get(base, ())

    def _apply(self, rule: Rule, key: Key) -> None:
        queue = self._queue_of(key)
        fragment = None if queue is None else queue.held[key]
        if queue is not None and fragment is not None:
            kept = rule(key, fragment)
            if kept is None:
                self.drop(key)
            else:
                queue.held[key] = kept

    def _forget(self, key: Key, fragment: Fragment) -> None:
        """What there is to do beside the queues when an entry is taken out before its time."""
        self._freed_bytes += fragment.size_bytes
        self._unlist(key)

    def _unlist(self, key: Key) -> None:
        if len(key) > PLAIN_KEY:
            base: Base = key[:2]  # type: ignore[assignment]  # a key begins with a base
            listed = self._variants[base]
            listed.discard(key)
            if not listed:
                del self._variants[base]

    async def _walk(self, rule: Rule) -> int:
        """Put all that is kept now under a rule, in slices; how many entries ended. `small` before `main`: what moves meanwhile moves from
        the first to the second."""
        ended = 0

        def judge(key: Key, fragment: Fragment) -> Fragment | None:
            nonlocal ended
            kept = rule(key, fragment)
            if kept is None:
                ended += 1
                self._forget(key, fragment)
            return kept

        async with self._walking:
            for queue in (self._small, self._main):
                try:
                    while queue.walk(judge, _SLICE_S):  # noqa: ASYNC110 - lets others run; there is nothing to wait for
                        await asyncio.sleep(0)
                finally:
                    queue.end_walk()
        return ended

    def _release(self) -> None:
        if self._freed_bytes >= max(_WORTH_RELEASING, self.max_bytes // 8):
            self._freed_bytes = 0
            release()


@dataclass(slots=True)
class _Purge:
    """One purge: what becomes of an entry, and how many it was that something became of. `refilled`: put since it began."""

    scope: Scope
    now_s: float
    soft: bool
    refilled: set[Key] = field(default_factory=set)
    purged: int = 0

    def rule(self, key: Key, fragment: Fragment) -> Fragment | None:
        if key in self.refilled or not self.scope.covers(key) or (self.soft and fragment.retired_at <= self.now_s):
            return fragment
        self.purged += 1
        return fragment.retired(self.now_s) if self.soft else None


def _supersedes(fragment: Fragment, known: Fragment) -> bool:
    """Whether it was asked for no earlier than what is kept, nor before a purge made that stale."""
    return fragment.stored_at >= known.stored_at and (known.retired_at == inf or fragment.stored_at >= known.retired_at)
