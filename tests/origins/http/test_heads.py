"""Heads known by sight: whatever comes, and however it is cut, a connection that has seen much says what one that knows nothing says."""

import asyncio
from collections.abc import Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from gateway.origins.http.connection import Connection
from gateway.origins.http.heads import Heads
from gateway.origins.http.receivers import Whole

MOST_BYTES = 64
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd"
HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nServer: one\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 04\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
    b"HTTP/1.1 200 OK\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 200 OK\r\nserver: one\r\n",
    b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\nconnection: keep-alive\r\n",
    b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 503 Down\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 204 None\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 4\r\n",
    b"HTTP/1.1 200 OK\ncontent-length: 4\n",
    b"content-length: 4\r\n",
]
BODIES = [b"", b"abcd", b"4\r\nabcd\r\n0\r\n\r\n", b"abcd\r\n", b"ab\r\n\r\n", b"a" * 100, b"abcd" + PLAIN]
Told = tuple[int, list[tuple[bytes, bytes]], bytes, str, bool, bool]


class Forgetful(Heads):
    """Knows nothing by sight."""

    def remember(self, piece: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Not even this."""


class Wire:
    """What a connection writes to."""

    def write(self, data: bytes) -> None:
        """It goes nowhere."""

    def abort(self) -> None:
        """Nothing is open."""


def opened(heads: Heads) -> Connection:
    connection = Connection(lambda _: None, lambda _: None, lambda: 0.0, heads)
    connection.connection_made(cast("asyncio.Transport", Wire()))
    return connection


def exchanges(connection: Connection, replies: Sequence[Sequence[bytes]]) -> list[Told]:
    """What receivers are told of these replies, each in pieces, as far as the connection lasts."""
    told: list[Told] = []
    for pieces in replies:
        if connection.closed:
            break
        whole = Whole(MOST_BYTES)
        connection.send(b"", whole)
        for piece in pieces:
            connection.data_received(piece)
        told.append((whole.status, list(whole.headers), whole.body, repr(whole.error), whole.ended, connection.closed))
        if not whole.ended:
            break
    return told


@st.composite
def _replies(draw: st.DrawFn) -> list[list[bytes]]:
    """Several, of few kinds, so that heads come again; now and then in two pieces."""
    kinds = draw(st.lists(st.tuples(st.sampled_from(HEADS), st.sampled_from(BODIES)), min_size=1, max_size=3))
    replies = []
    for head, body in draw(st.lists(st.sampled_from([*kinds, (HEADS[0], b"abcd")]), min_size=2, max_size=8)):
        whole = head + b"\r\n" + body
        cut = draw(st.sampled_from([0, 0, 0, len(head) // 2, len(head), len(head) + 2, len(whole) - 1]))
        replies.append([piece for piece in (whole[:cut], whole[cut:]) if piece])
    return replies


@given(_replies())
def test_what_is_known_by_sight_is_told_as_what_is_read(replies: list[list[bytes]]) -> None:
    heads = Heads()
    exchanges(opened(heads), replies)  # what they teach
    for reply in replies:
        exchanges(opened(heads), [reply])
    assert exchanges(opened(heads), replies) == exchanges(opened(Forgetful()), replies)


def test_a_plain_head_is_parsed_once() -> None:
    heads = Heads()
    first, second = opened(heads), opened(heads)
    exchanges(first, [[PLAIN]])
    second._parser = None  # type: ignore[assignment]  # which would be asked otherwise
    [told] = exchanges(second, [[PLAIN]])
    assert told == (200, [(b"content-length", b"4")], b"abcd", "None", True, False)


def test_no_more_than_so_many_are_remembered() -> None:
    heads = Heads()
    connection = opened(heads)
    for number in range(1_000):
        exchanges(connection, [[PLAIN.replace(b"\r\n\r\n", b"\r\nx: %d\r\n\r\n" % number)]])
        assert 0 < len(heads) <= 256


def test_a_reply_larger_than_its_reader_takes_is_refused_by_sight_too() -> None:
    heads = Heads()
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789"
    exchanges(opened(heads), [[large]])
    connection, whole = opened(heads), Whole(8)
    connection.send(b"", whole)
    connection.data_received(large)
    assert connection.closed
    assert type(whole.error).__name__ == "TooLarge"
