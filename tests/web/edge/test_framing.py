"""The corpus, cut at every byte, over the protocol class itself; and heads and chunks against two other readers, which are its oracles."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import h11
import httptools
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.counters import Counters
from gateway.errors import BodyTooLarge, ExpectationFailed, GatewayError, MalformedHttp
from gateway.settings import Server
from gateway.web.edge import Edge, edge
from gateway.web.edge.framing import Chunked, Framing, Head
from tests.web.edge.corpus import ENDS, REFUSED, SMUGGLED, TAKEN, Seen, head

LIMITS = Server.model_validate({})
FRAMING = Framing(max_header_bytes=65_536, max_headers=100, max_body_bytes=1_048_576)
MANY_BYTES = 1_000
"""Longer cases are cut at some places only."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = self.ended = self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.sent)]


class Application:
    """Reads each request's body and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.headers: list[Sequence[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append(Seen(scope["method"], scope["path"], body))
        self.headers.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


class Bench:
    """Connections to a protocol class of its own, one after another."""

    def __init__(self, limits: Server = LIMITS) -> None:
        self.app, self.counters = Application(), Counters()
        self.edge = edge([], limits, self.counters)
        self._config = uvicorn.Config(self.app, http=self.edge, lifespan="off", log_config=None, access_log=False, server_header=False)
        self._config.load()
        self._state = ServerState()

    def connect(self) -> tuple[Edge, Wire]:
        connection, wire = self.edge(config=self._config, server_state=self._state, app_state={}), Wire()
        connection.connection_made(wire)
        return connection, wire

    async def feed(self, parts: Sequence[bytes], answers: int, *, turns: int = 0) -> Wire:
        """What a client gets that sends these parts, so many turns of the loop apart, and leaves when there are as many answers."""
        connection, wire = self.connect()
        for part in parts:
            if not wire.closed:
                connection.data_received(part)
            for _ in range(turns):
                await asyncio.sleep(0)
        for _ in range(50):
            if len(wire.statuses()) >= answers:
                break
            await asyncio.sleep(0)
        connection.connection_lost(None)
        assert not len(self.edge.watch)
        assert not self.edge.admission.connections
        return wire


def cuts(raw: bytes) -> Iterator[Sequence[bytes]]:
    """Cut at every byte; and into single bytes."""
    step = 1 if len(raw) < MANY_BYTES else len(raw) // 25
    yield [raw]
    for at in range(1, len(raw), step):
        yield [raw[:at], raw[at:]]
    if len(raw) < MANY_BYTES:
        yield [raw[at : at + 1] for at in range(len(raw))]


def test_the_corpus_is_one() -> None:
    assert len(REFUSED) > 150


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_that_may_be_read_in_two_ways_is_refused_wherever_it_is_cut_and_is_the_last(name: str) -> None:
    raw, status = REFUSED[name]
    bench = Bench()
    for parts in cuts(raw + SMUGGLED):
        wire = await bench.feed(parts, 1)
        await asyncio.sleep(0)
        assert wire.statuses() == [status], parts[0]
        assert wire.ended
        assert b"\r\nconnection: close\r\n" in wire.sent
        assert re.search(rb'\r\n\r\n\{"error":"[^"]+","message":"[^"]+","code":\d+\}$', wire.sent)
    assert not [one for one in bench.app.seen if one.method != "POST" or one.path != "/livez"]
    assert not bench.app.seen  # of none the body was whole


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_odd_and_clear_is_read_the_same_wherever_it_is_cut_and_so_is_what_follows(name: str) -> None:
    raw, expected = TAKEN[name]
    bench = Bench()
    for parts in cuts(raw + SMUGGLED):
        bench.app.seen.clear()
        wire = await bench.feed(parts, 2)
        assert bench.app.seen == [expected, Seen("GET", "/livez")], parts[0]
        assert wire.statuses() == [200, 200]
        assert not wire.closed or b"close" not in wire.sent


@pytest.mark.parametrize("name", ENDS)
async def test_nothing_is_read_behind_the_last_request_of_a_connection(name: str) -> None:
    raw, expected = ENDS[name]
    bench = Bench()
    for parts in cuts(raw + SMUGGLED):
        bench.app.seen.clear()
        wire = await bench.feed(parts, 2)
        assert bench.app.seen == [expected], parts[0]
        assert wire.statuses() == [200]
        assert b"\r\nconnection: close\r\n" in wire.sent


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["chunks too large", "head too large", "two hosts", "bare LF at the end", "chunk: 0x3", "start: HTTP/1.2"])
async def test_what_is_sent_ahead_is_read_the_same_whenever_it_comes(name: str, turns: int) -> None:
    raw, status = REFUSED[name]
    bench = Bench()
    for parts in cuts(SMUGGLED + raw + SMUGGLED):
        wire = await bench.feed(parts, 2, turns=turns)
        assert wire.statuses() == [200, status], parts[0]
        assert wire.ended


async def test_trailers_never_become_headers() -> None:
    bench = Bench()
    await bench.feed([TAKEN["trailers"][0]], 1)
    assert bench.app.headers == [[(b"host", b"gateway"), (b"transfer-encoding", b"chunked")]]


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    bench = Bench()
    wire = await bench.feed([SMUGGLED * 3 + head("A : b") + SMUGGLED], 4)
    assert wire.statuses() == [200, 200, 200, 400]
    assert len(bench.app.seen) == 3


async def test_an_interim_answer_comes_only_to_a_head_that_is_taken() -> None:
    bench = Bench()
    wire = await bench.feed([head("Expect: 100-continue", "Content-Length: 5", "Content-Length: 5")], 1)
    assert wire.statuses() == [400]
    wire = await bench.feed([head("Expect: 100-Continue", "Content-Length: 5"), b"hello"], 2)
    assert wire.statuses() == [100, 200]


async def test_a_body_that_fails_before_the_interim_answer_gets_none() -> None:
    bench = Bench()
    wire = await bench.feed([head("Expect: 100-continue", "Transfer-Encoding: chunked") + b"nonsense\r\n"], 2)
    assert wire.statuses() == [400]


@pytest.mark.parametrize("raw", [head("A : b", start="HEAD /livez HTTP/1.1"), b"HEAD /livez HTTP/1.1\r\n\x00"])
async def test_a_refusal_of_head_has_no_body(raw: bytes) -> None:
    for parts in cuts(raw):
        wire = await Bench().feed(parts, 1)
        assert wire.statuses() == [400]
        assert wire.sent.endswith(b"\r\n\r\n")


async def test_a_refusal_names_what_is_wrong_and_never_quotes_it() -> None:
    said = set()
    for name, (raw, _) in REFUSED.items():
        wire = await Bench().feed([raw.replace(b"Name: a", b"Name: Tecton-key fgk_secret a")], 1)
        assert b"fgk_secret" not in wire.sent, name
        said.add(wire.sent.rpartition(b"\r\n\r\n")[2])
    assert len(said) > 20


TOKENS = st.text("!#$%&'*+-.^_`|~0189AZaz", min_size=1, max_size=12)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
LINES = st.tuples(TOKENS, VALUES).map(lambda pair: f"{pair[0]}: {pair[1]}")
SPECIAL = st.sampled_from(
    [
        "Content-Length: 5",
        "Content-Length: 05",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding:chunked ",
        "Connection: close",
        "Connection: keep-alive",
        "A : b",
        " folded",
        "A: b\rc",
        "Host: other",
        "B:\t",
    ]
)
TARGETS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x80), max_size=20).map(lambda text: f"/{text}")
HEADS = st.builds(
    lambda method, target, minor, lines: head(*lines, start=f"{method} {target} HTTP/1.{minor}"),
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    TARGETS,
    st.sampled_from("01"),
    st.lists(LINES | SPECIAL, max_size=5),
)


class Understood:
    """What llhttp reads."""

    def __init__(self, raw: bytes) -> None:
        self.url, self.body, self.headers, self.complete, self.keep_alive = b"", b"", list[tuple[bytes, bytes]](), 0, False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(raw)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b"\t ")))

    def on_headers_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def ours(raw: bytes) -> Head | None:
    try:
        return FRAMING.head(raw)
    except GatewayError:
        return None


@settings(max_examples=600, deadline=None)
@given(HEADS)
def test_what_is_taken_as_a_head_means_the_same_to_llhttp_and_to_h11(raw: bytes) -> None:
    read = ours(raw)
    if read is None:
        return
    understood = Understood(raw)
    assert (understood.url, understood.parser.get_method(), understood.parser.get_http_version()) == (
        read.target,
        read.method,
        read.version,
    )
    # an empty value is no event to llhttp's binding, which joins such a name to the next
    if all(value for _, value in read.headers):
        assert understood.headers == read.headers
    assert understood.complete == (read.length == 0)
    if read.version == "1.1":
        assert understood.keep_alive == read.keep_alive
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(raw)
    event = peer.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (read.method, read.target)
    assert sorted(event.headers) == sorted(read.headers)
    assert (peer.next_event() is h11.NEED_DATA) == (read.length != 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 500), max_size=6), st.booleans())
def test_chunks_are_what_llhttp_reads_wherever_they_are_cut(chunks: list[bytes], places: list[int], trailer: bool) -> None:  # noqa: FBT001
    raw = b"".join(b"%x;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + b"T: u\r\n" * trailer + b"\r\n"
    body, read = Chunked(1_048_576), b""
    places = sorted({min(place, len(raw)) for place in places} | {0, len(raw)})
    for start, end in pairwise(places):
        pieces, at = body.read(b"x" + raw[start:end], 1)
        assert at == 1 + end - start
        read += b"".join(pieces)
    assert body.whole
    assert read == b"".join(chunks)
    assert Understood(head("Transfer-Encoding: chunked") + raw).body == read


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_bytes_are_more_than_chunks_or_an_error(raw: bytes, at: int) -> None:
    body = Chunked(50)
    try:
        for part in (raw[:at], raw[at:]):
            _, end = body.read(part, 0)
            assert 0 <= end <= len(part)
            if body.whole:
                return
    except (MalformedHttp, BodyTooLarge):
        return


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert FRAMING.head(head("Content-Length: 1048576")).length == 1_048_576
    with pytest.raises(BodyTooLarge, match="larger than 1048576 bytes"):
        FRAMING.head(head("Content-Length: 1048577"))
    body = Chunked(10)
    body.read(b"5\r\nhello\r\n5\r\nhello\r\n", 0)
    with pytest.raises(BodyTooLarge, match="larger than 10 bytes"):
        body.read(b"1\r\n", 0)


def test_an_expectation_that_cannot_be_met_is_told_so() -> None:
    with pytest.raises(ExpectationFailed, match="100-continue"):
        FRAMING.head(head("Expect: a"))
