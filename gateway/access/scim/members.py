"""Who belongs to which group, as groups tell and change it and as members tell it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.scim.member_steps import Step
from gateway.access.scim.places import ENDPOINTS, NAMES, Places
from gateway.access.scim.resources import Member
from gateway.access.scim.texts import fitting
from gateway.access.store.tables import Group, Membership, ServiceAccount, User
from gateway.errors import InvalidScim

_AT_ONCE = 1_000
"""Ids in one query: both databases bound the variables of a statement."""
_MAY_BE = (PrincipalKind.USER, PrincipalKind.SERVICE_ACCOUNT)
_NOT_THERE = "members.value: not the id of a user or service account"


def members_of(session: Session, groups: Sequence[str], places: Places) -> Mapping[str, Sequence[Mapping[str, str]]]:
    """The members of each group, as SCIM tells them."""
    joined: list[Membership] = []
    for ids in chunks(groups):
        joined += session.scalars(
            select(Membership).where(Membership.group_id.in_(ids)).order_by(Membership.member_kind, Membership.member_id)
        )
    unnamed = {Principal(PrincipalKind(one.member_kind), one.member_id) for one in joined if one.display is None}
    names = _names(session, unnamed)
    told: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    for one in joined:
        member = Principal(PrincipalKind(one.member_kind), one.member_id)
        display = names.get(member, "") if one.display is None else one.display
        told[one.group_id].append(
            {"type": NAMES[member.kind], "display": display, "value": member.id, "$ref": places.of(member.kind, member.id)}
        )
    return told


def groups_of(session: Session, kind: PrincipalKind, ids: Sequence[str], places: Places) -> Mapping[str, Sequence[Mapping[str, str]]]:
    """The groups of each principal of a kind, as SCIM tells them."""
    told: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    for some in chunks(ids):
        chosen = (
            select(Membership.member_id, Group.id, Group.display_name)
            .join(Group, Group.id == Membership.group_id)
            .where(Membership.member_kind == kind.value, Membership.member_id.in_(some))
            .order_by(Group.display_name)
        )
        for member, group, name in session.execute(chosen):
            told[member].append({"type": "direct", "display": name, "value": group, "$ref": places.of(PrincipalKind.GROUP, group)})
    return told


def join(session: Session, group: str, said: Sequence[Member]) -> Sequence[str]:
    """Have exactly these be the members of a group; those who stay are called what they were. How many came and went, for the audit log.
    Raises InvalidScim."""
    held = {
        Principal(PrincipalKind(one.member_kind), one.member_id): one
        for one in session.scalars(select(Membership).where(Membership.group_id == group))
    }
    wanted = _resolved(session, said, held)
    for gone in held.keys() - wanted.keys():
        session.delete(held[gone])
    for member, display in wanted.items():
        if member not in held:
            session.add(Membership(group_id=group, member_kind=member.kind.value, member_id=member.id, display=display))
    came, went = len(wanted.keys() - held.keys()), len(held.keys() - wanted.keys())
    return _said(came, went)


def step(session: Session, group: str, steps: Sequence[Step]) -> Sequence[str]:
    """Have these become members, or cease to be, one step after the other. How many did, for the audit log. Raises InvalidScim."""
    came = went = 0
    for one in steps:
        if one.joins:
            came += _add(session, group, _resolved(session, one.members, {}))
        else:
            went += _drop(session, group, sorted({_id_of(member) for member in one.members}))
        session.flush()
    return _said(came, went)


def _add(session: Session, group: str, wanted: Mapping[Principal, str | None]) -> int:
    held: set[str] = set()
    for ids in chunks(sorted(one.id for one in wanted)):
        held |= set(session.scalars(select(Membership.member_id).where(Membership.group_id == group, Membership.member_id.in_(ids))))
    new = {member: display for member, display in wanted.items() if member.id not in held}
    session.add_all(
        Membership(group_id=group, member_kind=member.kind.value, member_id=member.id, display=display) for member, display in new.items()
    )
    return len(new)


def _drop(session: Session, group: str, gone: Sequence[str]) -> int:
    dropped = 0
    for ids in chunks(gone):
        for row in session.scalars(select(Membership).where(Membership.group_id == group, Membership.member_id.in_(ids))):
            session.delete(row)
            dropped += 1
    return dropped


def _said(came: int, went: int) -> Sequence[str]:
    return [f"members+{came}"] * bool(came) + [f"members-{went}"] * bool(went)


def leave_all(session: Session, member: Principal) -> None:
    session.execute(delete(Membership).where(Membership.member_kind == member.kind.value, Membership.member_id == member.id))


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _resolved(session: Session, said: Sequence[Member], held: Mapping[Principal, object]) -> Mapping[Principal, str | None]:
    """Whom these mean, and what each is called. Raises InvalidScim for one that is not there."""
    meant = [(_kind_of(one), _id_of(one), fitting(one.display, "members.display")) for one in said]
    known = {one.id: one.kind for one in held}
    there = {PrincipalKind.USER: User.id, PrincipalKind.SERVICE_ACCOUNT: ServiceAccount.id}
    strangers = sorted({identity for _, identity, _ in meant if identity not in known})
    for kind, column in there.items():
        for ids in chunks(strangers):
            known |= dict.fromkeys(session.scalars(select(column).where(column.in_(ids))), kind)
    wanted: dict[Principal, str | None] = {}
    for kind_said, identity, display in meant:
        if identity not in known or kind_said not in {None, known[identity]}:
            raise InvalidScim("invalidValue", _NOT_THERE)
        wanted[Principal(known[identity], identity)] = display
    return wanted


def _kind_of(one: Member) -> PrincipalKind | None:
    """As its type says, or the place that it refers to; None where neither does."""
    said = (one.type or "").lower()
    if not said:
        ref = str(one.ref or "")
        return next((kind for kind in _MAY_BE if f"/{ENDPOINTS[kind]}/" in ref), None)
    kind = next((kind for kind in _MAY_BE if NAMES[kind].lower() == said), None)
    if kind is None:
        raise InvalidScim("invalidValue", "members.type: a member is a User or a ServiceAccount")
    return kind


def _id_of(one: Member) -> str:
    identity = fitting(one.value or str(one.ref or "").rstrip("/").rpartition("/")[2], "members.value")
    if identity is None:
        raise InvalidScim("invalidValue", _NOT_THERE)
    return identity


def _names(session: Session, members: Iterable[Principal]) -> Mapping[Principal, str]:
    ids: defaultdict[PrincipalKind, list[str]] = defaultdict(list)
    for one in members:
        ids[one.kind].append(one.id)
    names: dict[Principal, str] = {}
    for some in chunks(ids[PrincipalKind.USER]):
        found = session.execute(select(User.id, User.user_name).where(User.id.in_(some)))
        names |= {Principal(PrincipalKind.USER, identity): name for identity, name in found}
    for some in chunks(ids[PrincipalKind.SERVICE_ACCOUNT]):
        found = session.execute(select(ServiceAccount.id, ServiceAccount.name).where(ServiceAccount.id.in_(some)))
        names |= {Principal(PrincipalKind.SERVICE_ACCOUNT, identity): name for identity, name in found}
    return names
