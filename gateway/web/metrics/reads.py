"""What is told of reads, of the values served in them, and of what the book holds beside them."""

from collections import Counter

from gateway.measures.book import Book
from gateway.measures.histogram import ROWS, Histogram
from gateway.measures.ledgers import Outcome, ServiceLedger, ViewLedger
from gateway.serving.desk import FATES
from gateway.web.metrics.families import SOURCES
from gateway.web.metrics.told import Tell, Told

_REFUSALS = {401: "unauthenticated", 403: "denied"}


def reads_of(book: Book, origin: str) -> Tell:
    """`origin`: which kind of origin is called."""

    def tell(told: Told) -> None:
        services = list(book.services.values())
        for service in services:
            _tell_service(told, service)
        for view in book.views.values():
            _tell_view(told, view)
        _tell_batches(told, services)
        _tell_authorizations(told, services)
        _tell_requests(told, book)
        for (call, outcome), histogram in book.calls.items():
            told.histogram("origin_duration_seconds", histogram, origin, call, outcome)

    return tell


def _tell_service(told: Told, ledger: ServiceLedger) -> None:
    of = (ledger.workspace, ledger.name)
    for (door, outcome), cell in ledger.cells.items():
        told.histogram("read_duration_seconds", cell, door, *of, outcome)
    for (door, fault, code), count in ledger.errors.items():
        told.number("read_errors_total", count, door, *of, fault, str(code))
    for door, rows in ledger.rows().items():
        told.number("rows_total", rows, door, *of)
    for fault, count in ledger.row_errors.items():
        told.number("row_errors_total", count, *of, fault)
    served = ledger.served()
    for source in SOURCES:
        told.number("views_total", served[source], *of, source)
    for slo, tally in ledger.tallies().items():
        told.number("slo_events_total", tally.events, *of, slo)
        told.number("slo_bad_events_total", tally.bad, *of, slo)


def _tell_view(told: Told, ledger: ViewLedger) -> None:
    of = (ledger.workspace, ledger.name)
    told.histogram("value_age_seconds", ledger.ages, *of)
    told.histogram("value_effective_age_seconds", ledger.effective_ages, *of)
    told.number("sampled_features_total", ledger.features, *of)
    told.number("sampled_features_missing_total", ledger.missing, *of)
    if ledger.bound_s is not None:
        tally = ledger.tally()
        told.number("freshness_values_total", tally.events, *of)
        told.number("freshness_values_late_total", tally.bad, *of)


def _tell_batches(told: Told, services: list[ServiceLedger]) -> None:
    doors: dict[str, Histogram] = {}
    for service in services:
        for door, batches in service.batches.items():
            doors.setdefault(door, Histogram(ROWS)).add(batches)
    for door, histogram in doors.items():
        told.histogram("batch_rows", histogram, door)


def _tell_authorizations(told: Told, services: list[ServiceLedger]) -> None:
    """Whoever was not told 401 or 403 was let in, whatever came of it."""
    results = Counter(admitted=0, unauthenticated=0, denied=0)
    for service in services:
        for (_, outcome), cell in service.cells.items():
            if outcome is not Outcome.ERROR:
                results["admitted"] += cell.count
        for (_, _, code), count in service.errors.items():
            results[_REFUSALS.get(code, "admitted")] += count
    for result, count in results.items():
        told.number("authorizations_total", count, result)


def _tell_requests(told: Told, book: Book) -> None:
    for (door, code), histogram in book.requests.items():
        told.histogram("request_duration_seconds", histogram, door, code)
    for (status, fault), count in book.problems.items():
        told.number("problems_total", count, str(status), fault)
    for result in FATES:
        told.number("ingest_records_total", book.records[result], result)
