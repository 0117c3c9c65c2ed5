"""Accumulators: the partial states that tiles keep, each a commutative monoid over the non-null values of one column.

An accumulator's zero is None (no value seen), `add` takes one event in, `merge` joins states, newest tile first. Tiles do not overlap in
time, so what comes from a newer state is later than all that comes from an older one. States hold what msgpack can carry once they are
frozen, and only their own accumulator looks inside. A new accumulator is a row in the table.

Knows nothing of functions, tiles, windows, definitions or stores.
"""

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DEFAULT_DISTINCT_PRECISION, DEFAULT_PERCENTILE_PRECISION = 8, 100
State = Any
"""An accumulator's state, None where no value was seen."""
Value = Any
"""A column's value as stored: int, float, str, bool; timestamps as nanoseconds since 1970."""


class Parameters(NamedTuple):
    """What functions may be given. `n`: how many values; `percentile`: from 0 to 1; `precision`: a sketch's, each with its own scale."""

    n: int | None = None
    percentile: float | None = None
    precision: int | None = None


class Observation(NamedTuple):
    """One non-null value of an event. `at_ns` and then `identity` give the order in which values count as later."""

    at_ns: int
    identity: bytes
    value: Value


def _as_it_is(state: State) -> State:
    return state


@dataclass(frozen=True, slots=True)
class Accumulator:
    add: Callable[[State, Observation], State]
    """The state with one more observation; the given state may be changed in place."""
    merge: Callable[[Sequence[State]], State]
    """One state for all of these, which are never None, come newest tile first and are left as they are. Nothing that is done to it later
    shows in them."""
    freeze: Callable[[State], State] = _as_it_is
    """The state as msgpack can carry it, to be called once before it is packed. `add` and `merge` take both forms; None stays None."""


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


def _add_moments(state: list[State] | None, seen: Observation) -> list[State]:
    """Of integers [count, sum, sum of squares], exact. Of floats, whose sums of squares would cancel, [count, mean, sum of squared
    differences from it], as Welford has it."""
    if isinstance(seen.value, float):
        count, mean, spread = state or (0, 0.0, 0.0)
        off = seen.value - mean
        mean += off / (count + 1)
        return [count + 1, mean, spread + off * (seen.value - mean)]
    count, total, squares = state or (0, 0, 0)
    return [count + 1, _exact(int(total) + seen.value), _exact(int(squares) + seen.value * seen.value)]


def _merge_moments(states: Sequence[list[State]]) -> list[State]:
    count, mean, spread = states[0]
    if not isinstance(mean, float):
        return [sum(state[0] for state in states), _merge_sum([state[1] for state in states]), _merge_sum([state[2] for state in states])]
    for more, other, other_spread in states[1:]:  # Chan, Golub and LeVeque, 1979
        both = count + more
        off = other - mean
        mean += off * (more / both)
        spread += other_spread + off * off * (count * more / both)
        count = both
    return [count, mean, spread]


Entry = list[Value]
"""An observation in a state: [at_ns, identity, value]."""


def _recency(entry: Entry) -> tuple[int, bytes]:
    return entry[0], entry[1]


def _latest(n: int) -> Accumulator:
    """The n latest observations, oldest first: identity breaks ties, so arrival order never shows."""

    def add(state: list[Entry] | None, seen: Observation) -> list[Entry]:
        if state is None:
            return [list(seen)]
        insort(state, list(seen), key=_recency)
        if len(state) > n:
            del state[0]
        return state

    def merge(states: Sequence[list[Entry]]) -> list[Entry]:
        kept: list[Entry] = []
        for state in states:
            kept = state + kept
            if len(kept) >= n:
                return kept[-n:]
        return kept

    return Accumulator(add, merge)


def _earliest(n: int) -> Accumulator:
    """The n earliest observations, oldest first."""

    def add(state: list[Entry] | None, seen: Observation) -> list[Entry]:
        if state is None:
            return [list(seen)]
        insort(state, list(seen), key=_recency)
        del state[n:]
        return state

    def merge(states: Sequence[list[Entry]]) -> list[Entry]:
        kept: list[Entry] = []
        for state in reversed(states):
            kept += state
            if len(kept) >= n:
                return kept[:n]
        return kept

    return Accumulator(add, merge)


def _distinct_end(n: int, *, latest: bool) -> Accumulator:
    """The n values whose latest observations are the latest, oldest first; or those whose earliest are the earliest. Values that are equal
    are one: 0.0 and -0.0. A value that falls out of a tile has n others before it there, and so in every window that holds the tile."""
    farthest = 0 if latest else -1

    def add(state: list[Entry] | None, seen: Observation) -> list[Entry]:
        state, entry = [] if state is None else state, list(seen)
        for index, known in enumerate(state):
            if known[2] == seen.value:
                if (_recency(entry) > _recency(known)) is not latest:
                    return state
                del state[index]
                break
        insort(state, entry, key=_recency)
        if len(state) > n:
            del state[farthest]
        return state

    def merge(states: Sequence[list[Entry]]) -> list[Entry]:
        kept: dict[Value, Entry] = {}
        for state in states if latest else reversed(states):
            for entry in reversed(state) if latest else state:
                kept.setdefault(entry[2], entry)
            if len(kept) >= n:
                break
        nearest = list(kept.values())[:n]
        return nearest[::-1] if latest else nearest

    return Accumulator(add, merge)


def _add_distinct(state: set[Value] | list[Value] | None, seen: Observation) -> set[Value]:
    distinct = state if isinstance(state, set) else set(state or ())  # msgpack writes a set as a list
    distinct.add(seen.value)
    return distinct


def _merge_distinct(states: Sequence[set[Value] | list[Value]]) -> set[Value]:
    return set().union(*states)


def _distinct_sketch(precision: int) -> Accumulator:
    from gateway.feature_server.sketches import DistinctSketch  # noqa: PLC0415 - loads numpy, which few gateways need

    sketch = DistinctSketch(precision)
    return Accumulator(lambda state, seen: sketch.add(state, seen.value), sketch.merge, sketch.pack)


def _percentile_sketch(precision: int) -> Accumulator:
    from gateway.feature_server.sketches import PercentileSketch  # noqa: PLC0415 - loads numpy, which few gateways need

    sketch = PercentileSketch(precision)
    return Accumulator(lambda state, seen: sketch.add(state, seen.value), sketch.merge, sketch.pack)


@dataclass(frozen=True, slots=True)
class _Row:
    """How an accumulator is made for a size: how many values it keeps, or how precise it is. Most have none, which is 0."""

    make: Callable[[int], Accumulator]
    size: Callable[[Parameters], int] = lambda _parameters: 0


def _plain(add: Callable[[State, Observation], State], merge: Callable[[Sequence[State]], State]) -> _Row:
    return _Row(lambda _size: Accumulator(add, merge))


def _values(parameters: Parameters) -> int:
    return 1 if parameters.n is None else parameters.n


def _precision(default: int) -> Callable[[Parameters], int]:
    return lambda parameters: default if parameters.precision is None else parameters.precision


_ACCUMULATORS: Mapping[str, _Row] = MappingProxyType(
    {
        "count": _plain(_add_count, sum),
        "sum": _plain(_add_sum, _merge_sum),
        "least": _plain(_add_least, min),
        "greatest": _plain(_add_greatest, max),
        "moments": _plain(_add_moments, _merge_moments),
        "latest": _Row(_latest, _values),
        "earliest": _Row(_earliest, _values),
        "latest_distinct": _Row(lambda n: _distinct_end(n, latest=True), _values),
        "earliest_distinct": _Row(lambda n: _distinct_end(n, latest=False), _values),
        "distinct": _plain(_add_distinct, _merge_distinct),
        "distinct_sketch": _Row(_distinct_sketch, _precision(DEFAULT_DISTINCT_PRECISION)),
        "percentile_sketch": _Row(_percentile_sketch, _precision(DEFAULT_PERCENTILE_PRECISION)),
    }
)


def accumulator(name: str, parameters: Parameters) -> Accumulator:
    row = _ACCUMULATORS[name]
    return row.make(row.size(parameters))


def state_key(name: str, parameters: Parameters) -> str:
    """The same for what shapes a state alike, so that functions can share it: `latest(5)`, `sum`."""
    size = _ACCUMULATORS[name].size(parameters)
    return f"{name}({size})" if size else name
