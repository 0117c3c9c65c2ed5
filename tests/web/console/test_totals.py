"""What happened between two looks: counts that never go below nothing, whatever becomes of the workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measures.families import Report, Series
from gateway.measures.histogram import DURATIONS_S, Histogram
from gateway.web.console.totals import PREFIX, Totals, amount, between, point_of, quantile, saved_share, totals_of


def durations(*values_s: float) -> Histogram:
    histogram = Histogram(DURATIONS_S)
    for value_s in values_s:
        histogram.note(value_s)
    return histogram


def report(worker: int = 1, **families: tuple[Series, ...]) -> Report:
    return Report(worker, 0.0, {f"{PREFIX}{name}": series for name, series in families.items()})


def read(outcome: str, *values_s: float) -> Series:
    return Series.of(("named_single", "prod", "fraud", outcome), durations(*values_s))


def test_totals_are_taken_from_all_series_of_a_report() -> None:
    totals = totals_of(
        report(
            read_duration_seconds=(read("hit", 0.0002, 0.0002), read("miss", 0.02), read("error", 0.02)),
            read_errors_total=(Series(("named_single", "prod", "fraud", "origin", "503"), 1),),
            views_total=(Series(("prod", "fraud", "cache"), 8), Series(("prod", "other", "cache"), 2)),
            origin_duration_seconds=(
                Series.of(("tecton", "read", "ok"), durations(0.01)),
                Series.of(("tecton", "read", "timeout"), durations(1)),
            ),
            cache_evictions_total=(Series((), 4),),
        )
    )
    assert totals.reads == {"hit": 2, "miss": 1, "error": 1}
    assert sum(totals.latencies) == 4
    assert totals.errors == {"origin": 1}
    assert totals.views == {"cache": 10}
    assert totals.calls == {"ok": 1, "timeout": 1}
    assert totals.evictions == 4


def test_of_an_empty_report_nothing_is_told() -> None:
    point = point_of(between({}, {1: totals_of(report())}), 7.0, 5.0)
    assert (point.at_s, point.reads, point.hit_ratio, point.view_ratio, point.p99_ms, point.calls) == (7.0, 0, None, None, None, 0)


def test_a_point_is_the_difference_over_its_seconds() -> None:
    earlier = totals_of(report(read_duration_seconds=(read("hit", *[0.0002] * 10),)))
    later = totals_of(report(read_duration_seconds=(read("hit", *[0.0002] * 18), read("miss", 0.02), read("error", 0.02))))
    point = point_of(between({1: earlier}, {1: later}), 5.0, 5.0)
    assert (point.reads, point.hits, point.misses, point.errors) == (2.0, 1.6, 0.2, 0.2)
    assert point.hit_ratio == 8 / 9
    assert point.p50_ms is not None
    assert 0.1 < point.p50_ms < 0.25


def test_workers_are_added_and_one_that_was_started_again_counts_from_nothing() -> None:
    first, second = (totals_of(report(read_duration_seconds=(read("hit", *[0.001] * count),))) for count in (100, 100))
    anew = totals_of(report(read_duration_seconds=(read("hit", *[0.001] * 3),)))
    on = totals_of(report(read_duration_seconds=(read("hit", *[0.001] * 110),)))
    assert between({1: first, 2: second}, {1: on, 2: anew}).reads == {"hit": 13}
    assert between({1: first, 2: second}, {1: on}).reads == {"hit": 10}
    assert between({1: first}, {1: first, 3: anew}).reads == {"hit": 3}


counted = st.dictionaries(st.sampled_from(["hit", "miss", "error"]), st.integers(0, 50))


@given(counted, counted)
def test_nothing_is_ever_below_nothing(before: dict[str, int], after: dict[str, int]) -> None:
    def totals(reads: dict[str, int]) -> Totals:
        return totals_of(report(read_duration_seconds=tuple(read(name, *[0.001] * count) for name, count in reads.items())))

    done = between({1: totals(before)}, {1: totals(after)})
    assert all(value >= 0 for value in done.reads.values())


@given(st.lists(st.floats(0, 1.99), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_value_that_it_stands_for(values: list[float], share: float) -> None:
    told = quantile(DURATIONS_S, durations(*values).counts, share)
    exact = sorted(values)[max(0, -(-int(share * len(values) * 1e9) // 10**9) - 1)]
    assert told is not None
    edges = (0.0, *DURATIONS_S)
    index = next(index for index, bound in enumerate(DURATIONS_S) if exact <= bound)
    assert edges[max(0, index - 1)] <= told <= DURATIONS_S[min(index + 1, len(DURATIONS_S) - 1)]


def test_quantiles_of_nothing_and_beyond_the_last_bound() -> None:
    assert quantile(DURATIONS_S, [0] * 16, 0.5) is None
    assert quantile(DURATIONS_S, durations(9.0).counts, 0.5) == DURATIONS_S[-1]


@pytest.mark.parametrize(
    ("views", "share"),
    [({}, 0.0), ({"computed": 5}, 0.0), ({"cache": 3, "origin": 1}, 0.75), ({"stale_revalidating": 1, "stale_on_error": 1}, 0.5)],
)
def test_saved_are_the_views_that_the_origin_was_not_asked_for(views: dict[str, float], share: float) -> None:
    assert saved_share(views) == share


def test_an_amount_is_added_over_series_and_workers() -> None:
    reports = [report(worker, flights=(Series((), worker),)) for worker in (1, 2)]
    assert amount(reports, "flights") == 3
    assert amount(reports, "connections") == 0
