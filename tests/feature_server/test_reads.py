"""What one call asks of the store and answers: shared cells, keys that are null, stored bytes that are broken, and wildcard reads."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, OriginFailed
from gateway.feature_server.definitions import Aggregation, FeatureService, ViewUse
from gateway.feature_server.engine import LATEST_EVENT_TIME, Engine
from gateway.feature_server.housekeeping import Housekeeping
from gateway.feature_server.online.base import CellRead, Found
from gateway.feature_server.reads import FoundRow, ReadRow
from gateway.feature_server.timestamps import NS_PER_S, format_timestamp_ns, parse_timestamp
from gateway.features import PLAIN, ReadOptions, ServiceRef, Status
from tests.feature_server.purchases import at_once, read_rows
from tests.feature_server.sales import ALL, COUNT, NOW_NS, SUM, Time, Unsynced, body, mall, newest, opened, sale, take_in, values, view

LATEST = ReadOptions(aggregation_leading_edge=LATEST_EVENT_TIME)
ZEROES = ReadOptions(coerce_null_counts_to_zero=True)
LIFETIME = Aggregation("amount", "count", None)
KINDS = {
    "by_interval": view("by_interval", SUM, COUNT),
    "continuous": view("continuous", SUM, COUNT, interval_s=None),
    "ever": view("ever", LIFETIME, COUNT),
    "ever_continuous": view("ever_continuous", LIFETIME, COUNT, interval_s=None),
    "attributes": newest("attributes", "amount", "at"),
    "dated": newest("dated", "amount", ttl_s=60 * 366 * 86_400),
}
"""A view of each plan."""
COUNTS = {"by_interval": 1, "continuous": 1, "ever": 2, "ever_continuous": 2, "attributes": 0, "dated": 0}


class Watching(Unsynced):
    """Notes what each read asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[list[CellRead]] = []

    async def read(self, wanted: Sequence[CellRead]) -> Found:
        self.asked.append(list(wanted))
        return await super().read(wanted)


@pytest.fixture
def store(path: Path) -> Watching:
    return Watching(path)


@pytest.fixture
def ageless(path: Path) -> Iterator[Engine]:
    """Of the views that take in events of any age."""
    with opened(path, mall(*(one for one in KINDS.values() if one.ttl_s is None))) as engine:
        yield engine


@pytest.fixture
def engine(path: Path, store: Watching) -> Iterator[Engine]:
    aliased = FeatureService("twice", (ViewUse("by_interval", alias="a"), ViewUse("by_interval", alias="b", join_keys={"user": "other"})))
    every = FeatureService("all", tuple(KINDS))
    with ExitStack() as stack:
        yield stack.enter_context(opened(path, mall(*KINDS.values(), services=(every, aliased)), Time(), store))


def one(engine: Engine, name: str, options: ReadOptions = PLAIN, **keys: Any) -> tuple[list[Any], set[Status]]:
    [row] = read_rows(engine, ALL, [ReadRow({"user": "ann", **keys}, frozenset({name}))], options)
    [found] = row.views
    return list(found.values), set(found.statuses)


def test_rows_that_share_join_keys_ask_for_a_cell_once(engine: Engine, store: Watching) -> None:
    take_in(engine, sale(1, amount=4), sale(2, id="s2", user="bob", amount=5))
    rows = [ReadRow({"user": user}, frozenset(KINDS)) for user in ("ann", "bob", "ann", "nobody")]
    read = read_rows(engine, ALL, rows)
    [asked] = store.asked
    assert len(asked) == 3 * len(KINDS) == len({wanted.cell for wanted in asked})
    assert read[0].views[0].values is read[2].views[0].values
    assert read[0].store_bytes == read[2].store_bytes > 0 == read[3].store_bytes


def test_two_names_of_one_view_share_a_cell_where_their_join_keys_are_equal(engine: Engine, store: Watching) -> None:
    take_in(engine, sale(1, amount=4))
    service = ServiceRef("mall", "twice")
    wanted = frozenset({"a", "b"})
    [same, apart] = read_rows(engine, service, [ReadRow({"user": "ann", "other": other}, wanted) for other in ("ann", "bob")])
    assert [len({cell.cell for cell in asked}) for asked in store.asked] == [2]
    assert [[found.served.name, list(found.values)] for found in same.views] == [["a", [1, 4]], ["b", [1, 4]]]
    assert [list(found.values) for found in apart.views] == [[1, 4], [None, None]]
    assert [found.served.layout.names[0] for found in same.views] == ["a.amount_count_10m_1m", "b.amount_count_10m_1m"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("keys", [{"user": None}, {"user": "nobody"}, {"user": 1}])
def test_no_data_is_null_and_says_so(engine: Engine, name: str, keys: dict[str, Any]) -> None:
    take_in(engine, sale(0.5))
    found, statuses = one(engine, name, **keys)
    assert (set(found), statuses) == ({None}, {Status.MISSING_DATA})
    found, statuses = one(engine, name, ZEROES, **keys)
    assert (found.count(0), statuses) == (COUNTS[name], {Status.MISSING_DATA})
    [row] = read_rows(engine, ALL, [ReadRow({}, frozenset({name}))])
    assert set(row.views[0].statuses) == {Status.MISSING_DATA}
    assert row.views[0].newest_ns == NOW_NS - 30 * NS_PER_S


@pytest.mark.parametrize("name", KINDS)
def test_latest_event_time_ends_with_the_views_newest_event(engine: Engine, name: str) -> None:
    assert one(engine, name, LATEST)[1] == {Status.MISSING_DATA}
    take_in(engine, sale(600, amount=7), sale(900, id="s2", amount=9), sale(600.5, id="s3", user="bob"))
    found, statuses = one(engine, name, LATEST)
    assert 7 in found or 1 in found or 2 in found
    assert statuses == {Status.PRESENT}
    plain, _ = one(engine, name)
    assert (None in plain) == (name not in ("attributes", "dated"))
    assert one(engine, name, LATEST, user="nobody")[1] == {Status.MISSING_DATA}


def test_latest_event_time_is_of_each_view_of_a_service(engine: Engine) -> None:
    take_in(engine, sale(-600, amount=7))
    found, _ = one(engine, "continuous", LATEST)
    assert found == [1, 7]
    assert one(engine, "continuous")[0] == [None, None]


BROKEN = [b"\xc1", b"", b"\x90", b"\x81\x01\x02", b"\x93\x01\x02"]
"""No msgpack, nothing, an empty list, a map, a list that is cut off."""


def break_stored(engine: Engine, table: str, column: str, stored: bytes) -> None:
    engine._store._writer.execute(f"UPDATE {table} SET {column} = ?", (stored,))  # type: ignore[attr-defined] # noqa: S608 - constants


@pytest.mark.parametrize("stored", BROKEN)
@pytest.mark.parametrize("name", KINDS)
def test_stored_bytes_that_cannot_be_read_are_told_and_never_a_value(engine: Engine, name: str, stored: bytes) -> None:
    take_in(engine, sale(0.2), sale(3, id="s2"), sale(9.9, id="s3"))
    break_stored(engine, "event", "payload", stored)
    break_stored(engine, "tile", "states", stored)
    with pytest.raises(OriginFailed, match=name):
        one(engine, name)


@pytest.mark.parametrize("stored", BROKEN)
def test_an_event_for_a_tile_that_cannot_be_read_is_told_so(path: Path, stored: bytes) -> None:
    with opened(path, mall(view())) as engine:
        take_in(engine, sale(1))
        break_stored(engine, "tile", "states", stored)
        with pytest.raises(OriginFailed):
            engine.ingest(body(sale(1, id="s2")))


def test_a_broken_tile_of_one_key_is_no_other_keys_matter(engine: Engine) -> None:
    take_in(engine, sale(1), sale(1, user="bob"))
    engine._store._writer.execute("UPDATE tile SET states = x'c1' WHERE instr(join_key, CAST('bob' AS BLOB))")  # type: ignore[attr-defined]
    assert one(engine, "by_interval")[0] == [1, 1]
    with pytest.raises(OriginFailed):
        one(engine, "by_interval", user="bob")


# Times at the ends of what an int64 of nanoseconds can say

FIRST, LAST = "1800-01-01T00:00:00Z", "2199-12-31T23:59:59.999999999Z"


@pytest.mark.parametrize("at", [FIRST, LAST, "1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"])
@pytest.mark.parametrize("name", KINDS)
def test_reads_at_any_instant_that_can_be_said(engine: Engine, name: str, at: str) -> None:
    take_in(engine, sale(1))
    _, statuses = one(engine, name, ReadOptions(high_watermark_override=at))
    assert statuses <= {Status.PRESENT, Status.MISSING_DATA}


@pytest.mark.parametrize("at", [FIRST, LAST, "1969-12-31T23:59:59.999999999Z", "2199-12-31T23:59:59Z"])
def test_events_at_any_instant_that_can_be_said_are_taken_in_corrected_and_read(ageless: Engine, at: str) -> None:
    replies = [ageless.ingest(body(sale(amount=amount) | {"at": at})) for amount in (1, 5)]
    if {reply.status for reply in replies} == {400}:
        return  # which is as good
    for name in ageless.catalog.sources["mall", "sales"].views:
        found, _ = one(ageless, name.name, LATEST)
        assert 5 in found or 1 in found


@pytest.mark.parametrize("at", ["1799-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_events_at_instants_that_cannot_be_said_are_refused(engine: Engine, at: str) -> None:
    reply = engine.ingest(body(sale() | {"at": at}))
    assert reply.status == 400
    assert b"`at`" in reply.body


def test_an_event_of_the_far_future_breaks_nobody_elses_write(ageless: Engine) -> None:
    ageless.ingest(body(sale(user="eve") | {"at": LAST}))
    assert ageless.ingest(body(sale(1))).status == 200
    assert one(ageless, "by_interval")[0] == [1, 1]
    found, _ = one(ageless, "continuous", LATEST)
    assert found == [None, None]


@settings(max_examples=60, deadline=None)
@given(st.integers(parse_timestamp(FIRST), parse_timestamp(LAST)))
def test_timestamps_go_to_text_and_back(at_ns: int) -> None:
    assert parse_timestamp(format_timestamp_ns(at_ns)) == at_ns


@pytest.mark.parametrize("name", KINDS)
def test_events_before_1970_and_of_the_future_are_like_others(engine: Engine, name: str) -> None:
    at_ns = -3 * NS_PER_S
    take_in(engine, sale(amount=4) | {"at": format_timestamp_ns(at_ns)}, sale(-5, id="s2", amount=6))
    for instant, amount in ((57 * NS_PER_S, 4), (NOW_NS + 301 * NS_PER_S, 6), (NOW_NS + 360 * NS_PER_S, 6)):
        found, statuses = one(engine, name, ReadOptions(high_watermark_override=format_timestamp_ns(instant)))
        if name in ("by_interval", "ever") and instant % (60 * NS_PER_S):
            continue
        assert statuses == {Status.PRESENT}
        assert amount in found or 1 in found


# Wildcard reads

PAIRS = view("pairs", SUM, COUNT, keys=("user", "shop"), serving_index=("user",), ttl_s=3_600)
OTHERS = view("others", SUM, keys=("shop",))
WILD = mall(PAIRS, OTHERS, view("by_user"), newest("last_pair", keys=("user", "shop")))


@pytest.fixture
def wild(path: Path) -> Iterator[tuple[Engine, Time]]:
    time = Time()
    with opened(path, WILD, time) as engine:
        yield engine, time


def query(engine: Engine, limit: int = 1_000, options: ReadOptions = PLAIN, **keys: Any) -> tuple[list[FoundRow], bool]:
    return at_once(
        engine.query(ALL, ReadRow({"user": "ann", **keys}, frozenset({"pairs", "others", "by_user", "last_pair"})), options, limit=limit)
    )


def sums(rows: Sequence[FoundRow], name: str = "pairs") -> dict[Any, Any]:
    found = {}
    for row in rows:
        [one] = [one for one in row.read.views if one.served.name == name]
        found[row.join_keys] = one.values[-1]
    return found


def test_a_wildcard_read_answers_every_set_of_keys_of_its_own_user_and_no_other(wild: tuple[Engine, Time]) -> None:
    engine, _ = wild
    take_in(
        engine,
        *(sale(1, id=f"a{shop}", shop=shop, amount=shop) for shop in (3, -1, 2)),
        *(sale(2, id=f"b{shop}", shop=shop, user="bob", amount=100) for shop in (2, 7)),
    )
    rows, more = query(engine)
    assert (sums(rows), more) == ({(-1,): -1, (2,): 2, (3,): 3}, False)
    assert sums(rows, "others") == {(-1,): -1, (2,): 102, (3,): 3}
    assert sums(rows, "by_user") == {(-1,): 4, (2,): 4, (3,): 4}
    assert {one.served.name for one in rows[0].read.views} == {"pairs", "others", "by_user", "last_pair"}
    assert query(engine, user="nobody") == ([], False)
    assert query(engine, user=None) == ([], False)
    assert query(engine, user="an") == ([], False)


def test_a_wildcard_read_says_where_there_were_more(wild: tuple[Engine, Time]) -> None:
    engine, _ = wild
    take_in(engine, *(sale(1, id=f"a{shop}", shop=shop, amount=shop) for shop in range(5)))
    for limit in (1, 4, 5, 6):
        rows, more = query(engine, limit)
        assert (len(rows), more) == (min(limit, 5), limit < 5)


def test_what_has_left_every_window_is_not_answered(wild: tuple[Engine, Time]) -> None:
    engine, time = wild
    take_in(engine, sale(1, shop=1), sale(9, id="old", shop=2))
    time.advance(120)
    assert set(sums(query(engine)[0])) == {(1,)}
    assert set(sums(query(engine, options=ReadOptions(high_watermark_override=format_timestamp_ns(NOW_NS)))[0])) == {(1,), (2,)}
    time.advance(3_600)
    assert query(engine) == ([], False)
    keeper = Housekeeping(engine._store, every_s=1, keep_retired_s=1)
    engine._writer.run(lambda: keeper.sweep(engine.catalog, engine._definitions.ids, time()))
    assert engine._store._writer.execute("SELECT count(*) FROM cell").fetchone() == (0,)  # type: ignore[attr-defined]


def test_a_limit_counts_what_is_answered(wild: tuple[Engine, Time]) -> None:
    engine, time = wild
    take_in(engine, *(sale(9, id=f"a{shop}", shop=shop) for shop in range(3)), sale(1, shop=5))
    time.advance(120)
    rows, more = query(engine, 2)
    assert (set(sums(rows)), more) == ({(5,)}, False)


def test_keys_with_events_of_nulls_alone_have_no_data(wild: tuple[Engine, Time]) -> None:
    engine, _ = wild
    take_in(engine, sale(1, shop=1, amount=None), sale(1, shop=2))
    assert set(sums(query(engine)[0])) == {(2,)}


def test_a_service_without_a_serving_index_has_no_wildcard_read(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="wildcard"):
        at_once(engine.query(ALL, ReadRow({"user": "ann"}, frozenset(KINDS))))


def test_a_wildcard_read_under_other_join_keys(path: Path) -> None:
    use = ViewUse("pairs", alias="p", join_keys={"user": "buyer", "shop": "place"})
    with opened(path, mall(PAIRS, services=(FeatureService("all", (use,)),))) as engine:
        take_in(engine, sale(1, shop=4, amount=9))
        rows, _ = at_once(engine.query(ALL, ReadRow({"buyer": "ann"}, frozenset({"p"}))))
        assert sums(rows, "p") == {(4,): 9}
        assert [field.name for field in engine.describe(ALL).output_join_keys] == ["place"]


def test_an_index_that_is_declared_later_finds_what_is_there(path: Path) -> None:
    plain = view("pairs", SUM, COUNT, keys=("user", "shop"), ttl_s=3_600)
    with opened(path, mall(plain)) as engine:
        take_in(engine, sale(1, shop=1, amount=3), sale(1, shop=2, amount=4))
    with opened(path, mall(PAIRS)) as engine:
        assert sums(at_once(engine.query(ALL, ReadRow({"user": "ann"}, frozenset({"pairs"}))))[0]) == {(1,): 3, (2,): 4}
        assert values(engine, "pairs")["amount_sum_10m_1m"] == 3
