"""An OTLP receiver on a socket: what exporters really send."""

import asyncio
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness.sockets import HttpServer, Request, http_reply


class Collector(HttpServer):
    """Takes `POST /v1/traces` as protobuf."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.spans: list[Span] = []
        self.service_names: set[str] = set()
        self.received = threading.Event()

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.requests.append(request)
        if request.path != "/v1/traces":
            writer.write(http_reply(404, b"", {}))
            return True
        export = ExportTraceServiceRequest.FromString(request.body)
        for group in export.resource_spans:
            named = [pair.value.string_value for pair in group.resource.attributes if pair.key == "service.name"]
            self.service_names.update(named)
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        writer.write(http_reply(200, ExportTraceServiceResponse().SerializeToString(), {"content-type": "application/x-protobuf"}))
        self.received.set()
        return True
