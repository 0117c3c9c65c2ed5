"""Scripts with a memory, for many requests: a share that goes wrong, a limited capacity, a cut that each request chooses.

Each is seeded or counts, so that a run can be had again.
"""

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from random import Random

from tests.harness.scripted.scripts import chunked, refused, right, truncated
from tests.harness.scripted.steps import Exchange, Script, Step, Wait

FORMS = {"l": right, "c": chunked}
"""How a reply that is cut says where it ends: by its length, in chunks."""


@dataclass
class Sometimes:
    """`script` for a share of all requests, and `otherwise` for the rest."""

    script: Script
    share: float
    otherwise: Script = right
    seed: int = 5
    _random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def __call__(self, exchange: Exchange) -> Iterable[Step]:
        return (self.script if self._random.random() < self.share else self.otherwise)(exchange)


@dataclass
class Capacity:
    """`servers` that take `service_s` for each request and have one queue, first come first served: so much it can do, and no more.

    What a client gave up is done all the same, as a store that does not notice would."""

    servers: int
    service_s: float
    script: Script = right
    clock: Callable[[], float] = time.monotonic
    _free_at_s: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._free_at_s = [0.0] * self.servers

    def __call__(self, exchange: Exchange) -> Iterable[Step]:
        now_s = self.clock()
        ends_s = max(now_s, self._free_at_s[0]) + self.service_s
        heapq.heapreplace(self._free_at_s, ends_s)
        return (Wait(ends_s - now_s), *self.script(exchange))


@dataclass
class Throttling:
    """429 for so long from the first request on, with what is left of it in Retry-After: in whole seconds, or as a date."""

    seconds: int
    as_date: bool = False
    _until_s: float | None = None

    def __call__(self, exchange: Exchange) -> Iterable[Step]:
        now_s = time.time()
        if self._until_s is None:
            # a date has whole seconds: the instant is one, so that both sides mean the same
            self._until_s = float(int(now_s) + self.seconds) if self.as_date else now_s + self.seconds
        left_s = self._until_s - now_s
        if left_s <= 0:
            return right(exchange)
        return refused(
            exchange, status=429, retry_after=formatdate(self._until_s, usegmt=True) if self.as_date else str(-int(-left_s // 1))
        )


@dataclass(frozen=True)
class CutAsAsked:
    """Users called `cut-<form>-<fin|rst>-<n>…` have their reply cut after `n` bytes; others get theirs whole. `form` is one of FORMS."""

    prefix: str = "cut-"

    def __call__(self, exchange: Exchange) -> Iterable[Step]:
        if not exchange.user.startswith(self.prefix):
            return right(exchange)
        form, end, at = exchange.user.removeprefix(self.prefix).split("-")[:3]
        return truncated(exchange, at=int(at), reset=end == "rst", form=FORMS[form])
