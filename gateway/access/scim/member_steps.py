"""PATCHes that only add members to a group, or take them away, each by its id: what identity providers send all day. They are done row by
row, and cost what they change, not what the group holds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scim2_models import PatchOp

from gateway.access.scim.resources import Member

_PATCH = str(PatchOp.__schema__)
_ONE = re.compile(r'members\[\s*value\s+eq\s+"([^"\\\x00-\x1f]+)"\s*\]', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Step:
    """`joins`: they become members; else they cease to be. Of those who leave, only the id counts."""

    joins: bool
    members: Sequence[Member]


def member_steps(body: object) -> Sequence[Step] | None:
    """The steps of such a PATCH, in their order; None for any other, and for what is no PATCH: that is for others to read."""
    if type(body) is not dict or body.keys() - {"schemas", "Operations"}:
        return None
    schemas, operations = body.get("schemas", [_PATCH]), body.get("Operations")
    if type(schemas) is not list or _PATCH not in schemas or type(operations) is not list or not operations:
        return None
    steps: list[Step] = []
    for operation in operations:
        step = _step(operation)
        if step is None:
            return None
        steps.append(step)
    return steps


def _step(operation: object) -> Step | None:
    if type(operation) is not dict or operation.keys() - {"op", "path", "value"}:
        return None
    op, path, value = (operation.get(name) for name in ("op", "path", "value"))
    if type(op) is not str or type(path) is not str or op.lower() not in {"add", "remove"}:
        return None
    joins = op.lower() == "add"
    one = _ONE.fullmatch(path)
    if one is not None and not joins and value is None:
        return Step(joins, [Member(value=one[1])])
    if path.lower() != "members" or type(value) is not list:
        return None
    named = [_member(entry, {"value", "type", "display", "$ref"} if joins else {"value", "$ref"}) for entry in value]
    members = [entry for entry in named if entry is not None]
    return Step(joins, members) if len(members) == len(named) > 0 else None


def _member(entry: object, known: set[str]) -> Member | None:
    """One that is named by its id; among those who leave, by nothing else."""
    if type(entry) is not dict or entry.keys() - known or not all(value is None or type(value) is str for value in entry.values()):
        return None
    if not entry.get("value") or ("type" not in known and entry.get("$ref")):
        return None
    return Member(value=entry["value"], type=entry.get("type"), display=entry.get("display"), ref=entry.get("$ref"))
