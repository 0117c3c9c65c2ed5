"""What a client looks for: filter, order, page and attributes (RFC 7644 §3.4.2), answered by the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError
from scim2_models import Path, Resource, SCIMException
from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from gateway.access.scim.filters import Condition, Searchable, condition
from gateway.access.scim.kinds import Kind, Row, Said, Told
from gateway.access.scim.places import Places
from gateway.access.scim.reading import refusal
from gateway.access.scim.resources import PARAMETERS
from gateway.access.scim.telling import Wanted, tell, wanted_paths
from gateway.errors import InvalidScim

MOST = 10_000
"""Resources in one answer, whatever is asked for. `totalResults` says how many there are."""
_FURTHEST = 10**12
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True, slots=True)
class Page:
    """`start`: from 1. `count` None: as many as there may be."""

    start: int = 1
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Sought:
    """`sort_by`: an attribute's path; None: in the order they were made. `query`: all that was asked."""

    filter: str | None = None
    page: Page = Page()
    sort_by: str | None = None
    descending: bool = False
    query: Mapping[str, object] = field(default_factory=dict)


def sought(query: Mapping[str, object]) -> Sought:
    """From a query string, or the members of a SearchRequest. Parameters that are not RFC 7644's are no business of ours. Raises
    InvalidScim."""
    order = _text(query, "sortOrder") or "ascending"
    if order.lower() not in {"ascending", "descending"}:
        raise InvalidScim("invalidValue", "sortOrder: ascending or descending")
    start, count = _whole(query, "startIndex"), _whole(query, "count")
    return Sought(
        _text(query, "filter"),
        Page(min(max(1, 1 if start is None else start), _FURTHEST), None if count is None else max(0, count)),
        _text(query, "sortBy"),
        order.lower() == "descending",
        query,
    )


def wanted(kind: Kind[Row, Said], query: Mapping[str, object]) -> Wanted:
    """Which attributes a query asks for. Raises InvalidScim."""
    given = {name: query[name] for name in ("attributes", "excludedAttributes") if query.get(name) is not None}
    if not given:
        return Wanted()
    try:
        read = PARAMETERS[kind.model].model_validate(given)
        only, without = (
            None if paths is None else wanted_paths(cast("type[Resource[Any]]", kind.model), cast("Sequence[Path[Any]]", paths))
            for paths in (read.attributes, read.excluded_attributes)
        )
    except (ValidationError, SCIMException) as error:
        raise refusal(error) from None
    return Wanted(only, without or frozenset())


def find(session: Session, kinds: Sequence[Kind[Any, Any]], asked: Sought, places: Places) -> Told:
    """A ListResponse of all kinds that are asked, one after the other. Of several, those that cannot be filtered so have none that fits
    (§3.4.2.1). Raises InvalidScim."""
    shown = {kind.name: wanted(kind, asked.query) for kind in kinds}
    conditions = _conditions(kinds, asked)
    totals = [session.scalars(select(func.count()).select_from(kind.table).where(where)).one() for kind, where in conditions]
    skip, room = asked.page.start - 1, MOST if asked.page.count is None else min(asked.page.count, MOST)
    items: list[Told] = []
    for (kind, where), total in zip(conditions, totals, strict=True):
        if skip < total and room > len(items):
            chosen = select(kind.table).where(where).order_by(*_order(kind, asked, alone=len(kinds) == 1))
            rows = session.scalars(chosen.offset(skip).limit(room - len(items))).all()
            items += [shown[kind.name].of(one) for one in tell(session, kind, rows, places, shown[kind.name].related(in_list=True))]
        skip = max(0, skip - total)
    return {
        "schemas": [LIST],
        "totalResults": sum(totals),
        "startIndex": asked.page.start,
        "itemsPerPage": len(items),
        "Resources": items,
    }


def _conditions(kinds: Sequence[Kind[Any, Any]], asked: Sought) -> Sequence[tuple[Kind[Any, Any], Condition]]:
    if asked.filter is None:
        return [(kind, true()) for kind in kinds]
    found: list[tuple[Kind[Any, Any], Condition]] = []
    for number, kind in enumerate(kinds):
        try:
            found.append((kind, condition(Searchable(kind.model, kind.columns, kind.several), asked.filter)))
        except InvalidScim:
            if not found and number == len(kinds) - 1:
                raise
    return found


def _order(kind: Kind[Row, Said], asked: Sought, *, alone: bool) -> Sequence[ColumnElement[Any]]:
    """What has no such value comes last, and first where the order is turned round (§3.4.2.3). `alone`: no other kind is asked, that may
    have the attribute instead."""
    created, tie = kind.columns["meta.created"], kind.columns["id"]
    column = None if asked.sort_by is None else _sorting(kind, asked.sort_by)
    if column is None:
        if asked.sort_by is not None and alone:
            raise InvalidScim("invalidPath", "sortBy: not an attribute that this kind of resource can be sorted by")
        return [created.desc(), tie.desc()] if asked.descending else [created, tie]
    keys = (column.is_(None), column, tie)
    return [key.desc() for key in keys] if asked.descending else keys


def _sorting(kind: Kind[Row, Said], path: str) -> ColumnElement[Any] | None:
    try:
        binding = cast("Path[Any]", cast("Any", Path)[kind.model](path)).resolve()
    except SCIMException:
        binding = None
    if binding is not None:
        name = binding.field_name if binding.sub_field_name is None else f"{binding.field_name}.{binding.sub_field_name}"
        column = kind.columns.get(name)
        if binding.field_name == "emails" and binding.sub_field_name in {None, "value"}:
            column = kind.several["emails"].columns["value"]
        if column is not None:
            return column if binding.case_exact or binding.target_type is not str else func.lower(column)
    return None


def _text(query: Mapping[str, object], name: str) -> str | None:
    value = query.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidScim("invalidValue", f"{name}: must be a string")
    return value or None


def _whole(query: Mapping[str, object], name: str) -> int | None:
    value = query.get(name)
    if value == "":
        return None
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise InvalidScim("invalidValue", f"{name}: must be a whole number")
        return (-1 if value != digits else 1) * int(digits[:19])
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise InvalidScim("invalidValue", f"{name}: must be a whole number")
    return value
