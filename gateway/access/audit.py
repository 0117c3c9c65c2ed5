"""The audit log: who did what to what, when, and how it ended. Values and credentials never.

An entry is written in the transaction of the act it tells of, so neither is there without the other: an act whose entry cannot be written
does not happen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.principals import Actor
from gateway.access.roles import Action
from gateway.access.store.tables import AuditEntry

DONE, DENIED, REFUSED = "done", "denied", "refused"
"""How an act ended: as asked; not allowed; allowed, and not possible as asked."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Sought:
    """Which entries, newest first: everything that is given must fit. `before_id`: only older ones, for the next page."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    before_id: int | None = None
    limit: int = 100


def write(session: Session, at_us: int, actor: Actor, action: Action, target: str, outcome: str, detail: str = "") -> None:
    """`target`: what it was done to, as `kind/name`. `detail`: what else there is to know, without values."""
    kind, identity = ("shell", "") if actor.principal is None else (actor.principal.kind.value, actor.principal.id)
    session.add(
        AuditEntry(
            at_us=at_us,
            actor_kind=kind,
            actor_id=identity,
            actor_name=actor.name,
            credential=actor.credential,
            action=action.value,
            target=target,
            outcome=outcome,
            detail=detail,
            request_id=actor.request_id,
        )
    )
    session.flush()


def read(session: Session, sought: Sought) -> Sequence[AuditEntry]:
    """At most 1,000 entries. `actor` is an id or a name, `target` a whole target or the start of one that ends in `/`."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(max(1, min(sought.limit, _MOST)))
    if sought.actor is not None:
        query = query.where((AuditEntry.actor_id == sought.actor) | (AuditEntry.actor_name == sought.actor))
    if sought.action is not None:
        query = query.where(AuditEntry.action == sought.action)
    if sought.target is not None:
        whole = not sought.target.endswith("/")
        query = query.where(AuditEntry.target == sought.target if whole else AuditEntry.target.startswith(sought.target, autoescape=True))
    if sought.outcome is not None:
        query = query.where(AuditEntry.outcome == sought.outcome)
    if sought.since_us is not None:
        query = query.where(AuditEntry.at_us >= sought.since_us)
    if sought.until_us is not None:
        query = query.where(AuditEntry.at_us < sought.until_us)
    if sought.before_id is not None:
        query = query.where(AuditEntry.id < sought.before_id)
    return session.scalars(query).all()
