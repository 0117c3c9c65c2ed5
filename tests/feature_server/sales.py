"""A repository that each test shapes as it needs: views of one stream of sales, in one feature service that serves them all."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

from gateway.feature_server.definitions import Aggregation, Attribute, FeatureService, FeatureView, Repository, Source, Workspace
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.reads import ReadRow
from gateway.feature_server.timestamps import NS_PER_S, format_timestamp_ns, parse_timestamp
from gateway.features import INT64, STRING, TIMESTAMP, Field, ReadOptions, ServiceRef
from gateway.on_demand import OnDemandView
from tests.feature_server.purchases import read_rows
from tests.harness.clock import PATIENCE_S

NOW_NS = parse_timestamp("2024-05-01T12:30:00Z")
COLUMNS = (Field("at", TIMESTAMP), Field("id", STRING), Field("user", STRING), Field("shop", INT64), Field("amount", INT64))
SALES = Source("sales", COLUMNS, "at", record_key=("id", "user", "shop"))
ALL = ServiceRef("mall", "all")
SUM, COUNT = Aggregation("amount", "sum", 600), Aggregation("amount", "count", 600)
Record = Mapping[str, Any]


class Time:
    """The wall clock, in nanoseconds: it stands still until a test moves it."""

    def __init__(self, at_ns: int = NOW_NS) -> None:
        self.at_ns = at_ns

    def __call__(self) -> int:
        return self.at_ns

    def advance(self, seconds: float) -> None:
        self.at_ns += round(seconds * NS_PER_S)


def view(name: str = "by_user", *aggregations: Aggregation, keys: Sequence[str] = ("user",), **more: Any) -> FeatureView:
    return FeatureView(name, "sales", tuple(keys), aggregations or (SUM, COUNT), **{"interval_s": 60, **more})


def newest(name: str = "last_sale", *columns: str, keys: Sequence[str] = ("user",), **more: Any) -> FeatureView:
    return FeatureView(name, "sales", tuple(keys), attributes=tuple(Attribute(column) for column in columns or ("amount", "id")), **more)


def mall(
    *views: FeatureView,
    source: Source = SALES,
    workspace: str = "mall",
    services: Sequence[FeatureService] = (),
    on_demand: Sequence[OnDemandView] = (),
    context: Sequence[Field] = (),
) -> Repository:
    everything = FeatureService("all", tuple(one.name for one in views))
    served = tuple(services) or ((everything,) if views else ())
    return Repository((Workspace(workspace, (source,), tuple(views), served, tuple(on_demand), tuple(context)),))


def sale(minutes: float = 1, **columns: Any) -> dict[str, Any]:
    """One that was made so many minutes ago."""
    at = format_timestamp_ns(NOW_NS - round(minutes * 60 * NS_PER_S))
    return {"at": at, "id": "s1", "user": "ann", "shop": 1, "amount": 1, **columns}


def body(*records: Record, workspace: str = "mall", source: str = "sales", **more: object) -> bytes:
    return json.dumps({"workspace_name": workspace, "records": {source: [{"record": record} for record in records]}, **more}).encode()


def take_in(engine: Engine, *records: Record, workspace: str = "mall") -> None:
    if records:
        reply = engine.ingest(body(*records, workspace=workspace), max_records=100_000)
        assert reply.status == 200, reply.body


class Unsynced(SqliteStore):
    """Does not wait for the disk: these tests end no process but their own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._writer.execute("PRAGMA synchronous = OFF")


@contextmanager
def opened(path: Path, repository: Repository, time: Time | None = None, store: SqliteStore | None = None, **more: Any) -> Iterator[Engine]:
    """An engine on the store at `path`. It is closed with what it was opened with where it cannot be opened."""
    held = store or Unsynced(path)
    try:
        engine = Engine.open(repository, held, time or Time(), **more)
    except BaseException:
        held.close()
        raise
    try:
        yield engine
    finally:
        engine.close()


def values(engine: Engine, name: str = "by_user", service: ServiceRef = ALL, at_ns: int | None = None, **keys: Any) -> dict[str, Any]:
    """One view's values by feature name without its prefix, for ann in shop 1 where nothing else is said."""
    options = ReadOptions(high_watermark_override=format_timestamp_ns(NOW_NS if at_ns is None else at_ns))
    [row] = read_rows(engine, service, [ReadRow({"user": "ann", "shop": 1, **keys}, frozenset({name}))], options)
    [found] = row.views
    return {feature.partition(".")[2]: value for feature, value in zip(found.served.layout.names, found.values, strict=True)}


def everything(
    engine: Engine, instants: Sequence[int] = (NOW_NS,), users: Sequence[str] = ("ann", "bob"), shops: Sequence[int] = (1, 2)
) -> list[Any]:
    """All values of all views of `all`, for all of these: what two engines that hold the same must agree on."""
    rows = [ReadRow({"user": user, "shop": shop}, frozenset(one.name for one in engine.catalog.views)) for user in users for shop in shops]
    return [
        (at_ns, dict(row.join_keys), view.served.name, dict(zip(view.served.layout.names, view.values, strict=True)))
        for at_ns in instants
        for row, found in zip(
            rows, read_rows(engine, ALL, rows, ReadOptions(high_watermark_override=format_timestamp_ns(at_ns))), strict=True
        )
        for view in found.views
    ]


class OneByOne(Unsynced):
    """Scans one join key at a time, so that what is done by join keys takes many steps."""

    def scan(self, view: int, limit: int) -> Iterator[list[bytes]]:
        assert limit > 0
        return super().scan(view, 1)


def stepwise(engine: Engine, repository: Repository, **more: Any) -> Iterator[tuple[str, int]]:
    """Adopt these definitions and wait after each step, with the writer's thread standing still until the next is asked for. Requests that
    are begun meanwhile are committed before the next step."""
    arrivals: SimpleQueue[tuple[str, int] | None] = SimpleQueue()
    onwards = Semaphore(0)

    def pause(view: str, done: int) -> None:
        arrivals.put((view, done))
        assert onwards.acquire(timeout=PATIENCE_S), "nobody asked for the next step"

    adoption: Future[None] = engine.adopt(repository, progress=pause, **more)
    adoption.add_done_callback(lambda _: arrivals.put(None))
    try:
        while (step := arrivals.get(timeout=PATIENCE_S)) is not None:
            yield step
            onwards.release()
    finally:
        onwards.release(1_000)
    adoption.result()
