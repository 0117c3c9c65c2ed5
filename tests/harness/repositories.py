"""A small feature repository as a folder, in versions: one stream of orders, one view of users, one on-demand view, one feature service."""

from pathlib import Path

AS_OF = "2024-05-01T12:00:00Z"
SERVICE = "/v1/workspaces/shop/feature-services/checkout"

_YAML = """\
workspace: shop
sources:
  - name: orders
    columns: {{at: timestamp, order: string, user_id: string, amount: {amount}, gift: boolean}}
    timestamp: at
    record_key: [order, user_id]
    files: [data/*.csv, data/*.jsonl]
feature_views:
  - name: by_user
    source: orders
    join_keys: [user_id]
    interval: {interval}
{more}    aggregations:
      - {{column: order, function: count, windows: [{windows}]}}
      - {{column: amount, function: {function}, window: {total}, name: total}}
on_demand_views:
  - name: edition
    function: on_demand:edition
    inputs: {{by_user: [total]}}
    outputs: {{tag: string}}
feature_services:
  - name: checkout
    views: [by_user, edition]
"""
_PYTHON = """\
def edition(context, inputs):
    return {{"tag": {tag!r}}}
"""


def write_repository(
    folder: Path,
    tag: str = "first",
    *,
    interval: str = "10m",
    windows: str = "1h",
    total: str = "1h",
    amount: str = "float64",
    function: str = "sum",
    more: str = "",
) -> Path:
    """`total`: the window of a feature whose name says nothing of it. `tag`: what the on-demand view answers."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _YAML.format(interval=interval, windows=windows, total=total, amount=amount, function=function, more=more)
    (folder / "orders.yaml").write_text(text)
    (folder / "on_demand.py").write_text(_PYTHON.format(tag=tag))
    return folder
