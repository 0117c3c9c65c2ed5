"""The end of a server, as its clients see it: told in time, answered to the last, closed in good order."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from gateway.app import Gateway, Seams, create_app
from gateway.hosting.server import FIRST_REQUEST_S, Server
from gateway.settings import checked
from tests.doors.flights import problem
from tests.harness.clock import PATIENCE_S, Clock, Hold, wait_until
from tests.harness.cluster import ALICE, Act, Cluster
from tests.harness.houses import authorization, cluster_settings
from tests.harness.serving import Running, configure, serve
from tests.hosting.lines import crowd, get, line, post, refuses, says_last, status_of
from tests.serving.payments import FRAUD, VIEW_KEYS, payment

LONG_S = 600.0
"""Of a drain that a test ends itself."""
READ = f"{FRAUD}/features"
HIT = post(READ, payment(), authorization(ALICE))
MISS = post(READ, payment(joinKeys={"user_id": "never read before", "merchant_id": 9}), authorization(ALICE))
BATCH = post("/ingest", {"workspace_name": "prod", "records": {}}, authorization(ALICE))


def gateway(cluster: Cluster) -> Gateway:
    return create_app(checked(cluster_settings(cluster.url, views=VIEW_KEYS, deadlines={"read_s": 60})), Seams(Clock(), environment={}))


@contextmanager
def serving(cluster: Cluster, *, drain_s: float = 0, grace_s: float = PATIENCE_S) -> Iterator[Running]:
    """A gateway with what HIT asks for in its cache."""
    with serve(gateway(cluster), drain_s=drain_s, grace_s=grace_s) as running:
        with line(running.url) as first:
            assert status_of(first.ask(HIT)) == 200
        yield running


def test_while_it_drains_it_is_not_ready_and_serves_everything(cluster: Cluster) -> None:
    with serving(cluster, drain_s=LONG_S) as running:
        assert httpx.get(f"{running.url}/readyz").status_code == 200
        running.stop()
        reply = httpx.get(f"{running.url}/readyz")
        assert problem(reply) == (503, 14, "This gateway is draining: it is about to end.")
        assert reply.headers["connection"] == "close"
        assert httpx.get(f"{running.url}/livez").status_code == 200
        for one in (HIT, MISS, get("/metrics"), get("/nowhere"), post(READ, [], {})):
            with line(running.url) as new:
                assert says_last(new.ask(one))
                assert new.ended()


@pytest.mark.parametrize("one", [HIT, MISS, get("/livez")], ids=["hit", "miss", "livez"])
def test_while_it_drains_an_idle_connection_is_told_on_its_next_reply(cluster: Cluster, one: bytes) -> None:
    with serving(cluster, drain_s=LONG_S) as running, line(running.url) as idle:
        assert not says_last(idle.ask(HIT))
        running.stop()
        assert idle.is_open()
        reply = idle.ask(one)
        assert status_of(reply) == 200
        assert says_last(reply)
        assert idle.ended()


def test_a_hit_on_the_way_out_has_the_same_bytes_as_through_asgi(cluster: Cluster) -> None:
    with serving(cluster, drain_s=LONG_S) as running:
        running.stop()
        with line(running.url) as one, line(running.url) as other:
            below = one.ask(HIT)
            through = other.ask(HIT.replace(b"Host: gateway\r\n", b"Host: gateway\r\nConnection: keep-alive\r\n"))
        assert [part for part in below.split(b"\r\n") if not part.startswith(b"date:")] == [
            part for part in through.split(b"\r\n") if not part.startswith(b"date:")
        ]


def test_a_request_under_way_is_told_that_it_is_the_last(cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(), Act(hold=hold))
    with serving(cluster, drain_s=LONG_S) as running, line(running.url) as slow:
        slow.send(MISS)
        hold.wait_reached()
        running.stop()
        wait_until(lambda: httpx.get(f"{running.url}/readyz").status_code == 503, "the drain")
        time.sleep(0.2)  # two ticks of the server's: the connection has been looked at
        hold.release()
        reply = slow.reply()
        assert status_of(reply) == 200
        assert says_last(reply)
        assert slow.ended()


def test_what_is_pipelined_behind_the_last_reply_is_not_carried_out(cluster: Cluster) -> None:
    """RFC 9112, section 9.6: a client may send it again elsewhere, so nobody may have acted on it here."""
    with serving(cluster, drain_s=LONG_S) as running, line(running.url) as eager:
        eager.ask(HIT)
        running.stop()
        before = len(cluster.requests)
        assert says_last(eager.ask(HIT + MISS + BATCH + HIT))
        with line(running.url) as later:
            later.ask(get("/livez"))
        assert len(cluster.requests) == before


def test_the_drain_ends_by_itself(cluster: Cluster) -> None:
    with serving(cluster, drain_s=0.3) as running:
        began_s = time.monotonic()
        running.stop()
        wait_until(lambda: refuses(running.url), "the listener to close")
        assert time.monotonic() - began_s >= 0.3


def test_idle_connections_are_closed_in_good_order_when_the_drain_is_over(cluster: Cluster) -> None:
    with serving(cluster) as running, ExitStack() as open_:
        idle = [open_.enter_context(line(running.url)) for _ in range(20)]
        for one in idle:
            one.ask(HIT)
        running.stop()
        assert all(one.ended() for one in idle)


@pytest.mark.parametrize("one", [HIT, MISS, get("/livez")], ids=["hit", "miss", "livez"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_a_request_that_is_half_here_when_the_listener_closes_is_answered(cluster: Cluster, one: bytes, share: float) -> None:
    cut = max(1, int(len(one) * share))
    with serving(cluster) as running, line(running.url) as slow:
        slow.send(one[:cut])
        with line(running.url) as other:
            other.ask(get("/livez"))
        running.stop()
        wait_until(lambda: refuses(running.url), "the listener to close")
        time.sleep(0.1)  # more than one look at who is idle
        slow.send(one[cut:])
        reply = slow.reply()
        assert status_of(reply) == 200
        assert says_last(reply)
        assert slow.ended()


def test_a_new_connection_is_given_time_for_its_first_request(cluster: Cluster) -> None:
    with serving(cluster) as running, line(running.url) as new, line(running.url) as silent:
        with line(running.url) as other:
            other.ask(get("/livez"))  # so both have been accepted
        running.stop()
        wait_until(lambda: refuses(running.url), "the listener to close")
        assert status_of(new.ask(HIT)) == 200
        began_s = time.monotonic()
        assert silent.ended()
        assert time.monotonic() - began_s < FIRST_REQUEST_S + PATIENCE_S / 2


def test_whoever_connects_while_it_ends_is_answered_or_refused(cluster: Cluster) -> None:
    with serving(cluster) as running, crowd(running.url, HIT) as statuses:
        running.stop()
    assert set(statuses) == {200}


def test_what_is_not_done_when_the_grace_is_over_is_told_and_cut(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    hold = Hold()
    cluster.act("get-features", Act(), Act(hold=hold))
    with serving(cluster, grace_s=0.2) as running, line(running.url) as slow, line(running.url) as half:
        slow.send(MISS)
        half.send(MISS[:40])
        hold.wait_reached()
        with caplog.at_level(logging.WARNING, "gateway.hosting.server"):
            running.stop()
            reply = slow.reply()
        assert status_of(reply) == 503
        assert b"This gateway is draining" in reply
        assert says_last(reply)
        assert slow.ended()
        assert half.ended()
        hold.release()
    assert [record.message for record in caplog.records] == ["1 requests were cut: they were not done in time (server.shutdown_grace_s)"]


def test_haste_ends_the_drain_and_the_wait(cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(), Act(hold=hold))
    with serving(cluster, drain_s=LONG_S, grace_s=LONG_S) as running, line(running.url) as slow:
        slow.send(MISS)
        hold.wait_reached()
        running.stop()
        running.hasten()
        assert status_of(slow.reply()) == 503
        wait_until(lambda: refuses(running.url), "the end")
        hold.release()


def test_a_server_that_is_told_to_end_while_it_starts_does_not_drain() -> None:
    told: list[str] = []

    async def app(scope: dict[str, str], receive: object, send: object) -> None:
        if scope["type"] == "lifespan":
            server.leave()
            await send({"type": "lifespan.startup.complete"})  # type: ignore[operator]
            await receive()  # type: ignore[operator]
            told.append("ended")
            await send({"type": "lifespan.shutdown.complete"})  # type: ignore[operator]

    config, lifecycle = configure(app)  # type: ignore[arg-type]
    server = Server(config, lifecycle, drain_s=LONG_S, grace_s=LONG_S, started=lambda: told.append("started"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert told == ["ended"]


def test_leaving_after_the_end_is_no_mistake(cluster: Cluster) -> None:
    with serving(cluster) as running:
        pass
    running.stop()
    running.hasten()
