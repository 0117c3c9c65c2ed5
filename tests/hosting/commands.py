"""The command before a scripted cluster, as a process or several."""

import os
import signal
from pathlib import Path

import httpx

from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import authorization
from tests.harness.processes import Command, plain_environment
from tests.serving.payments import FRAUD, payment

READ = f"{FRAUD}/features"
GONE = {"joinKeys": {"user_id": "never read before", "merchant_id": 9}}
"""What is in no cache."""


def serving(folder: Path, cluster: Cluster, *arguments: str, **settings: object) -> Command:
    """`settings`: as in FEATURE_GATEWAY_*."""
    told = {f"FEATURE_GATEWAY_{name}": str(value) for name, value in {"DEADLINES__READ_S": 30, **settings}.items()}
    return Command(
        folder, "serve", "--origin", "tecton", "--tecton-url", cluster.url, "--port", "0", *arguments, environment=plain_environment(**told)
    )


def ask(url: str, **more: object) -> httpx.Response:
    """A read on a connection of its own."""
    return httpx.post(f"{url}{READ}", json=payment(**more), headers=authorization(ALICE), timeout=30)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def listened_at(pid: int) -> set[Path]:
    """The Unix sockets that a process listens on (proc(5), /proc/net/unix: flags 00010000)."""
    own = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {Path(row[7]) for row in rows if len(row) > 7 and row[3] == "00010000" and f"socket:[{row[6]}]" in own}


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def worker_at(url: str, credential: str | None = None) -> int:
    """The number of the worker that takes a new connection."""
    told = httpx.get(f"{url}/metrics", headers=authorization(credential)).text
    [line] = [line for line in told.splitlines() if line.startswith(("feature_gateway_worker ", "feature_gateway_worker{"))]
    return int(line.rpartition(" ")[2])
