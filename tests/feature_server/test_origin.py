import json
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from gateway.errors import NotFound, OriginFailed, OriginTimeout
from gateway.feature_server.engine import Engine
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.features import Caller, ReadOptions, ServiceRef, Status, ViewLayout, ViewValues, split_views
from gateway.origins.base import Fetch, Fetched, FetchRow, Origin
from tests.feature_server.purchases import SERVICE, ingest, ingest_body

ANYBODY = Caller(b"anybody")
NEVER = 1e9
RECORD = {
    "at": "2024-05-01T11:59:00.5Z",
    "order": "o1",
    "user": "ann",
    "shop": 7,
    "amount": 2.5,
    "items": 3,
    "coupon": 'a"b',
    "gift": True,
    "shipped": "2024-05-02T00:00:00+02:00",
}
pytestmark = pytest.mark.anyio


async def fetch(origin: Origin, service: ServiceRef = SERVICE, *, want_labels: bool = False, **keys: Any) -> Fetched:
    """All views of the service for one row, hidden ones as well."""
    views = frozenset((await origin.describe(service, ANYBODY, NEVER)).views)
    return await origin.fetch(Fetch(service, (FetchRow(keys, {}, views),), ANYBODY, NEVER, ReadOptions(), want_labels))


def decoded(values: ViewValues) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(b"{" + values.named + b"}")
    return found


async def test_layouts_are_those_of_the_description_and_hidden_inputs_come_last(engine: Engine) -> None:
    origin: Origin = EmbeddedOrigin(engine)
    for name in ("checkout", "overspend_only", "visits:v1"):
        service = ServiceRef("shop", name)
        described = await origin.describe(service, ANYBODY, NEVER)
        [row] = (await fetch(origin, service, user="ann", shop=7)).rows
        stored = [layout for layout in split_views(described.features) if layout.view not in described.on_demand]
        hidden = [ViewLayout(view, facts.features) for view, facts in described.views.items() if not facts.emitted]
        assert [view.layout for view in row.views] == stored + hidden


async def test_values_are_spelled_for_both_doors(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    [row] = (await fetch(EmbeddedOrigin(engine), user="ann", shop=7)).rows
    [by_shop, by_user] = row.views
    named = decoded(by_user)
    assert named["by_user.items_sum_10m_1m"] == 3
    assert named["by_user.coupon_last_3_10m_1m"] == ['a"b']
    assert named["by_user.gift_last_3m_1m"] is True
    assert named["by_user.shipped_last_2_10m_1m"] == ["2024-05-01T22:00:00Z"]
    assert list(named) == list(by_user.layout.names)
    positional = json.loads(b"[" + by_user.positional + b"]")
    assert positional[by_user.layout.names.index("by_user.items_sum_10m_1m")] == "3"
    assert positional[by_user.layout.names.index("by_user.amount_sum_1m_1m")] == 2.5
    assert set(by_user.statuses) == {Status.PRESENT}
    assert by_user.effective_times == ("2024-05-01T11:59:00.500Z",) * len(by_user.layout)
    assert json.loads(b"[" + by_shop.positional + b"]") == [2.5, "1"]


async def test_a_view_without_events_has_no_effective_time(engine: Engine) -> None:
    [row] = (await fetch(EmbeddedOrigin(engine), user="ann", shop=7)).rows
    assert {time for view in row.views for time in view.effective_times} == {None}
    assert all(view.complete for view in row.views)


async def test_slo_information_is_measured(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    origin = EmbeddedOrigin(engine)
    one = FetchRow({"user": "ann", "shop": 7}, {}, frozenset({"by_user", "by_shop"}))
    first, again = (await origin.fetch(Fetch(SERVICE, (one, one), ANYBODY, NEVER))).rows
    assert first.slo is not None
    assert again.slo is not None
    assert first.slo.eligible
    assert first.slo.server_time_s is not None
    assert first.slo.store_max_latency_s is not None
    assert 0 < first.slo.store_max_latency_s < first.slo.server_time_s
    assert first.slo.store_response_size_bytes is not None
    assert first.slo.store_response_size_bytes > 0
    assert again.slo == first.slo
    assert first.views == again.views


async def test_a_long_batch_keeps_its_order_and_lets_others_have_their_turn(engine: Engine) -> None:
    for user in range(5):
        ingest(engine, "purchases", RECORD | {"order": f"o{user}", "user": f"u{user}", "items": user})
    origin, turns = EmbeddedOrigin(engine), []

    async def others() -> None:
        while True:
            turns.append(1)
            await anyio.lowlevel.checkpoint()

    rows = tuple(FetchRow({"user": f"u{index % 5}"}, {}, frozenset({"by_user"})) for index in range(101))
    async with anyio.create_task_group() as group:
        group.start_soon(others)
        fetched = await origin.fetch(Fetch(SERVICE, rows, ANYBODY, NEVER))
        group.cancel_scope.cancel()
    assert len(turns) >= 5
    assert [decoded(row.views[0])["by_user.items_sum_10m_1m"] for row in fetched.rows] == [index % 5 for index in range(101)]


async def test_a_long_batch_ends_at_its_deadline(engine: Engine) -> None:
    rows = tuple(FetchRow({"user": "ann"}, {}, frozenset({"by_user"})) for _ in range(100))
    with pytest.raises(OriginTimeout):
        await EmbeddedOrigin(engine).fetch(Fetch(SERVICE, rows, ANYBODY, deadline=0.0))


async def test_labels_come_when_they_are_wanted(engine: Engine) -> None:
    origin = EmbeddedOrigin(engine)
    assert (await fetch(origin, user="ann")).labels is None
    labels = (await fetch(origin, want_labels=True, user="ann")).labels
    assert labels is not None
    assert labels["by_user.items_count_1m_1m"].description == "Purchases whose items are known"
    assert labels["by_user.items_count_1m_1m"].tags == (("team", "growth"),)


async def test_ingest_readiness_and_close(engine: Engine) -> None:
    origin = EmbeddedOrigin(engine)
    await origin.ready()
    assert (await origin.ingest(ingest_body("purchases", [RECORD]), ANYBODY, NEVER)).status == 200
    assert (await origin.ingest(b"{}", ANYBODY, NEVER)).status == 400
    await origin.aclose()
    with pytest.raises(OriginFailed):
        await origin.ready()


async def test_unknown_services_are_not_found(engine: Engine) -> None:
    origin = EmbeddedOrigin(engine)
    with pytest.raises(NotFound):
        await origin.describe(ServiceRef("shop", "nothing"), ANYBODY, NEVER)
    with pytest.raises(NotFound):
        await origin.fetch(Fetch(ServiceRef("shop", "nothing"), (), ANYBODY, NEVER))


async def test_a_row_fetched_now_is_the_row_that_is_fetched(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    origin = EmbeddedOrigin(engine)
    views = frozenset((await origin.describe(SERVICE, ANYBODY, NEVER)).views)
    for user in ("ann", "nobody"):
        keys = {"user": user, "shop": 7}
        [expected] = (await fetch(origin, user=user, shop=7)).rows
        row = origin.fetch_row(SERVICE, keys, views)
        assert row is not None
        assert (row.views, row.partial) == (expected.views, False)
        assert row.slo is not None
        assert expected.slo is not None
        assert row.slo.store_response_size_bytes == expected.slo.store_response_size_bytes
    assert origin.fetch_row(SERVICE, {"user": None, "shop": 7}, views) is None
