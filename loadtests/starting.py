"""`python -m loadtests.starting`: how long it takes from the beginning of a gateway's process until `/readyz` answers 200, on the embedded
server, and before a cluster (which is the demo) with callers' own credentials and with keys of the gateway's own.

Each is started once before, so that bytecode, tables and data are there.
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from loadtests.servers import cpu_s, demo, running

_SERVING = re.compile(r"Serving (?:on )?http://127\.0\.0\.1:(\d+)")
_EMBEDDED = {
    "FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS": "gateway.demo.definitions:REPOSITORY",
    "FEATURE_GATEWAY_AUTH__KEYS": '{"nobody": {"digest": "%s", "workspaces": ["*"]}}' % ("0" * 64),
    "FEATURE_GATEWAY_AUTH__STORE": "none",
}


@dataclass(frozen=True, slots=True)
class Start:
    """`cpu_s`: what the process had taken by then."""

    ready_s: float
    cpu_s: float


def measure(arguments: Sequence[str], environment: Mapping[str, str]) -> Start:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    whole = plain | {"FEATURE_GATEWAY_SERVER__DRAIN_S": "0", **environment}
    began_s = time.perf_counter()
    with running([sys.executable, "-m", "gateway", *arguments, "--port", "0"], whole) as process:
        assert process.stdout is not None
        port = next((int(found[1]) for line in process.stdout if (found := _SERVING.match(line))), None)
        if port is None:
            raise click.ClickException(f"{' '.join(arguments)}: the gateway did not start")
        with closing(HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("GET", "/readyz")
            if connection.getresponse().status != 200:
                raise click.ClickException(f"{' '.join(arguments)}: the gateway is not ready")
        return Start(time.perf_counter() - began_s, cpu_s(process.pid))


@click.command()
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    table = Table("gateway", "ready, s", "CPU, s")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, port, key = stack.enter_context(demo(folder / "cluster", {}))
        own = ["serve", "--host", "127.0.0.1", "--data-dir", str(folder / "own")]
        cluster = [*own, "--origin", "tecton", "--tecton-url", f"http://127.0.0.1:{port}"]
        ways: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
            "the demo, flights loaded": (["demo", "--data-dir", str(folder / "demo")], {}),
            "embedded server": (own, _EMBEDDED),
            "before a cluster": (cluster, {}),
            "before a cluster, with keys of its own": (cluster, {"FEATURE_GATEWAY_ORIGIN__API_KEY": key}),
        }
        for name, (arguments, environment) in ways.items():
            measure(arguments, environment)
            starts = [measure(arguments, environment) for _ in range(rounds)]
            ready, cpu = [one.ready_s for one in starts], [one.cpu_s for one in starts]
            table.add_row(name, f"{median(ready):.2f} [{min(ready):.2f}-{max(ready):.2f}]", f"{median(cpu):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
