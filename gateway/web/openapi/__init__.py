"""The OpenAPI 3.1 document of the doors. Owns how they are described; what they do is in `web/` beside it, and nothing here is imported
by it.

One module per group of doors (`tecton`, `named`, `wildcards`, `explaining`, `purges`, `ingest`, `operations`, `objectives`), each with
`paths()` and `schemas()`;
`admin_…`, of which there is an administration, and `forwarding` of the cluster's endpoints that are passed on;
`parts` holds what every operation is made of, `problems` the errors they share, `examples` the demo's answer in both spellings.
"""

from collections.abc import Sequence
from copy import deepcopy
from types import ModuleType
from typing import Any

from gateway.origins.targets import Group
from gateway.settings import Paths
from gateway.web.openapi import (
    admin_accounts,
    admin_audit,
    admin_scim,
    admin_secrets,
    admin_tokens,
    explaining,
    forwarding,
    ingest,
    named,
    objectives,
    operations,
    problems,
    purges,
    tecton,
    types,
    wildcards,
)
from gateway.web.openapi.parts import Node

_DOORS = (tecton, named, wildcards, explaining, purges, ingest, operations, objectives)
_OFFICES = (admin_accounts, admin_tokens, admin_scim, admin_secrets, admin_audit)


def document(
    *,
    server_url: str = "/",
    version: str,
    forwarded: Sequence[Group] = (),
    administered: Paths | None = None,
    clustered: bool = True,
    measured: bool = True,
) -> dict[str, Any]:
    """A new document, ready to be encoded. `server_url` is where callers reach the gateway; "/" means: where this document came from.
    `forwarded`: the groups of the cluster's endpoints that are passed on. `administered`: where the administrative doors are; None: there
    are none. `clustered`: whether the gateway is before a cluster. `measured`: whether metrics and objectives are where this document
    is."""
    offices = _OFFICES if administered is not None else ()
    doors = _DOORS if measured else tuple(door for door in _DOORS if door is not objectives)
    parts = {
        "openapi": "3.1.0",
        "info": _info(version),
        "servers": [{"url": server_url}],
        "tags": [*[tag for door in (*doors, *offices) for tag in door.TAGS], *forwarding.tags(forwarded)],
        "paths": _paths(doors, clustered=clustered, measured=measured) | forwarding.paths(forwarded) | _administrative(administered),
        "components": {
            "securitySchemes": _security_schemes()
            | forwarding.security_schemes(forwarded)
            | (admin_tokens.security_schemes() if offices else {}),
            "responses": problems.responses(),
            "schemas": {name: schema for room in (*doors, *offices, types, problems) for name, schema in room.schemas().items()},
        },
    }
    return deepcopy(parts)  # its parts are partly constants of the modules, which the caller must not be able to change


def _paths(doors: Sequence[ModuleType], *, clustered: bool, measured: bool) -> Node:
    """Two doors may share a path, each with methods of its own."""
    paths: Node = operations.measured(clustered=clustered) if measured else {}
    for door in doors:
        for path, item in door.paths().items():
            paths[path] = paths.get(path, {}) | item
    return paths


def _administrative(places: Paths | None) -> Node:
    return {path: item for office in _OFFICES for path, item in office.paths(places).items()} if places is not None else {}


def _info(version: str) -> Node:
    return {
        "title": "Feature-serving gateway",
        "version": version,
        "summary": "Features for model services, by name or in Tecton's own HTTP API.",
        "description": (
            "The gateway answers reads of feature services from its cache where that is honest and from the feature store where it is "
            "not.\n\n"
            "* The **Tecton doors** speak Tecton's HTTP API unchanged: a client only changes its URL.\n"
            "* The **named doors** take join keys and answer features by name.\n\n"
            "Bodies are read as JSON whatever their Content-Type says. Numbers are strict: an integer beyond int64, NaN, a duplicate key "
            "in an object and nesting deeper than 32 levels are refused with 400. Every error has the same body on every door but ingest: "
            "`error`, `message` (the same text) and `code` (a gRPC status code)."
        ),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }


def _security_schemes() -> Node:
    return {
        "TectonKey": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "An API key. The header holds `Tecton-key <key>`, both words; the case of the first does not matter.",
        },
        "Bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The access token of an OAuth service account. Ingest does not take it.",
        },
    }
