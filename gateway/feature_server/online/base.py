"""The online store's seam: where raw events and the tiles made of them are kept.

Events are the truth, one per (source, record key, timestamp). A view's members are the events that count for it, in order, per join
key; its tiles are derived from them and can be made again. A store moves bytes: what a payload or a tile holds is its callers' business,
and so is the meaning of every id. Snapshots and transactions are isolated from one another; a transaction that ends without an error is
durable.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class StoreMismatch(Exception):
    """The store at hand was written by other definitions, or by another version of the gateway, than would read it now."""


class TileRange(NamedTuple):
    """The tiles `first` ≤ tile < `end` of one view for one join key."""

    view: int
    join_key: bytes
    first: int
    end: int


class StoredTile(NamedTuple):
    tile: int
    states: bytes


class Member(NamedTuple):
    """One event of a view, as its tiles take it in."""

    at_ns: int
    identity: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class WrittenEvent:
    """What `put_event` found: the event's row, and the payload that stood there before."""

    id: int
    replaced: bytes | None


class Snapshot(Protocol):
    """Reads that see one state of the store."""

    def tiles(self, wanted: TileRange) -> list[StoredTile]:
        """Newest first."""
        ...

    def newest(self) -> Mapping[int, int]:
        """For each view that has any, the timestamp of its newest event, in nanoseconds."""
        ...


class Transaction(Protocol):
    """Writes that all happen or none. Reads inside see them."""

    def has_event(self, source: int, record_key: bytes, at_ns: int) -> bool: ...

    def put_event(self, source: int, record_key: bytes, at_ns: int, payload: bytes) -> WrittenEvent: ...

    def put_member(self, view: int, join_key: bytes, at_ns: int, identity: bytes, event: int) -> bool:
        """Whether another event counted under this identity until now."""
        ...

    def drop_member(self, view: int, join_key: bytes, at_ns: int, identity: bytes) -> None: ...

    def members(self, view: int, join_key: bytes, first_ns: int, end_ns: int) -> list[Member]:
        """Those with `first_ns` ≤ timestamp < `end_ns`, in the order of timestamp, then identity."""
        ...

    def tile(self, view: int, join_key: bytes, tile: int) -> bytes | None: ...

    def put_tile(self, view: int, join_key: bytes, tile: int, states: bytes | None) -> None:
        """None takes the tile away."""
        ...

    def advance(self, view: int, at_ns: int) -> None:
        """The view has an event of this time; its newest is never set back."""
        ...


class OnlineStore(Protocol):
    def prepare(self, fingerprint: str, names: Sequence[str]) -> Mapping[str, int]:
        """Make the store ready for these definitions and give each name its id. Raises StoreMismatch where it holds others' data."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """To be used on one thread at a time. Raises OriginUnavailable or OriginFailed where the store cannot answer, then or later."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """To be used on one thread at a time, which may be another than the snapshots'."""
        ...

    def ready(self) -> None:
        """Really ask the store. Raises OriginUnavailable where it does not answer."""
        ...

    def close(self) -> None: ...
