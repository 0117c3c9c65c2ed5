"""Series go from one worker to another, and can be added."""

import msgspec

from gateway.measures.book import ErrorNote
from gateway.measures.families import Report, Series, summed
from gateway.measures.histogram import Histogram


def report(worker: int, *values: float) -> Report:
    histogram = Histogram((1.0, 2.0))
    for value in values:
        histogram.note(value)
    histogram.mark(0.5, "ab" * 16, 1.0)
    families = {"calls_total": (Series(("a",), 1.0), Series((str(worker),), 2.0)), "seconds": (Series.of(("a",), histogram),)}
    return Report(worker, 10.0, families, (ErrorNote(1.0, "ingest", "", 400, "caller", "InvalidRequest", None),))


def test_a_report_survives_the_way_to_another_worker() -> None:
    told = report(1, 0.5, 3.0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Report) == told


def test_series_of_the_same_labels_are_added_over_workers() -> None:
    reports = [report(1, 0.5), report(2, 0.5, 5.0)]
    assert {one.labels: one.value for one in summed(reports, "calls_total")} == {("a",): 2.0, ("1",): 2.0, ("2",): 2.0}
    [seconds] = summed(reports, "seconds")
    assert (seconds.counts, seconds.value) == ((2, 0, 1), 6.0)
    assert list(summed(reports, "nothing")) == []
