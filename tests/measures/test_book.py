"""The book: bounded, and true to what calls came to."""

import inspect

import pytest

from gateway import errors
from gateway.measures.book import CALL_OUTCOMES, MOST_ERRORS, MOST_SERVICES, OTHER, Book, ErrorNote


def test_past_the_bound_services_and_views_share_a_ledger() -> None:
    book = Book()
    ledgers = {id(book.service("prod", f"s{number}")) for number in range(2 * MOST_SERVICES)}
    views = {id(book.view("prod", f"v{number}")) for number in range(2 * MOST_SERVICES)}
    assert len(book.services) <= MOST_SERVICES + 2
    assert len(book.views) <= MOST_SERVICES + 2
    assert len(ledgers) <= MOST_SERVICES + 2
    assert len(views) <= MOST_SERVICES + 2
    assert book.service("prod", f"s{2 * MOST_SERVICES}").name == OTHER
    assert book.service("prod", "s1").name == "s1"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (errors.OriginShed("x"), "shed"),
        (errors.OriginResting("x"), "resting"),
        (errors.OriginUnavailable("x"), "unavailable"),
        (errors.OriginThrottled("x"), "throttled"),
        (errors.OriginTimeout("x"), "timeout"),
        (errors.SchemaDisagreement("x"), "malformed"),
        (errors.OriginFailed("x"), "failed"),
        (errors.NotFound("x"), "refused"),
    ],
)
def test_calls_are_told_by_how_they_ended(error: errors.GatewayError | None, outcome: str) -> None:
    book = Book()
    book.call("read", 0.01, error)
    assert {key: cell.count for key, cell in book.calls.items()} == {("read", outcome): 1}


def test_every_error_of_the_origin_has_a_name_of_its_own_among_the_outcomes() -> None:
    book = Book()
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.OriginError)]
    for kind in kinds:
        if kind is not errors.OriginError:
            book.call("read", 0.01, kind("x"))
    assert {outcome for _, outcome in book.calls} <= set(CALL_OUTCOMES) - {"refused", "ok"}


def test_other_objectives_hold_for_ledgers_that_are_there() -> None:
    book = Book()
    service, view = book.service("prod", "fraud"), book.view("prod", "user_features")
    book.judge(lambda _workspace, service: 0.5 if service == "fraud" else 1.0, lambda _view: 60.0)
    assert (service.objective_s, view.bound_s, book.service("prod", "other").objective_s) == (0.5, 60.0, 1.0)


def test_the_recent_errors_are_the_newest() -> None:
    book = Book()
    for number in range(MOST_ERRORS + 5):
        book.recent.append(ErrorNote(float(number), "named_single", "", 400, "caller", "InvalidRequest", None))
    assert [book.recent[0].at_s, len(book.recent)] == [5.0, MOST_ERRORS]
