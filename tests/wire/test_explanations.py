"""How an explanation is spelled, and read by whoever asked for it."""

import msgspec
import pytest

from gateway.features import Source, Status
from gateway.wire.explanations import (
    ExplainedDeadline,
    ExplainedFeature,
    ExplainedGrant,
    ExplainedOrigin,
    ExplainedTimings,
    Explanation,
    explanation,
    members,
    read_explanation,
    timed,
)

FEATURE = ExplainedFeature(msgspec.Raw(b'{"a": 1.50, "b":"\\u00e9"}'), Status.PRESENT, Source.CACHE, "user", 1.5, None)
TOLD = Explanation(
    "prod",
    "fraud",
    "hit",
    None,
    {"user.age": FEATURE},
    [],
    [],
    ExplainedGrant("keys", True, None, "me", "settings_key", ["read"]),  # noqa: FBT003 - a row of fields
    [],
    ExplainedOrigin("tecton", "closed", [], None),
    ExplainedDeadline(2000.0, 1999.0, False),  # noqa: FBT003
    partial_results=False,
    schema_corrected=False,
)
TIMINGS = ExplainedTimings(*[float(number) for number in range(8)])


def test_values_stay_the_bytes_that_they_are() -> None:
    assert b'"value":{"a": 1.50, "b":"\\u00e9"},' in timed(explanation(TOLD), TIMINGS)
    assert [(name, bytes(value)) for name, value in members(b'"a.x": [1.0],"a.y":null').items()] == [("a.x", b"[1.0]"), ("a.y", b"null")]


def test_what_is_told_can_be_read_with_its_timings_and_by_an_older_reader() -> None:
    spelled = timed(explanation(TOLD), TIMINGS)
    told = read_explanation(spelled.replace(b'"workspace"', b'"news":{"of":1},"workspace"'))
    assert (told.workspace, told.outcome, told.timings, told.grant) == ("prod", "hit", TIMINGS, TOLD.grant)
    assert told.features["user.age"].source is Source.CACHE
    assert msgspec.json.decode(spelled)["deadline"] == {"givenMs": 2000.0, "leftMs": 1999.0, "named": False}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"workspace":1}', b"\xff"])
def test_what_is_no_explanation_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_explanation(body)
