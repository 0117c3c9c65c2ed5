"""Servers under load: each a process of its own, pinned to one core, and what it costs in CPU time; a receiver for the spans they send."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import IO

import click
import httpx

from loadtests.drivers import Load, Target, drive

ALL_CPUS = sorted(os.sched_getaffinity(0))
CPUS = (ALL_CPUS[0], ALL_CPUS[-1])
"""The servers' core and the driver's."""
_STILL_S = 0.05


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: IO[str] | None = None,
    folder: Path | None = None,
    cpus: Collection[int] = (CPUS[0],),
) -> Iterator["subprocess.Popen[str]"]:
    """A server, until the block ends. What it says is at `stdout`, or with what it complains of in `log`; it starts in `folder`."""
    out = subprocess.PIPE if log is None else log
    process = subprocess.Popen(command, stdout=out, stderr=log, text=True, env=environment, cwd=folder)
    os.sched_setaffinity(process.pid, cpus)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def demo(folder: Path, environment: Mapping[str, str], start: Sequence[str] = ("-m", "gateway")) -> Iterator[tuple[int, int, str]]:
    """The gateway's demo with its data in `folder`, its cache at TTLs that outlive the run, also of what is missing. Its process id, its
    port and its key."""
    ttls = {"FEATURE_GATEWAY_CACHE__TTL_S": "86400", "FEATURE_GATEWAY_CACHE__NEGATIVE_TTL_S": "86400"}
    whole = {**os.environ, **ttls, **environment}
    with running([sys.executable, *start, "demo", "--port", "0", "--data-dir", str(folder)], whole) as process:
        assert process.stdout is not None
        port = key = None
        for line in process.stdout:
            if found := re.match(r"Serving http://127\.0\.0\.1:(\d+) ", line):
                port = int(found[1])
            if found := re.match(r"API key: (\S+)", line):
                key = found[1]
                break
        if port is None or key is None:
            raise click.ClickException("the demo did not start; run `feature-gateway demo` to see why")
        yield process.pid, port, key


@contextmanager
def serving(
    environment: Mapping[str, str], *options: str, folder: Path | None = None, cpus: Collection[int] = (CPUS[0],)
) -> Iterator[tuple[int, int]]:
    """`feature-gateway serve`, by this environment and these options, on a port of its own. Its process id and its port."""
    with running([sys.executable, "-m", "gateway", "serve", "--port", "0", *options], environment, folder=folder, cpus=cpus) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.match(r"Serving on http://127\.0\.0\.1:(\d+) ", line):
                yield process.pid, int(found[1])
                return
        raise click.ClickException("the gateway did not start; what it said stands above")


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, and what it cost the server: CPU microseconds per request, which other work on the machine does not disturb."""

    load: Load
    cpu_us: float


def measure(pid: int, target: Target, connections: int, seconds: float) -> Measured:
    before_s = cpu_s(pid)
    load = drive(target, connections=connections, seconds=seconds, cpu=CPUS[1])
    if not load.answered:
        raise click.ClickException(f"no answer came from port {target.port}")
    return Measured(load, (cpu_s(pid) - before_s) / load.answered * 1e6)


def settle(pid: int, patience_s: float = 5.0) -> None:
    """Wait until a server has done what its last run left it to do, as the export of spans: the next one's time is not its own."""
    give_up_s = time.monotonic() + patience_s
    spent_s = cpu_s(pid)
    while time.monotonic() < give_up_s:
        time.sleep(_STILL_S)
        spent_s, before_s = cpu_s(pid), spent_s
        if spent_s == before_s and not _wants_cpu(pid):
            return


def spread(figures: Sequence[float]) -> str:
    """The median, and the range in brackets."""
    return f"{median(figures):.2f} [{min(figures):.2f}-{max(figures):.2f}]"


def cpu_s(pid: int) -> float:
    """User and system time of a process, its threads and the processes it has started."""
    return _own_cpu_s(pid) + sum(cpu_s(child) for child in _children(pid))


def _wants_cpu(pid: int) -> bool:
    """Whether a thread of it runs, or would if there were a core for it: proc(5), /proc/pid/stat, field 3."""
    threads = [file.read_text().rpartition(")")[2].split()[0] for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    return "R" in threads or any(map(_wants_cpu, _children(pid)))


def _own_cpu_s(pid: int) -> float:
    """proc(5), /proc/pid/stat, fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(child) for threads in Path(f"/proc/{pid}/task").glob("*/children") for child in threads.read_text().split()]


def wait_for(port: int) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False) as client:
        client.post(f"http://127.0.0.1:{port}/")


class _Receiver(BaseHTTPRequestHandler):
    """Takes spans over OTLP/HTTP and forgets them, or answers with another `status`."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _BusyReceiver(_Receiver):
    status = 503


@contextmanager
def span_receiver(*, busy: bool = False) -> Iterator[int]:
    """Its port. `busy`: it answers 503."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _BusyReceiver if busy else _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
