"""Spans: whose child, when at all, and saying what."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from gateway.errors import OriginUnavailable
from gateway.telemetry import ATTRIBUTES, Sampling
from tests.doors.flights import KEYS, NAMED, V1, V2, named, read_named, tecton, tecton_batch
from tests.harness.cluster import ALICE, BOB, SLO, Act, Cluster, html
from tests.harness.houses import OPERATOR, House, cluster_settings, demo_settings, open_house
from tests.harness.offices import open_offices
from tests.serving.payments import FRAUD, payment

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def short(span: ReadableSpan) -> dict[str, Any]:
    """The gateway's own attributes, without their prefix."""
    prefix = "feature_gateway."
    return {name.removeprefix(prefix): value for name, value in attributes(span).items() if name.startswith(prefix)}


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Trace, span, parent: as W3C spells them."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{span.parent.span_id:016x}" if span.parent is not None else None


def test_a_read_is_a_server_span_under_the_callers_and_each_fetch_a_client_span_under_it(demo: House) -> None:
    assert demo.client.post(f"{NAMED}/features", json=named(), headers={"traceparent": SAMPLED}).status_code == 200
    fetch, server = demo.spans()
    assert (server.kind, server.name) == (
        SpanKind.SERVER,
        f"POST {'/v1/workspaces/{workspace}/feature-services/{feature_service}'}/features",
    )
    assert (fetch.kind, fetch.name) == (SpanKind.CLIENT, "origin.fetch")
    trace, span, parent = ids(server)
    assert (trace, parent) == (TRACE, PARENT)
    assert ids(fetch)[0] == TRACE
    assert ids(fetch)[2] == span
    assert server.resource.attributes["service.name"] == "feature-gateway"
    assert server.start_time is not None
    assert fetch.start_time is not None
    assert server.start_time <= fetch.start_time


def test_a_hit_is_a_server_span_alone_with_the_same_attributes(demo: House) -> None:
    for _ in range(2):
        read_named(demo.client)
    _, miss, hit = demo.spans()
    assert hit.kind is SpanKind.SERVER
    assert hit.name == miss.name
    assert set(attributes(hit)) == set(attributes(miss)) - {"feature_gateway.request_id"}  # hits have none
    assert hit.end_time is not None
    assert hit.start_time is not None
    assert 0 < hit.end_time - hit.start_time < 1e9


def test_ids_are_not_drawn_from_random_numbers_that_others_may_seed(demo: House) -> None:
    """As hypothesis does, which also finds fault with whoever draws from them meanwhile."""
    before = random.getstate()
    try:
        for _ in range(3):
            random.seed(0)
            read_named(demo.client)
            assert random.getstate() == random.Random(0).getstate()
    finally:
        random.setstate(before)
    servers = [span for span in demo.spans() if span.kind is SpanKind.SERVER]
    assert len({ids(span)[:2] for span in servers}) == 3


def test_the_origin_gets_the_client_span_as_its_parent(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        house.client.post(f"{FRAUD}/features", json=payment(), headers={"traceparent": SAMPLED})
        [fetch] = house.spans("origin.fetch")
        trace, span, _ = ids(fetch)
        assert cluster.asked()[0].headers["traceparent"] == f"00-{trace}-{span}-01"


def test_a_read_that_is_not_sampled_has_no_span_and_its_header_goes_on_as_it_came(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        for _ in range(2):
            assert house.client.post(f"{FRAUD}/features", json=payment(), headers={"traceparent": UNSAMPLED}).status_code == 200
        assert house.spans() == []
        assert cluster.asked()[0].headers["traceparent"] == UNSAMPLED


def test_other_headers_of_the_caller_do_not_reach_the_cluster(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        sent = {"baggage": "a=b", "Cookie": "c=d", "X-Forwarded-For": "10.0.0.1", "tracestate": "x=y", "User-Agent": "somebody/1"}
        house.client.post(f"{FRAUD}/features", json=payment(), headers=sent)
        received = cluster.asked()[0].headers
        assert not {"baggage", "cookie", "x-forwarded-for"} & set(received)
        assert received["user-agent"] == "feature-gateway"


@pytest.mark.parametrize(
    ("ratio", "header", "spans"),
    [
        (0, None, 0),
        (1, None, 2),
        (0, SAMPLED, 2),
        (1, UNSAMPLED, 0),
        (0, f"00-{TRACE}-{PARENT}-03", 2),
        (0, f"00-{TRACE}-{PARENT}-02", 0),
        (1, "garbage", 2),
        (1, f"00-{'0' * 32}-{PARENT}-01", 2),
        (1, f"00-{TRACE}-{'0' * 16}-01", 2),
        (1, f"ff-{TRACE}-{PARENT}-01", 2),
        (1, f"00-{TRACE.upper()}-{PARENT}-01", 2),
    ],
)
def test_the_callers_flag_decides_and_else_the_ratio(demo_dir: Path, ratio: float, header: str | None, spans: int) -> None:
    with open_house(demo_settings(demo_dir, telemetry={"sample_ratio": ratio})) as house:
        headers = {} if header is None else {"traceparent": header}
        assert house.client.post(f"{NAMED}/features", json=named(), headers=headers).status_code == 200
        assert len(house.spans()) == spans
        understood = header is not None and header.startswith(f"00-{TRACE}-{PARENT}")
        assert all((ids(span)[0] == TRACE) is understood for span in house.spans())


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        (None, None, Sampling(0.25)),
        ("", "", Sampling(0.25)),
        ("unheard_of", None, Sampling(0.25)),
        ("always_on", None, Sampling(1.0, follow_parent=False)),
        ("always_off", None, Sampling(0.0, follow_parent=False)),
        ("traceidratio", "0.5", Sampling(0.5, follow_parent=False)),
        ("parentbased_always_on", None, Sampling(1.0)),
        ("parentbased_always_off", None, Sampling(0.0)),
        ("parentbased_traceidratio", "0.125", Sampling(0.125)),
        ("traceidratio", "7", Sampling(1.0, follow_parent=False)),
        ("traceidratio", "-7", Sampling(0.0, follow_parent=False)),
        ("traceidratio", "half", Sampling(1.0, follow_parent=False)),
        ("traceidratio", None, Sampling(1.0, follow_parent=False)),
    ],
)
def test_samplers_are_named_as_opentelemetry_names_them(name: str | None, argument: str | None, expected: Sampling) -> None:
    assert Sampling.named(name, argument, 0.25) == expected


def test_the_standard_variables_win_over_the_setting(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), environment={"OTEL_TRACES_SAMPLER": "always_off"}) as house:
        house.client.post(f"{NAMED}/features", json=named(), headers={"traceparent": SAMPLED})
        assert house.spans() == []


def test_the_outcome_and_its_counts(demo: House) -> None:
    read_named(demo.client)
    demo.clock.advance(7)
    read_named(demo.client)
    read_named(demo.client, joinKeys=KEYS | {"tailnum": "N-NEVER-FLEW"})
    demo.client.post(f"{V1[0]}/get-features", json=tecton(requestOptions={"readFromCache": False}))
    demo.client.post(f"{V1[0]}/get-features-batch", json=tecton_batch(KEYS, KEYS))
    wanted = ("cache.outcome", "cache.views_hit", "cache.views_missed", "cache.views_computed", "cache.oldest_age", "rows")
    told = [tuple(short(span)[name] for name in wanted) for span in demo.spans("POST")]
    assert told == [
        ("miss", 0, 4, 1, 0.0, 1),
        ("hit", 4, 0, 1, 7.0, 1),
        ("partial", 3, 1, 1, 7.0, 1),
        ("bypass", 0, 4, 1, 0.0, 1),
        ("hit", 8, 0, 2, 0.0, 2),
    ]
    missing = [short(span)["features.missing"] for span in demo.spans("POST")]
    assert missing[0] == missing[1] == 0
    assert missing[2] > 0


def test_workspace_and_service_are_told_once_the_schema_has_confirmed_them(demo: House) -> None:
    read_named(demo.client)
    demo.client.post("/v1/workspaces/nowhere/feature-services/canary/features", json=named())
    known, unknown = demo.spans("POST")
    assert (short(known)["workspace"], short(known)["feature_service"]) == ("prod", "flight_delay")
    assert not {"workspace", "feature_service"} & set(short(unknown))
    assert "canary" not in unknown.to_json()


@pytest.mark.parametrize(
    ("fail", "code", "kind", "fault", "is_error"),
    [
        ("bad", 400, "InvalidRequest", "caller", False),
        ("malformed", 400, "MalformedBody", "caller", False),
        ("origin", 503, "OriginUnavailable", "origin", True),
        ("unforeseen", 500, "InternalError", "gateway", True),
    ],
)
def test_an_error_is_told_by_its_class_and_by_who_broke_it(
    demo: House,
    fail: str,
    code: int,
    kind: str,
    fault: str,
    is_error: bool,  # noqa: FBT001 - a row of the table
) -> None:
    if fail in ("origin", "unforeseen"):
        demo.origin.fails = [OriginUnavailable("down") if fail == "origin" else ZeroDivisionError("canary")]
    content = b"{" if fail == "malformed" else json.dumps(named(joinKeys={} if fail == "bad" else KEYS)).encode()
    assert demo.client.post(f"{NAMED}/features", content=content).status_code == code
    server = demo.spans("POST")[-1]
    told = attributes(server)
    assert (told["error.type"], told["feature_gateway.fault"], told["http.response.status_code"]) == (kind, fault, code)
    assert (server.status.status_code is StatusCode.ERROR) is is_error
    assert not server.events  # a recorded exception would carry its text
    assert server.status.description is None
    assert told["feature_gateway.slo.met"] is not is_error
    for fetch in demo.spans("origin.fetch"):
        assert attributes(fetch)["error.type"] == ("ZeroDivisionError" if fail == "unforeseen" else kind)
        assert fetch.status.status_code is StatusCode.ERROR


def test_the_objective_is_a_setting_and_is_missed_by_what_takes_longer(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, telemetry={"sample_ratio": 1}, slo={"latency_ms": 0.001})) as house:
        read_named(house.client)
        [span] = house.spans("POST")
        assert short(span)["slo.objective"] == pytest.approx(1e-6)
        assert short(span)["slo.met"] is False


@pytest.fixture
def house(cluster: Cluster) -> Iterator[House]:
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        yield house


def test_the_origins_slo_info_is_told(cluster: Cluster, house: House) -> None:
    slo = SLO | {"sloEligible": False, "sloIneligibilityReasons": ["REDIS_LATENCY_LIMIT_EXCEEDED"]}
    cluster.act("get-features", Act(edit=lambda document: document["metadata"].update(sloInfo=slo)))
    house.client.post(f"{FRAUD}/features", json=payment())
    [fetch] = house.spans("origin.fetch")
    told = short(fetch)
    assert told["origin"] == "tecton"
    assert told["slo.eligible"] is False
    assert told["slo.ineligibility_reasons"] == ("REDIS_LATENCY_LIMIT_EXCEEDED",)
    assert told["slo.server_time"] == SLO["serverTimeSeconds"]
    assert told["slo.slo_server_time"] == SLO["sloServerTimeSeconds"]
    assert told["slo.store_max_latency"] == SLO["storeMaxLatency"]
    assert told["slo.store_response_size"] == SLO["storeResponseSizeBytes"]


def test_every_attribute_that_spans_carry_is_in_the_table_and_every_one_of_the_table_occurs(cluster: Cluster, house: House) -> None:
    slo = SLO | {"sloEligible": False, "sloIneligibilityReasons": ["UNKNOWN"]}
    cluster.act("get-features", Act(edit=lambda document: document["metadata"].update(sloInfo=slo)), html(503))
    house.client.post(f"{FRAUD}/features", json=payment())
    house.client.post(f"{FRAUD}/features", json=payment())
    house.client.post(f"{FRAUD}/features", json=payment(maxAgeMs=0))
    house.client.post(f"{FRAUD}/features:batch", json={"rows": [{"joinKeys": {}}, {"joinKeys": {}}]})
    with house.as_caller(BOB) as bob:
        bob.post(f"{FRAUD}/features", json=payment())
    seen = {name for span in house.spans() for name in attributes(span)}
    assert seen == set(ATTRIBUTES)


def test_operations_have_no_span(demo: House) -> None:
    for path in ("/livez", "/readyz", "/openapi.json", "/docs"):
        assert demo.client.get(path, headers={"traceparent": SAMPLED}).status_code == 200
    assert demo.client.post("/livez", headers={"traceparent": SAMPLED}).status_code == 405
    assert demo.spans() == []


def test_metadata_ingest_and_purges_have_a_span_each_with_the_routes_template(demo: House) -> None:
    service = "/v1/workspaces/{workspace}/feature-services/{feature_service}"
    with demo.as_caller(OPERATOR) as operator:
        for method, path, status in (
            ("GET", f"{V2}/metadata", 200),
            ("POST", f"{V1[0]}/metadata", 400),
            ("GET", f"{NAMED}/schema", 200),
            ("POST", "/ingest", 400),
            ("POST", f"{NAMED}/features:purge", 200),
            ("POST", "/v1/features:purge", 400),
        ):
            reply = operator.request(method, path, content=b"{}", headers={"traceparent": SAMPLED, "X-Request-Id": "mine"})
            assert reply.status_code == status, reply.text
    spans = demo.spans()
    assert [span.name for span in spans] == [
        "GET /api/v2/workspaces/{workspace}/feature-services/{feature_service}/metadata",
        "POST /api/v1/feature-service/metadata",
        f"GET {service}/schema",
        "POST /ingest",
        f"POST {service}/features:purge",
        "POST /v1/features:purge",
    ]
    for span, status in zip(spans, (200, 400, 200, 400, 200, 400), strict=True):
        told = attributes(span)
        assert (span.kind, ids(span)[0], ids(span)[2]) == (SpanKind.SERVER, TRACE, PARENT)
        assert (told["http.response.status_code"], told["feature_gateway.request_id"]) == (status, "mine")
        assert told.get("feature_gateway.fault") == (None if status == 200 or told["http.route"] == "/ingest" else "caller")
        assert set(told) <= set(ATTRIBUTES)
        assert span.end_time is not None
        assert span.start_time is not None
        assert 0 < span.end_time - span.start_time < 1e10


def test_a_path_that_leads_nowhere_and_a_method_of_the_callers_own_are_not_told(demo: House) -> None:
    assert demo.client.request("CANARY", "/canary/path").status_code == 404
    [span] = demo.settle_spans(1)
    assert span.name == "_OTHER"
    assert attributes(span)["error.type"] == "UnknownRoute"
    assert "canary" not in span.to_json().lower()


def test_an_outage_is_told_in_the_span_of_metadata(demo: House) -> None:
    demo.origin.metadata_fails = [OriginUnavailable("down")]
    assert demo.client.get(f"{NAMED}/schema").status_code == 503
    [span] = demo.settle_spans(1)
    told = attributes(span)
    assert (told["error.type"], told["feature_gateway.fault"]) == ("OriginUnavailable", "origin")
    assert span.status.status_code is StatusCode.ERROR


def test_other_requests_are_sampled_as_reads_are(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, telemetry={"sample_ratio": 0})) as house:
        assert house.client.get(f"{NAMED}/schema").status_code == 200
        assert house.client.get(f"{NAMED}/schema", headers={"traceparent": UNSAMPLED}).status_code == 200
        assert house.spans() == []
        assert house.client.get(f"{NAMED}/schema", headers=[("traceparent", SAMPLED)] * 2).status_code == 200
        assert house.spans() == []
        assert house.client.get(f"{NAMED}/schema", headers={"traceparent": SAMPLED}).status_code == 200
        assert len(house.spans()) == 1


def test_administrative_requests_have_a_span_that_names_nobody(demo_dir: Path, tmp_path: Path) -> None:
    with open_offices(demo_dir, tmp_path, ("root", "admin")) as (house, keys), house.as_caller(keys["root"]) as root:
        assert root.post("/api/v1/metadata-service/create-service-account", json={"name": "c4n4ry"}).status_code == 200
        assert root.get("/api/scim/v2/Users/c4n4ry").status_code == 404
        spans = house.spans()
    assert [(span.name, attributes(span)["http.response.status_code"]) for span in spans] == [
        ("POST /api/v1/metadata-service/create-service-account", 200),
        ("GET /api/scim/v2/Users/{id}", 404),
    ]
    told = "".join(span.to_json() for span in spans)
    assert not [secret for secret in ("c4n4ry", "sa-root", keys["root"]) if secret in told]
