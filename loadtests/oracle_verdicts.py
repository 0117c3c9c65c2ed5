"""Whether a served value is what the oracle's evidence allows: exactly, or within the error that the engine states for it.

Integers, texts, lists and whole float64 sums must be equal to the last bit. Where float64 rounds, the bound is the textbook's for the order
of operations in question; of sketches, the one that `sketches` states for its library.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

from gateway.feature_server.definitions import Aggregation

_ROUNDOFF = 2.0**-53
_DISTINCT_PRECISION, _PERCENTILE_PRECISION = 8, 100
_DISTINCT_SIGMAS = 5.0
"""A relative standard error is no bound. Of 4,000 sketches at precision 6, whose errors lean to the right, one was off by more than 4."""
_DISTINCT_EXACT = 3 / 32
"""Of so many registers' worth of values the library keeps each one (measured: precision 8 and above; below, of 7 values)."""
_PERCENTILE_SLACK = 2.0
"""The stated rank error holds in 99% of cases: what is beyond is counted, what is beyond twice of it is wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error`, the `bound` it is held against, and the unit of both: of approximate values alone."""

    right: bool
    missing: bool
    error: float | None = None
    bound: float | None = None
    unit: str = ""


def judge(one: Aggregation, evidence: Any, got: Any) -> Verdict:
    """The verdict on one aggregation's value, None for no data."""
    if one.function == "approx_percentile":
        return _percentile(one, evidence, got)
    if one.function == "approx_count_distinct":
        return _distinct(one, evidence, got)
    if not isinstance(evidence, dict):
        return _exactly(evidence, got)
    facts = list(evidence.values())
    if len(facts) == 3 and isinstance(facts[1], int):
        return _exactly(_of_integers(one.function, *facts), got)
    if not facts[0]:
        return _exactly(None, got)
    return _sum(one.function, facts, got) if one.function in {"sum", "mean"} else _variance(one.function, facts, got)


def same(expected: Any, got: Any) -> bool:
    """Equal, and of one type all through: 1, 1.0 and true are three values."""
    if isinstance(expected, list):
        return isinstance(got, list) and len(expected) == len(got) and all(map(same, expected, got))
    return type(expected) is type(got) and expected == got


def _exactly(expected: Any, got: Any) -> Verdict:
    return Verdict(same(expected, got), expected is None)


def _of_integers(function: str, count: int, total: int, squares: int) -> int | float | None:
    """From exact integers, rounded once."""
    if not count:
        return None
    if function == "sum":
        return int(total)
    if function == "mean":
        return float(Fraction(total, count))
    fewer = 1 if function.endswith("_samp") else 0
    if count <= fewer:
        return None
    variance = float(Fraction(count * squares - total * total, count * (count - fewer)))
    return sqrt(variance) if function.startswith("stddev") else variance


def _within(expected: float, got: Any, bound: float) -> Verdict:
    if type(got) is not float:
        return Verdict(right=False, missing=False)
    error = abs(got - expected)
    return Verdict(error <= bound, missing=False, error=error, bound=bound)


def _sum(function: str, facts: Sequence[Any], got: Any) -> Verdict:
    count, total, magnitude, whole = facts
    expected = total / (count if function == "mean" else 1)
    if whole and magnitude < 2**53:
        return _exactly(expected, got)
    # Higham, Accuracy and Stability of Numerical Algorithms, 4.2: any order of recursive summation, and the division
    return _within(expected, got, (count + 1) * _ROUNDOFF * magnitude / (count if function == "mean" else 1))


def _variance(function: str, facts: Sequence[Any], got: Any) -> Verdict:
    """Chan, Golub and LeVeque, 1983: an updating algorithm is off by at most about n·κ·u, relatively; κ² is 1 + n·mean² / spread."""
    count, mean, spread = facts
    fewer = 1 if function.endswith("_samp") else 0
    if count <= fewer:
        return _exactly(None, got)
    variance = spread / (count - fewer)
    relative = count * _ROUNDOFF * sqrt(1 + count * mean * mean / spread) if spread else 0.0
    floor = count * (_ROUNDOFF * abs(mean)) ** 2
    if function.startswith("stddev"):
        return _within(sqrt(variance), got, sqrt(variance) * (relative + 4 * _ROUNDOFF) + sqrt(floor))
    return _within(variance, got, variance * (relative + 4 * _ROUNDOFF) + floor)


def _distinct(one: Aggregation, exact: int | None, got: Any) -> Verdict:
    if exact is None or type(got) is not int:
        return _exactly(exact, got)
    precision = _DISTINCT_PRECISION if one.precision is None else one.precision
    registers = 2**precision
    if exact <= (registers * _DISTINCT_EXACT if precision >= 8 else 7):
        return Verdict(abs(got - exact) <= 1, missing=False)  # two of so many values may hash alike
    sigmas = max(0.0, abs(got - exact) - 0.5) / exact / (1.04 / sqrt(registers))
    return Verdict(sigmas <= _DISTINCT_SIGMAS, missing=False, error=sigmas, bound=_DISTINCT_SIGMAS, unit="sigma")


def _percentile(one: Aggregation, evidence: Any, got: Any) -> Verdict:
    """`below` values are less than the answer, `upto` are not greater. Up to k values nothing is lost."""
    assert one.percentile is not None
    count, below, upto = evidence.values()
    if not count:
        return _exactly(None, got)
    if type(got) is not float or below == upto:
        return Verdict(right=False, missing=False)  # no value of the window
    k = 2 * (_PERCENTILE_PRECISION if one.precision is None else one.precision)
    if count <= k or one.percentile in {0, 1}:
        wanted = max(1, -(-Fraction(repr(one.percentile)) * count // 1))
        return Verdict(below < wanted <= upto, missing=False)
    error = max(0.0, below / count - one.percentile, one.percentile - upto / count)
    bound = 2.296 / k**0.9723
    return Verdict(error <= _PERCENTILE_SLACK * bound, missing=False, error=error, bound=bound, unit="rank")
