"""The `feature-gateway` command as a process of its own, which ends with the block that started it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.clock import PATIENCE_S, wait_until

COMMAND = Path(sys.executable).with_name("feature-gateway")


def plain_environment(**more: str) -> dict[str, str]:
    """The environment without what would change the gateway's mind."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FEATURE_GATEWAY_", "OTEL_"))} | more


def run_command(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=plain_environment() if environment is None else environment,
    )


class Command:
    """The command, serving. What it says goes to files in `folder`, of which there is one for each process."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._process = subprocess.Popen(
                [COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=plain_environment() if environment is None else dict(environment),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        """Without what it says of how busy the machine is."""
        return "".join(line for line in self._stderr.read_text().splitlines(keepends=True) if "The event loop was held up" not in line)

    def told(self, pattern: str) -> re.Match[str]:
        """What it says on stdout that matches, once it does."""
        wait_until(lambda: re.search(pattern, self.stdout) is not None or self._process.poll() is not None, f"{pattern} on stdout")
        match = re.search(pattern, self.stdout)
        assert match is not None, f"it ended with {self._process.returncode}: {self.stderr}"
        return match

    @property
    def url(self) -> str:
        return self.told(r"Serving (?:on )?(http://\S+)")[1]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def terminate(self) -> None:
        """As a service manager does; it ends in its own time."""
        self._process.terminate()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait(PATIENCE_S)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def stop(self) -> int:
        """As Ctrl+C does."""
        if self._process.poll() is None:
            self.resume()
            self.interrupt()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self._process.returncode
