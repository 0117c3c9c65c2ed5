"""Events into the store: last write wins per event, and every tile stays exactly what its events make it.

A new event is added to its tiles, wherever in the past they lie. An event that replaces another makes its tiles anew from the raw events,
because few states can forget a value. Tiles are read and written once per call, however many events fall in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.feature_server.catalog import Row, SourceRuntime, ViewRuntime
from gateway.feature_server.online.base import Transaction, WrittenEvent
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.windows import TileStates

_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(list).decode
Ids = Mapping[str, int]
"""The store's ids of views and sources, by the name they are stored under."""


@dataclass(slots=True)
class _Touched:
    """What one call does to one tile. `rebuilt`: an event in it was replaced or has left."""

    added: list[tuple[int, bytes, Row]] = field(default_factory=list)
    rebuilt: bool = False


class _ViewChanges:
    """What one call does to one view: members at once, tiles when all is known."""

    def __init__(self, transaction: Transaction, view: ViewRuntime, view_id: int) -> None:
        self._transaction = transaction
        self._view = view
        self._id = view_id
        self._tiles: dict[tuple[bytes, int], _Touched] = {}

    def take(self, at_ns: int, identity: bytes, row: Row, written: WrittenEvent, replaced: Row | None) -> None:
        join_key, tile = self._view.key_of_row(row), self._view.plan.tile_of(at_ns)
        if replaced is not None and (old_key := self._view.key_of_row(replaced)) != join_key:
            self._transaction.drop_member(self._id, old_key, at_ns, identity)
            self._tiles.setdefault((old_key, tile), _Touched()).rebuilt = True
        stood_in = self._transaction.put_member(self._id, join_key, at_ns, identity, written.id)
        change = self._tiles.setdefault((join_key, tile), _Touched())
        change.added.append((at_ns, identity, row))
        change.rebuilt = change.rebuilt or stood_in or replaced is not None

    def finish(self, newest_ns: int) -> None:
        for (join_key, tile), change in self._tiles.items():
            states = self._rebuild(join_key, tile) if change.rebuilt else self._extend(join_key, tile, change)
            self._transaction.put_tile(self._id, join_key, tile, None if states is None else _pack(states))
        self._transaction.advance(self._id, newest_ns)

    def _extend(self, join_key: bytes, tile: int, change: _Touched) -> TileStates:
        stored = self._transaction.tile(self._id, join_key, tile)
        states = self._view.plan.empty() if stored is None else _unpack(stored)
        for at_ns, identity, row in change.added:
            self._view.plan.add(states, at_ns, identity, row)
        return states

    def _rebuild(self, join_key: bytes, tile: int) -> TileStates | None:
        """From the raw events; None where there are none left."""
        length_ns = self._view.plan.interval_s * NS_PER_S
        members = self._transaction.members(self._id, join_key, tile * length_ns, (tile + 1) * length_ns)
        states = self._view.plan.empty()
        for at_ns, identity, payload in members:
            self._view.plan.add(states, at_ns, identity, _unpack(payload))
        return states if members else None


def store_events(transaction: Transaction, source: SourceRuntime, rows: Sequence[Row], ids: Ids) -> None:
    """Store events of one source, at least one, in the order given, and bring the tiles of every view it feeds up to date."""
    changes = [_ViewChanges(transaction, view, ids[view.stored_as]) for view in source.views]
    newest_ns = max(row[source.timestamp_column] for row in rows)
    for row in rows:
        at_ns, record_key, payload = row[source.timestamp_column], source.record_key(row), _pack(row)
        written = transaction.put_event(ids[source.stored_as], record_key, at_ns, payload)
        # Without a record key of the source's own, a view's join keys and the timestamp are the whole identity
        identity = record_key if source.source.record_key else b""
        if identity and written.replaced == payload:
            continue  # sent again after a lost answer: nothing changes, and making tiles anew is the dearest thing here
        replaced = None if written.replaced is None else _unpack(written.replaced)
        for view in changes:
            view.take(at_ns, identity, row, written, replaced)
    for view in changes:
        view.finish(newest_ns)
