"""The figures that need no driver: what is saved follows from the TTL, and a fragment costs more than its values."""

from loadtests.savings import fragment_bytes, view_reads_saved
from loadtests.trace import Read
from loadtests.verdicts import FRAGMENT_BYTES, SAVED_AT_A_DAY, SAVED_AT_AN_HOUR


def test_what_was_read_two_hours_before_is_saved_under_a_ttl_of_a_day_alone() -> None:
    told: list[str] = []
    reads = [Read(at_s, "JFK", "LAX", "AA", plane) for at_s, plane in ((0.0, "N338AA"), (7_200.0, "N338AA"), (7_201.0, "N335AA"))]
    saved = view_reads_saved(reads, told.append)
    assert saved == {SAVED_AT_AN_HOUR: 100 * 3 / 12, SAVED_AT_A_DAY: 100 * (4 + 3) / 12}  # the last by another plane
    assert told == [SAVED_AT_AN_HOUR, SAVED_AT_A_DAY]


def test_a_fragment_costs_more_than_its_values() -> None:
    told: list[str] = []
    assert fragment_bytes(told.append, fragments=40_000)[FRAGMENT_BYTES] > 100  # its keys and its record, at the least
    assert told == [FRAGMENT_BYTES]
