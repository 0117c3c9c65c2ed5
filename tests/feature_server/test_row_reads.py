"""Reads of one row by a plain function: they answer what any other read answers, under the definitions in force, or leave it to that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import NotFound, OriginFailed
from gateway.feature_server.definitions import Aggregation
from gateway.feature_server.engine import Engine
from gateway.feature_server.reads import ReadRow, RowRead, ViewRead
from gateway.features import ServiceRef
from tests.feature_server.purchases import read_rows
from tests.feature_server.sales import ALL, COUNT, NOW_NS, SUM, Time, mall, newest, opened, sale, take_in, view
from tests.harness.clock import PATIENCE_S

KINDS = {
    "by_interval": view("by_interval", SUM, COUNT),
    "by_both": view("by_both", SUM, keys=("user", "shop")),
    "continuous": view("continuous", SUM, COUNT, interval_s=None),
    "ever": view("ever", Aggregation("amount", "count", None), COUNT),
    "attributes": newest("attributes", "amount", "at"),
    "brief": newest("brief", "amount", ttl_s=900),
}
KEYS = {"user": "ann", "shop": 1}
SALES = st.builds(
    sale,
    st.floats(0, 14),
    id=st.sampled_from(("s1", "s2", "s3")),
    user=st.sampled_from(("ann", "bob")),
    shop=st.integers(1, 2),
    amount=st.none() | st.integers(-9, 9),
)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def engine(path: Path, time: Time) -> Iterator[Engine]:
    with opened(path, mall(*KINDS.values()), time) as engine:
        yield engine


def told(row: RowRead | None) -> tuple[list[ViewRead], int]:
    """What of a read does not depend on how long it took."""
    assert row is not None
    return [view._replace(values=list(view.values)) for view in row.views], row.store_bytes


@settings(max_examples=40)
@given(sales=st.lists(SALES, max_size=12), wanted=st.sets(st.sampled_from(sorted(KINDS)), min_size=1), later_s=st.integers(0, 600))
def test_a_row_read_now_is_the_row_that_any_read_answers(
    tmp_path_factory: pytest.TempPathFactory, sales: list[dict[str, object]], wanted: set[str], later_s: int
) -> None:
    time, views = Time(), frozenset(wanted)
    with opened(tmp_path_factory.mktemp("row") / "features.db", mall(*KINDS.values()), time) as engine:
        take_in(engine, *sales)
        for seconds in (0, later_s):
            time.advance(seconds)
            for user in ("ann", "bob", "nobody"):
                keys = {"user": user, "shop": 1}
                [expected] = read_rows(engine, ALL, [ReadRow(keys, views)])
                assert told(engine.read_row(ALL, keys, views)) == told(expected)


def test_an_event_is_seen_by_the_next_read(engine: Engine, time: Time) -> None:
    wanted = frozenset({"attributes"})
    for amount in (1, 2):
        time.advance(1)
        take_in(engine, sale(0.5 - amount / 60, amount=amount))
        [view], _ = told(engine.read_row(ALL, KEYS, wanted))
        assert view.values[0] == amount
    assert time.at_ns > NOW_NS


def test_join_keys_that_no_event_can_have_are_left_to_the_other_read(engine: Engine) -> None:
    assert engine.read_row(ALL, {"user": "ann", "shop": None}, frozenset(KINDS)) is None
    assert engine.read_row(ALL, {"user": "ann", "shop": None}, frozenset({"by_interval"})) is not None


def test_of_an_unknown_service_nothing_is_read(engine: Engine) -> None:
    with pytest.raises(NotFound):
        engine.read_row(ServiceRef("mall", "none"), KEYS, frozenset(KINDS))


def test_stored_bytes_that_cannot_be_read_are_told_and_never_a_value(engine: Engine) -> None:
    take_in(engine, sale())
    engine._store._writer.execute("UPDATE event SET payload = ?", (b"\xc1",))  # type: ignore[attr-defined]
    with pytest.raises(OriginFailed, match="attributes cannot be read"):
        engine.read_row(ALL, KEYS, frozenset({"attributes"}))


def test_new_definitions_are_read_by_as_soon_as_they_are_in_force(engine: Engine) -> None:
    take_in(engine, sale(amount=5))
    wanted = frozenset({"attributes"})
    [before], _ = told(engine.read_row(ALL, KEYS, wanted))
    engine.adopt(mall(newest("attributes", "id"))).result(PATIENCE_S)
    [after], _ = told(engine.read_row(ALL, KEYS, wanted))
    assert (before.values[0], after.values) == (5, ["s1"])
    assert after.served.layout.names == ("attributes.id",)
