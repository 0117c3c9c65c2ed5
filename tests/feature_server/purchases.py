"""A small repository for tests: purchases in shops, with every column type, every function, and both kinds of event identity."""

import json
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from gateway.feature_server.definitions import Aggregation, FeatureService, FeatureView, Repository, Source, Workspace
from gateway.feature_server.engine import Engine
from gateway.feature_server.reads import ReadRow, RowRead
from gateway.feature_server.timestamps import NS_PER_S, parse_timestamp
from gateway.features import BOOLEAN, FLOAT64, INT64, PLAIN, STRING, TIMESTAMP, Field, ReadOptions, ServiceRef
from gateway.on_demand import OnDemandView

T = TypeVar("T")
NOW = "2024-05-01T12:00:00Z"
NOW_NS = parse_timestamp(NOW)
SERVICE = ServiceRef("shop", name="checkout")

COLUMNS = (
    Field("at", TIMESTAMP),
    Field("order", STRING),
    Field("user", STRING),
    Field("shop", INT64),
    Field("amount", FLOAT64),
    Field("items", INT64),
    Field("coupon", STRING),
    Field("gift", BOOLEAN),
    Field("shipped", TIMESTAMP),
)
PURCHASES = Source("purchases", COLUMNS, timestamp="at", record_key=("order", "user", "shop"))
VISITS = Source("visits", (Field("at", TIMESTAMP), Field("user", STRING), Field("shop", INT64), Field("seconds", INT64)), timestamp="at")
IDLE = Source("idle", (Field("at", TIMESTAMP), Field("user", STRING)), timestamp="at")

BY_USER = FeatureView(
    "by_user",
    "purchases",
    ("user",),
    (
        Aggregation("amount", "sum", 60),
        Aggregation("amount", "mean", 60),
        Aggregation("amount", "mean", 600),
        Aggregation("amount", "min", 600),
        Aggregation("amount", "max", 180),
        Aggregation("items", "sum", 600),
        Aggregation("items", "count", 60, description="Purchases whose items are known"),
        Aggregation("items", "count", 600),
        Aggregation("coupon", "last", 600),
        Aggregation("coupon", "last_n", 600, n=3),
        Aggregation("coupon", "count_distinct", 600),
        Aggregation("gift", "last", 180),
        Aggregation("shipped", "max", 600),
        Aggregation("shipped", "last_n", 600, n=2),
        Aggregation("shop", "count_distinct", 180),
    ),
    interval_s=60,
    description="What a user buys",
    tags={"team": "growth"},
)
BY_SHOP = FeatureView(
    "by_shop",
    "purchases",
    ("shop", "user"),
    (Aggregation("amount", "max", 3600), Aggregation("items", "count", 3600)),
    interval_s=3600,
    ttl_s=86_400,
)
USER_VISITS = FeatureView(
    "user_visits", "visits", ("user",), (Aggregation("seconds", "sum", 600), Aggregation("seconds", "count", 600)), interval_s=60
)
SHOP_VISITS = FeatureView("shop_visits", "visits", ("shop",), (Aggregation("seconds", "sum", 600),), interval_s=60)


def _compare(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    usual = inputs["by_user"]["amount_mean_10m_1m"]
    return {"over": None if usual is None or context["amount"] is None else context["amount"] - usual}


OVERSPEND = OnDemandView("overspend", _compare, ("amount",), (("by_user", ("amount_mean_10m_1m",)),), (("over", FLOAT64),))

REPOSITORY = Repository(
    (
        Workspace(
            "shop",
            (PURCHASES, VISITS, IDLE),
            (BY_USER, BY_SHOP, USER_VISITS, SHOP_VISITS),
            (
                FeatureService("checkout", ("by_user", "overspend", "by_shop")),
                FeatureService("overspend_only", ("overspend", "by_shop")),
                FeatureService("visits:v1", ("user_visits", "shop_visits")),
            ),
            (OVERSPEND,),
            (Field("amount", FLOAT64), Field("unused", STRING)),
        ),
    )
)


def ingest_body(source: str, records: Sequence[Mapping[str, Any]], **more: object) -> bytes:
    return json.dumps({"workspace_name": "shop", "records": {source: [{"record": record} for record in records]}, **more}).encode()


def ingest(engine: Engine, source: str, *records: Mapping[str, Any]) -> None:
    reply = engine.ingest(ingest_body(source, records), max_records=10_000)
    assert reply.status == 200, reply.body


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that does not wait returns: SQLite answers reads at once."""
    try:
        work.send(None)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def read_rows(engine: Engine, service: ServiceRef, rows: Sequence[ReadRow], options: ReadOptions = PLAIN) -> list[RowRead]:
    return at_once(engine.read(service, rows, options))


def read(
    engine: Engine, join_keys: Mapping[str, Any], view: str, service: ServiceRef = SERVICE, options: ReadOptions = PLAIN
) -> dict[str, Any]:
    """One view's values by feature name, without the view's prefix."""
    [row] = read_rows(engine, service, [ReadRow(join_keys, frozenset({view}))], options)
    [found] = row.views
    return {name.partition(".")[2]: value for name, value in zip(found.served.layout.names, found.values, strict=True)}


def minutes_ago(minutes: float) -> int:
    return NOW_NS - round(minutes * 60 * NS_PER_S)
