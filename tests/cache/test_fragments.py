from dataclasses import FrozenInstanceError

import pytest

from gateway.cache.fragments import OVERHEAD_BYTES, Fragment, size_of
from gateway.features import INT64, Feature, Status, ViewLayout, ViewValues

LAYOUT = ViewLayout("a", (Feature("a.x", INT64), Feature("a.y", INT64)))
VALUES = ViewValues(LAYOUT, b'"1",null', b'"a.x":1,"a.y":null', (Status.PRESENT, Status.MISSING_DATA), ("2024-01-01T00:00:00Z", None))


def test_a_fragment_keeps_what_the_origin_answered_and_when() -> None:
    fragment = Fragment.of(VALUES, 12.5)
    assert (fragment.positional, fragment.named) == (VALUES.positional, VALUES.named)
    assert fragment.statuses == VALUES.statuses
    assert fragment.pattern == VALUES.pattern
    assert fragment.effective_times == VALUES.effective_times
    assert fragment.stored_at == 12.5


def test_a_fragments_size_is_its_text_and_an_allowance() -> None:
    fragment = Fragment.of(VALUES, 0.0)
    assert fragment.size_bytes == len(VALUES.positional) + len(VALUES.named) + OVERHEAD_BYTES
    assert size_of(fragment) == fragment.size_bytes


def test_a_fragment_cannot_be_changed() -> None:
    fragment = Fragment.of(VALUES, 0.0)
    with pytest.raises(FrozenInstanceError):
        fragment.stored_at = 99.0  # type: ignore[misc]  # what is refused
