"""The log's lines: one form for all who speak, and nobody held up by who does not read it."""

import io
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, TextIO

import httpx
import pytest
import structlog

from gateway.access_log import AccessLog
from gateway.hosting.logs import WAITING, Logs
from gateway.settings import Log
from tests.harness.clock import wait_until


@pytest.fixture
def begin() -> Iterator[Callable[..., Logs]]:
    """Begins a log, and leaves logging as it was."""
    root, own, began = logging.getLogger(), logging.getLogger("gateway"), list[Logs]()
    before = root.level, own.level, list(root.handlers)

    def start(log: Log, stream: TextIO, *, threaded: bool = True, worker: int | None = None) -> Logs:
        logs = Logs(log, worker=worker, stream=stream)
        logs.begin(threaded=threaded)
        began.append(logs)
        return logs

    yield start
    for logs in began:
        logs.end()
    root.setLevel(before[0])
    own.setLevel(before[1])
    root.handlers[:] = before[2]
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("threaded", [True, False])
def test_what_modules_say_is_a_json_object_a_line(begin: Callable[..., Logs], *, threaded: bool) -> None:
    stream = io.StringIO()
    logs = begin(Log(format="json"), stream, threaded=threaded, worker=3)
    logging.getLogger("gateway.somewhere").warning("%d of %s", 2, "three\nlines")
    logging.getLogger("uvicorn.error").error("a library")
    logging.getLogger("gateway.somewhere").debug("too quiet")
    logs.end()
    first, second = lines(stream)
    assert (first["event"], first["level"], first["logger"], first["worker"]) == ("2 of three\nlines", "warning", "gateway.somewhere", 3)
    assert second["event"] == "a library"
    assert first["timestamp"].endswith("Z")


def test_calls_to_an_origin_leave_no_line_and_no_address(begin: Callable[..., Logs]) -> None:
    stream = io.StringIO()
    begin(Log(level="debug"), stream, threaded=False)
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)), trust_env=False)
    client.get("http://cluster.test/api?user_id=canary")
    assert stream.getvalue() == ""
    logging.getLogger("httpx").warning("something is wrong")
    assert "something is wrong" in stream.getvalue()


def test_for_people_there_is_a_form_of_their_own(begin: Callable[..., Logs]) -> None:
    stream = io.StringIO()
    logs = begin(Log(format="console"), stream)
    logging.getLogger("gateway.somewhere").warning("something")
    logs.end()
    assert "something" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_an_exception_is_told_with_where_it_came_from(begin: Callable[..., Logs]) -> None:
    stream = io.StringIO()
    logs = begin(Log(format="json"), stream)
    try:
        raise KeyError("missing")  # noqa: TRY301 - what is raised is told
    except KeyError:
        logging.getLogger("gateway.somewhere").exception("it failed")
    logs.end()
    [line] = lines(stream)
    assert "KeyError" in json.dumps(line["exception"])


def test_level_and_form_can_be_changed_while_it_runs(begin: Callable[..., Logs]) -> None:
    stream = io.StringIO()
    logs = begin(Log(format="json", level="warning"), stream)
    said = logging.getLogger("gateway.somewhere")
    said.info("unheard")
    logs.change(Log(format="json", level="debug"))
    said.debug("heard")
    logging.getLogger("somebody.else").debug("not ours")
    logs.change(Log(format="json", level="error"))
    said.warning("unheard again")
    logs.end()
    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_whoever_does_not_read_the_log_holds_nobody_up(begin: Callable[..., Logs]) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "w") as writer:
        logs = begin(Log(format="json"), writer)
        said = logging.getLogger("gateway.somewhere")
        for number in range(WAITING + 3_000):  # a pipe holds some hundreds
            said.warning("line %d", number)
        told = list[bytes]()
        listening = threading.Thread(target=lambda: told.extend(reader), daemon=True)
        listening.start()
        wait_until(lambda: any(b"lines were dropped" in line for line in told), "it says what was lost")
        said.warning("the last")
        wait_until(lambda: any(b"the last" in line for line in told[-1:]), "all that waits is written")  # `end` waits for a second
        logs.end()
        writer.close()
        listening.join(10)
    events = [json.loads(line)["event"] for line in told]
    lost = sum(int(event.split()[0]) for event in events if "lines were dropped" in event)
    kept = [event for event in events if event.startswith("line ")]
    assert lost + len(kept) == WAITING + 3_000
    assert lost > 0
    assert events[-1] == "the last"


def test_requests_have_lines_as_the_settings_say(begin: Callable[..., Logs]) -> None:
    stream = io.StringIO()
    logs = begin(Log(format="json"), stream)
    access = AccessLog(Log(requests="all", sample=1.0))
    assert access.draws()
    access.tell("named_single", 200, 0.0015, outcome="hit", request_id=None)
    access.change(Log(requests="errors"))
    assert not any(access.draws() for _ in range(100))
    access.change(Log(requests="off"))
    access.change(Log(requests="all", sample=0.25))
    drawn = sum(access.draws() for _ in range(4_000))
    assert 800 < drawn < 1_200
    logs.end()
    [line] = lines(stream)
    assert {name: line[name] for name in ("event", "door", "status", "duration_ms", "outcome", "level")} == {
        "event": "request",
        "door": "named_single",
        "status": 200,
        "duration_ms": 1.5,
        "outcome": "hit",
        "level": "info",
    }
    assert "request_id" not in line


@pytest.mark.parametrize("requests", ["off", "errors", "all"])
def test_it_is_known_at_once_whether_any_request_has_a_line(requests: Literal["off", "errors", "all"]) -> None:
    assert AccessLog(Log(requests=requests)).on == (requests != "off")
