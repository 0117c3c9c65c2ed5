"""The directory, read from the store: the credentials that open something, and what each opens.

Reads are admitted from a copy in memory alone (`gates.KeyTable`), which is replaced whole when the store's revision is another.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.reach import Directory, Entry, Reach, reach_of
from gateway.access.standings import Held, all_held, standing_from
from gateway.access.store.tables import ApiKey, Change, ClientSecret, ServiceAccount


def revision_of(session: Session) -> int:
    return session.scalars(select(Change.revision)).one()


def read_directory(session: Session) -> Directory:
    """All of it, as of one moment."""
    held = all_held(session)
    reaches: dict[frozenset[Held], Reach] = {}
    accounts: dict[str, Entry] = {}
    for account_id, name in session.execute(select(ServiceAccount.id, ServiceAccount.name).where(ServiceAccount.is_active)):
        principal = Principal(PrincipalKind.SERVICE_ACCOUNT, account_id)
        roles = held.get(principal, frozenset())
        if roles not in reaches:  # few sets of roles are held by many
            reaches[roles] = reach_of(standing_from(principal, roles))
        accounts[account_id] = Entry(principal, name, account_id, reaches[roles], is_token=True)
    keys = {
        digest: _shown(accounts[owner], key_id, is_token=False)
        for key_id, owner, digest in session.execute(select(ApiKey.id, ApiKey.account_id, ApiKey.digest).where(ApiKey.is_active))
        if owner in accounts
    }
    client_secrets = {
        secret_id: _shown(accounts[owner], secret_id, is_token=True)
        for secret_id, owner in session.execute(select(ClientSecret.id, ClientSecret.account_id).where(ClientSecret.is_active))
        if owner in accounts
    }
    return Directory(revision_of(session), keys, accounts, client_secrets)


def _shown(account: Entry, credential: str, *, is_token: bool) -> Entry:
    return Entry(account.principal, account.name, credential, account.reach, is_token=is_token)
