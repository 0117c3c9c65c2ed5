"""`feature-gateway serve` told to end: by a service manager, by a person, and by one who insists."""

import asyncio
import resource
import socket
import time
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.hosting.running import allow_files, heed
from gateway.hosting.server import Server
from gateway.hosting.workers import ALIVE, BEAT_S, HASTE
from gateway.lifecycle import Lifecycle
from tests.harness.clock import PATIENCE_S, Hold, wait_until
from tests.harness.cluster import ALICE, Act, Cluster
from tests.harness.exchanges import Exchange
from tests.harness.houses import authorization
from tests.harness.processes import Command, plain_environment
from tests.harness.serving import configure
from tests.hosting.commands import GONE, READ, ask, serving
from tests.hosting.lines import get, line, refuses
from tests.serving.payments import payment


def slowly(url: str, cluster: Cluster, hold: Hold) -> Exchange:
    """A read that the cluster has and does not answer yet."""
    assert ask(url).status_code == 200
    cluster.act("get-features", Act(hold=hold))
    exchange = Exchange(url, READ, payment(**GONE), authorization(ALICE))
    hold.wait_reached()
    return exchange


def test_sigterm_is_a_drain_an_answer_to_all_and_status_0(cluster: Cluster, tmp_path: Path) -> None:
    hold = Hold()
    with serving(tmp_path, cluster, SERVER__DRAIN_S=0.5) as served, line(served.url) as idle:
        idle.ask(get("/livez"))
        with slowly(served.url, cluster, hold) as exchange:
            served.terminate()
            wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503, "readiness to go red")
            assert ask(served.url).status_code == 200
            wait_until(lambda: refuses(served.url), "the listener to close")
            assert idle.ended()
            assert not served.has_ended
            hold.release()
            assert exchange.answer()[0] == 200
        assert served.wait() == 0
        assert served.stderr == ""


def test_ctrl_c_does_not_drain_and_answers_what_is_under_way(cluster: Cluster, tmp_path: Path) -> None:
    hold = Hold()
    with serving(tmp_path, cluster, SERVER__DRAIN_S=600) as served, slowly(served.url, cluster, hold) as exchange:
        served.interrupt()
        wait_until(lambda: refuses(served.url), "the listener to close")
        hold.release()
        assert exchange.answer()[0] == 200
        assert served.wait() == 0
        assert served.stderr == ""


def test_a_second_signal_waits_for_nobody(cluster: Cluster, tmp_path: Path) -> None:
    hold = Hold()
    with serving(tmp_path, cluster, SERVER__DRAIN_S=600) as served, slowly(served.url, cluster, hold) as exchange:
        served.terminate()
        wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503, "readiness to go red")
        served.terminate()
        assert exchange.answer()[0] == 503
        assert served.wait() == 0
        hold.release()
        assert "1 requests were cut" in served.stderr
        assert "Traceback" not in served.stderr


SLOW = """
import sys, time
print("importing", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_while_it_starts_ends_it_at_once(tmp_path: Path, workers: int) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    told = {"SERVER__WORKERS": workers, "AUTH__MODE": "open", "FEATURE_SERVER__STORE": "redis", "FEATURE_SERVER__DEFINITIONS": "slow:IT"}
    environment = plain_environment(
        PYTHONPATH=str(tmp_path),
        FEATURE_GATEWAY_FEATURE_SERVER__REDIS__URL="redis://127.0.0.1:1",
        **{f"FEATURE_GATEWAY_{name}": str(value) for name, value in told.items()},
    )
    with Command(tmp_path / "said", "serve", "--port", "0", "--data-dir", str(tmp_path / "data"), environment=environment) as served:
        served.told("importing")
        began_s = time.monotonic()
        served.terminate()
        assert served.wait() == 0
        assert time.monotonic() - began_s < 15
        assert "Traceback" not in served.stderr


def test_spans_that_nobody_takes_do_not_hold_up_the_end(cluster: Cluster, tmp_path: Path) -> None:
    """A receiver that hangs: the exporter would try for half a minute."""
    with (
        Cluster() as receiver,
        Command(
            tmp_path,
            "serve",
            "--origin",
            "tecton",
            "--tecton-url",
            cluster.url,
            "--port",
            "0",
            environment=plain_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_TRACES_SAMPLER="always_on", FEATURE_GATEWAY_SERVER__DRAIN_S="0"
            ),
        ) as served,
    ):
        hold = Hold()
        receiver.always("traces", Act(hold=hold))
        assert ask(served.url).status_code == 200
        began_s = time.monotonic()
        served.terminate()
        assert served.wait() == 0
        assert time.monotonic() - began_s < 20
        assert "Spans that were not taken within 5 s are lost" in served.stderr
        hold.release()


async def test_a_worker_heeds_its_parent_lets_it_hear_and_leaves_without_one() -> None:
    parents, own = socket.socketpair()
    parents.settimeout(PATIENCE_S)
    lifecycle, loop = Lifecycle(), asyncio.get_running_loop()
    config, _ = configure(create_nothing)
    server = Server(config, lifecycle, drain_s=0, grace_s=0)
    heed(own, server)

    def state() -> tuple[bool, bool]:
        return server.force_exit, lifecycle.draining

    parents.sendall(b"whatever")
    assert await loop.run_in_executor(None, parents.recv, 1) == ALIVE
    assert state() == (False, False)
    parents.sendall(HASTE)
    await asyncio.sleep(0.05)
    assert state() == (True, False)
    parents.close()
    await asyncio.sleep(BEAT_S + 0.1)  # a beat that nobody hears
    assert state() == (True, True)
    assert server.should_exit
    own.close()


async def create_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that is never asked."""


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((1_024, 4_096), (2_512, 4_096)),
        ((1_024, 2_000), (2_000, 2_000)),
        ((1_024, -1), (2_512, -1)),
        ((-1, -1), None),
        ((9_000, 9_000), None),
    ],
)
def test_its_limit_of_open_files_is_raised_where_it_must_and_may_be(
    limits: tuple[int, int], expected: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))
    allow_files(2_000)
    assert asked == ([] if expected is None else [expected])
