"""The two ways in which the oracle asks the feature server: the engine itself, and Tecton's door over HTTP through a real uvicorn."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import anyio
import httpx

from gateway.app import create_app
from gateway.embedded import ONLINE_STORE
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.reads import ReadRow
from gateway.feature_server.timestamps import format_timestamp_ns, parse_timestamp
from gateway.features import ReadOptions, ServiceRef
from gateway.hosting.server import Server, configured
from gateway.settings import checked
from loadtests.oracle_definitions import AS_OF, REPOSITORY, WORKSPACE
from loadtests.oracle_sql import NS_PER_S, Read

_LATEST = "AGGREGATION_MODE_LATEST_EVENT_TIME"


@dataclass(frozen=True, slots=True)
class Answer:
    """Values and statuses in served order, the effective time that all of them have, and how long that took."""

    names: Sequence[str]
    values: Sequence[Any]
    statuses: Sequence[str]
    effective_times: Sequence[str | None]
    elapsed_s: float


class Asker(Protocol):
    def ask(self, read: Read) -> Answer: ...


def spell_instant(at_ns: int) -> str:
    """RFC 3339 with nanoseconds."""
    seconds, fraction = divmod(at_ns, NS_PER_S)
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def open_engine(data_dir: Path) -> Engine:
    return Engine.open(REPOSITORY, SqliteStore(data_dir / ONLINE_STORE), time.time_ns, parse_timestamp(AS_OF))


class EngineAsker:
    """An `Asker` without any wire."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, read: Read) -> Answer:
        return anyio.run(self._ask, read)

    async def _ask(self, read: Read) -> Answer:
        row = ReadRow(dict(zip(read.view.join_keys, read.key, strict=True)), frozenset({read.view.name}))
        options = ReadOptions(
            aggregation_leading_edge=_LATEST if read.at_ns is None else None,
            high_watermark_override=None if read.at_ns is None else spell_instant(read.at_ns),
            coerce_null_counts_to_zero=read.zero_counts,
        )
        started_s = time.perf_counter()
        [answer] = await self._engine.read(ServiceRef(WORKSPACE, read.view.name), [row], options)
        elapsed_s = time.perf_counter() - started_s
        [view] = answer.views
        names = [feature.name for feature in view.served.layout.features]
        newest = None if view.newest_ns is None else format_timestamp_ns(view.newest_ns)
        return Answer(names, view.values, [str(status) for status in view.statuses], [newest] * len(names), elapsed_s)


class DoorAsker:
    """An `Asker` that speaks Tecton's HTTP API: what it gives has been JSON."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, read: Read) -> Answer:
        keys = {name: str(value) if isinstance(value, int) else value for name, value in zip(read.view.join_keys, read.key, strict=True)}
        options: dict[str, Any] = {"coerceNullCountsToZero": read.zero_counts}
        options |= {"aggregationLeadingEdge": _LATEST} if read.at_ns is None else {"highWatermarkOverride": spell_instant(read.at_ns)}
        shown = ("includeNames", "includeDataTypes", "includeServingStatus", "includeEffectiveTimes")
        body = {
            "workspaceName": WORKSPACE,
            "featureServiceName": read.view.name,
            "joinKeyMap": keys,
            "requestOptions": options,
            "metadataOptions": dict.fromkeys(shown, True),
        }
        started_s = time.perf_counter()
        reply = self._client.post("/api/v1/feature-service/get-features", json={"params": body})
        elapsed_s = time.perf_counter() - started_s
        document = reply.raise_for_status().json()
        told = document["metadata"]["features"]
        values = [_typed(value, one["dataType"]) for value, one in zip(document["result"]["features"], told, strict=True)]
        return Answer(
            [one["name"] for one in told], values, [one["status"] for one in told], [one.get("effectiveTime") for one in told], elapsed_s
        )


def _typed(value: Any, dtype: dict[str, Any]) -> Any:
    """int64 travels as decimal text; anything else in its place is left to be found wrong."""
    if isinstance(value, list):
        return [_typed(one, dtype["elementType"]) for one in value]
    if dtype["type"] == "int64" and isinstance(value, str):
        return int(value)
    return value


@contextmanager
def open_door(data_dir: Path) -> Iterator[DoorAsker]:
    """The gateway on the same store, as `feature-gateway serve` runs it."""
    settings = checked(
        {
            "auth": {"mode": "open"},
            "feature_server": {"data_dir": data_dir, "as_of": AS_OF, "definitions": "loadtests.oracle_definitions:REPOSITORY"},
        }
    )
    app = create_app(settings)
    server = Server(configured(app, log_config=None), app.lifecycle, drain_s=0, grace_s=30)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="gateway")
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30.0, trust_env=False) as client:
            yield DoorAsker(client)
    finally:
        server.leave()
        thread.join()
        listener.close()
