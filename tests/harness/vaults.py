"""A vault in an SQLite file, who acts on it, and a hand that changes the file behind its back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.access.administration import Act, Administration
from gateway.access.principals import Actor, Principal, PrincipalKind, shell
from gateway.access.rekeying import rewrap_all
from gateway.access.roles import Action
from gateway.access.sealing import Sealer
from gateway.access.store.database import Database
from gateway.access.vault import SecretVault
from gateway.administering import FILE, open_file
from tests.harness.offices import enrol

KEK = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Vaulted:
    """The actor is an admin, who manages every scope it makes."""

    folder: Path
    database: Database
    administration: Administration
    vault: SecretVault
    actor: Actor

    def create(self, scope: str) -> None:
        self.administration.act_at_once(
            self.actor, Action.CREATE_SCOPE, f"secret_scope/{scope}", lambda act: self.vault.create_scope(act, scope)
        )

    def drop(self, scope: str) -> None:
        self.administration.act_at_once(
            self.actor, Action.DELETE_SCOPE, f"secret_scope/{scope}", lambda act: self.vault.delete_scope(act, scope)
        )

    def put(self, scope: str, name: str, value: str) -> None:
        def work(act: Act) -> None:
            self.vault.put(act, scope, name, value)

        self.administration.act_at_once(self.actor, Action.WRITE_SECRET, f"secret/{scope}/{name}", work, changes_access=False)

    def read(self, scope: str, name: str) -> str:
        return self.administration.act_at_once(
            self.actor,
            Action.READ_SECRET,
            f"secret/{scope}/{name}",
            lambda act: self.vault.read(act, scope, name),
            changes_access=False,
        )

    def delete(self, scope: str, name: str) -> None:
        def work(act: Act) -> None:
            self.vault.delete(act, scope, name)

        self.administration.act_at_once(self.actor, Action.DELETE_SECRET, f"secret/{scope}/{name}", work, changes_access=False)

    def names(self, scope: str) -> list[str]:
        return list(self.administration.act_at_once(self.actor, Action.LIST_SECRETS, scope, lambda act: self.vault.names(act, scope)))

    def scopes(self) -> list[str]:
        return list(self.administration.act_at_once(self.actor, Action.VIEW_SCOPE, "", self.vault.scopes))

    def rotate(self, sealer: Sealer) -> int:
        def work(act: Act) -> int:
            return rewrap_all(act, sealer, lambda _: None)

        return self.administration.act_at_once(shell("ada"), Action.ROTATE_KEK, "vault/kek", work, changes_access=False)

    def under(self, sealer: Sealer) -> "Vaulted":
        """The same, with other keys."""
        return Vaulted(self.folder, self.database, self.administration, SecretVault(sealer), self.actor)

    def tamper(self, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
        """Change the file as somebody would who has no key and heeds no foreign ones."""
        with closing(sqlite3.connect(self.folder / FILE, isolation_level=None)) as connection:
            for one in statements:
                connection.execute(*((one,) if isinstance(one, str) else one))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / FILE)) as connection:
            return connection.execute(query).fetchall()


@contextmanager
def open_vault(folder: Path, sealer: Sealer | None = None) -> Iterator[Vaulted]:
    database = open_file(folder)
    try:
        database.migrate()
        yield vault_in(database, sealer or Sealer([KEK]), folder)
    finally:
        database.close()


def vault_in(database: Database, sealer: Sealer, folder: Path) -> Vaulted:
    """With an admin, whom the database does not know yet."""
    account, _ = enrol(database, "root", "admin")
    vault = SecretVault(sealer)
    database.transact(vault.begin)
    actor = Actor(Principal(PrincipalKind.SERVICE_ACCOUNT, account), "root", "key-of-root")
    return Vaulted(folder, database, Administration(database), vault, actor)
