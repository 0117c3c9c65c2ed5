"""A shop whose `overspend` view is what a test makes of it, behind a gateway on a socket."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.app import Seams, create_app
from gateway.feature_server.definitions import Repository
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.on_demand import Function
from gateway.settings import checked
from tests.feature_server.purchases import NOW_NS, OVERSPEND, REPOSITORY, ingest
from tests.harness.clock import PATIENCE_S, Clock
from tests.harness.houses import KEYS as GATEWAY_KEYS
from tests.harness.houses import READER, House, authorization
from tests.harness.origins import CountingOrigin
from tests.harness.serving import serve

SHOP = "/v1/workspaces/shop/feature-services"
READ, BATCH, VISITS = f"{SHOP}/checkout/features", f"{SHOP}/checkout/features:batch", f"{SHOP}/visits:v1/features"
KEYS = {"user": "ann", "shop": 7}
VIEW = "overspend"
OVER = f"{VIEW}.over"
USUAL = 2.5
"""What ann spends, as `by_user` has it."""
LONG_S = 3 * PATIENCE_S
"""A limit that no test reaches."""

Inputs = Mapping[str, Mapping[str, Any]]


class Held:
    """A place in a function that a test lets go on: `reach` on any thread."""

    def __init__(self) -> None:
        self._arrivals = threading.Semaphore(0)
        self._released = threading.Event()

    def reach(self) -> None:
        self._arrivals.release()
        assert self._released.wait(PATIENCE_S), "nobody let it go on"

    def wait_reached(self, times: int = 1) -> None:
        for _ in range(times):
            assert self._arrivals.acquire(timeout=PATIENCE_S), "nobody came"

    def release(self) -> None:
        self._released.set()


class Overspend:
    """The view's function. An amount of `STUCK` waits at `held`; one of `BROKEN` raises. `threads`: where each call ran."""

    STUCK, BROKEN = 13.0, 77_777.0

    def __init__(self) -> None:
        self.held = Held()
        self.threads: list[threading.Thread] = []

    def __call__(self, context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
        self.threads.append(threading.current_thread())
        amount = context["amount"]
        if amount == self.STUCK:
            self.held.reach()
        if amount == self.BROKEN:
            raise LookupError(f"nothing for {amount} of {inputs}")
        return {"over": amount - inputs["by_user"]["amount_mean_10m_1m"]}


def repository(function: Function, limit_s: float | None) -> Repository:
    [shop] = REPOSITORY.workspaces
    return Repository((replace(shop, on_demand=(replace(OVERSPEND, function=function, time_limit_s=limit_s),)),))


@contextmanager
def shop(folder: Path, function: Function, limit_s: float | None = LONG_S, **tree: Any) -> Iterator[House]:
    """The shop's gateway, with one purchase of ann's in its store. `tree`: more settings."""
    clock, exporter = Clock(), InMemorySpanExporter()
    engine = Engine.open(repository(function, limit_s), SqliteStore(folder / "shop.db"), lambda: NOW_NS)
    ingest(engine, "purchases", {"at": "2024-05-01T11:58:00Z", "order": "o1", "user": "ann", "shop": 7, "amount": USUAL})
    origin = CountingOrigin(EmbeddedOrigin(engine))
    settings = checked({"auth": {"keys": GATEWAY_KEYS}, "telemetry": {"sample_ratio": 1.0}, **tree})
    app = create_app(settings, Seams(clock, origin, SimpleSpanProcessor(exporter), {}))
    with (
        serve(app) as running,
        httpx.Client(base_url=running.url, headers=authorization(READER), timeout=30.0) as client,
    ):
        yield House(running.url, client, clock, exporter, origin, app, running.stop)


def row(amount: float, **keys: Any) -> dict[str, Any]:
    return {"joinKeys": KEYS | keys, "requestContext": {"amount": amount}}


def asked(amount: float = 10.0, **more: Any) -> dict[str, Any]:
    return row(amount) | {"include": ["source", "status"]} | more


def tecton(*amounts: float, **more: Any) -> dict[str, Any]:
    """The body of V1's get-features for one amount, of get-features-batch for more."""
    params: dict[str, Any] = {"workspaceName": "shop", "featureServiceName": "checkout", **more}
    rows = [{"joinKeyMap": KEYS, "requestContextMap": {"amount": amount}} for amount in amounts]
    return {"params": params | (rows[0] if len(rows) == 1 else {"requestData": rows})}
