"""Definitions meet a store: what each view's data begins with when the store has none under its name.

A view's stored data goes by a name that says all that shapes it (`catalog`), so a view that is new or has changed has none yet. Its history
is in the events of other views of the same source, its own former self among them: each keeps whole records. A donor must have kept every
event that the view would have kept; where none has, the definitions are refused, unless the view may start empty.

    outlook   what would become of every view; writes nothing
    prepare   new views are registered as being filled; nothing else changes
    run       copies, in small writes that can be broken off, repeated, and made while events come in
    settle    once the definitions are in force, and not before: new views are whole, and what is not wanted any longer is retired

Until `settle` the definitions before have all that they had, so whoever breaks off can go on with those; and what is half made, or was made
and never came into force, says that it is still being filled, so it is never taken for whole.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from gateway.feature_server.catalog import Catalog, Descriptor, ViewRuntime
from gateway.feature_server.materialize import Ids, store_events
from gateway.feature_server.online.base import Batch, Cell, OnlineStore, StoreMismatch
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.windows import Row
from gateway.features import Field

_CELLS = 16
_FIRST_NS, _END_NS = -(2**63), 2**63 - 1
_unpack = msgspec.msgpack.Decoder(list).decode
describe = msgspec.json.encode
Convert = Callable[[Row], Row]


class MigrationRefused(StoreMismatch):
    """These definitions change stored data in a way that its events cannot follow."""


class Fate(Enum):
    """What becomes of a view's stored data."""

    KEPT = "kept"
    COPIED = "copied"
    EMPTY = "empty"
    REFUSED = "refused"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Copy:
    """A view, and whose events it begins with."""

    view: ViewRuntime
    donor: str
    descriptor: Descriptor


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of one view. `copy` where its data is copied, `reason` where it is refused; `runtime` None for a view that is not wanted."""

    workspace: str
    view: str
    fate: Fate
    runtime: ViewRuntime | None = None
    copy: Copy | None = None
    reason: str = ""


def read_descriptors(store: OnlineStore) -> dict[str, Descriptor]:
    return {name: msgspec.json.decode(text, type=Descriptor) for name, text in store.views().items()}


def outlook(store: OnlineStore, catalog: Catalog, now_ns: int, start_empty: Collection[str] = ()) -> list[Outlook]:
    """What these definitions would do to what is stored, view by view. `start_empty`: views, as `workspace.view`, that need no history."""
    stored = read_descriptors(store)
    ids = store.ids(stored)
    with_data = {name: one for name, one in stored.items() if next(store.scan(ids[name], 1), None) is not None}
    wanted = {view.stored_as for view in catalog.views}
    served = {(view.workspace, view.name) for view in catalog.views}
    gone = [one for name, one in stored.items() if name not in wanted and one.retired_at_ns is None and one.workspace in catalog.workspaces]
    retired = sorted({(one.workspace, one.view) for one in gone} - served)
    return [
        *(_fate(view, stored.get(view.stored_as), with_data, start_empty, now_ns) for view in catalog.views),
        *(Outlook(workspace, view, Fate.RETIRED) for workspace, view in retired),
    ]


def prepare(store: OnlineStore, catalog: Catalog, now_ns: int, start_empty: Collection[str] = ()) -> tuple[Ids, list[Copy]]:
    """Names for all views of the catalog, and the copies that must be made before it can serve. Raises MigrationRefused."""
    fates = outlook(store, catalog, now_ns, start_empty)
    unknown = sorted(set(start_empty) - {f"{view.workspace}.{view.name}" for view in catalog.views})
    if unknown:
        raise MigrationRefused(f"There is no feature view {', '.join(unknown)} to start empty: name it WORKSPACE.VIEW.")
    refused = [one for one in fates if one.fate is Fate.REFUSED]
    if refused:
        raise MigrationRefused(
            "These definitions change stored data in ways that its events cannot follow:\n"
            + "\n".join(f"  - feature view {one.view} of workspace {one.workspace} {one.reason}" for one in refused)
            + "\nLet such a view start empty (--start-empty WORKSPACE.VIEW) and ingest its source's events again (ingest --restart), or"
            " keep its definition."
        )
    stored = store.views()
    copies = [one.copy for one in fates if one.copy is not None]
    for one in fates:
        if one.fate is Fate.EMPTY and one.runtime is not None and _stale(stored.get(one.runtime.stored_as)):
            while not store.forget(one.runtime.stored_as, _CELLS):  # what it held once
                pass
    views = {}
    for one in fates:
        if one.runtime is not None:
            new = describe(one.runtime.descriptor(filling=True, whole_from_ns=_begins_ns(one, now_ns, start_empty))).decode()
            views[one.runtime.stored_as] = stored[one.runtime.stored_as] if one.fate is Fate.KEPT else new
    donors = {copy.donor: stored[copy.donor] for copy in copies}
    return store.prepare(donors | views), copies


def settle(store: OnlineStore, catalog: Catalog, now_ns: int, formerly: Collection[str] = ()) -> None:
    """These definitions are in force: their views are described as they are now, and what they do not want of their workspaces, and of
    those that were served formerly, is retired."""
    known = read_descriptors(store)
    wanted = {view.stored_as: view.descriptor(whole_from_ns=_whole_ns(known.get(view.stored_as), now_ns)) for view in catalog.views}
    workspaces = {*catalog.workspaces, *formerly}
    unwanted = {name: one for name, one in known.items() if name not in wanted and one.workspace in workspaces}
    retired = {name: retire(one, now_ns) for name, one in unwanted.items()}
    store.prepare({name: describe(one).decode() for name, one in (retired | wanted).items()})


def _stale(description: str | None) -> bool:
    """Whether a view that shall begin empty still has what it held before it was retired. One that is being filled may be being filled, and
    fed, by another process at this moment."""
    return description is not None and msgspec.json.decode(description, type=Descriptor).retired_at_ns is not None


def _begins_ns(one: Outlook, now_ns: int, start_empty: Collection[str]) -> int | None:
    """Since when a view that is filled now will have every event; None: since ever."""
    if one.copy is not None:
        return one.copy.descriptor.held_from_ns(now_ns)
    return now_ns if f"{one.workspace}.{one.view}" in start_empty else None


def _whole_ns(known: Descriptor | None, now_ns: int) -> int | None:
    """Of a view whose definition comes into force: what its TTL was, it has forgotten."""
    if known is None:
        return None
    return known.whole_from_ns if known.filling else known.held_from_ns(now_ns)


def retire(one: Descriptor, now_ns: int) -> Descriptor:
    return one if one.retired_at_ns is not None else msgspec.structs.replace(one, retired_at_ns=now_ns)


def _fate(
    view: ViewRuntime, known: Descriptor | None, with_data: Mapping[str, Descriptor], start_empty: Collection[str], now_ns: int
) -> Outlook:
    def fated(fate: Fate, copy: Copy | None = None, reason: str = "") -> Outlook:
        return Outlook(view.workspace, view.name, fate, view, copy, reason)

    may_lack = f"{view.workspace}.{view.name}" in start_empty
    if known is not None and not known.filling and known.retired_at_ns is None:
        short = None if may_lack or view.stored_as not in with_data else _forgotten(known, view, now_ns)
        return (
            fated(Fate.KEPT) if short is None else fated(Fate.REFUSED, reason=f"reaches further back than its own stored events: {short}.")
        )
    candidates = {
        name: one
        for name, one in with_data.items()
        if (one.workspace, one.source) == (view.workspace, view.source.name) and name != view.stored_as and not one.filling
    }
    if known is not None and not known.filling and not candidates and not may_lack:
        return fated(Fate.KEPT)  # retired, and since then no view of its source has taken in any event
    if may_lack or not candidates:
        return fated(Fate.EMPTY)
    reasons = {name: _unfit(one, view, now_ns) for name, one in candidates.items()}
    fit = [name for name, reason in reasons.items() if reason is None]
    if fit:
        donor = min(fit, key=lambda name: _preference(candidates[name], view))
        return fated(Fate.COPIED, Copy(view, donor, candidates[donor]))
    live = [name for name, one in candidates.items() if one.retired_at_ns is None]
    told = "; ".join(sorted(f"{candidates[name].view}: {reasons[name]}" for name in live or candidates))
    return fated(Fate.REFUSED, reason=f"has no history to begin with ({told}).")


def _unfit(donor: Descriptor, view: ViewRuntime, now_ns: int) -> str | None:
    """Why this donor's events are not all that the view would have kept; None where they are."""
    source, columns = view.source, dict(donor.columns)
    if donor.retired_at_ns is not None:
        return "it has taken in no events since it was taken out of the definitions"
    if donor.timestamp != source.timestamp:
        return f"it goes by the timestamp {donor.timestamp}"
    for column in source.columns:
        if column.name in columns and columns[column.name] != str(column.dtype):
            return f"its column {column.name} is {columns[column.name]}, not {column.dtype}"
    needed = {*view.view.join_keys, *source.record_key, *(one.column for one in view.view.aggregations)}
    needed |= {one.column for one in view.view.attributes}
    lacking = sorted(needed - columns.keys())
    if lacking:
        return f"its events have no column {', '.join(lacking)}"
    identity = donor.record_key or donor.join_keys
    if set(identity) != set(source.record_key or view.view.join_keys):
        return f"it keeps one event per timestamp and {', '.join(identity)}"
    return _too_short(donor.held_from_ns(now_ns), _reach_s(view), now_ns)


def _forgotten(known: Descriptor, view: ViewRuntime, now_ns: int) -> str | None:
    """Why a view's own events do not reach as far back as it looks now; None where they do, or where it looks no further than before."""
    grown = known.reach_s is not None and (view.reach_s is None or view.reach_s > known.reach_s)
    return _too_short(known.held_from_ns(now_ns), view.reach_s, now_ns) if grown else None


def _too_short(held_from_ns: int | None, needed_s: int | None, now_ns: int) -> str | None:
    """None: since ever, and without end."""
    if held_from_ns is None or (needed_s is not None and held_from_ns <= now_ns - needed_s * NS_PER_S):
        return None
    held_s = (now_ns - held_from_ns) // NS_PER_S
    return f"it keeps events for {held_s} s, and {'all time is' if needed_s is None else f'{needed_s} s are'} needed"


def _reach_s(view: ViewRuntime) -> int | None:
    """How far back values of a view look, in seconds; None: without end."""
    lengths_s = [one.window_s for one in view.view.aggregations]
    if not lengths_s:
        return view.view.ttl_s
    known_s = [length_s for length_s in lengths_s if length_s is not None]
    return max(known_s) if len(known_s) == len(lengths_s) else None


def _preference(donor: Descriptor, view: ViewRuntime) -> tuple[bool, float]:
    """Its own former self before others, then the longest memory."""
    return donor.view != view.name, -(float("inf") if donor.ttl_s is None else donor.ttl_s)


def run(store: OnlineStore, copies: Sequence[Copy], ids: Ids, now_ns: int) -> Iterator[tuple[str, int]]:
    """Make the copies, one small write per step; each step tells the view, and how many join keys of it are done."""
    for copy in copies:
        convert = converter(copy.descriptor, copy.view)
        done = 0
        for keys in store.scan(ids[copy.donor], _CELLS):
            if not read_descriptors(store)[copy.view.stored_as].filling:
                break  # another process has made the same copy, and takes in events that the donor does not see
            store.write(_work(copy, convert, [Cell(ids[copy.donor], key) for key in keys], ids, now_ns))
            done += len(keys)
            yield copy.view.name, done


def _work(copy: Copy, convert: Convert, cells: Sequence[Cell], ids: Ids, now_ns: int) -> Callable[[Batch], None]:
    view = copy.view.view
    lasting = any(one.window_s is None for one in view.aggregations)
    oldest_ns = _FIRST_NS if view.ttl_s is None or lasting else copy.view.plan.oldest_ns(now_ns, view.ttl_s)

    def work(batch: Batch) -> None:
        found = batch.events([(cell, oldest_ns, _END_NS) for cell in cells])
        rows = [convert(_unpack(event.payload)) for events in found for event in events]
        keyed = [row for row in rows if None not in [row[column] for column in (*copy.view.key_columns, *copy.view.identity_columns)]]
        store_events(batch, [(copy.view, keyed)], ids, now_ns)

    return work


def _place(donor: Descriptor, column: Field) -> int | None:
    known = (column.name, str(column.dtype))
    return donor.columns.index(known) if known in donor.columns else None


def converter(donor: Descriptor, view: ViewRuntime) -> Convert:
    """A donor's record in the order of this view's source; null for columns that it had not, or of another type."""
    places = [_place(donor, column) for column in view.source.columns]
    if places == list(range(len(donor.columns))):
        return lambda row: row
    return lambda row: [None if place is None else row[place] for place in places]
