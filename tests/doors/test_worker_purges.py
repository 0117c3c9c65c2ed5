"""What is purged on a connection to one worker is purged in all of them by the time that is acknowledged."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gateway.app import Seams, create_app
from gateway.lifecycle import Lifecycle, Worker
from gateway.settings import checked
from tests.doors.flights import NAMED, named
from tests.doors.test_ingest import COUNT, RECORD
from tests.harness.clock import Clock, wait_until
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import KEYS, OPERATOR, authorization, cluster_settings, demo_settings
from tests.harness.processes import Command, plain_environment
from tests.harness.serving import serve
from tests.harness.valkey import Valkey
from tests.hosting.commands import children, kill, worker_at
from tests.hosting.lines import Line, get, line, post, status_of
from tests.serving.payments import FRAUD, VIEW_KEYS, payment

READ = post(f"{FRAUD}/features", payment(), authorization(OPERATOR))
PURGE = post(f"{FRAUD}/features:purge", {}, authorization(OPERATOR))
METRICS = get("/metrics", authorization(OPERATOR))
INGEST = post("/ingest", {"workspace_name": "prod", "records": {}}, authorization(OPERATOR))


def settings(cluster: Cluster, **more: Any) -> dict[str, Any]:
    cache = {"ttl_s": 600, "stale_if_error_s": 0, **more}
    return cluster_settings(cluster.url, views=VIEW_KEYS, auth={"keys": KEYS}, cache=cache, deadlines={"read_s": 20})


@contextmanager
def workers(folder: Path, cluster: Cluster, count: int, **cache: Any) -> Iterator[tuple[Command, list[Line]]]:
    """Before a cluster, which is asked with its own key."""
    tree = settings(cluster, **cache)
    tree["origin"]["api_key"] = ALICE
    with running(folder, tree, count) as served:
        yield served


@contextmanager
def running(folder: Path, tree: dict[str, Any], count: int) -> Iterator[tuple[Command, list[Line]]]:
    """The command, with thirty connections or more, to each of its workers some."""
    environment = plain_environment(**{f"FEATURE_GATEWAY_{name.upper()}": json.dumps(one, default=str) for name, one in tree.items()})
    with (
        Command(folder, "serve", "--port", "0", "--workers", str(count), environment=environment) as served,
        ExitStack() as open_,
    ):
        yield served, connected(served.url, count, open_)


def connected(url: str, count: int, open_: ExitStack) -> list[Line]:
    lines: list[Line] = []
    seen: set[bytes] = set()

    def one_more() -> bool:
        lines.append(open_.enter_context(line(url)))
        [told] = [
            row
            for row in lines[-1].ask(get("/metrics", authorization(OPERATOR))).splitlines()
            if row.startswith(b"feature_gateway_worker{")
        ]
        seen.add(told)
        return len(lines) >= 30 and len(seen) == count

    wait_until(one_more, "connections to all workers")
    return lines


def answers(lines: list[Line]) -> set[str]:
    """What features were read on all these connections at once."""

    def read(one: Line) -> str:
        reply = one.ask(READ)
        assert status_of(reply) == 200, reply
        return json.dumps(json.loads(reply.partition(b"\r\n\r\n")[2])["features"], sort_keys=True)

    with ThreadPoolExecutor(len(lines)) as pool:
        return set(pool.map(read, lines))


def changes_are_seen(cluster: Cluster, lines: list[Line], rounds: int) -> None:
    """Values change, one connection after the other purges, and no connection ever reads what was before."""
    [before] = answers(lines)
    for number in range(rounds):
        cluster.epoch += 1
        assert answers(lines) == {before}  # cached, everywhere
        assert status_of(lines[number % len(lines)].ask(PURGE)) == 200
        [after] = answers(lines)
        assert after != before
        before = after


def test_a_purge_has_reached_every_worker_when_it_is_acknowledged(cluster: Cluster, tmp_path: Path) -> None:
    with workers(tmp_path, cluster, 3) as (served, lines):
        changes_are_seen(cluster, lines, 12)
        for victim in children(served.pid):  # a worker that was killed is told again once it is back, and is not waited for before
            kill(victim)
        wait_until(lambda: len(children(served.pid)) == 3 and worker_at(served.url, OPERATOR) > 0, "others in their place")
        with ExitStack() as open_:
            changes_are_seen(cluster, connected(served.url, 3, open_), 3)


def test_an_ingest_has_reached_every_worker_too(cluster: Cluster, tmp_path: Path) -> None:
    with workers(tmp_path, cluster, 2) as (_, lines):
        [before] = answers(lines)
        cluster.epoch += 1
        assert answers(lines) == {before}
        assert status_of(lines[0].ask(INGEST)) == 200
        [after] = answers(lines)
        assert after != before


def test_with_a_shared_cache_both_hold(cluster: Cluster, tmp_path: Path) -> None:
    with Valkey(tmp_path / "valkey") as valkey:
        shared = {"url": valkey.url, "prefix": "worker-purges", "deadline_ms": 1_000, "timeout_s": 5}
        with workers(tmp_path / "said", cluster, 2, shared=shared) as (_, lines):
            changes_are_seen(cluster, lines, 6)


def test_what_is_ingested_through_one_is_read_through_all_from_a_store_in_redis(tmp_path: Path) -> None:
    def counted(one: Line) -> int:
        reply = one.ask(post(f"{NAMED}/features", named(), authorization(OPERATOR)))
        return int(json.loads(reply.partition(b"\r\n\r\n")[2])["features"][COUNT] or 0)

    with Valkey(tmp_path / "valkey") as valkey:
        tree = demo_settings(tmp_path / "data", cache={"ttl_s": 600})
        tree["feature_server"] |= {"store": "redis", "redis": {"url": valkey.url, "command_timeout_s": 5}}
        with running(tmp_path / "said", tree, 2) as (served, lines), ThreadPoolExecutor(len(lines)) as pool:
            for number in range(1, 6):
                body = {"workspace_name": "prod", "records": {"flights": [{"record": RECORD | {"flight": number}}]}}
                assert status_of(lines[number].ask(post("/ingest", body, authorization(OPERATOR)))) == 200
                assert set(pool.map(counted, lines)) == {number}
            assert served.stop() == 0


def test_each_worker_has_a_request_log_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    tree = cluster_settings(cluster.url, request_log={"path": tmp_path / "reads.jsonl", "sample": 1})
    lifecycle = Lifecycle(Worker(2, 3, tmp_path))
    app = create_app(checked(tree), Seams(Clock(), environment={}, lifecycle=lifecycle))
    with serve(app) as running, line(running.url) as one:
        assert status_of(one.ask(post(f"{FRAUD}/features", payment(), authorization(ALICE)))) == 200
        assert b'feature_gateway_worker{worker="2"} 2' in one.ask(METRICS)
    assert (tmp_path / "reads-2.jsonl").exists()
    assert not (tmp_path / "reads.jsonl").exists()
