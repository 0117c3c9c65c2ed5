"""What no read can want any longer goes, a little at a time; whatever a read or a late event may need stays."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feature_server.catalog import Catalog
from gateway.feature_server.definitions import Aggregation, FeatureView, Repository
from gateway.feature_server.engine import Engine
from gateway.feature_server.housekeeping import Housekeeping
from gateway.feature_server.online.base import Cell, Retention
from gateway.feature_server.timestamps import NS_PER_S, parse_timestamp
from gateway.feature_server.windows import BLOCK_TILES
from tests.feature_server.purchases import at_once
from tests.feature_server.sales import (
    COUNT,
    NOW_NS,
    SUM,
    Time,
    Unsynced,
    everything,
    mall,
    newest,
    opened,
    sale,
    take_in,
    values,
    view,
)
from tests.harness.clock import wait_until

HOUR_S, DAY_S = 3_600, 86_400
MAX, LIFETIME = Aggregation("amount", "max", 600), Aggregation("amount", "sum", None)


def keeper_of(engine: Engine, **more: Any) -> Housekeeping:
    return Housekeeping(engine._store, **{"every_s": 60.0, "keep_retired_s": 7.0 * DAY_S, **more})


def sweep(engine: Engine, time: Time, **more: Any) -> None:
    keeper, definitions = keeper_of(engine, **more), engine._definitions
    engine._writer.run(lambda: keeper.sweep(definitions.catalog, definitions.ids, time()))


def rows(path: Path) -> dict[str, int]:
    """How many of each table there are."""
    store = Unsynced(path)
    found = {table: store._writer.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("event", "tile", "cell", "view")}  # noqa: S608 - names of tables
    store.close()
    return found


TTLS = st.sampled_from([600, 900, 901, HOUR_S])


@st.composite
def forgetful(draw: st.DrawFn) -> FeatureView:
    """A view whose TTL is no shorter than its windows, of every kind."""
    ttl_s = draw(TTLS)
    if draw(st.integers(0, 3)) == 0:
        return newest("sales_view", ttl_s=ttl_s)
    functions = draw(st.lists(st.sampled_from(["sum", "max", "last", "count_distinct"]), min_size=1, max_size=3, unique=True))
    windows = st.sampled_from([600, *([None] if draw(st.booleans()) else [])])
    interval_s = draw(st.sampled_from([1, 60, 600, None]))
    return view("sales_view", *(Aggregation("amount", one, draw(windows)) for one in functions), interval_s=interval_s, ttl_s=ttl_s)


def late(draw: st.DrawFn, ttl_s: int) -> list[Any]:
    ages = st.integers(0, ttl_s)
    return draw(
        st.lists(
            st.builds(
                sale,
                ages.map(lambda age: age / 60) | st.sampled_from([0.0, ttl_s / 60, 1.0, 10.0]),
                id=st.sampled_from(["s1", "s2", "s3"]),
                user=st.sampled_from(["ann", "bob"]),
                amount=st.none() | st.integers(-9, 9),
            ),
            min_size=1,
            max_size=10,
        )
    )


@st.composite
def lives(draw: st.DrawFn) -> tuple[FeatureView, list[tuple[int, list[Any]]]]:
    """A view, and what comes in at which second before NOW: each event within the TTL when it comes."""
    one = draw(forgetful())
    assert one.ttl_s is not None
    seconds = sorted(draw(st.lists(st.integers(0, 3 * one.ttl_s), min_size=1, max_size=3)), reverse=True)
    return one, [(before_s, [shifted(record, before_s) for record in late(draw, one.ttl_s)]) for before_s in seconds]


def shifted(record: Mapping[str, Any], seconds: int) -> dict[str, Any]:
    minutes = (NOW_NS - sale_ns(record)) / NS_PER_S / 60
    return {**record, "at": sale(minutes + seconds / 60)["at"]}


def sale_ns(record: Mapping[str, Any]) -> int:
    return parse_timestamp(record["at"])


@settings(max_examples=80, deadline=None)
@given(lives(), st.data())
def test_reads_and_late_events_are_the_same_with_and_without_a_sweep(
    life: tuple[FeatureView, list[tuple[int, list[Any]]]], data: st.DataObject
) -> None:
    one, comings = life
    assert one.ttl_s is not None
    time = Time()
    instants = [NOW_NS, NOW_NS + 1, *(NOW_NS + seconds * NS_PER_S for seconds in (1, 59, 300, one.ttl_s))]
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(Path(folder) / "swept.db", mall(one), time) as swept,
        opened(Path(folder) / "kept.db", mall(one), time) as kept,
    ):
        for before_s, records in comings:
            time.at_ns = NOW_NS - before_s * NS_PER_S
            for engine in (swept, kept):
                take_in(engine, *records)
            if data.draw(st.booleans()):
                sweep(swept, time)
        time.at_ns = NOW_NS
        sweep(swept, time)
        assert everything(swept, instants) == everything(kept, instants)
        records = late(data.draw, one.ttl_s)  # type: ignore[arg-type]
        for engine in (swept, kept):
            take_in(engine, *records)
        assert everything(swept, instants) == everything(kept, instants)


def test_what_has_left_the_ttl_is_gone(path: Path) -> None:
    time = Time()
    with opened(path, mall(view(ttl_s=600), newest(ttl_s=300)), time) as engine:
        take_in(engine, sale(1), sale(4, id="s4", user="bob"))
        assert rows(path) == {"event": 4, "tile": 2, "cell": 0, "view": 2}
        time.advance(4 * 60)
        sweep(engine, time)
        assert rows(path) == {"event": 3, "tile": 2, "cell": 0, "view": 2}
        time.advance(10 * 60)
        sweep(engine, time)
        assert rows(path) == {"event": 0, "tile": 0, "cell": 0, "view": 2}


def test_what_has_no_ttl_is_kept_for_ever(path: Path) -> None:
    time = Time()
    with opened(path, mall(view(), newest(), view("ever", LIFETIME)), time) as engine:
        take_in(engine, sale(1))
        before = rows(path)
        time.advance(1_000 * DAY_S)
        sweep(engine, time)
        assert rows(path) == before


def test_blocks_stay_and_what_they_are_made_of_goes(path: Path) -> None:
    time = Time()
    seconds = view("ever", LIFETIME, interval_s=1, ttl_s=60)
    with opened(path, mall(seconds), time) as engine:
        for _ in range(5):
            take_in(engine, sale((NOW_NS - time()) / NS_PER_S / 60, amount=2))
            time.advance(BLOCK_TILES)
            sweep(engine, time)
            assert rows(path)["event"] <= 2
        assert values(engine, "ever", at_ns=time()) == {"amount_sum_lifetime_1s": 10}
        assert rows(path)["tile"] <= 5 + 2


def test_the_keys_that_a_wildcard_read_finds_go_with_the_last_of_their_data(path: Path) -> None:
    time = Time()
    pairs = view("pairs", SUM, keys=("user", "shop"), serving_index=("user",), ttl_s=600)
    with opened(path, mall(pairs), time) as engine:
        take_in(engine, sale(1, shop=1), sale(9, id="s9", shop=2), sale(9, id="s9", shop=1))
        assert rows(path)["cell"] == 2
        time.advance(5 * 60)
        sweep(engine, time)
        assert rows(path)["cell"] == 1
        take_in(engine, sale(0, id="new", shop=2))
        assert rows(path)["cell"] == 2


def test_the_data_of_a_retired_view_is_kept_for_as_long_as_was_said(path: Path) -> None:
    time = Time()
    with opened(path, mall(view(), view("by_shop", keys=("shop",))), time) as engine:
        take_in(engine, *(sale(1, id=f"s{shop}", shop=shop) for shop in range(200)))
    with opened(path, mall(view()), time) as engine:
        before = rows(path)
        time.advance(59)
        sweep(engine, time, keep_retired_s=60)
        assert rows(path) == before
        time.advance(1)
        sweep(engine, time, keep_retired_s=60)
        assert rows(path) == {"event": 200, "tile": 1, "cell": 0, "view": 1}
        assert values(engine)["amount_count_10m_1m"] == 200


def steps_of(keeper: Housekeeping, engine: Engine, time: Callable[[], int]) -> Iterator[float]:
    """The steps of one round; what they answer."""
    while True:
        pause_s = keeper.step(engine.catalog, engine._definitions.ids, time())
        yield pause_s
        if pause_s > 1:
            return


def changes(engine: Engine) -> int:
    return int(engine._store._writer.total_changes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("keys", [500])
def test_a_step_removes_few_rows(path: Path, keys: int) -> None:
    time = Time()
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        for start in range(0, 4_000, 1_000):
            take_in(engine, *(sale(1, id=f"s{one}", user=f"u{one % keys}") for one in range(start, start + 1_000)))
        time.advance(HOUR_S)
        keeper, largest = keeper_of(engine), 0
        before = changes(engine)
        for _ in steps_of(keeper, engine, time):
            largest, before = max(largest, changes(engine) - before), changes(engine)
        assert rows(path)["event"] == 0
        assert largest <= 1_000


def test_a_round_comes_to_its_end_and_says_when_the_next_is_due(path: Path) -> None:
    time = Time()
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        take_in(engine, *(sale(1, user=f"u{one}") for one in range(200)))
        pauses = list(steps_of(keeper_of(engine), engine, time))
        assert pauses[-1] == 60.0
        assert len(pauses) == 5
        assert set(pauses[:-1]) == {0.01}


def test_a_round_that_fails_is_begun_anew(path: Path) -> None:
    time = Time()
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        take_in(engine, sale(1))
        keeper = keeper_of(engine)
        trim, engine._store.trim = engine._store.trim, lambda _cells, _kept: 1 / 0  # type: ignore[method-assign, assignment]
        with pytest.raises(ZeroDivisionError):
            keeper.step(engine.catalog, engine._definitions.ids, time())
        engine._store.trim = trim  # type: ignore[method-assign]
        time.advance(HOUR_S)
        list(steps_of(keeper, engine, time))
        assert rows(path)["event"] == 0


class Counting(Unsynced):
    """Counts rounds, of which each trims the one join key that there is."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.trims = 0

    def trim(self, cells: Sequence[Cell], retention: Retention) -> None:
        self.trims += 1
        super().trim(cells, retention)


def test_a_round_waits_for_its_time_however_many_write_meanwhile(path: Path) -> None:
    store = Counting(path)
    with opened(path, mall(view(ttl_s=600)), store=store, housekeeping=Housekeeping(store, every_s=3600, keep_retired_s=60)) as engine:
        for one in range(12):
            take_in(engine, sale(1, id=f"s{one}"))
        engine._writer.run(lambda: None)
        assert store.trims <= 1


def test_an_engine_keeps_house_by_itself(path: Path) -> None:
    time, store = Time(), Unsynced(path)
    with opened(path, mall(view(ttl_s=600)), time, store, housekeeping=Housekeeping(store, every_s=0.001, keep_retired_s=60)) as engine:
        take_in(engine, sale(1))
        time.advance(HOUR_S)
        engine._writer.wake()
        wait_until(lambda: rows(path)["event"] == 0, "the event's end")


def test_a_sweep_is_a_whole_round_and_nothing_without_housekeeping(path: Path) -> None:
    time, store = Time(), Unsynced(path)
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        take_in(engine, *(sale(1, user=f"u{one}") for one in range(200)))
        time.advance(HOUR_S)
        engine.sweep()
        assert rows(path)["event"] == 200
    with opened(path, mall(view(ttl_s=600)), time, store, housekeeping=Housekeeping(store, every_s=1e6, keep_retired_s=60)) as engine:
        engine.sweep()
        assert rows(path)["event"] == 0


# Definitions that change while a round is under way


def forget_in_part(engine: Engine, time: Time, steps: int) -> Housekeeping:
    keeper = keeper_of(engine, keep_retired_s=60)
    for _ in range(steps):
        assert keeper.step(engine.catalog, engine._definitions.ids, time()) < 1
    return keeper


def with_retired(path: Path, time: Time) -> None:
    """A store with 200 users, of whom a retired view knows as well as one in force."""
    with opened(path, mall(view(), view("twin", MAX, COUNT)), time) as engine:
        take_in(engine, *(sale(1, user=f"u{one:03}", amount=one) for one in range(200)))
    with opened(path, mall(view()), time):
        time.advance(HOUR_S)


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_retired_view_that_is_forgotten_in_part_and_wanted_again_is_whole(path: Path, steps: int) -> None:
    time = Time()
    with_retired(path, time)
    with opened(path, mall(view()), time) as engine:
        forget_in_part(engine, time, steps)
    with opened(path, mall(view(), view("twin", MAX, COUNT)), time) as engine:
        found = {user: values(engine, "twin", user=user)["amount_count_10m_1m"] for user in ("u000", "u063", "u100", "u199")}
        assert set(found.values()) == {1}


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_round_under_way_does_not_forget_what_is_wanted_again(path: Path, steps: int) -> None:
    time = Time()
    with_retired(path, time)
    with opened(path, mall(view()), time) as engine:
        keeper = forget_in_part(engine, time, steps)
        engine.adopt(mall(view(), view("twin", MAX, COUNT))).result(20)
        take_in(engine, sale(1, id="new", user="u100", amount=1))
        list(steps_of(keeper, engine, time))
        found = {user: values(engine, "twin", user=user)["amount_max_10m_1m"] for user in ("u001", "u063", "u100", "u199")}
        assert found == {"u001": 1, "u063": 63, "u100": 100, "u199": 199}
        take_in(engine, sale(1, id="newer", user="u100", amount=500))
        assert values(engine, "twin", user="u100")["amount_max_10m_1m"] == 500
    with opened(path, mall(view(), view("twin", MAX, COUNT)), time) as engine:
        assert values(engine, "twin", user="u100")["amount_max_10m_1m"] == 500


def test_a_round_under_way_keeps_what_a_longer_ttl_keeps(path: Path) -> None:
    time = Time()
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        take_in(engine, *(sale(1, user=f"u{one:03}") for one in range(200)))
        keeper = keeper_of(engine)
        keeper.step(engine.catalog, engine._definitions.ids, time())
        longer = mall(view("by_user", Aggregation("amount", "sum", 600), COUNT, ttl_s=DAY_S))
        engine.adopt(longer, start_empty=["mall.by_user"]).result(20)
        take_in(engine, sale(60, id="late", user="u199"))
        assert values(engine, user="u199", at_ns=NOW_NS - 3_540 * NS_PER_S)["amount_count_10m_1m"] == 1
        list(steps_of(keeper, engine, time))
        assert values(engine, user="u199", at_ns=NOW_NS - 3_540 * NS_PER_S)["amount_count_10m_1m"] == 1


def test_data_that_was_stored_before_the_ttl_was_declared_goes_too(path: Path) -> None:
    time = Time()
    with opened(path, mall(view()), time) as engine:
        take_in(engine, sale(60), sale(1, id="s2"))
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        sweep(engine, time)
        assert rows(path)["event"] == 1


def test_sweeps_of_one_workspace_leave_the_others_alone(path: Path) -> None:
    time = Time()
    theirs = mall(view(ttl_s=600), workspace="bazaar")
    with opened(path, theirs, time) as engine:
        take_in(engine, sale(1), workspace="bazaar")
    with opened(path, Repository((replace(theirs.workspaces[0], views=(), services=()),)), time):
        time.advance(DAY_S)
    with opened(path, mall(view(ttl_s=600)), time) as engine:
        sweep(engine, time, keep_retired_s=0)
        assert rows(path)["event"] == 1
    ids = Catalog(theirs).views
    store = Unsynced(path)
    [cell] = [Cell(view_id, key) for view_id in store.prepare(store.views()).values() for [key] in store.scan(view_id, 10)]
    assert cell.join_key == ids[0].key_of_row([0, "s1", "ann", 1, 1])
    assert at_once(store.newest()) == {cell.view: sale_ns(sale(1))}
    store.close()
