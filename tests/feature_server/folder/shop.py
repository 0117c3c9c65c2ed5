"""A small feature repository as a folder, and ways to write and to spoil one."""

from pathlib import Path

import pytest

from gateway.feature_server.folder import load
from gateway.feature_server.validation import DefinitionError

SHOP = """\
workspace: shop
entities:
  - name: user
    join_keys: {user_id: string}
  - name: store
    join_keys: {store_id: int64}
    description: Where people buy
sources:
  - name: orders
    description: Orders, as they are paid
    columns: {at: timestamp, order: string, user_id: string, store_id: int64, amount: float64, coupon: string}
    timestamp: at
    record_key: [order, user_id, store_id]
    files: [data/orders-*.csv.gz]
  - name: visits
    columns:
      at: timestamp
      user_id: string
      store_id: int64
    timestamp: at
context: {budget: float64, basket: "array<struct<sku: string, n: int64>>"}
feature_views:
  - name: by_user
    source: orders
    entities: [user]
    interval: 10m
    ttl: 2w
    tags: {team: growth, country: no, version: 1.10}
    aggregations:
      - {column: amount, function: sum, windows: [1h, 1d, lifetime]}
      - {column: coupon, function: last_n, n: 5, window: 7d}
      - {column: amount, function: approx_percentile, percentile: 0.95, precision: 200, window: 1d, name: large_order}
  - name: user
    source: visits
    join_keys: [user_id]
    attributes: [store_id, {column: at, name: last_visit, description: When they came last}]
  - name: pairs
    source: orders
    entities: [user, store]
    interval: continuous
    serving_index: [user_id]
    aggregations:
      - {column: amount, function: count, window: 90s}
on_demand_views:
  - name: over_budget
    function: on_demand:compare
    context: [budget]
    inputs: {by_user: [amount_sum_1d_10m, large_order]}
    outputs: {over: float64, why: "map<string, array<string>>"}
    time_limit: 50ms
    description: What is beyond the budget
    tags: {computed: on demand}
feature_services:
  - name: checkout
    views: [over_budget, by_user, {view: user, as: visitor, features: [last_visit], rename: {last_visit: seen}}]
  - name: candidates:v1
    description: Stores for a user
    views:
      - view: pairs
        join_keys: {user_id: buyer}
"""
ON_DEMAND = """\
def compare(context, inputs):
    return {"over": None, "why": {}}
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def shop(folder: Path, text: str = SHOP, on_demand: str = ON_DEMAND) -> Path:
    return write(folder, {"shop.yaml": text, "on_demand.py": on_demand})


def spoiled(old: str, new: str, text: str = SHOP) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def mistakes(folder: Path) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as refused:
        load(folder)
    return refused.value.mistakes
