"""Last write wins, and tiles stay what their events make them: out of order, sent again, corrected, moved to another join key."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feature_server.definitions import FeatureView, Source
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.timestamps import NS_PER_S, format_timestamp_ns
from gateway.features import Kind, ReadOptions, ServiceRef
from tests.feature_server.model import aggregate, in_window
from tests.feature_server.purchases import (
    BY_SHOP,
    BY_USER,
    NOW_NS,
    PURCHASES,
    REPOSITORY,
    SHOP_VISITS,
    USER_VISITS,
    VISITS,
    ingest,
    minutes_ago,
    read,
)

CHECKOUT, VISITS_SERVICE = ServiceRef("shop", "checkout"), ServiceRef("shop", "visits:v1")
INSTANTS = st.sampled_from([minutes_ago(minutes) for minutes in (0, 0.5, 1, 2, 2.5, 5, 9, 10, 11, 61, 120)]) | st.integers(
    NOW_NS - 4000 * NS_PER_S, NOW_NS + 100 * NS_PER_S
)
PURCHASE = st.fixed_dictionaries(
    {
        "at": INSTANTS,
        "order": st.sampled_from(["o1", "o2", "o3"]),
        "user": st.sampled_from(["ann", "bob"]),
        "shop": st.integers(1, 2),
        "amount": st.none() | st.integers(-64, 64).map(lambda quarters: quarters / 4),
        "items": st.none() | st.integers(-9, 9),
        "coupon": st.none() | st.sampled_from("abcdef"),
        "gift": st.none() | st.booleans(),
        "shipped": st.none() | INSTANTS,
    }
)
VISIT = st.fixed_dictionaries({"at": INSTANTS, "user": st.sampled_from("ab"), "shop": st.integers(1, 2), "seconds": st.integers(0, 9)})
Event = Mapping[str, Any]


def as_record(source: Source, event: Event) -> dict[str, Any]:
    times = {column.name for column in source.columns if column.dtype.kind is Kind.TIMESTAMP}
    return {name: format_timestamp_ns(value) if name in times and value is not None else value for name, value in event.items()}


def surviving(events: Sequence[Event], identity: Sequence[str]) -> list[Event]:
    """The last of each identity, in the order in which they count as latest."""
    kept = {tuple(event[name] for name in identity): event for event in events}
    return sorted(kept.values(), key=lambda event: (event["at"], str(event.get("order", "")), event["user"], event["shop"]))


def served(engine: Engine, view: FeatureView, service: ServiceRef, keys: Event, at_ns: int) -> dict[str, Any]:
    return read(engine, keys, view.name, service, ReadOptions(high_watermark_override=format_timestamp_ns(at_ns)))


def expected(events: Sequence[Event], view: FeatureView, keys: Event, at_ns: int) -> dict[str, Any]:
    values = {}
    for aggregation in view.served:
        value = aggregate(in_window(events, view, aggregation.window_s, keys, at_ns, "at"), aggregation)
        if aggregation.column == "shipped" and value is not None:
            value = [format_timestamp_ns(one) for one in value] if isinstance(value, list) else format_timestamp_ns(value)
        values[aggregation.name(view.interval_s)] = value
    return values


def same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return found.keys() == wanted.keys() and all(
        value == wanted[name] or (isinstance(value, float) and math.isclose(value, wanted[name])) for name, value in found.items()
    )


def open_engine(folder: str) -> Engine:
    return Engine.open(REPOSITORY, SqliteStore(Path(folder) / "features.db"), lambda: NOW_NS)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(PURCHASE, min_size=1, max_size=8), min_size=1, max_size=5), INSTANTS)
def test_with_a_record_key_the_last_of_each_key_and_timestamp_counts(requests: list[list[Event]], at_ns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(folder)
        for request in requests:
            ingest(engine, "purchases", *(as_record(PURCHASES, event) for event in request))
        events = surviving([event for request in requests for event in request], ("order", "user", "shop", "at"))
        for keys in ({"user": "ann", "shop": 1}, {"user": "bob", "shop": 2}):
            for view in (BY_USER, BY_SHOP):
                assert same(served(engine, view, CHECKOUT, keys, at_ns), expected(events, view, keys, at_ns))
        engine.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(VISIT, min_size=1, max_size=8), min_size=1, max_size=4), INSTANTS)
def test_without_one_the_last_of_each_views_join_keys_and_timestamp_counts(requests: list[list[Event]], at_ns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(folder)
        for request in requests:
            ingest(engine, "visits", *(as_record(VISITS, event) for event in request))
        every = [event for request in requests for event in request]
        for view, keys in ((USER_VISITS, {"user": "a"}), (SHOP_VISITS, {"shop": 1})):
            events = surviving(every, (*view.join_keys, "at"))
            assert same(served(engine, view, VISITS_SERVICE, keys, at_ns), expected(events, view, keys, at_ns))
        engine.close()


def purchase(order: str, minutes: float, **columns: Any) -> dict[str, Any]:
    return {"order": order, "at": format_timestamp_ns(minutes_ago(minutes)), "user": "ann", "shop": 1, **columns}


def test_a_corrected_record_changes_sum_count_and_latest(engine: Engine) -> None:
    ingest(engine, "purchases", purchase("o1", 1, amount=5.0, coupon="a"), purchase("o2", 1, amount=1.0, coupon="b"))
    ingest(engine, "purchases", purchase("o1", 1, amount=2.0), purchase("o2", 1, amount=1.0, coupon="c"))
    found = read(engine, {"user": "ann"}, "by_user")
    assert (found["amount_sum_1m_1m"], found["amount_max_3m_1m"], found["coupon_last_3_10m_1m"]) == (3.0, 2.0, ["c"])


def test_a_record_sent_again_unchanged_changes_nothing(engine: Engine) -> None:
    records = purchase("o1", 1, amount=5.0, coupon="a"), purchase("o2", 2, amount=1.0, coupon="b")
    ingest(engine, "purchases", *records)
    before = read(engine, {"user": "ann"}, "by_user")
    ingest(engine, "purchases", *records, *records)
    assert read(engine, {"user": "ann"}, "by_user") == before


def test_without_a_record_key_a_view_keeps_one_event_per_join_keys_and_timestamp(engine: Engine) -> None:
    visit = {"at": "2024-05-01T11:59:00Z", "user": "a", "shop": 1, "seconds": 5}
    ingest(engine, "visits", visit)
    ingest(engine, "visits", visit | {"shop": 2, "seconds": 7})
    assert read(engine, {"user": "a"}, "user_visits", VISITS_SERVICE) == {"seconds_count_10m_1m": 1, "seconds_sum_10m_1m": 7}
    assert [read(engine, {"shop": shop}, "shop_visits", VISITS_SERVICE)["seconds_sum_10m_1m"] for shop in (1, 2)] == [5, 7]


@pytest.mark.parametrize("minutes", [9, 3, 1])
def test_a_late_event_lands_in_its_own_tile(engine: Engine, minutes: int) -> None:
    ingest(engine, "purchases", purchase("new", 0.5, items=1))
    ingest(engine, "purchases", purchase("late", minutes, items=10))
    found = read(engine, {"user": "ann"}, "by_user")
    assert found["items_sum_10m_1m"] == 11
    assert found["items_count_1m_1m"] == (2 if minutes == 1 else 1)


def test_events_of_one_instant_are_latest_by_record_key_not_by_arrival(engine: Engine) -> None:
    ingest(engine, "purchases", purchase("o3", 1, coupon="third"), purchase("o1", 1, coupon="first"))
    ingest(engine, "purchases", purchase("o2", 1, coupon="second"))
    assert read(engine, {"user": "ann"}, "by_user")["coupon_last_3_10m_1m"] == ["first", "second", "third"]


def test_nanoseconds_decide_which_is_latest(engine: Engine) -> None:
    ingest(engine, "purchases", purchase("o1", 1, coupon="later") | {"at": "2024-05-01T11:59:00.000000002Z"})
    ingest(engine, "purchases", purchase("o2", 1, coupon="earlier") | {"at": "2024-05-01T11:59:00.000000001Z"})
    assert read(engine, {"user": "ann"}, "by_user")["coupon_last_10m_1m"] == "later"
