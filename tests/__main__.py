"""`python -m tests`: lint, types, architecture and tests, in turn, with one summary. Arguments go to pytest.

Every step runs even where an earlier one failed. The last line counts pytest's tests and the other steps together. In CI (`CI=true`) a
skipped test is a failure and coverage is judged; elsewhere a skipped test is listed with what it lacks, tests marked as slow (soaks with
processes that are killed again and again) are left out, and nothing is traced: that takes half as long again as the tests do. The whole
suite runs on all cores. With arguments only a part of the suite runs, so coverage is reported and not judged.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
COVERAGE_FLOOR = 97
"""Per cent of lines and branches of `gateway`, over the tests and the processes that they start."""
CORES = os.cpu_count() or 1
WORKERS = CORES + (CORES + 1) // 2
"""More than cores: a third of the time tests wait, for deadlines and for processes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step went. `skips`: what was skipped, and why."""

    step: str
    seconds: float
    passed: int = 0
    failed: int = 0
    skips: Sequence[str] = field(default=())


def main(arguments: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="gateway-tests-") as scratch:
        environment = {
            # bytecode is kept: without it each of the processes compiles the gateway for itself, and every worker of pytest all tests
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            # another one each time, and the same in all of pytest's processes: tests named after a set's members need that
            "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED") or str(secrets.randbelow(2**32)),
        }
        traced = in_ci() or bool(arguments)
        if traced:
            # coverage's own .pth file starts it in every Python process of the suite, those that tests start included
            environment |= {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"), "COVERAGE_FILE": str(Path(scratch) / "coverage")}
        outcomes = [
            check("ruff check", "ruff", "check", "."),
            check("ruff format", "ruff", "format", "--check", "."),
            check("mypy", "mypy", "gateway", "tests", "loadtests"),
            run_pytest(arguments, Path(scratch) / "results.xml", environment),
            *([measure_coverage(environment, judged=not arguments)] if traced else []),
        ]
    return tell(outcomes, skips_fail=in_ci())


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def announce(step: str) -> None:
    print(f"\n=== {step}", flush=True)


def module(*arguments: str, environment: Mapping[str, str] | None = None) -> int:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, check=False).returncode


def check(step: str, *arguments: str) -> Outcome:
    announce(step)
    began = time.monotonic()
    good = module(*arguments) == 0
    return Outcome(step, time.monotonic() - began, passed=good, failed=not good)


def run_pytest(arguments: Sequence[str], results: Path, environment: Mapping[str, str]) -> Outcome:
    announce(f"pytest (PYTHONHASHSEED={environment['PYTHONHASHSEED']})")
    began = time.monotonic()
    chosen = [] if in_ci() or "-m" in arguments else ["-m", "not slow"]
    # a file's tests share what they start; in the order of their names, as the files with the fewest tests take longest and would come last
    together = [] if arguments else [f"--numprocesses={WORKERS}", "--dist=loadfile", "--no-loadscope-reorder"]
    status = module("pytest", f"--junitxml={results}", *chosen, *together, *arguments, environment=environment)
    passed, failed, skips = read_results(results)
    if status != 0 and not failed:  # it did not get as far as a test: a mistake in a file or an option
        failed = 1
    return Outcome("pytest", time.monotonic() - began, passed, failed, skips)


def read_results(results: Path) -> tuple[int, int, list[str]]:
    """Passed, failed and skipped, from pytest's own report. A test whose teardown fails too is one failure, not two."""
    if not results.exists():
        return 0, 0, []
    worst: dict[str, str] = {}
    skips: list[str] = []
    for case in ET.parse(results).getroot().iter("testcase"):  # noqa: S314 - pytest wrote it, a moment ago
        name = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            worst[name] = "failed"
        elif skipped is not None:
            skips.append(f"{name}: {skipped.get('message')}")
        else:
            worst.setdefault(name, "passed")
    verdicts = list(worst.values())
    return verdicts.count("passed"), verdicts.count("failed"), skips


def measure_coverage(environment: Mapping[str, str], *, judged: bool) -> Outcome:
    announce("coverage")
    began = time.monotonic()
    quiet = {name: value for name, value in environment.items() if name != "COVERAGE_PROCESS_START"}
    combined = module("coverage", "combine", "--quiet", environment=quiet) == 0
    floor = [f"--fail-under={COVERAGE_FLOOR}"] if judged else []
    good = module("coverage", "report", "--skip-covered", "--show-missing", *floor, environment=quiet) == 0
    if not judged:
        return Outcome("coverage (a part of the suite: not judged)", time.monotonic() - began, passed=1)
    return Outcome(f"coverage ≥ {COVERAGE_FLOOR}%", time.monotonic() - began, passed=combined and good, failed=not (combined and good))


def tell(outcomes: Sequence[Outcome], *, skips_fail: bool) -> int:
    print("\n=== summary")
    for outcome in outcomes:
        verdict = "FAILED" if outcome.failed else "ok"
        counts = f"{outcome.passed} passed, {outcome.failed} failed" if outcome.passed + outcome.failed > 1 else ""
        print(f"{verdict:8}{outcome.step:44}{outcome.seconds:7.1f} s  {counts}".rstrip())
    if not any(outcome.step.startswith("coverage") for outcome in outcomes):
        print(f"        coverage ≥ {COVERAGE_FLOOR}%: not measured; it is where CI=true")
    skips = [skip for outcome in outcomes for skip in outcome.skips]
    if skips:
        print("\nSkipped, which is a failure here (CI=true):" if skips_fail else "\nSkipped, and what each lacks:")
        print("\n".join(f"  {skip}" for skip in skips))
    failed = sum(outcome.failed for outcome in outcomes) + (len(skips) if skips_fail else 0)
    told = f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed"
    print(told if skips_fail or not skips else f"{told}, {len(skips)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
