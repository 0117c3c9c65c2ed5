"""Who is told in which format: what scrapers really send, and what nobody should."""

import pytest

from gateway.web.metrics.exposition import Format
from gateway.web.metrics.negotiation import choose, takes_gzip

TEXT, OPEN = Format.TEXT, Format.OPENMETRICS
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (PROMETHEUS_2, OPEN),
        (PROMETHEUS_3, OPEN),
        ("application/openmetrics-text", OPEN),
        ('Application/OpenMetrics-Text; Version="1.0.0"', OPEN),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain;version=0.0.4;q=0.2,application/openmetrics-text;q=0.3", OPEN),
        ("text/plain;version=0.0.4;q=0.3,application/openmetrics-text;q=0.2", TEXT),
        ("text/plain,application/openmetrics-text", TEXT),
        ("application/openmetrics-text,text/plain", OPEN),
        ("*/*,application/openmetrics-text", OPEN),
        ("*/*;q=1,application/openmetrics-text;q=0.9", TEXT),
        ("application/*", OPEN),
        ("text/*, application/json", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=2", TEXT),
        ("application/openmetrics-text;q=much", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        ("*/*", TEXT),
        ("", TEXT),
        (",;,=;q", TEXT),
    ],
)
def test_the_heaviest_that_there_is_is_taken(accept: str, chosen: Format) -> None:
    assert choose(accept, TEXT) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"), [("", OPEN), ("*/*", OPEN), ("application/json", OPEN), ("text/plain", TEXT), ("text/*", TEXT)]
)
def test_who_asks_for_nothing_gets_what_is_usual(accept: str, chosen: Format) -> None:
    assert choose(accept, OPEN) is chosen


@pytest.mark.parametrize(
    ("accept_encoding", "taken"),
    [
        ("gzip", True),
        ("GZIP, deflate, br", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0", False),
        ("*;q=0", False),
        ("gzipped", False),
        ("", False),
    ],
)
def test_it_is_compressed_for_who_takes_it(accept_encoding: str, *, taken: bool) -> None:
    assert takes_gzip(accept_encoding) is taken
