"""The cached unit: what it keeps, and how long it may be served."""

from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.fragments import OVERHEAD_BYTES, Fragment
from gateway.cache.policy import Terms
from gateway.features import INT64, Feature, Status, ViewLayout, ViewValues

LAYOUT = ViewLayout("a", (Feature("a.x", INT64), Feature("a.y", INT64)))
VALUES = ViewValues(LAYOUT, b'"1",null', b'"a.x":1,"a.y":null', (Status.PRESENT, Status.MISSING_DATA), ("2024-01-01T00:00:00Z", None))
NOTHING = ViewValues(LAYOUT, b"null,null", b'"a.x":null,"a.y":null', (Status.MISSING_DATA,) * 2, (None, None))
TERMS = Terms(ttl_s=60.0, negative_ttl_s=10.0, max_age_s=100.0, revalidate_s=5.0, error_s=30.0)
seconds = st.floats(0.0, 1e6)


def test_a_fragment_keeps_what_the_origin_answered_and_when() -> None:
    fragment = Fragment.of(VALUES, 12.5)
    assert (fragment.positional, fragment.named) == (VALUES.positional, VALUES.named)
    assert fragment.statuses == VALUES.statuses
    assert fragment.pattern == VALUES.pattern
    assert fragment.effective_times == VALUES.effective_times
    assert fragment.stored_at == 12.5


def test_a_fragments_size_is_its_texts_and_an_allowance() -> None:
    plain = Fragment(VALUES.positional, VALUES.named, "PM", "pm", 0.0)
    assert plain.size_bytes == len(VALUES.positional) + len(VALUES.named) + OVERHEAD_BYTES
    moments = [f"2024-01-01T00:00:0{second}Z" for second in range(8)]
    one = msgspec.structs.replace(plain, effective_times=(moments[0],) * 8)
    many = msgspec.structs.replace(plain, effective_times=tuple(moments))
    assert plain.size_bytes + 100 < one.size_bytes < many.size_bytes - 400


@pytest.mark.parametrize(
    ("fragment", "until"),
    [
        (Fragment.of(VALUES, 100.0, TERMS), 160.0),
        (Fragment.of(VALUES, 100.0, TERMS, life=0.5), 130.0),
        (Fragment.of(VALUES, 100.0, TERMS, effective_at=20.0), 120.0),
        (Fragment.of(VALUES, 100.0, TERMS, effective_at=-200.0), -100.0),
        (Fragment.of(VALUES, 100.0, TERMS, effective_at=90.0), 160.0),
        (Fragment.of(NOTHING, 100.0, TERMS), 110.0),
        (Fragment.of(NOTHING, 100.0, TERMS, life=0.5), 105.0),
        (Fragment.of(VALUES, 100.0), 100.0),
    ],
)
def test_it_may_be_served_until_its_ttl_or_its_values_age_is_over(fragment: Fragment, until: float) -> None:
    assert fragment.expires_at == fragment.expiry(fragment.terms) == until


def test_it_is_fetched_again_before_its_end() -> None:
    fragment = Fragment.of(VALUES, 100.0, TERMS, early_s=3.0)
    assert (fragment.fresh_until, fragment.expires_at) == (157.0, 160.0)


def test_another_feature_service_has_terms_of_its_own() -> None:
    fragment = Fragment.of(VALUES, 100.0, TERMS, effective_at=90.0, life=0.5)
    assert fragment.expiry(Terms(20.0, 20.0)) == 110.0
    assert fragment.expiry(Terms(1000.0, 20.0, max_age_s=15.0)) == 105.0


def test_a_retired_fragment_is_stale_from_then_on_whoever_reads_it() -> None:
    fragment = Fragment.of(VALUES, 100.0, TERMS, early_s=3.0).retired(110.0)
    assert (fragment.fresh_until, fragment.expires_at) == (110.0, 110.0)
    assert fragment.expiry(Terms(1000.0)) == 110.0
    assert fragment.retired(120.0).expires_at == 110.0
    assert fragment.named == VALUES.named


def test_it_is_of_use_for_as_long_as_it_may_be_served_stale() -> None:
    assert Fragment.of(VALUES, 100.0, TERMS).gone_at == 190.0
    assert Fragment.of(VALUES, 100.0, TERMS).retired(110.0).gone_at == 140.0


@given(seconds, seconds, seconds, st.floats(0.01, 1.0), st.one_of(st.just(inf), seconds), seconds)
def test_it_is_never_served_longer_than_any_bound_allows(
    stored_at: float, ttl_s: float, max_age_s: float, life: float, effective_at: float, early_s: float
) -> None:
    terms = Terms(ttl_s, ttl_s, max_age_s)
    fragment = Fragment.of(VALUES, stored_at, terms, effective_at=effective_at, life=life, early_s=early_s)
    assert fragment.fresh_until <= fragment.expires_at <= stored_at + ttl_s
    assert fragment.expires_at <= effective_at + max_age_s
    assert fragment.expires_at == fragment.expiry(Terms(ttl_s, ttl_s, max_age_s))


@given(
    st.sampled_from([VALUES, NOTHING]),
    st.floats(0.1, 1.0),
    st.one_of(st.just(inf), seconds),
    st.one_of(st.none(), seconds),
    st.sampled_from([TERMS, Terms(5.0, 5.0), Terms(900.0, 900.0, 3.0)]),
)
def test_the_first_of_its_bounds_is_its_end(
    values: ViewValues, life: float, effective_at: float, retired_at: float | None, terms: Terms
) -> None:
    fragment = Fragment.of(values, 100.0, TERMS, life=life, effective_at=effective_at)
    if retired_at is not None:
        fragment = fragment.retired(retired_at)
    assert min(fragment.bounds(terms).values()) == fragment.expiry(terms)


@pytest.mark.parametrize(
    ("fragment", "ends_by"),
    [
        (Fragment.of(VALUES, 100.0, TERMS), "ttl"),
        (Fragment.of(VALUES, 100.0, TERMS, life=0.9), "spread"),
        (Fragment.of(NOTHING, 100.0, TERMS), "negative_ttl"),
        (Fragment.of(VALUES, 100.0, TERMS, effective_at=20.0), "max_age"),
        (Fragment.of(VALUES, 100.0, TERMS).retired(101.0), "purge"),
    ],
)
def test_what_ends_it_has_a_name(fragment: Fragment, ends_by: str) -> None:
    bounds = fragment.bounds(TERMS)
    assert min(bounds, key=bounds.__getitem__) == ends_by
