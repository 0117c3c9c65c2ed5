"""Grants on a clock that a test turns by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.grants import Grants, May
from gateway.features import Caller, ServiceRef

LIFE_S = 30.0
ANNE, BEN = Caller(b"anne", "Tecton-key a"), Caller(b"ben", "Tecton-key b")
FRAUD, OTHER = ServiceRef("live", "fraud"), ServiceRef("live", "other")
START_S = 1_000.0


@pytest.fixture
def grants() -> Grants:
    return Grants(LIFE_S)


@pytest.mark.parametrize("may", list(May))
def test_nobody_has_a_grant_that_the_origin_did_not_give(grants: Grants, may: May) -> None:
    assert not grants.holds(ANNE, FRAUD, START_S, may)


@pytest.mark.parametrize(("later_s", "holds"), [(0.0, True), (29.999, True), (30.0, False), (31.0, False), (1e9, False)])
def test_a_grant_lives_as_long_as_it_says(grants: Grants, later_s: float, *, holds: bool) -> None:
    grants.give(ANNE, FRAUD, START_S)
    assert grants.holds(ANNE, FRAUD, START_S + later_s) is holds
    assert grants.holds(ANNE, FRAUD, START_S + later_s, May.DESCRIBE) is holds


def test_holding_a_grant_does_not_lengthen_it(grants: Grants) -> None:
    grants.give(ANNE, FRAUD, START_S)
    assert grants.holds(ANNE, FRAUD, START_S + 29)
    assert not grants.holds(ANNE, FRAUD, START_S + 31)


def test_a_second_answer_renews_a_grant(grants: Grants) -> None:
    grants.give(ANNE, FRAUD, START_S)
    grants.give(ANNE, FRAUD, START_S + 20)
    assert grants.holds(ANNE, FRAUD, START_S + 49)


@pytest.mark.parametrize(
    ("caller", "service"),
    [
        (BEN, FRAUD),
        (ANNE, OTHER),
        (ANNE, ServiceRef("dev", "fraud")),
        (ANNE, ServiceRef("live", id="fraud")),
        (ANNE, ServiceRef("live", "fraud", "0" * 32)),
        (Caller(b""), FRAUD),
    ],
)
def test_a_grant_is_for_one_caller_and_one_service(grants: Grants, caller: Caller, service: ServiceRef) -> None:
    grants.give(ANNE, FRAUD, START_S)
    assert not grants.holds(caller, service, START_S)


def test_a_caller_is_known_by_key_alone(grants: Grants) -> None:
    grants.give(ANNE, FRAUD, START_S)
    assert grants.holds(Caller(b"anne", None), FRAUD, START_S)


def test_who_may_see_the_schema_may_not_yet_read(grants: Grants) -> None:
    grants.give(ANNE, FRAUD, START_S, May.DESCRIBE)
    assert grants.holds(ANNE, FRAUD, START_S, May.DESCRIBE)
    assert not grants.holds(ANNE, FRAUD, START_S)


def test_seeing_the_schema_does_not_lengthen_the_grant_to_read(grants: Grants) -> None:
    grants.give(ANNE, FRAUD, START_S)
    grants.give(ANNE, FRAUD, START_S + 20, May.DESCRIBE)
    assert not grants.holds(ANNE, FRAUD, START_S + 31)
    assert grants.holds(ANNE, FRAUD, START_S + 31, May.DESCRIBE)


def test_a_refusal_takes_every_grant_of_that_caller_for_that_service(grants: Grants) -> None:
    for caller, service in [(ANNE, FRAUD), (ANNE, OTHER), (BEN, FRAUD)]:
        grants.give(caller, service, START_S)
    grants.revoke(ANNE, FRAUD, START_S)
    assert [grants.holds(ANNE, FRAUD, START_S, may) for may in May] == [False, False]
    assert grants.holds(ANNE, OTHER, START_S)
    assert grants.holds(BEN, FRAUD, START_S)


@pytest.mark.parametrize(("asked_s", "holds"), [(START_S - 5, False), (START_S + 5, True)])
def test_an_answer_that_was_asked_for_before_a_refusal_gives_nothing(grants: Grants, asked_s: float, *, holds: bool) -> None:
    grants.revoke(ANNE, FRAUD, START_S)
    for caller, service in [(ANNE, FRAUD), (ANNE, OTHER), (BEN, FRAUD)]:
        grants.give(caller, service, asked_s)
    assert [grants.holds(ANNE, FRAUD, START_S + 6, may) for may in May] == [holds, holds]
    assert grants.holds(ANNE, OTHER, START_S + 6)
    assert grants.holds(BEN, FRAUD, START_S + 6)


def test_revoking_what_was_never_given_is_nothing(grants: Grants) -> None:
    grants.revoke(ANNE, FRAUD, START_S)
    assert not grants.holds(ANNE, FRAUD, START_S)


def test_grants_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.grants._KEPT", 4)
    grants = Grants(LIFE_S)
    callers = [Caller(b"%d" % number) for number in range(3)]
    for caller in callers:
        grants.give(caller, FRAUD, START_S)
    assert [grants.holds(caller, FRAUD, START_S) for caller in callers] == [False, True, True]
    grants.give(callers[1], FRAUD, START_S + 1)  # given again, it is the younger of the two
    grants.give(callers[0], FRAUD, START_S + 2)
    assert [grants.holds(caller, FRAUD, START_S + 2) for caller in callers] == [True, True, False]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["give", "describe", "revoke", "ask"]),
            st.sampled_from([ANNE, BEN]),
            st.sampled_from([FRAUD, OTHER]),
            st.floats(0, 40),
        ),
        max_size=30,
    )
)
def test_whoever_holds_a_grant_was_answered_within_its_life(steps: list[tuple[str, Caller, ServiceRef, float]]) -> None:
    grants, now_s = Grants(LIFE_S), START_S
    answered: dict[tuple[Caller, ServiceRef, May], float] = {}
    for step, caller, service, passing_s in steps:
        now_s += passing_s
        if step == "give":
            grants.give(caller, service, now_s)
            answered |= {(caller, service, may): now_s for may in May}
        elif step == "describe":
            grants.give(caller, service, now_s, May.DESCRIBE)
            answered[caller, service, May.DESCRIBE] = now_s
        elif step == "revoke":
            grants.revoke(caller, service, now_s)
            answered = {key: at_s for key, at_s in answered.items() if key[:2] != (caller, service)}
        for may in May:
            until_s = answered.get((caller, service, may), -1e9) + LIFE_S
            assert grants.holds(caller, service, now_s, may) is (now_s < until_s)


def test_when_a_grant_ends_can_be_told(grants: Grants) -> None:
    assert grants.until_s(ANNE, FRAUD) is None
    grants.give(ANNE, FRAUD, START_S)
    assert grants.until_s(ANNE, FRAUD) == START_S + LIFE_S
    assert grants.until_s(BEN, FRAUD) is None
    grants.revoke(ANNE, FRAUD, START_S + 1)
    assert grants.until_s(ANNE, FRAUD) is None
