"""What nobody waits for any longer ends by itself, and takes nothing along."""

import asyncio

import pytest

from gateway.errors import OriginFailed
from gateway.features import Caller, ServiceRef
from gateway.origins.base import Fetch, FetchRow
from gateway.origins.guard.uncancelled import Uncancelled
from gateway.origins.http.connector import Connector
from gateway.origins.http.pool import Limits
from gateway.origins.tecton import TectonOrigin
from gateway.tasks import Tasks
from tests.harness.cluster import ALICE as KEY
from tests.harness.cluster import Cluster
from tests.origins.guard.scripted import ALICE, SERVICE, Scripted, a_fetch

pytestmark = pytest.mark.anyio


async def test_a_call_that_is_given_up_goes_on_to_its_end() -> None:
    gate, tasks = asyncio.Event(), Tasks()
    inner = Scripted(gate)
    call = tasks.start(Uncancelled(inner).fetch(a_fetch()))
    await inner.reached(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (inner.under_way, inner.cancelled) == (1, 0)
    gate.set()
    await asyncio.sleep(0.001)
    assert (inner.under_way, inner.cancelled) == (0, 0)


async def test_answers_and_errors_are_the_origins_own() -> None:
    inner, told = Scripted(), list[str]()
    origin, deadline_s = Uncancelled(inner), asyncio.get_running_loop().time() + 60
    await origin.fetch(a_fetch())
    await origin.query(a_fetch())
    assert (await origin.describe(SERVICE, ALICE, deadline_s)).service == SERVICE
    assert await origin.ingest(b"{}", ALICE, deadline_s) is inner.reply
    inner.always = OriginFailed("500")
    with pytest.raises(OriginFailed):
        await origin.fetch(a_fetch())
    assert (origin.batch_limit(SERVICE), origin.rows_at_once(SERVICE), origin.single_views) == (10, 7, True)
    await origin.ready()
    await origin.follow(lambda: told.append("changed"))
    await origin.aclose()
    assert (told, inner.closed) == (["changed"], True)


async def test_closing_leaves_nothing_under_way() -> None:
    inner, tasks = Scripted(asyncio.Event()), Tasks()
    origin = Uncancelled(inner)
    call = tasks.start(origin.fetch(a_fetch()))
    await inner.reached(1)
    await origin.aclose()
    assert (inner.under_way, inner.closed) == (0, True)
    assert call.cancelled() or await asyncio.wait({call})


async def test_the_connections_of_the_stock_pool_outlive_those_who_give_up(cluster: Cluster) -> None:
    channel = Connector("httpx", Limits(4)).channel(cluster.url)
    origin, tasks = Uncancelled(TectonOrigin(channel)), Tasks()
    row = FetchRow({"user_id": "ann", "merchant_id": 7}, {}, frozenset())

    def fetch() -> Fetch:
        deadline_s = asyncio.get_running_loop().time() + 20
        return Fetch(ServiceRef("prod", "lite"), (row,), Caller(b"alice", f"Tecton-key {KEY}"), deadline_s)

    for number in range(400):
        call = tasks.start(origin.fetch(fetch()))
        await asyncio.sleep(number % 8 / 2_000)
        call.cancel()
    for _ in range(20):
        assert len((await origin.fetch(fetch())).rows) == 1
    await origin.aclose()
