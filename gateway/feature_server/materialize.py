"""Events into the store: last write wins per event, and every tile stays exactly what its events make it.

A new event is added to its tiles, wherever in the past they lie. An event that replaces another makes its tiles anew from the raw events,
because few states can forget a value. Whatever the number of events, views and requests in one write: one look-up of what is there, one of
tiles, one of the events of tiles to be made anew, one put.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.errors import OriginFailed
from gateway.feature_server.catalog import ViewRuntime
from gateway.feature_server.online.base import Batch, Cell, CellChange, Event, EventKey, Retention, TileKey
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.windows import UNREADABLE, Row

_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(list).decode
Ids = Mapping[str, int]
"""The store's ids of views, by the name they are stored under."""
Moment = tuple[int, bytes]
"""What an event is in its cell: timestamp and identity."""


@dataclass(slots=True)
class _CellWork:
    """What one write does to one cell. `rows` that replace others are in `replacing` too."""

    view: ViewRuntime
    rows: dict[Moment, Row] = field(default_factory=dict)
    replacing: set[Moment] = field(default_factory=set)
    index: bytes | None = None


def store_events(batch: Batch, feeds: Iterable[tuple[ViewRuntime, Sequence[Row]]], ids: Ids, now_ns: int) -> None:
    """Store rows for views, in the order given, and bring tiles up to date."""
    work = _gather(feeds, ids)
    newest: dict[int, int] = {}
    for cell, one in work.items():  # of all, also of what is there already: a store that lost it learns it again
        newest[cell.view] = max(newest.get(cell.view, -(2**63)), *(at_ns for at_ns, _ in one.rows))
    _compare(batch, work)
    changes = {cell: CellChange([Event(*moment, _pack(row)) for moment, row in one.rows.items()]) for cell, one in work.items()}
    _extend(batch, work, changes)
    _rebuild(batch, work, changes)
    for cell, one in work.items():
        changes[cell].indexed_under = one.index
        changes[cell].retention = retention(one.view, now_ns)
    if newest:
        batch.put(changes, newest)


def retention(view: ViewRuntime, now_ns: int) -> Retention | None:
    """None: everything is kept. A store that forgets by itself may let a cell go a tile after its last event has left the TTL; where there
    are windows over all time, never."""
    ttl_s = view.view.ttl_s
    if ttl_s is None:
        return None
    oldest_ns = view.plan.oldest_ns(now_ns, ttl_s)
    lasting = any(one.window_s is None for one in view.view.aggregations)
    return Retention(oldest_ns, oldest_ns // (view.plan.grid_s * NS_PER_S), None if lasting else float(ttl_s + 2 * view.plan.grid_s))


def _gather(feeds: Iterable[tuple[ViewRuntime, Sequence[Row]]], ids: Ids) -> dict[Cell, _CellWork]:
    """By cell; of rows that are one event the last."""
    work: dict[Cell, _CellWork] = {}
    for view, rows in feeds:
        view_id = ids[view.stored_as]
        for row in rows:
            cell = Cell(view_id, view.key_of_row(row))
            one = work.get(cell)
            if one is None:
                one = work[cell] = _CellWork(view, index=view.index_of_row(row))
            one.rows[row[view.timestamp_column], view.identity_of_row(row)] = row
    return work


def _compare(batch: Batch, work: dict[Cell, _CellWork]) -> None:
    """Leave out what changes nothing (a request sent again after a lost answer), and mark what replaces another event."""
    keys = [EventKey(cell, *moment) for cell, one in work.items() for moment in one.rows]
    for key, payload in zip(keys, batch.payloads(keys), strict=True):
        if payload is None:
            continue
        cell, moment = key.cell, (key.at_ns, key.identity)
        if payload == _pack(work[cell].rows[moment]):
            del work[cell].rows[moment]
        else:
            work[cell].replacing.add(moment)
    for cell in [cell for cell, one in work.items() if not one.rows]:
        del work[cell]


def _tiles(one: _CellWork) -> tuple[dict[int, list[Moment]], set[int]]:
    """The tiles that events fall in, and which of them must be made anew."""
    tiles: dict[int, list[Moment]] = {}
    anew: set[int] = set()
    for moment in one.rows:
        for tile in one.view.plan.tiles_of(moment[0]):
            tiles.setdefault(tile, []).append(moment)
            if moment in one.replacing:
                anew.add(tile)
    return tiles, anew


def _extend(batch: Batch, work: Mapping[Cell, _CellWork], changes: Mapping[Cell, CellChange]) -> None:
    """New events into the tiles that are there."""
    growing = [
        (TileKey(cell, tile), one, moments)
        for cell, one in work.items()
        for tiles, anew in (_tiles(one),)
        for tile, moments in tiles.items()
        if tile not in anew
    ]
    for (key, one, moments), stored in zip(growing, batch.tiles([key for key, _, _ in growing]), strict=True):
        events = [(*moment, one.rows[moment]) for moment in moments]
        try:
            changes[key.cell].tiles[key.tile] = one.view.plan.build(key.tile, stored, events)
        except UNREADABLE as error:
            raise OriginFailed(f"A stored tile of feature view {one.view.name} cannot be read.") from error


def _rebuild(batch: Batch, work: Mapping[Cell, _CellWork], changes: Mapping[Cell, CellChange]) -> None:
    """Tiles of which an event is replaced, from all of their events."""
    broken = [(TileKey(cell, tile), one) for cell, one in work.items() for tile in _tiles(one)[1]]
    if not broken:
        return
    ranges = [(key.cell, *one.view.plan.span_ns(key.tile)) for key, one in broken]
    for (key, one), (_, first_ns, end_ns), stored in zip(broken, ranges, batch.events(ranges), strict=True):
        rows: dict[Moment, Row] = {(event.at_ns, event.identity): _unpack(event.payload) for event in stored}
        rows |= {moment: row for moment, row in one.rows.items() if first_ns <= moment[0] < end_ns}
        events = [(*moment, row) for moment, row in sorted(rows.items(), key=lambda item: item[0])]
        changes[key.cell].tiles[key.tile] = one.view.plan.build(key.tile, None, events)
