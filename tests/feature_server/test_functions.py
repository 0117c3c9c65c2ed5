from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feature_server.functions import ACCUMULATORS, FUNCTIONS, Accumulator, Observation, State

VALUES = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12)


def fold(accumulator: Accumulator, values: list[Any], first_ns: int = 0) -> State:
    state: State = None
    for index, value in enumerate(values):
        state = accumulator.add(state, Observation(first_ns + index, b"", value))
    return state


def stored(state: State) -> State:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state))


@pytest.mark.parametrize("name", ACCUMULATORS)
@given(older=VALUES, newer=VALUES)
def test_states_of_parts_merge_into_the_state_of_the_whole_also_after_storage(name: str, older: list[int], newer: list[int]) -> None:
    accumulator = ACCUMULATORS[name](3)
    whole = accumulator.merge([fold(accumulator, older + newer)])
    parts = accumulator.merge([stored(fold(accumulator, newer, len(older))), stored(fold(accumulator, older))])
    compare = sorted if name == "distinct" else list if name == "latest" else str
    plain = [list(one) for one in parts] if name == "latest" else parts
    assert compare(plain) == compare(whole)


@pytest.mark.parametrize("name", ACCUMULATORS)
def test_adding_goes_on_from_a_stored_state(name: str) -> None:
    accumulator = ACCUMULATORS[name](2)
    state = accumulator.add(stored(fold(accumulator, [5, 7])), Observation(2, b"", 6))
    assert accumulator.merge([stored(state)]) == accumulator.merge([stored(fold(accumulator, [5, 7, 6]))])


def test_latest_is_by_time_then_identity_whatever_the_order_of_arrival() -> None:
    accumulator = ACCUMULATORS["latest"](2)
    seen = [Observation(5, b"b", "second"), Observation(5, b"a", "first"), Observation(1, b"z", "oldest")]
    for order in (seen, seen[::-1]):
        state: State = None
        for one in order:
            state = accumulator.add(state, one)
        assert FUNCTIONS["last_n"].finish([accumulator.merge([state])]) == ["first", "second"]


def test_a_sum_that_int64_cannot_hold_is_exact_inside_and_no_value_outside() -> None:
    accumulator = ACCUMULATORS["sum"](1)
    large = fold(accumulator, [2**63 - 1, 2**63 - 1])
    assert FUNCTIONS["sum"].finish([accumulator.merge([large])]) is None
    assert FUNCTIONS["mean"].finish([accumulator.merge([large]), 2]) == float(2**63 - 1)
    back = accumulator.merge([large, fold(accumulator, [-(2**63), -(2**63) + 5])])
    assert FUNCTIONS["sum"].finish([back]) == 3
