"""One contract over both roads: a body out, a whole reply in, or a typed error, until a deadline."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx
import pytest

from gateway.origins.http.channel import Channel, Reply
from gateway.origins.http.connector import Connector
from gateway.origins.http.pool import Limits
from gateway.origins.http.receivers import TooLarge
from tests.origins.http.raw import Peer, Reader, Script, Writer, always, in_turn, once, reply, served, settle, take

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", ["fast", "httpx"])]
Kind = Literal["fast", "httpx"]
HEADERS = {"content-type": "application/json", "authorization": "Tecton-key k"}
LONG_S, SHORT_S = 20.0, 0.3


@asynccontextmanager
async def opened(kind: Kind, url: str, *, most: int = 8, max_bytes: int = 1_000_000) -> AsyncIterator[Channel]:
    channel = Connector(kind, Limits(most, connect_timeout_s=5.0), max_bytes).channel(url)
    try:
        yield channel
    finally:
        await channel.aclose()


async def post(channel: Channel, path: str = "/read", body: bytes = b"{}", within_s: float = LONG_S, *, again: bool = True) -> Reply:
    return await channel.post(path, body, HEADERS, asyncio.get_running_loop().time() + within_s, again=again)


async def test_a_body_goes_out_and_a_whole_reply_comes_in(kind: Kind) -> None:
    async with served(always(reply(b'{"a":1}', b"Retry-After: 7", b"X-Twice: 1"))) as peer, opened(kind, f"{peer.url}/base/") as channel:
        got = await post(channel, body=b"\x00{}")
        assert (got.status, got.body, got.headers.get("retry-after"), got.headers.get("nothing")) == (200, b'{"a":1}', "7", None)
        assert peer.bodies == [b"\x00{}"]
        first, *lines = peer.heads[0].decode().split("\r\n")
        assert first == "POST /base/read HTTP/1.1"
        told = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines if line}
        assert told["host"] == f"127.0.0.1:{peer.port}"
        assert {name: told[name] for name in HEADERS} == HEADERS


async def test_connections_are_used_again(kind: Kind) -> None:
    async with served(always(reply())) as peer, opened(kind, peer.url) as channel:
        for _ in range(5):
            await post(channel)
        assert peer.connections == 1


async def test_a_connection_that_is_told_to_close_is_not_used_again(kind: Kind) -> None:
    async with served(always(reply(b"hello", b"Connection: close"))) as peer, opened(kind, peer.url) as channel:
        for _ in range(3):
            assert (await post(channel)).body == b"hello"
        assert peer.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply(),
        b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello",
        reply(gzip.compress(b"hello"), b"Content-Encoding: gzip"),
        reply(b"hello", b"Content-Encoding: identity"),
    ],
    ids=["chunked", "interim replies", "no reason phrase", "gzip", "identity"],
)
async def test_a_reply_may_be_framed_in_any_way_there_is(kind: Kind, answer: bytes) -> None:
    async with served(always(answer)) as peer, opened(kind, peer.url) as channel:
        for _ in range(2):
            assert (await post(channel)).body == b"hello"
        assert peer.connections == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello"], ids=["1.1", "1.0"])
async def test_a_reply_may_end_with_its_connection(kind: Kind, answer: bytes) -> None:
    async with served(once(answer)) as peer, opened(kind, peer.url) as channel:
        assert (await post(channel)).body == b"hello"
        assert (await post(channel)).body == b"hello"
        assert peer.connections == 2


async def test_a_reply_without_a_body_is_one(kind: Kind) -> None:
    async with served(always(b"HTTP/1.1 204 No Content\r\n\r\n")) as peer, opened(kind, peer.url) as channel:
        for _ in range(2):
            assert (await post(channel))[::2] == (204, b"")
        assert peer.connections == 1


async def test_a_redirect_is_told_and_not_followed(kind: Kind) -> None:
    answer = reply(b"", b"Location: /elsewhere", status=b"302 Found")
    async with served(always(answer)) as peer, opened(kind, peer.url) as channel:
        got = await post(channel)
        assert (got.status, got.headers["location"]) == (302, "/elsewhere")
        assert len(peer.heads) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"220 smtp.example ready\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
async def test_what_is_no_reply_is_an_error(kind: Kind, answer: bytes) -> None:
    async with served(once(answer)) as peer, opened(kind, peer.url) as channel:
        with pytest.raises(httpx.TransportError):
            await post(channel)
        await settle(lambda: peer.open == 0)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"hello", b"Content-Encoding: gzip"),
        reply(gzip.compress(b"hello" * 100)[:-9], b"Content-Encoding: gzip"),
    ],
    ids=["none", "cut"],
)
async def test_what_is_not_encoded_as_it_says_is_an_error_or_what_there_was_of_it(kind: Kind, answer: bytes) -> None:
    """Stock httpx takes a stream that was cut for a whole one; whoever reads it finds no whole document."""
    async with served(always(answer)) as peer, opened(kind, peer.url) as channel:
        try:
            got = await post(channel)
        except httpx.DecodingError:
            return
        assert kind == "httpx"
        assert got.body != b"hello" * 100 or b"\x1f\x8b" in answer


@pytest.mark.parametrize(
    "answer", [reply(b"x" * 1001), reply(gzip.compress(b"x" * 100_000), b"Content-Encoding: gzip")], ids=["plain", "gzip"]
)
async def test_a_reply_that_is_too_large_is_an_error(kind: Kind, answer: bytes) -> None:
    async with served(always(answer)) as peer, opened(kind, peer.url, max_bytes=1000) as channel:
        with pytest.raises(TooLarge):
            await post(channel)
    async with served(always(reply(b"x" * 1000))) as peer, opened(kind, peer.url, max_bytes=1000) as channel:
        assert len((await post(channel)).body) == 1000


async def test_a_silent_origin_costs_the_deadline_and_its_connection(kind: Kind) -> None:
    async def silent(peer: Peer, reader: Reader, writer: Writer) -> None:  # noqa: ARG001 - says nothing
        await take(peer, reader)
        await reader.read()

    async with served(silent) as peer, opened(kind, peer.url) as channel:
        with pytest.raises(httpx.TimeoutException):
            await post(channel, within_s=SHORT_S)
        await settle(lambda: peer.open == 0)


async def test_a_dripping_origin_costs_the_deadline_and_no_more(kind: Kind) -> None:
    async def dripping(peer: Peer, reader: Reader, writer: Writer) -> None:
        await take(peer, reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with served(dripping) as peer, opened(kind, peer.url) as channel:
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(httpx.TimeoutException):
            await post(channel, within_s=SHORT_S)
        assert asyncio.get_running_loop().time() - began_s < 10


async def test_nobody_at_the_address_is_an_error(kind: Kind) -> None:
    async with served(always(reply())) as peer:
        url = peer.url
    async with opened(kind, url) as channel:
        with pytest.raises(httpx.ConnectError):
            await post(channel)


async def test_a_name_without_an_address_is_an_error(kind: Kind) -> None:
    async with opened(kind, "http://no-such-name.invalid") as channel:
        with pytest.raises(httpx.ConnectError):
            await post(channel)


async def test_there_are_never_more_connections_than_allowed_and_whoever_waits_is_served(kind: Kind) -> None:
    peak = 0

    async def slowly(peer: Peer, reader: Reader, writer: Writer) -> None:
        nonlocal peak
        peak = max(peak, peer.open)
        while True:
            await take(peer, reader)
            await asyncio.sleep(0.01)
            writer.write(reply())
            await writer.drain()

    async with served(slowly) as peer, opened(kind, peer.url, most=3) as channel:
        got = await asyncio.gather(*[post(channel) for _ in range(30)])
        assert [one.body for one in got] == [b"hello"] * 30
        assert peak == 3


async def test_whoever_waits_for_a_connection_waits_until_the_deadline_and_takes_nothing_along(kind: Kind) -> None:
    go = asyncio.Event()

    async def held(peer: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await take(peer, reader)
            await go.wait()
            writer.write(reply())
            await writer.drain()

    async with served(held) as peer, opened(kind, peer.url, most=1) as channel:
        first = asyncio.create_task(post(channel))
        await settle(lambda: len(peer.heads) == 1)
        with pytest.raises(httpx.TimeoutException):
            await post(channel, within_s=SHORT_S)
        waiting = asyncio.create_task(post(channel))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert (await first).body == b"hello"
        assert (await post(channel)).body == b"hello"


async def test_calls_that_are_cancelled_leave_the_channel_as_good_as_before(kind: Kind) -> None:
    """Of the hot transport only: the stock one loses connections for good when a call is cancelled while it opens one, although nothing
    waits in its pool. A flight is never cancelled, but a second try that lost the race is."""
    if kind == "httpx":
        return
    script: Script = always(reply())
    async with served(script) as peer, opened(kind, peer.url, most=4) as channel:
        for number in range(200):
            task = asyncio.create_task(post(channel))
            for _ in range(number % 12):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        got = await asyncio.gather(*[post(channel) for _ in range(20)])
        assert [one.body for one in got] == [b"hello"] * 20
        await settle(lambda: peer.open <= 4)


async def test_a_header_cannot_hold_a_line_break(kind: Kind) -> None:
    async with served(always(reply())) as peer, opened(kind, peer.url) as channel:
        deadline_s = asyncio.get_running_loop().time() + LONG_S
        with pytest.raises(httpx.LocalProtocolError):
            await channel.post("/read", b"", {"x": "a\r\nauthorization: b"}, deadline_s)
        assert not peer.heads


async def test_no_time_left_is_no_call(kind: Kind) -> None:
    async with served(always(reply())) as peer, opened(kind, peer.url) as channel:
        with pytest.raises(httpx.TimeoutException):
            await post(channel, within_s=-1.0)
        assert (await post(channel)).body == b"hello"


async def test_the_end_of_one_of_several_connections_is_not_the_others(kind: Kind) -> None:
    async with served(in_turn(reply(b"1"), b"", reply(b"2"))) as peer, opened(kind, peer.url) as channel:
        assert (await post(channel)).body == b"1"
        if kind == "httpx":
            with pytest.raises(httpx.RemoteProtocolError):
                await post(channel)
        assert (await post(channel)).body == b"2"
