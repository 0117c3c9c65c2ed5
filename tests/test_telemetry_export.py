"""A gateway in a process of its own and a real receiver: every span and attribute that the README promises arrives, and nothing else."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.demo import definitions
from gateway.telemetry import ATTRIBUTES
from tests.doors.flights import NAMED, named
from tests.harness.clock import wait_until
from tests.harness.cluster import ALICE, BOB, SLO, Act, Cluster, html
from tests.harness.collector import Collector, GrpcCollector, grpc_collector
from tests.harness.houses import authorization
from tests.harness.processes import Command, plain_environment
from tests.serving.payments import CONTEXT, FRAUD

CANARY = "c4n4ry"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
QUERY = "/api/v1/feature-service/query-features"
PAYMENT = {"joinKeys": {"user_id": f"user-{CANARY}", "merchant_id": 7}, "requestContext": CONTEXT, "include": ["source"]}


@contextmanager
def serving(folder: Path, *arguments: str, **variables: str) -> Iterator[Command]:
    environment = plain_environment(FEATURE_GATEWAY_TELEMETRY__SAMPLE_RATIO="1", **variables)
    with Command(folder, "serve", "--port", "0", *arguments, environment=environment) as process:
        yield process


@contextmanager
def before_a_cluster(folder: Path, cluster: Cluster, *arguments: str, **variables: str) -> Iterator[Command]:
    settings = {
        "GUARD__RETRIES": "0",
        "GUARD__HEDGING": "false",
        "GUARD__BREAKER_SHARE": "0",
        "CACHE__TTL_S": "0.5",
        "CACHE__STALE_IF_ERROR_S": "600",
        "CACHE__JITTER": "0",
        "CACHE__EARLY_REFRESH": "0",
    }
    told = {f"FEATURE_GATEWAY_{name}": value for name, value in settings.items()}
    with serving(folder, "--origin", "tecton", "--tecton-url", cluster.url, *arguments, **told, **variables) as process:
        yield process


def attributes(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


def read_everything(cluster: Cluster, url: str) -> None:
    """A miss and a hit under the caller's span, a batch, errors of the caller and of the cluster, a bypass, a query, a forwarded call, and
    what is stale."""
    slo = SLO | {"sloEligible": False, "sloIneligibilityReasons": ["UNKNOWN"]}
    with httpx.Client(base_url=url, headers=authorization(ALICE), timeout=30.0) as client:

        def post(path: str, body: Any, **headers: str) -> int:
            return client.post(path, json=body, headers=headers).status_code

        cluster.act("get-features", Act(edit=lambda document: document["metadata"].update(sloInfo=slo)))
        assert [post(f"{FRAUD}/features", PAYMENT, traceparent=SAMPLED) for _ in range(2)] == [200, 200]
        rows = [{"joinKeys": {CANARY: 1}}, {key: PAYMENT[key] for key in ("joinKeys", "requestContext")}]
        assert post(f"{FRAUD}/features:batch", {"rows": rows}) == 200
        assert post(f"{FRAUD}/features", {"joinKeys": {CANARY: 1}}) == 400
        cluster.act("get-features", html(503))
        assert post(f"{FRAUD}/features", PAYMENT | {"joinKeys": {"user_id": CANARY, "merchant_id": 1}}) == 503
        assert post(f"{FRAUD}/features", PAYMENT | {"maxAgeMs": 0}) == 200
        query = {"workspaceName": "prod", "featureServiceName": "visits", "joinKeyMap": {"user_id": CANARY}, "requestContextMap": CONTEXT}
        assert post(QUERY, {"params": query}) == 200
        cluster.act(CANARY, Act(raw=b"HTTP/1.1 204 No Content\r\n\r\n"))  # the end of a path, which no span tells
        assert client.get(f"/api/v1/secrets-service/scopes/{CANARY}").status_code == 204
        assert post(f"/v1/workspaces/{CANARY}/feature-services/fraud/features", PAYMENT) >= 400
        cluster.always("get-features", html(503))
        wait_until(lambda: "stale" in client.post(f"{FRAUD}/features", json=PAYMENT).text, "something stale")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_span_and_attribute_arrives_at_a_receiver_and_nothing_else(cluster: Cluster, tmp_path: Path, protocol: str) -> None:
    variables = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_SERVICE_NAME": "ours", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    collector: Collector | GrpcCollector
    with (
        grpc_collector() if protocol == "grpc" else Collector() as collector,
        before_a_cluster(tmp_path, cluster, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **variables) as process,
    ):
        read_everything(cluster, process.url)
        assert process.stop() == 0
    received = collector.received
    assert {name for span in received.spans for name in attributes(span)} == set(ATTRIBUTES)
    assert not [span for span in received.spans if span.events or span.links or span.status.message or span.trace_state]
    told = {attributes(span).get("feature_gateway.cache.outcome") for span in received.spans}
    assert told == {None, "miss", "hit", "bypass", "stale"}
    hold_parents_to_be_right(received.spans)
    assert received.scopes == {"feature-gateway"}
    for resource in received.resources:
        assert (resource["service.name"], resource["service.version"]) == ("ours", version("feature-gateway"))
        assert {name.split(".")[0] for name in resource} == {"service", "telemetry"}
    for body in received.bodies:
        assert not [secret for secret in (CANARY, ALICE, BOB, "canary") if secret.encode() in body]
    assert process.stderr == ""


def hold_parents_to_be_right(spans: list[Span]) -> None:
    """Each fetch is a child of a server span of its trace; the reads that had a caller's span are its children, all others roots."""
    servers = {span.span_id: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
    for span in spans:
        if span.kind == Span.SPAN_KIND_CLIENT:
            assert span.name == "origin.fetch"
            assert servers[span.parent_span_id].trace_id == span.trace_id
        elif span.parent_span_id:
            assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    asked = [span for span in servers.values() if span.parent_span_id]
    assert [attributes(span)["feature_gateway.cache.outcome"] for span in asked] == ["miss", "hit"]


def serving_flights(folder: Path, data_dir: Path, **variables: str) -> AbstractContextManager[Command]:
    settings = {
        "FEATURE_GATEWAY_AUTH__MODE": "open",
        "FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS": "gateway.demo.definitions:REPOSITORY",
        "FEATURE_GATEWAY_FEATURE_SERVER__AS_OF": definitions.AS_OF,
    }
    return serving(folder, "--data-dir", str(data_dir), **settings, **variables)


def test_what_waits_to_be_sent_is_sent_when_the_gateway_stops(demo_copy: Path, tmp_path: Path) -> None:
    with Collector() as collector:
        variables = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        with serving_flights(tmp_path / "served", demo_copy, **variables) as process:
            assert httpx.post(f"{process.url}{NAMED}/features", json=named()).status_code == 200
            assert collector.spans == []
        assert len(collector.spans) == 2


def test_spans_are_printed_where_that_is_wanted(demo_copy: Path, tmp_path: Path) -> None:
    with serving_flights(tmp_path / "served", demo_copy, OTEL_TRACES_EXPORTER="console") as process:
        assert httpx.post(f"{process.url}{NAMED}/features", json=named()).status_code == 200
        assert process.stop() == 0
    printed = process.stdout
    decoded, _ = json.JSONDecoder().raw_decode(printed[printed.index("{") :])
    assert decoded["name"] == "origin.fetch"


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_receiver_that_hangs_does_not_keep_the_gateway_from_ending(demo_copy: Path, tmp_path: Path, protocol: str) -> None:
    collector: Collector | GrpcCollector
    with grpc_collector("hang") if protocol == "grpc" else Collector("hang") as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        with serving_flights(tmp_path / "served", demo_copy, **told, OTEL_BSP_SCHEDULE_DELAY="10") as process:
            assert httpx.post(f"{process.url}{NAMED}/features", json=named()).status_code == 200
            wait_until(lambda: collector.received.calls == 1, "an export that hangs")
            assert process.stop() == 0  # which waits 20 s at most
        assert "are lost" in process.stderr
        assert "Traceback" not in process.stderr


def test_each_worker_sends_its_own_spans(cluster: Cluster, tmp_path: Path) -> None:
    """Exporters' threads do not live through a fork: each worker makes its own."""
    with (
        Collector() as collector,
        before_a_cluster(
            tmp_path,
            cluster,
            "--workers",
            "2",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="20",
            FEATURE_GATEWAY_SERVER__DRAIN_S="0",
        ) as process,
    ):
        url = process.url

        def instances() -> set[str]:
            with httpx.Client(base_url=url, headers=authorization(ALICE), timeout=30.0) as client:
                assert client.post(f"{FRAUD}/features", json=PAYMENT).status_code == 200
            return {resource["service.instance.id"] for resource in collector.received.resources}

        wait_until(lambda: len(instances()) == 2, "spans of both workers")
        assert process.stop() == 0
