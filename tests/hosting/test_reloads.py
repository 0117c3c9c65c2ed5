"""SIGHUP through the command: policies change under traffic and nobody notices but by what they change."""

import json
import os
import signal
import threading
from pathlib import Path

import httpx

from gateway.access.keys import digest, new_key
from tests.harness.clock import wait_until
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import authorization
from tests.harness.processes import Command, plain_environment
from tests.hosting.commands import READ, children
from tests.serving.payments import payment


def told(file: Path, keys: list[str], *, headers: int = 100, **more: object) -> None:
    """Written whole, or not at all: a reader never sees half of it."""
    good = {f"key-{number}": {"digest": digest(key), "workspaces": ["*"]} for number, key in enumerate(keys)}
    settings = {"server": {"max_headers": headers}, "auth": {"mode": "keys", "keys": good}, **more}
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(settings))  # which is YAML too
    fresh.replace(file)


def serving(folder: Path, file: Path, cluster: Cluster, *arguments: str) -> Command:
    environment = plain_environment(FEATURE_GATEWAY_ORIGIN__API_KEY=ALICE, FEATURE_GATEWAY_SERVER__DRAIN_S="0")
    chosen = ("--config", str(file), "--origin", "tecton", "--tecton-url", cluster.url, "--port", "0", *arguments)
    return Command(folder, "serve", *chosen, environment=environment)


def read(url: str, key: str) -> int:
    return httpx.post(f"{url}{READ}", json=payment(), headers=authorization(key), timeout=30).status_code


def test_keys_and_policies_change_under_traffic_and_mistakes_change_nothing(cluster: Cluster, tmp_path: Path) -> None:
    first, second, file = new_key(), new_key(), tmp_path / "gateway.yaml"
    told(file, [first])
    with serving(tmp_path, file, cluster) as served:
        statuses, stop = list[int](), threading.Event()

        def keep_reading() -> None:
            with httpx.Client(headers=authorization(first), timeout=30) as client:
                while not stop.is_set():
                    statuses.append(client.post(f"{served.url}{READ}", json=payment()).status_code)

        reading = threading.Thread(target=keep_reading)
        reading.start()
        assert read(served.url, second) == 401
        told(file, [first, second], cache={"ttl_s": 5}, log={"level": "debug", "requests": "errors"})
        os.kill(served.pid, signal.SIGHUP)
        wait_until(lambda: read(served.url, second) == 200, "the second key is good")
        for number in range(100):
            told(file, [first, second], cache={"ttl_s": 5 + number % 2})
            os.kill(served.pid, signal.SIGHUP)
        wait_until(lambda: "Settings reloaded: cache.ttl_s" in served.stderr, "the last good settings are taken up")
        told(file, [first, second], cache={"ttl_s": -1}, headers=1)
        os.kill(served.pid, signal.SIGHUP)
        wait_until(lambda: "Settings not reloaded" in served.stderr, "the mistakes are told")
        assert read(served.url, second) == 200
        told(file, [first], headers=90)
        os.kill(served.pid, signal.SIGHUP)
        wait_until(lambda: read(served.url, second) == 401, "the second key is good no longer")
        stop.set()
        reading.join()
        served.terminate()
        assert served.wait() == 0
    assert set(statuses) == {200}
    said = [json.loads(line)["event"] for line in served.stderr.splitlines() if line.startswith("{")]
    mistakes = {event for event in said if event.startswith("Settings not reloaded")}
    assert all("cache.ttl_s" in event and "server.max_headers" in event for event in mistakes)
    assert "Settings that need a restart: server.max_headers" in said
    assert digest(second) not in served.stderr


def test_workers_take_up_other_settings_and_so_do_those_that_come_later(cluster: Cluster, tmp_path: Path) -> None:
    first, second, file = new_key(), new_key(), tmp_path / "gateway.yaml"
    told(file, [first])
    with serving(tmp_path, file, cluster, "--workers", "2") as served:
        assert read(served.url, second) == 401
        told(file, [first, second])
        os.kill(served.pid, signal.SIGHUP)

        def both_know() -> bool:
            return served.stderr.count("Settings reloaded: auth.keys") == 2

        wait_until(both_know, "both workers have taken them up")
        killed = children(served.pid)[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in children(served.pid) and len(children(served.pid)) == 2, "another worker is there")
        for _ in range(20):
            assert read(served.url, second) == 200
        told(file, [first])
        os.kill(served.pid, signal.SIGHUP)
        wait_until(lambda: all(read(served.url, second) == 401 for _ in range(10)), "the key is good nowhere")
        served.terminate()
        assert served.wait() == 0
