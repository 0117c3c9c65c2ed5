"""What can be done to users, groups and service accounts over SCIM. Each is the work of one judged act: only an admin's (`access.roles`).

A body is read after its sender was judged: whoever may not do it learns nothing of what was wrong with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from scim2_models import Resource
from sqlalchemy import inspect, select
from sqlalchemy.orm import InstanceState

from gateway.access.administration import Act
from gateway.access.giving import add_key
from gateway.access.lockout import refuse_lockout
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import EVERYTHING, Action
from gateway.access.scim import resources
from gateway.access.scim.kinds import Kind, Row, Said, Told
from gateway.access.scim.member_steps import Step, member_steps
from gateway.access.scim.members import join, leave_all, step
from gateway.access.scim.places import Places
from gateway.access.scim.queries import find, sought, wanted
from gateway.access.scim.reading import patched, read_resource
from gateway.access.scim.roles import assign, assigned, forget
from gateway.access.scim.telling import RELATED, Wanted, tell
from gateway.access.scim.texts import fitting
from gateway.access.store.tables import Group, ServiceAccount, User
from gateway.errors import AlreadyExists, InvalidScim, MalformedBody, NotFound
from gateway.wire.json import decode_strict

_OWN = frozenset({"id", "created_us", "updated_us", "credentials", "creator_kind", "creator_id"})
"""Columns of which nobody speaks over SCIM."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What every request says of its answer, and how this gateway is set. `query`: RFC 7644's parameters, not yet read. `roles`: whether
    roles can be changed over SCIM."""

    places: Places = field(default_factory=Places)
    query: Mapping[str, object] = field(default_factory=dict)
    roles: bool = True


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a request says beside the row itself; None: nothing, so it stays as it is."""

    roles: Sequence[resources.Role] | None
    members: Sequence[resources.Member] | None


def search(act: Act, kinds: Sequence[Kind[Any, Any]], asking: Asking) -> Told:
    """A ListResponse of those that fit."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    return find(act.session, kinds, sought(asking.query), asking.places)


def search_posted(act: Act, kinds: Sequence[Kind[Any, Any]], body: bytes, asking: Asking) -> Told:
    """The same, of what a SearchRequest asks (RFC 7644 §3.4.3)."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    given = decode_strict(body)
    if type(given) is not dict:
        raise MalformedBody("The body must be a JSON object.")
    return find(act.session, kinds, sought(given), asking.places)


def show(act: Act, kind: Kind[Row, Said], identity: str, asking: Asking) -> Told:
    """Raises NotFound."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    return _told(act, kind, _row(act, kind, identity), asking)


def create(act: Act, kind: Kind[Row, Said], identity: str, body: bytes, asking: Asking) -> Told:
    """Raises AlreadyExists, InvalidScim. A service account's API key is in this answer and in no other."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    said = read_resource(kind.model, body)
    if isinstance(said, resources.User) and said.active is False:
        raise InvalidScim("invalidValue", "active: a user that is not active is not kept, so none can be made")
    row = kind.make(identity, act.actor.principal, act.now_us)
    _write(act, kind, row, said, _parts(said, asking, whole=False))
    key = add_key(act.session, identity, act.now_us) if kind.principal is PrincipalKind.SERVICE_ACCOUNT else None
    told = _told(act, kind, row, asking)
    return told if key is None else told | {"apiKey": key}


def replace(act: Act, kind: Kind[Row, Said], identity: str, body: bytes, asking: Asking) -> Told:
    """What a PUT leaves out is unset, but for roles, members and extensions, which stay. Raises NotFound, AlreadyExists, InvalidScim."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    row = _row(act, kind, identity)
    said = read_resource(kind.model, body)
    return _rewritten(act, kind, row, said, _parts(said, asking, whole=False), asking)


def modify(act: Act, kind: Kind[Row, Said], identity: str, body: bytes, asking: Asking) -> Told:
    """All of a PATCH's operations, in their order, or none. Raises NotFound, AlreadyExists, InvalidScim."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    row = _row(act, kind, identity)
    steps = member_steps(decode_strict(body)) if kind.principal is PrincipalKind.GROUP else None
    if steps is not None:
        return _stepped(act, kind, row, steps, asking)
    [whole] = tell(act.session, kind, [row], asking.places, RELATED)
    before = kind.model.model_validate(whole)
    held = list(getattr(before, "roles", None) or ())
    said = patched(before, body)
    if not asking.roles and (getattr(said, "roles", None) or []) != held:
        raise InvalidScim("mutability", "roles: cannot be changed over SCIM here")
    return _rewritten(act, kind, row, said, _parts(said, asking, whole=True), asking)


def _stepped(act: Act, kind: Kind[Row, Said], row: Row, steps: Sequence[Step], asking: Asking) -> Told:
    done = step(act.session, row.id, steps)
    if done:
        row.updated_us = act.now_us
    act.detail = " ".join(done)
    refuse_lockout(act)
    return _told(act, kind, row, asking)


def remove(act: Act, kind: Kind[Row, Said], identity: str) -> None:
    """With its roles, memberships and credentials. Raises NotFound, FailedPrecondition."""
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    _remove(act, kind, _row(act, kind, identity))


def _rewritten(act: Act, kind: Kind[Row, Said], row: Row, said: Said, parts: _Parts, asking: Asking) -> Told:
    if isinstance(said, resources.User) and said.active is False:
        told = _told(act, kind, row, asking)
        _remove(act, kind, row)
        return told | ({"active": False} if "active" in told else {})
    _write(act, kind, row, said, parts)
    refuse_lockout(act)
    return _told(act, kind, row, asking)


def _row(act: Act, kind: Kind[Row, Said], identity: str) -> Row:
    row = act.session.get(kind.table, identity)
    if row is None:
        raise NotFound(f"There is no {kind.name} with this id.")
    return row


def _told(act: Act, kind: Kind[Row, Said], row: Row, asking: Asking) -> Told:
    shown: Wanted = wanted(kind, asking.query)
    act.session.flush()
    [told] = tell(act.session, kind, [row], asking.places, shown.related(in_list=False))
    return shown.of(told)


def _parts(said: Resource[Any], asking: Asking, *, whole: bool) -> _Parts:
    """`whole`: what is not there was taken away, and not left out."""
    empty: Sequence[Any] | None = () if whole else None
    roles = getattr(said, "roles", None)
    members = getattr(said, "members", None) if isinstance(said, resources.Group) else None
    return _Parts((empty if roles is None else roles) if asking.roles else None, empty if members is None else members)


def _write(act: Act, kind: Kind[Row, Said], row: Row, said: Said, parts: _Parts) -> None:
    kind.write(row, said)
    row.external_id = fitting(said.external_id, "externalId")
    column, name = kind.unique
    _refuse_taken(act, kind, row, column, name)
    changed = _changed(row)
    principal = Principal(kind.principal, row.id)
    act.session.add(row)
    act.session.flush()
    done = list(assign(act.session, principal, assigned(parts.roles))) if parts.roles is not None else []
    if kind.principal is PrincipalKind.GROUP and parts.members is not None:
        done += join(act.session, row.id, parts.members)
    if changed or done:
        row.updated_us = act.now_us
    act.detail = " ".join([*changed, *done])


def _changed(row: User | Group | ServiceAccount) -> Sequence[str]:
    """The columns that say something else than what is stored; of a new row, those that say anything."""
    histories = {one.key: one.history for one in cast("InstanceState[Any]", inspect(row)).attrs}
    return sorted(
        name
        for name, history in histories.items()
        if name not in _OWN and (list(history.added or ()) or [None]) != (list(history.deleted or ()) or [None]) and history.has_changes()
    )


def _refuse_taken(act: Act, kind: Kind[Row, Said], row: Row, column: str, name: str) -> None:
    value = cast("str", getattr(row, column))
    if not value:
        raise InvalidScim("invalidValue", f"{name}: is required")
    with act.session.no_autoflush:
        other = act.session.scalars(select(kind.table.id).where(kind.columns[column] == value, kind.table.id != row.id)).first()
    if other is not None:
        raise AlreadyExists(f"{name}: another {kind.name} has this one.")


def _remove(act: Act, kind: Kind[Row, Said], row: Row) -> None:
    principal = Principal(kind.principal, row.id)
    forget(act.session, principal)
    leave_all(act.session, principal)
    act.session.delete(row)
    act.detail = "deleted"
    refuse_lockout(act)
