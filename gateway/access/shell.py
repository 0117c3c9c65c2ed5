"""What an operator may do at the shell of a machine that reaches the store: the acts of the commands, each judged and written down like one
that comes through a door. The gateways that serve learn of it from the store's revision.
"""

import asyncio
import getpass
import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.access import audit, keyholders
from gateway.access.administration import Act, Administration
from gateway.access.audit import Sought
from gateway.access.keyholders import Grant, Listed, Made
from gateway.access.keys import key_id
from gateway.access.principals import shell
from gateway.access.rekeying import rewrap_all
from gateway.access.roles import EVERYTHING, Action
from gateway.access.sealing import Sealer
from gateway.access.store.database import Database
from gateway.access.store.tables import AuditEntry

T = TypeVar("T")


class Shell:
    """The acts of whoever is logged in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._administration = Administration(database)
        self._actor = shell(_user())

    def create(self, name: str, grants: Sequence[Grant]) -> Made:
        account_id = secrets.token_hex(16)
        return self._act(Action.CREATE_ACCOUNT, account_id, lambda act: keyholders.create(act, account_id, name, grants))

    def rotate(self, account: str, *, at_once: bool) -> Made:
        return self._act(Action.MANAGE_ACCOUNT, self._id_of(account), lambda act: keyholders.rotate(act, account, at_once=at_once))

    def switch(self, key_or_account: str, *, active: bool) -> str:
        """Of a key that is given whole, its public part counts."""
        named = key_id(key_or_account) or key_or_account
        return self._act(Action.MANAGE_ACCOUNT, self._id_of(named), lambda act: keyholders.switch(act, named, active=active))

    def grant(self, account: str, grants: Sequence[Grant]) -> Sequence[str]:
        """All that it holds then."""
        return self._change_roles(account, lambda act: keyholders.grant(act, account, grants))

    def revoke(self, account: str, grants: Sequence[Grant]) -> Sequence[str]:
        return self._change_roles(account, lambda act: keyholders.revoke(act, account, grants))

    def listed(self) -> Sequence[Listed]:
        return asyncio.run(self._administration.look(self._actor, keyholders.listed))

    def audited(self, sought: Sought) -> Sequence[AuditEntry]:
        def work(act: Act) -> Sequence[AuditEntry]:
            act.require(Action.READ_AUDIT, EVERYTHING)
            return audit.read(act.session, sought)

        return asyncio.run(self._administration.look(self._actor, work))

    def rewrap(self, sealer: Sealer, progress: Callable[[int], None]) -> int:
        """Everything that is sealed, under the sealer's newest key."""

        def work(act: Act) -> int:
            return rewrap_all(act, sealer, progress)

        return self._administration.act_at_once(self._actor, Action.ROTATE_KEK, "vault/kek", work, changes_access=False)

    def _change_roles(self, account: str, change: Callable[[Act], str]) -> Sequence[str]:
        return self._act(Action.MANAGE_DIRECTORY, self._id_of(account), lambda act: keyholders.roles_of(act.session, change(act)))

    def _act(self, action: Action, account_id: str, work: Callable[[Act], T]) -> T:
        return self._administration.act_at_once(self._actor, action, f"service_account/{account_id}", work)

    def _id_of(self, key_or_account: str) -> str:
        """For the audit log, which is told nothing that was only typed: it may have been a key."""
        return self._database.transact(lambda session: keyholders.id_of(session, key_or_account), writes=False) or "?"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "?"
