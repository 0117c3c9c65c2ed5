"""What is noted of a service's reads and of a view's values."""

import pytest

from gateway.measures.ledgers import SAMPLED_EVERY, Outcome, ServiceLedger, Slo, ViewLedger


@pytest.fixture
def ledger() -> ServiceLedger:
    return ServiceLedger("prod", "fraud", 0.1, frozenset({"named_batch"}))


def test_one_read_in_sixteen_is_looked_at_from_the_first_on(ledger: ServiceLedger) -> None:
    looked = [ledger.hit("named_single", 1, 4, 0, 0.001) for _ in range(SAMPLED_EVERY + 1)]
    looked += [ledger.read("named_single", Outcome.MISS, 1, 0.001, eligible=True) for _ in range(SAMPLED_EVERY)]
    assert [index for index, one in enumerate(looked) if one] == [0, SAMPLED_EVERY, 2 * SAMPLED_EVERY]


def test_hits_count_for_all_that_is_promised(ledger: ServiceLedger) -> None:
    ledger.hit("named_single", 1, 4, 1, 0.001)
    ledger.hit("named_batch", 10, 4, 1, 0.2)
    assert ledger.tallies() == {Slo.AVAILABILITY: (2, 0), Slo.LATENCY: (2, 1), Slo.STALE: (2, 0)}
    assert ledger.served() == {"cache": 44, "computed": 11}
    assert ledger.rows() == {"named_single": 1, "named_batch": 10}


def test_results_of_a_query_are_rows(ledger: ServiceLedger) -> None:
    for results in (3, 0, 1, 500):
        ledger.read("named_query", Outcome.BYPASS, results, 0.001, eligible=True)
    ledger.failed("named_query", "origin", 502, 0.001, server_error=True)
    assert ledger.rows() == {"named_query": 504}


def test_a_read_that_the_origin_does_not_stand_for_counts_for_no_latency(ledger: ServiceLedger) -> None:
    ledger.read("named_single", Outcome.MISS, 1, 5.0, eligible=False)
    ledger.read("named_single", Outcome.STALE, 1, 5.0, eligible=True)
    assert ledger.tallies() == {Slo.AVAILABILITY: (2, 0), Slo.LATENCY: (1, 1), Slo.STALE: (2, 1)}


def test_a_hit_that_took_the_long_way_counts_once(ledger: ServiceLedger) -> None:
    ledger.read("named_single", Outcome.HIT, 1, 5.0, eligible=True)
    ledger.hit("named_single", 1, 4, 0, 0.001)
    assert ledger.tallies() == {Slo.AVAILABILITY: (2, 0), Slo.LATENCY: (2, 1), Slo.STALE: (2, 0)}


def test_callers_faults_count_for_nothing_and_servers_for_availability(ledger: ServiceLedger) -> None:
    ledger.failed("named_single", "caller", 400, 0.001, server_error=False)
    ledger.failed("named_single", "definition", 400, 0.001, server_error=False)
    ledger.failed("named_single", "origin", 502, 0.001, server_error=True)
    ledger.failed("named_single", "origin", 429, 0.001, server_error=True)
    ledger.read("named_batch", Outcome.MISS, 7, 0.01, eligible=True, server_error=True)
    assert ledger.tallies() == {Slo.AVAILABILITY: (3, 3), Slo.LATENCY: (1, 0), Slo.STALE: (1, 0)}
    assert ledger.rows() == {"named_batch": 7}
    assert ledger.errors["named_single", "origin", 429] == 1


def test_freshness_is_judged_by_the_origins_own_time_where_it_tells_one() -> None:
    view = ViewLedger("prod", "user_features", bound_s=60.0)
    view.aged(1.0, 61.0)
    view.aged(61.0, 1.0)
    view.aged(61.0, None)
    assert view.tally() == (3, 2)
    assert (view.ages.count, view.effective_ages.count) == (3, 2)
    unbound = ViewLedger("prod", "user_features", bound_s=None)
    unbound.aged(1e6, None)
    assert unbound.tally() == (0, 0)
