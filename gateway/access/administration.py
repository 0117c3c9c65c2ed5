"""Every administrative act: judged, done and written down, in one transaction, or not at all.

    act    a change, or the reading of a secret: audited, whatever comes of it
    look   the reading of anything else: judged, not audited

The work is given an `Act`, and must ask it (`require`) before it returns: work that asked nothing is taken for work that may not be done.
What it asks is judged by what the store says at that moment, not by anybody's copy.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import update
from sqlalchemy.orm import Session

from gateway.access import audit
from gateway.access.denials import Denials
from gateway.access.principals import Actor, Principal, PrincipalKind
from gateway.access.roles import NOBODY, SHELL, Action, Resource, Standing, may
from gateway.access.standings import standing_of
from gateway.access.store.database import Database
from gateway.access.store.tables import Change, ServiceAccount, User
from gateway.errors import AccessUnavailable, CallerError, GatewayError, InternalError, PermissionDenied, Sealed, Unseen

T = TypeVar("T")
_DONE = "The change was made, but the store of access control cannot be read any more: this gateway follows it once it can be."


@dataclass(slots=True)
class Act:
    """One act under way, inside its transaction. `detail` goes to the audit log: what else there is to know, without values."""

    session: Session
    actor: Actor
    standing: Standing
    now_us: int
    detail: str = ""
    judged: bool = field(default=False, init=False)

    def require(self, action: Action, resource: Resource) -> None:
        """Raises PermissionDenied."""
        self.judged = True
        if not self.may(action, resource):
            raise PermissionDenied

    def may(self, action: Action, resource: Resource) -> bool:
        """For what is shown or left out, by who asks."""
        return may(self.standing, action, resource)

    def only_judged_by_what_is_shown(self) -> None:
        """For work that leaves out whatever the actor may not see, and so has nothing to refuse."""
        self.judged = True


Work = Callable[[Act], T]


class Administration:
    """`wall_s`: the time of day, in seconds since 1970. `changed` is awaited after every act that changed who may do what. `denials`: which
    denied acts are written down; None: all."""

    def __init__(
        self,
        database: Database,
        *,
        wall_s: Callable[[], float] = time.time,
        changed: Callable[[], Awaitable[None]] | None = None,
        denials: Denials | None = None,
    ) -> None:
        self.database = database
        self.changed = changed
        self._wall_s = wall_s
        self._denials = denials

    async def act(self, actor: Actor, action: Action, target: str, work: Work[T], *, changes_access: bool = True) -> T:
        """What the work returns, once it is committed. `action` and `target` are what the audit log says; `changes_access`: whether who
        may do what is another afterwards. Raises what the work raises, and AccessUnavailable. Whoever stops waiting for it stops nothing:
        it is done, or refused, and written down."""
        done = await self.database.apart(lambda: self.act_at_once(actor, action, target, work, changes_access=changes_access))
        if changes_access and self.changed is not None:
            try:
                await self.changed()
            except AccessUnavailable as error:
                raise AccessUnavailable(_DONE) from error
        return done

    async def look(self, actor: Actor, work: Work[T]) -> T:
        """What the work returns. It changes nothing. Raises what the work raises, and AccessUnavailable."""

        def judged(session: Session) -> T:
            act = self._begin(session, actor)
            return _judged(act, work(act))

        return await self.database.run(judged, writes=False)

    def act_at_once(self, actor: Actor, action: Action, target: str, work: Work[T], *, changes_access: bool = True) -> T:
        """`act` without an event loop, for commands."""
        try:
            return self.database.transact(lambda session: self._done(session, actor, action, target, work, changes_access=changes_access))
        except (CallerError, Sealed) as error:
            why = type(error)
            self.database.transact(lambda session: self._refused(session, actor, action, target, why))
            raise

    def _done(self, session: Session, actor: Actor, action: Action, target: str, work: Work[T], *, changes_access: bool) -> T:
        act = self._begin(session, actor)
        done = _judged(act, work(act))
        if changes_access:
            session.execute(update(Change).values(revision=Change.revision + 1))
        audit.write(session, act.now_us, actor, action, target, audit.DONE, act.detail)
        return done

    def _refused(self, session: Session, actor: Actor, action: Action, target: str, why: type[GatewayError]) -> None:
        if not issubclass(why, PermissionDenied | Unseen):
            audit.write(session, self._now_us(), actor, action, target, audit.REFUSED, why.__name__)
            return
        omitted = 0 if self._denials is None else self._denials.admit(actor, action)
        if omitted is not None:
            detail = f"{why.__name__}; {omitted:,} before it are not written down" if omitted else why.__name__
            audit.write(session, self._now_us(), actor, action, target, audit.DENIED, detail)

    def _begin(self, session: Session, actor: Actor) -> Act:
        if actor.principal is None:
            standing = SHELL
        elif _stands(session, actor.principal):
            standing = standing_of(session, actor.principal)
        else:
            standing = NOBODY
        return Act(session, actor, standing, self._now_us())

    def _now_us(self) -> int:
        return int(self._wall_s() * 1e6)


def _stands(session: Session, principal: Principal) -> bool:
    """Whether a principal is still there, and active: it may have been deactivated since its credential was looked at."""
    if principal.kind is PrincipalKind.SERVICE_ACCOUNT:
        account = session.get(ServiceAccount, principal.id)
        return account is not None and account.is_active
    return principal.kind is PrincipalKind.USER and session.get(User, principal.id) is not None


def _judged(act: Act, done: T) -> T:
    if not act.judged:
        raise InternalError("An administrative act was not judged; nothing was done.")
    return done
