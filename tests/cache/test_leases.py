"""A lease is void for what was purged since, and, to be safe, from before what the log remembers."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.keys import Base, Key, Scope
from gateway.cache.leases import _BASES, _WIDE, Leases

KEYS: list[Key] = [(1, 1), (1, 2), (1, 1, "[]", None), (2, 1)]
BASES: list[Base] = [(1, 1), (1, 2), (2, 1)]
SCOPES = st.builds(
    Scope,
    st.frozensets(st.sampled_from(BASES)),
    st.sampled_from([{}, {1: ()}, {2: ()}, {1: ((0, 1),)}]),
    st.booleans().flatmap(lambda often: st.just(value=False) if often else st.booleans()),
)


@given(st.lists(SCOPES, max_size=12))
def test_a_lease_is_void_for_exactly_what_was_purged_since(scopes: list[Scope]) -> None:
    leases = Leases()
    taken = [leases.newest]
    for scope in scopes:
        leases.purge(scope)
        taken.append(leases.newest)
    for age, lease in enumerate(taken):
        for key in KEYS:
            whole = any(scope.everything for scope in scopes[age:])
            assert leases.void(key, lease) == (whole or any(scope.covers(key) for scope in scopes[age:]))


def one(number: int) -> Scope:
    return Scope(frozenset([(3, number)]))


def test_single_keys_are_remembered_and_then_older_leases_are_void_for_everything() -> None:
    leases = Leases()
    oldest = leases.newest
    leases.purge(one(0))
    later = leases.newest
    for number in range(1, 2 * _BASES):
        leases.purge(one(number))
    assert leases.void((3, 0), oldest)
    assert not leases.void((3, 0), later)
    assert not leases.void((1, 1), oldest)
    leases.purge(one(-1))
    assert leases.void((1, 1), oldest)
    assert leases.void((1, 1), later)
    assert not leases.void((1, 1), later + _BASES)
    assert not leases.void((1, 1), leases.newest)
    assert len(leases._bases) + len(leases._older_bases) <= 2 * _BASES


def test_wide_scopes_are_remembered_and_then_older_leases_are_void_for_everything() -> None:
    leases = Leases()
    for _ in range(_WIDE):
        leases.purge(Scope(parts={2: ()}))
    assert leases.void((2, 1), 0)
    assert not leases.void((1, 1), 0)
    leases.purge(Scope(parts={2: ()}))
    assert leases.void((1, 1), 0)
    assert not leases.void((1, 1), 1)


def test_a_purge_of_more_keys_than_can_be_remembered_voids_all_older_leases() -> None:
    leases = Leases()
    many: Any = [(3, number) for number in range(_BASES + 1)]
    leases.purge(Scope(frozenset(many)))
    assert leases.void((1, 1), 0)
    assert not leases.void((1, 1), 1)
    assert not leases._bases
