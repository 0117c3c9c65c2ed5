"""The seam between the read path and whatever answers reads: one Protocol, five verbs and close.

Implementations: `origins.tecton` (a cluster over HTTP), `feature_server.origin` (the embedded engine). They speak in domain nouns; HTTP,
JSON and SQL stay behind this line. Errors: `errors.OriginError` and, where the origin judges the caller, `errors.CallerError`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from gateway.features import PLAIN, Caller, Feature, Field, Labels, Priority, ReadOptions, ServiceRef, SloInfo, ViewValues, Written
from gateway.on_demand import OnDemandView

DEFAULT, WILDCARD = "DEFAULT", "WILDCARD"
"""The kinds of feature services (contract §2.4). A wildcard one is read by some join keys and answers once per set of the others."""


class FetchRow(msgspec.Struct, frozen=True, gc=False):
    """One read: typed join keys and request context by name (int64 as int, timestamps as RFC 3339 text), and the views that are wanted.

    An origin that cannot fetch single views answers all of them.
    """

    join_keys: Mapping[str, Any]
    context: Mapping[str, Any]
    views: frozenset[str]

    def __repr__(self) -> str:
        return f"FetchRow(views={sorted(self.views)!r})"


class Fetch(msgspec.Struct, frozen=True, gc=False):
    """Up to `Origin.batch_limit` reads of one feature service, for one caller. `deadline` is on the event loop's clock, in seconds."""

    service: ServiceRef
    rows: tuple[FetchRow, ...]
    caller: Caller
    deadline: float
    options: ReadOptions = PLAIN
    want_labels: bool = False
    traceparent: str | None = None
    max_results: int | None = None
    """Of a query: how many results its answer may have. None: as many as there are."""
    priority: Priority = Priority.NORMAL


class FetchedRow(msgspec.Struct, frozen=True, gc=False):
    """`partial`: the origin left values out because its size limit was met, as the caller had allowed it to."""

    views: tuple[ViewValues, ...]
    slo: SloInfo | None = None
    partial: bool = False


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """An origin's answer: one row per row asked, in order. `labels` by feature name, where they were wanted and the origin has them.
    `attempts`: how often it was asked; `hedged`: the second time because the first was late."""

    rows: tuple[FetchedRow, ...]
    labels: Mapping[str, Labels] | None = None
    attempts: int = 1
    hedged: bool = False


@dataclass(frozen=True, slots=True)
class QueriedRow:
    """One result of a wildcard read: the values of the output join keys (typed as in `FetchRow`), and all views of the service for them."""

    join_keys: tuple[Any, ...] = field(repr=False)
    views: tuple[ViewValues, ...]


@dataclass(frozen=True, slots=True)
class Queried:
    """An origin's answer to a wildcard read: one row per set of output join keys that it has something for, in the order of its choice.

    `join_keys` names and types the rows' keys, in their order: it comes with the values, as the views' layouts do. `partial`: the origin
    left something out because its own size limit was met, as the caller had allowed it to. `more`: there are more rows than were wanted.
    """

    join_keys: tuple[Field, ...]
    rows: tuple[QueriedRow, ...]
    slo: SloInfo | None = None
    partial: bool = False
    more: bool = False
    labels: Mapping[str, Labels] | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """What an origin knows of one view beyond its features. `join_keys` None: unknown, so all of the service's. `emitted` False: an input
    of an on-demand view that the feature service itself does not serve; `features` then says what it holds.
    `identity` tells views apart that are served under the same name, and a view from what it was before its definition changed."""

    join_keys: tuple[str, ...] | None = None
    context_keys: tuple[str, ...] | None = None
    emitted: bool = True
    features: tuple[Feature, ...] = ()
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What Metadata says of a feature service, and what the origin knows besides."""

    service: ServiceRef
    join_keys: tuple[Field, ...]
    context_keys: tuple[Field, ...]
    features: tuple[Feature, ...]
    kind: str = DEFAULT
    output_join_keys: tuple[Field, ...] = ()
    views: Mapping[str, ViewFacts] = field(default_factory=dict)
    on_demand: Mapping[str, OnDemandView] = field(default_factory=dict)
    labels: Mapping[str, Labels] | None = None


@dataclass(frozen=True, slots=True)
class IngestReply:
    """An origin's answer to an ingest: its HTTP status and its JSON body, already encoded (contract §6 has a shape of its own).

    `written`: which views took what in; empty where nothing was stored. None: the origin cannot tell, so anything may have been."""

    status: int
    body: bytes
    retry_after: str | None = None
    written: tuple[Written, ...] | None = ()


class Origin(Protocol):
    """Where features come from."""

    single_views: bool
    """Whether `fetch` answers just the views that are asked for, or always all of the service."""

    def batch_limit(self, service: ServiceRef) -> int:
        """How many reads of this service a single `fetch` may carry now, one at least. An origin that judges rows refuses the whole fetch
        (InvalidRequest) for one wrong row of several: its rows are to be asked alone then."""
        ...

    def rows_at_once(self, service: ServiceRef) -> int:
        """How many rows of this service a `fetch` answers now, without waiting for anything, in a few milliseconds. 0: it always waits."""
        ...

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        """The metadata of a feature service, as this caller may see it."""
        ...

    async def fetch(self, fetch: Fetch) -> Fetched:
        """Feature values. Raises rather than answering in part, unless the origin itself marks what is missing (TIME_OUT)."""
        ...

    async def query(self, fetch: Fetch) -> Queried:
        """A wildcard read: all sets of output join keys that go with the given ones. `fetch` has one row, whose `views` are all.

        Raises InvalidRequest where the feature service is not a wildcard one, and as `fetch` does.
        """
        ...

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:
        """Stream records in, in the ingest API's own JSON."""
        ...

    async def ready(self) -> None:
        """Ask whether reads can be answered now. Raises OriginError where not."""
        ...

    async def follow(self, changed: Callable[[], None]) -> None:
        """Runs as long as the origin is served, or until there is nothing more to follow. Calls `changed`, on the event loop, whenever what
        it serves has become something else: whatever was kept of its descriptions and values must go then."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class ListingOrigin(Origin, Protocol):
    """An origin that knows which feature services there are."""

    def services(self) -> Sequence[ServiceRef]:
        """By name, in no order."""
        ...


@runtime_checkable
class ImmediateOrigin(Origin, Protocol):
    """An origin some of whose reads need nothing to be waited for, and that can be made by a plain function."""

    def fetch_row(self, service: ServiceRef, join_keys: Mapping[str, Any], views: frozenset[str]) -> FetchedRow | None:
        """What `fetch` answers for these typed join keys alone, with plain options; None where it is to be asked so."""
        ...


class Asked(Protocol):
    """A fetch under way that nobody waits for: its end is told."""

    @property
    def due_s(self) -> float:
        """When somebody should begin to wait for it, if it has not ended: it is late then, and may be worth more than waiting. On the event
        loop's clock."""
        ...

    def fetched(self) -> Fetched | None:
        """The answer, once its end was told. None where it is none: why, and what is to be done about it, whoever waits will learn."""
        ...

    async def waited(self) -> Fetched:
        """What `Origin.fetch` would have answered, waited for, with all that it does about what fails or is late. Nothing is told from here
        on."""
        ...


@runtime_checkable
class PromptOrigin(Origin, Protocol):
    """An origin that can also be asked by a plain function. What that costs less than a coroutine and a task is most of what a read costs
    the gateway."""

    def begin(self, fetch: Fetch, tell: Callable[[], object]) -> Asked | None:
        """Ask at once, as `fetch` does; None where it would have to wait, or is better asked with care. `tell` is called, from the event
        loop and not from here, when the answer, or what came instead, is there."""
        ...
