"""`feature-gateway serve --workers 3`: one port, one voice, one end; and a worker that dies takes nobody along."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.clock import PATIENCE_S, Hold, wait_until
from tests.harness.cluster import ALICE, Act, Cluster
from tests.harness.exchanges import Exchange
from tests.harness.houses import authorization
from tests.harness.processes import Command, plain_environment, run_command
from tests.hosting.commands import GONE, READ, ask, children, kill, listened_at, lives, serving, worker_at
from tests.hosting.lines import crowd, post, refuses
from tests.serving.payments import payment
from tests.web.metrics.samples import Samples, of, samples

COUNT = 3


@pytest.fixture(scope="module")
def busy() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def served(busy: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with serving(tmp_path_factory.mktemp("workers"), busy, "--workers", str(COUNT)) as served:
        served.told("Serving on")
        yield served


def test_they_serve_one_port_and_say_so_once(served: Command) -> None:
    assert len(children(served.pid)) == COUNT
    wait_until(lambda: {worker_at(served.url) for _ in range(20)} == {1, 2, 3}, "an answer of each worker")
    assert served.stdout.count("Serving on") == 1
    assert served.stderr == ""


def test_a_worker_that_is_killed_is_started_again_while_the_others_serve(served: Command) -> None:
    before = children(served.pid)
    failed: list[int] = []
    for victim in before:
        kill(victim)
        failed += [reply.status_code for reply in (ask(served.url) for _ in range(5)) if reply.status_code != 200]
        wait_until(lambda: len(children(served.pid)) == COUNT, "another in its place")
    wait_until(lambda: {worker_at(served.url) for _ in range(20)} == {1, 2, 3}, "an answer of each worker")
    assert not failed
    assert not set(before) & set(children(served.pid))
    assert len(re.findall(r"Worker \d \(process \d+\) ended with status -9; it is started again in 0.1 s", served.stderr)) == COUNT
    assert served.stdout.count("Serving on") == 1


def scraped(served: Command) -> Samples:
    return samples(httpx.get(f"{served.url}/metrics", timeout=30).text)


def by_worker(told: Samples, name: str) -> dict[str, float]:
    found = dict.fromkeys(map(str, range(1, COUNT + 1)), 0.0)
    for labels, value in of(told, name).items():
        found[dict(labels)["worker"]] += value
    return found


def test_whichever_worker_is_asked_tells_of_all_of_them_and_one_that_was_killed_begins_anew(served: Command) -> None:
    reads = "read_duration_seconds_count"
    before = scraped(served)
    assert {ask(served.url).status_code for _ in range(40)} == {200}
    told = [scraped(served) for _ in range(12)]  # of several workers
    assert {sum(by_worker(one, reads).values()) for one in told} == {sum(by_worker(before, reads).values()) + 40}
    assert len({one for samples in told for one in of(samples, "worker").values()}) > 1
    assert all("worker" in dict(labels) for _, labels in told[0])

    victim = max(children(served.pid))
    kill(victim)
    wait_until(lambda: len(children(served.pid)) == COUNT and len(of(scraped(served), "build_info")) == COUNT, "another in its place")
    again = scraped(served)
    born = {number: (began(told[0], number), began(again, number)) for number in "123"}
    [anew] = [number for number, (then, now) in born.items() if then != now]
    was, now = by_worker(told[0], reads), by_worker(again, reads)
    assert born[anew][1] > born[anew][0]
    assert now == {**was, anew: 0}
    assert {ask(served.url).status_code for _ in range(20)} == {200}
    last = by_worker(scraped(served), reads)
    assert all(last[number] >= now[number] for number in last)
    assert sum(last.values()) - sum(now.values()) == 20


def began(told: Samples, worker: str) -> float:
    """When the process started."""
    return told["process_start_time_seconds", (("worker", worker),)]


@pytest.mark.parametrize("interrupted", [False, True])
def test_all_of_them_answer_what_is_under_way_and_then_end(cluster: Cluster, tmp_path: Path, *, interrupted: bool) -> None:
    """`interrupted`: by Ctrl+C, which comes to every process of the terminal, and which the parent passes on as well."""
    hold = Hold()
    cluster.always("get-features", Act(hold=hold))
    with serving(tmp_path, cluster, "--workers", "2", SERVER__DRAIN_S=0.5) as served:
        url, workers = served.url, children(served.pid)
        exchanges = [Exchange(url, READ, payment(joinKeys={"user_id": f"u{n}", "merchant_id": n}), authorization(ALICE)) for n in range(6)]
        hold.wait_reached()
        if interrupted:
            for pid in workers:
                subprocess.run(["kill", "-INT", str(pid)], check=True)
            served.interrupt()
        else:
            served.terminate()
            wait_until(lambda: refuses(url) or httpx.get(f"{url}/readyz").status_code == 503, "readiness to go red")
        wait_until(lambda: refuses(url), "the listener to close")
        assert not served.has_ended
        hold.release()
        for exchange in exchanges:
            with exchange:
                assert exchange.answer()[0] == 200
        assert served.wait() == 0
        assert not any(map(lives, workers))
        assert served.stderr == ""


def test_whoever_connects_while_they_end_is_answered_or_refused(cluster: Cluster, tmp_path: Path) -> None:
    hit = post(READ, payment(), authorization(ALICE))
    with serving(tmp_path, cluster, "--workers", "2", SERVER__DRAIN_S=0.2) as served:
        with crowd(served.url, hit) as statuses:
            served.terminate()
        assert set(statuses) == {200}
        assert served.wait() == 0


def test_the_others_are_still_connected_to_when_one_worker_is_told_to_leave(served: Command) -> None:
    before = children(served.pid)
    os.kill(before[0], signal.SIGTERM)
    wait_until(lambda: before[0] not in children(served.pid), "the end of one")
    assert {ask(served.url).status_code for _ in range(10)} == {200}
    wait_until(lambda: {worker_at(served.url) for _ in range(20)} == {1, 2, 3}, "another in its place")


def test_a_second_signal_hastens_them_all(cluster: Cluster, tmp_path: Path) -> None:
    hold = Hold()
    with serving(tmp_path, cluster, "--workers", "2", SERVER__DRAIN_S=600) as served:
        assert ask(served.url).status_code == 200
        cluster.always("get-features", Act(hold=hold))
        with Exchange(served.url, READ, payment(**GONE), authorization(ALICE)) as exchange:
            hold.wait_reached()
            served.terminate()
            wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503, "readiness to go red")
            served.terminate()
            assert exchange.answer()[0] == 503
            assert served.wait() == 0
        hold.release()


def test_without_a_parent_they_leave_and_tidy_up(cluster: Cluster, tmp_path: Path) -> None:
    with serving(tmp_path, cluster, "--workers", "2", SERVER__DRAIN_S=0.2) as served:
        served.told("Serving on")
        workers = children(served.pid)
        [folder] = {path.parent for pid in workers for path in listened_at(pid)}
        assert folder.stat().st_mode & 0o77 == 0
        served.kill()
        wait_until(lambda: not any(map(lives, workers)), "the workers to leave")
        assert not folder.exists()


def test_with_a_parent_it_is_the_parent_who_tidies_up(cluster: Cluster, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)  # too long a path for a socket in it
    deep.mkdir()
    environment = plain_environment(TMPDIR=str(deep))
    arguments = ("serve", "--origin", "tecton", "--tecton-url", cluster.url, "--port", "0", "--workers", "2")
    with Command(tmp_path / "said", *arguments, environment=environment) as served:
        served.told("Serving on")
        [folder] = {path.parent for pid in children(served.pid) for path in listened_at(pid)}
        kill(children(served.pid)[0])  # its socket stays behind
        assert served.stop() == 0
        assert not folder.exists()
        assert not list(deep.iterdir())


def test_what_is_wrong_is_told_once_and_by_the_exit_status(cluster: Cluster) -> None:
    wrong = plain_environment(
        FEATURE_GATEWAY_ON_DEMAND__VIEWS='{"score":{"function":"nowhere:score","outputs":{"score":"float64"}}}',
        FEATURE_GATEWAY_SERVER__WORKERS="3",
    )
    ended = run_command("serve", "--origin", "tecton", "--tecton-url", cluster.url, "--port", "0", environment=wrong)
    assert ended.returncode == 2
    assert ended.stderr.count("These settings do not work") == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "server.workers: the online store in SQLite is one process's"),
        (
            {"FEATURE_SERVER__STORE": "redis", "FEATURE_SERVER__REDIS__URL": "redis://127.0.0.1:1"},
            "server.workers: definitions of `feature-gateway apply` are one process's",
        ),
    ],
)
def test_where_one_process_has_it_all_more_are_refused(settings: dict[str, str], text: str) -> None:
    environment = plain_environment(FEATURE_GATEWAY_AUTH__MODE="open", **{f"FEATURE_GATEWAY_{name}": one for name, one in settings.items()})
    ended = run_command("serve", "--port", "0", "--workers", "2", environment=environment)
    assert ended.returncode == 2
    assert text in ended.stderr


SCRIPT = """
import errno, logging, os, signal, socket, sys, time
from gateway.hosting import roster, workers

roster.SILENCE_S = 0.5
how = sys.argv[1]
logging.basicConfig(level=logging.WARNING, format="%(message)s")
if how == "short":
    fork, refused = os.fork, []

    def fork_later():
        if not refused:
            refused.append(True)
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    os.fork = fork_later
listener = socket.create_server(("127.0.0.1", 0))
supervisor = workers.Supervisor(2, listener, lambda: print("up", flush=True), drain_s=0, end_s=0.3)
born = supervisor.run()
if isinstance(born, workers.Post):
    if how == "stuck":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    born.up()
    while True:
        time.sleep(0.1)
        if how != "silent":
            born.channel.send(workers.ALIVE)
sys.exit(born)
"""


@pytest.fixture
def script(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """A supervisor whose workers do nothing right, with little patience."""
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", request.param],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("script", ["stuck"], indirect=True)
def test_workers_that_do_not_end_are_killed(script: "subprocess.Popen[str]") -> None:
    workers = children(script.pid)
    assert len(workers) == 2
    script.terminate()
    _, said = script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 1
    assert "2 workers had to be killed: they did not end in time" in said
    assert not any(map(lives, workers))


@pytest.mark.parametrize("script", ["silent"], indirect=True)
def test_workers_that_give_no_sign_of_life_are_killed_and_started_again(script: "subprocess.Popen[str]") -> None:
    workers = children(script.pid)
    wait_until(lambda: not any(map(lives, workers)), "the silent ones to be killed")
    wait_until(lambda: len(children(script.pid)) == 2, "others in their place")
    script.terminate()
    _, said = script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 0
    assert "is killed: it has given no sign of life" in said


@pytest.mark.parametrize("script", ["short"], indirect=True)
def test_where_no_process_can_be_made_it_is_tried_again(script: "subprocess.Popen[str]") -> None:
    assert len(children(script.pid)) == 2
    script.terminate()
    _, said = script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 0
    assert "Worker 1 cannot be started (Resource temporarily unavailable); it is tried again in 0.1 s" in said
