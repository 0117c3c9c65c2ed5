"""The seam between the read path and a cache that replicas share: names that mean the same in every process, what is found under them, and
one Protocol. Knows neither where the shared cache is nor what it speaks.

A `Key` is of no use to another process: its namespace is a number of this one. A name has two halves instead:

    base    workspace, view and join-key values: as much as an ingest tells (`features.Written`), whatever services make of the view
    entry   all the rest: the layout and its types, the join keys' and context's names and types, the context, the options

Both are hashes, so that join keys do not stand in another system in clear. Whoever can guess a join key can compute its hash, though.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key, Namespace
from gateway.features import Purge, ViewValues, Written

Invalidation = Purge | Written
EVERYTHING_STALE = Purge(soft=True)
"""What a replica is told that may have missed something."""
_HASH_BYTES = 16
_encode = msgspec.msgpack.encode
"""Self-delimiting and typed: two things that differ never have one encoding, also one after the other."""


class Stem:
    """What all names of one namespace have in common, hashed once. `scopes`: the purges, beside those of its join keys, that mean it."""

    def __init__(self, namespace: Namespace) -> None:
        view = namespace.view if namespace.view is not None else namespace.layout.view
        self.namespace = namespace
        self.layout = namespace.layout
        self.scopes = _scopes(namespace.workspace, dict.fromkeys((namespace.layout.view, view)))
        self._base = blake2b(_encode((namespace.workspace, view)), digest_size=_HASH_BYTES)
        self._entry = blake2b(_encode(namespace), digest_size=_HASH_BYTES)
        self._plain = self._entry.digest()

    def name(self, key: Key) -> "Name":
        """Of a key of this namespace."""
        values, rest = key[1], key[2:]
        base = self._base.copy()
        base.update(_spell(values if type(values) is tuple else (values,)))
        if not rest:
            return Name(self, base.digest(), self._plain)
        entry = self._entry.copy()
        entry.update(_encode(rest))
        return Name(self, base.digest(), entry.digest())


class Name(NamedTuple):
    stem: Stem
    base: bytes
    entry: bytes


def base_name(workspace: str, view: str, values: Sequence[Hashable]) -> bytes:
    """The base of all names of a view's join-key values, typed and in the view's order."""
    return blake2b(_encode((workspace, view)) + _spell(tuple(values)), digest_size=_HASH_BYTES).digest()


def scope_name(workspace: str | None, view: str | None) -> str:
    """Of the view, or of all of them, in the workspace, or in all of them."""
    return msgspec.json.encode((workspace, view)).decode()


EVERYTHING = scope_name(None, None)


def _scopes(workspace: str, views: Sequence[str] | dict[str, None]) -> tuple[str, ...]:
    inside = [scope_name(place, view) for place in (None, workspace) for view in views]
    return (EVERYTHING, scope_name(workspace, None), *inside)


def _spell(values: tuple[Any, ...]) -> bytes:
    """As equal as the values are: a negative zero is a zero."""
    return _encode([0.0 if type(value) is float and value == 0 else value for value in values])


class Shared(NamedTuple):
    """A fragment that some replica fetched. `stored_at`: when that one asked the origin, on this one's clock."""

    values: ViewValues
    stored_at: float


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What a look-up saw at a name, and the right to store there what is fetched because of it: a purge in between voids it.

    `tokens`: of the last purges that meant this name. `clock_ms`: the shared cache's own time then, which was `at_s` here, or earlier."""

    name: Name
    tokens: tuple[bytes, bytes]
    clock_ms: int
    at_s: float
    found: Shared | None = None

    def __repr__(self) -> str:
        return f"Seen(found={self.found is not None})"


class SharedCache(Protocol):
    """Fragments and invalidations that replicas share. Nothing here raises, and nothing of callers ever gets here."""

    async def lookup(self, names: Sequence[Name]) -> list[Seen | None]:
        """What is there, in order; None where that could not be learnt in time. Takes no longer than its own small deadline."""
        ...

    def store(self, seen: Seen, fragment: Fragment) -> None:
        """Share what was fetched after `seen`; complete values only. Waits for nothing, and drops what there is no room for."""
        ...

    def invalidate(self, told: Sequence[Invalidation]) -> asyncio.Task[bool]:
        """Let no replica be served what is older than now, of what these mean. From the call on this replica finds none of it here; its
        own memory is the caller's business. To be waited for: whether the others were told. Where not, they will be as soon as they can."""
        ...

    async def follow(self, purged: Callable[[Sequence[Invalidation]], Awaitable[None]]) -> None:
        """Runs for ever. Hands on what other replicas invalidate, in order, and EVERYTHING_STALE where some may have been missed."""
        ...

    async def listening(self, timeout_s: float) -> bool:
        """Wait, no longer than this, until `follow` hears what others say."""
        ...

    async def aclose(self) -> None: ...
