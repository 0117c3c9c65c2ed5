"""The doors, in the order they are tried: read this first.

Tecton V1      POST /api/v1/feature-service/{get-features, get-features-batch, query-features, metadata}      (also under /v1)
Tecton V2      POST /api/v2/workspaces/{w}/feature-services/{fs}/{get-features, get-features-batch}, GET …/metadata
ingest         POST /ingest, /v2/ingest
named          POST /v1/workspaces/{w}/feature-services/{fs}/features, …/features:batch, …/features:query, GET …/schema
explain        POST …/{fs}/features:explain
purge          POST …/{fs}/features:purge, DELETE …/{fs}/features, POST /v1/workspaces/{w}/features:purge, /v1/features:purge
operations     GET /livez, /readyz, /metrics, /v1/slo, /openapi.json, /docs; without a cluster /api/v1/observability/metrics. Probes,
               metrics and objectives may have a port of their own (`operations`); all but the probes are then there alone
administration where there is a store (`auth.store`): `gateway/web/admin/routes.py`, before all of these
forwarded      before a cluster: what else is below /api/, and /oauth2/default/v1/token (`gateway/origins/targets.py`)
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import UnknownRoute
from gateway.serving.desk import DecodePurge, Desk
from gateway.serving.doors import Doors
from gateway.serving.explaining import Explainer
from gateway.serving.querying import WildcardReader
from gateway.serving.reader import FeatureReader
from gateway.serving.readiness import Readiness
from gateway.settings import Paths
from gateway.web.docs import docs_routes
from gateway.web.endpoints import (
    DescribeService,
    Document,
    ExplainRead,
    Ingest,
    Live,
    PurgeFeatures,
    QueryFeatures,
    ReadFeatures,
    Ready,
    as_metadata,
    as_schema,
)
from gateway.web.forwarding import ForwardedPaths, Forwarding
from gateway.web.metrics.exposition import Format
from gateway.web.metrics.scrape import Scrape
from gateway.web.metrics.teller import Metrics
from gateway.web.objectives import Objectives
from gateway.web.openapi import document
from gateway.web.openapi.operations import OBSERVABILITY
from gateway.wire.purges import service_drop, service_purge, whole_purge, workspace_purge
from gateway.wire.requests import TectonReads

V1 = ("/api/v1/feature-service", "/v1/feature-service")
V2 = "/api/v2/workspaces/{workspace}/feature-services/{feature_service}"
WORKSPACE = "/v1/workspaces/{workspace}"
NAMED = f"{WORKSPACE}/feature-services/{{feature_service}}"


@dataclass(frozen=True, slots=True)
class House:
    """What the doors open into."""

    reader: FeatureReader
    explainer: Explainer
    wildcards: WildcardReader
    desk: Desk
    readiness: Readiness
    doors: Doors
    tecton: TectonReads
    metrics: Metrics
    max_body_bytes: int
    priority_header: str | None
    version: str
    forwarding: Forwarding | None = None
    """Before a cluster: the door to its other endpoints."""
    administered: Paths | None = None
    """Where the administrative doors are, which are put before these; None: there are none."""
    admit_metrics: Callable[[bytes | None], None] | None = None
    """Raises what refuses whoever sends this Authorization and may not see the metrics. None: everybody may."""
    operations_apart: bool = False
    """Whether probes and metrics have a port of their own."""


class SharedRoute(Route):
    """A route to whose path another one brings a method: whoever comes with neither is told both."""

    def __init__(self, path: str, endpoint: ASGIApp, *, method: str, beside: str, name: str) -> None:
        super().__init__(path, endpoint, methods=[method], name=name)
        self._allowed = f"{method}, {beside}"

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": self._allowed})
        return super().handle(scope, receive, send)


_AMBIGUOUS = re.compile(rb"\\|%(?:2f|5c|[01][0-9a-f]|7f)|/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


class Directory:
    """The router, behind a table of the paths that have no parameters: those cost one look-up, not a regular expression per route.

    Paths are taken as they stand. One that another reader might take for a different path leads nowhere: with dot segments, a backslash, or
    an escaped slash, dot segment, backslash or control character.
    """

    def __init__(self, router: Router) -> None:
        self._router = router.app
        self._exact: dict[tuple[str, str], Route] = {}
        for route in router.routes:
            if isinstance(route, Route) and not route.param_convertors:
                for method in route.methods or ():
                    self._exact.setdefault((method, route.path), route)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hands back what the endpoint hands back: one coroutine less on every request."""
        if _AMBIGUOUS.search(scope.get("raw_path") or b""):
            raise UnknownRoute
        route = self._exact.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            return self._router(scope, receive, send)
        scope["route"], scope["path_params"] = route, {}
        return route.app(scope, receive, send)


def operations(house: House) -> Sequence[Route]:
    return [*_probes(house), *_measured(house)]


def _probes(house: House) -> Sequence[Route]:
    return [Route("/livez", Live(), methods=["GET"]), Route("/readyz", Ready(house.readiness), methods=["GET"])]


def _measured(house: House) -> Sequence[Route]:
    def scrape(usual: Format) -> Scrape:
        return Scrape(house.metrics, house.max_body_bytes, house.admit_metrics, usual)

    own = [Route(OBSERVABILITY, scrape(Format.OPENMETRICS), methods=["GET"])] if house.forwarding is None else []
    return [
        Route("/metrics", scrape(Format.TEXT), methods=["GET"]),
        Route("/v1/slo", Objectives(house.metrics, house.max_body_bytes, house.admit_metrics), methods=["GET"]),
        *own,
    ]


def routes(house: House) -> Sequence[BaseRoute]:
    priority_header = None if house.priority_header is None else house.priority_header.lower().encode()

    def read(path: str, name: str, *, beside: str | None = None) -> Route:
        endpoint = ReadFeatures(house.reader, getattr(house.doors, name), path, house.max_body_bytes, priority_header)
        told = f"{name} {path}"
        if beside is not None:
            return SharedRoute(path, endpoint, method="POST", beside=beside, name=told)
        return Route(path, endpoint, methods=["POST"], name=told)

    def query(path: str, name: str) -> Route:
        door = getattr(house.doors, name)
        endpoint = QueryFeatures(house.wildcards, door, path, house.max_body_bytes, priority_header)
        return Route(path, endpoint, methods=["POST"], name=f"{name} {path}")

    def purge(path: str, decode: DecodePurge, method: str = "POST") -> Route:
        return Route(path, PurgeFeatures(house.desk, decode, house.max_body_bytes), methods=[method])

    forwarded = house.forwarding.groups if house.forwarding is not None else ()
    metadata = DescribeService(house.desk, house.tecton.locator, as_metadata, house.max_body_bytes)
    told = document(
        version=house.version,
        forwarded=forwarded,
        administered=house.administered,
        clustered=house.forwarding is not None,
        measured=not house.operations_apart,
    )
    schema = DescribeService(house.desk, house.tecton.locator, as_schema, house.max_body_bytes)
    return [
        *[read(f"{prefix}/get-features", "tecton_single") for prefix in V1],
        read(f"{NAMED}/features", "named_single", beside="DELETE"),
        read(f"{NAMED}/features:batch", "named_batch"),
        *[read(f"{prefix}/get-features-batch", "tecton_batch") for prefix in V1],
        read(f"{V2}/get-features", "tecton_single"),
        read(f"{V2}/get-features-batch", "tecton_batch"),
        *[query(f"{prefix}/query-features", "tecton_query") for prefix in V1],
        query(f"{NAMED}/features:query", "named_query"),
        Route(f"{NAMED}/features:explain", ExplainRead(house.explainer, house.max_body_bytes, priority_header), methods=["POST"]),
        *[Route(f"{prefix}/metadata", metadata, methods=["POST"]) for prefix in V1],
        Route(f"{V2}/metadata", metadata, methods=["GET"]),
        Route(f"{NAMED}/schema", schema, methods=["GET"]),
        *[Route(path, Ingest(house.desk, house.max_body_bytes), methods=["POST"]) for path in ("/ingest", "/v2/ingest")],
        purge(f"{NAMED}/features:purge", service_purge),
        purge(f"{NAMED}/features", service_drop, "DELETE"),
        purge(f"{WORKSPACE}/features:purge", workspace_purge),
        purge("/v1/features:purge", whole_purge),
        *_probes(house),
        *([] if house.operations_apart else _measured(house)),
        Route("/openapi.json", Document(told), methods=["GET"]),
        *docs_routes(),
        *([ForwardedPaths(house.forwarding)] if house.forwarding is not None else ()),
    ]
