from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from gateway.errors import InvalidRequest, NotFound, OriginFailed, OriginThrottled, OriginUnavailable
from gateway.feature_server.engine import LATEST_EVENT_TIME, Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.reads import ReadRow
from gateway.feature_server.timestamps import format_timestamp_ns, parse_timestamp
from gateway.feature_server.writer import MAX_WAITING
from gateway.features import FLOAT64, INT64, STRING, Field, ReadOptions, ServiceRef, Status
from tests.feature_server.purchases import NOW_NS, REPOSITORY, SERVICE, ingest, ingest_body, minutes_ago, read, read_rows


def purchase(minutes: float = 1, **columns: Any) -> dict[str, Any]:
    return {"order": "o1", "at": format_timestamp_ns(minutes_ago(minutes)), "user": "ann", "shop": 7, "items": 1, **columns}


def test_describe_says_what_the_service_takes_and_serves(engine: Engine) -> None:
    found = engine.describe(SERVICE)
    assert found.join_keys == (Field("user", STRING), Field("shop", INT64))
    assert found.context_keys == (Field("amount", FLOAT64),)
    assert [feature.name for feature in found.features[:3]] == [
        "overspend.over",
        "by_shop.amount_max_1h_1h",
        "by_shop.items_count_1h_1h",
    ]
    assert found.kind == "DEFAULT"
    assert {name: (facts.join_keys, facts.context_keys, facts.emitted) for name, facts in found.views.items()} == {
        "overspend": (("user",), ("amount",), True),
        "by_shop": (("shop", "user"), (), True),
        "by_user": (("user",), (), True),
    }
    assert set(found.on_demand) == {"overspend"}


def test_an_input_that_the_service_does_not_serve_is_described_with_its_features(engine: Engine) -> None:
    found = engine.describe(ServiceRef("shop", "overspend_only"))
    assert {feature.view for feature in found.features} == {"overspend", "by_shop"}
    hidden = found.views["by_user"]
    assert not hidden.emitted
    assert hidden.features == tuple(feature for feature in engine.describe(SERVICE).features if feature.view == "by_user")


def test_a_service_is_found_by_its_id_too(engine: Engine) -> None:
    by_name = engine.describe(SERVICE)
    assert engine.describe(ServiceRef("shop", id=by_name.service.id)) is by_name


@pytest.mark.parametrize("service", [ServiceRef("shop", "nothing"), ServiceRef("dev", "checkout"), ServiceRef("shop", id="0" * 32)])
def test_unknown_services(engine: Engine, service: ServiceRef) -> None:
    named = service.name or service.id
    with pytest.raises(NotFound) as described:
        engine.describe(service)
    assert described.value.message == f"Unknown feature_service_name: {named} for workspace: {service.workspace}"
    with pytest.raises(NotFound) as queried:
        read_rows(engine, service, [])
    assert queried.value.message == (
        f"Unable to query FeatureService `{named}` for workspace `{service.workspace}`. Newly created feature services may take up to 60"
        " seconds to query. Also, ensure that the workspace is a live workspace."
    )


def test_missing_data_is_null_and_says_so_and_counts_become_zero_on_request(engine: Engine) -> None:
    ingest(engine, "purchases", purchase(amount=2.0))
    wanted = ReadRow({"user": "nobody"}, frozenset({"by_user"}))
    [[plain], [coerced]] = [
        read_rows(engine, SERVICE, [wanted], options)[0].views for options in (ReadOptions(), ReadOptions(coerce_null_counts_to_zero=True))
    ]
    assert set(plain.values) == {None}
    counts = {name for name, value in zip(coerced.served.layout.names, coerced.values, strict=True) if value == 0}
    assert counts == {name for name in coerced.served.layout.names if "_count_" in name}
    assert set(coerced.values) == {None, 0}
    assert set(plain.statuses) == set(coerced.statuses) == {Status.MISSING_DATA}
    assert plain.newest_ns == minutes_ago(1)


@pytest.mark.parametrize("join_keys", [{}, {"user": None, "shop": 7}, {"user": "ann", "shop": None}, {"user": "ann", "shop": "7"}])
def test_join_keys_that_are_null_missing_or_of_another_type_have_no_data(engine: Engine, join_keys: dict[str, Any]) -> None:
    ingest(engine, "purchases", purchase())
    assert read(engine, {"user": "ann", "shop": 7}, "by_shop")["items_count_1h_1h"] == 1
    assert read(engine, join_keys, "by_shop")["items_count_1h_1h"] is None


def test_only_wanted_views_are_read_and_rows_keep_their_order(engine: Engine) -> None:
    ingest(engine, "purchases", purchase(items=1), purchase(order="o2", user="bob", items=2))
    wanted = frozenset({"by_user", "overspend", "elsewhere"})
    rows = read_rows(engine, SERVICE, [ReadRow({"user": user}, wanted) for user in ("bob", "ann", "bob")])
    assert [[view.served.name for view in row.views] for row in rows] == [["by_user"]] * 3
    sums = [row.views[0].values[row.views[0].served.layout.names.index("by_user.items_sum_10m_1m")] for row in rows]
    assert sums == [2, 1, 2]
    assert rows[0].views[0].values is rows[2].views[0].values
    assert rows[0].store_bytes == rows[2].store_bytes > 0


def test_an_event_at_the_instant_of_the_read_is_not_yet_inside(engine: Engine) -> None:
    ingest(engine, "purchases", purchase(0, items=5))
    assert read(engine, {"user": "ann"}, "by_user")["items_sum_10m_1m"] is None
    later = ReadOptions(high_watermark_override="2024-05-01T12:01:00Z")
    assert read(engine, {"user": "ann"}, "by_user", options=later)["items_sum_10m_1m"] == 5


def test_latest_event_time_ends_windows_with_the_tile_of_the_views_newest_event(engine: Engine) -> None:
    ingest(engine, "purchases", purchase(600, items=5), purchase(700, order="o2", user="bob", items=7))
    latest = ReadOptions(aggregation_leading_edge=LATEST_EVENT_TIME)
    assert read(engine, {"user": "ann"}, "by_user")["items_count_1m_1m"] is None
    assert read(engine, {"user": "ann"}, "by_user", options=latest)["items_count_1m_1m"] == 1
    assert read(engine, {"user": "bob"}, "by_user", options=latest)["items_sum_10m_1m"] is None


@pytest.mark.parametrize("options", [ReadOptions(high_watermark_override="soon"), ReadOptions(aggregation_leading_edge="TOMORROW")])
def test_options_that_mean_nothing_are_refused(engine: Engine, options: ReadOptions) -> None:
    with pytest.raises(InvalidRequest):
        read_rows(engine, SERVICE, [], options)


def test_effective_time_is_the_newest_event_and_never_goes_back(engine: Engine) -> None:
    def effective(view: str) -> int | None:
        return read_rows(engine, SERVICE, [ReadRow({"user": "ann"}, frozenset({view}))])[0].views[0].newest_ns

    assert effective("by_user") is None
    ingest(engine, "purchases", purchase(3, user="bob"))
    ingest(engine, "purchases", purchase(9))
    assert effective("by_user") == effective("by_shop") == minutes_ago(3)


def test_time_stands_still_at_as_of(path: Path) -> None:
    engine = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS, as_of_ns=minutes_ago(60))
    ingest(engine, "purchases", purchase(61, items=3))
    assert read(engine, {"user": "ann"}, "by_user")["items_sum_10m_1m"] == 3
    engine.close()


def test_a_restarted_engine_serves_what_the_one_before_took_in(path: Path) -> None:
    first = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS)
    ingest(first, "purchases", purchase(items=3))
    first.close()
    second = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS)
    assert read(second, {"user": "ann"}, "by_user")["items_sum_10m_1m"] == 3
    ingest(second, "purchases", purchase(order="o2", items=4))
    assert read(second, {"user": "ann"}, "by_user")["items_sum_10m_1m"] == 7
    second.close()


def test_missing_tells_which_events_are_not_stored(engine: Engine) -> None:
    ingest(engine, "purchases", purchase())
    asked = [purchase(), purchase(order="o2"), purchase(2), purchase(items=99)]
    assert engine.missing("shop", "purchases", asked) == asked[1:3]


def test_writes_beyond_the_waiting_room_are_asked_to_come_back(engine: Engine) -> None:
    gate, started = Event(), Event()

    def hold() -> None:
        started.set()
        gate.wait()

    holder = Thread(target=lambda: engine._writer.run(hold))
    holder.start()
    started.wait()
    body = ingest_body("purchases", [purchase()])
    under_way = [engine.begin_ingest(body) for _ in range(MAX_WAITING)]
    with pytest.raises(OriginThrottled) as throttled:
        engine.begin_ingest(body)
    assert throttled.value.retry_after == "1"
    assert under_way[-1].cancel()
    gate.set()
    holder.join()
    assert {one.result().status for one in under_way[:-1]} == {200}
    assert engine.ingest(body).status == 200


def test_an_engine_that_is_shut_down_takes_nothing_in(path: Path) -> None:
    engine = Engine.open(REPOSITORY, SqliteStore(path), lambda: NOW_NS)
    engine.close()
    for _ in range(MAX_WAITING + 1):
        with pytest.raises(OriginUnavailable, match="shutting down"):
            engine.ingest(ingest_body("purchases", [purchase()]))


def test_a_tile_that_cannot_be_read_is_an_error_not_a_value(engine: Engine) -> None:
    ingest(engine, "purchases", purchase())
    engine._store._writer.execute("UPDATE tile SET states = x'c1'")  # type: ignore[attr-defined]
    with pytest.raises(OriginFailed, match="by_user"):
        read(engine, {"user": "ann"}, "by_user")


def test_instants_are_told_apart_to_the_nanosecond() -> None:
    assert parse_timestamp("2024-05-01T12:00:00.000000001Z") == NOW_NS + 1
