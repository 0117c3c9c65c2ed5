"""Forwarded calls while they run: parts as they come, bounds, callers who leave, clusters that break off."""

import asyncio
import http.client
import json
import select
import socket
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.clock import PATIENCE_S, Hold, wait_until
from tests.harness.cluster import ALICE
from tests.harness.houses import House, cluster_settings, open_house
from tests.harness.upstreams import Heard, Upstream, raw, reply, silent
from tests.web.forwarded import CREDENTIAL, MADE, SECRET, ask, request, talk


def test_an_answer_passes_part_by_part(upstream: Upstream, house: House) -> None:
    hold = Hold()

    async def script(heard: Heard) -> bool:
        await heard.read()
        await heard.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
        await hold.reach()
        await heard.write(b"-last")
        return True

    upstream.script = script
    with closing(http.client.HTTPConnection(urlsplit(house.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request("GET", SECRET, headers=dict([CREDENTIAL]))
        answer = connection.getresponse()
        assert answer.read(5) == b"first"
        hold.release()
        assert answer.read() == b"-last"


def test_a_request_passes_part_by_part(upstream: Upstream, house: House) -> None:
    with closing(http.client.HTTPConnection(urlsplit(house.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.putrequest("PUT", SECRET)
        connection.putheader(*CREDENTIAL)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(b"")
        for part in (b"one", b"two", b"three"):
            before = bytes(upstream.last.body) if upstream.heard else b""
            connection.send(b"%x\r\n%b\r\n" % (len(part), part))
            wait_until(lambda: bool(upstream.heard) and bytes(upstream.last.body) == before + part, "the part at the cluster")  # noqa: B023 - asked at once
        connection.send(b"0\r\n\r\n")
        with connection.getresponse() as answer:
            assert (answer.status, answer.read()) == (200, b'{"ok":true}')
    assert upstream.last.header("transfer-encoding") == "chunked"
    assert upstream.last.header("content-length") is None


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000])
def test_a_body_arrives_whole(upstream: Upstream, house: House, size: int, *, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    sent = body[:size]
    upstream.script = reply("200 OK", sent)
    told = ask(house, "POST", SECRET, sent, chunked=chunked)
    assert bytes(upstream.last.body) == sent
    assert told.body == sent


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_wherever_that_shows(upstream: Upstream, house: House, *, chunked: bool) -> None:
    told = ask(house, "PUT", SECRET, b"x" * 1_048_577, chunked=chunked)
    assert (told.status, told.message) == (413, "The body is larger than 1048576 bytes.")
    assert chunked or upstream.heard == []
    wait_until(lambda: all(one.cut for one in upstream.heard), "the cluster to be left, if it had been asked at all")


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_an_answer_of_any_size_takes_little_memory(upstream: Upstream, house: House) -> None:
    """256 MiB to a client that reads slowly: what the cluster may send ahead is what sockets and a few parts hold."""
    part, parts = b"x" * 65_536, 4_096
    sent = 0

    async def script(heard: Heard) -> bool:
        nonlocal sent
        await heard.read()
        await heard.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(part) * parts))
        for _ in range(parts):
            await heard.write(part)
            sent += len(part)
        return True

    upstream.script = script
    before = resident_bytes()
    with closing(http.client.HTTPConnection(urlsplit(house.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request("GET", SECRET, headers=dict([CREDENTIAL]))
        answer = connection.getresponse()
        settled = -1
        while settled != sent:  # nothing is read here: the cluster comes to a halt
            settled = sent
            time.sleep(0.2)
        assert sent < len(part) * parts / 2
        received = 0
        while got := len(answer.read(262_144)):
            received += got
    assert received == len(part) * parts
    assert resident_bytes() - before < 32 * 1024 * 1024


def test_an_answer_may_come_before_the_request_is_whole(upstream: Upstream, house: House) -> None:
    async def refuse(heard: Heard) -> bool:
        assert await heard.read_part()
        await heard.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        while await heard.read_part():  # what is sent all the same is read, or the answer could be lost with the connection
            pass
        return False

    upstream.script = refuse
    for chunked in (False, True):
        told = ask(house, "PUT", SECRET, b"x" * 400_000, chunked=chunked)
        assert (told.status, told.body) == (403, b"no")
    upstream.script = reply()
    assert ask(house, "PUT", SECRET, b"x").status == 200


def test_connections_to_the_cluster_are_used_again(upstream: Upstream, house: House) -> None:
    before = upstream.connections
    assert [ask(house, "GET", SECRET).status for _ in range(6)] == [200] * 6
    assert upstream.connections < before + 6


def test_a_client_that_goes_away_while_it_waits_ends_its_call(upstream: Upstream, house: House) -> None:
    upstream.script = silent
    address = urlsplit(house.url)
    with closing(socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE_S)) as connection:
        connection.sendall(request("POST", SECRET, body=b"{}"))
        upstream.wait_heard(1)
    wait_until(lambda: upstream.last.cut, "the cluster to be left")


def test_a_client_that_goes_away_in_the_middle_of_its_body_ends_its_call(upstream: Upstream, house: House) -> None:
    address = urlsplit(house.url)
    with closing(socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE_S)) as connection:
        connection.sendall(request("POST", SECRET, body=b"x" * 1000)[:-500])
        upstream.wait_heard(1)
    wait_until(lambda: upstream.last.cut, "the cluster to be left")


def test_a_client_that_goes_away_in_the_middle_of_an_answer_ends_its_call(upstream: Upstream, house: House) -> None:
    left: list[bool] = []

    async def endless(heard: Heard) -> bool:
        await heard.read()
        await heard.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                await heard.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        finally:
            left.append(True)

    upstream.script = endless
    with closing(http.client.HTTPConnection(urlsplit(house.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request("GET", SECRET, headers=dict([CREDENTIAL]))
        assert connection.getresponse().read(1_000_000)
    wait_until(lambda: bool(left), "the cluster to be left")


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [WHOLE, CHUNKED], ids=["content-length", "chunked"])
def test_an_answer_that_is_cut_anywhere_is_never_passed_for_a_whole_one(upstream: Upstream, house: House, answer: bytes) -> None:
    head = answer.index(b"\r\n\r\n") + 4
    for cut in range(len(answer)):
        upstream.script = raw(answer[:cut], keep=False)
        received = talk(house, request("GET", SECRET))
        if cut < head:
            assert received.startswith(b"HTTP/1.1 503 "), cut
            assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == 14
        else:
            told_head, _, body = received.partition(b"\r\n\r\n")
            assert told_head.startswith(b"HTTP/1.1 200 ")
            if answer is WHOLE:
                assert b"content-length: 10" in told_head
                assert len(body) < 10
            else:
                assert b"transfer-encoding: chunked" in told_head
                assert not body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"nonsense\r\n\r\n", 503),
        (b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 503),
        (b"", 503),
    ],
)
def test_an_answer_that_is_none_is_an_error_of_the_clusters(upstream: Upstream, house: House, answer: bytes, status: int) -> None:
    upstream.script = raw(answer, keep=False)
    told = ask(house, "GET", SECRET)
    assert told.status == status
    assert "feature store" in told.message


def test_an_interim_answer_is_not_the_answer(upstream: Upstream, house: House) -> None:
    upstream.script = raw(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + WHOLE)
    assert ask(house, "GET", SECRET).body == b"0123456789"


def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with open_house(cluster_settings(f"http://127.0.0.1:{port}"), ALICE) as house:
        told = ask(house, "GET", SECRET)
        assert (told.status, told.message) == (503, "The feature store cannot be reached.")
        assert MADE.fullmatch(told.header("x-request-id") or "")


def test_a_cluster_that_is_late_is_timed_out() -> None:
    async def late(heard: Heard) -> bool:
        await heard.read()
        if heard.method == "POST":
            await heard.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234")
        assert await heard.reader.read(1) == b""
        return False

    with Upstream(late) as upstream, open_house(cluster_settings(upstream.url, forward={"timeout_s": 0.3}), ALICE) as house:
        told = ask(house, "GET", SECRET)
        assert (told.status, told.message) == (504, "The feature store did not answer in time.")
        received = talk(house, request("POST", SECRET, body=b"{}"))
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.endswith(b"\r\n\r\n01234")
        upstream.wait_left()
        text = house.client.get("/metrics").text
        assert "feature_gateway_forwarded_calls_total 2\n" in text
        assert "feature_gateway_forwarded_failures_total 2\n" in text


@pytest.mark.parametrize("transport", ["fast", "httpx"])
def test_a_cluster_that_takes_nothing_holds_its_caller_back_and_no_longer_than_the_deadline(transport: str) -> None:
    async def deaf(heard: Heard) -> bool:
        await asyncio.wait_for(heard.writer.wait_closed(), PATIENCE_S)
        return False

    with Upstream(deaf) as upstream:
        tree = cluster_settings(upstream.url, forward={"timeout_s": 1.0}, server={"max_body_bytes": 268_435_456})
        tree["origin"] |= {"transport": transport}
        with open_house(tree, ALICE) as house:
            before = resident_bytes()
            address = urlsplit(house.url)
            with closing(socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE_S)) as connection:
                connection.settimeout(0)
                sent, received = 0, b""
                head = request("PUT", SECRET).replace(b"Content-Length: 0", b"Content-Length: 268435456")
                head = head.replace(b"Connection: close\r\n", b"")  # or the answer could be lost with what nobody read
                pending, deadline = head, time.monotonic() + PATIENCE_S
                while b"\r\n\r\n" not in received and time.monotonic() < deadline:
                    readable, writable, _ = select.select([connection], [connection] if sent < 200_000_000 else [], [], 0.05)
                    if writable:
                        with suppress(BlockingIOError):
                            done = connection.send(pending)
                            sent, pending = sent + done, pending[done:] or b"x" * 262_144
                    if readable:
                        received += connection.recv(65_536)
                    assert resident_bytes() - before < 64 * 1024 * 1024
            assert received.startswith(b"HTTP/1.1 504 ")
            assert sent < 100_000_000  # what sockets hold, not what there was to send


def test_calls_beyond_the_bound_wait_and_those_that_were_left_lose_no_place() -> None:
    with Upstream(silent) as upstream:
        tree = cluster_settings(upstream.url, forward={"max_connections": 2})
        with open_house(tree, ALICE) as house:
            address = urlsplit(house.url)
            for turn in range(10):
                connections = [socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE_S) for _ in range(5)]
                for number, connection in enumerate(connections):
                    connection.sendall(request("PUT", SECRET, body=b"{}" * (number % 2)))
                upstream.wait_heard(2 * turn + 1)
                assert upstream.open <= 2
                for connection in connections:
                    connection.close()
                upstream.wait_left()
                count = len(upstream.heard)
                wait_until(lambda: upstream.open == 0 and len(upstream.heard) == count, "calm")  # noqa: B023 - asked at once
            upstream.script = reply()
            assert [ask(house, "GET", SECRET).status for _ in range(8)] == [200] * 8
