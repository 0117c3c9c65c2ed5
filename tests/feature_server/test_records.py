import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feature_server.catalog import Catalog
from gateway.feature_server.records import MAX_ECHO, PARSERS, RecordError, RecordReader
from gateway.features import Kind
from tests.feature_server.purchases import NOW_NS, REPOSITORY

READER = RecordReader(Catalog(REPOSITORY).sources["shop", "purchases"], NOW_NS)
RECORD = {"at": "2024-05-01T11:59:00Z", "order": "o1", "user": "ann", "shop": 7}
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2))


def test_a_row_has_the_sources_columns_in_order() -> None:
    mistakes: list[RecordError] = []
    row = READER.read(0, RECORD | {"shipped": "1970-01-01T00:00:00.000000001Z", "amount": 3, "gift": False}, mistakes)
    assert row == [1_714_564_740_000_000_000, "o1", "ann", 7, 3.0, None, None, False, 1]
    assert isinstance(row[4], float)
    assert mistakes == []


@given(st.dictionaries(st.sampled_from([*RECORD, "amount", "items", "coupon", "gift", "shipped"]), JSON))
def test_whatever_json_holds_is_a_row_or_a_list_of_mistakes(record: dict[str, Any]) -> None:
    mistakes: list[RecordError] = []
    row = READER.read(3, record, mistakes)
    assert len(row) == 9
    assert all(mistake.message.startswith("Record 3: ") for mistake in mistakes)
    if not mistakes:
        json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        (Kind.INT64, 2**63 - 1, 2**63 - 1),
        (Kind.INT64, str(-(2**63)), -(2**63)),
        (Kind.INT64, "0", 0),
        (Kind.FLOAT64, 2, 2.0),
        (Kind.STRING, "", ""),
        (Kind.BOOLEAN, False, False),
        (Kind.TIMESTAMP, "1970-01-01T00:00", 0),
    ],
)
def test_values_as_they_are_stored(kind: Kind, given: object, stored: object) -> None:
    parsed = PARSERS[kind](given)
    assert (parsed, type(parsed)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Kind.INT64, 2**63),
        (Kind.INT64, "9223372036854775808"),
        (Kind.INT64, "+1"),
        (Kind.INT64, "1_0"),
        (Kind.INT64, "\uff11"),
        (Kind.FLOAT64, float("inf")),
        (Kind.FLOAT64, float("nan")),
        (Kind.STRING, "\ud800"),
        (Kind.TIMESTAMP, "now"),
    ],
)
def test_values_that_are_not_of_the_type(kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):
        PARSERS[kind](given)


def test_a_long_name_is_not_repeated_in_full() -> None:
    mistakes: list[RecordError] = []
    READER.read(0, RECORD | {"x" * 5_000: 1}, mistakes)
    [mistake] = mistakes
    assert mistake.message == f"Record 0: column `{'x' * MAX_ECHO}` is not in the stream source's schema"
