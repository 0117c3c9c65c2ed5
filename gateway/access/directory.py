"""The directory, read from the store: the credentials that open something, and what each opens.

Reads are admitted from a copy in memory alone (`gates.KeyTable`), which is replaced whole when the store's revision is another.
"""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.reach import Directory, Entry, Reach, reach_of
from gateway.access.standings import all_standings
from gateway.access.store.tables import ApiKey, Change, ClientSecret, ServiceAccount


def revision_of(session: Session) -> int:
    return session.scalars(select(Change.revision)).one()


def read_directory(session: Session) -> Directory:
    """All of it, as of one moment."""
    standings = all_standings(session)
    accounts: dict[str, Entry] = {}
    for account_id, name in session.execute(select(ServiceAccount.id, ServiceAccount.name).where(ServiceAccount.is_active)):
        principal = Principal(PrincipalKind.SERVICE_ACCOUNT, account_id)
        reach = reach_of(standings[principal]) if principal in standings else Reach()
        accounts[account_id] = Entry(principal, name, account_id, reach, is_token=True)
    keys = {
        digest: replace(accounts[owner], credential=key_id, is_token=False)
        for key_id, owner, digest in session.execute(select(ApiKey.id, ApiKey.account_id, ApiKey.digest).where(ApiKey.is_active))
        if owner in accounts
    }
    client_secrets = {
        secret_id: replace(accounts[owner], credential=secret_id)
        for secret_id, owner in session.execute(select(ClientSecret.id, ClientSecret.account_id).where(ClientSecret.is_active))
        if owner in accounts
    }
    return Directory(revision_of(session), keys, accounts, client_secrets)
