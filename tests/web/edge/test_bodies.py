"""Bodies against llhttp, wherever they are cut, and within their bounds."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BodyTooLarge, MalformedHttp
from gateway.web.edge.bodies import Chunked
from tests.web.edge.bench import Understood
from tests.web.edge.corpus import head


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


def test_chunks_may_hold_as_much_as_the_limit_and_no_more() -> None:
    body = Chunked(10)
    body.read(b"5\r\nhello\r\n5\r\nhello\r\n", 0)
    with pytest.raises(BodyTooLarge, match="larger than 10 bytes"):
        body.read(b"1\r\n", 0)
