"""Aggregation functions: which partial states each keeps per tile, and how they become a value.

Two tables. An **accumulator** is a commutative monoid over the non-null values of one column: its zero is None (no value seen), `add`
takes one event in, `merge` joins states, newest tile first. A **function** names the accumulators it needs and finishes them into a value,
so functions share states (a mean is a sum and a count). A new function is a row in a table. States hold what msgpack can carry, and only
their own accumulator looks inside.

Knows nothing of tiles, windows, definitions or stores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.features import FLOAT64, INT64, DataType, Kind, array_of

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
State = Any
"""An accumulator's state, None where no value was seen."""
Value = Any
"""A column's value as stored: int, float, str, bool; timestamps as nanoseconds since 1970."""


class Observation(NamedTuple):
    """One non-null value of an event. `at_ns` and then `identity` give the order in which values count as latest."""

    at_ns: int
    identity: bytes
    value: Value


@dataclass(frozen=True, slots=True)
class Accumulator:
    add: Callable[[State, Observation], State]
    """The state with one more observation; the given state may be changed in place."""
    merge: Callable[[Sequence[State]], State]
    """One state for all of these, which are never None, come newest tile first and are left as they are."""


def _add_count(state: int | None, _seen: Observation) -> int:
    return (state or 0) + 1


def _exact(total: Value) -> State:
    """msgpack carries 64 bits: a larger sum of integers travels as decimal text."""
    return str(total) if isinstance(total, int) and not INT64_MIN <= total <= INT64_MAX else total


def _add_sum(state: State, seen: Observation) -> State:
    if state is None:
        return seen.value
    return _exact((int(state) if isinstance(state, str) else state) + seen.value)


def _merge_sum(states: Sequence[State]) -> State:
    try:
        return _exact(sum(states))
    except TypeError:  # one of them is decimal text
        return _exact(sum(int(state) for state in states))


def _add_least(state: Value | None, seen: Observation) -> Value:
    return seen.value if state is None else min(state, seen.value)


def _add_greatest(state: Value | None, seen: Observation) -> Value:
    return seen.value if state is None else max(state, seen.value)


def _latest(n: int) -> Accumulator:
    """The n latest observations, oldest first, as [at_ns, identity, value]: identity breaks ties, so arrival order never shows."""

    def add(state: list[list[Value]] | None, seen: Observation) -> list[list[Value]]:
        if state is None:
            return [list(seen)]
        state.append(list(seen))
        state.sort(key=_recency)
        return state[-n:]

    def merge(states: Sequence[list[list[Value]]]) -> list[list[Value]]:
        kept: list[list[Value]] = []
        for state in states:  # tiles do not overlap in time, so whole states go in front
            kept = state + kept
            if len(kept) >= n:
                return kept[-n:]
        return kept

    return Accumulator(add, merge)


def _recency(entry: list[Value]) -> tuple[int, bytes]:
    return entry[0], entry[1]


def _add_distinct(state: set[Value] | list[Value] | None, seen: Observation) -> set[Value]:
    distinct = state if isinstance(state, set) else set(state or ())  # msgpack writes a set as a list
    distinct.add(seen.value)
    return distinct


def _merge_distinct(states: Sequence[set[Value] | list[Value]]) -> set[Value]:
    return set().union(*states)


ACCUMULATORS: Mapping[str, Callable[[int], Accumulator]] = MappingProxyType(
    {
        "count": lambda _n: Accumulator(_add_count, sum),
        "sum": lambda _n: Accumulator(_add_sum, _merge_sum),
        "least": lambda _n: Accumulator(_add_least, min),
        "greatest": lambda _n: Accumulator(_add_greatest, max),
        "latest": _latest,
        "distinct": lambda _n: Accumulator(_add_distinct, _merge_distinct),
    }
)


@dataclass(frozen=True, slots=True)
class Function:
    """How states become a value. `finish` gets one state per accumulator, none of them None; its None means that no value can say it."""

    accumulators: tuple[str, ...]
    finish: Callable[[Sequence[State]], Value | None]
    result: Callable[[DataType], DataType]
    applies_to: frozenset[Kind]
    takes_n: bool = False
    counts: bool = False
    """Whether "no event" may be asked for as zero (the option coerceNullCountsToZero)."""


def _same(dtype: DataType) -> DataType:
    return dtype


def _whole(_dtype: DataType) -> DataType:
    return INT64


def _fraction(_dtype: DataType) -> DataType:
    return FLOAT64


def _only(states: Sequence[State]) -> Value:
    return states[0]


def _finish_sum(states: Sequence[State]) -> Value | None:
    """A sum that int64 cannot hold is no value rather than a wrong one."""
    return None if isinstance(states[0], str) else states[0]


def _finish_mean(states: Sequence[State]) -> float:
    total, count = states
    return (int(total) if isinstance(total, str) else total) / count  # type: ignore[no-any-return]


_NUMBERS = frozenset({Kind.INT64, Kind.FLOAT64})
_ORDERED = _NUMBERS | {Kind.TIMESTAMP}
_SCALARS = _ORDERED | {Kind.STRING, Kind.BOOLEAN}

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "count": Function(("count",), _only, _whole, _SCALARS, counts=True),
        "sum": Function(("sum",), _finish_sum, _same, _NUMBERS),
        "mean": Function(("sum", "count"), _finish_mean, _fraction, _NUMBERS),
        "min": Function(("least",), _only, _same, _ORDERED),
        "max": Function(("greatest",), _only, _same, _ORDERED),
        "last": Function(("latest",), lambda states: states[0][-1][2], _same, _SCALARS),
        "last_n": Function(("latest",), lambda states: [entry[2] for entry in states[0]], array_of, _SCALARS, takes_n=True),
        "count_distinct": Function(("distinct",), lambda states: len(states[0]), _whole, _SCALARS, counts=True),
    }
)
