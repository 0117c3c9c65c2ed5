"""A store with users, groups and service accounts in it, made as SCIM makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import msgspec

from gateway.access.administration import Act, Administration
from gateway.access.principals import Actor, shell
from gateway.access.roles import SHELL, Action
from gateway.access.scim import acts, groups, service_accounts, users
from gateway.access.scim.acts import Asking
from gateway.access.scim.kinds import Kind, Told
from gateway.access.store.database import Database

T = TypeVar("T")
ADA = shell("ada")
KINDS: Mapping[str, Kind[Any, Any]] = {"User": users.kind(), "Group": groups.kind(), "ServiceAccount": service_accounts.kind()}


@dataclass(slots=True)
class Directory:
    """`now_s` moves by a second with every act."""

    database: Database
    now_s: float = 1_700_000_000.25
    actor: Actor = ADA

    def act(self, work: Callable[[Act], T]) -> T:
        """Raises what the work raises."""
        self.now_s += 1
        return Administration(self.database, wall_s=lambda: self.now_s).act_at_once(self.actor, Action.MANAGE_DIRECTORY, "x/y", work)

    def look(self, work: Callable[[Act], T]) -> T:
        """As an admin, without a word in the audit log."""
        return self.database.transact(lambda session: work(Act(session, ADA, SHELL, 0)), writes=False)

    def make(self, kind: str, identity: str, **said: Any) -> Told:
        return self.act(lambda act: acts.create(act, KINDS[kind], identity, msgspec.json.encode(said), Asking()))

    def put(self, kind: str, identity: str, **said: Any) -> Told:
        return self.act(lambda act: acts.replace(act, KINDS[kind], identity, msgspec.json.encode(said), Asking()))

    def patch(self, kind: str, identity: str, *operations: Mapping[str, Any]) -> Told:
        body = msgspec.json.encode({"Operations": operations})
        return self.act(lambda act: acts.modify(act, KINDS[kind], identity, body, Asking()))

    def show(self, kind: str, identity: str, **query: object) -> Told:
        return self.look(lambda act: acts.show(act, KINDS[kind], identity, Asking(query=query)))

    def find(self, *kinds: str, **query: object) -> Told:
        return self.look(lambda act: acts.search(act, [KINDS[kind] for kind in kinds], Asking(query=query)))

    def found(self, kind: str, **query: object) -> list[str]:
        """The ids of those that fit."""
        told: Any = self.find(kind, **query)["Resources"]
        return [one["id"] for one in told]


def fill(directory: Directory) -> None:
    """People and programs that differ in every attribute, and in whether they have it."""
    names, numbers = ("ann", "Ann", "bob", "bób", "x%y_", ""), count()
    for name in names:
        for email in ("Ann@Work.example", None):
            number = next(numbers)
            directory.make(
                "User",
                f"u{number}",
                userName=f"{name}{number}@example.com",
                externalId=name or None,
                name={"givenName": name, "familyName": "Lee" if number % 3 else None},
                emails=[{"value": email, "type": "work" if number % 4 else "home", "primary": bool(number % 4)}] if email else [],
                roles=[{"type": "workspace_prod", "value": "viewer"}] if number % 5 == 0 else [],
            )
    for number in range(4):
        directory.make(
            "ServiceAccount", f"s{number}", name=f"Program {number}", active=bool(number % 2), description="reads" * (number % 3)
        )
    for number in range(5):
        members = [{"value": f"u{member}"} for member in range(number)] + [{"value": f"s{member}"} for member in range(number % 3)]
        directory.make("Group", f"g{number}", displayName=f"team {number}", members=members, externalId=f"ext-{number}" if number else None)
