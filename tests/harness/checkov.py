"""checkov, in an environment of its own in the user's cache: what it pins does not go with what the gateway needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.harness.helm import CACHE, Helm, Unreachable, alone

VERSION = "3.3.30"


def lend_checkov() -> Path:
    """The command. Raises Unreachable. Its first time takes half a minute."""
    home = CACHE / f"checkov-{VERSION}"
    done = home / "installed"
    with alone("checkov"):
        if not done.exists():
            wanted = f"checkov=={VERSION}"
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            if subprocess.run([home / "bin" / "pip", "install", "--quiet", wanted], capture_output=True, check=False).returncode != 0:
                raise Unreachable(f"needs checkov, which `pip install {wanted}` gets")
            done.touch()
    return home / "bin" / "checkov"


def failed_checks(checkov: Path, helm: Helm, *arguments: str | Path) -> set[str]:
    """The ids of the checks that do not pass. Without what it could fetch from its maker."""
    environment = {**os.environ, "PATH": f"{helm.program.parent}:{os.environ['PATH']}", "LOG_LEVEL": "ERROR"}
    command = [checkov, "--skip-download", "--quiet", "--output", "json", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.stdout, ended.stderr
    told = json.loads(ended.stdout)
    reports = told if isinstance(told, list) else [told]
    assert sum(report["summary"]["passed"] for report in reports) > 50, "it looked at next to nothing"
    return {check["check_id"] for report in reports for check in report["results"]["failed_checks"]}
