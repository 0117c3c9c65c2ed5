"""The directory, read from the store: the credentials that open something, and what each opens.

Reads are admitted from a copy in memory alone (`gates.KeyTable`), which is replaced whole when the store's revision is another.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.reach import Directory, Entry, Reach, reach_of
from gateway.access.standings import all_standings
from gateway.access.store.tables import ApiKey, Change, ServiceAccount


def revision_of(session: Session) -> int:
    return session.scalars(select(Change.revision)).one()


def read_directory(session: Session) -> Directory:
    """All of it, as of one moment."""
    standings = all_standings(session)
    accounts: dict[str, Entry] = {}
    for account in session.scalars(select(ServiceAccount).where(ServiceAccount.is_active)):
        principal = Principal(PrincipalKind.SERVICE_ACCOUNT, account.id)
        reach = reach_of(standings[principal]) if principal in standings else Reach()
        accounts[account.id] = Entry(principal, account.name, account.id, reach)
    keys: dict[bytes, Entry] = {}
    for key in session.scalars(select(ApiKey).where(ApiKey.is_active)):
        owner = accounts.get(key.account_id)
        if owner is not None:
            keys[key.digest] = Entry(owner.principal, owner.name, key.id, owner.reach)
    return Directory(revision_of(session), keys, accounts)
