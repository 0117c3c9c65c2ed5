"""Definitions meet a store: what each view's data begins with when the store has none under its name.

A view's stored data goes by a name that says all that shapes it (`catalog`), so a view that is new or has changed has none yet. Its history
is in the events of other views of the same source, its own former self among them: each keeps whole records. A donor must have kept every
event that the view would have kept; where none has, the definitions are refused, unless the view may start empty.

Copies are made in small writes, and leave alone what is there already, so they can be broken off, repeated, and made while events come in.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gateway.feature_server.catalog import Catalog, Descriptor, ViewRuntime
from gateway.feature_server.materialize import Ids, store_events
from gateway.feature_server.online.base import Batch, Cell, OnlineStore, StoreMismatch
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.windows import Row

_CELLS = 16
_FIRST_NS, _END_NS = -(2**63), 2**63 - 1
_unpack = msgspec.msgpack.Decoder(list).decode
describe = msgspec.json.encode
Convert = Callable[[Row], Row]


class MigrationRefused(StoreMismatch):
    """These definitions change stored data in a way that its events cannot follow."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A view, and whose events it begins with."""

    view: ViewRuntime
    donor: str
    descriptor: Descriptor


def read_descriptors(store: OnlineStore) -> dict[str, Descriptor]:
    return {name: msgspec.json.decode(text, type=Descriptor) for name, text in store.views().items()}


def prepare(store: OnlineStore, catalog: Catalog, now_ns: int, start_empty: Collection[str]) -> tuple[Ids, list[Copy]]:
    """Names for all views of the catalog, and the copies that must be made before it can serve. Views that it does not want any longer are
    marked as retired. `start_empty`: views, as `workspace.view`, that need no history. Raises MigrationRefused."""
    stored = read_descriptors(store)
    with_data = {name: one for name, one in stored.items() if _has_data(store, name, one)}
    copies = list(_plan(catalog, stored, with_data, start_empty))
    filling = {copy.view.stored_as for copy in copies}
    wanted = {view.stored_as: view.descriptor(filling=view.stored_as in filling) for view in catalog.views}
    donors = {copy.donor: stored[copy.donor] for copy in copies}
    retired = {name: retire(one, now_ns) for name, one in stored.items() if name not in wanted and name not in donors}
    retired = {name: one for name, one in retired.items() if one.workspace in catalog.workspaces}
    return store.prepare({name: describe(one).decode() for name, one in (donors | retired | wanted).items()}), copies


def retire(one: Descriptor, now_ns: int) -> Descriptor:
    return one if one.retired_at_ns is not None else msgspec.structs.replace(one, retired_at_ns=now_ns)


def _has_data(store: OnlineStore, name: str, one: Descriptor) -> bool:
    [view] = store.prepare({name: describe(one).decode()}).values()
    return next(store.scan(view, 1), None) is not None


def _plan(
    catalog: Catalog, stored: Mapping[str, Descriptor], with_data: Mapping[str, Descriptor], start_empty: Collection[str]
) -> Iterator[Copy]:
    refusals: list[str] = []
    for view in catalog.views:
        known = stored.get(view.stored_as)
        complete = known is not None and not known.filling and known.retired_at_ns is None
        if complete or f"{view.workspace}.{view.name}" in start_empty:
            continue
        candidates = {
            name: one
            for name, one in with_data.items()
            if (one.workspace, one.source) == (view.workspace, view.source.name) and name != view.stored_as and not one.filling
        }
        reasons = {name: _unfit(one, view) for name, one in candidates.items()}
        fit = [name for name, reason in reasons.items() if reason is None]
        if fit:
            donor = min(fit, key=lambda name: _preference(candidates[name], view))
            yield Copy(view, donor, candidates[donor])
        elif candidates:
            refusals.append(_refusal(view, {candidates[name].view: str(reason) for name, reason in reasons.items()}))
    if refusals:
        raise MigrationRefused(
            "These definitions change stored data in ways that its events cannot follow:\n"
            + "\n".join(f"  - {refusal}" for refusal in refusals)
            + "\nLet such a view start empty (--start-empty WORKSPACE.VIEW) and ingest its source's events again, or keep its definition."
        )


def _unfit(donor: Descriptor, view: ViewRuntime) -> str | None:
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
    if not donor.record_key and (source.record_key or set(donor.join_keys) != set(view.view.join_keys)):
        return f"it keeps one event per timestamp and {', '.join(donor.join_keys)}"
    if donor.ttl_s is not None and (needs_s := _reach_s(view)) is not None and donor.ttl_s < needs_s:
        return f"it keeps events for {donor.ttl_s} s, and {needs_s} s are needed"
    if donor.ttl_s is not None and _reach_s(view) is None:
        return f"it keeps events for {donor.ttl_s} s, and all time is needed"
    return None


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


def _refusal(view: ViewRuntime, reasons: Mapping[str, str]) -> str:
    told = "; ".join(f"{donor}: {reason}" for donor, reason in sorted(reasons.items()))
    return f"feature view {view.name} of workspace {view.workspace} has no history to begin with ({told})."


def run(store: OnlineStore, catalog: Catalog, copies: Sequence[Copy], ids: Ids, now_ns: int) -> Iterator[tuple[str, int]]:
    """Make the copies, one small write per step; each step tells the view, and how many join keys of it are done. Donors that the catalog
    does not want are retired in the end, and not before: until then they are needed again if this is broken off."""
    for copy in copies:
        convert = converter(copy.descriptor, copy.view)
        done = 0
        for keys in store.scan(ids[copy.donor], _CELLS):
            store.write(_work(copy, convert, [Cell(ids[copy.donor], key) for key in keys], ids, now_ns))
            done += len(keys)
            yield copy.view.name, done
        store.prepare({copy.view.stored_as: describe(copy.view.descriptor()).decode()})
    wanted = {view.stored_as for view in catalog.views}
    done_with = {copy.donor: retire(copy.descriptor, now_ns) for copy in copies if copy.donor not in wanted}
    store.prepare({name: describe(one).decode() for name, one in done_with.items()})


def _work(copy: Copy, convert: Convert, cells: Sequence[Cell], ids: Ids, now_ns: int) -> Callable[[Batch], None]:
    ttl_s = copy.view.view.ttl_s
    oldest_ns = _FIRST_NS if ttl_s is None else now_ns - ttl_s * NS_PER_S

    def work(batch: Batch) -> None:
        found = batch.events([(cell, oldest_ns, _END_NS) for cell in cells])
        rows = [convert(_unpack(event.payload)) for events in found for event in events]
        keyed = [row for row in rows if None not in [row[column] for column in (*copy.view.key_columns, *copy.view.identity_columns)]]
        store_events(batch, [(copy.view, keyed)], ids, now_ns, absent_only=True)

    return work


def converter(donor: Descriptor, view: ViewRuntime) -> Convert:
    """A donor's record in the order of this view's source; null for columns that it had not."""
    names = [name for name, _ in donor.columns]
    places = [names.index(column.name) if column.name in names else None for column in view.source.columns]
    if places == list(range(len(names))):
        return lambda row: row
    return lambda row: [None if place is None else row[place] for place in places]
