"""Bad days of an origin, byte by byte, through the whole gateway: every read gets right values or the right error, nothing wrong or half is
kept, what is stale is served instead where there is something, the next good reply is taken, and no connection is left behind.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random

import pytest

from gateway.features import INT64
from tests.doors.bad_days import (
    CODES,
    LONG_S,
    SHORT_S,
    TINY,
    TTL_S,
    ask,
    by_transport,
    check_cold,
    gateway,
    right_values,
    told,
    users_asked,
)
from tests.doors.flights import problem
from tests.doors.origin_faults import BROKEN, HANGING, HARMLESS, Fault
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, LITE
from tests.harness.links import links_to
from tests.harness.scripted import scripts
from tests.harness.scripted.load import Sometimes
from tests.harness.scripted.origin import ScriptedOrigin
from tests.harness.scripted.scripts import chunked, truncated
from tests.harness.scripted.steps import Exchange, Script, Send

pytestmark = pytest.mark.usefixtures("unmeasured")
BATCH = "/v1/workspaces/prod/feature-services/lite/features:batch"


@by_transport
@pytest.mark.parametrize("fault", [*HARMLESS, *BROKEN, *HANGING], ids=lambda fault: fault.name)
def test_a_fault_gets_right_values_or_the_right_error_and_leaves_no_trace(fault: Fault, transport: str) -> None:
    statuses = fault.statuses(transport)
    well = statuses == (200, 200)
    with ScriptedOrigin() as origin:
        with gateway(origin.url, transport, deadline_s=SHORT_S if fault.hangs else LONG_S) as house:
            before = told(ask(house, "warm"))
            assert before == right_values(origin, "warm")
            origin.cluster.epoch = 1
            house.clock.advance(TTL_S + 1)
            origin.always(fault.script)
            for user, status in zip(("cold-1", "cold-2"), statuses, strict=True):
                check_cold(house, origin, user, status)
            reply = ask(house, "warm")
            assert told(reply) == (right_values(origin, "warm") if well else before)
            assert ("detail=stale-if-error" in reply.headers.get("cache-status", "")) == (not well)
            origin.always(None)
            asked = len(origin.asked())
            for user in ("cold-1", "warm", "new-1", "new-2"):
                assert told(ask(house, user)) == right_values(origin, user)
            assert users_asked(origin)[asked:] == (["new-1", "new-2"] if well else ["cold-1", "warm", "new-1", "new-2"])
            assert (house.app.counters.lean_reads > 0) == (transport == "fast")
            wait_until(lambda: links_to(origin.port) <= 1, "connections that were given up end")
        wait_until(lambda: links_to(origin.port) == 0, "every connection to the origin ends with the gateway")


EVERY = 7
"""Byte: of the cuts that the ordinary run makes. Which ones depends on the form."""
FORMS: dict[str, Script] = {"by length": scripts.right, "in chunks": partial(chunked, size=100), "by its end": scripts.unlabelled}


@by_transport
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("form", FORMS)
def test_a_reply_cut_at_some_bytes_is_no_answer(form: str, transport: str, reset: bool) -> None:  # noqa: FBT001 - a parameter of the test
    check_cuts(form, transport, reset=reset, first=list(FORMS).index(form), every=EVERY)


@pytest.mark.slow
@by_transport
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("form", FORMS)
def test_a_reply_cut_at_any_byte_is_no_answer(form: str, transport: str, reset: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """At every single one, of head and body; for the stock client, resets at every fifth."""
    check_cuts(form, transport, reset=reset, first=0, every=5 if reset and transport == "httpx" else 1)


def check_cuts(form: str, transport: str, *, reset: bool, first: int, every: int) -> None:
    """Where all of the values were in it, they may be served, and then they are right."""
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        origin.cluster.services["prod", "tiny"] = TINY
        origin.cluster.rights[ALICE].add("tiny")
        assert told(ask(house, "whole", "tiny")) == right_values(origin, "whole", TINY)
        for at in range(first, len(cut_from(origin.asked()[0], form)), every):
            user = f"cut-{at}"
            origin.act(partial(truncated, at=at, reset=reset, form=FORMS[form]))
            answer = ask(house, user, "tiny")
            if answer.status_code == 200:
                assert told(answer) == right_values(origin, user, TINY)
                # asked again, where no byte had come; or all of the values had
                assert at == 0 or b"}" not in cut_from(origin.asked()[-1], form)[at:], at
            else:
                assert problem(answer)[0] in {502, 503}, at
        asked = len(origin.asked())
        for user in ("cut-5", "cut-40", "cut-100", "cut-200", "cut-300"):
            assert told(ask(house, user, "tiny")) == right_values(origin, user, TINY)
        assert len(origin.asked()) == asked + 5
        wait_until(lambda: links_to(origin.port) <= 1, "connections that were given up end")


def cut_from(exchange: Exchange, form: str) -> bytes:
    """The whole of what is sent a part of."""
    return b"".join(step.data for step in FORMS[form](exchange) if isinstance(step, Send))


@by_transport
@pytest.mark.parametrize(
    "fault", [one for one in BROKEN if one.name in {"cut in the body", "garbage", "500", "429"}], ids=lambda one: one.name
)
def test_metadata_has_bad_days_too(fault: Fault, transport: str) -> None:
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        origin.always(fault.script, "metadata")
        check_cold(house, origin, "cold", fault.statuses(transport)[0])
        assert not origin.asked()
        origin.always(None, "metadata")
        check_cold(house, origin, "cold", 200)


@by_transport
@pytest.mark.parametrize("fault", [one for one in BROKEN if one.name in {"cut in the body", "gzip, cut", "504"}], ids=lambda one: one.name)
def test_rows_of_a_batch_have_bad_days_of_their_own(fault: Fault, transport: str) -> None:
    """What is stale is served, the rest of the rows say what is wrong, and nothing of the broken reply is in any."""
    users = ("warm", "cold-1", "cold-2")
    rows = {"rows": [{"joinKeys": {"user_id": user, "merchant_id": 7}} for user in users], "include": ["source"]}
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        before = told(ask(house, "warm"))
        house.clock.advance(TTL_S + 1)
        for endpoint in ("get-features", "get-features-batch"):
            origin.always(fault.script, endpoint)
        warm, *cold = house.client.post(BATCH, json=rows).json()["rows"]
        assert warm["features"]["user.name"] == before["user.name"]
        assert set(warm["source"].values()) == {"stale"}
        assert [row["error"]["code"] for row in cold] == [CODES[fault.statuses(transport)[0]]] * 2
        assert not any("features" in row for row in cold)
        assert len(origin.asked("get-features-batch")) == 1
        for endpoint in ("get-features", "get-features-batch"):
            origin.always(None, endpoint)
        for row, user in zip(house.client.post(BATCH, json=rows).json()["rows"], users, strict=True):
            assert row["features"]["user.name"] == right_values(origin, user)["user.name"]
            assert set(row["source"].values()) == {"origin"}


@by_transport
def test_names_travel_with_values_from_one_reply_to_the_next(transport: str) -> None:
    """The schema changes at an instant, and replies of before and after it arrive out of order."""
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        told(ask(house, "before"))
        changed = LITE.with_first("user.aaa", INT64)
        hold = Hold()
        late = partial(scripts.held, hold=hold, then=partial(scripts.constant, wire=origin.asked()[0].right.wire))
        origin.act(late)
        with ThreadPoolExecutor(1) as threads:
            read = threads.submit(ask, house, "before-2")
            hold.wait_reached()
            origin.cluster.services["prod", "lite"] = changed
            try:
                for number in range(5):
                    assert told(ask(house, f"user-{number}")) == right_values(origin, f"user-{number}", changed)
            finally:
                hold.release()
            # its reply is of before: under its own names, or not at all
            assert read.result().status_code == 502 or told(read.result()) == right_values(origin, "before", LITE)


ROUGH: tuple[Script, ...] = tuple(fault.script for fault in (*HARMLESS, *BROKEN))


@by_transport
@pytest.mark.parametrize("seed", [1, 2])
def test_many_reads_at_once_on_a_day_when_everything_happens(seed: int, transport: str) -> None:
    """Each is right or an error; afterwards all are right, and the connections are few."""
    random = Random(seed)
    users = [f"user-{number}" for number in range(250)]
    with ScriptedOrigin() as origin, gateway(origin.url, transport) as house:
        told(ask(house, "before"))
        origin.act(*random.choices(ROUGH, k=len(users) // 2))
        origin.always(Sometimes(scripts.closed_on_reuse, 0.1, seed=seed))
        with ThreadPoolExecutor(16) as threads:
            for user, reply in zip(users, threads.map(partial(ask, house), users), strict=True):
                if reply.status_code == 200:
                    assert told(reply) == right_values(origin, user)
                else:
                    assert problem(reply)[0] in CODES
        origin.always(None)
        origin.close_idle()
        for user in users[::10]:
            assert told(ask(house, user)) == right_values(origin, user)
        wait_until(lambda: links_to(origin.port) <= 16, "connections that were given up end")
