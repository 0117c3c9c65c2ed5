"""Closed-loop load: a number of connections, each sending a request again as soon as it is answered, for some seconds.

`wrk` drives where it is installed; else a driver of our own, in its own process, which is about half as fast and loads both sides alike.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import cast

import uvloop

COUNT = "@count"
"""In a body of several: the number of the request, six digits."""


@dataclass(frozen=True, slots=True)
class Target:
    """Requests to one server: one again and again, or, with `more` bodies after the first, all of them in turn, over all connections."""

    port: int
    path: str
    headers: Mapping[str, str]
    body: bytes
    more: Sequence[bytes] = ()

    @property
    def bodies(self) -> tuple[bytes, ...]:
        return (self.body, *self.more)

    def at(self, port: int) -> "Target":
        """The same requests, to another server."""
        return replace(self, port=port)

    def wires(self) -> list[bytes]:
        told = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{told}"
        return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in self.bodies]


@dataclass(frozen=True, slots=True)
class Load:
    """What a run gave. `errors`: replies that were not 200, and broken connections. `answered`: replies of any kind."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    answered: int


def drive(target: Target, *, connections: int, seconds: float, cpu: int | None = None) -> Load:
    """Drive one server. `cpu` pins the driver."""
    pin = ["taskset", "-c", str(cpu)] if cpu is not None and shutil.which("taskset") else []
    if shutil.which("wrk"):
        return _wrk(target, connections, seconds, pin)
    told = json.dumps(
        {"wires": [wire.decode() for wire in target.wires()], "port": target.port, "connections": connections, "seconds": seconds}
    )
    run = subprocess.run([*pin, sys.executable, "-m", "loadtests.drivers"], input=told, capture_output=True, text=True, check=True)
    return Load(**json.loads(run.stdout))


def driver_name() -> str:
    return "wrk" if shutil.which("wrk") else "built-in driver"


_IN_TURN = """
local requests, sent = {}, 0
function init(args)
  for body in io.lines(args[1]) do requests[#requests + 1] = wrk.format(nil, nil, nil, body) end
end
function request()
  local next = requests[sent % #requests + 1]
  sent = sent + 1
  return NEXT
end
"""
"""wrk's script for several bodies, of which its argument is a file, a line each; wrk's own `request` sends one."""
_NUMBERED = f'(next:gsub("{COUNT}", string.format("%06d", sent % 1000000)))'
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def _wrk(target: Target, connections: int, seconds: float, pin: list[str]) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        headers = "".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in target.headers.items())
        bodies = Path(folder) / "bodies"
        bodies.write_bytes(b"\n".join(target.bodies))
        # looking for what is not there would cost the driver more than all else that it does
        in_turn = _IN_TURN.replace("NEXT", _NUMBERED if any(COUNT.encode() in body for body in target.bodies) else "next")
        sends = in_turn if target.more else f"wrk.body = {json.dumps(target.body.decode())}\n"
        script.write_text(f'wrk.method = "POST"\n{headers}{sends}')
        command = [*pin, "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", str(script)]
        command += [f"http://127.0.0.1:{target.port}{target.path}", "--", str(bodies)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def latency(percentile: str) -> float:
        found = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s|m)\b", said)
        return float(found[1]) * _UNITS[found[2]] if found else float("nan")

    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    answered = re.search(r"(\d+) requests in ", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return Load(float(rate[1]) if rate else 0.0, latency("50"), latency("99"), errors, int(answered[1]) if answered else 0)


class _Connection(asyncio.Protocol):
    """One keep-alive connection in closed loop. Replies carry Content-Length, as the gateway's do."""

    def __init__(self, wires: Iterator[bytes], latencies_s: list[float]) -> None:
        self._wires = wires
        self._latencies_s = latencies_s
        self._received = b""
        self.errors = 0
        self.stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry
        self._send()

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._wires))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if len(body) < int(length[1] if length else 0):
            return
        self._latencies_s.append(time.perf_counter() - self._sent_s)
        self.errors += not head.startswith(b"HTTP/1.1 200 ")
        self._received = b""
        if self.stopping:
            self._transport.close()
        else:
            self._send()


def _in_turn(wires: Sequence[bytes]) -> Iterator[bytes]:
    if len(wires) == 1:
        return cycle(wires)
    return (wire.replace(COUNT.encode(), b"%06d" % (number % 1_000_000)) for number, wire in enumerate(cycle(wires), start=1))


async def _closed_loop(wires: Sequence[bytes], port: int, connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    latencies_s: list[float] = []
    started_s = time.perf_counter()
    in_turn = _in_turn(wires)
    opened = [await loop.create_connection(lambda: _Connection(in_turn, latencies_s), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(seconds)
    for _, connection in opened:
        connection.stopping = True
    elapsed_s = time.perf_counter() - started_s
    ordered = sorted(latencies_s) or [0.0]
    errors = sum(connection.errors for _, connection in opened)
    p50_s, p99_s = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return Load(len(latencies_s) / elapsed_s, p50_s * 1e3, p99_s * 1e3, errors, len(latencies_s))


def main() -> None:
    told = json.load(sys.stdin)
    load = uvloop.run(_closed_loop([wire.encode() for wire in told["wires"]], told["port"], told["connections"], told["seconds"]))
    print(json.dumps({name: getattr(load, name) for name in Load.__slots__}))


if __name__ == "__main__":
    main()
