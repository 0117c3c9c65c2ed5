"""What can be done over SCIM, in both kinds of stores, beneath the doors."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.principals import Actor
from gateway.access.scim import acts
from gateway.access.scim.acts import Asking
from gateway.access.scim.places import Places
from gateway.access.store.tables import ApiKey, AuditEntry, Change, Membership, RoleAssignment, ServiceAccount
from gateway.errors import AlreadyExists, InvalidScim, MalformedBody, NotFound, PermissionDenied
from tests.access.holdings import account, add_account
from tests.access.scim.directories import KINDS, Directory

VIEWER = {"type": "workspace_prod", "value": "viewer"}


def counted(directory: Directory) -> dict[str, int]:
    tables = (ApiKey, Membership, RoleAssignment, ServiceAccount)
    return directory.look(
        lambda act: {one.__tablename__: act.session.scalars(select(func.count()).select_from(one)).one() for one in tables}
    )


def details(directory: Directory) -> list[str]:
    return directory.look(lambda act: list(act.session.scalars(select(AuditEntry.detail).order_by(AuditEntry.id))))


def revision(directory: Directory) -> int:
    return directory.look(lambda act: act.session.scalars(select(Change.revision)).one())


def test_whoever_goes_leaves_nothing_behind(directory: Directory) -> None:
    directory.make("User", "u", userName="u", roles=[VIEWER])
    directory.make("ServiceAccount", "s", name="s", roles=[VIEWER, {"type": "account_type", "value": "admin"}])
    directory.make("Group", "g", displayName="g", members=[{"value": "u"}, {"value": "s"}], roles=[VIEWER])
    assert counted(directory) == {"api_key": 1, "membership": 2, "role_assignment": 4, "service_account": 1}
    directory.act(lambda act: acts.remove(act, KINDS["ServiceAccount"], "s"))
    assert counted(directory) == {"api_key": 0, "membership": 1, "role_assignment": 2, "service_account": 0}
    directory.act(lambda act: acts.remove(act, KINDS["User"], "u"))
    directory.act(lambda act: acts.remove(act, KINDS["Group"], "g"))
    assert counted(directory) == {"api_key": 0, "membership": 0, "role_assignment": 0, "service_account": 0}


def test_what_changes_nothing_says_so_and_is_not_modified(directory: Directory) -> None:
    made = directory.make("User", "u", userName="u", roles=[VIEWER])
    again = directory.put("User", "u", userName="u", roles=[VIEWER, VIEWER, {"type": "all_workspaces", "value": None}])
    assert again == made
    named = directory.patch(
        "User", "u", {"op": "add", "path": "name.givenName", "value": "U"}, {"op": "add", "path": "externalId", "value": "x"}
    )
    assert isinstance(made["meta"], dict)
    assert named["meta"] == made["meta"] | {"lastModified": "2023-11-14T22:13:23.250000Z"}
    assert details(directory) == ["user_name +workspace_prod=viewer", "", "external_id given_name"]


def test_a_name_that_is_taken_meanwhile_is_taken(directory: Directory) -> None:
    directory.make("Group", "g", displayName="g")
    directory.make("Group", "h", displayName="h")
    before = revision(directory)
    with pytest.raises(AlreadyExists):
        directory.make("Group", "i", displayName="g")
    with pytest.raises(AlreadyExists):
        directory.put("Group", "h", displayName="g")
    with pytest.raises(AlreadyExists):
        directory.patch("Group", "h", {"op": "replace", "path": "displayName", "value": "g"})
    assert revision(directory) == before
    assert directory.find("Group")["totalResults"] == 2


def test_the_maker_of_a_service_account_is_kept(directory: Directory) -> None:
    directory.make("ServiceAccount", "s", name="s", roles=[{"type": "account_type", "value": "admin"}])
    directory.actor = Actor(account("s"), "s", "key")
    directory.make("ServiceAccount", "t", name="t")
    makers = select(ServiceAccount.creator_kind, ServiceAccount.creator_id).order_by(ServiceAccount.id)
    assert directory.look(lambda act: [tuple(one) for one in act.session.execute(makers)]) == [(None, None), ("service_account", "s")]


def test_roles_that_cannot_be_changed_are_not(directory: Directory) -> None:
    made = directory.make("User", "u", userName="u", roles=[VIEWER])
    fixed = Asking(roles=False)
    kind = KINDS["User"]

    def body(**said: Any) -> bytes:
        return msgspec.json.encode(said)

    put = directory.act(lambda act: acts.replace(act, kind, "u", body(userName="v", roles=[]), fixed))
    assert put["roles"] == made["roles"]
    with pytest.raises(InvalidScim, match="roles"):
        directory.act(lambda act: acts.modify(act, kind, "u", body(Operations=[{"op": "remove", "path": "roles"}]), fixed))
    same = [{"op": "replace", "path": "roles", "value": [VIEWER]}, {"op": "replace", "path": "userName", "value": "w"}]
    assert directory.act(lambda act: acts.modify(act, kind, "u", body(Operations=same), fixed))["userName"] == "w"


@pytest.mark.parametrize("kind", list(KINDS))
def test_nobody_but_an_admin_may_and_what_they_sent_is_not_looked_at(directory: Directory, kind: str) -> None:
    def work(session: Session) -> None:
        add_account(session, "bob")

    directory.database.transact(work)
    directory.actor = Actor(account("bob"), "Bob", "key")
    chosen, asking = KINDS[kind], Asking(query={"count": "many"})
    for work_of in (
        lambda act: acts.search(act, [chosen], asking),
        lambda act: acts.search_posted(act, [chosen], b"{", asking),
        lambda act: acts.show(act, chosen, "x", asking),
        lambda act: acts.create(act, chosen, "x", b"{", asking),
        lambda act: acts.replace(act, chosen, "x", b"{", asking),
        lambda act: acts.modify(act, chosen, "x", b"{", asking),
        lambda act: acts.remove(act, chosen, "x"),
    ):
        with pytest.raises(PermissionDenied):
            directory.act(work_of)


def test_what_is_not_there_is_not_found_before_a_body_is_read(directory: Directory) -> None:
    kind = KINDS["Group"]

    def replaced(act: Act) -> object:
        return acts.replace(act, kind, "x", b"{", Asking())

    def modified(act: Act) -> object:
        return acts.modify(act, kind, "x", b"{", Asking())

    for work in (replaced, modified):
        with pytest.raises(NotFound):
            directory.act(work)
    with pytest.raises(MalformedBody):
        directory.act(lambda act: acts.create(act, kind, "x", b"{", Asking()))


def test_a_user_that_goes_by_a_put_is_told_of_once_more(directory: Directory) -> None:
    made = directory.make("User", "u", userName="u", roles=[VIEWER])
    gone = directory.put("User", "u", userName="other", active=False)
    assert gone == made | {"active": False}
    with pytest.raises(NotFound):
        directory.show("User", "u")
    assert details(directory)[-1] == "deleted"


def test_places_are_the_callers(directory: Directory) -> None:
    asking = Asking(Places("https://gateway.example"))
    told = directory.act(lambda act: acts.create(act, KINDS["Group"], "g", b'{"displayName":"g"}', asking))
    assert isinstance(told["meta"], dict)
    assert told["meta"]["location"] == "https://gateway.example/api/scim/v2/Groups/g"


def test_groups_of_thousands(directory: Directory) -> None:
    """More members than one statement has variables for."""
    ids = [f"u{number:04}" for number in range(2_100)]

    def work(session: Session) -> None:
        table = KINDS["User"].table
        session.add_all([table(id=one, user_name=one, created_us=0, updated_us=0) for one in ids])

    directory.database.transact(work)
    made = directory.make("Group", "g", displayName="g", members=[{"value": one} for one in ids])
    assert isinstance(made["members"], list)
    assert len(made["members"]) == 2_100
    fewer = directory.patch("Group", "g", {"op": "remove", "path": 'members[value sw "u00"]'})
    assert isinstance(fewer["members"], list)
    assert len(fewer["members"]) == 2_000
    listed: Any = directory.find("User", attributes="groups", count="2100")["Resources"]
    assert sum(len(one.get("groups", [])) for one in listed) == 2_000
