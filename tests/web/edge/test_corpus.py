"""The corpus at the door: a real server, its real routes, whole and byte by byte; and paths that might mean another."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.houses import House, demo_settings, open_house
from tests.web.edge.corpus import AMBIGUOUS_PATHS, REFUSED, SMUGGLED, TAKEN, head
from tests.web.edge.test_connection import receive
from tests.web.edge.test_deadlines import all_of, connect

SHORT_BYTES = 500
_GET = head(start="GET /livez HTTP/1.1")


@pytest.fixture(scope="module")
def house(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir, server={"header_timeout_s": 5, "body_timeout_s": 5})) as house:
        yield house


def send(connection: socket.socket, raw: bytes, *, singly: bool) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(ConnectionError):  # it may have been refused, and cut, before its end
        for part in [raw[at : at + 1] for at in range(len(raw))] if singly else [raw]:
            connection.sendall(part)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_the_last_of_its_connection(house: House, name: str) -> None:
    raw, status = REFUSED[name]
    raw = raw.replace(b"POST /livez ", b"POST /v1/feature-service/metadata ")  # which reads its body before it answers
    for singly in (False, True)[: 1 + (len(raw) < SHORT_BYTES)]:
        with connect(house) as connection:
            send(connection, _GET + raw + SMUGGLED, singly=singly)
            answer = all_of(connection)
        assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"%d" % status]
        assert b"connection: close\r\n" in answer


@pytest.mark.parametrize("name", [name for name in TAKEN if "looks like" not in name])
def test_after_what_is_taken_the_connection_goes_on(house: House, name: str) -> None:
    with connect(house) as connection:
        send(connection, TAKEN[name][0] + _GET, singly=False)
        answers = receive(connection, b"", 2)
    first, second = re.findall(rb"HTTP/1\.1 (\d+) ", answers)
    assert first in {b"200", b"404", b"405"}
    assert second == b"200"


@pytest.mark.parametrize("path", AMBIGUOUS_PATHS)
@pytest.mark.parametrize("query", ["", "?a=b"])
def test_a_path_that_might_be_read_as_another_leads_nowhere(house: House, path: str, query: str) -> None:
    with connect(house) as connection:
        send(connection, head(start=f"GET {path}{query} HTTP/1.1") + _GET, singly=False)
        answers = receive(connection, b"", 2)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"404", b"200"]
    assert b"no such path" in answers
