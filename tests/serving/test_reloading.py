"""New definitions under a running gateway: nobody notices but by their effect, and nothing of the old ones is served after the change."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import Gateway, Seams, create_app, open_origin
from gateway.applying import Applied, apply
from gateway.feature_server.online.base import StoreMismatch
from gateway.feature_server.registry import Registry
from gateway.features import Caller, ServiceRef
from gateway.origins.base import Description, Fetch, Fetched
from gateway.settings import Settings, checked
from tests.harness.clock import Clock, Hold
from tests.harness.houses import KEYS, READER, authorization
from tests.harness.origins import CountingOrigin
from tests.harness.repositories import AS_OF, SERVICE, write_repository
from tests.harness.serving import serve

ALL = {"reader": {**KEYS["reader"], "ingest": True}}


class HeldAnswers(CountingOrigin):
    """Answers that are there already, and are held on their way."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(open_origin(settings))
        self.answers: Hold | None = None
        self.described: Hold | None = None

    async def fetch(self, fetch: Fetch) -> Fetched:
        fetched = await super().fetch(fetch)
        if self.answers is not None:
            await self.answers.reach()
        return fetched

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        description = await super().describe(service, caller, deadline)
        if self.described is not None:
            await self.described.reach()
        return description


@dataclass(frozen=True, slots=True)
class Shop:
    url: str
    settings: Settings
    folder: Path
    origin: HeldAnswers
    app: Gateway

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=authorization(READER), timeout=30.0)

    def apply(self, **definitions: str) -> Applied:
        return apply(self.settings, write_repository(self.folder, **definitions), (), lambda _view, _done: None)


@contextmanager
def open_shop(folder: Path) -> Iterator[Shop]:
    settings = checked(
        {"auth": {"keys": ALL}, "feature_server": {"data_dir": folder / "data", "as_of": AS_OF}, "deadlines": {"read_s": 20}}
    )
    apply(settings, write_repository(folder / "definitions"), (), lambda _view, _done: None)
    origin = HeldAnswers(settings)
    app = create_app(settings, Seams(Clock(), origin, environment={}))
    with serve(app) as running:
        yield Shop(running.url, settings, folder / "definitions", origin, app)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as shop:
        yield shop


def order(number: int, user: str, at: str = "2024-05-01T11:30:00Z", amount: float = 1.0) -> dict[str, Any]:
    return {"record": {"at": at, "order": f"{user}-{number}", "user_id": user, "amount": amount}}


def ingest(client: httpx.Client, *records: dict[str, Any]) -> httpx.Response:
    return client.post("/ingest", json={"workspace_name": "shop", "records": {"orders": list(records)}})


def read(client: httpx.Client, user: str, **more: Any) -> dict[str, Any]:
    reply = client.post(f"{SERVICE}/features", json={"joinKeys": {"user_id": user}, **more})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def anns_orders(client: httpx.Client) -> None:
    """Three of this hour, and another before it."""
    records = [order(number, "ann") for number in range(3)]
    assert ingest(client, *records, order(3, "ann", "2024-05-01T08:00:00Z", 7.0)).status_code == 200


def total(client: httpx.Client, **more: Any) -> tuple[float, str]:
    answer = read(client, "ann", include=["source"], **more)
    return answer["features"]["by_user.total"], answer["source"]["by_user.total"]


def test_what_was_fetched_before_the_change_is_never_served_after_it(shop: Shop) -> None:
    with shop.client() as client, shop.client() as late, ThreadPoolExecutor(1) as pool:
        anns_orders(client)
        shop.origin.answers = hold = Hold()
        before = pool.submit(total, late)
        hold.wait_reached()
        shop.origin.answers = None
        assert shop.apply(total="1d") == Applied(2, changed=True, by_server=True)
        assert total(client) == (10.0, "origin")  # not from the flight that is still in the air
        hold.release()
        assert before.result() == (3.0, "origin")
        assert total(client) == (10.0, "cache")


def test_what_is_cached_goes_with_the_definitions_it_was_made_by(shop: Shop) -> None:
    with shop.client() as client:
        anns_orders(client)
        assert [total(client), total(client)] == [(3.0, "origin"), (3.0, "cache")]
        shop.apply(total="1d")
        assert [total(client), total(client)] == [(10.0, "origin"), (10.0, "cache")]


def test_a_schema_that_was_on_its_way_at_the_change_is_asked_for_again(shop: Shop) -> None:
    with shop.client() as client, shop.client() as late, ThreadPoolExecutor(1) as pool:
        anns_orders(client)
        shop.origin.described = hold = Hold()
        answer = pool.submit(read, late, "ann")
        hold.wait_reached()
        shop.origin.described = None
        shop.apply(tag="second")
        hold.release()
        assert answer.result()["features"]["edition.tag"] == "second"
        assert read(client, "ann")["features"]["edition.tag"] == "second"
        assert len(shop.origin.descriptions) == 2


def test_on_demand_functions_are_those_of_the_new_module(shop: Shop) -> None:
    with shop.client() as client:
        anns_orders(client)
        assert read(client, "ann")["features"]["edition.tag"] == "first"
        shop.apply(tag="second")
        assert read(client, "ann")["features"]["edition.tag"] == "second"


EDITIONS = (
    {"by_user.order_count_1h_10m": 3, "by_user.total": 3.0, "edition.tag": "first"},
    {"by_user.order_count_1h_10m": 3, "by_user.order_count_1d_10m": 4, "by_user.total": 3.0, "edition.tag": "second"},
    {"by_user.order_count_1h_5m": 3, "by_user.order_count_1d_5m": 4, "by_user.total": 3.0, "edition.tag": "third"},
)


def keep_reading(shop: Shop, over: threading.Event, **more: Any) -> list[int]:
    """Which edition each answer was of; an answer that is of none fails."""
    seen = []
    with shop.client() as client:
        while not over.is_set():
            answer = read(client, "ann", **more)["features"]
            assert answer in EDITIONS
            seen.append(EDITIONS.index(answer))
    return seen


def keep_reading_batches(shop: Shop, over: threading.Event) -> list[int]:
    """Rows that span slices of the store's snapshots: each row of one edition, all of a batch of the same."""
    seen = []
    with shop.client() as client:
        rows = [{"joinKeys": {"user_id": f"nobody-{number}"}} for number in range(49)]
        while not over.is_set():
            reply = client.post(f"{SERVICE}/features:batch", json={"rows": [*rows, {"joinKeys": {"user_id": "ann"}}], "maxAgeMs": 0})
            assert reply.status_code == 200
            *others, anns = [row["features"] for row in reply.json()["rows"]]
            assert anns in EDITIONS
            assert {tuple(row) for row in others} == {tuple(anns)}
            seen.append(EDITIONS.index(anns))
    return seen


def keep_ingesting(shop: Shop, over: threading.Event, user: str) -> list[int]:
    """How many were acknowledged."""
    acknowledged = 0
    with shop.client() as client:
        while not over.is_set():
            reply = ingest(client, order(acknowledged, user))
            assert reply.status_code == 200, reply.text
            acknowledged += 1
    return [acknowledged]


def test_no_request_fails_and_no_record_is_lost_across_reloads(shop: Shop) -> None:
    over = threading.Event()
    with shop.client() as client, ThreadPoolExecutor(6) as pool:
        anns_orders(client)
        ingest(client, *[order(number, f"user-{number}") for number in range(10)])
        work: list[Callable[[], list[int]]] = [
            lambda: keep_reading(shop, over),
            lambda: keep_reading(shop, over, maxAgeMs=0),
            lambda: keep_reading_batches(shop, over),
            lambda: keep_ingesting(shop, over, "bob"),
            lambda: keep_ingesting(shop, over, "cid"),
        ]
        running = [pool.submit(one) for one in work]
        try:
            shop.apply(tag="second", windows="1h, 1d")
            with pytest.raises(StoreMismatch, match="its column amount is float64, not int64"):
                shop.apply(tag="refused", windows="1h, 1d", interval="5m", amount="int64")
            assert Registry(shop.settings.feature_server.data_dir).current() is not None
            applied = shop.apply(tag="third", windows="1h, 1d", interval="5m")
            assert applied == Applied(3, changed=True, by_server=True)
            assert read(client, "ann")["features"] == EDITIONS[2]
        finally:
            over.set()
        hits, misses, batches, [bobs], [cids] = [one.result() for one in running]
        for seen in (hits, misses, batches):
            assert seen == sorted(seen)
            assert set(seen) >= {0, 1}
        assert bobs
        for user, acknowledged in (("bob", bobs), ("cid", cids)):
            assert read(client, user, maxAgeMs=0)["features"]["by_user.order_count_1d_5m"] == acknowledged


def test_a_server_started_again_serves_the_version_in_force(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop, shop.client() as client:
        anns_orders(client)
        shop.apply(tag="second", windows="1h, 1d")
    origin = HeldAnswers(shop.settings)
    with (
        serve(create_app(shop.settings, Seams(Clock(), origin, environment={}))) as running,
        httpx.Client(base_url=running.url, headers=authorization(READER)) as client,
    ):
        assert read(client, "ann")["features"] == EDITIONS[1]
