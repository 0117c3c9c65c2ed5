"""How numbers are told."""

import math

import pytest

from gateway.web.console import pages


@pytest.mark.parametrize(
    ("tell", "value", "told"),
    [
        (pages.count, 1234567, "1,234,567"),
        (pages.count, None, "\u2013"),
        (pages.rate, 0, "0"),
        (pages.rate, 0.034, "0.03"),
        (pages.rate, 12.34, "12.3"),
        (pages.rate, 1234.5, "1,234"),
        (pages.rate, None, "\u2013"),
        (pages.percent, 0.5, "50.0%"),
        (pages.percent, 1, "100.0%"),
        (pages.percent, 0.99951, "99.951%"),
        (pages.percent, 0.9999999, "99.999%"),
        (pages.percent, 0.0001, "<0.1%"),
        (pages.percent, 0, "0.0%"),
        (pages.percent, None, "\u2013"),
        (pages.duration, 0.0734, "73 µs"),
        (pages.duration, 2.26, "2.3 ms"),
        (pages.duration, 120, "120 ms"),
        (pages.duration, 12_345, "12.3 s"),
        (pages.duration, None, "\u2013"),
        (pages.age, 0.0344, "34 ms"),
        (pages.age, 0, "0 s"),
        (pages.age, 1.26, "1.3 s"),
        (pages.age, 60, "60 s"),
        (pages.age, 300, "5 min"),
        (pages.age, 7_200, "2 h"),
        (pages.age, 864_000, "10 d"),
        (pages.age, math.inf, "\u2013"),
        (pages.age, None, "\u2013"),
        (pages.size, 0, "0 B"),
        (pages.size, 1023, "1,023 B"),
        (pages.size, 1536, "1.5 KiB"),
        (pages.size, 268_435_456, "256 MiB"),
        (pages.size, 2**60, "1,048,576 TiB"),
        (pages.size, None, "\u2013"),
        (pages.instant, 1e9, "2001-09-09 01:46:40 UTC"),
        (pages.burn, 0.123, "0.12"),
        (pages.burn, 14.4, "14"),
        (pages.burn, None, "\u2013"),
        (pages.part_of_path, "a b/<c>", "a%20b%2F%3Cc%3E"),
    ],
)
def test_a_number_is_told_so_that_it_is_read_at_a_glance(tell: object, value: float | None, told: str) -> None:
    assert callable(tell)
    assert tell(value) == told
