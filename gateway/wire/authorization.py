"""What callers send to the Authorization service (contract §8): assignments of roles, and questions about them.

camelCase and snake_case are both taken, unknown fields ignored, null and an empty list mean unset. What the words mean is not known here.
Errors: InvalidRequest and MalformedBody, which name the field and never show its value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import InvalidRequest
from gateway.wire.fields import read_fields, spellings, string, texts
from gateway.wire.json import decode_strict

MOST_ASSIGNMENTS = 100
_ASSIGNMENTS = spellings({"assignments": "assignments"})
_NAMES = ("resource_type", "resource_id", "role", "principal_type", "principal_id")
_ASSIGNMENT = spellings({name: name for name in _NAMES})
_PRINCIPALS = spellings({name: name for name in ("resource_type", "resource_id", "roles", "principal_types")})
_ROLES = spellings({name: name for name in ("principal_type", "principal_id", "resource_type", "resource_ids", "roles")})


@dataclass(frozen=True, slots=True)
class SaidAssignment:
    resource_type: str
    resource_id: str
    role: str
    principal_type: str
    principal_id: str


@dataclass(frozen=True, slots=True)
class SaidPlace:
    """Who holds a role there."""

    resource_type: str
    resource_id: str
    roles: Sequence[str]
    principal_types: Sequence[str]


@dataclass(frozen=True, slots=True)
class SaidPrincipal:
    """What a principal holds."""

    principal_type: str
    principal_id: str
    resource_type: str
    resource_ids: Sequence[str]
    roles: Sequence[str]


def said_assignments(body: bytes) -> Sequence[SaidAssignment]:
    given = read_fields(decode_strict(body), _ASSIGNMENTS, "The body").get("assignments")
    if type(given) is not list or not 0 < len(given) <= MOST_ASSIGNMENTS:
        raise InvalidRequest(f"assignments must be a list of 1 to {MOST_ASSIGNMENTS} assignments.")
    told = [read_fields(one, _ASSIGNMENT, "An assignment") for one in given]
    return [SaidAssignment(*[_needed(one, name) for name in _NAMES]) for one in told]


def said_place(body: bytes) -> SaidPlace:
    fields = read_fields(decode_strict(body), _PRINCIPALS, "The body")
    return SaidPlace(
        _needed(fields, "resource_type"), _needed(fields, "resource_id"), texts(fields, "roles"), texts(fields, "principal_types")
    )


def said_principal(body: bytes) -> SaidPrincipal:
    fields = read_fields(decode_strict(body), _ROLES, "The body")
    kind, identity, resource = (_needed(fields, name) for name in ("principal_type", "principal_id", "resource_type"))
    return SaidPrincipal(kind, identity, resource, texts(fields, "resource_ids"), texts(fields, "roles"))


def _needed(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        raise InvalidRequest(f"{name} is missing.")
    return string(fields[name], name)
