"""The administrative doors, in the order they are tried.

audit          GET /v1/audit
scim           GET, POST /api/scim/v2/{Users, Groups, ServiceAccounts}, POST …/.search, GET, PUT, PATCH, DELETE …/{id},
               GET /api/scim/v2/{ServiceProviderConfig, ResourceTypes, Schemas}
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route

from gateway.access.administration import Administration
from gateway.access.gates import KeyTable
from gateway.web.admin.audit import ReadAudit
from gateway.web.admin.door import AdminDoor, Operation
from gateway.web.admin.scim import ScimOffice, scim_routes


@dataclass(frozen=True, slots=True)
class Offices:
    """What the administrative doors open into."""

    gate: KeyTable
    administration: Administration
    max_body_bytes: int
    scim_roles: bool = True


def admin_routes(offices: Offices) -> Sequence[BaseRoute]:
    def door(method: str, path: str, operation: Operation) -> Route:
        return Route(path, AdminDoor(offices.gate, operation, offices.max_body_bytes), methods=[method])

    return [
        door("GET", "/v1/audit", ReadAudit(offices.administration)),
        *scim_routes(ScimOffice(offices.gate, offices.administration, offices.max_body_bytes, offices.scim_roles)),
    ]
