"""The open-loop driver against a server that answers well, badly, late and not at all."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from loadtests.open_loop import Outcome, Record, drive, percentile
from tests.harness.clock import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[[int, asyncio.StreamWriter], bool]
"""Of a request by its number: writes, and says whether the connection goes on."""


def request(number: int) -> bytes:
    return f"GET /{number} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


class Served:
    """What the server saw: how many connections there were."""

    connections = 0


async def served(answer: Answer, *, requests: int, **more: object) -> tuple[Outcome, Served]:
    seen = Served()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not answer(int(head.split()[1][1:]), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with asyncio.timeout(PATIENCE_S):
        outcome = await drive(200, requests / 200, request, *server.sockets[0].getsockname()[:2], **more)  # type: ignore[arg-type]
    server.close()
    return outcome, seen


def kindly(_: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(OK)
    return True


async def test_every_request_leaves_by_the_schedule_and_is_accounted_for() -> None:
    heard: dict[int, bytes] = {}
    outcome, seen = await served(kindly, requests=40, connections=4, hear=lambda record, body: heard.update({record.number: body}))
    assert outcome.kinds == {"200": 40}
    assert not outcome.bad()
    assert [record.scheduled_s for record in outcome.records] == [number / 200 for number in range(40)]
    assert all(record.sent_s is not None and record.sent_s >= record.scheduled_s for record in outcome.records)
    assert heard == dict.fromkeys(range(40), b"ok")
    assert seen.connections <= 4
    assert len(outcome.late_s) == 40
    assert min(outcome.late_s) >= -0.01
    assert str(outcome).startswith("40 requests (200: 40), p50 ")


async def test_a_run_may_end_earlier() -> None:
    heard: list[int] = []
    outcome, _ = await served(kindly, requests=2_000, hear=lambda record, _: heard.append(record.number), over=lambda: len(heard) >= 10)
    assert 10 <= len(outcome.records) < 2_000
    assert outcome.kinds == {"200": len(outcome.records)}


async def test_a_stall_is_charged_to_all_that_it_held_up() -> None:
    """One connection, whose first reply comes only once twenty requests were due: closed-loop drivers would count one slow reply."""
    loop = asyncio.get_running_loop()

    def stalling(number: int, writer: asyncio.StreamWriter) -> bool:
        if number:
            writer.write(OK)
        else:
            loop.call_later(0.1, writer.write, OK)
        return True

    outcome, _ = await served(stalling, requests=20, connections=1)
    assert outcome.kinds == {"200": 20}
    assert outcome.records[0].latency_s >= 0.09
    assert all(record.latency_s >= 0.08 - record.scheduled_s for record in outcome.records)


async def test_what_went_wrong_is_told_by_kind() -> None:
    def badly(number: int, writer: asyncio.StreamWriter) -> bool:
        match number % 6:
            case 0:
                writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return False
            case 1:
                writer.write(OK[:-1])
                return False
            case 2:
                writer.write(b"nonsense\r\n\r\n")
            case 3:
                return True  # and never a word
            case 4:
                writer.transport.abort()
                return False
            case _:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        return True

    outcome, _ = await served(badly, requests=12, connections=12, patience_s=0.5)
    kinds = outcome.kinds
    aborted = kinds.pop("reset", 0) + kinds.pop("closed")  # an abort with all read may look like either
    assert kinds == {"503": 2, "malformed": 2, "timeout": 2, "200": 2}
    assert aborted == 4
    assert len(outcome.bad()) == 10
    assert len(outcome.bad((200, 503))) == 8


async def test_nobody_there_is_refused_and_a_full_pool_gives_up_what_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = await drive(200, 0.05, request, "127.0.0.1", port)
    assert outcome.kinds == {"refused": 10}
    assert outcome.latency_ms(99) != outcome.latency_ms(99)  # nan: nothing was answered

    outcome, _ = await served(lambda _number, _writer: True, requests=5, connections=1, patience_s=0.3)
    assert outcome.kinds == {"timeout": 5}
    assert outcome.records[0].sent_s is not None
    assert all(record.latency_s == float("inf") for record in outcome.records)


async def test_a_connection_that_the_server_ends_while_idle_is_not_used_again() -> None:
    def once(_: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK)
        return False  # without having said so

    outcome, seen = await served(once, requests=10, connections=10)
    assert outcome.kinds["200"] >= 9  # one may be on its way just when the end is
    assert seen.connections >= 9


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 3.0), (99, 4.0), (100, 4.0)])
def test_percentiles_are_values_that_occurred(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value


def test_a_record_says_how_it_ended() -> None:
    assert Record(0, 0.0, error="reset").kind == "reset"
    assert Record(0, 1.0, 1.1, 1.5, 204).kind == "204"
    assert Record(0, 1.0, 1.1, 1.5, 204).latency_s == 0.5
