"""What is told of reads, of the values served in them, and of what the book holds beside them."""

from collections import Counter
from collections.abc import Iterable

from gateway.measures.book import Book
from gateway.measures.histogram import ROWS, Histogram
from gateway.measures.ledgers import Outcome, ServiceLedger, ViewLedger
from gateway.serving.desk import FATES
from gateway.web.metrics.families import SOURCES
from gateway.web.metrics.told import Tell, Told

_REFUSALS = {401: "unauthenticated", 403: "denied"}


def reads_of(book: Book, origin: str) -> Tell:
    """`origin`: which kind of origin is called."""

    def tell(told: Told) -> Iterable[None]:
        """With a pause after each feature service: its numbers are of one moment, and so are a view's."""
        services = [ledger for _, ledger in sorted(book.services.items())]
        doors: dict[str, Histogram] = {}
        credentials = Counter(admitted=0, unauthenticated=0, denied=0)
        for service in services:
            _tell_service(told, service)
            _add_batches(doors, service)
            _add_credentials(credentials, service)
            yield
        for _, view in sorted(book.views.items()):
            _tell_view(told, view)
            yield
        for door, histogram in sorted(doors.items()):
            told.histogram("batch_rows", histogram, door)
        for result, count in credentials.items():
            told.number("authorizations_total", count, result)
        _tell_requests(told, book, origin)

    return tell


def _tell_service(told: Told, ledger: ServiceLedger) -> None:
    of = (ledger.workspace, ledger.name)
    for (door, outcome), cell in sorted(ledger.cells.items()):
        told.histogram("read_duration_seconds", cell, door, *of, outcome)
    for (door, fault, code), count in sorted(ledger.errors.items()):
        told.number("read_errors_total", count, door, *of, fault, str(code))
    for door, rows in sorted(ledger.rows().items()):
        told.number("rows_total", rows, door, *of)
    for fault, count in sorted(ledger.row_errors.items()):
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


def _add_batches(doors: dict[str, Histogram], ledger: ServiceLedger) -> None:
    for door, batches in ledger.batches.items():
        doors.setdefault(door, Histogram(ROWS)).add(batches)


def _add_credentials(results: Counter[str], ledger: ServiceLedger) -> None:
    """Whoever was not told 401 or 403 was let in, whatever came of it."""
    results["admitted"] += sum(cell.count for (_, outcome), cell in ledger.cells.items() if outcome is not Outcome.ERROR)
    for (_, _, code), count in ledger.errors.items():
        results[_REFUSALS.get(code, "admitted")] += count


def _tell_requests(told: Told, book: Book, origin: str) -> None:
    for (call, outcome), histogram in sorted(book.calls.items()):
        told.histogram("origin_duration_seconds", histogram, origin, call, outcome)
    for (door, code), histogram in sorted(book.requests.items()):
        told.histogram("request_duration_seconds", histogram, door, code)
    for (status, fault), count in sorted(book.problems.items()):
        told.number("problems_total", count, str(status), fault)
    for result in FATES:
        told.number("ingest_records_total", book.records[result], result)
