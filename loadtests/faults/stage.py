"""A gateway before a scripted origin, each a process of its own, and reads of them in open loop whose every value is checked."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtests.faults.origin_process import OriginProcess
from loadtests.open_loop import Outcome, Record, drive
from tests.harness.cluster import ALICE, LITE, Cluster
from tests.harness.links import links_to
from tests.harness.processes import Command, plain_environment

READ_PATH = "/api/v1/feature-service/get-features"
WARM_USERS = 200
_HEAD = f"POST {READ_PATH} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
_EPOCHS = (0, 1)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, and for how long."""

    quick: bool = False

    @property
    def rate_per_s(self) -> float:
        return self.of(500.0, 200.0)

    def of(self, whole_s: float, quick_s: float) -> float:
        return quick_s if self.quick else whole_s


def keys_of(user: str) -> Mapping[str, str]:
    return {"user_id": user, "merchant_id": "7"}


def read_of(user: str) -> bytes:
    """A read of this user, as bytes."""
    params = {"workspaceName": "prod", "featureServiceName": "lite", "joinKeyMap": keys_of(user)}
    body = json.dumps({"params": params}).encode()
    return f"{_HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body


def warm(number: int) -> str:
    """A user whom all know already."""
    return f"warm-{number % WARM_USERS}"


def mostly_warm(number: int) -> str:
    """One in five is nobody that was asked for before."""
    return f"cold-{number}" if number % 5 == 0 else warm(number)


def cold(number: int) -> str:
    return f"cold-{number}"


class Truth:
    """What the cluster has of its users, of each epoch."""

    def __init__(self) -> None:
        self._clusters = {epoch: Cluster() for epoch in _EPOCHS}
        for epoch, cluster in self._clusters.items():
            cluster.epoch = epoch

    def epoch_of(self, user: str, body: bytes) -> int | None:
        """Whose values these are. None: nobody's, so they are wrong."""
        try:
            values = json.loads(body)["result"]["features"]
        except (ValueError, KeyError, TypeError):
            return None
        for epoch, cluster in self._clusters.items():
            if values == [cluster.value(name, dtype, keys_of(user), {}, LITE) for name, dtype in LITE.features]:
                return epoch
        return None


@dataclass(slots=True)
class Heard:
    """A run of reads. `began_s` is monotonic; `epochs` of those that were answered 200, None for wrong values."""

    users: Callable[[int], str]
    began_s: float
    outcome: Outcome = field(default_factory=lambda: Outcome((), ()))
    epochs: dict[int, int | None] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        return sum(epoch is None for epoch in self.epochs.values())

    @property
    def kinds(self) -> str:
        """How many ended how."""
        return ", ".join(f"{count:,} x {kind}" for kind, count in sorted(self.outcome.kinds.items()))

    def between(self, since_s: float, until_s: float, users: str = "") -> list[Record]:
        """Reads that were due then (monotonic), of users with this prefix."""
        return [
            record
            for record in self.outcome.records
            if since_s <= self.began_s + record.scheduled_s < until_s and self.users(record.number).startswith(users)
        ]

    def done_s(self, record: Record) -> float:
        return self.began_s + (record.done_s if record.done_s is not None else float("inf"))


def took_s(record: Record) -> float:
    """From when it went out to its end, whatever that was."""
    if record.sent_s is None or record.done_s is None:
        return float("inf")
    return record.done_s - record.sent_s


@dataclass(frozen=True, slots=True)
class Stage:
    pace: Pace
    origin: OriginProcess
    command: Command
    address: tuple[str, int]

    @property
    def pid(self) -> int:
        return self.command.pid

    async def read(
        self,
        users: Callable[[int], str],
        seconds: float,
        *,
        rate_per_s: float | None = None,
        connections: int = 1_024,
        patience_s: float = 10.0,
    ) -> Heard:
        """Read `users(0)`, `users(1)`, … by the schedule; at the stage's own pace, where no other is named."""
        truth, heard = Truth(), Heard(users, time.monotonic())

        def hear(record: Record, body: bytes) -> None:
            if record.status == 200:
                heard.epochs[record.number] = truth.epoch_of(users(record.number), body)

        heard.outcome = await drive(
            self.pace.rate_per_s if rate_per_s is None else rate_per_s,
            seconds,
            lambda number: read_of(users(number)),
            *self.address,
            connections=connections,
            patience_s=patience_s,
            hear=hear,
        )
        return heard

    async def warm_up(self) -> None:
        """Everybody who is warm is known, the connections are open, the code has run."""
        await self.read(warm, 1.0, rate_per_s=WARM_USERS)

    def descriptors(self) -> int:
        """Open files of the gateway, but for the connections to its origin, which stay as long as they are of use."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()) - links_to(self.origin.port)

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def stage(pace: Pace, **settings: str | float) -> Iterator[Stage]:
    """`settings` by section and name: `cache__ttl_s=1`. Everybody may read; the gateway has the cluster's key."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, OriginProcess() as origin:
        told: dict[str, Any] = {
            "origin__kind": "tecton",
            "origin__url": f"http://127.0.0.1:{origin.port}",
            "origin__api_key": ALICE,
            "auth__mode": "open",
            **settings,
        }
        environment = plain_environment(**{f"FEATURE_GATEWAY_{name.upper()}": str(value) for name, value in told.items()})
        with Command(Path(folder), "serve", "--port", "0", environment=environment) as command:
            found = urlsplit(command.url)
            yield Stage(pace, origin, command, (str(found.hostname), int(found.port or 0)))


async def at(instant_s: float) -> None:
    """Wait for this instant of the monotonic clock."""
    await asyncio.sleep(max(0.0, instant_s - time.monotonic()))
