"""Which headers pass: by lists, in both directions, and never one that could be read as two."""

import contextvars

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import request_ids
from gateway.errors import InvalidRequest
from gateway.origins.hygiene import content_length, local, outgoing_headers, passed_back, passed_on, retry_after

ORIGIN = "https://acme.tecton.ai"
NAMES = st.sampled_from(
    [
        b"accept",
        b"content-type",
        b"connection",
        b"cookie",
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"x-a",
        b"authorization",
        b"location",
        b"etag",
        b"set-cookie",
        b"date",
    ]
)
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=12) | NAMES), max_size=8)


def test_a_call_of_the_gateways_own_says_json_and_who_asks() -> None:
    assert outgoing_headers(None) == {"content-type": "application/json", "accept": "application/json"}
    context = contextvars.copy_context()
    context.run(request_ids.assume, "r-1")
    assert context.run(outgoing_headers, "Tecton-key k", "00-a-b-01") == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Tecton-key k",
        "traceparent": "00-a-b-01",
        "x-request-id": "r-1",
    }


@given(HEADERS)
def test_only_what_is_listed_goes_out(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        kept = passed_on(headers)
    except InvalidRequest:
        named = [name for name, _ in headers if name in {b"accept", b"content-type"}]
        assert named.count(b"content-type") > 1 or any(
            byte < 0x20 or byte == 0x7F for name, value in headers if name in named for byte in value
        )
        return
    assert {name for name, _ in kept} <= {b"accept", b"content-type"}
    assert len({name for name, _ in kept}) == len(kept)
    assert not any(byte in value for _, value in kept for byte in b"\r\n\x00")


@given(HEADERS, st.sampled_from([200, 204, 302, 304, 404]))
def test_only_what_is_listed_comes_back(headers: list[tuple[bytes, bytes]], status: int) -> None:
    kept = passed_back(status, headers, ORIGIN)
    assert {name for name, _ in kept} <= {b"content-type", b"etag", b"location", b"content-length"}
    assert not any(byte in value for _, value in kept for byte in b"\r\n\x00")
    assert status == 200 or status > 304 or b"content-length" not in dict(kept) or status == 302


def test_names_come_back_in_lower_case_whatever_the_cluster_writes() -> None:
    assert passed_back(200, [(b"Content-Type", b"a/b"), (b"ETag", b'"1"')], ORIGIN) == [(b"content-type", b"a/b"), (b"etag", b'"1"')]


def test_what_connection_names_stops_in_both_directions() -> None:
    headers = [
        (b"connection", b"close, ETag ,accept"),
        (b"connection", b"content-type"),
        (b"etag", b"1"),
        (b"accept", b"x"),
        (b"content-type", b"y"),
    ]
    assert passed_on(headers) == []
    assert passed_back(200, headers, ORIGIN) == []


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], None),
        ([(b"content-length", b"0")], 0),
        ([(b"Content-Length", b"12")], 12),
        ([(b"content-length", b"12"), (b"content-length", b"12")], 12),
        ([(b"content-length", b"12"), (b"content-length", b"13")], None),
        ([(b"content-length", b"+1")], None),
        ([(b"content-length", b"1_0")], None),
        ([(b"content-length", "\u0661".encode())], None),
        ([(b"content-length", b"9" * 19)], None),
        ([(b"content-length", b"12"), (b"Transfer-Encoding", b"chunked")], None),
    ],
)
def test_a_length_counts_where_it_is_the_framing(headers: list[tuple[bytes, bytes]], length: int | None) -> None:
    assert content_length(headers) == length


@pytest.mark.parametrize(
    ("location", "here"),
    [
        (b"https://acme.tecton.ai/api/x?y#z", b"/api/x?y#z"),
        (b"HTTPS://ACME.tecton.ai:443/api/x", b"/api/x"),
        (b"https://acme.tecton.ai", b"/"),
        (b"https://acme.tecton.ai?x", b"/?x"),
        (b"/api/%2E%2e/x", b"/api/%2E%2e/x"),
        (b"../x", b"../x"),
        (b"?x", b"?x"),
        (b"http://acme.tecton.ai/x", None),
        (b"https://acme.tecton.ai:8443/x", None),
        (b"https://acme.tecton.ai.evil.example/x", None),
        (b"https://acme.tecton.ai@evil.example/x", None),
        (b"https://evil@acme.tecton.ai/x", None),
        (b"https://acme.tecton.ai//evil.example", None),
        (b"https:acme", None),
        (b"//acme.tecton.ai/x", None),
        (b"///evil.example", None),
        (b"/\\evil.example", None),
        (b"\\\\evil.example", None),
        (b"javascript:alert(1)", None),
        (b"https://acme.tecton.ai:x/", None),
        (b"/a b", None),
        (b"/\xc3\xa9", None),
        (b"", None),
    ],
)
def test_a_location_leads_here_or_nowhere(location: bytes, here: bytes | None) -> None:
    assert local(location, ORIGIN) == here


@pytest.mark.parametrize(
    ("location", "here"),
    [
        (b"https://acme.tecton.ai/base/api/x", b"/api/x"),
        (b"/base/api/x", b"/api/x"),
        (b"/base", b"/"),
        (b"/api/x", None),
        (b"/based/x", None),
        (b"https://acme.tecton.ai/", None),
    ],
)
def test_a_base_urls_own_path_is_not_a_part_of_what_is_here(location: bytes, here: bytes | None) -> None:
    assert local(location, f"{ORIGIN}/base/") == here


@given(st.binary(max_size=40) | st.text("/\\:@.?#a%acmeton htps", max_size=40).map(str.encode))
def test_no_location_leads_to_another_host(location: bytes) -> None:
    from urllib.parse import urljoin, urlsplit

    here = local(location, ORIGIN)
    if here is not None:
        assert urlsplit(urljoin("https://gateway/api/x", here.decode())).netloc == "gateway"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("7", "7"),
        (" 120 ", "120"),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT"),
        ("Friday, 31-Dec-99 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT"),
        ("Fri Dec 31 23:59:59 1999", "Fri Dec 31 23:59:59 1999"),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 10, None),
        ("soon\r\nSet-Cookie: a=b", None),
        ("1\n", "1"),
        ("caf\u00e9", None),
    ],
)
def test_a_delay_is_seconds_or_a_date(told: str, kept: str | None) -> None:
    assert retry_after({"retry-after": told}) == kept
    assert retry_after({}) is None
