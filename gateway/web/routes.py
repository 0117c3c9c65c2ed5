"""The doors, in the order they are tried: read this first.

Tecton V1      POST /api/v1/feature-service/{get-features, get-features-batch, query-features, metadata}      (also under /v1)
Tecton V2      POST /api/v2/workspaces/{w}/feature-services/{fs}/{get-features, get-features-batch}, GET …/metadata
ingest         POST /ingest, /v2/ingest
named          POST /v1/workspaces/{w}/feature-services/{fs}/features, …/features:batch, …/features:query, GET …/schema
operations     GET /livez, /readyz, /openapi.json, /docs
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.origins.base import Origin
from gateway.serving.desk import Desk
from gateway.serving.doors import Doors
from gateway.serving.querying import WildcardReader
from gateway.serving.reader import FeatureReader
from gateway.web.docs import docs_routes
from gateway.web.endpoints import DescribeService, Document, Ingest, Live, QueryFeatures, ReadFeatures, Ready, as_metadata, as_schema
from gateway.web.openapi import document
from gateway.wire.requests import TectonReads

V1 = ("/api/v1/feature-service", "/v1/feature-service")
V2 = "/api/v2/workspaces/{workspace}/feature-services/{feature_service}"
NAMED = "/v1/workspaces/{workspace}/feature-services/{feature_service}"


@dataclass(frozen=True, slots=True)
class House:
    """What the doors open into."""

    reader: FeatureReader
    wildcards: WildcardReader
    desk: Desk
    origin: Origin
    doors: Doors
    tecton: TectonReads
    max_body_bytes: int
    version: str


class Directory:
    """The router, behind a table of the paths that have no parameters: those cost one look-up, not a regular expression per route."""

    def __init__(self, router: Router) -> None:
        self._router = router.app
        self._exact: dict[tuple[str, str], ASGIApp] = {}
        for route in router.routes:
            if isinstance(route, Route) and not route.param_convertors:
                for method in route.methods or ():
                    self._exact.setdefault((method, route.path), route.app)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hands back what the endpoint hands back: one coroutine less on every request."""
        app = self._exact.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if app is None:
            return self._router(scope, receive, send)
        scope["path_params"] = {}
        return app(scope, receive, send)


def routes(house: House) -> Sequence[BaseRoute]:
    def read(path: str, name: str) -> Route:
        door = getattr(house.doors, name)
        return Route(path, ReadFeatures(house.reader, door, path, house.max_body_bytes), methods=["POST"], name=f"{name} {path}")

    def query(path: str, name: str) -> Route:
        door = getattr(house.doors, name)
        return Route(path, QueryFeatures(house.wildcards, door, path, house.max_body_bytes), methods=["POST"], name=f"{name} {path}")

    metadata = DescribeService(house.desk, house.tecton.locator, as_metadata, house.max_body_bytes)
    schema = DescribeService(house.desk, house.tecton.locator, as_schema, house.max_body_bytes)
    return [
        *[read(f"{prefix}/get-features", "tecton_single") for prefix in V1],
        read(f"{NAMED}/features", "named_single"),
        read(f"{NAMED}/features:batch", "named_batch"),
        *[read(f"{prefix}/get-features-batch", "tecton_batch") for prefix in V1],
        read(f"{V2}/get-features", "tecton_single"),
        read(f"{V2}/get-features-batch", "tecton_batch"),
        *[query(f"{prefix}/query-features", "tecton_query") for prefix in V1],
        query(f"{NAMED}/features:query", "named_query"),
        *[Route(f"{prefix}/metadata", metadata, methods=["POST"]) for prefix in V1],
        Route(f"{V2}/metadata", metadata, methods=["GET"]),
        Route(f"{NAMED}/schema", schema, methods=["GET"]),
        *[Route(path, Ingest(house.desk, house.max_body_bytes), methods=["POST"]) for path in ("/ingest", "/v2/ingest")],
        Route("/livez", Live(), methods=["GET"]),
        Route("/readyz", Ready(house.origin), methods=["GET"]),
        Route("/openapi.json", Document(document(version=house.version)), methods=["GET"]),
        *docs_routes(),
    ]
