"""The vault: secrets in scopes, sealed, and a record of what all of them must be."""

from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from gateway.access.store.database import Database
from gateway.access.store.tables import Secret, SigningKey, Vault


def has_begun(database: Database) -> bool:
    """Whether anything was ever sealed here: then there is a key, and another must not be made. Raises AccessUnavailable."""

    def work(session: Session) -> bool:
        if not inspect(session.connection()).has_table(Vault.__tablename__):
            return False
        return any(session.scalars(select(func.count()).select_from(table)).one() for table in (Vault, Secret, SigningKey))

    return database.transact(work, writes=False)
