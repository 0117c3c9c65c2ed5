"""OTLP receivers on sockets, over HTTP and over gRPC: what exporters really send. Each takes spans, or does as bad ones do."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness.clock import PATIENCE_S, Hold
from tests.harness.sockets import HttpServer, Request, http_reply

Manner = Literal["take", "hang", "slow", "busy", "throttle", "cut"]
"""`hang`: until it is released, then takes. `slow`: takes after a tenth of a second. `busy`, `throttle`: 503 and 429, in gRPC UNAVAILABLE
and RESOURCE_EXHAUSTED. `cut`: ends the connection."""
SLOW_S = 0.1


class Received:
    """What came in. `calls` counts those that were not taken too."""

    def __init__(self) -> None:
        self.calls = 0
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.scopes: set[str] = set()
        self.bodies: list[bytes] = []

    def take(self, export: ExportTraceServiceRequest) -> None:
        self.bodies.append(export.SerializeToString())
        for group in export.resource_spans:
            self.resources.append({pair.key: pair.value.string_value for pair in group.resource.attributes})
            for scope in group.scope_spans:
                self.scopes.add(scope.scope.name)
                self.spans += scope.spans


class Collector(HttpServer):
    """Takes `POST /v1/traces` as protobuf, packed or not."""

    def __init__(self, manner: Manner = "take") -> None:
        super().__init__()
        self.manner: Manner = manner
        self.received = Received()
        self.requests: list[Request] = []
        self._hold = Hold()

    @property
    def spans(self) -> list[Span]:
        return self.received.spans

    def release(self) -> None:
        self._hold.release()

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.requests.append(request)
        self.received.calls += 1
        if request.path != "/v1/traces":
            writer.write(http_reply(404, b"", {}))
            return True
        match self.manner:
            case "hang":
                await self._hold.reach()
            case "slow":
                await asyncio.sleep(SLOW_S)
            case "busy" | "throttle":
                writer.write(http_reply(503 if self.manner == "busy" else 429, b"", {}))
                return True
            case "cut":
                return False
        self.received.take(ExportTraceServiceRequest.FromString(request.body))
        writer.write(http_reply(200, ExportTraceServiceResponse().SerializeToString(), {"content-type": "application/x-protobuf"}))
        return True


class GrpcCollector(trace_service_pb2_grpc.TraceServiceServicer):
    """The same, as a service of gRPC. `cut` is UNAVAILABLE here."""

    def __init__(self, manner: Manner = "take") -> None:
        self.manner: Manner = manner
        self.received = Received()
        self.url = ""
        self.metadata: list[dict[str, str]] = []
        self._over = threading.Event()

    def release(self) -> None:
        self._over.set()

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 - the protocol's name
        self.received.calls += 1
        self.metadata.append(dict(context.invocation_metadata()))
        match self.manner:
            case "hang":
                self._over.wait(PATIENCE_S)
            case "slow":
                self._over.wait(SLOW_S)
            case "busy" | "cut":
                context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
            case "throttle":
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
        self.received.take(request)
        return ExportTraceServiceResponse()


@contextmanager
def grpc_collector(manner: Manner = "take") -> Iterator[GrpcCollector]:
    collector = GrpcCollector(manner)
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        collector.release()
        server.stop(None).wait(PATIENCE_S)
