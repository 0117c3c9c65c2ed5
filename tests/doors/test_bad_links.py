"""Connections to an origin that say more than they were asked, end at the wrong moment, die without a word, or are never made."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import pytest

from tests.doors.bad_days import CODES, LONG_S, SHORT_S, TTL_S, ask, by_transport, check_cold, gateway, right_values, told
from tests.doors.flights import problem
from tests.harness.clock import Hold, wait_until
from tests.harness.links import links_to, nobody_home
from tests.harness.scripted import scripts
from tests.harness.scripted.origin import ScriptedOrigin
from tests.harness.scripted.steps import STRANGER, Deafen, Finish, HalfFinish, Reset, Script, Send, Step

MORE: dict[str, Script] = {
    "another reply": scripts.twice,
    "too short a length": partial(scripts.mislabelled, off=-5),
    "bytes": partial(scripts.suffixed, data=b"x"),
    "a line": partial(scripts.suffixed, data=b"\r\n"),
}


@by_transport
@pytest.mark.parametrize("more", MORE)
def test_what_comes_after_a_reply_is_nobodys(more: str, transport: str) -> None:
    """It costs the connection: the next reply on it could be another's. The stock client keeps both, and nothing above it can tell."""
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        told(ask(house, "before"))
        origin.act(MORE[more])
        first = ask(house, "first")
        if more == "too short a length":
            assert problem(first)[0] == 502
        else:
            assert told(first) == right_values(origin, "first")
        next_ones = [ask(house, f"next-{number}") for number in range(3)]
        if transport == "httpx" and more == "another reply":
            assert told(next_ones.pop(0)) == right_values(origin, STRANGER), "mended in httpcore: hold it to the same as ours"
        elif transport == "httpx":
            assert problem(next_ones.pop(0))[0] == 503
        for reply, number in zip(reversed(next_ones), (2, 1, 0), strict=False):
            assert told(reply) == right_values(origin, f"next-{number}")


@by_transport
def test_a_reply_on_an_idle_connection_is_nobodys(transport: str) -> None:
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        for number in range(5):
            assert told(ask(house, f"user-{number}")) == right_values(origin, f"user-{number}")
            assert origin.interject(origin.asked()[-1].of_a_stranger.wire) == 1
        assert origin.connections.total == 5


GREETINGS: dict[str, tuple[tuple[Step, ...], dict[str, int]]] = {
    "closed": ((Finish(),), {"fast": 503, "httpx": 503}),
    "half closed": ((HalfFinish(),), {"fast": 503, "httpx": 503}),
    "reset": ((Reset(),), {"fast": 503, "httpx": 503}),
    "garbage": ((Send(b"220 mail.example ESMTP\r\n"), Finish()), {"fast": 503, "httpx": 503}),
    "never answered": ((Deafen(),), {"fast": 504, "httpx": 504}),
}


@by_transport
@pytest.mark.parametrize("greeting", GREETINGS)
def test_a_connection_that_is_ill_from_the_start(greeting: str, transport: str) -> None:
    steps, statuses = GREETINGS[greeting]
    with ScriptedOrigin() as origin, gateway(origin.url, transport, deadline_s=SHORT_S) as house:
        before = told(ask(house, "warm"))
        house.clock.advance(TTL_S + 1)
        origin.close_idle()
        origin.greeting = steps
        for user in ("cold-1", "cold-2"):
            check_cold(house, origin, user, statuses[transport])
        assert told(ask(house, "warm")) == before
        origin.greeting = ()
        for user in ("cold-1", "cold-2", "warm"):
            check_cold(house, origin, user, 200)
        wait_until(lambda: links_to(origin.port) <= 1, "connections that were given up end")


@by_transport
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_connection_that_ended_while_idle_costs_no_read(transport: str, reset: bool) -> None:  # noqa: FBT001 - a parameter of the test
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        for number in range(5):
            assert told(ask(house, f"user-{number}")) == right_values(origin, f"user-{number}")
            assert origin.close_idle(reset=reset) == 1
        assert origin.connections.total == 5


RACE = {"fast": (200, 200, 200, 200, 200), "httpx": (200, 503, 200, 503, 200)}
"""Ours asks again on a fresh connection, where an idle one ended before a byte of the reply. The stock one fails the read."""


@by_transport
@pytest.mark.parametrize("script", [scripts.closed_on_reuse, scripts.reset_on_reuse], ids=["fin", "rst"])
def test_a_connection_that_ends_as_the_next_request_is_on_its_way(script: Script, transport: str) -> None:
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        told(ask(house, "before"))
        origin.close_idle()
        origin.always(script)
        for number, status in enumerate(RACE[transport]):
            check_cold(house, origin, f"user-{number}", status)
        assert len(origin.asked()) == {"fast": 10, "httpx": 6}[transport]
        wait_until(lambda: links_to(origin.port) <= 1, "connections that were given up end")


@by_transport
def test_links_that_are_dead_without_a_word_cost_those_who_use_them_and_nobody_after(transport: str) -> None:
    """Five connections are open when the origin's machine is gone from them; a new one is well."""
    with ScriptedOrigin() as origin, gateway(origin.url, transport, deadline_s=SHORT_S) as house:
        told(ask(house, "before"))
        hold = Hold()
        origin.always(partial(scripts.held, hold=hold))
        with ThreadPoolExecutor(5) as threads:
            reads = [threads.submit(ask, house, f"user-{number}") for number in range(5)]
            hold.wait_reached(5)
            hold.release()
            wait([*reads])
        origin.always(None)
        frozen = origin.freeze()
        assert frozen >= 1
        failed = 0
        while (reply := ask(house, f"cold-{failed}")).status_code != 200:
            assert problem(reply)[:2] == (504, CODES[504])
            failed += 1
            assert failed <= frozen
        assert told(reply) == right_values(origin, f"cold-{failed}")
        for number in range(5):
            check_cold(house, origin, f"new-{number}", 200)
        wait_until(lambda: links_to(origin.port) <= frozen - failed + 1, "those that are given up are closed")


@by_transport
def test_an_origin_that_is_gone_and_comes_back_on_the_same_port(transport: str) -> None:
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        before = told(ask(house, "warm"))
        for day in range(3):
            house.clock.advance(TTL_S + 1)
            origin.stop()
            for number in range(3):
                check_cold(house, origin, f"cold-{day}-{number}", 503)
            assert told(ask(house, "warm")) == before
            origin.start()
            for user in (f"cold-{day}-0", "warm"):
                check_cold(house, origin, user, 200)


@by_transport
def test_an_origin_whose_machine_is_gone_costs_the_time_to_connect(transport: str) -> None:
    with ScriptedOrigin() as origin, gateway(origin.url, transport, connect_timeout_s=0.2) as house:
        before = told(ask(house, "warm"))
        house.clock.advance(TTL_S + 1)
        origin.stop()
        with nobody_home(origin.port):
            began_s = time.monotonic()
            for user in ("cold-1", "cold-2"):
                check_cold(house, origin, user, 504)
            assert told(ask(house, "warm")) == before
            assert time.monotonic() - began_s < LONG_S / 2
        origin.start()
        for user in ("cold-1", "cold-2", "warm"):
            check_cold(house, origin, user, 200)


@by_transport
def test_connections_that_nobody_accepts_cost_a_deadline(transport: str) -> None:
    with ScriptedOrigin() as origin, gateway(origin.url, transport, deadline_s=SHORT_S) as house:
        before = told(ask(house, "warm"))
        house.clock.advance(TTL_S + 1)
        origin.accept(yes=False)
        origin.close_idle()
        for user in ("cold-1", "cold-2"):
            check_cold(house, origin, user, 504)
        assert told(ask(house, "warm")) == before
        origin.accept(yes=True)
        for user in ("cold-1", "cold-2", "warm"):
            check_cold(house, origin, user, 200)
