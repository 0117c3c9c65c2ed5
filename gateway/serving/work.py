"""One read's work: its rows on their way, for whom and how they are gathered, and what a flight brings for them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from opentelemetry.trace import Span

from gateway.cache.flights import Flight
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.errors import GatewayError
from gateway.features import Caller, Priority, ReadOptions, ServiceRef, SloInfo, Source
from gateway.serving.plan import Plan, StoredView


class RowWork(msgspec.Struct, eq=False):
    """One row: its typed keys and context, and, per stored view of the plan, key, values and source so far.

    `hopes`: stale fragments that are better than nothing; `due`: views at hand that should be fetched again; `failed`: why a view did not
    come. `error`: the row's own, that ends it. `alone`: what it lacks was to come with another row, which was refused.
    """

    values: tuple[Any, ...]
    context: dict[str, Any]
    keys: list[Key]
    found: list[Fragment | None]
    sources: list[Source]
    hopes: dict[int, Fragment] = {}
    due: list[int] = []
    failed: dict[int, GatewayError] = {}
    error: GatewayError | None = None
    alone: bool = False
    slo: SloInfo | None = None
    partial: bool = False

    def __repr__(self) -> str:
        return f"RowWork({len(self.keys)} views, sources={self.sources!r}, failed={self.failed!r}, error={self.error!r})"

    def missing(self, needed: Iterable[int]) -> list[int]:
        """What is neither there nor given up."""
        return [] if self.error is not None else [index for index in needed if self.found[index] is None and index not in self.failed]

    def take(self, index: int, fragment: Fragment, source: Source) -> None:
        self.found[index], self.sources[index] = fragment, source


Lack = tuple[RowWork, list[int]]
"""A row, and the views that it lacks."""


class Landed(msgspec.Struct, frozen=True):
    """What a flight brings for one key, or, without a fragment, what is said of a row as a whole (`of_row`). `refusal`: why the row did
    not come, where others did: the origin took the rest of its batch, or the rest was found without asking it."""

    fragment: Fragment | None = None
    complete: bool = True
    slo: SloInfo | None = None
    partial: bool = False
    source: Source = Source.ORIGIN
    refusal: GatewayError | None = None


Cargo = Mapping[Key, Landed]


def of_row(row: RowWork) -> Key:
    """Where a cargo has what is said of a row as a whole, beside what is said of its keys, which other rows may share."""
    return ("row", *row.keys)


class Witness(Protocol):
    """Who is told, of a read that is to be explained, how what it lacked came."""

    def waited(self, index: int, flight: Flight[Landed], *, led: bool) -> None:
        """The row's view was waited for, with a flight that was begun for it, or with another's."""
        ...

    def asked(
        self, lacks: Sequence[Lack], took_s: float, attempts: int, *, hedged: bool = False, error: GatewayError | None = None
    ) -> None:
        """The origin was asked, and answered or did not."""
        ...


class Errand(msgspec.Struct, frozen=True):
    """For whom and how to gather. `deadline_s` is on the event loop's clock; `partial_at_deadline`: serve TIME_OUT instead of failing.
    `max_age_s`: a flight that has been in the air for longer brings nothing that is wanted. `rows_may_fail`: a row that the origin refuses
    must not take the others along. `needs_labels`: the reply shows what only the origin can tell. `own`: a flight that was launched for it
    before, as its leader. `witness`: who is told how it went; nearly always nobody."""

    plan: Plan
    service: ServiceRef
    caller: Caller
    options: ReadOptions
    needed: tuple[int, ...]
    deadline_s: float
    partial_at_deadline: bool = False
    max_age_s: float | None = None
    want_labels: bool = False
    rows_may_fail: bool = False
    needs_labels: bool = False
    span: Span | None = None
    traceparent: bytes | None = None
    priority: Priority = Priority.NORMAL
    own: Flight[Landed] | None = None
    witness: Witness | None = None

    def takes(self, view: StoredView, fragment: Fragment, now_s: float) -> bool:
        """Whether what was asked for earlier, by whomever, will do."""
        young = self.max_age_s is None or now_s - fragment.stored_at < self.max_age_s
        return young and now_s < fragment.expiry(view.terms) and not self.needs_labels
