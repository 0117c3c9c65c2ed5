"""The administrative doors, in the order they are tried.

audit          GET /v1/audit
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route

from gateway.access.administration import Administration
from gateway.access.gates import KeyTable
from gateway.web.admin.audit import ReadAudit
from gateway.web.admin.door import AdminDoor, Operation


@dataclass(frozen=True, slots=True)
class Offices:
    """What the administrative doors open into."""

    gate: KeyTable
    administration: Administration
    max_body_bytes: int


def admin_routes(offices: Offices) -> Sequence[BaseRoute]:
    def door(method: str, path: str, operation: Operation) -> Route:
        return Route(path, AdminDoor(offices.gate, operation, offices.max_body_bytes), methods=[method])

    return [door("GET", "/v1/audit", ReadAudit(offices.administration))]
