"""A gateway with a store of access control, and whom a test wants in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from gateway.access.keys import digest, key_id, new_key
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.standings import ACCOUNT_TYPE, ALL_WORKSPACES, SECRET_SCOPE, WORKSPACE
from gateway.access.store.database import Database
from gateway.access.store.tables import ApiKey, Change, RoleAssignment, ServiceAccount
from gateway.administering import open_file
from tests.harness.houses import KEYS, House, demo_settings, open_house


def role(said: str) -> tuple[str, str, str]:
    """`admin`, `owner` (of all workspaces), `prod=viewer`, or `secrets/etl=secret_scope_reader`, as the table has it."""
    place, _, name = said.rpartition("=")
    if place.startswith("secrets/"):
        return SECRET_SCOPE, place.removeprefix("secrets/"), name
    if place:
        return WORKSPACE, place, name
    return (ACCOUNT_TYPE if said == "admin" else ALL_WORKSPACES), "", said


def enrol(database: Database, name: str, *roles: str) -> tuple[str, str]:
    """A service account with these roles, written straight into the store: its id and its key."""
    key, account = new_key(), f"sa-{name}"

    def work(session: Session) -> None:
        session.add(
            ServiceAccount(
                id=account,
                name=name,
                description="",
                is_active=True,
                credentials="api_key",
                creator_kind=None,
                creator_id=None,
                created_us=0,
                updated_us=0,
            )
        )
        session.flush()
        session.add(
            ApiKey(id=key_id(key), account_id=account, digest=bytes.fromhex(digest(key)), is_active=True, created_us=0, last_used_us=None)
        )
        for kind, resource, held in map(role, roles):
            assign(session, Principal(PrincipalKind.SERVICE_ACCOUNT, account), kind, resource, held)
        session.get_one(Change, 1).revision += 1

    database.transact(work)
    return account, key


def assign(session: Session, principal: Principal, kind: str, resource: str, held: str) -> None:
    session.add(
        RoleAssignment(principal_kind=principal.kind, principal_id=principal.id, resource_kind=kind, resource_id=resource, role=held)
    )


@contextmanager
def open_offices(data_dir: Path, access_dir: Path, *principals: tuple[str, ...], **more: Any) -> Iterator[tuple[House, dict[str, str]]]:
    """The gateway of the demo in `data_dir` with a store in `access_dir`, and the keys of these principals by name: each a name and its
    roles."""
    database = open_file(access_dir)
    database.migrate()
    keys = {name: enrol(database, name, *roles)[1] for name, *roles in principals}
    database.close()
    settings = demo_settings(data_dir, **more)
    settings["auth"] = {"keys": KEYS, "store": "sqlite", "data_dir": access_dir, **more.get("auth", {})}
    with open_house(settings) as house:
        yield house, keys
