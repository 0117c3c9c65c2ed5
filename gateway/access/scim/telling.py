"""Resources as SCIM's JSON: whole, as items of a list, or only the attributes that are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scim2_models import Path, Resource
from sqlalchemy.orm import Session

from gateway.access.principals import PrincipalKind
from gateway.access.scim.kinds import Kind, Row, Said, Told
from gateway.access.scim.members import chunks, groups_of, members_of
from gateway.access.scim.places import Places
from gateway.access.scim.resources import GROUP_EXTENSION
from gateway.access.scim.roles import roles_of, spelled
from gateway.access.scim.texts import instant

ALWAYS = frozenset({"schemas", "id"})
RELATED = frozenset({"members", "groups", "roles"})
"""What items of a list leave out, unless it is asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which attributes, by their names; of one inside another, both names. `only` None: all that are not in `without`."""

    only: frozenset[tuple[str, ...]] | None = None
    without: frozenset[tuple[str, ...]] = frozenset()

    def related(self, *, in_list: bool) -> frozenset[str]:
        """Which of RELATED must be read."""
        if self.only is not None:
            return RELATED & {path[0] for path in self.only}
        return frozenset() if in_list else RELATED - {path[0] for path in self.without if len(path) == 1}

    def of(self, told: Told) -> Told:
        if self.only is not None:
            only = self.only
            return {name: kept for name, value in told.items() if (kept := _kept(name, value, only)) is not None}
        if self.without:
            return {name: kept for name, value in told.items() if (kept := _left(name, value, self.without)) is not None}
        return told


def wanted_paths(model: type[Resource[Any]], paths: Sequence[Path[Any]]) -> frozenset[tuple[str, ...]]:
    """The attributes that these paths name; one that there is not is as good as not named (RFC 7644 §3.9)."""
    found: set[tuple[str, ...]] = set()
    for path in paths:
        binding = path.resolve()
        if binding is None:
            extension = next((urn for urn in model.get_extension_models() if urn.lower() == str(path).lower()), None)
            found |= {(extension,)} if extension is not None else set()
            continue
        urn, _, dotted = binding.urn.rpartition(":")
        found.add((GROUP_EXTENSION, dotted) if urn == GROUP_EXTENSION else tuple(dotted.split(".")))
    return frozenset(found)


def tell(session: Session, kind: Kind[Row, Said], rows: Sequence[Row], places: Places, related: frozenset[str]) -> list[Told]:
    """Each row, with those of RELATED that there are of its kind."""
    ids = [row.id for row in rows]
    parts: dict[str, Mapping[str, Sequence[object]]] = {}
    if "roles" in related:
        held = {one: roles for some in chunks(ids) for one, roles in roles_of(session, kind.principal, some).items()}
        parts["roles"] = {identity: [spelled(one) for one in roles] for identity, roles in held.items()}
    if "members" in related and kind.principal is PrincipalKind.GROUP:
        parts["members"] = members_of(session, ids, places)
    if "groups" in related and kind.principal is not PrincipalKind.GROUP:
        parts["groups"] = groups_of(session, kind.principal, ids, places)
    return [_one(kind, row, places, {name: list(part.get(row.id, ())) for name, part in parts.items()}) for row in rows]


def _one(kind: Kind[Row, Said], row: Row, places: Places, parts: Mapping[str, Sequence[object]]) -> Told:
    said = {name: value for name, value in kind.tell(row).items() if value is not None and value != {}}
    return {
        "schemas": [schema for schema in kind.schemas if schema == kind.schemas[0] or schema in said],
        "id": row.id,
        **({"externalId": row.external_id} if row.external_id is not None else {}),
        **said,
        **parts,
        "meta": {
            "resourceType": kind.name,
            "created": instant(row.created_us),
            "lastModified": instant(row.updated_us),
            "location": places.of(kind.principal, row.id),
        },
    }


def _kept(name: str, value: object, only: frozenset[tuple[str, ...]]) -> object:
    if name in ALWAYS or (name,) in only:
        return value
    inside = {path[1] for path in only if len(path) > 1 and path[0] == name}
    return _inside(value, lambda part: part in inside) if inside else None


def _left(name: str, value: object, without: frozenset[tuple[str, ...]]) -> object:
    if name in ALWAYS:
        return value
    if (name,) in without:
        return None
    inside = {path[1] for path in without if len(path) > 1 and path[0] == name}
    return _inside(value, lambda part: part not in inside) if inside else value


def _inside(value: object, keep: Any) -> object:
    if isinstance(value, list):
        return [kept for one in value if (kept := _inside(one, keep)) is not None] or None
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if keep(name)} or None
    return value
