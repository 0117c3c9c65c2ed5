"""Spans: whose child, when at all, saying what, and really arriving at a collector."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.app import span_exporter
from gateway.demo import definitions
from gateway.errors import OriginUnavailable
from gateway.settings import SettingsError
from gateway.telemetry import ATTRIBUTES, Sampling
from tests.doors.flights import KEYS, NAMED, V1, V2, named, read_named, tecton, tecton_batch
from tests.harness.clock import wait_until
from tests.harness.cluster import ALICE, BOB, SLO, Act, Cluster, html
from tests.harness.collector import Collector
from tests.harness.houses import House, cluster_settings, demo_settings, open_house
from tests.harness.processes import Command, plain_environment
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


def test_metadata_ingest_and_operations_have_no_span(demo: House) -> None:
    for path in (f"{V2}/metadata", f"{NAMED}/schema", "/livez", "/readyz", "/openapi.json", "/docs"):
        assert demo.client.get(path, headers={"traceparent": SAMPLED}).status_code == 200
    assert demo.spans() == []


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}],
)
def test_nothing_is_exported_where_nobody_is_named_to_receive_it(environment: dict[str, str]) -> None:
    assert span_exporter(environment) is None


def test_spans_can_be_printed(environment: None) -> None:
    del environment
    assert isinstance(span_exporter({"OTEL_TRACES_EXPORTER": "console"}), ConsoleSpanExporter)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", None])
def test_the_exporters_protocol_is_chosen_by_the_standard_variable(environment: None, protocol: str | None) -> None:
    del environment
    chosen = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    exporter = span_exporter(chosen if protocol is None else chosen | {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert exporter is not None
    assert (".grpc." in type(exporter).__module__) is (protocol == "grpc")
    exporter.shutdown()


def test_an_exporter_that_is_not_known_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER: zipkin is not one of otlp, console, none"):
        span_exporter({"OTEL_TRACES_EXPORTER": "zipkin"})


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def serving(folder: Path, data_dir: Path, **variables: str) -> Command:
    environment = plain_environment(
        FEATURE_GATEWAY_AUTH__MODE="open",
        FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS="gateway.demo.definitions:REPOSITORY",
        FEATURE_GATEWAY_FEATURE_SERVER__AS_OF=definitions.AS_OF,
        FEATURE_GATEWAY_TELEMETRY__SAMPLE_RATIO="1",
        **variables,
    )
    return Command(folder, "serve", "--port", "0", "--data-dir", str(data_dir), environment=environment)


def test_spans_arrive_at_a_collector(demo_copy: Path, tmp_path: Path, collector: Collector) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "features-of-ours", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with serving(tmp_path / "served", demo_copy, **variables) as process:
        reply = httpx.post(f"{process.url}{NAMED}/features", json=named(), headers={"traceparent": SAMPLED})
        assert reply.status_code == 200
        wait_until(lambda: len(collector.spans) == 2, "two spans")
    fetch, server = sorted(collector.spans, key=lambda span: span.kind, reverse=True)
    assert server.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == PARENT
    assert fetch.parent_span_id == server.span_id
    assert collector.service_names == {"features-of-ours"}
    assert {pair.key for span in collector.spans for pair in span.attributes} <= set(ATTRIBUTES)
    sent = b"".join(request.body for request in collector.requests)
    assert b"flight_delay" in sent
    for value in KEYS.values():
        assert value.encode() not in sent.replace(b"planned_flight", b"")


def test_what_waits_to_be_sent_is_sent_when_the_gateway_stops(demo_copy: Path, tmp_path: Path, collector: Collector) -> None:
    variables = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with serving(tmp_path / "served", demo_copy, **variables) as process:
        assert httpx.post(f"{process.url}{NAMED}/features", json=named()).status_code == 200
        assert collector.spans == []
    assert len(collector.spans) == 2


def test_a_collector_that_is_away_disturbs_no_read(demo_copy: Path, tmp_path: Path, collector: Collector) -> None:
    collector.stop()
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with serving(tmp_path / "served", demo_copy, **variables) as process:
        assert [httpx.post(f"{process.url}{NAMED}/features", json=named()).status_code for _ in range(5)] == [200] * 5
