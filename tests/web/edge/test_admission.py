"""Who comes in is counted, in all and by address, and leaves no trace when gone: against a model."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.edge.admission import Admission

CLIENTS = st.sampled_from(["127.0.0.1", "::1", None])


@given(st.integers(1, 5), st.integers(0, 3), st.lists(st.tuples(st.booleans(), CLIENTS), max_size=40))
def test_no_more_come_in_than_may(most: int, most_of_one: int, steps: list[tuple[bool, str | None]]) -> None:
    admission, inside = Admission(most, most_of_one), Counter[str | None]()
    for enters, client in steps:
        if enters:
            room = inside.total() < most and (client is None or not most_of_one or inside[client] < most_of_one)
            assert admission.enter(client) == room
            inside[client] += room
        elif inside[client]:
            admission.leave(client)
            inside[client] -= 1
        assert admission.connections == inside.total()
    for client in list(inside.elements()):
        admission.leave(client)
    assert admission.connections == 0
    assert not admission._by_client
