"""Time and number, over a real server: what drips, what is never read, what is one too many; and everybody else beside it."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadtests.hostile import Address, flood, good_load, never_read, slow_body, slow_header
from tests.doors.flights import tecton
from tests.harness.clock import PATIENCE_S, wait_until
from tests.harness.houses import House, demo_settings, open_house
from tests.web.edge.corpus import chunked, head
from tests.web.edge.test_connection import HIT, V1, receive, request

LIMIT_S = 0.4
SHORT = {"header_timeout_s": LIMIT_S, "body_timeout_s": LIMIT_S, "write_timeout_s": LIMIT_S}
LONG_S = 10.0
"""What no test here waits for."""


@pytest.fixture(scope="module")
def house(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir, server=SHORT)) as house:
        house.client.post(V1, json=tecton()).raise_for_status()
        yield house


def address_of(house: House) -> Address:
    parts = urlsplit(house.url)
    return parts.hostname or "", parts.port or 0


def connect(house: House) -> "closing[socket.socket]":
    return closing(socket.create_connection(address_of(house), timeout=PATIENCE_S))


def all_of(connection: socket.socket) -> bytes:
    return receive(connection, b"", 1_000_000)


@pytest.mark.parametrize("path", [V1, "/livez", "/ingest"])
async def test_a_head_that_drips_is_given_its_time_and_no_more(house: House, path: str) -> None:
    ending = await slow_header(address_of(house), path.encode(), every_s=LIMIT_S / 8, until_s=LONG_S)
    assert (ending.status, ending.cut) == (408, True)
    assert LIMIT_S <= ending.after_s < LONG_S


@pytest.mark.parametrize(("path", "headers"), [(V1, b""), (V1, b"Connection: keep-alive\r\n"), ("/ingest", b"")])
async def test_a_body_that_drips_is_given_its_time_and_no_more(house: House, path: str, headers: bytes) -> None:
    ending = await slow_body(address_of(house), path.encode(), every_s=LIMIT_S / 8, until_s=LONG_S, headers=headers)
    assert (ending.status, ending.cut) == (408, True)
    assert LIMIT_S <= ending.after_s < LONG_S


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"\r"])
def test_a_connection_that_asks_nothing_is_closed_without_a_word(house: House, begun: bytes) -> None:
    with connect(house) as connection:
        connection.sendall(begun)
        answer = all_of(connection)
    assert (answer == b"") == (begun != b"\r")


@pytest.mark.parametrize("before", [1, 3])
def test_a_late_request_is_told_so_after_the_answers_before_it(house: House, before: int) -> None:
    with connect(house) as connection:
        connection.sendall(HIT * before + HIT[:-20])
        answer = all_of(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200"] * before + [b"408"]
    assert answer.count(b"connection: close") == 1
    assert b"body did not come in" in answer


def test_a_late_body_of_ingest_is_told_in_its_doors_own_shape(house: House) -> None:
    with connect(house) as connection:
        connection.sendall(request("/ingest", b"{", "Content-Length: 20"))
        assert b'{"requestError":{"errorMessage":"The request\'s body did not' in all_of(connection)


def test_a_body_that_is_late_after_its_answer_gets_no_second_one(house: House) -> None:
    with connect(house) as connection:
        connection.sendall(head("Content-Length: 20", start="POST /nowhere HTTP/1.1") + b"part")
        answer = all_of(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"404"]


def test_a_body_that_goes_wrong_after_its_answer_gets_no_second_one(house: House) -> None:
    with connect(house) as connection:
        connection.sendall(chunked(b"5\r\nhello\r\n").replace(b"livez", b"nowhere"))
        answer = receive(connection, b"", 1)
        connection.sendall(b"nonsense\r\n" + HIT)
        answer += all_of(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"404"]


def test_a_client_that_takes_its_time_between_requests_is_left_alone(house: House) -> None:
    with connect(house) as connection:
        for _ in range(2):
            connection.sendall(HIT)
            assert receive(connection, b"", 1).startswith(b"HTTP/1.1 200")
            time.sleep(2 * LIMIT_S)


async def test_a_client_that_does_not_read_is_cut_and_good_ones_notice_nothing(house: House) -> None:
    before = house.app.counters.unread_replies
    address = address_of(house)
    rude = asyncio.gather(*(never_read(address, HIT, until_s=PATIENCE_S) for _ in range(5)))
    load = await good_load(address, HIT, connections=2, every_s=0.02, until_s=1.0)
    endings = await rude
    assert all(ending.cut for ending in endings)
    assert set(load.statuses) == {200}
    assert not load.failures
    assert house.app.counters.unread_replies == before + 5


@pytest.mark.parametrize("framed", [b"Content-Length: 1000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
@pytest.mark.parametrize("path", [V1, "/ingest"])
async def test_a_body_without_end_is_refused_and_not_taken_in(house: House, path: str, framed: bytes) -> None:
    piece = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    opening = b"POST %b HTTP/1.1\r\nHost: gateway\r\n" % path.encode()
    ending, sent_bytes = await flood(address_of(house), opening + framed, piece, size_bytes=1_000_000_000, until_s=LONG_S)
    assert (ending.status, ending.cut) == (413, True)
    assert sent_bytes < 100_000_000


def test_a_client_that_sends_all_before_it_reads_still_gets_to_read_why(house: House) -> None:
    for content in (b"x" * 4_000_000, iter([b"x" * 1_000_000] * 4)):
        assert house.client.post(V1, content=content).status_code == 413
    assert house.client.get("/livez").status_code == 200


def test_every_kind_of_ending_is_counted(house: House) -> None:
    counters = house.app.counters
    assert min(counters.late_requests, counters.refused_requests, counters.unread_replies) > 0
    told = house.client.get("/metrics").text
    assert f"feature_gateway_late_requests_total {counters.late_requests}\n" in told
    late = house.app.book.problems[408, "caller"]
    assert 0 < late <= counters.late_requests  # not all that are late have somebody to be told
    assert f'feature_gateway_problems_total{{code="408",fault="caller"}} {late}\n' in told


def opened(house: House, count: int, within: ExitStack) -> list[socket.socket]:
    connections = [within.enter_context(connect(house)) for _ in range(count)]
    for connection in connections:
        connection.sendall(head(start="GET /livez HTTP/1.1"))
        assert receive(connection, b"", 1).startswith(b"HTTP/1.1 200")
    return connections


@pytest.mark.parametrize("server", [{"max_connections": 4}, {"max_connections_per_client": 4}])
def test_one_connection_too_many_is_refused_at_once_and_the_next_one_after_another_left_is_not(
    demo_dir: Path, server: dict[str, Any]
) -> None:
    with open_house(demo_settings(demo_dir, server=server)) as house, ExitStack() as within:
        connections = opened(house, 4, within)
        with connect(house) as extra:
            answer = all_of(extra)
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert answer.endswith(b'{"error":"Too many connections.","message":"Too many connections.","code":14}')
            assert b"connection: close" in answer
        assert house.app.counters.refused_connections == 1
        assert house.app.book.problems == {(503, "gateway"): 1}
        assert house.app.admission.connections == 4
        connections.pop().close()

        def let_in() -> bool:
            with connect(house) as one:
                one.sendall(head(start="GET /livez HTTP/1.1"))
                return receive(one, b"", 1).startswith(b"HTTP/1.1 200")

        wait_until(let_in, "a place to become free")
