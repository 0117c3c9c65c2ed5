"""The bad day, whole: a gateway in a process of its own, attackers of every kind beside good load, and what they cost it."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.embedded import ONLINE_STORE
from loadtests.hostile import flood, good_load, never_read, noise, slow_body, slow_header
from tests.doors.flights import tecton
from tests.harness.clock import wait_until
from tests.harness.houses import READER
from tests.harness.processes import Command, plain_environment
from tests.web.edge.corpus import REFUSED, TAKEN, head
from tests.web.edge.test_connection import V1, request

LIMIT_S = 3
GIB, MIB = 2**30, 2**20
RSS_RISE_BYTES = 32 * MIB
NOISE = 10_000


class Gateway:
    """The demo, in a process."""

    def __init__(self, command: Command) -> None:
        parts = urlsplit(command.url)
        self.command, self.address = command, (parts.hostname or "", parts.port or 0)
        self.key = command.told(r"API key: (fgk_\S+)")[1]
        self.hit = request(V1, tecton(), f"Authorization: Tecton-key {self.key}")
        self.client = httpx.Client(base_url=command.url, headers={"Authorization": f"Tecton-key {self.key}"}, timeout=30)

    def rss_bytes(self) -> int:
        """proc(5), /proc/pid/statm, field 2."""
        return int(Path(f"/proc/{self.command.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def sockets(self) -> int:
        links = (str(one.readlink()) for one in Path(f"/proc/{self.command.pid}/fd").iterdir() if one.is_symlink())
        return sum(link.startswith("socket:") for link in links)

    def settle(self, sockets: int) -> None:
        wait_until(lambda: self.sockets() <= sockets, f"{sockets} sockets again")

    def is_well(self) -> None:
        """It still answers, and nothing went wrong inside."""
        assert self.client.post(V1, json=tecton()).status_code == 200
        for sign in ("Traceback", "ASGI callable", "Exception", "incident", "Error"):
            assert sign not in self.command.stderr


@pytest.fixture(scope="module")
def gateway(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    limits = {f"FEATURE_GATEWAY_SERVER__{name}_TIMEOUT_S": str(LIMIT_S) for name in ("HEADER", "BODY", "WRITE")}
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "data").mkdir()
    copy(demo_dir / ONLINE_STORE, folder / "data" / ONLINE_STORE)
    environment = plain_environment(FEATURE_GATEWAY_CACHE__TTL_S="3600", **limits)
    with Command(folder / "log", "demo", "--port", "0", "--data-dir", str(folder / "data"), environment=environment) as command:
        one = Gateway(command)
        with one.client:
            one.is_well()
            yield one


@pytest.mark.slow
async def test_good_load_notices_nothing_of_attackers_and_these_are_cut(gateway: Gateway) -> None:
    address, sockets, until_s = gateway.address, gateway.sockets(), 5.0 * LIMIT_S
    path = V1.encode()
    slow_headers = [slow_header(address, path, every_s=0.5, until_s=until_s) for _ in range(500)]
    slow_bodies = [slow_body(address, path, every_s=0.5, until_s=until_s) for _ in range(200)]
    deaf = [never_read(address, gateway.hit, until_s=until_s) for _ in range(100)]
    attack = asyncio.gather(*slow_headers, *slow_bodies, *deaf)
    load = await good_load(address, gateway.hit, connections=4, every_s=0.02, until_s=2.0 * LIMIT_S)
    endings = await attack
    assert set(load.statuses) == {200}
    assert not load.failures
    assert load.slowest_s < 5.0 * LIMIT_S  # nobody waits for an attack to end
    assert Counter(ending.status for ending in endings[:700]) == {408: 700}
    assert all(ending.cut for ending in endings)
    gateway.settle(sockets + 4)
    gateway.is_well()


@pytest.mark.slow
@pytest.mark.parametrize("path", [V1, "/ingest", "/nowhere"])
@pytest.mark.parametrize("kind", ["announced", "chunked", "more than announced", "one chunk"])
async def test_a_gibibyte_is_refused_and_takes_no_memory(gateway: Gateway, path: str, kind: str) -> None:
    start = f"POST {path} HTTP/1.1"
    opening, piece = {
        "announced": (head(f"Content-Length: {GIB}", start=start), b"a" * MIB),
        "chunked": (head("Transfer-Encoding: chunked", start=start), b"%x\r\n%b\r\n" % (MIB // 4, b"a" * (MIB // 4))),
        "more than announced": (head("Content-Length: 10", start=start), b"a" * MIB),
        "one chunk": (head("Transfer-Encoding: chunked", start=start) + b"40000000\r\n", b"a" * MIB),
    }[kind]
    before = gateway.rss_bytes()
    endings = await asyncio.gather(*(flood(gateway.address, opening, piece, size_bytes=GIB, until_s=20.0) for _ in range(4)))
    rise = gateway.rss_bytes() - before
    assert all(ending.cut and 400 <= ending.status < 500 for ending, _ in endings)
    assert all(sent_bytes < GIB for _, sent_bytes in endings)
    assert rise < RSS_RISE_BYTES
    gateway.is_well()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (REFUSED["a thousand headers"][0], b"431"),
        (request(V1, b'{"params":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), b"400"),
        (request(V1, b'{"a":' * 100_000 + b"1" + b"}" * 100_000), b"400"),
        (request("/ingest", b"[" * 100_000 + b"]" * 100_000), b"400"),
        (request("/v1/feature-service/metadata", b"[" * 100_000 + b"]" * 100_000), b"400"),
    ],
    ids=["headers", "deep lists", "deep objects", "deep ingest", "deep metadata"],
)
async def test_what_is_slow_to_read_is_refused_quickly(gateway: Gateway, raw: bytes, status: bytes) -> None:
    raw = raw.replace(READER.encode(), gateway.key.encode())
    before = gateway.rss_bytes()
    reader, writer = await asyncio.open_connection(*gateway.address)
    async with asyncio.timeout(10):
        writer.write(raw)
        line = await reader.readline()
    writer.transport.abort()
    assert line.startswith(b"HTTP/1.1 " + status)
    assert gateway.rss_bytes() - before < RSS_RISE_BYTES
    gateway.is_well()


def strings(source: random.Random, count: int) -> list[bytes]:
    """Noise, and requests with something wrong in them: cut, turned, doubled, joined."""
    requests = [raw for raw, *_ in (*REFUSED.values(), *TAKEN.values()) if len(raw) < 1_000]

    def one() -> bytes:
        if source.random() < 0.2:
            return source.randbytes(source.randrange(1, 200))
        raw = bytearray(source.choice(requests))
        for _ in range(source.randrange(1, 5)):
            at = source.randrange(len(raw) + 1)
            match source.randrange(4):
                case 0:
                    raw[at:at] = source.randbytes(source.randrange(1, 4))
                case 1:
                    del raw[at : at + source.randrange(1, 20)]
                case 2:
                    raw[at:at] = raw[at : at + source.randrange(1, 40)]
                case _:
                    raw[at:at] = source.choice(requests)
        return bytes(raw)

    return [one() for _ in range(count)]


@pytest.mark.slow
async def test_noise_breaks_nothing(gateway: Gateway) -> None:
    sockets = gateway.sockets()
    every = strings(random.Random(5), NOISE)
    statuses = sum(await asyncio.gather(*(noise(gateway.address, every[start::8], patience_s=10.0) for start in range(8))), Counter[int]())
    assert statuses.total() == NOISE
    assert statuses[400] > NOISE // 4
    assert not [status for status in statuses if status >= 500]
    gateway.settle(sockets)
    gateway.is_well()
