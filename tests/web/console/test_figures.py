"""What pages tell of services, views, workers and objectives, out of reports as workers make them."""

import pytest

from gateway.measures.book import Book, ErrorNote
from gateway.measures.burn import WINDOWS_S, Past, State
from gateway.measures.families import Report, Series
from gateway.measures.ledgers import Outcome
from gateway.measures.promises import Promise
from gateway.web.console.figures import house_of, recent_errors, services_of, views_of
from gateway.web.console.objectives import Objectives
from gateway.web.console.totals import PREFIX
from gateway.web.metrics.families import FAMILIES
from gateway.web.metrics.reads import reads_of
from gateway.web.metrics.told import Told
from tests.web.console.test_totals import report


def told(book: Book, worker: int = 1) -> Report:
    made = Told()
    list(reads_of(book, "tecton")(made))
    return Report(worker, 0.0, made.families(), tuple(book.recent))


def busy(hits: int = 6) -> Book:
    book = Book()
    fraud = book.service("prod", "fraud")
    for _ in range(hits):
        fraud.hit("named_single", 1, 3, 1, 0.0002)
    fraud.read("tecton_single", Outcome.MISS, 1, 0.02, eligible=True)
    fraud.views["origin"] += 3
    fraud.failed("tecton_single", "origin", 503, 0.3, server_error=True)
    fraud.failed("named_single", "caller", 400, 0.001, server_error=False)
    book.unknown.failed("named_single", "caller", 401, 0.001, server_error=False)
    book.service("prod", "quiet").hit("named_single", 1, 1, 0, 0.0002)
    return book


def test_services_are_told_over_all_workers_the_busiest_first() -> None:
    fraud, quiet = services_of([told(busy()), told(busy(4), 2)])
    assert (fraud.workspace, fraud.name, quiet.name) == ("prod", "fraud", "quiet")
    assert fraud.reads == {"hit": 10, "miss": 2, "error": 4}
    assert (fraud.total, fraud.answered, fraud.rows) == (16, 12, 12)
    assert fraud.hit_ratio == 10 / 12
    assert (fraud.saved_views, fraud.asked_views) == (30, 6)
    assert fraud.view_ratio == 30 / 36
    assert (fraud.errors["origin", "503"], fraud.failed) == (2, 2)
    assert fraud.doors == {"named_single": 12, "tecton_single": 4}
    assert fraud.quantiles_ms[0] is not None
    assert 0.1 < fraud.quantiles_ms[0] < 0.25


def test_of_a_service_that_was_not_read_there_is_nothing_to_tell() -> None:
    assert services_of([report()]) == []
    assert services_of([told(Book())]) == []


def test_views_tell_the_ages_and_the_gaps_of_their_workspace() -> None:
    book = Book(bound_s=lambda view: 10.0 if view == "user" else None)
    user = book.view("prod", "user")
    for age_s in (0.5, 2.0, 30.0):
        user.aged(age_s, age_s + 1)
    user.served(10, 4)
    book.view("prod", "basket").aged(0.05, None)
    book.view("lab", "user").aged(5.0, None)
    views = views_of([told(book)], "prod")
    assert set(views) == {"user", "basket"}
    assert (views["user"].missing_share, views["user"].late_share) == (0.4, 1 / 3)
    assert views["user"].ages_s[1] is not None
    assert views["basket"].effective_ages_s == [None, None]
    assert (views["basket"].missing_share, views["basket"].late_share) == (None, None)


def test_the_house_adds_amounts_and_names_each_worker() -> None:
    def worker(number: int, *, is_open: bool) -> Report:
        numbers: dict[str, float] = {
            "cache_bytes": 100,
            "cache_max_bytes": 1000,
            "flights": 2,
            "guard_open": is_open,
            "guard_retries_total": 3,
        }
        numbers |= {"guard_shed_low_total": 1, "guard_shed_high_total": 1, "event_loop_lag_seconds_max": 0.25 * number}
        made = report(number, **{name: (Series((), value),) for name, value in numbers.items()})
        process = {"process_start_time_seconds": (Series((), 900.0),), "process_resident_memory_bytes": (Series((), 5.0),)}
        return Report(number, 0.0, {**made.families, **process})

    house = house_of([worker(2, is_open=True), worker(1, is_open=False)], 1_000.0)
    assert (house.cache_bytes, house.cache_max_bytes, house.flights, house.guard_open) == (200, 2000, 4, 1)
    assert (house.guard["retries"], house.guard["shed"]) == (6, 4)
    assert [(one.number, one.age_s, one.lag_max_ms, one.resident_bytes) for one in house.workers] == [(1, 100, 250, 5), (2, 100, 500, 5)]


def test_the_last_errors_of_all_workers_come_newest_first() -> None:
    books = [Book(), Book()]
    for at_s, book in enumerate([books[0], books[1], books[0]]):
        book.recent.append(ErrorNote(float(at_s), "named_single", "prod/fraud", 400, "caller", "InvalidRequest", None))
    assert [(worker, note.at_s) for worker, note in recent_errors([told(books[0], 1), told(books[1], 2)])] == [(1, 2), (2, 1), (1, 0)]


OBJECTIVE = 0.99


def burning(worker: int, slo: str = "latency", name: str = "fraud", **pasts: tuple[int, int]) -> Report:
    """Events and bad ones, by window."""
    windows = {window: Past(60.0, *pasts.get(f"w{window}", (100, 0))) for window in WINDOWS_S}
    return Report(worker, 0.0, {}, promises=(Promise("prod", name, slo, OBJECTIVE, 0.1, windows),))


def test_what_workers_saw_is_added_before_it_is_judged() -> None:
    reports = [burning(1, w5m=(300, 3), w3d=(300, 3)), burning(2, w5m=(100, 9), w3d=(100, 9))]
    [row] = Objectives().of(reports).rows
    assert (row.name, row.slo, row.objective, row.within_ms, row.events, row.bad) == ("fraud", "latency", OBJECTIVE, 100.0, 400, 12)
    assert row.burns["5m"] == pytest.approx(3.0)
    assert row.burns["1h"] == 0
    assert row.budget_left == pytest.approx(-2.0)
    assert Objectives().of(reports, "prod", "other").rows == []
    assert Objectives().of(reports, "prod", "fraud").rows == [row]


def test_what_is_to_be_done_at_once_comes_first_and_the_rest_is_counted() -> None:
    quiet = [burning(1, name=f"quiet-{number:02}") for number in range(60)]
    promises = [*[one for report in quiet for one in report.promises], *burning(1, name="loud", w1h=(100, 20), w5m=(100, 20)).promises]
    told = Objectives().of([Report(1, 0.0, {}, promises=tuple(promises))])
    assert (told.rows[0].name, told.rows[0].state, told.rows[1].state) == ("loud", State.PAGE, State.OK)
    assert (len(told.rows), told.more) == (50, 11)


def test_a_view_is_told_among_all_and_not_with_a_service_of_its_name() -> None:
    reports = [burning(1, slo="freshness")]
    assert [row.is_view for row in Objectives().of(reports).rows] == [True]
    assert Objectives().of(reports, "prod", "fraud").rows == []


def test_the_families_that_are_looked_for_are_told() -> None:
    looked_for = {
        *("read_duration_seconds", "read_errors_total", "views_total", "rows_total", "origin_duration_seconds", "cache_evictions_total"),
        *("value_age_seconds", "value_effective_age_seconds", "sampled_features_total", "sampled_features_missing_total"),
        *(
            "freshness_values_total",
            "freshness_values_late_total",
            "slo_events_total",
            "slo_bad_events_total",
            "cache_bytes",
            "cache_max_bytes",
            "cache_fragments",
            "flights",
            "guard_open",
            "guard_limit",
            "connections",
        ),
        *("guard_under_way", "guard_queued", "guard_calls_total", "guard_retries_total", "guard_hedges_total", "guard_hedges_won_total"),
        *("guard_opened_total", "guard_resting_total", "guard_paused_total", "guard_shed_high_total", "guard_shed_normal_total"),
        *("guard_shed_low_total", "event_loop_lag_seconds_recent", "event_loop_lag_seconds_max"),
    }
    assert {PREFIX + name for name in looked_for} <= set(FAMILIES)
    assert FAMILIES[f"{PREFIX}read_duration_seconds"].labels == ("door", "workspace", "feature_service", "outcome")
    assert FAMILIES[f"{PREFIX}read_errors_total"].labels == ("door", "workspace", "feature_service", "fault", "code")
    assert FAMILIES[f"{PREFIX}views_total"].labels == ("workspace", "feature_service", "source")
    assert FAMILIES[f"{PREFIX}origin_duration_seconds"].labels[-1] == "outcome"
    assert {"process_start_time_seconds", "process_resident_memory_bytes"} <= set(FAMILIES)
