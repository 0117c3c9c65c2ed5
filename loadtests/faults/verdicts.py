"""What was measured, what was promised, and whether it holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan

Figure = int | float | str


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure. `promise` is what it was held to, None where it is only told."""

    name: str
    value: Figure
    promise: str | None = None
    kept: bool = True

    def __str__(self) -> str:
        told = f"{self.name} {_spelled(self.value)}"
        return told if self.promise is None else f"{told} ({'' if self.kept else 'NOT '}{self.promise})"


@dataclass(slots=True)
class Sheet:
    """The figures of one fault."""

    fault: str
    findings: list[Finding] = field(default_factory=list)

    def note(self, name: str, value: Figure) -> None:
        self._add(Finding(name, value))

    def at_most(self, name: str, value: float, bound: float) -> None:
        self._add(Finding(name, value, f"≤ {_spelled(bound)}", not isnan(value) and value <= bound))

    def at_least(self, name: str, value: float, bound: float) -> None:
        self._add(Finding(name, value, f"≥ {_spelled(bound)}", not isnan(value) and value >= bound))

    def exactly(self, name: str, value: int, expected: int) -> None:
        self._add(Finding(name, value, f"= {expected}", value == expected))

    def fail(self, name: str, why: str) -> None:
        self._add(Finding(name, why, "measured", kept=False))

    def _add(self, finding: Finding) -> None:
        assert all(finding.name != other.name for other in self.findings), f"{finding.name} is told already"
        self.findings.append(finding)

    @property
    def passed(self) -> bool:
        return all(finding.kept for finding in self.findings)

    def __str__(self) -> str:
        return f"{'PASS' if self.passed else 'FAIL'}  {self.fault:<13} {' · '.join(map(str, self.findings))}"

    def document(self) -> Mapping[str, object]:
        figures = {finding.name: {"value": finding.value, "promise": finding.promise, "kept": finding.kept} for finding in self.findings}
        return {"fault": self.fault, "passed": self.passed, "figures": figures}


def _spelled(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value
