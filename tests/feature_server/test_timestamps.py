from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feature_server.timestamps import format_timestamp_ns, parse_timestamp

NOON = 1_714_564_800_000_000_000  # 2024-05-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "offset_ns"),
    [
        ("2024-05-01T12:00", 0),
        ("2024-05-01T12:00Z", 0),
        ("2024-05-01T12:00:00", 0),
        ("2024-05-01T12:00:00Z", 0),
        ("2024-05-01t12:00:00z", 0),
        ("2024-05-01T14:00:00+02:00", 0),
        ("2024-05-01T06:30:00-05:30", 0),
        ("2024-05-01T12:00:00.1Z", 100_000_000),
        ("2024-05-01T12:00:00.123456789Z", 123_456_789),
        ("2024-05-01T14:00:00.000000001+02:00", 1),
    ],
)
def test_every_accepted_form_keeps_its_nanoseconds(text: str, offset_ns: int) -> None:
    assert parse_timestamp(text) == NOON + offset_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-05-01",
        "2024-05-01 12:00:00Z",
        "2024-05-01T12",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00.1234567890Z",
        "2024-02-30T12:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:60:00Z",
        "2024-05-01T23:59:60Z",
        "2024-05-01T12:00:00+24:00",
        "2024-05-01T12:00:00+02:60",
        "2024-05-01T12:00:00+0200",
        "1500-01-01T00:00:00Z",
        "1799-12-31T23:59:59.999999999Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2024-05-01T12:00:00Z\n",
        "\uff12024-05-01T12:00:00Z",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (NOON, "2024-05-01T12:00:00Z"),
        (NOON + 500_000_000, "2024-05-01T12:00:00.500Z"),
        (NOON + 1_000, "2024-05-01T12:00:00.000001Z"),
        (NOON + 1, "2024-05-01T12:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_fraction_has_as_few_digits_as_say_all(at_ns: int, text: str) -> None:
    assert format_timestamp_ns(at_ns) == text


@given(st.integers(parse_timestamp("1800-01-01T00:00Z"), parse_timestamp("2199-12-31T23:59:59.999999999Z")))
def test_what_is_written_reads_back(at_ns: int) -> None:
    assert parse_timestamp(format_timestamp_ns(at_ns)) == at_ns


@given(st.datetimes(datetime(1800, 1, 1), datetime(2199, 12, 31)))  # noqa: DTZ001 - hypothesis takes naive bounds
def test_agrees_with_datetime_where_datetime_can_say_it(moment: datetime) -> None:
    elapsed = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_timestamp(moment.isoformat()) == elapsed // timedelta(microseconds=1) * 1_000
