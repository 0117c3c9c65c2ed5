"""A pod's container without Kubernetes: its command line and variables, as rendered, in a root of its own that can only be read but for
its volumes, as a user who may do nothing else.

The root is a mount namespace with this machine's programs in it. Making one takes root, or a system that lets anybody have a user namespace
(where the user then stays what it was).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.harness.clock import PATIENCE_S
from tests.harness.helm import ROOT, Document, Documents

LACKING = "needs mount namespaces: root, or user namespaces that anybody may have (unshare, of util-linux)"
_USER = 65532
_PLACES = ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/dev", "/proc", "/etc/ssl", "/etc/ld.so.cache")
_MAKE = """
set -e
root=$1; shift
mount -t tmpfs -o mode=755 none "$root"
while [ "$1" != -- ]; do
  from=${1%%::*} to=$root${1#*::}; shift
  if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "${to%/*}" && touch "$to"; fi
  mount --rbind "$from" "$to"
done
shift
mount -o remount,bind,ro "$root"
exec "$@"
"""


@cache
def isolating() -> list[str] | None:
    """The command that gives others a mount namespace. None: there is no such thing here."""
    for flags in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *flags, "--mount", "--propagation", "private"]
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return None


class Node:
    """Where a release's pods run. `secrets`: by the variables that name them."""

    def __init__(self, documents: Documents, folder: Path, secrets: Mapping[str, str]) -> None:
        self._documents = documents
        self._folder = folder
        self._secrets = secrets
        self._volumes = {volume["name"]: self._volume(volume) for volume in documents.pod["volumes"]}

    def run(self, container: Document) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(
            self._command(container), capture_output=True, text=True, check=False, timeout=60, env=self._environment(container)
        )

    @contextmanager
    def start(self, container: Document) -> Iterator[subprocess.Popen[str]]:
        command, environment = self._command(container), self._environment(container)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait(PATIENCE_S)

    def volume(self, name: str) -> Path:
        return self._volumes[name]

    def _volume(self, volume: Document) -> Path:
        place = self._folder / "volumes" / str(volume["name"])
        place.mkdir(parents=True)
        if "configMap" in volume:
            [data] = [one["data"] for one in self._documents.of("ConfigMap") if one["metadata"]["name"] == volume["configMap"]["name"]]
            _fill(place, data)
        else:
            place.chmod(0o770)
            if os.geteuid() == 0:  # as fsGroup has it
                os.chown(place, _USER, _USER)
        return place

    def _environment(self, container: Document) -> dict[str, str]:
        given = {one["name"]: one.get("value") or self._secrets[one["name"]] for one in container.get("env", [])}
        return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"} | given

    def _command(self, container: Document) -> list[str]:
        """What Kubernetes does not say, the image does: see its ENTRYPOINT."""
        isolate = isolating()
        assert isolate is not None
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        places = {place: place for place in _PLACES if Path(place).exists()}
        mounts: list[Document] = container.get("volumeMounts", [])
        mounted = {mount["mountPath"]: str(self._volumes[mount["name"]]) for mount in mounts}
        programs = {str(place): str(place) for place in (ROOT, Path(sys.prefix), Path(sys.base_prefix))}
        binds = [f"{source}::{place}" for place, source in (places | mounted | programs).items()]
        words: list[str] = [*container.get("command", ["feature-gateway"]), *container["args"]]
        inside = [shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin") or "chroot", str(root), *_deprived(), *words]
        return [*isolate, "sh", "-c", _MAKE, "sh", str(root), *binds, "--", *inside]


def _deprived() -> list[str]:
    """The securityContext, as far as the system lets us."""
    everything_off = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *everything_off] if os.geteuid() == 0 else []


def _fill(place: Path, data: Mapping[str, Any]) -> None:
    """As a kubelet does: the files are links to those of a folder that is changed as one."""
    version = place / "..2026_11_28"
    version.mkdir()
    (place / "..data").symlink_to(version.name)
    for name, text in data.items():
        (version / name).write_text(text)
        (place / name).symlink_to(Path("..data") / name)
