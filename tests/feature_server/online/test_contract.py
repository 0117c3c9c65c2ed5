"""What every online store keeps to: one suite over SQLite, a Valkey server and a Valkey cluster."""

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.feature_server.online.base import (
    BLOCKS_END,
    Batch,
    Cell,
    CellChange,
    CellRead,
    Event,
    EventKey,
    Kind,
    Part,
    Retention,
    TileKey,
)
from tests.feature_server.online.contract import END, FIRST, KINDS, Model, Stores, empty_stores, numbered, part, put, scanned, whole
from tests.harness.clock import PATIENCE_S

NOW_NS = 1_714_564_800_123_456_789


async def test_an_event_takes_the_place_of_the_one_of_its_timestamp_and_identity(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        cell = Cell(ids["view"], b"ann")
        put(store, {cell: CellChange([Event(NOW_NS, b"a", b"old"), Event(NOW_NS, b"b", b"beside")])})
        put(store, {cell: CellChange([Event(NOW_NS, b"a", b"new")])})
        assert (await whole(store, cell))[1] == [(NOW_NS, b"beside"), (NOW_NS, b"new")]


async def test_of_one_write_the_last_event_counts(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        cell = Cell(ids["view"], b"ann")
        put(store, {cell: CellChange([Event(1, b"a", b"first"), Event(1, b"a", b"last")])})
        assert (await whole(store, cell))[1] == [(1, b"last")]


async def test_timestamps_are_kept_to_the_nanosecond(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        cell = Cell(ids["view"], b"ann")
        times = [FIRST, -NOW_NS, -1, 0, 1, NOW_NS - 1, NOW_NS, NOW_NS + 1, END - 1]
        put(store, {cell: CellChange([Event(at_ns, b"", b"%d" % at_ns) for at_ns in times])})
        assert (await whole(store, cell))[1] == [(at_ns, b"%d" % at_ns) for at_ns in reversed(times)]
        for first, end in pairwise(times):
            assert await part(store, cell, Part(Kind.EVENTS, first, end)) == [(first, b"%d" % first)]
            assert await part(store, cell, Part(Kind.NEWEST, FIRST, end)) == [(first, b"%d" % first)]


async def test_identities_order_by_their_bytes_whatever_their_lengths(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        cell = Cell(ids["view"], b"ann")
        identities = sorted([b"", b"\0", b"\0\0", b"\0\xff", b"\x01", b"a", b"a\0", b"a\0b", b"a\x01", b"ab", b"b", b"\xff", b"\xff\0"])
        put(store, {cell: CellChange([Event(1, identity, b"of " + identity) for identity in reversed(identities)])})
        (events,) = store.write(lambda batch: batch.events([(cell, 1, 2)]))
        assert events == [Event(1, identity, b"of " + identity) for identity in identities]
        assert await part(store, cell, Part(Kind.NEWEST, 0, 9)) == [(1, b"of " + identities[-1])]


async def test_blocks_are_kept_and_tiles_beside_them_are_not(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        cell = Cell(ids["view"], b"ann")
        tiles: dict[int, bytes | None] = dict.fromkeys((FIRST, BLOCKS_END - 1, BLOCKS_END, -1, 6, 7, 8), b"s")
        change = CellChange([Event(4, b"", b"old"), Event(5, b"", b"kept")], tiles, retention=Retention(5, 7, None))
        put(store, {cell: change})
        kept, events, _ = await whole(store, cell)
        assert [number for number, _ in kept] == [8, 7, BLOCKS_END - 1, FIRST]
        assert events == [(5, b"kept")]


async def test_trim_removes_what_need_not_be_kept_and_of_no_other_cell(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        trimmed, other, absent = Cell(ids["view"], b"ann"), Cell(ids["view"], b"bob"), Cell(ids["view"], b"nobody")
        change = CellChange([Event(1, b"", b"p"), Event(9, b"", b"p")], {1: b"s", 9: b"s", BLOCKS_END - 2: b"block"})
        put(store, {trimmed: change, other: change})
        store.trim([trimmed, absent], Retention(5, 5, None))
        assert await whole(store, trimmed) == [[(9, b"s"), (BLOCKS_END - 2, b"block")], [(9, b"p")], [(9, b"p")]]
        assert [len(rows) for rows in await whole(store, other)] == [3, 2, 1]
        store.trim([trimmed], Retention(10, BLOCKS_END - 5, None))
        assert (await whole(store, trimmed))[1] == []


async def test_a_read_answers_each_part_of_each_cell_in_its_place(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        one, two = Cell(ids["view"], b"ann"), Cell(ids["other"], b"ann")
        put(store, {one: CellChange([Event(3, b"", b"p3")], {1: b"s1"}), two: CellChange([Event(4, b"", b"p4")])}, {ids["view"]: 3})
        everything = (Part(Kind.EVENTS, 0, 9), Part(Kind.TILES, 0, 9), Part(Kind.NEWEST, 0, 9), Part(Kind.TILES, 2, 9))
        found = await store.read(
            [
                CellRead(two, everything),
                CellRead(one, ()),
                CellRead(one, everything),
                CellRead(two, everything[:1]),
                CellRead(one, everything),
            ]
        )
        of_one, of_two = [[(3, b"p3")], [(1, b"s1")], [(3, b"p3")], []], [[(4, b"p4")], [], [(4, b"p4")], []]
        assert [list(parts) for parts in found.cells] == [of_two, [], of_one, of_two[:1], of_one]
        assert {view: at for view, at in found.newest.items() if view in ids.values()} == {ids["view"]: 3}
        assert not (await store.read([])).cells


async def test_the_newest_timestamp_is_never_set_back(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        again, _ = stores.open()
        view = ids["view"]
        assert dict(await store.newest()) == {}
        told = [-5, -6, 0, NOW_NS, NOW_NS - 1, NOW_NS + 1, 3]
        for place, at_ns in enumerate(told, 1):
            put(store if place % 2 else again, {}, {view: at_ns})
            assert dict(await store.newest()) == {view: max(told[:place])}


async def test_join_keys_are_found_under_the_part_they_were_indexed_under(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        view, other = ids["view"], ids["other"]
        keys = [b"ann\0" + shop for shop in (b"", b"\0", b"1", b"10", b"2", b"}", b"\xff")]
        put(store, {Cell(view, key): CellChange([Event(1, b"", b"p")], indexed_under=b"ann") for key in reversed(keys)})
        put(store, {Cell(view, b"ann\x002"): CellChange([Event(2, b"", b"p")], indexed_under=b"ann")})
        put(store, {Cell(other, b"elsewhere"): CellChange([Event(1, b"", b"p")], indexed_under=b"ann")})
        assert await store.keys(view, b"ann", 100) == sorted(keys)
        assert await store.keys(view, b"ann", 3) == sorted(keys)[:3]
        assert await store.keys(view, b"an", 3) == []
        assert await store.keys(view, b"ann", 0) == []


@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_a_scan_brings_every_join_key_of_its_view(stores: Stores, limit: int) -> None:
    async with stores:
        store, ids = stores.open()
        cells = [*numbered(20, ids["view"]), *(Cell(ids["view"], key) for key in (b"\0", b"{}", b"}:{", b"*", b"[a]", b"\xff"))]
        put(store, {cell: CellChange([Event(1, b"", b"p")]) for cell in cells})
        put(store, {Cell(ids["other"], b"elsewhere"): CellChange([Event(1, b"", b"p")])})
        assert scanned(store, ids["view"], limit) == {cell.join_key for cell in cells}


async def test_a_view_is_forgotten_in_steps_and_no_other_with_it(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        view = ids["view"]
        change = CellChange([Event(1, b"", b"p")], {1: b"s"}, indexed_under=b"i")
        put(store, dict.fromkeys(numbered(7, view), change), {view: 1})
        put(store, {Cell(ids["other"], b"kept"): change}, {ids["other"]: 2})
        assert not store.forget("view", 3)
        assert "view" in store.views()
        steps = 1
        while not store.forget("view", 3):
            steps += 1
        assert steps >= 2
        assert dict(store.views()) == {"other": "of another"}
        assert dict(await store.newest()) == {ids["other"]: 2}
        assert scanned(store, view, 10) == set()
        assert await store.keys(view, b"i", 10) == []
        assert [len(rows) for rows in await whole(store, Cell(ids["other"], b"kept"))] == [1, 1, 1]
        assert store.forget("view", 3)
        assert store.forget("never heard of", 3)
        back, ids = stores.open()
        assert await whole(back, Cell(ids["view"], b"cell 1")) == [[], [], []]


async def test_ids_and_descriptions_stay_with_their_names(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open({"a": "1", "b": "2"})
        put(store, {Cell(ids["b"], b"ann"): CellChange([Event(1, b"", b"p")])})
        again, more = stores.open({"ü": "4", "b": "changed"})
        assert (more["b"], len({*ids.values(), *more.values()})) == (ids["b"], 3)
        assert dict(again.views()) == {"a": "1", "b": "changed", "ü": "4"}
        assert (await whole(again, Cell(more["b"], b"ann")))[1] == [(1, b"p")]
        await again.ready()


async def test_stores_that_are_prepared_at_once_agree(stores: Stores) -> None:
    async with stores:
        names = [f"view {number}" for number in range(20)]
        agreed: list[Mapping[str, int]] = []

        def opening(names: Sequence[str]) -> None:
            agreed.append(stores.open(dict.fromkeys(names, ""))[1])

        threads = [threading.Thread(target=opening, args=(order,)) for order in (names, names[::-1], names[5:] + names[:5])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert [dict(ids) for ids in agreed] == [dict(agreed[0])] * 3
        assert len(set(agreed[0].values())) == len(names)


async def test_look_ups_find_what_is_there_in_the_order_asked(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        one, two = Cell(ids["view"], b"ann"), Cell(ids["view"], b"bob")
        put(store, {one: CellChange([Event(1, b"a", b"p1"), Event(1, b"ab", b""), Event(2, b"a", b"p2")], {4: b"s4", 5: b""})})

        def looked(batch: Batch) -> None:
            keys = [EventKey(two, 1, b"a"), EventKey(one, 2, b"a"), EventKey(one, 1, b"ab"), EventKey(one, 1, b""), EventKey(one, 1, b"a")]
            assert batch.payloads(keys) == [None, b"p2", b"", None, b"p1"]
            assert batch.tiles([TileKey(one, 5), TileKey(two, 4), TileKey(one, 4), TileKey(one, 3)]) == [b"", None, b"s4", None]
            assert batch.events([(two, 0, 9), (one, 1, 2), (one, 0, 9)]) == [
                [],
                [Event(1, b"a", b"p1"), Event(1, b"ab", b"")],
                [Event(1, b"a", b"p1"), Event(1, b"ab", b""), Event(2, b"a", b"p2")],
            ]
            assert (batch.payloads([]), batch.tiles([]), batch.events([])) == ([], [], [])

        store.write(looked)


async def test_a_write_whose_work_fails_changes_nothing(stores: Stores) -> None:
    async with stores:
        store, ids = stores.open()
        cell = Cell(ids["view"], b"ann")

        def fails(batch: Batch) -> None:
            batch.put({cell: CellChange([Event(1, b"", b"p")])}, {ids["view"]: 1})
            raise LookupError

        with pytest.raises(LookupError):
            store.write(fails)
        assert await whole(store, cell) == [[], [], []]
        assert dict(await store.newest()) == {}


async def test_a_write_that_another_overtakes_sees_it_and_loses_nothing(stores: Stores) -> None:
    async with stores:
        ours, ids = stores.open()
        theirs, _ = stores.open()
        cell = Cell(ids["view"], b"ann")
        looked_up, attempts = threading.Event(), 0

        def add(batch: Batch, letter: bytes, between: Callable[[], None]) -> None:
            (states,) = batch.tiles([TileKey(cell, 1)])
            between()
            batch.put({cell: CellChange([Event(1, letter, letter)], {1: (states or b"") + letter})}, {})

        def overtake() -> None:
            assert looked_up.wait(PATIENCE_S)
            theirs.write(lambda batch: add(batch, b"b", lambda: None))

        other = threading.Thread(target=overtake)

        def let_the_other_in() -> None:
            nonlocal attempts
            attempts += 1
            looked_up.set()
            if not ours.immediate:  # a store that locks lets the other one in when this write has ended
                other.join(PATIENCE_S)

        def work(batch: Batch) -> None:
            add(batch, b"a", let_the_other_in)

        other.start()
        ours.write(work)
        other.join(PATIENCE_S)
        tiles, events, _ = await whole(ours, cell)
        assert sorted(tiles[0][1]) == [*b"ab"]
        assert sorted(payload for _, payload in events) == [b"a", b"b"]
        assert attempts == (1 if ours.immediate else 2)


async def test_many_writers_of_one_tile_lose_nothing(stores: Stores) -> None:
    async with stores:
        writers, writes = 4, 12
        opened = [stores.open() for _ in range(writers)]
        cell = Cell(opened[0][1]["view"], b"ann")
        together = threading.Barrier(writers)

        def add(batch: Batch, mark: bytes) -> None:
            (states,) = batch.tiles([TileKey(cell, 1)])
            batch.put({cell: CellChange([Event(1, mark, mark)], {1: (states or b"") + mark})}, {})

        def run(place: int) -> None:
            together.wait(PATIENCE_S)
            for number in range(writes):
                mark = bytes([place * writes + number])
                opened[place][0].write(lambda batch: add(batch, mark))  # noqa: B023 - called at once

        threads = [threading.Thread(target=run, args=(place,)) for place in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        tiles, events, _ = await whole(opened[0][0], cell)
        assert sorted(tiles[0][1]) == list(range(writers * writes))
        assert len(events) == writers * writes


KEYS = st.sampled_from([b"\1", b"ann", b"a}b", b"\0{x"])
TIMES = st.sampled_from([FIRST, -1, 0, 1, NOW_NS, NOW_NS + 1, NOW_NS + 10**9, END - 1])
TILES = st.sampled_from([FIRST, BLOCKS_END - 1, BLOCKS_END, -1, 0, 1, 5, 2**40])
BYTES = st.sampled_from([b"", b"\0", b"\0\0", b"\0\xff", b"a", b"a\0", b"\xff" * 3, b"x" * 70])
CHANGES = st.builds(
    CellChange,
    st.lists(st.builds(Event, TIMES, BYTES, BYTES), max_size=4),
    st.dictionaries(TILES, st.none() | BYTES, max_size=4),
    st.none() | st.sampled_from([b"a", b""]),
    st.none() | st.builds(Retention, TIMES, TILES.filter(lambda number: number >= BLOCKS_END), st.sampled_from([None, 3_600.0])),
)
PARTS = st.lists(st.builds(Part, st.sampled_from(Kind), TIMES | TILES, TIMES | TILES), min_size=1, max_size=3).map(tuple)
WRITES = st.tuples(
    st.dictionaries(st.tuples(st.integers(0, 1), KEYS), CHANGES, max_size=3), st.dictionaries(st.integers(0, 1), TIMES, max_size=2)
)
READS = st.lists(st.tuples(st.integers(0, 1), KEYS, PARTS), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(WRITES, READS), min_size=1, max_size=5))
async def test_a_store_keeps_what_a_dictionary_would(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    steps: list[tuple[tuple[dict[tuple[int, bytes], CellChange], dict[int, int]], list[tuple[int, bytes, tuple[Part, ...]]]]],
) -> None:
    async with empty_stores(kind, request, tmp_path_factory) as stores:
        store, ids = stores.open()
        views, model = list(ids.values()), Model()
        for (by_place, newest), reads in steps:
            changes = {Cell(views[place], key): change for (place, key), change in by_place.items()}
            told = {views[place]: at_ns for place, at_ns in newest.items()}
            put(store, changes, told)
            model.put(changes, told)
            wanted = [CellRead(Cell(views[place], key), parts) for place, key, parts in reads]
            found, expected = await store.read(wanted), model.read(wanted)
            assert [list(parts) for parts in found.cells] == expected.cells
            read = {one.cell.view for one in wanted}
            assert {view: at_ns for view, at_ns in found.newest.items() if view in read} == expected.newest
            assert dict(await store.newest()) == model.newest
        for cell, kept in model.cells.items():
            assert store.write(lambda batch, cell=cell: batch.events([(cell, FIRST, END)])) == [  # type: ignore[misc]
                [Event(*key, payload) for key, payload in sorted(kept.events.items())]
            ]
