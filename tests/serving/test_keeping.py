"""Views that came together: they end together, are fetched again together, and share what says so."""

from collections.abc import Sequence

import pytest

from gateway.cache.calendar import Calendar
from gateway.cache.fragments import Fragment
from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies, Said, Terms
from gateway.cache.store import FragmentStore
from gateway.features import INT64, STRING, Feature, Field, ServiceRef, Status, ViewValues
from gateway.origins.base import Description
from gateway.serving.keeping import Keeper
from gateway.serving.plan import Plan, StoredView
from tests.harness.clock import Clock

TERMS = Terms(60.0, 10.0)
EARLIER, LATER = "2023-11-14T22:13:10Z", "2023-11-14T22:13:20Z"


def keeper(clock: Clock, *, beta: float = 1.0, by_age: bool = False) -> Keeper:
    return Keeper(FragmentStore(100_000), Calendar(0.1), beta=beta, by_age=by_age, clock=clock, wall_s=lambda: 1_700_000_090.0)


def views(policies: Policies) -> Sequence[StoredView]:
    features = tuple(Feature(f"{view}.x", INT64) for view in "abc")
    return Plan(Description(ServiceRef("prod", "all"), (Field("id", STRING),), (), features), policies, Namespaces()).stored


def values(view: StoredView, status: Status = Status.PRESENT, moment: str = LATER) -> ViewValues:
    return ViewValues(view.layout, b'"1"', b'"%b":1' % view.layout.names[0].encode(), (status,), (moment,))


def times(fragment: Fragment) -> tuple[float, ...]:
    return fragment.stored_at, fragment.fresh_until, fragment.expires_at, fragment.life


def test_views_of_a_row_share_their_times_and_not_their_values() -> None:
    clock = Clock()
    asked_s = clock()
    clock.advance(2.0)
    stored = views(Policies(TERMS))
    row = keeper(clock).row(stored, [values(view) for view in stored], asked_s)
    first = row[0]
    assert first.fresh_until < first.expires_at
    for view, fragment in zip(stored, row, strict=True):
        assert all(one is other for one, other in zip(times(fragment), times(first), strict=True))
        assert fragment.named == values(view).named


def test_what_is_missing_in_a_row_ends_by_its_own_ttl() -> None:
    clock = Clock()
    stored = views(Policies(TERMS))
    told = [values(stored[0]), values(stored[1], Status.MISSING_DATA), values(stored[2])]
    row = keeper(clock, beta=0.0).row(stored, told, clock())
    assert [fragment.expires_at - clock() for fragment in row] == pytest.approx([60.0, 10.0, 60.0])
    assert [fragment.negative for fragment in row] == [False, True, False]


@pytest.mark.parametrize("negative_ttl_s", [10.0, 60.0])
def test_missing_values_are_never_taken_for_others_whatever_comes_first(negative_ttl_s: float) -> None:
    clock = Clock()
    stored = views(Policies(Terms(60.0, negative_ttl_s)))
    told = [values(stored[0], Status.MISSING_DATA), values(stored[1]), values(stored[2])]
    row = keeper(clock).row(stored, told, clock())
    assert [fragment.negative for fragment in row] == [True, False, False]


def test_views_of_other_terms_keep_them() -> None:
    clock = Clock()
    stored = views(Policies(TERMS, views={"b": Said(ttl_s=30.0), "c": Said(error_s=5.0)}))
    row = keeper(clock, beta=0.0).row(stored, [values(view) for view in stored], clock())
    assert [fragment.terms for fragment in row] == [view.terms for view in stored]
    assert [fragment.expires_at - clock() for fragment in row] == pytest.approx([60.0, 30.0, 60.0])


def test_where_age_counts_each_view_has_its_own() -> None:
    clock = Clock()
    stored = views(Policies(Terms(60.0, 60.0, max_age_s=100.0)))
    told = [values(view, moment=moment) for view, moment in zip(stored, (LATER, EARLIER, LATER), strict=True)]
    row = keeper(clock, beta=0.0, by_age=True).row(stored, told, clock())
    assert [fragment.expires_at - clock() for fragment in row] == pytest.approx([10.0, 0.0, 10.0])
