"""Requests that come again, byte for byte, and what was made of them: a shortcut to the same fragments.

Only what follows from the bytes and the plan is remembered: the request as it was decoded, and the keys of its fragments; and of the reply
before, its text with the fragments it was spelled from. All that can change is asked each time: who the caller is and what it may have,
whether the plan is still served, and each fragment, of the store. Where a fragment is another one, the text is spelled anew.

What is met for the second time is remembered, if not too much else came between: what never comes again costs next to nothing. Reads with
on-demand views are not: their context is nearly always another, and what is computed is computed each time.
"""

from array import array
from math import inf

import msgspec

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.policy import Terms
from gateway.features import ServiceRef
from gateway.serving.doors import Door, Spelled
from gateway.serving.plan import Plan, Projection
from gateway.wire.replies import Vector
from gateway.wire.requests import ReadRequest

_MOST = 1_024
_LONGEST_BODY_BYTES, _LONGEST_REPLY_BYTES = 1_024, 8_192
_MOST_HELD_BYTES = 16_384
"""Of fragments that a kept text is held against: what the store has let go must not live on here."""
_PLACES = 4_096
"""For what was met once; a power of two."""


class Recalled(msgspec.Struct, gc=False):
    """A plain read of one row through this door, with nothing to compute. `keys` of what it needs, and the `terms` to find it under, in the
    order of `projection.looked_up`.

    `found`, `vector`, `spelled`: what the last of its replies was put together from, and its text, where that is kept. `until_s`: when the
    first of what was found is no longer fresh.
    """

    door: Door
    path: ServiceRef | None
    request: ReadRequest
    plan: Plan
    projection: Projection
    keys: tuple[Key, ...]
    terms: tuple[Terms, ...]
    found: list[Fragment] | None = None
    vector: Vector | None = None
    spelled: Spelled | None = None
    until_s: float = -inf

    def keep(self, found: list[Fragment], vector: Vector) -> Spelled | None:
        """The text of a reply, kept until what it needs is another; None where each has its own, as it has with ages."""
        spelled = None if self.door.spell is None else self.door.spell(self.request, vector)
        held_bytes = sum([fragment.size_bytes for fragment in found])
        if spelled is not None and len(spelled.before) <= _LONGEST_REPLY_BYTES and held_bytes <= _MOST_HELD_BYTES:
            self.found, self.vector, self.spelled = found, vector, spelled
            self.until_s = min([fragment.fresh_until for fragment in found], default=inf)
        return spelled

    def let_go(self) -> None:
        """Of what was kept: it is not what is served any longer."""
        self.found = self.vector = self.spelled = None


class Recall:
    """By the bytes of the body, twice 1,024 of them at most: those met last, and those met before that. What is not met again while as many
    others are is forgotten."""

    def __init__(self) -> None:
        self._young: dict[bytes, Recalled] = {}
        self._old: dict[bytes, Recalled] = {}
        self._met = array("q", bytes(8 * _PLACES))

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, body: bytes) -> Recalled | None:
        known = self._young.get(body)
        if known is None and (known := self._old.pop(body, None)) is not None:
            self._add(body, known)
        return known

    def wants(self, body: bytes) -> bool:
        """Whether this one has come before, and is not known: the same bytes for two services are known for the first of them. By its hash,
        which has a secret of the process's in it."""
        shown = hash(body)
        place = shown & (_PLACES - 1)
        if self._met[place] == shown:
            return len(body) <= _LONGEST_BODY_BYTES and body not in self._young and body not in self._old
        self._met[place] = shown
        return False

    def remember(self, body: bytes, known: Recalled) -> None:
        self._old.pop(body, None)
        self._add(body, known)

    def drop(self, body: bytes) -> None:
        self._young.pop(body, None)
        self._old.pop(body, None)

    def forget(self) -> None:
        """All of it."""
        self._young, self._old = {}, {}

    def _add(self, body: bytes, known: Recalled) -> None:
        if len(self._young) >= _MOST:
            self._young, self._old = {}, self._young
        self._young[body] = known
