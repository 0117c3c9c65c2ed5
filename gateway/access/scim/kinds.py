"""A kind of resource: how its rows are told, written and searched. `users`, `groups` and `service_accounts` are the three."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from scim2_models import Resource
from sqlalchemy import ColumnElement

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.scim.filters import Several
from gateway.access.scim.places import ENDPOINTS, NAMES
from gateway.access.store.tables import Group, ServiceAccount, User

Row = TypeVar("Row", bound=User | Group | ServiceAccount)
Said = TypeVar("Said", bound=Resource[Any])
Told = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kind(Generic[Row, Said]):
    """`unique`: the column of the name that no two of them share, and what SCIM calls it. `make`: a new row, from its id, its maker and
    the time in microseconds; `tell`: what a row itself says, without what belongs to all kinds; `write`: have a new or old row say what
    was said, and nothing of roles and members."""

    principal: PrincipalKind
    table: type[Row]
    model: type[Said]
    schemas: tuple[str, ...]
    unique: tuple[str, str]
    columns: Mapping[str, ColumnElement[Any]]
    several: Mapping[str, Several]
    make: Callable[[str, Principal | None, int], Row]
    tell: Callable[[Row], Told]
    write: Callable[[Row, Said], None]

    @property
    def name(self) -> str:
        return NAMES[self.principal]

    @property
    def endpoint(self) -> str:
        return ENDPOINTS[self.principal]

    def target(self, identity: str) -> str:
        """What the audit log calls one of them."""
        return f"{self.principal.value}/{identity}"
