"""Gateways that share a cache in one Valkey, in front of one scripted cluster: each on a socket of its own, with a clock of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from zlib import crc32

from gateway.cache.shared.layout import Keys
from tests.harness.clock import PATIENCE_S, wait_until
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import KEYS, OPERATOR, House, cluster_settings, open_house
from tests.harness.valkey import Valkey
from tests.serving.payments import CONTEXT, FRAUD, VIEW_KEYS, payment

BATCH = f"{FRAUD}/features:batch"
CACHE = {"ttl_s": 60, "negative_ttl_s": 60, "stale_if_error_s": 0, "early_refresh": 0, "jitter": 0}
VIEWS = ("basket", "merchant", "types", "user")
"""What a read of FRAUD is made of. `basket`, of which nothing is known, depends on the whole request."""
PATIENT = {"deadline_ms": 1_000, "timeout_s": 5}
"""Of a shared cache that is well: what takes longer is a test that found something."""
_DIGITS = 16


def keys_of(user: str) -> dict[str, Any]:
    """A user, and a merchant that nobody else goes to."""
    return {"user_id": user, "merchant_id": crc32(user.encode())}


def asked_for(user: str, **more: Any) -> dict[str, Any]:
    return payment(joinKeys=keys_of(user), **more)


def shared_settings(url: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "prefix": prefix, **PATIENT} | more


def settings(
    cluster: Cluster, shared: dict[str, Any], *, passthrough: bool = False, cache: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A gateway that judges callers by keys of its own; `passthrough`: one that lets the cluster judge."""
    tree = cluster_settings(cluster.url, cache={**CACHE, **(cache or {}), "shared": shared}, **{"views": VIEW_KEYS, **more})
    if not passthrough:
        tree["origin"]["api_key"] = ALICE
        tree["auth"] = {"keys": KEYS}
    return tree


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster, one shared cache, and a prefix that no other test uses."""

    cluster: Cluster
    valkey: Valkey
    prefix: str

    def tree(self, *, passthrough: bool = False, shared: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        chosen = shared_settings(self.valkey.url, self.prefix) | (shared or {})
        return settings(self.cluster, chosen, passthrough=passthrough, **more)

    @contextmanager
    def house(self, **more: Any) -> Iterator[House]:
        passthrough = bool(more.get("passthrough"))
        with open_house(self.tree(**more), ALICE if passthrough else OPERATOR) as house:
            yield house

    @contextmanager
    def houses(self, count: int = 2, **more: Any) -> Iterator[list[House]]:
        with ExitStack() as open_:
            houses = [open_.enter_context(self.house(**more)) for _ in range(count)]
            yield houses
            for house in houses:  # all at once, instead of each waiting for its own end
                house.client.close()
                house.stop()

    def bases(self) -> list[bytes]:
        """The keys of fragments in the shared cache."""
        own = Keys(self.prefix)
        return [key for key in self.valkey.ask("KEYS", f"{self.prefix}:*") if key not in {own.generations, own.channel}]

    def entries(self) -> list[tuple[bytes, bytes, bytes]]:
        """Key, field and value of each fragment there."""
        found = []
        for key in self.bases():
            words = self.valkey.ask("HGETALL", key)
            pairs = words.items() if isinstance(words, dict) else zip(words[::2], words[1::2], strict=True)
            found += [(key, field, value) for field, value in pairs if field != b"t"]
        return found

    def settle(self, count: int) -> None:
        """Until so many fragments are there: they are shared in the background."""
        wait_until(lambda: len(self.entries()) >= count, f"{count} shared fragments")

    def age(self, seconds: float, *houses: House) -> None:
        """Let so much time pass in the shared cache and in these houses."""
        for key, field, value in self.entries():
            asked_ms = int(value[:_DIGITS]) - round(seconds * 1_000)
            self.valkey.ask("HSET", key, field, b"%0*d" % (_DIGITS, asked_ms) + value[_DIGITS:])
        for house in houses:
            house.clock.advance(seconds)

    def fetches(self) -> int:
        """How often the cluster was asked for features."""
        return len(self.cluster.asked()) + len(self.cluster.asked("get-features-batch"))


def counted(house: House, name: str) -> int:
    """A counter of this house, as /metrics has it."""
    text = house.client.get("/metrics").text
    [line] = [line for line in text.splitlines() if line.startswith(f"feature_gateway_{name}_total ")]
    return int(float(line.rpartition(" ")[2]))


def flown(house: House) -> bool:
    """Whether nothing is being fetched."""
    return "feature_gateway_flights 0\n" in house.client.get("/metrics").text


def rows_of(house: House, *users: str, **more: Any) -> list[dict[str, Any]]:
    """A batch's rows, one for each user."""
    rows = [{"joinKeys": keys_of(user), "requestContext": CONTEXT} for user in users]
    reply = house.client.post(BATCH, json={"rows": rows, "include": ["source"], **more})
    assert reply.status_code == 200, reply.text
    answered: list[dict[str, Any]] = reply.json()["rows"]
    return answered


def views_of(answer: dict[str, Any], source: str) -> set[str]:
    """The views that came from there."""
    return {name.partition(".")[0] for name, one in answer["source"].items() if one == source}


class Wire:
    """A way to a server on this machine that a test cuts and mends: while it is cut, connections are closed, and so is each new one."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self._whole = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._carry, "127.0.0.1", 0), self._loop).result(PATIENCE_S)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def cut(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(PATIENCE_S)

    def mend(self) -> None:
        self._whole = True

    async def _cut(self) -> None:
        self._whole = False
        for writer in self._open:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, inner_writer}
        self._open |= ends
        await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))
        self._open -= ends


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    writer.transport.abort()
