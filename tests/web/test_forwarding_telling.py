"""What a forwarded call leaves behind: ids, spans, counters, log lines, and nothing of what it carried."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from tests.harness.cluster import ALICE
from tests.harness.houses import House, cluster_settings, open_house
from tests.harness.upstreams import Upstream, raw, reply
from tests.web.forwarded import MADE, SECRET, TRACEPARENT, ask, request, talk


def test_a_sampled_call_has_a_span_of_its_route_and_nothing_else_of_it(
    upstream: Upstream, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    upstream.script = reply("200 OK", b'{"value":"s3cr3t-canary"}')
    target = "/api/v1/secrets-service/scopes/scope-canary/keys/key-canary?query=canary"
    told = ask(house, "PUT", target, b'{"value":"s3cr3t-canary"}', ("traceparent", TRACEPARENT), ("X-Request-Id", "r.1"))
    assert told.header("x-request-id") == "r.1"
    [span] = house.settle_spans(1)
    assert span.name == "PUT /api/v1/secrets-service/{path}"
    assert dict(span.attributes or {}) == {
        "http.request.method": "PUT",
        "http.route": "/api/v1/secrets-service/{path}",
        "http.response.status_code": 200,
        "feature_gateway.request_id": "r.1",
    }
    assert upstream.last.header("x-request-id") == "r.1"
    assert upstream.last.header("traceparent") == f"{TRACEPARENT[:36]}{span.context.span_id:016x}-01"
    metrics = house.client.get("/metrics").text
    for text in (span.to_json(), caplog.text, metrics):
        assert "canary" not in text


def test_a_failed_call_is_told_without_what_it_was(upstream: Upstream, house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    upstream.script = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncanary-of-the-answer", keep=False)
    talk(house, request("PUT", "/api/scim/v2/Users/canary?x=canary", body=b"canary"))
    [span] = house.settle_spans(1)
    assert (span.attributes or {})["error.type"] == "OriginUnavailable"
    assert not span.status.is_ok
    upstream.script = raw(b"canary\r\n\r\n", keep=False)
    told = ask(house, "PUT", "/api/scim/v2/Users/canary?x=canary", b"canary")
    assert told.status == 503
    for text in (told.body.decode(), caplog.text, *[span.to_json() for span in house.settle_spans(2)]):
        assert "canary" not in text.replace(ALICE, "")


def test_an_unforeseen_failure_is_an_incident_of_this_request(
    upstream: Upstream, house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr("gateway.origins.forward.Forwarder._request", fail)
    told = ask(house, "GET", SECRET, None, ("X-Request-Id", "mine"))
    assert (told.status, told.header("x-request-id")) == (500, "mine")
    [logged] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert logged.endswith("(request mine)")
    assert "canary" not in logged
    assert upstream.heard == []


TRACESTATE = "rojo=00f067aa0ba902b7,congo@t61=ucfJifl5GOE"


def untraced(upstream: Upstream, **telemetry: Any) -> dict[str, Any]:
    return cluster_settings(upstream.url, telemetry={"sample_ratio": 0.0, **telemetry})


def test_a_trace_that_is_believed_goes_on_and_what_is_malformed_does_not(upstream: Upstream) -> None:
    unsampled = TRACEPARENT[:-1] + "0"
    with open_house(untraced(upstream), ALICE) as house:
        ask(house, "GET", SECRET, None, ("traceparent", unsampled), ("tracestate", TRACESTATE), ("baggage", "a=b"))
        assert (upstream.last.header("traceparent"), upstream.last.header("tracestate")) == (unsampled, TRACESTATE)
        assert "baggage" not in upstream.last.names
        for parent, state in [
            ("00-zz", TRACESTATE),
            (unsampled, "no state"),
            (unsampled, "a=b,c"),
            (unsampled, "A=b"),
            (unsampled, "a=" + "b" * 600),
        ]:
            ask(house, "GET", SECRET, None, ("traceparent", parent), ("tracestate", state))
            assert "tracestate" not in upstream.last.names
            assert upstream.last.header("traceparent") == (unsampled if parent == unsampled else None)


def test_a_trace_that_is_not_believed_decides_nothing_and_goes_nowhere(upstream: Upstream) -> None:
    with open_house(untraced(upstream, trust_traceparent="never"), ALICE) as house:
        ask(house, "GET", SECRET, None, ("traceparent", TRACEPARENT), ("tracestate", TRACESTATE))
        assert {"traceparent", "tracestate"}.isdisjoint(upstream.last.names)
        assert house.spans() == []
    with open_house(untraced(upstream, trust_traceparent="never", sample_ratio=1.0), ALICE) as house:
        ask(house, "GET", SECRET, None, ("traceparent", TRACEPARENT), ("tracestate", TRACESTATE))
        [span] = house.settle_spans(1)
        assert span.parent is None
        assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACEPARENT[3:35]]
        assert TRACEPARENT[3:35] not in (upstream.last.header("traceparent") or "")
        assert "tracestate" not in upstream.last.names


IDS: Sequence[tuple[str, bool]] = [
    ("a", True),
    ("A-1_b.c", True),
    ("x" * 128, True),
    ("x" * 129, False),
    ("", False),
    ("a b", False),
    ("a,b", False),
    ("é", False),
]


@pytest.mark.parametrize(("sent", "taken"), IDS)
def test_a_callers_request_id_is_taken_where_it_is_one(upstream: Upstream, house: House, sent: str, *, taken: bool) -> None:
    told = ask(house, "GET", SECRET, None, ("X-Request-Id", sent.encode("latin-1").decode("latin-1")))
    known = upstream.last.header("x-request-id")
    assert told.header("x-request-id") == known
    assert (known == sent) is taken
    assert taken or MADE.fullmatch(known or "")


def test_a_request_id_that_comes_twice_is_none(upstream: Upstream, house: House) -> None:
    told = ask(house, "GET", SECRET, None, ("X-Request-Id", "a"), ("X-Request-Id", "b"))
    assert MADE.fullmatch(told.header("x-request-id") or "")
    assert upstream.last.header("x-request-id") == told.header("x-request-id")


def test_no_two_requests_have_the_same_made_id(upstream: Upstream, house: House) -> None:
    for _ in range(20):
        ask(house, "GET", SECRET)
    assert len({heard.header("x-request-id") for heard in upstream.heard}) == 20
