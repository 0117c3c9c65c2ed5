"""Bounded by bytes, least recently used first to go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.fragments import OVERHEAD_BYTES, Fragment
from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from gateway.features import INT64, Feature, Status, ViewLayout, ViewValues

LAYOUT = ViewLayout("a", (Feature("a.x", INT64),))


def fragment(size_bytes: int = 0, stored_at: float = 0.0) -> Fragment:
    """A fragment with so many bytes of text."""
    text, more = b"x" * (size_bytes // 2), b"y" * (size_bytes - size_bytes // 2)
    return Fragment.of(ViewValues(LAYOUT, text, more, (Status.PRESENT,), (None,)), stored_at)


def store_of(entries: int, size_bytes: int = 0) -> FragmentStore:
    return FragmentStore(entries * (OVERHEAD_BYTES + size_bytes))


def test_what_was_put_is_found_and_nothing_else() -> None:
    store = store_of(3)
    one = fragment()
    store.put((1, "u1"), one)
    assert store.lookup((1, "u1")) is one
    assert store.lookup((1, "u2")) is None
    assert store.lookup((2, "u1")) is None
    assert len(store) == 1


def test_a_second_put_replaces_and_counts_once() -> None:
    store = store_of(3, 100)
    store.put((1,), fragment(100))
    store.put((1,), fragment(50, stored_at=5.0))
    found = store.lookup((1,))
    assert found is not None
    assert found.stored_at == 5.0
    assert len(store) == 1
    assert store.size_bytes == OVERHEAD_BYTES + 50


def test_the_least_recently_used_goes_first() -> None:
    store = store_of(2)
    store.put((1,), fragment())
    store.put((2,), fragment())
    assert store.lookup((1,)) is not None
    store.put((3,), fragment())
    assert [store.lookup((number,)) is not None for number in (1, 2, 3)] == [True, False, True]


def test_many_look_ups_between_two_puts_are_all_remembered() -> None:
    entries = 10_050
    store = store_of(entries)
    for number in range(entries):
        store.put((number,), fragment())
    for number in range(1, entries):
        assert store.lookup((number,)) is not None
    store.put((-1,), fragment())
    assert [number for number in range(entries) if store.lookup((number,)) is None] == [0]


def test_of_two_that_were_looked_up_the_one_looked_up_first_goes_first() -> None:
    for first, second in [(1, 2), (2, 1)]:
        store = store_of(2)
        for number in (1, 2):
            store.put((number,), fragment())
        for number in (first, second, first, second):
            store.lookup((number,))
        store.put((3,), fragment())
        assert store.lookup((first,)) is None
        assert store.lookup((second,)) is not None


def test_the_last_look_up_of_an_entry_counts_not_its_first() -> None:
    store = store_of(2)
    for number in (1, 2):
        store.put((number,), fragment())
    for number in (1, 2, 1):
        store.lookup((number,))
    store.put((3,), fragment())
    assert [store.lookup((number,)) is not None for number in (1, 2, 3)] == [True, False, True]


def test_a_large_entry_drives_out_as_many_as_it_needs() -> None:
    store = FragmentStore(4 * OVERHEAD_BYTES)
    for number in range(4):
        store.put((number,), fragment())
    store.put((9,), fragment(2 * OVERHEAD_BYTES))
    assert [store.lookup((number,)) is not None for number in (0, 1, 2, 3, 9)] == [False, False, False, True, True]
    assert store.size_bytes == 4 * OVERHEAD_BYTES


def test_an_entry_larger_than_the_store_is_not_kept_and_drives_nothing_out() -> None:
    store = store_of(1)
    store.put((1,), fragment())
    store.put((2,), fragment(1))
    assert store.lookup((2,)) is None
    assert store.lookup((1,)) is not None


def test_a_store_of_nothing_keeps_nothing() -> None:
    store = FragmentStore(0)
    store.put((1,), fragment())
    assert (len(store), store.size_bytes) == (0, 0)


def test_what_is_dropped_is_gone_and_its_bytes_too() -> None:
    store = store_of(2)
    store.put((1,), fragment())
    store.drop((1,))
    store.drop((2,))
    assert store.lookup((1,)) is None
    assert (len(store), store.size_bytes) == (0, 0)


@pytest.mark.parametrize(
    "keys", [[(1, 1), (1, "1")], [(1, None), (1, "None"), (1, ())], [(1, "é"), (1, "e\u0301")], [(1, ("a", "b")), (1, "a")]]
)
def test_keys_that_differ_have_entries_of_their_own(keys: list[Key]) -> None:
    store = store_of(len(keys))
    for number, key in enumerate(keys):
        store.put(key, fragment(stored_at=float(number)))
    found = [store.lookup(key) for key in keys]
    assert [one.stored_at for one in found if one is not None] == [float(number) for number in range(len(keys))]


@given(
    st.integers(0, 6 * OVERHEAD_BYTES),
    st.lists(st.tuples(st.sampled_from(["put", "look", "drop"]), st.integers(0, 7), st.integers(0, 2 * OVERHEAD_BYTES)), max_size=40),
)
def test_the_store_never_holds_more_bytes_than_it_may(max_bytes: int, steps: list[tuple[str, int, int]]) -> None:
    store = FragmentStore(max_bytes)
    for step, number, size_bytes in steps:
        if step == "put":
            store.put((number,), fragment(size_bytes))
        elif step == "look":
            store.lookup((number,))
        else:
            store.drop((number,))
        held = [one.size_bytes for one in map(store.lookup, ((number,) for number in range(8))) if one is not None]
        assert store.size_bytes == sum(held) <= max_bytes
        assert len(store) == len(held)


def test_all_can_be_forgotten_at_once() -> None:
    store = store_of(3)
    store.put((1,), fragment())
    store.clear()
    assert store.lookup((1,)) is None
    assert (len(store), store.size_bytes) == (0, 0)
