"""A Dockerfile without Docker: its stages, and what its COPY and RUN instructions do, done in a folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.helm import ROOT


@dataclass(slots=True)
class Stage:
    """From one FROM to the next: pairs of instruction and what follows it."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [said for name, said in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]


def read(file: Path) -> tuple[dict[str, str], list[Stage]]:
    """The arguments' defaults, and the stages."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, said = line.strip().partition(" ")
        if name == "ARG":
            key, _, default = said.partition("=")
            arguments[key] = default
        elif name == "FROM":
            stages.append(Stage(said))
        elif name:
            stages[-1].steps.append((name, said))
    return arguments, stages


def build(stage: Stage, arguments: dict[str, str], folder: Path) -> None:
    """Its RUNs, by this machine's shell and the Python below this one's environment, with absolute paths taken for ones in `folder`."""
    context = folder / "context"
    context.mkdir(parents=True)
    environment = {"PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin", "HOME": str(folder)} | pip_settings() | arguments
    for name, said in stage.steps:
        if name == "COPY":
            *sources, target = shlex.split(said)
            for source in sources:
                _copied(ROOT / source, context / target)
        elif name == "RUN":
            command = re.sub(r"(?<=[ =])/(?=\w)|^/(?=\w)", f"{folder}/", said)
            Path(folder / "opt").mkdir(exist_ok=True)
            ended = subprocess.run(["sh", "-c", command], cwd=context, env=environment, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, f"RUN {said}\n{ended.stdout}{ended.stderr}"


def pip_settings() -> dict[str, str]:
    """Where pip of this machine finds packages, if it was told so."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP", "http", "no_proxy", "NO_PROXY"))}


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(source, target / source.name if target.is_dir() else target)
