"""The corpus, cut at every byte, over the protocol class itself; and heads and chunks against two other readers, which are its oracles."""

import asyncio
import re

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BodyTooLarge, ExpectationFailed, GatewayError
from gateway.web.edge.framing import Framing, Head
from tests.web.edge.bench import Bench, Understood, cuts
from tests.web.edge.corpus import ENDS, REFUSED, SMUGGLED, TAKEN, Seen, head

FRAMING = Framing(max_header_bytes=65_536, max_headers=100, max_body_bytes=1_048_576)


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


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert FRAMING.head(head("Content-Length: 1048576")).length == 1_048_576
    with pytest.raises(BodyTooLarge, match="larger than 1048576 bytes"):
        FRAMING.head(head("Content-Length: 1048577"))


def test_an_expectation_that_cannot_be_met_is_told_so() -> None:
    with pytest.raises(ExpectationFailed, match="100-continue"):
        FRAMING.head(head("Expect: a"))
