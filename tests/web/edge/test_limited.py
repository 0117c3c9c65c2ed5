"""How a connection ends, by the turn of the loop: applications that are slow, answers half written, leaving, transports of other kinds."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from gateway.web.edge.limited import bound_unsent
from tests.doors.flights import tecton
from tests.harness.houses import House, demo_settings, open_house
from tests.web.edge.bench import Bench
from tests.web.edge.corpus import REFUSED, SMUGGLED, chunked, head
from tests.web.edge.test_connection import HIT, V1, talk

GET = head(start="GET /livez HTTP/1.1")
LATER_S = 1e9


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Slow(Bench):
    """An application that reads nothing until it is told to."""

    def __init__(self, *, begins: bool = False) -> None:
        super().__init__()
        self.go_on, self.heard = asyncio.Event(), list[str]()
        self._begins = begins
        self._config.loaded_app = self.slow

    async def slow(self, _: Scope, receive: Receive, send: Send) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await self.go_on.wait()
        self.heard.append((await receive())["type"])
        if self.heard == ["http.request"]:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})


async def test_a_body_that_the_application_leaves_waiting_is_not_late() -> None:
    bench = Slow()
    connection, wire = bench.connect()
    connection.data_received(head("Content-Length: 200000") + b"a" * 100_000)
    await turns()
    assert connection.due_s < inf
    assert connection.flow.read_paused
    connection.expire(LATER_S)
    assert connection.due_s == LATER_S + 30.0
    assert not wire.sent
    connection.connection_lost(None)
    bench.go_on.set()
    await turns()


@pytest.mark.parametrize("begins", [False, True])
async def test_a_body_that_goes_wrong_ends_its_request_once(begins: bool) -> None:  # noqa: FBT001
    bench = Slow(begins=begins)
    connection, wire = bench.connect()
    connection.data_received(chunked(b"5\r\nhello\r\n"))
    await turns()
    connection.data_received(b"nonsense\r\n" + SMUGGLED)
    assert wire.aborted == begins  # an answer that is half there must look so
    assert wire.statuses() == ([200] if begins else [400])
    connection.data_received(SMUGGLED)
    connection.connection_lost(None)
    bench.go_on.set()
    await turns()
    assert bench.heard == ["http.disconnect"]
    assert wire.statuses() == ([200] if begins else [400])


async def test_a_request_that_is_whole_is_the_applications_and_one_that_is_answered_leaves_its_connection_idle() -> None:
    bench = Slow()
    connection, wire = bench.connect()
    connection.data_received(head("Content-Length: 5"))
    await turns()
    connection.data_received(b"hello")
    assert connection.due_s == inf
    bench.go_on.set()
    await turns()
    assert wire.statuses() == [200]
    idle_s = connection.due_s - asyncio.get_running_loop().time()
    assert 0 < idle_s <= connection.timeout_keep_alive
    connection.connection_lost(None)


async def test_who_reads_again_goes_on_where_it_was() -> None:
    bench = Bench()
    connection, wire = bench.connect()
    connection.pause_writing()
    assert connection.read_by_s < inf
    connection.data_received(GET * 2)
    await turns()
    connection.expire(connection.due_s)  # asks nothing that could be late: it is its reading that is waited for
    assert (connection.due_s, wire.sent, wire.closed) == (inf, b"", False)
    connection.resume_writing()
    assert connection.due_s < inf
    await turns(10)
    assert wire.statuses() == [200, 200]
    connection.pause_writing()
    connection.resume_writing()  # with nothing to go on with
    connection.connection_lost(None)
    connection.resume_writing()


async def test_who_does_not_read_is_cut_and_counted_also_when_it_was_left_already() -> None:
    bench = Bench()
    for closes in (False, True):
        connection, wire = bench.connect()
        connection.data_received(GET)
        await turns()
        if closes:
            connection.expire(connection.due_s)  # idle for too long
            assert wire.closed
            assert not wire.aborted
            connection.expire(connection.due_s)
        else:
            connection.pause_writing()
            connection.expire(connection.read_by_s)
        assert wire.aborted
        connection.connection_lost(None)
    assert bench.counters.unread_replies == 2


async def test_a_refused_client_is_heard_for_a_while_then_waits_then_is_cut() -> None:
    bench = Bench()
    connection, wire = bench.connect()
    connection.data_received(REFUSED["two hosts"][0])
    for _ in range(20):
        connection.data_received(b"a" * 1_048_576)
    assert wire.reading_paused
    assert wire.statuses() == [400]
    assert not wire.closed
    connection.expire(connection.due_s)
    assert wire.aborted
    assert not bench.counters.unread_replies
    connection.connection_lost(None)


async def test_where_one_side_cannot_end_alone_both_do() -> None:
    bench = Bench()
    connection, wire = bench.connect()
    wire.half_closes = False  # as with TLS
    connection.data_received(REFUSED["two hosts"][0])
    assert wire.statuses() == [400]
    assert wire.closed
    connection.data_received(b"more")
    connection.connection_lost(None)


async def test_nothing_is_said_to_who_is_gone() -> None:
    bench = Bench()
    connection, wire = bench.connect()
    connection.data_received(head("Content-Length: 5"))
    wire.close()
    connection.overdue(LATER_S)
    assert not wire.sent
    connection.connection_lost(None)
    await turns()


async def test_leaving_waits_for_what_is_under_way() -> None:
    bench = Bench()
    for begun, rest in ((b"", b""), (GET[:9], GET[9:]), (GET, b""), (head("Content-Length: 2") + b"a", b"b")):
        connection, wire = bench.connect()
        if begun:
            connection.data_received(begun)
        connection.shutdown()
        assert wire.closed == (not begun)
        if rest:
            connection.data_received(rest)
        await turns()
        assert wire.closed
        assert wire.statuses() == [200] * bool(begun)
        assert (b"connection: close" in wire.sent) == bool(begun)
        connection.connection_lost(None)


async def test_an_empty_line_before_each_request_is_not_too_many() -> None:
    wire = await Bench().feed([b"\r\n" * 3 + GET] * 5, 5, turns=5)
    assert wire.statuses() == [200] * 5


async def test_many_requests_ahead_take_turns() -> None:
    bench = Bench()
    lines = []
    for _ in range(2):
        connection, wire = bench.connect()
        lines.append((connection, wire))
        connection.data_received(GET * 2_000)
        assert wire.reading_paused
    await turns(500)
    first, second = (len(wire.statuses()) for _, wire in lines)
    assert 0 < second <= first < 2_000
    assert first - second < 50
    for connection, _ in lines:
        connection.connection_lost(None)
    await turns()


@pytest.fixture(scope="module")
def house(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir)) as house:
        house.client.post(V1, json=tecton()).raise_for_status()
        yield house


async def test_many_hits_ahead_take_turns(house: House) -> None:
    bench = Bench(house.app.routes)
    connection, wire = bench.connect()
    connection.data_received(HIT * 100)
    assert 0 < len(wire.statuses()) < 20
    await turns(50)
    assert wire.statuses() == [200] * 100
    assert not bench.app.seen  # none was ASGI's
    connection.connection_lost(None)


def served(house: House) -> int:
    return sum(ledger.views_cache for ledger in house.app.book.services.values())


def test_many_hits_ahead_are_answered_in_order_and_whole(house: House) -> None:
    before = served(house)
    answers = talk(house, [HIT * 300], 300)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 300
    assert served(house) > before


def test_a_hit_that_fails_is_tried_again_where_failures_are_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    [endpoint] = {route.app for route in house.app.routes if getattr(route, "path", "") == V1}  # type: ignore[attr-defined]
    monkeypatch.setattr(endpoint, "hit", fail)
    assert talk(house, [HIT], 1).startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_the_system_keeps_for_a_client_is_bounded_where_it_can_be() -> None:
    with closing(socket.socket()) as one, closing(socket.socket(socket.AF_UNIX)) as local:
        bound_unsent(one)
        bound_unsent(local)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 131_072
