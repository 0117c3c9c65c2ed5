"""Aggregation functions: which partial states each needs, and how they become a value.

A function names its accumulators and finishes their states into a value, so functions share states: a mean is a sum and a count, and one
sketch gives every percentile. A new function is a row in the table. Each ignores nulls; where there was no value there is no result.

Float results follow float64 arithmetic; integer sums, means and variances are computed from exact integers. What `accumulators` defines is
offered here too, since whoever runs a function runs its accumulators. Knows nothing of tiles, windows, definitions or stores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, sqrt
from types import MappingProxyType

from gateway.feature_server.accumulators import (
    DEFAULT_DISTINCT_PRECISION,
    DEFAULT_PERCENTILE_PRECISION,
    INT64_MAX,
    INT64_MIN,
    Accumulator,
    Observation,
    Parameters,
    State,
    Value,
    accumulator,
    state_key,
)
from gateway.features import FLOAT64, INT64, DataType, Kind, array_of

__all__ = [
    "FUNCTIONS",
    "INT64_MAX",
    "INT64_MIN",
    "Accumulator",
    "Function",
    "Observation",
    "Parameters",
    "State",
    "Value",
    "accumulator",
    "state_key",
]


@dataclass(frozen=True, slots=True)
class Span:
    """What a parameter may be, both ends included. `default` None: it must be given."""

    name: str
    least: float
    most: float
    default: float | None = None


def _own_name(name: str, _parameters: Parameters) -> str:
    return name


@dataclass(frozen=True, slots=True)
class Function:
    """How states become a value. `finish` gets one merged state per accumulator, none of them None; its None means that no value can say
    it. `spell` gives the function's part of a feature name, as Tecton spells it."""

    accumulators: tuple[str, ...]
    finish: Callable[[Sequence[State], Parameters], Value | None]
    result: Callable[[DataType], DataType]
    applies_to: frozenset[Kind]
    counts: bool = False
    """Whether "no event" may be asked for as zero (the option coerceNullCountsToZero)."""
    spell: Callable[[str, Parameters], str] = _own_name
    spans: tuple[Span, ...] = ()

    @property
    def takes(self) -> frozenset[str]:
        return frozenset(span.name for span in self.spans)

    @property
    def requires(self) -> frozenset[str]:
        return frozenset(span.name for span in self.spans if span.default is None)

    def refusals(self, parameters: Parameters) -> Iterator[str]:
        """What is wrong with these parameters, a sentence for each."""
        spans = {span.name: span for span in self.spans}
        for name, given in parameters._asdict().items():
            span = spans.get(name)
            if span is None:
                if given is not None:
                    yield f"the function takes no {name}."
            elif given is None:
                if span.default is None:
                    yield f"{name} must be given, from {span.least:g} to {span.most:g}."
            elif not span.least <= given <= span.most:
                yield f"{name} must be from {span.least:g} to {span.most:g}."


def _same(dtype: DataType) -> DataType:
    return dtype


def _whole(_dtype: DataType) -> DataType:
    return INT64


def _fraction(_dtype: DataType) -> DataType:
    return FLOAT64


def _only(states: Sequence[State], _parameters: Parameters) -> Value:
    return states[0]


def _finish_sum(states: Sequence[State], _parameters: Parameters) -> Value | None:
    """A sum that int64 cannot hold is no value rather than a wrong one."""
    return None if isinstance(states[0], str) else states[0]


def _finish_mean(states: Sequence[State], _parameters: Parameters) -> float:
    total, count = states
    return (int(total) if isinstance(total, str) else total) / count  # type: ignore[no-any-return]


def _variance(moments: list[State], fewer: int) -> float | None:
    """The sum of squared differences from the mean, over the count less `fewer`. A sample of one has no variance, and one that float64
    cannot hold is no value."""
    count, first, second = moments
    if count <= fewer:
        return None
    if isinstance(first, float):
        spread: float = second / (count - fewer)
        return spread if isfinite(spread) else None
    total, squares = int(first), int(second)
    return (count * squares - total * total) / (count * (count - fewer))  # type: ignore[no-any-return]


def _finish_variance(fewer: int) -> Callable[[Sequence[State], Parameters], float | None]:
    return lambda states, _parameters: _variance(states[0], fewer)


def _finish_deviation(fewer: int) -> Callable[[Sequence[State], Parameters], float | None]:
    def finish(states: Sequence[State], _parameters: Parameters) -> float | None:
        variance = _variance(states[0], fewer)
        return None if variance is None else sqrt(variance)

    return finish


def _finish_one(states: Sequence[State], _parameters: Parameters) -> Value:
    return states[0][0][2]


def _finish_list(states: Sequence[State], _parameters: Parameters) -> list[Value]:
    return [entry[2] for entry in states[0]]


def _finish_count_distinct(states: Sequence[State], _parameters: Parameters) -> int:
    return len(states[0])


def _finish_approx_count_distinct(states: Sequence[State], _parameters: Parameters) -> int:
    from gateway.feature_server.sketches import estimate_distinct  # noqa: PLC0415 - loads numpy; whoever comes here has done so

    return estimate_distinct(states[0])


def _finish_approx_percentile(states: Sequence[State], parameters: Parameters) -> float:
    from gateway.feature_server.sketches import estimate_percentile  # noqa: PLC0415 - loads numpy; whoever comes here has done so

    assert parameters.percentile is not None
    return estimate_percentile(states[0], parameters.percentile)


def _spell_with_n(name: str, parameters: Parameters) -> str:
    """`last_n` of 5 → `last_5`."""
    return f"{name.removesuffix('_n')}_{parameters.n}"


def _spell_percentile(name: str, parameters: Parameters) -> str:
    """0.5 → `approx_percentile_p0_5`. Precision is no part of the name: two that differ in it alone need an alias."""
    if parameters.percentile is None:
        return name
    return f"{name}_p{Decimal(repr(float(parameters.percentile))):f}".replace(".", "_")


_NUMBERS = frozenset({Kind.INT64, Kind.FLOAT64})
_ORDERED = _NUMBERS | {Kind.TIMESTAMP}
_SCALARS = _ORDERED | {Kind.STRING, Kind.BOOLEAN}
_N = (Span("n", 1, 1_000),)
_DISTINCT = (Span("precision", 4, 16, DEFAULT_DISTINCT_PRECISION),)
_PERCENTILE = (Span("percentile", 0, 1), Span("precision", 20, 1_000, DEFAULT_PERCENTILE_PRECISION))


def _several(accumulator: str) -> Function:
    """The n first or last, oldest first."""
    return Function((accumulator,), _finish_list, array_of, _SCALARS, spell=_spell_with_n, spans=_N)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "count": Function(("count",), _only, _whole, _SCALARS, counts=True),
        "sum": Function(("sum",), _finish_sum, _same, _NUMBERS),
        "mean": Function(("sum", "count"), _finish_mean, _fraction, _NUMBERS),
        "min": Function(("least",), _only, _same, _ORDERED),
        "max": Function(("greatest",), _only, _same, _ORDERED),
        "stddev_samp": Function(("moments",), _finish_deviation(1), _fraction, _NUMBERS),
        "stddev_pop": Function(("moments",), _finish_deviation(0), _fraction, _NUMBERS),
        "var_samp": Function(("moments",), _finish_variance(1), _fraction, _NUMBERS),
        "var_pop": Function(("moments",), _finish_variance(0), _fraction, _NUMBERS),
        "first": Function(("earliest",), _finish_one, _same, _SCALARS),
        "last": Function(("latest",), _finish_one, _same, _SCALARS),
        "first_n": _several("earliest"),
        "last_n": _several("latest"),
        "first_distinct_n": _several("earliest_distinct"),
        "last_distinct_n": _several("latest_distinct"),
        "count_distinct": Function(("distinct",), _finish_count_distinct, _whole, _SCALARS, counts=True),
        "approx_count_distinct": Function(
            ("distinct_sketch",), _finish_approx_count_distinct, _whole, _SCALARS, counts=True, spans=_DISTINCT
        ),
        "approx_percentile": Function(
            ("percentile_sketch",), _finish_approx_percentile, _fraction, _NUMBERS, spell=_spell_percentile, spans=_PERCENTILE
        ),
    }
)
