"""The hot transport by itself: connections that age, die and are doubted; replies that are refused; what is streamed; who proves what."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from gateway.origins.http.connector import Connector
from gateway.origins.http.fast_channel import FastChannel
from gateway.origins.http.pool import Limits, Pool
from gateway.origins.http.tls import client_context
from gateway.origins.http.transport import Exchange, FastTransport
from tests.harness.certificates import Authority, make_authority
from tests.origins.http.raw import PATIENCE_S, Peer, Reader, Writer, always, in_turn, once, reply, served, settle, take

pytestmark = pytest.mark.anyio
LONG_S = 20.0
FEW = Limits(8, connect_timeout_s=5.0)


@asynccontextmanager
async def opened(url: str, limits: Limits = FEW) -> AsyncIterator[tuple[FastChannel, Pool]]:
    transport = FastTransport(limits, client_context)
    channel = FastChannel(url, transport, max_reply_bytes=1_000_000)
    place = httpx.URL(url)
    try:
        yield channel, transport.pool(place.scheme, place.host, place.port)
    finally:
        await channel.aclose()


async def post(channel: FastChannel, body: bytes = b"{}", within_s: float = LONG_S, *, again: bool = True) -> bytes:
    return (await channel.post("/read", body, {}, asyncio.get_running_loop().time() + within_s, again=again)).body


async def test_a_connection_that_closed_unheard_is_replaced_once_and_the_request_sent_again() -> None:
    async with served(in_turn(reply(b"1"), b"", reply(b"2"), b"", b"", reply(b"3"))) as peer, opened(peer.url) as (channel, _):
        assert await post(channel, b"a") == b"1"
        assert await post(channel, b"b") == b"2"
        with pytest.raises(httpx.RemoteProtocolError):
            await post(channel, b"c")
        assert await post(channel, b"d") == b"3"
        assert peer.bodies == [b"a", b"b", b"b", b"c", b"c", b"d"]


async def test_what_must_not_be_sent_twice_is_not() -> None:
    async with served(in_turn(reply(b"1"), b"", reply(b"2"))) as peer, opened(peer.url) as (channel, _):
        await post(channel, b"a")
        with pytest.raises(httpx.RemoteProtocolError):
            await post(channel, b"b", again=False)
        assert peer.bodies == [b"a", b"b"]


async def test_a_reply_that_had_begun_is_not_asked_for_again() -> None:
    async with served(in_turn(reply(b"1"), reply(b"2")[:-1])) as peer, opened(peer.url) as (channel, _):
        await post(channel)
        cut = asyncio.create_task(post(channel))
        await settle(lambda: len(peer.bodies) == 2)
        assert not cut.done()
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        assert len(peer.bodies) == 2


@pytest.mark.parametrize("more", [reply(b"evil"), b"x", b"\r\n\r\nHTTP/1.1 200 OK\r\n"])
async def test_what_comes_after_a_reply_is_nobodys_and_ends_the_connection(more: bytes) -> None:
    async with served(always(reply(b"good") + more)) as peer, opened(peer.url) as (channel, pool):
        assert [await post(channel) for _ in range(3)] == [b"good"] * 3
        assert peer.connections == 3
        assert len(pool) == 0


async def test_what_comes_unasked_on_an_idle_connection_is_nobodys() -> None:
    speak = asyncio.Event()

    async def talkative(peer: Peer, reader: Reader, writer: Writer) -> None:
        body = await take(peer, reader)
        writer.write(reply(body))
        await writer.drain()
        await speak.wait()
        writer.write(reply(b"evil"))
        await writer.drain()
        await reader.read()

    async with served(talkative) as peer, opened(peer.url) as (channel, pool):
        assert await post(channel, b"1") == b"1"
        assert pool.idle == 1
        speak.set()
        await settle(lambda: len(pool) == 0)
        assert await post(channel, b"2") == b"2"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/9.9 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000 + reply(),
    ],
)
async def test_replies_that_two_readers_could_take_differently_are_refused(answer: bytes) -> None:
    async with served(once(answer)) as peer, opened(peer.url) as (channel, pool):
        with pytest.raises(httpx.RemoteProtocolError):
            await post(channel)
        assert len(pool) == 0


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"hello world", b"Retry-After: 3"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_a_reply_cut_at_any_byte_is_an_error_and_one_split_there_is_whole(answer: bytes) -> None:
    cuts = list(range(len(answer)))

    async def cutting(peer: Peer, reader: Reader, writer: Writer) -> None:
        place = int(await take(peer, reader))
        writer.write(answer[:place])
        await writer.drain()

    async def splitting(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            place = int(await take(peer, reader))
            for part in (answer[:place], answer[place:]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)

    async with served(cutting) as peer, opened(peer.url) as (channel, _):
        for place in cuts:
            with pytest.raises(httpx.RemoteProtocolError):
                await post(channel, b"%d" % place)
    async with served(splitting) as peer, opened(peer.url) as (channel, _):
        assert {await post(channel, b"%d" % place) for place in cuts} == {b"hello world"}


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with served(always(reply())) as peer, opened(peer.url, Limits(8, idle_s=0.05)) as (channel, pool):
        await post(channel)
        assert pool.idle == 1
        await settle(lambda: len(pool) == 0 and peer.open == 0)
        await post(channel)
        assert peer.connections == 2


async def test_an_old_connection_is_not_used_again() -> None:
    async with served(always(reply())) as peer, opened(peer.url, Limits(8, max_age_s=1e-9)) as (channel, _):
        for _ in range(3):
            await post(channel)
        assert peer.connections == 3


async def test_connections_that_were_silent_for_as_long_as_a_dead_one_are_not_trusted() -> None:
    dead = asyncio.Event()

    async def dying(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await take(peer, reader)
            if dead.is_set() and peer.connections <= 4:
                await reader.read()
                return
            await asyncio.sleep(0.02)
            writer.write(reply())
            await writer.drain()

    async with served(dying) as peer, opened(peer.url) as (channel, pool):
        await asyncio.gather(*[post(channel) for _ in range(4)])
        assert pool.idle == 4
        dead.set()
        with pytest.raises(httpx.ReadTimeout):
            await post(channel, within_s=0.2)
        assert pool.idle == 0
        assert await post(channel) == b"hello"


async def test_a_fresh_connection_takes_the_place_of_an_idle_one() -> None:
    async with served(always(reply())) as peer, opened(peer.url, Limits(2)) as (channel, pool):
        await asyncio.gather(post(channel), post(channel))
        deadline_s = asyncio.get_running_loop().time() + LONG_S
        fresh = await pool.acquire(deadline_s, fresh=True)
        assert not fresh.used
        assert (len(pool), pool.idle) == (2, 1)
        fresh.close()


async def test_a_burst_of_calls_does_not_become_a_burst_of_connections() -> None:
    """Else a listener's queue overflows, and what it drops is tried again by the system a second later."""
    async with served(always(reply())) as peer, opened(peer.url, Limits(256, connect_timeout_s=5.0)) as (channel, _):
        got = await asyncio.gather(*[post(channel) for _ in range(300)])
        assert got == [b"hello"] * 300
        assert peer.connections < 150


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_however_calls_end(seed: int) -> None:
    """Origins that close, answer late or break off, callers that go away or run out of time, three connections for all of them."""
    luck = random.Random(seed)

    async def moody(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await take(peer, reader)
            await asyncio.sleep(luck.choice([0, 0, 0.002, 0.02]))
            mood = luck.random()
            if mood < 0.1:
                return
            writer.write(reply()[: 30 if mood < 0.2 else None])
            await writer.drain()
            if mood < 0.2:
                return

    async def call(channel: FastChannel) -> None:
        with suppress(httpx.TransportError, TimeoutError):
            await asyncio.wait_for(post(channel, within_s=luck.choice([0.005, 5])), luck.choice([0.004, 0.01, 5]))

    async with served(moody) as peer, opened(peer.url, Limits(3, connect_timeout_s=5.0)) as (channel, pool):
        for _ in range(10):
            await asyncio.gather(*[call(channel) for _ in range(20)])
            assert len(pool) <= 3
        assert pool.waiting == 0
        places = await asyncio.gather(*[pool.acquire(asyncio.get_running_loop().time() + LONG_S, fresh=True) for _ in range(3)])
        assert len(pool) == len(set(places)) == 3


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    async def silent(peer: Peer, reader: Reader, writer: Writer) -> None:  # noqa: ARG001 - says nothing
        await take(peer, reader)
        await reader.read()

    async with served(silent) as peer, opened(peer.url, Limits(1)) as (channel, pool):
        calls = [asyncio.create_task(post(channel)) for _ in range(3)]
        await settle(lambda: len(peer.heads) == 1)
        await channel.aclose()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, httpx.TransportError) for one in ended)
        assert len(pool) == 0


# what is streamed


@asynccontextmanager
async def client_of(peer: Peer, limits: Limits = FEW) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=FastTransport(limits, client_context), base_url=peer.url, timeout=PATIENCE_S) as client:
        yield client


async def test_it_is_a_transport_of_httpx() -> None:
    async with served(always(reply(b'{"a":1}', b"X: 1", b"x: 2"))) as peer, client_of(peer) as client:
        got = await client.get("/a?b=%2F")
        assert (got.json(), got.headers.get_list("x"), got.http_version) == ({"a": 1}, ["1", "2"], "HTTP/1.1")
        assert (await client.put("/a", content=b"body")).status_code == 200
        assert peer.heads[0].startswith(b"GET /a?b=%2F HTTP/1.1\r\n")
        assert (peer.bodies, peer.connections) == ([b"", b"body"], 1)


async def test_a_streamed_reply_is_handed_on_as_it_comes_and_holds_its_sender_back() -> None:
    sent, size = 0, 64 * 1024 * 1024

    async def pouring(peer: Peer, reader: Reader, writer: Writer) -> None:
        nonlocal sent
        await take(peer, reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    async with served(pouring) as peer, client_of(peer) as client, client.stream("GET", "/") as response:
        pieces = response.aiter_raw()
        received = len(await anext(pieces))
        await asyncio.sleep(0.2)
        assert sent < size // 2
        async for piece in pieces:
            received += len(piece)
        assert received == size


async def test_a_streamed_request_is_chunked_as_it_comes() -> None:
    whole = bytearray()

    async def taking(peer: Peer, reader: Reader, writer: Writer) -> None:
        peer.heads.append(await reader.readuntil(b"\r\n\r\n"))
        while size := int(await reader.readline(), 16):
            whole.extend(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        writer.write(reply())
        await writer.drain()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(50):
            yield b"%d" % number * 20_000
            yield b""

    async with served(taking) as peer, client_of(peer) as client:
        assert (await client.post("/", content=pieces())).content == b"hello"
        assert bytes(whole) == b"".join([b"%d" % number * 20_000 for number in range(50)])
        assert b"\r\nTransfer-Encoding: chunked\r\n" in peer.heads[0]


async def test_an_answer_that_comes_before_the_request_is_whole_ends_the_sending() -> None:
    async def refusing(peer: Peer, reader: Reader, writer: Writer) -> None:
        peer.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(b"too much", status=b"413 Content Too Large"))
        await writer.drain()
        await reader.read()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65_536)
            await asyncio.sleep(0)

    async with served(refusing) as peer, client_of(peer) as client:
        got = await client.post("/", content=endless())
        assert (got.status_code, got.content) == (413, b"too much")
        await settle(lambda: peer.open == 0)


async def test_a_reply_that_breaks_off_is_an_error_for_whoever_reads_it() -> None:
    async with served(once(reply(b"hello")[:-1])) as peer, client_of(peer) as client, client.stream("GET", "/") as response:
        with pytest.raises(httpx.RemoteProtocolError):
            await response.aread()


async def test_a_reply_that_stalls_is_an_error_after_the_read_timeout() -> None:
    async def stalling(peer: Peer, reader: Reader, writer: Writer) -> None:
        await take(peer, reader)
        writer.write(reply(b"hello")[:-1])
        await reader.read()

    async with served(stalling) as peer, client_of(peer) as client:
        async with client.stream("GET", "/", timeout=httpx.Timeout(PATIENCE_S, read=0.2)) as response:
            with pytest.raises(httpx.ReadTimeout):
                await response.aread()
        await settle(lambda: peer.open == 0)


async def test_a_reply_that_nobody_reads_to_its_end_costs_the_connection() -> None:
    async with served(always(reply(b"x" * 1_000_000))) as peer, client_of(peer) as client:
        async with client.stream("GET", "/") as response:
            await anext(response.aiter_raw())
        await settle(lambda: peer.open == 0)


async def test_a_head_has_no_body_whatever_it_says() -> None:
    async with served(always(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")) as peer, client_of(peer) as client:
        assert [(await client.head("/")).content for _ in range(2)] == [b"", b""]
        assert peer.connections == 2


async def test_an_idempotent_request_is_sent_again_and_another_one_never() -> None:
    async with served(in_turn(reply(), b"", reply(b"2"), reply(b"3"))) as peer, client_of(peer) as client:
        await client.get("/")
        assert (await client.get("/")).content == b"2"
        assert (await client.post("/", content=b"x")).content == b"3"
        assert peer.connections == 3  # a request that may not be sent twice goes out on a fresh connection


async def test_an_origin_that_does_not_take_the_request_costs_the_write_timeout() -> None:
    async def deaf(_peer: Peer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(PATIENCE_S)
        writer.close()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1_048_576)

    async with served(deaf) as peer, client_of(peer) as client:
        with pytest.raises(httpx.WriteTimeout):
            await client.post("/", content=endless(), timeout=httpx.Timeout(PATIENCE_S, write=0.2))


async def test_a_deadline_bounds_the_wait_for_the_head() -> None:
    async def silent(peer: Peer, reader: Reader, writer: Writer) -> None:  # noqa: ARG001 - says nothing
        await take(peer, reader)
        await reader.read()

    async with served(silent) as peer, client_of(peer) as client:
        request = client.build_request("GET", "/", extensions={"deadline": asyncio.get_running_loop().time() + 0.2})
        with pytest.raises(httpx.ReadTimeout):
            await client.send(request)
        await settle(lambda: peer.open == 0)


# who proves what


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made by openssl: apt-get install openssl")
    return make_authority(tmp_path_factory.mktemp("authority"))


def connector_to(ca_file: Path | None, certificate_file: Path | None = None) -> Connector:
    return Connector(limits=Limits(connect_timeout_s=5.0), tls=lambda: client_context(ca_file, certificate_file))


async def ask(connector: Connector, port: int, host: str = "localhost") -> bytes:
    channel = connector.channel(f"https://{host}:{port}")
    try:
        return (await channel.post("/", b"{}", {}, asyncio.get_running_loop().time() + LONG_S)).body
    finally:
        await channel.aclose()


async def test_an_origin_that_proves_who_it_is_is_spoken_to(authority: Authority) -> None:
    async with served(always(reply()), authority.server_context()) as peer:
        assert await ask(connector_to(authority.ca_file), peer.port) == b"hello"


async def test_an_origin_that_does_not_is_not(authority: Authority) -> None:
    async with served(always(reply()), authority.server_context()) as peer:
        for connector, host in ((connector_to(None), "localhost"), (connector_to(authority.ca_file), "127.0.0.2")):
            with pytest.raises(httpx.ConnectError):
                await ask(connector, peer.port, host)
        assert not peer.heads


async def test_the_gateway_proves_who_it_is_where_the_origin_asks(authority: Authority) -> None:
    async with served(always(reply()), authority.server_context(asks=True)) as peer:
        assert await ask(connector_to(authority.ca_file, authority.client_file), peer.port) == b"hello"
        with pytest.raises(httpx.TransportError):
            await ask(connector_to(authority.ca_file), peer.port)


async def test_plain_text_on_a_port_for_tls_is_an_error(authority: Authority) -> None:
    async def plain(_peer: Peer, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(reply())
        await writer.drain()

    async with served(plain) as peer:
        with pytest.raises(httpx.ConnectError):
            await ask(connector_to(authority.ca_file), peer.port)


def test_files_that_cannot_be_used_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for ca_file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(OSError):
            client_context(ca_file)


async def test_a_stock_transport_of_httpx_can_take_its_place(authority: Authority) -> None:
    async with served(always(reply()), authority.server_context()) as peer:
        stock = Connector("httpx", tls=lambda: client_context(authority.ca_file))
        async with httpx.AsyncClient(transport=stock.transport) as client:
            assert (await client.get(f"https://localhost:{peer.port}/")).content == b"hello"
        assert isinstance(Connector().transport, FastTransport)
        assert isinstance(stock.transport, httpx.AsyncHTTPTransport)


async def test_a_call_begins_at_once_where_a_connection_is_at_hand_and_its_end_is_told() -> None:
    async with served(in_turn(reply(b"1"), reply(b"2"))) as peer, opened(peer.url) as (channel, pool):
        told = asyncio.Event()
        assert channel.begin("/read", b"a", {}, told.set) is None
        await post(channel, b"b")
        begun = channel.begin("/read", b"c", {}, told.set)
        assert begun is not None
        assert pool.idle == 0
        await told.wait()
        got = begun.reply()
        assert got is not None
        assert (got.status, got.body, pool.idle) == (200, b"2", 1)
        assert (await begun.waited(0.0)).body == b"2"  # what has come is not late any more
        assert peer.bodies == [b"b", b"c"]


async def test_a_call_that_was_begun_may_be_waited_for_and_is_asked_again_where_any_other_would_be() -> None:
    async with served(in_turn(reply(b"1"), b"", reply(b"2"))) as peer, opened(peer.url) as (channel, _):
        await post(channel, b"a")
        told = asyncio.Event()
        begun = channel.begin("/read", b"b", {}, told.set)
        assert begun is not None
        await told.wait()
        assert begun.reply() is None
        assert (await begun.waited(asyncio.get_running_loop().time() + LONG_S)).body == b"2"
        assert peer.bodies == [b"a", b"b", b"b"]


async def test_a_call_that_was_begun_ends_at_its_deadline_once_it_is_waited_for() -> None:
    async def silent(peer: Peer, reader: Reader, writer: Writer) -> None:
        await take(peer, reader)
        writer.write(reply())
        await take(peer, reader)
        await reader.read()

    async with served(silent) as peer, opened(peer.url) as (channel, pool):
        await post(channel)
        told = asyncio.Event()
        begun = channel.begin("/read", b"b", {}, told.set)
        assert begun is not None
        with pytest.raises(httpx.ReadTimeout):
            await begun.waited(asyncio.get_running_loop().time() + 0.05)
        assert not told.is_set()
        assert len(pool) == 0


async def test_whoever_is_cancelled_when_its_reply_is_there_costs_nobody_else_a_connection() -> None:
    """The connection has another's request on it before the task that waited learns of either."""
    held = asyncio.Event()

    async def answering(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            body = await take(peer, reader)
            if body == b"b":
                await held.wait()
            writer.write(reply(body))

    async with served(answering) as peer, opened(peer.url, Limits(1)) as (channel, pool):
        loop = asyncio.get_running_loop()
        await post(channel, b"a")
        cut = asyncio.create_task(post(channel, b"b"))
        await settle(lambda: peer.bodies[-1] == b"b")
        loop.call_soon(held.set)
        connection = await pool.acquire(loop.time() + LONG_S)  # whoever waits for one is told first
        cut.cancel()
        others = Exchange(pool, connection, b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nc", 100)
        await asyncio.gather(cut, return_exceptions=True)
        assert (await others.reply(loop.time() + LONG_S)).body == b"c"
        assert peer.connections == 1
