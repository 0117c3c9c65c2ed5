"""The edge against stock uvicorn: the same connections, byte for byte, get the same answers."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.web.edge import Lanes
from tests.doors.flights import BOARD, CONTEXT, KEYS, NAMED, V2, named, tecton, tecton_batch
from tests.harness.clock import PATIENCE_S, wait_until
from tests.harness.houses import READER, House, demo_settings, open_house
from tests.hosting.lines import refuses

V1 = "/api/v1/feature-service/get-features"
SHOWN = {"includeNames": True, "includeServingStatus": True, "includeDataTypes": True}
CHANGING = re.compile(rb"date: [^\r]*\r\n")


def request(path: str, body: bytes | dict[str, Any], *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = "".join(f"{header}\r\n" for header in headers)
    key = "" if any(header.lower().startswith("authorization") for header in headers) else f"Authorization: Tecton-key {READER}\r\n"
    length = "" if any(header.lower().startswith(("transfer-encoding", "content-length")) for header in headers) else f"{len(content)}"
    announced = f"Content-Length: {length}\r\n" if length else ""
    return f"{method} {path} HTTP/{version}\r\nHost: gateway\r\n{key}{told}{announced}\r\n".encode() + content


HIT = request(V1, tecton(metadataOptions=SHOWN))
NAMED_HIT = request(f"{NAMED}/features", named(include=["source", "status", "ageSeconds"]))
PLAIN = (
    HIT,
    NAMED_HIT,
    request(f"{V2}/get-features", tecton()),
    request(f"{V2}/get-features-batch", tecton_batch(KEYS, KEYS)),
    request(f"{NAMED}/features:batch", {"rows": [{"joinKeys": KEYS, "requestContext": CONTEXT}, {"joinKeys": {}}]}),
    request(f"{BOARD}/features", {"joinKeys": {"origin": "JFK", "dest": "LAX"}}),
    request(V1, tecton(), "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    request(V1, tecton(), "Content-Type: text/plain", "X-Anything: goes"),
)
ODD = (
    request(V1, b"not json"),
    request(V1, b""),
    request(V1, tecton(featureServiceName="nobody's")),
    request(V1, tecton(joinKeyMap={"origin": "JFK"})),
    request(V1, tecton(requestOptions={"readFromCache": False})),
    request(V1, tecton(), "Authorization: Tecton-key wrong"),
    request(V1, tecton(), f"Authorization: Tecton-key {READER}", f"Authorization: Tecton-key {READER}"),
    request(V1, tecton(), "Connection: keep-alive"),
    request(V1, tecton(), "Expect: 100-continue"),
    request(V1, b'5\r\n{"par\r\n0\r\n\r\n', "Transfer-Encoding: chunked"),
    request(f"{V1}?a=b", tecton()),
    request(V1.replace("get-", "get%2D"), tecton()),
    request(f"{NAMED}/features".replace("flight", "fl%69ght"), named()),
    request(f"{NAMED}/features/", named()),
    request("/v1/workspaces/prod/feature-services//features", named()),
    request(V1, b"", method="GET"),
    request(f"{NAMED}/features", b"", method="PUT"),
    request("/livez", b"", method="GET"),
    request("/nowhere", b"{}"),
)
LAST = (
    request(V1, tecton(), "Connection: close"),
    request(V1, tecton(), version="1.0"),
    HIT[:-20],
)
"""What ends a connection, or leaves it waiting: it comes last."""


@pytest.fixture(scope="module")
def houses(demo_dir: Path) -> Iterator[tuple[House, House]]:
    """The same gateway at the edge and without it, both with all that PLAIN asks for in their caches."""
    tree = demo_settings(demo_dir)
    with open_house(tree) as edge, open_house(tree, at_the_edge=False) as stock:
        for house in (edge, stock):
            for one in PLAIN:
                talk(house, [one], 1)
        yield edge, stock


def talk(house: House, chunks: Sequence[bytes], answers: int, *, after: Sequence[bytes] = ()) -> bytes:
    """Send the chunks one by one; what came back by the time that many answers are whole, or the server has closed.

    `after` is sent when all that came before it has been answered.
    """
    address = urlsplit(house.url)
    assert address.hostname is not None
    with closing(socket.create_connection((address.hostname, address.port or 0), timeout=PATIENCE_S)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for chunk in chunks:
            connection.sendall(chunk)
        received = receive(connection, b"", len(chunks) if after else answers)
        for chunk in after:
            connection.sendall(chunk)
        return CHANGING.sub(b"", receive(connection, received, answers))


def receive(connection: socket.socket, received: bytes, answers: int) -> bytes:
    while whole_answers(received) < answers:
        part = connection.recv(65536)
        if not part:
            break
        received += part
    return received


def whole_answers(received: bytes) -> int:
    """How many final answers are whole; interim ones do not count."""
    count = 0
    while True:
        head, found, rest = received.partition(b"\r\n\r\n")
        if not found:
            return count
        length = re.search(rb"content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return count
        received = rest[size:]
        count += not head.startswith(b"HTTP/1.1 1")


@pytest.mark.parametrize("one", [*PLAIN, *ODD], ids=range(len(PLAIN) + len(ODD)))
def test_one_request_gets_the_same_bytes(houses: tuple[House, House], one: bytes) -> None:
    edge, stock = (talk(house, [one], 1) for house in houses)
    assert edge == stock
    assert edge.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("one", LAST[:-1], ids=range(len(LAST) - 1))
def test_a_request_that_ends_its_connection_does_so_alike(houses: tuple[House, House], one: bytes) -> None:
    edge, stock = (talk(house, [HIT], 3, after=[one]) for house in houses)
    assert edge == stock


def test_a_body_that_is_announced_too_large_is_refused_alike_and_ends_the_connection(houses: tuple[House, House]) -> None:
    for path in (V1, "/ingest"):
        one = request(path, b"x" * 64, "Content-Length: 99999999")
        edge, stock = (talk(house, [HIT], 3 - at_the_edge, after=[one]) for at_the_edge, house in enumerate(houses))
        assert edge.replace(b"connection: close\r\n", b"") == stock
        assert b" 413 " in edge


def test_a_body_that_never_comes_gets_no_answer(houses: tuple[House, House]) -> None:
    assert [whole_answers(talk(house, [HIT + LAST[-1]], 1)) for house in houses] == [1, 1]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from((*PLAIN, *PLAIN, *ODD)), min_size=1, max_size=6), st.randoms(use_true_random=False), st.integers(0, 6))
def test_a_connection_gets_the_same_bytes_however_it_is_cut(
    houses: tuple[House, House], requests: list[bytes], random: Any, cuts: int
) -> None:
    """Pipelined, split anywhere, in order: hits, misses, mistakes, odd framing."""
    stream = b"".join(requests)
    places = sorted(random.randrange(len(stream) + 1) for _ in range(cuts))
    chunks = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    edge, stock = (talk(house, [chunk for chunk in chunks if chunk], len(requests)) for house in houses)
    assert edge == stock


def test_both_ways_tell_the_same_of_a_hit(houses: tuple[House, House]) -> None:
    told = []
    for house in houses:
        before = len(house.spans())
        talk(house, [HIT], 1)
        [span] = house.settle_spans(before + 1)[before:]
        told.append((span.name, span.kind, {name: value for name, value in (span.attributes or {}).items() if "server_time" not in name}))
    assert told[0] == told[1]
    assert told[0][2]["feature_gateway.cache.outcome"] == "hit"


def test_the_edge_answers_without_asgi(houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("ASGI was asked")

    monkeypatch.setattr("gateway.web.middleware.Problems.__call__", refuse)
    assert talk(houses[0], [HIT, NAMED_HIT], 2).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "target", ["/livez", f"{V1}/", f"{V1}?x", "/ingest", f"{NAMED}/schema", f"{NAMED}/features%3Abatch", "/\xe9/features"]
)
def test_lanes_lead_to_read_doors_alone(houses: tuple[House, House], target: str) -> None:
    lanes = Lanes(houses[0].app.routes)
    assert lanes.find(V1.encode()) is not None
    assert lanes.find(f"{NAMED}/features:batch".encode()) is not None
    assert lanes.find(target.encode()) is None


def test_a_request_whose_body_still_comes_at_shutdown_is_answered(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir)) as house:
        talk(house, [HIT], 1)
        address = urlsplit(house.url)
        assert address.hostname is not None
        with closing(socket.create_connection((address.hostname, address.port or 0), timeout=PATIENCE_S)) as connection:
            connection.sendall(HIT[:-20])
            talk(house, [HIT], 1)  # what was sent before it has been read
            house.stop()
            wait_until(lambda: refuses(house.url), "the listener to close")
            connection.sendall(HIT[-20:])
            answer = receive(connection, b"", 2)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer
