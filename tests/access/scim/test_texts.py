"""Texts that both stores keep, and instants there and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.scim.texts import fitting, instant, microseconds
from gateway.errors import InvalidScim


def test_what_is_empty_is_nothing() -> None:
    assert fitting("", "name") is fitting(None, "name") is None
    assert fitting("a" * 512, "name") == "a" * 512


@pytest.mark.parametrize("text", ["a\0", "\ud800", "a" * 513])
def test_what_cannot_be_kept_is_refused_by_the_name_of_its_attribute(text: str) -> None:
    with pytest.raises(InvalidScim, match=r"^name\.givenName: ") as refused:
        fitting(text, "name.givenName")
    assert text not in refused.value.message


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=14))])))
def test_an_instant_is_told_as_it_was(at: datetime) -> None:
    us = microseconds(at)
    if datetime(1, 1, 2, tzinfo=UTC) < at < datetime(9999, 12, 30, tzinfo=UTC):
        assert datetime.fromisoformat(instant(us)) == at
        assert instant(us).endswith("Z")


def test_without_an_offset_it_is_utc() -> None:
    assert microseconds(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000  # noqa: DTZ001 - that is what is asked
