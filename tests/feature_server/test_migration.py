"""New definitions on a store that has data: what a view begins with is what it would have if it had always been there, or it is refused."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, OriginUnavailable
from gateway.feature_server import migration
from gateway.feature_server.catalog import Catalog
from gateway.feature_server.definitions import Aggregation, FeatureService, FeatureView, Repository, Source, Workspace
from gateway.feature_server.engine import Engine
from gateway.feature_server.housekeeping import Housekeeping
from gateway.feature_server.migration import MigrationRefused, read_descriptors
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.timestamps import NS_PER_S
from gateway.feature_server.validation import DefinitionError
from gateway.features import FLOAT64, INT64, STRING, TIMESTAMP, DataType, Field, ServiceRef
from tests.feature_server.sales import (
    COLUMNS,
    COUNT,
    NOW_NS,
    SALES,
    SUM,
    OneByOne,
    Time,
    Unsynced,
    body,
    everything,
    mall,
    newest,
    opened,
    sale,
    stepwise,
    take_in,
    values,
    view,
)
from tests.harness.clock import PATIENCE_S, Hold, wait_until

MAX, LAST, LIFETIME = Aggregation("amount", "max", 600), Aggregation("amount", "last", 3600), Aggregation("amount", "sum", None)
HOUR_S, DAY_S = 3_600, 86_400
OLD = mall(view())
NEW = mall(view("by_user", SUM, COUNT, MAX), view("by_shop", keys=("shop",)))
"""A state more, and a view more: both need the history."""
RECORDS = [
    sale(minutes, id=f"s{minutes}", user=user, shop=shop, amount=minutes)
    for minutes, user, shop in [(1, "ann", 1), (2, "bob", 1), (3, "ann", 2)]
]
INSTANTS = [NOW_NS + minutes * 60 * NS_PER_S for minutes in (-20, -1, 0, 5, 60)]


def descriptors(path: Path) -> dict[str, Any]:
    """By the names of views: those that are there more than once are told apart by the tests that have such."""
    store = Unsynced(path)
    found = read_descriptors(store)
    store.close()
    return {name.partition("/")[2].partition("@")[0]: one for name, one in found.items()}


def from_scratch(folder: Path, repository: Repository, *requests: Sequence[Mapping[str, Any]], **more: Any) -> list[Any]:
    """What an engine says that has always had these definitions."""
    with opened(folder / "scratch" / "features.db", repository, **more) as engine:
        for records in requests:
            take_in(engine, *records)
        return everything(engine, INSTANTS)


# From start to start


def test_a_view_that_is_new_or_has_changed_begins_with_the_history_of_its_source(path: Path) -> None:
    with opened(path, OLD) as engine:
        take_in(engine, *RECORDS)
    with opened(path, NEW) as engine:
        assert values(engine) == {"amount_count_10m_1m": 2, "amount_max_10m_1m": 3, "amount_sum_10m_1m": 4}
        assert everything(engine, INSTANTS) == from_scratch(path.parent, NEW, RECORDS)
        take_in(engine, sale(1, id="s1", amount=50))
        assert values(engine, "by_shop") == {"amount_count_10m_1m": 2, "amount_sum_10m_1m": 52}
    assert {name: (one.filling, one.retired_at_ns) for name, one in descriptors(path).items()} == {
        "by_user": (False, None),
        "by_shop": (False, None),
    }


def test_the_same_definitions_copy_nothing(path: Path) -> None:
    told: list[tuple[str, int]] = []
    for _ in range(2):
        with opened(path, NEW, progress=lambda view, done: told.append((view, done))) as engine:
            take_in(engine, *RECORDS)
    assert told == []


def test_progress_is_told_by_view_and_join_keys(path: Path) -> None:
    with opened(path, OLD) as engine:
        take_in(engine, *RECORDS)
    told: list[tuple[str, int]] = []
    with opened(path, NEW, store=OneByOne(path), progress=lambda view, done: told.append((view, done))):
        assert told == [("by_user", 1), ("by_user", 2), ("by_shop", 1), ("by_shop", 2)]


def test_an_empty_store_and_a_source_without_events_need_no_history(path: Path) -> None:
    with opened(path, OLD):
        pass
    with opened(path, mall(view("by_shop", keys=("shop",), ttl_s=600), source=replace(SALES, record_key=()))) as engine:
        assert engine.catalog.views[0].name == "by_shop"


WINDOWS = st.sampled_from([60, 600, HOUR_S, None])
FUNCTIONS = st.sampled_from(["sum", "count", "min", "max", "mean", "last", "count_distinct", "var_pop"])
AGGREGATIONS = st.lists(st.builds(Aggregation, st.just("amount"), FUNCTIONS, WINDOWS), min_size=1, max_size=4, unique=True).map(tuple)
KEYS = st.sampled_from([("user",), ("shop",), ("shop", "user"), ("user", "shop")])


@st.composite
def definitions(draw: st.DrawFn) -> FeatureView:
    keys = draw(KEYS)
    if draw(st.integers(0, 3)) == 0:
        return newest("sales_view", keys=keys, ttl_s=draw(st.sampled_from([None, 2 * HOUR_S])))
    windows = draw(AGGREGATIONS)
    interval_s = draw(st.sampled_from([60, 600, None]))
    windows = tuple(one for one in windows if interval_s != 600 or one.window_s != 60) or (SUM,)
    return view(
        "sales_view", *windows, keys=keys, interval_s=interval_s, serving_index=keys[:1] if len(keys) > 1 and draw(st.booleans()) else ()
    )


MOMENTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 9.5, 10.0, 59.0, 61.0]) | st.integers(-600, 5_000).map(lambda seconds: seconds / 60)
EVENTS = st.builds(
    sale,
    MOMENTS,
    id=st.sampled_from(["s1", "s2"]),
    user=st.sampled_from(["ann", "bob"]),
    shop=st.integers(1, 2),
    amount=st.none() | st.integers(-9, 9),
)
REQUESTS = st.lists(st.lists(EVENTS, min_size=1, max_size=6), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(definitions(), definitions(), REQUESTS, REQUESTS)
def test_a_view_that_has_changed_answers_as_if_it_had_always_been_so(
    old: FeatureView, new: FeatureView, before: list[list[Any]], after: list[list[Any]]
) -> None:
    old = replace(old, ttl_s=None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.db"
        with opened(path, mall(old)) as engine:
            for records in before:
                take_in(engine, *records)
        with opened(path, mall(new)) as engine:
            for records in after:
                take_in(engine, *records)
            assert everything(engine, INSTANTS) == from_scratch(Path(folder), mall(new), *before, *after)


# What is refused


def shaped(source: Source = SALES, *aggregations: Aggregation, **more: Any) -> Repository:
    return mall(view("by_user", *aggregations, **more), source=source)


def columns(**changed: Any) -> Source:
    return replace(SALES, columns=tuple(Field(one.name, changed.get(one.name, one.dtype)) for one in COLUMNS if changed.get(one.name, 1)))


NO_KEY = replace(SALES, record_key=())
NOTED = replace(SALES, columns=(*COLUMNS, Field("note", STRING)))
TWO_TIMES = replace(SALES, columns=(*COLUMNS, Field("paid_at", TIMESTAMP)))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param(shaped(), shaped(columns(amount=FLOAT64)), "its column amount is int64, not float64", id="another type"),
        pytest.param(shaped(TWO_TIMES), shaped(replace(TWO_TIMES, timestamp="paid_at")), "by the timestamp at", id="another timestamp"),
        pytest.param(
            mall(view(), source=replace(columns(shop=None), record_key=("id", "user"))),
            mall(view("by_shop", keys=("shop",))),
            "its events have no column shop",
            id="a join key that it had not",
        ),
        pytest.param(
            shaped(NO_KEY), mall(view("by_shop", keys=("shop",)), source=NO_KEY), "one event per timestamp and user", id="no record key"
        ),
        pytest.param(shaped(NO_KEY), shaped(SALES), "one event per timestamp and user", id="a record key where there was none"),
        pytest.param(
            shaped(SALES, Aggregation("amount", "sum", 60), ttl_s=120),
            shaped(SALES, Aggregation("amount", "max", 600)),
            "it keeps events for 120 s, and 600 s are needed",
            id="a longer window than the donor's memory",
        ),
        pytest.param(
            shaped(SALES, SUM, ttl_s=DAY_S),
            shaped(SALES, LIFETIME),
            "86400 s, and all time is needed",
            id="all time, of a donor that forgets",
        ),
        pytest.param(
            shaped(SALES, SUM, ttl_s=DAY_S), mall(newest("by_user")), "86400 s, and all time is needed", id="attributes of any age"
        ),
        pytest.param(
            shaped(SALES, SUM, ttl_s=HOUR_S), mall(newest("by_user", ttl_s=DAY_S)), "3600 s, and 86400 s are needed", id="older attributes"
        ),
    ],
)
def test_history_that_would_be_less_than_the_views_own_is_refused_and_nothing_has_changed(
    path: Path, old: Repository, new: Repository, reason: str
) -> None:
    record = {name: value for name, value in sale(1).items() if name in [one.name for one in old.workspaces[0].sources[0].columns]}
    with opened(path, old) as engine:
        take_in(engine, record)
    before = descriptors(path)
    with pytest.raises(MigrationRefused, match=reason) as refused, opened(path, new):
        pass
    assert "--start-empty" in str(refused.value)
    assert descriptors(path) == before
    with opened(path, old) as engine:
        assert values(engine)["amount_sum_1m_1m" if "amount_sum_1m_1m" in values(engine) else "amount_sum_10m_1m"] == 1


def test_a_refused_view_may_start_empty_and_the_others_have_their_history(path: Path) -> None:
    with opened(path, shaped(NO_KEY)) as engine:
        take_in(engine, *RECORDS)
    new = mall(view("by_user", SUM, MAX), view("by_shop", keys=("shop",)), source=NO_KEY)
    with pytest.raises(MigrationRefused, match="by_shop"), opened(path, new):
        pass
    with opened(path, new, start_empty=["mall.by_shop"]) as engine:
        assert values(engine, "by_shop")["amount_count_10m_1m"] is None
        assert values(engine)["amount_max_10m_1m"] == 3
        take_in(engine, sale(0.5, amount=9))
        assert values(engine, "by_shop")["amount_sum_10m_1m"] == 9
    with opened(path, new) as engine:
        assert values(engine, "by_shop")["amount_sum_10m_1m"] == 9


def test_a_column_that_is_added_is_null_in_history_and_one_that_is_removed_is_gone(path: Path) -> None:
    with opened(path, mall(newest("last_sale", "amount"))) as engine:
        take_in(engine, sale(2, amount=5))
    with opened(path, mall(newest("last_sale", "amount"), source=NOTED)) as engine:
        assert values(engine, "last_sale") == {"amount": 5}
        take_in(engine, sale(1, id="s2", amount=6, note="x"))
    with opened(path, mall(newest("last_sale", "amount", "note"), source=NOTED)) as engine:
        assert values(engine, "last_sale") == {"amount": 6, "note": "x"}
        assert values(engine, "last_sale", at_ns=NOW_NS - 61 * NS_PER_S) == {"amount": 5, "note": None}
    turned = replace(NOTED, columns=NOTED.columns[::-1])
    with opened(path, mall(newest("last_sale", "amount", "note"), source=turned)) as engine:
        assert values(engine, "last_sale") == {"amount": 6, "note": "x"}
    with opened(path, mall(newest("last_sale", "amount"))) as engine:
        assert values(engine, "last_sale") == {"amount": 6}


@pytest.mark.parametrize(
    ("old_key", "new_key"),
    [
        pytest.param(("id", "user"), ("id", "user", "shop"), id="finer than the donor's"),
        pytest.param(("id", "user", "shop"), ("user",), id="coarser than the donor's"),
        pytest.param(("id", "user"), ("user", "id"), id="in another order"),
        pytest.param(("id", "user"), ("shop", "user"), id="another"),
    ],
)
def test_a_change_of_the_record_key_is_refused_or_does_no_harm(path: Path, old_key: tuple[str, ...], new_key: tuple[str, ...]) -> None:
    records = [sale(1, id="s2", shop=2, amount=2), sale(1, id="s1", shop=1, amount=1), sale(1, id="s2", shop=1, amount=5)]
    old, new = (mall(view("by_user", SUM, COUNT), source=replace(SALES, record_key=key)) for key in (old_key, new_key))
    with opened(path, old) as engine:
        for record in records:
            take_in(engine, record)
    try:
        with opened(path, new) as engine:
            assert everything(engine, INSTANTS) == from_scratch(path.parent, new, *([record] for record in records))
    except MigrationRefused:
        pass


def test_a_record_that_moved_to_another_join_key_is_the_newer_one_in_what_is_copied(path: Path) -> None:
    source = replace(SALES, record_key=("id",))
    new = mall(view("by_shop", keys=("shop",)), source=source)
    requests = [[sale(1, user="bob", amount=1)], [sale(1, user="ann", amount=2)]]
    try:
        with opened(path, mall(view(), source=source)) as engine:
            for records in requests:
                take_in(engine, *records)
        with opened(path, new) as engine:
            assert everything(engine, INSTANTS) == from_scratch(path.parent, new, *requests)
    except (DefinitionError, MigrationRefused):
        pass


def test_what_lies_in_a_tile_that_the_ttl_cuts_is_copied_with_the_rest_of_it(path: Path) -> None:
    hourly: dict[str, Any] = {"interval_s": HOUR_S, "ttl_s": HOUR_S}
    old = mall(view("by_user", Aggregation("amount", "sum", HOUR_S), **hourly))
    new = mall(view("by_user", Aggregation("amount", "sum", HOUR_S), Aggregation("amount", "max", HOUR_S), **hourly))
    time = Time(NOW_NS - 20 * 60 * NS_PER_S)
    with opened(path, old, time) as engine:
        take_in(engine, sale(70, amount=7), sale(40, id="s2", amount=4))
        time.advance(20 * 60)
        assert values(engine)["amount_sum_1h_1h"] == 11
    with opened(path, new, time) as engine:
        assert values(engine)["amount_sum_1h_1h"] == 11


def test_a_window_over_all_time_keeps_what_is_older_than_the_ttl(path: Path) -> None:
    with opened(path, mall(view("by_user", LIFETIME))) as engine:
        take_in(engine, sale(3 * 24 * 60, amount=7), sale(1, id="s2", amount=4))
    with opened(path, mall(view("by_user", LIFETIME, MAX, ttl_s=DAY_S))) as engine:
        assert values(engine)["amount_sum_lifetime_1m"] == 11


@pytest.mark.parametrize("ttl_s", [DAY_S, None])
def test_a_ttl_or_window_that_grows_is_refused_or_filled(path: Path, ttl_s: int | None) -> None:
    time = Time(NOW_NS - 30 * 60 * NS_PER_S)
    requests = [sale(40, amount=7)], [sale(1, id="s2", amount=1)]
    with opened(path, mall(view("by_user", SUM, ttl_s=600)), time, housekeeping=None) as engine:
        take_in(engine, *requests[0])
        time.advance(30 * 60)
        keeper = Housekeeping(engine._store, every_s=60, keep_retired_s=60)
        engine._writer.run(lambda: keeper.sweep(engine.catalog, engine._definitions.ids, time()))
        take_in(engine, *requests[1])
    longer = mall(view("by_user", Aggregation("amount", "sum", HOUR_S), ttl_s=ttl_s))
    try:
        with opened(path, longer, time) as engine:
            assert values(engine)["amount_sum_1h_1m"] == 8
    except MigrationRefused:
        pass


def test_a_ttl_that_shrinks_needs_no_history(path: Path) -> None:
    with opened(path, mall(view())) as engine:
        take_in(engine, sale(1), sale(5, id="s2"))
    with opened(path, mall(view("by_user", SUM, ttl_s=600))) as engine:
        assert values(engine)["amount_sum_10m_1m"] == 2
    assert descriptors(path)["by_user"].ttl_s == 600


# Which donor


def test_a_view_prefers_its_own_former_self_then_the_longest_memory(path: Path) -> None:
    """The donors are told apart by what each alone has, which cannot happen but for the sake of this test."""

    def only(name: str, amount: int) -> None:
        with opened(path, mall(*views)) as engine:
            runtime = next(one for one in engine.catalog.views if one.name == name)
            other = replace(engine.catalog.sources["mall", "sales"], views=(runtime,))
            engine.catalog.sources["mall", "sales"] = other
            take_in(engine, sale(1, id=name, amount=amount))

    views = (view("a_short", ttl_s=HOUR_S), view("by_user"), view("z_long", ttl_s=DAY_S))
    for name, amount in (("a_short", 1), ("by_user", 2), ("z_long", 3)):
        only(name, amount)
    with opened(path, mall(*views, view("new", SUM, MAX))) as engine:
        assert values(engine, "new")["amount_sum_10m_1m"] == 2
    with opened(path, mall(views[0], views[1], view("z_long", SUM, MAX, ttl_s=DAY_S))) as engine:
        assert values(engine, "z_long")["amount_sum_10m_1m"] == 3
    with opened(path, mall(views[0], view("a_new", SUM, LAST, ttl_s=HOUR_S), view("z_long", SUM, MAX, ttl_s=DAY_S))) as engine:
        assert values(engine, "a_new")["amount_sum_10m_1m"] == 2


def test_data_of_other_workspaces_and_sources_is_left_alone(path: Path) -> None:
    ours, theirs = mall(view()), mall(view(), workspace="bazaar")
    with opened(path, theirs) as engine:
        take_in(engine, sale(1, amount=9), workspace="bazaar")
    with opened(path, ours) as engine:
        take_in(engine, sale(1, amount=4))
        keeper = Housekeeping(engine._store, every_s=60, keep_retired_s=0)
        engine._writer.run(lambda: keeper.sweep(engine.catalog, engine._definitions.ids, NOW_NS + DAY_S * NS_PER_S))
    with opened(path, mall(view("new", SUM, MAX))) as engine:
        assert values(engine, "new")["amount_sum_10m_1m"] == 4
    both = Repository((*ours.workspaces, *theirs.workspaces))
    with opened(path, both) as engine:
        assert values(engine, service=ServiceRef("bazaar", "all"))["amount_sum_10m_1m"] == 9


def test_a_view_that_is_itself_filling_gives_nothing(path: Path) -> None:
    """It is preferred to the other donor by its name, but for that it is not whole."""
    with opened(path, mall(view("other"))) as engine:
        take_in(engine, *RECORDS)

    def break_off(_view: str, _done: int) -> None:
        raise RuntimeError("after the first join key")

    with pytest.raises(RuntimeError), opened(path, mall(view("other"), view("new", SUM, MAX)), store=OneByOne(path), progress=break_off):
        pass
    last = mall(view("other"), view("new", SUM, LAST))
    with opened(path, last) as engine:
        assert everything(engine, INSTANTS) == from_scratch(path.parent, last, RECORDS)


# Retired, and wanted again


def test_what_is_wanted_again_has_no_gap(path: Path) -> None:
    requests = [[sale(9, id="s9", amount=9)], [sale(5, id="s5", amount=5)], [sale(2, id="s2", amount=2)]]
    changed = mall(view("by_user", SUM, COUNT, MAX))
    for repository, records in zip((OLD, changed, OLD), requests, strict=True):
        with opened(path, repository) as engine:
            take_in(engine, *records)
    with opened(path, OLD) as engine:
        assert everything(engine, INSTANTS) == from_scratch(path.parent, OLD, *requests)


def test_what_is_wanted_again_has_what_was_corrected_meanwhile(path: Path) -> None:
    requests = [[sale(9, amount=9)], [sale(9, amount=5)], [sale(2, id="s2", amount=2)]]
    changed = mall(view("by_user", SUM, COUNT, MAX))
    for repository, records in zip((OLD, changed, OLD), requests, strict=True):
        with opened(path, repository) as engine:
            take_in(engine, *records)
    with opened(path, OLD) as engine:
        assert everything(engine, INSTANTS) == from_scratch(path.parent, OLD, *requests)


def test_start_empty_is_empty_where_retired_data_lies_under_the_views_name(path: Path) -> None:
    with opened(path, shaped(NO_KEY)) as engine:
        take_in(engine, sale(9, amount=9))
    by_shop = mall(view("by_shop", keys=("shop",)), source=NO_KEY)
    with opened(path, by_shop, start_empty=["mall.by_shop"]) as engine:
        take_in(engine, sale(5, amount=5))
    with pytest.raises(MigrationRefused), opened(path, shaped(NO_KEY)):
        pass
    with opened(path, shaped(NO_KEY), start_empty=["mall.by_user"]) as engine:
        assert values(engine)["amount_sum_10m_1m"] is None


def test_what_was_retired_is_marked_and_what_is_wanted_is_not(path: Path) -> None:
    with opened(path, mall(view(), view("by_shop", keys=("shop",)))) as engine:
        take_in(engine, *RECORDS)
    with opened(path, OLD):
        assert {name: one.retired_at_ns for name, one in descriptors(path).items()} == {"by_user": None, "by_shop": NOW_NS}
    with opened(path, OLD, Time(NOW_NS + 1)):
        assert descriptors(path)["by_shop"].retired_at_ns == NOW_NS
    with opened(path, mall(view(), view("by_shop", keys=("shop",)))) as engine:
        assert descriptors(path)["by_shop"].retired_at_ns is None
        assert values(engine, "by_shop")["amount_count_10m_1m"] == 2


# Broken off


class Breaking(OneByOne):
    """Fails from the n-th change on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.left: int | None = None
        self.error: Exception = RuntimeError("broken off")

    def _count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error

    def write(self, work: Callable[[Any], Any]) -> Any:
        self._count()
        return super().write(work)

    def prepare(self, views: Mapping[str, str]) -> Mapping[str, int]:
        self._count()
        return super().prepare(views)


def test_a_copy_that_is_broken_off_anywhere_is_complete_when_it_is_begun_again(tmp_path: Path) -> None:
    wanted = from_scratch(tmp_path, NEW, RECORDS)
    for steps in range(100):
        path = tmp_path / str(steps) / "features.db"
        with opened(path, OLD) as engine:
            take_in(engine, *RECORDS)
        store = Breaking(path)
        store.left = steps
        try:
            with opened(path, NEW, store=store):
                break
        except RuntimeError:
            pass
        with opened(path, NEW) as engine:
            assert everything(engine, INSTANTS) == wanted, f"after {steps} changes"
    assert steps > 5


def test_a_copy_that_is_broken_off_harms_neither_the_old_definitions_nor_a_later_beginning(tmp_path: Path) -> None:
    requests = [RECORDS, [sale(1, id="s1", amount=40), sale(4, id="s4", amount=4)]]
    for steps in range(100):
        path = tmp_path / str(steps) / "features.db"
        with opened(path, OLD) as engine:
            take_in(engine, *requests[0])
        store = Breaking(path)
        store.left = steps
        try:
            with opened(path, NEW, store=store):
                break
        except RuntimeError:
            pass
        with opened(path, OLD) as engine:
            take_in(engine, *requests[1])
            assert everything(engine, INSTANTS) == from_scratch(path.parent, OLD, *requests), f"old, after {steps} changes"
        with opened(path, NEW) as engine:
            assert everything(engine, INSTANTS) == from_scratch(path.parent / "new", NEW, *requests), f"new, after {steps} changes"


def test_two_that_open_at_once_make_one_whole(path: Path) -> None:
    """The second begins while the first copies, overtakes it, and takes in events before the first has ended."""
    with opened(path, OLD) as engine:
        take_in(engine, *RECORDS)
    later = [sale(1, id="s1", amount=40), sale(2, id="s2", user="bob", amount=50), sale(4, id="s4", amount=4)]
    overtaken: list[int] = []

    def overtake(_view: str, _done: int) -> None:
        if not overtaken:
            overtaken.append(1)
            with opened(path, NEW) as second:
                take_in(second, *later)

    with opened(path, NEW, store=OneByOne(path), progress=overtake) as engine:
        assert everything(engine, INSTANTS) == from_scratch(path.parent, NEW, RECORDS, later)
    with opened(path, NEW) as engine:
        assert everything(engine, INSTANTS) == from_scratch(path.parent / "again", NEW, RECORDS, later)


def test_many_that_open_at_once_make_one_whole(path: Path) -> None:
    with opened(path, OLD) as engine:
        take_in(engine, *RECORDS)
    wanted, found, failed = from_scratch(path.parent, NEW, RECORDS), [], []

    def start() -> None:
        try:
            with opened(path, NEW, store=OneByOne(path)) as engine:
                found.append(everything(engine, INSTANTS))
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    starters = [Thread(target=start) for _ in range(3)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(PATIENCE_S)
    assert not failed
    assert found == [wanted] * 3


# While reads and events come in


@contextmanager
def adopting(path: Path, repository: Repository = OLD, store: Unsynced | None = None, **more: Any) -> Iterator[Engine]:
    with opened(path, repository, store=store or OneByOne(path), **more) as engine:
        yield engine


def test_what_comes_in_while_history_is_copied_is_in_the_old_and_in_the_new(path: Path) -> None:
    def meanwhile(step: int) -> list[Any]:
        """An event more, one corrected that may be copied already or not, one for a join key that is not known yet."""
        return [
            sale(1, id="s1", amount=40 + step),
            sale(2, id=f"m{step}", user="bob", amount=step),
            sale(3, id="z", user=f"zoe{step}", shop=2),
        ]

    requests: list[list[Any]] = [RECORDS]
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        changes: list[Repository] = []
        engine.on_change(lambda: changes.append(NEW))
        replies: list[Future[Any]] = []
        for step, _ in enumerate(stepwise(engine, NEW)):
            assert everything(engine, INSTANTS) == from_scratch(path.parent / f"old{step}", OLD, *requests), "served while it is copied"
            assert changes == []
            if step < 6:  # new join keys for ever would be new steps for ever
                requests.append(meanwhile(step))
                replies.append(engine.begin_ingest(body(*requests[-1])))
        assert {reply.result(PATIENCE_S).status for reply in replies} == {200}
        assert len(replies) > 4
        assert changes == [NEW]
        assert everything(engine, INSTANTS) == from_scratch(path.parent / "new", NEW, *requests)
        requests.append([sale(1, id="s1", amount=7, shop=2), sale(1, id="later")])
        take_in(engine, *requests[-1])
        assert everything(engine, INSTANTS) == from_scratch(path.parent / "newer", NEW, *requests)
    assert {name: (one.filling, one.retired_at_ns) for name, one in descriptors(path).items() if not one.retired_at_ns} == {
        "by_user": (False, None),
        "by_shop": (False, None),
    }


@settings(max_examples=25, deadline=None)
@given(definitions(), definitions(), REQUESTS, st.lists(st.lists(EVENTS, min_size=1, max_size=3), max_size=4))
def test_adopted_definitions_answer_as_if_they_had_always_been_in_force(
    old: FeatureView, new: FeatureView, before: list[list[Any]], meanwhile: list[list[Any]]
) -> None:
    old, new = replace(old, ttl_s=None), replace(new, ttl_s=None)
    with tempfile.TemporaryDirectory() as folder, adopting(Path(folder) / "features.db", mall(old)) as engine:
        for records in before:
            take_in(engine, *records)
        left = list(meanwhile)
        for _ in stepwise(engine, mall(new)):
            if left:
                engine.begin_ingest(body(*left.pop(0)))
        for records in left:
            take_in(engine, *records)
        assert everything(engine, INSTANTS) == from_scratch(Path(folder), mall(new), *before, *meanwhile)


def test_a_reload_without_changes_is_in_force_at_once(path: Path) -> None:
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        changes: list[int] = []
        engine.on_change(lambda: changes.append(1))
        engine.adopt(OLD).result(PATIENCE_S)
        assert changes == [1]
        assert values(engine)["amount_count_10m_1m"] == 2


def test_a_refused_adoption_changes_nothing(path: Path) -> None:
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        changes: list[int] = []
        engine.on_change(lambda: changes.append(1))
        before, told = everything(engine, INSTANTS), descriptors(path)
        with pytest.raises(MigrationRefused, match="by_user"):
            engine.adopt(shaped(columns(amount=FLOAT64)))
        assert (everything(engine, INSTANTS), descriptors(path), changes) == (before, told, [])
        take_in(engine, sale(1, id="more"))
        engine.adopt(NEW).result(PATIENCE_S)
        assert everything(engine, INSTANTS) == from_scratch(path.parent, NEW, RECORDS, [sale(1, id="more")])


def test_one_adoption_at_a_time(path: Path) -> None:
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        hold = Hold()
        arrived: list[int] = []

        def pause(_view: str, done: int) -> None:
            arrived.append(done)
            hold._released.result(PATIENCE_S)

        adoption = engine.adopt(NEW, progress=pause)
        refused: list[BaseException] = []

        def again() -> None:
            try:
                engine.adopt(OLD)
            except InvalidRequest as error:
                refused.append(error)

        second = Thread(target=again)
        wait_until(lambda: bool(arrived), "the first step")
        second.start()
        wait_until(lambda: engine._writer._queue.qsize() > 0, "the second stands in line")
        hold.release()
        second.join(PATIENCE_S)
        adoption.result(PATIENCE_S)
        assert len(refused) == 1
        assert {one.name for one in engine.catalog.views} == {"by_user", "by_shop"}


@pytest.mark.parametrize("error", [RuntimeError("broken off"), OriginUnavailable("away")])
def test_an_adoption_that_fails_leaves_the_old_in_force_and_can_be_made_again(tmp_path: Path, error: Exception) -> None:
    changes: list[int] = []
    for steps in range(1, 100):
        path = tmp_path / str(steps) / "features.db"
        store = Breaking(path)
        with adopting(path, store=store) as engine:
            take_in(engine, *RECORDS)
            engine.on_change(lambda steps=steps: changes.append(steps))  # type: ignore[misc]
            store.left, store.error = steps, error
            try:
                engine.adopt(NEW).result(PATIENCE_S)
                break
            except type(error):
                pass
            store.left = None
            in_force = OLD if len(engine.catalog.views) == 1 else NEW
            assert changes == [] or in_force is NEW
            take_in(engine, sale(4, id="s4"))
            assert everything(engine, INSTANTS) == from_scratch(path.parent / "old", in_force, RECORDS, [sale(4, id="s4")])
            engine.adopt(NEW).result(PATIENCE_S)
            assert changes.pop() == steps
            assert everything(engine, INSTANTS) == from_scratch(path.parent / "new", NEW, RECORDS, [sale(4, id="s4")])
    assert steps > 4


def test_join_keys_that_keep_coming_do_not_keep_the_adoption_from_its_end(path: Path) -> None:
    with adopting(path, store=Unsynced(path)) as engine:
        take_in(engine, *RECORDS)
        steps = 0
        for steps, _ in enumerate(stepwise(engine, NEW), start=1):
            if steps > 20:
                break
            engine.begin_ingest(body(*(sale(1, user=f"z{steps:03}-{one:02}") for one in range(17))), max_records=17)
        assert steps < 5


def break_off(at: tuple[str, int]) -> Callable[[str, int], None]:
    """Of an adoption's progress: at this step."""

    def progress(view: str, done: int) -> None:
        if (view, done) == at:
            raise RuntimeError("broken off")

    return progress


@pytest.mark.parametrize("at", [("by_user", 1), ("by_user", 2), ("by_shop", 1), ("by_shop", 2)])
@pytest.mark.parametrize("meanwhile", [sale(1, id="s1", amount=40), sale(4, id="s4", amount=4)])
def test_an_adoption_made_again_has_what_came_in_meanwhile(path: Path, at: tuple[str, int], meanwhile: dict[str, Any]) -> None:
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        with pytest.raises(RuntimeError):
            engine.adopt(NEW, progress=break_off(at)).result(PATIENCE_S)
        take_in(engine, meanwhile)
        engine.adopt(NEW).result(PATIENCE_S)
        assert everything(engine, INSTANTS) == from_scratch(path.parent, NEW, RECORDS, [meanwhile])


def test_an_adoption_that_fails_retires_nothing_that_is_served(path: Path) -> None:
    store = OneByOne(path)
    served = mall(view(), view("by_shop", keys=("shop",)), view("last", LAST))
    time = Time()
    with adopting(path, served, store, time=time, housekeeping=Housekeeping(store, every_s=3600, keep_retired_s=60)) as engine:
        take_in(engine, *RECORDS)
        before = everything(engine, INSTANTS)
        with pytest.raises(RuntimeError):
            engine.adopt(mall(view("by_user", SUM, MAX)), progress=break_off(("by_user", 1))).result(PATIENCE_S)
        assert {name: one.retired_at_ns for name, one in descriptors(path).items() if name != "by_user"} == {"by_shop": None, "last": None}
        time.advance(DAY_S)
        engine.sweep()
        assert everything(engine, INSTANTS) == before


def test_a_listener_that_fails_does_not_keep_the_caller_waiting(path: Path) -> None:

    def fail() -> None:
        raise RuntimeError("listener")

    with adopting(path) as engine:
        engine.on_change(fail)
        adoption = engine.adopt(NEW)
        wait_until(lambda: len(engine.catalog.views) == 2, "the new definitions")
        take_in(engine, sale(1))
        wait_until(engine._writer._queue.empty, "an idle writer")
        assert adoption.done()


def test_an_adoption_that_a_shutdown_breaks_off_is_told_so(path: Path) -> None:
    hold = Hold()
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        adoption = engine.adopt(NEW, progress=lambda _view, _done: hold._released.result(PATIENCE_S))
        closer = Thread(target=engine.close)
        closer.start()
        wait_until(lambda: engine._writer._closed, "the shutdown")
        hold.release()
        closer.join(PATIENCE_S)
        assert adoption.done()
    with opened(path, NEW) as again:
        assert everything(again, INSTANTS) == from_scratch(path.parent, NEW, RECORDS)


def test_a_caller_that_stops_waiting_does_not_stop_the_adoption(path: Path) -> None:
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        hold = Hold()
        adoption = engine.adopt(NEW, progress=lambda _view, _done: hold._released.result(PATIENCE_S))
        adoption.cancel()
        hold.release()
        wait_until(lambda: len(engine.catalog.views) == 2, "the new definitions")
        take_in(engine, sale(1, id="more"))
        assert everything(engine, INSTANTS) == from_scratch(path.parent, NEW, RECORDS, [sale(1, id="more")])


def test_events_come_in_while_a_column_changes_its_type(path: Path) -> None:

    def both(amount: DataType, *more: Aggregation) -> Repository:
        sources = (columns(amount=amount), replace(SALES, name="returns"))
        returned = FeatureView("returned", "returns", ("user",), (SUM, *more), interval_s=60)
        top = Aggregation("amount", "last" if amount is STRING else "max", 600)
        return Repository(
            (Workspace("mall", sources, (view("by_user", top), returned), (FeatureService("all", ("by_user", "returned")),)),)
        )

    with adopting(path, both(STRING)) as engine:
        assert engine.ingest(body(sale(1), source="returns")).status == 200
        replies = []
        for _ in stepwise(engine, both(INT64, MAX), start_empty=["mall.by_user"]):
            replies += [engine.begin_ingest(body(sale(minutes, id=f"s{minutes}", amount=str(minutes)))) for minutes in (2, 3)]
        assert {reply.result(PATIENCE_S).status for reply in replies} == {200}
        take_in(engine, sale(3, id="s", amount=1))
        assert values(engine) in ({"amount_max_10m_1m": 1}, {"amount_max_10m_1m": 3})


def test_shutting_down_after_an_adoption_leaves_a_store_that_opens(path: Path) -> None:
    with adopting(path) as engine:
        take_in(engine, *RECORDS)
        engine.adopt(NEW).result(PATIENCE_S)
    with opened(path, NEW) as engine:
        assert everything(engine, INSTANTS) == from_scratch(path.parent, NEW, RECORDS)


class Unsettling(SqliteStore):
    """Cannot be told of views while `broken`: the moment after definitions have come into force."""

    broken = False

    def prepare(self, views: Mapping[str, str]) -> Mapping[str, int]:
        if self.broken:
            raise OriginUnavailable("away")
        return super().prepare(views)


def test_what_is_acknowledged_after_an_adoption_that_was_not_settled_outlives_a_restart(path: Path) -> None:
    """A review's find: a view that says it is still being filled was emptied at the next start."""
    both = mall(view(), view("twin", keys=("shop",)))
    store = Unsettling(path)
    with opened(path, mall(view()), store=store) as engine:

        def commit() -> None:
            store.broken = True

        engine.adopt(both, commit=commit).result(PATIENCE_S)
        take_in(engine, sale(1, amount=7))
        before = everything(engine, INSTANTS)
    with opened(path, both) as again:
        assert everything(again, INSTANTS) == before


def test_two_that_begin_with_an_empty_store_do_not_empty_it_for_one_another(path: Path) -> None:
    """A review's find: the second to prepare forgot what the first had taken in."""
    first, second = SqliteStore(path), SqliteStore(path)
    catalog = Catalog(mall(view()))
    migration.prepare(first, catalog, NOW_NS)
    ids, _ = migration.prepare(second, catalog, NOW_NS)
    again, _ = migration.prepare(first, catalog, NOW_NS)
    assert ids == again
    first.close()
    second.close()


def test_memory_that_grew_since_is_not_taken_for_history(path: Path) -> None:
    """A review's find: a longer TTL, and in a second step a window that needs it, found less than there had been."""
    time = Time()
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        take_in(engine, sale(1))
    with opened(path, mall(view(ttl_s=86_400)), time) as engine:
        take_in(engine, sale(1, id="s2"))
    longer = mall(view("by_user", Aggregation("amount", "count", 3_600), ttl_s=86_400))
    with pytest.raises(MigrationRefused, match="3600 s are needed"), opened(path, longer, time):
        pass
    time.advance(3_600)
    with opened(path, longer, time):
        pass
