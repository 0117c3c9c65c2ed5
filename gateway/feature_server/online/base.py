"""The online store's seam: where events, and the tiles made of them, are kept.

A cell is one view's data for one join key: its events, newest last, one per (timestamp, identity), and the tiles derived from them. A store
moves bytes: what a payload or a tile holds is its callers' business, and so is the meaning of every id. What `write` has returned from is
as durable as the store can make it.

Reads wait on the event loop (or do not wait at all); everything else blocks and belongs to the writer's thread.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


class StoreMismatch(Exception):
    """The store at hand was written by other definitions, or by another version of the gateway, than would use it now."""


class Kind(Enum):
    """What a part of a cell is made of."""

    TILES = "tiles"
    EVENTS = "events"
    NEWEST = "newest"
    """The newest event of the range alone."""


class Part(NamedTuple):
    """A range of one cell: `first` ≤ tile number or timestamp (nanoseconds) < `end`."""

    kind: Kind
    first: int
    end: int


class Cell(NamedTuple):
    view: int
    join_key: bytes


class CellRead(NamedTuple):
    """What a read wants of one cell."""

    cell: Cell
    parts: tuple[Part, ...]


Rows = list[tuple[int, bytes]]
"""Of one part, newest first, and of one timestamp the highest identity first: tile number and states, or timestamp and payload."""


class Found(NamedTuple):
    """A read's answer: for each cell the rows of each part; for each view read that has any, its newest event's timestamp."""

    cells: Sequence[Sequence[Rows]]
    newest: Mapping[int, int]


class Event(NamedTuple):
    at_ns: int
    identity: bytes
    payload: bytes


class EventKey(NamedTuple):
    cell: Cell
    at_ns: int
    identity: bytes


class TileKey(NamedTuple):
    cell: Cell
    tile: int


@dataclass(frozen=True, slots=True)
class Retention:
    """What a cell need not keep any longer. Tiles below `BLOCKS_END` are never meant. `expires_s`: the whole cell may go when nothing was
    written to it for this long; None: never."""

    oldest_ns: int
    oldest_tile: int
    expires_s: float | None


BLOCKS_END = -(2**40)
"""Tile numbers below this are blocks: tiles of a coarser kind, kept for good."""


@dataclass(slots=True)
class CellChange:
    """What a write does to one cell: events to put in the place of those of their timestamp and identity, tiles to put (None: to remove).

    `indexed_under`: the part of the join key that a wildcard read gives; None for a view that has none.
    """

    events: list[Event] = field(default_factory=list)
    tiles: dict[int, bytes | None] = field(default_factory=dict)
    indexed_under: bytes | None = None
    retention: Retention | None = None


class Batch(Protocol):
    """One write under way. Look-ups first, all that are needed of a kind in one call; then `put`, once."""

    def payloads(self, wanted: Sequence[EventKey]) -> list[bytes | None]:
        """Of the events that are there already."""
        ...

    def tiles(self, wanted: Sequence[TileKey]) -> list[bytes | None]: ...

    def events(self, wanted: Sequence[tuple[Cell, int, int]]) -> list[list[Event]]:
        """Of each cell those with `first_ns` ≤ timestamp < `end_ns`, in the order of timestamp, then identity."""
        ...

    def put(self, changes: Mapping[Cell, CellChange], newest: Mapping[int, int]) -> None:
        """`newest`: of each view the timestamp of its newest event in these changes; what is stored is never set back."""
        ...


class OnlineStore(Protocol):
    immediate: bool
    """Whether `read` answers without waiting: then a long batch of reads should pause between slices."""

    forgets: bool
    """Whether the store keeps retention by itself, from what it is told with each write; else `trim` must be called on idle cells."""

    def prepare(self, views: Mapping[str, str]) -> Mapping[str, int]:
        """Make the store ready and give each of these views its id. A view is named by what shapes its stored data, so other data is never
        taken for its own; the value is a description, kept for `views`. Raises StoreMismatch for another version of the gateway."""
        ...

    def views(self) -> Mapping[str, str]:
        """Every view the store has data of, or had been prepared for: name → description."""
        ...

    def ids(self, names: Iterable[str]) -> Mapping[str, int]:
        """The ids of views that the store knows. Changes nothing."""
        ...

    async def read(self, wanted: Sequence[CellRead]) -> Found:
        """Each cell as it was at one instant. Raises OriginUnavailable, OriginFailed."""
        ...

    async def newest(self) -> Mapping[int, int]:
        """For each view that has any, the timestamp of its newest event, in nanoseconds."""
        ...

    async def keys(self, view: int, indexed_under: bytes, limit: int) -> list[bytes]:
        """The join keys of a view that were written under this part of theirs, in order, at most `limit`."""
        ...

    def write(self, work: Callable[[Batch], T]) -> T:
        """One write: `work` looks up and puts; it is done again where others wrote the same cells meanwhile. All of it happens or, where
        the store cannot promise that, each cell's part of it does; done again, it ends as if done once.

        Raises OriginUnavailable, OriginFailed."""
        ...

    def scan(self, view: int, limit: int) -> Iterator[list[bytes]]:
        """All join keys of a view, in lists of about `limit`, in an order of the store's own. One that is written meanwhile may be left
        out; one may come twice."""
        ...

    def trim(self, cells: Sequence[Cell], retention: Retention) -> None:
        """Remove what these cells need not keep."""
        ...

    def forget(self, name: str, limit: int) -> bool:
        """Remove at most so many cells of a view that is no longer defined. Whether that was all of it, its name included."""
        ...

    async def ready(self) -> None:
        """Really ask the store. Raises OriginUnavailable where it does not answer."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class PromptStore(OnlineStore, Protocol):
    """A store that is `immediate`, and can be read by a plain function too."""

    def read_now(self, wanted: Sequence[CellRead]) -> Found:
        """What `read` answers."""
        ...
