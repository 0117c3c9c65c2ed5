"""`python -m loadtests.swarm`: locust with the swarm, against any gateway; without `--host`, against a demo of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import click

from loadtests.servers import demo
from loadtests.swarm.shapes import SHAPES

_HERE = Path(__file__).parent
_FILE = _HERE.parent / "locustfile.py"
_HEADLESS = ("--headless", "--only-summary", "--users", "20", "--spawn-rate", "20", "--run-time", "20s")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--host", help="The gateway. Without it the demo is started for the run.")
@click.option("--shape", type=click.Choice(list(SHAPES)), help="How many users there are when; else all of --users at once.")
@click.option("--stage-s", type=float, help="Seconds of each stage of the shape.  [default: 30]")
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.html and the CSV files.")
@click.option("--web", is_flag=True, help="Locust's own web page instead of a run that begins at once.")
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
def main(host: str | None, shape: str | None, stage_s: float | None, report: Path | None, web: bool, more: tuple[str, ...]) -> None:  # noqa: FBT001 - click's signature
    """Load from locust: Named, Tecton, Batch, Tenants and IngestAndRead users, 20 of them for 20 s.

    What follows is locust's: users by name, and any of its options and ours (`locust -f loadtests/locustfile.py --help` lists them).

    \b
    Examples:
      python -m loadtests.swarm
      python -m loadtests.swarm Named Batch --users 50 --run-time 1m --gate-p99-ms 20 --gate-hits 0.9
      python -m loadtests.swarm --shape step --stage-s 10 --users 200 --report out
      python -m loadtests.swarm --host https://gateway.example --key-file key --service prod/fraud --keys zipf
    """
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        started = demo(Path(folder), {}) if host is None else nullcontext((0, 0, os.environ.get("SWARM_KEY", "")))
        with started as (_, port, key):
            command = _command(host or f"http://127.0.0.1:{port}", shape, stage_s, report, web=web)
            sys.exit(subprocess.run([*command, *more], env=_environment(key), check=False).returncode)


def _command(host: str, shape: str | None, stage_s: float | None, report: Path | None, *, web: bool) -> list[str]:
    files = str(_FILE) if shape is None else f"{_FILE},{_HERE / shape}.py"
    command = [sys.executable, "-m", "locust", "-f", files, "--host", host]
    command += () if web else _HEADLESS[: 2 if shape else None] + (("--users", "20") if shape else ())
    command += ["--stage-s", str(stage_s)] if shape and stage_s is not None else []
    return command + ([] if report is None else ["--html", str(report / "report.html"), "--csv", str(report / "run"), "--csv-full-history"])


def _environment(key: str) -> Mapping[str, str]:
    """The key goes where other processes of the machine do not see it."""
    paths = [str(_HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ) | {"SWARM_KEY": key, "PYTHONPATH": os.pathsep.join(paths)}


if __name__ == "__main__":
    main()
