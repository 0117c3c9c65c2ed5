"""The gateway's read path in front of the cache machine's origin, on one event loop whose time passes when it is told to."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from math import inf
from typing import Any

from gateway.access.gates import Gate, Open, Passthrough
from gateway.access.grants import Grants
from gateway.cache.policy import Terms
from gateway.counters import Counters
from gateway.errors import GatewayError
from gateway.features import ServiceRef
from gateway.furnishing import furnish
from gateway.lifecycle import Lifecycle
from gateway.serving.reader import Call
from gateway.serving.workers import Workers
from gateway.settings import Freshness, Settings, checked
from gateway.tasks import Tasks
from gateway.telemetry import Sampling, Telemetry
from gateway.web.problems import status_of
from gateway.wire.purges import service_purge, whole_purge, workspace_purge
from tests.serving.cache_judge import Judge
from tests.serving.cache_origin import Flavour, ModelOrigin
from tests.serving.cache_replies import Read
from tests.serving.cache_rights import PurgeLog, Rights, Rules
from tests.serving.cache_world import AS_OF, World

GRANT_LIFE_S = 8.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop on the world's time."""

    def __init__(self, world: World) -> None:
        self.world = world
        super().__init__()

    def time(self) -> float:
        return self.world.now_s

    def next_timer_s(self) -> float:
        """When the next timer is due."""
        return float(self._scheduled[0].when()) if self._scheduled else inf  # type: ignore[attr-defined]

    async def settle(self) -> None:
        """Until nothing is left to do but wait."""
        while True:
            await asyncio.sleep(0)
            if not self._ready:  # type: ignore[attr-defined]
                return


class CacheHouse:
    """`pending`: reads and whatever else is under way, which end in their own time."""

    def __init__(self, flavour: Flavour, tree: Mapping[str, Any]) -> None:
        settings = checked({"auth": {"mode": "open"}, "feature_server": {"as_of": AS_OF}, **tree})
        self.world = World(flavour.single_views)
        self.origin = ModelOrigin(self.world, flavour)
        self.loop = Loop(self.world)
        self._tasks, self._workers = Tasks(), Workers(1)
        self._gate: Gate = Passthrough(Grants(GRANT_LIFE_S)) if flavour.judges else Open()
        telemetry = Telemetry(None, Sampling(0.0), lambda _workspace, _service: 1.0, status_of)
        self._furnished = furnish(
            settings, self.origin, self._gate, telemetry, self._tasks, self._workers, lambda: self.world.now_s, Counters(), Lifecycle()
        )
        self.house = self._furnished.house
        self.judge = Judge(Rights(self.world, self.origin, _rules(settings, self.world, judges=flavour.judges)))
        self.pending: dict[asyncio.Task[None], Read | None] = {}

    def read(self, read: Read, body: Mapping[str, Any]) -> None:
        """Begin a read; what comes of it is judged once it ends."""
        authorization = f"Tecton-key {read.caller}".encode()
        read.key = self._gate.identify(authorization).key
        others = [one for one in self.pending.values() if one is not None]
        read.alone = not others
        for one in others:
            one.alone = False
        path = None if read.tecton else read.service.ref
        call = Call(getattr(self.house.doors, read.door), "/", json.dumps(body).encode(), path, authorization)
        self.judge.rights.reads.append(read)
        self._start(self._serve(read, call), read)

    async def _serve(self, read: Read, call: Call) -> None:
        """As `web.endpoints.ReadFeatures` does."""
        read.begin_seq, read.begin_s = self.world.next(), self.world.now_s
        try:
            read.body = self.house.reader.hit(call)
            if read.body is None:
                read.body, read.stale = await self.house.reader.read(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
            read.error = error
        finally:
            read.end_seq, read.end_s = self.world.next(), self.world.now_s

    def purge(self, purge: PurgeLog, service: ServiceRef | None, caller: str, body: Mapping[str, Any]) -> None:
        """Of a feature service; without one, of `purge.workspace`; without that, of all."""
        desk, authorization, spelled = self.house.desk, f"Tecton-key {caller}".encode(), json.dumps(body).encode()

        async def run() -> None:
            purge.begin_seq = self.world.next()
            self.judge.rights.purges.append(purge)
            if service is not None:
                await desk.purge_service(service, spelled, service_purge, authorization)
            else:
                await desk.purge(purge.workspace, spelled, workspace_purge if purge.workspace else whole_purge, authorization)
            purge.done_seq, purge.done_s = self.world.next(), self.world.now_s

        self._start(_whatever(run()))

    def ingest(self, caller: str, body: Mapping[str, Any]) -> None:
        async def run() -> None:
            known = len(self.origin.ingests)
            reply = await self.house.desk.ingest(json.dumps(body).encode(), f"Tecton-key {caller}".encode())
            if reply.status == 200:
                self.origin.ingests[known].acked_seq = self.world.next()

        self._start(_whatever(run()))

    def forget(self) -> None:
        """What an origin that tells of new definitions calls."""

        async def run() -> None:
            self._furnished.forget()

        self.loop.run_until_complete(run())

    def leave(self, number: int) -> None:
        """A client goes away."""
        readers = [task for task, read in self.pending.items() if read is not None]
        if readers:
            task = readers[number % len(readers)]
            read = self.pending.pop(task)
            task.cancel()
            if read is not None:
                self.judge.rights.reads.remove(read)

    def settle(self) -> None:
        """Let everything happen that can without time passing, and judge what has ended."""
        self.loop.run_until_complete(self.loop.settle())
        for task in [task for task in self.pending if task.done()]:
            read = self.pending.pop(task)
            task.result()
            if read is not None:
                self.judge.judge(read)

    def advance(self, seconds: float) -> None:
        """Time passes; every timer goes off at its own time."""
        until_s = self.world.now_s + seconds
        while (due_s := self.loop.next_timer_s()) <= until_s:
            self.world.now_s = max(self.world.now_s, due_s)
            self.settle()
            if self.loop.next_timer_s() <= due_s:  # cancelled, and not taken out yet
                break
        self.world.now_s = until_s
        self.settle()

    def close(self) -> None:
        """All that is under way must end, and is judged."""
        self.origin.holds.clear()
        for held in list(self.origin.held):
            held.go.set()
        try:
            self.settle()
            self.advance(self.judge.rights.rules.patience_s + 1.0)
            assert not self.pending, f"never ended: {list(self.pending.values())}"
        finally:
            self.loop.run_until_complete(self._closed())
            self.loop.close()

    async def _closed(self) -> None:
        await self._tasks.aclose()
        await self._furnished.aclose()
        self._workers.close()

    def _start(self, work: Coroutine[Any, Any, None], read: Read | None = None) -> None:
        self.pending[self.loop.create_task(work)] = read


async def _whatever(work: Awaitable[None]) -> None:
    """A purge or ingest may fail: then it promised nothing."""
    with suppress(GatewayError):
        await work


def _rules(settings: Settings, world: World, *, judges: bool) -> Rules:
    """The settings once more, read by the README's words: where a view and a feature service both say how long, the shorter counts."""
    cache = settings.cache
    names: Mapping[str, Callable[[Freshness], float | None]] = {
        "ttl_s": lambda said: said.ttl_s,
        "negative_ttl_s": lambda said: said.negative_ttl_s,
        "max_age_s": lambda said: said.max_age_s,
        "revalidate_s": lambda said: said.stale_while_revalidate_s,
        "error_s": lambda said: said.stale_if_error_s,
    }
    general = Freshness.model_validate({name: getattr(cache, name) for name in Freshness.model_fields})
    terms = {}
    for ref, service in world.services.items():
        for view, _ in service.views:
            said = [settings.services.get(str(ref), Freshness()), settings.views.get(view.name, Freshness())]
            chosen = {}
            for name, of in names.items():
                told = [value for one in said if (value := of(one)) is not None]
                otherwise = of(general)
                chosen[name] = min(told, default=inf if otherwise is None else otherwise)
            chosen["negative_ttl_s"] = min(chosen["negative_ttl_s"], chosen["ttl_s"])
            terms[ref, view.name] = Terms(**chosen)
    defaults = {name: view.defaults for name, view in settings.views.items() if view.defaults is not None}
    return Rules(terms, defaults, cache.jitter > 0, GRANT_LIFE_S if judges else None, settings.deadlines.read_s)
