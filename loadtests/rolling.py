"""`python -m loadtests.rolling`: two gateways behind haproxy, restarted in turn with SIGTERM under open-loop load. No request may fail.

haproxy asks `/readyz` as people have it do, and tries nothing twice, not even a connection that could not be made: what a gateway refuses,
resets, cuts or leaves unanswered on its way out is an error here.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from gateway.demo import definitions
from gateway.demo.load import load
from gateway.embedded import open_engine
from gateway.settings import checked
from loadtests.open_loop import Outcome, drive

HAPROXY = "needs haproxy: apt-get install haproxy"
RATE_PER_S, ROUNDS, DRAIN_S = 500.0, 20, 2.0
_PATIENCE_S = 30.0
_LONGEST_ROUND_S = 20.0
_READ = "/v1/workspaces/prod/feature-services/flight_delay/features"
_DEFINITIONS = "gateway.demo.definitions:REPOSITORY"
_CHECKED_S = 0.5
"""By then haproxy has asked often enough to know that a gateway is ready."""
_CONFIGURATION = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    retries 0
frontend front
    bind 127.0.0.1:{front}
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 150ms fall 2 rise 2
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""


@dataclass(frozen=True, slots=True)
class Rolled:
    """`statuses`: with which each gateway ended. `ended_s`: how long each took for that."""

    outcome: Outcome
    statuses: Sequence[int]
    ended_s: Sequence[float]

    @property
    def well(self) -> bool:
        return not self.outcome.bad() and not any(self.statuses)

    def __str__(self) -> str:
        ends = f"{len(self.statuses)} restarts, exit statuses {sorted(set(self.statuses))}, each ended in {max(self.ended_s):.1f} s or less"
        return f"{self.outcome}; {ends}"


class _Gateway:
    """One instance, on the same port again and again."""

    def __init__(self, data_dir: Path, log: Path, drain_s: float) -> None:
        self.port = _free_port()
        self._log = log
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("FEATURE_GATEWAY_", "OTEL_"))} | {
            "FEATURE_GATEWAY_AUTH__MODE": "open",
            "FEATURE_GATEWAY_SERVER__DRAIN_S": str(drain_s),
            "FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS": _DEFINITIONS,
            "FEATURE_GATEWAY_FEATURE_SERVER__AS_OF": definitions.AS_OF,
            "FEATURE_GATEWAY_FEATURE_SERVER__DATA_DIR": str(data_dir),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it is ready, and haproxy has had the time to see it."""
        command = [sys.executable, "-m", "gateway", "serve", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        _wait_ready(self.port, self._process)
        time.sleep(_CHECKED_S)

    def end(self) -> int:
        """Its exit status after SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_PATIENCE_S)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE_S)


async def roll(data_dir: Path, *, rounds: int = ROUNDS, rate_per_s: float = RATE_PER_S, drain_s: float = DRAIN_S) -> Rolled:
    """One of two gateways on the demo's store in `data_dir` is restarted, then the other, and so on. Bounded in time."""
    over, statuses, ended_s = False, list[int](), list[float]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rolling-")))
        gateways = [_Gateway(data_dir, folder / f"{name}.log", drain_s) for name in ("one", "two")]
        for gateway in gateways:
            stack.callback(gateway.kill)
            await asyncio.to_thread(gateway.start)
        front = stack.enter_context(_haproxy(folder, gateways))

        def restart_all() -> None:
            nonlocal over
            try:
                for number in range(rounds):
                    began_s = time.monotonic()
                    statuses.append(gateways[number % 2].end())
                    ended_s.append(time.monotonic() - began_s)
                    gateways[number % 2].start()
            finally:
                over = True

        restarting = asyncio.create_task(asyncio.to_thread(restart_all))
        outcome = await drive(rate_per_s, rounds * _LONGEST_ROUND_S, _request, "127.0.0.1", front, over=lambda: over)
        await restarting
    return Rolled(outcome, statuses, ended_s)


def _request(number: int) -> bytes:
    """One of a few flights."""
    join_keys = {"origin": "JFK", "dest": ("LAX", "BOS", "SFO", "MIA")[number % 4], "carrier": "AA", "tailnum": "N338AA"}
    body = json.dumps({"joinKeys": join_keys, "requestContext": {"planned_air_time": 330.5}}).encode()
    return b"POST %b HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n%b" % (_READ.encode(), len(body), body)


@contextmanager
def _haproxy(folder: Path, gateways: Sequence[_Gateway]) -> Iterator[int]:
    """Its port."""
    front, configuration = _free_port(), folder / "haproxy.cfg"
    configuration.write_text(_CONFIGURATION.format(front=front, one=gateways[0].port, two=gateways[1].port))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([shutil.which("haproxy") or "haproxy", "-db", "-f", configuration], stdout=log, stderr=log)
    try:
        _wait_ready(front, process)
        yield front
    finally:
        process.kill()
        process.wait(_PATIENCE_S)


def _wait_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + _PATIENCE_S
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < until_s and process.poll() is None:
            try:
                if client.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise click.ClickException(f"port {port} did not get ready")


def _free_port() -> int:
    """Below those that the system gives to outgoing connections, so that it is still free for the next instance."""
    for port in random.sample(range(20_000, 32_000), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise click.ClickException("no port is free")


@contextmanager
def flights() -> Iterator[Path]:
    """A data folder with the demo's flights."""
    with tempfile.TemporaryDirectory(prefix="rolling-") as folder:
        data_dir = Path(folder)
        engine = open_engine(
            checked(
                {
                    "feature_server": {"definitions": _DEFINITIONS, "data_dir": data_dir, "as_of": definitions.AS_OF},
                    "auth": {"mode": "open"},
                }
            )
        )
        load(engine, lambda _stored: None)
        engine.close()
        yield data_dir


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
@click.option("--rate", default=RATE_PER_S, show_default=True, help="Requests per second.")
def main(rounds: int, rate: float) -> None:
    """Restart two gateways behind haproxy in turn, and count what goes wrong."""
    if shutil.which("haproxy") is None:
        raise click.ClickException(HAPROXY)
    with flights() as data_dir:
        rolled = asyncio.run(roll(data_dir, rounds=rounds, rate_per_s=rate))
    print(rolled)
    sys.exit(not rolled.well)


if __name__ == "__main__":
    main()
